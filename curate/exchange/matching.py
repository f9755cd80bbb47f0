"""Masks whose ids a tool lost, found by how they overlap with those that people were given."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from curate.decisions.lookup import decoded
from curate.rle import area, cross_overlaps

LEAST_IOU = 0.5
"""Two masks that share less are not taken for one: above it, no third one can share more."""


def pairs_by_overlap(old: pd.DataFrame, new: pd.DataFrame) -> pd.Series[Any]:
    """Pair masks of an audit with what came back: those that share most first, each once.

    Args:
        old: ``mask_id``, ``image_id``, ``height``, ``width``, ``segmentation``.
        new: ``image_id``, ``counts``, and ``crop_of``: the only mask that it can be, if there is
            one.

    Returns:
        The mask ids by the index of ``new``, of those that were found.
    """
    found: dict[Any, int] = {}
    sizes = old.drop_duplicates("image_id").set_index("image_id")[["height", "width"]]
    new = new[new["image_id"].isin(sizes.index)]
    if len(new):
        theirs = sizes.loc[new["image_id"]].to_numpy(np.int64)
        before, _ = decoded(
            old["segmentation"], *(old[side].to_numpy(np.int64) for side in ("height", "width"))
        )
        after, _ = decoded(new["counts"].tolist(), theirs[:, 0], theirs[:, 1])
        groups = (frame["image_id"].to_numpy(np.int64) for frame in (old, new))
        pairs = cross_overlaps(before, next(groups), after, next(groups))
        union = area(before)[pairs.first] + area(after)[pairs.second] - pairs.intersection
        iou = pairs.intersection / np.maximum(union, 1)
        ids = old["mask_id"].to_numpy(np.int64)[pairs.first]
        crop = new["crop_of"].fillna(0).to_numpy(np.int64)[pairs.second]
        free = new["crop_of"].isna().to_numpy(np.bool_)[pairs.second] | (crop == ids)
        order = np.lexsort((pairs.second, pairs.first, -iou))
        taken: set[int] = set()
        for k in order[(iou >= LEAST_IOU)[order] & free[order]].tolist():
            at, mask = new.index[int(pairs.second[k])], int(ids[k])
            if at not in found and mask not in taken:
                found[at] = mask
                taken.add(mask)
    return pd.Series(found, dtype="Int64")
