"""Mechanical fixes of an audit's masks: pixels read, fixed and packed, whole images at a time."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd

from curate.common.arrays import BoolArray, IntArray
from curate.dataset.table import plain
from curate.notebook.audit_value import Audit
from curate.people.reviews.mechanical_fixes import MechanicalFix, fix_masks
from curate.store.rows_by_id import decode_masks, encode_canonical, rows_of

_AT_ONCE = 20_000
"""Masks whose pixels are in memory together."""


@dataclass(frozen=True)
class BulkRows:
    """Rows that a decision in bulk writes.

    Attributes:
        decisions: ``mask_id``, ``action``; of fixes ``segmentation``.
        missing: Masks to add, as ``Reviews.add`` takes them; None for none.
    """

    decisions: pd.DataFrame
    missing: pd.DataFrame | None = None


def fix_rows(opened: Audit, rows: pd.DataFrame, how: MechanicalFix) -> BulkRows:
    """Return fixes of masks, some thousands in memory at a time.

    Args:
        opened: The audit.
        rows: Index ``mask_id``: ``image_id``, ``area_px``; ``category`` and ``action`` where the
            audit has them.
        how: What is to be done.
    """
    usable = rows["area_px"] > 0
    if "action" in rows:  # what is rejected is left out anyway, and a fix would accept it
        usable &= rows["action"] != "reject"
    rows = rows[usable].sort_values("image_id", kind="stable")
    redrawn = _read_redrawn(opened)
    found = [_fix_some(opened, some, how, redrawn) for some in _whole_images(rows)]
    if not found:
        empty = {"mask_id": np.zeros(0, np.int64), "action": [], "segmentation": []}
        return BulkRows(pd.DataFrame(empty))
    missing = pd.concat([added for _, added in found], ignore_index=True)
    decisions = pd.concat([some for some, _ in found], ignore_index=True)
    return BulkRows(decisions, missing if len(missing) else None)


def _whole_images(rows: pd.DataFrame) -> Iterator[pd.DataFrame]:
    """Cut rows, ordered by image, between images."""
    image = rows["image_id"].to_numpy(np.int64)
    ends = np.append(np.flatnonzero(image[1:] != image[:-1]) + 1, len(rows))
    start = 0
    for k, end in enumerate(ends):
        last = k + 1 == len(ends)
        if end > start and (last or ends[k + 1] - start > _AT_ONCE):
            yield rows.iloc[start:end]
            start = int(end)


def _fix_some(
    opened: Audit, rows: pd.DataFrame, how: MechanicalFix, redrawn: Mapping[int, bytes]
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return decisions and added masks."""
    ids = rows.index.to_numpy(np.int64)
    columns = ["segmentation", "height", "width"]
    own = rows_of(opened, "masks", "mask_id", ids, columns).set_index("mask_id").loc[ids]
    heights, widths = (own[name].to_numpy(np.int64) for name in ("height", "width"))
    today = [
        redrawn.get(mask_id, value)
        for mask_id, value in zip(ids.tolist(), plain(own["segmentation"]), strict=True)
    ]
    masks, problems = decode_masks(today, heights, widths)
    good: BoolArray = np.array([problem == "" for problem in problems], np.bool_)
    masks, ids, rows = masks[good], ids[good], rows[good]
    category = rows["category"] if "category" in rows else pd.Series(None, rows.index, dtype=object)
    groups = rows.groupby([rows["image_id"], category], dropna=False, sort=False).ngroup()
    done = fix_masks(masks, np.asarray(groups, np.int64), how)
    touched = np.flatnonzero(done.changed | done.removed | _restated(ids, how, redrawn))
    counts: list[bytes | None] = list(encode_canonical(done.masks[touched]))
    action = np.where(done.removed[touched], "reject", "fix")
    decisions = {
        "mask_id": ids[touched],
        "action": action,
        "segmentation": [
            None if gone else one for gone, one in zip(done.removed[touched], counts, strict=True)
        ],
    }
    added = {
        "image_id": rows["image_id"].to_numpy(np.int64)[done.parents],
        "segmentation": encode_canonical(done.added),
        "category": plain(category.iloc[done.parents]),
    }
    return pd.DataFrame(decisions), pd.DataFrame(added)


def _restated(ids: IntArray, how: MechanicalFix, redrawn: Mapping[int, bytes]) -> BoolArray:
    """Return which masks get box and area anew; of redrawn ones these follow the pixels anyway."""
    if not how.restate:
        return np.zeros(len(ids), np.bool_)
    return ~np.isin(ids, list(redrawn))


def _read_redrawn(opened: Audit) -> dict[int, bytes]:
    """Return the pixels that people gave masks, as an earlier fix in bulk did, by ``mask_id``."""
    people = opened.people()
    if people is None or "segmentation" not in people.column_names:
        return {}
    drawn = people.select(["mask_id", "segmentation"]).drop_null()
    return dict(zip(drawn["mask_id"].to_pylist(), drawn["segmentation"].to_pylist(), strict=True))
