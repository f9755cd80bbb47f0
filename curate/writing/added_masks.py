"""Masks that people added, as they are written: their category, and twins of other masks."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from curate.dataset.notes import count_noun
from curate.errors import CallError, DuplicateError
from curate.people.reviews.current_plan import read_added_masks
from curate.people.reviews.outcomes import join_names
from curate.rle import Runs, area, cross_overlaps, overlaps
from curate.scorers.duplicates import DUPLICATE_IOU
from curate.store.audit import StoredAudit
from curate.store.rows_by_id import decode_masks, rows_of


def find_new(
    audit: StoredAudit,
    leaving: pd.Series[int],
    touched: pd.DataFrame,
    category: str | None,
    duplicates: str | None,
) -> tuple[pd.DataFrame, int]:
    """Return the masks to add, and how many are left out because their object has one.

    Args:
        audit: The audit.
        leaving: Ids of the masks that are no masks any more in what is written.
        touched: Masks with new pixels: ``mask_id``, ``segmentation``.
        category: The category of those without one; None: none.
        duplicates: What is done with those whose object has a mask; None: refuse.

    Raises:
        CallError: An added mask has no place to go to.
        DuplicateError: An added mask is of an object that has one, and nothing says what to do.
    """
    added = read_added_masks(audit)
    if not len(added):
        return added, 0
    homeless = added[added["image_key"] == ""]
    if len(homeless):
        some = count_noun(len(homeless), "added mask")
        what = f"{some} without a place in the source"
        name = homeless["file_name"].iloc[0]
        do = "audit the dataset again: this audit does not record where its images are"
        raise CallError(what, f"{audit.path}, image {name}", do)
    if category is not None:
        named = added["category"].where(added["category"].notna(), category)
        added = added.assign(category=named)
    twins = _twins(audit, added, leaving, touched)
    reasons = [f"added by {join_names(list(names))}" for names in added["reviewers"]]
    added = added.assign(change="added", decided_by="person", reason=reasons)
    if not len(twins) or duplicates == "keep":
        return added, 0
    if duplicates == "drop":
        return added.drop(index=twins.index).reset_index(drop=True), len(twins)
    name, other, iou = added["file_name"].loc[twins.index[0]], twins["other"].iloc[0], twins["iou"]
    some = count_noun(len(twins), "added mask")
    raise DuplicateError(
        f"{some} of an object that has a mask already (the first: in {name}, "
        f"IoU {iou.iloc[0]:.2f} with {other})",
        str(audit.path),
        "say --duplicates drop to leave them out, or --duplicates keep to write them",
    )


def _twins(
    audit: StoredAudit, added: pd.DataFrame, leaving: pd.Series[int], touched: pd.DataFrame
) -> pd.DataFrame:
    """Return the added masks whose object has a mask: index of ``added``, ``other``, ``iou``."""
    columns = ("image_id", "height", "width", "segmentation")
    ids = np.unique(added["image_id"].to_numpy(np.int64))
    there = rows_of(audit, "masks", "image_id", ids, ("mask_id", *columns)).set_index("mask_id")
    there = there[~there.index.isin(leaving)]
    if len(touched):
        new = touched.set_index("mask_id")["segmentation"].dropna()
        new = new[new.index.isin(there.index)]
        segmentation = there["segmentation"].astype(object)
        segmentation.loc[new.index] = new
        there = there.assign(segmentation=segmentation)
    own, theirs = _runs(added), _runs(there)
    groups = added["image_id"].to_numpy(np.int64)
    pairs = cross_overlaps(own, groups, theirs, there["image_id"].to_numpy(np.int64))
    iou = _iou(pairs.intersection, area(own)[pairs.first], area(theirs)[pairs.second])
    names = "mask " + pd.Series(there.index.to_numpy(np.int64)[pairs.second]).astype(str)
    first = pd.DataFrame({"at": pairs.first, "other": names, "iou": iou})
    same = overlaps(own, groups)  # of two added masks of one object, the later one is the twin
    iou = _iou(same.intersection, area(own)[same.first], area(own)[same.second])
    later = np.maximum(same.first, same.second)
    second = pd.DataFrame({"at": later, "other": "another added mask", "iou": iou})
    found = pd.concat([first, second])
    found = found[found["iou"] >= DUPLICATE_IOU].sort_values(["at", "iou"], ascending=[True, False])
    return found.drop_duplicates("at").set_index("at")


def _runs(frame: pd.DataFrame) -> Runs:
    sizes = (frame[side].to_numpy(np.int64) for side in ("height", "width"))
    counts = frame["segmentation"].astype(object)
    return decode_masks(counts.where(counts.notna(), None).tolist(), *sizes)[0]


def _iou(shared: Any, first: Any, second: Any) -> Any:
    return shared / np.maximum(first + second - shared, 1)
