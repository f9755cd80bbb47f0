"""Comparison of a model's proposals with people's masks of the same images, object by object."""

from __future__ import annotations

import numpy as np
import pandas as pd

from curate.common.arrays import FloatArray, IntArray
from curate.dataset.table import MaskTable
from curate.errors import CallError
from curate.scorers.counterparts import groups, mask_pairs

GOOD_IOU = 0.9
"""IoU with people's mask from which a proposal needs no correction: the higher of the lines by
which *Segment Anything* (arXiv 2304.02643, section 5) reports the quality of its masks."""


def compare_with_truth(
    proposals: MaskTable, truth: MaskTable, *, good_iou: float = GOOD_IOU
) -> pd.DataFrame:
    """Match proposals one to one with people's masks, and say which are good.

    Pairs are taken from the highest IoU down, each mask once, as in COCO's evaluation but by IoU
    instead of score: of two proposals of one object one can be good, and the other is a duplicate.

    Args:
        proposals: A model's masks.
        truth: People's masks of all objects in those images. Images are matched as in
            :mod:`curate.dataset.image_join`.
        good_iou: IoU from which a proposal is good, in (0, 1].

    Returns:
        Index ``mask_id``, of the proposals, in their order: ``image_id``; ``truth_iou`` in [0, 1],
        0 where no mask is left for it; ``truth_id``, the matched mask, NA for none; ``good``.

    Raises:
        CallError: ``good_iou`` is out of its range.
    """
    if not 0 < good_iou <= 1:
        raise CallError(f"{good_iou:g} is no IoU", "good_iou", "give a number over 0 and up to 1")
    group = groups(proposals, truth)
    pairs = mask_pairs(proposals, truth, group)
    matched, iou = match_pairs(pairs.first, pairs.second, pairs.iou, len(proposals))
    ids = truth.masks.index.to_numpy(np.int64)
    found = matched >= 0
    named = pd.array(np.where(found, ids[matched] if len(ids) else 0, 0), "Int64")
    named[~found] = pd.NA
    return pd.DataFrame(
        {
            "image_id": proposals.masks["image_id"].to_numpy(np.int64),
            "truth_iou": iou,
            "truth_id": named,
            "good": iou >= good_iou,
        },
        proposals.masks.index,
    )


def match_pairs(
    first: IntArray, second: IntArray, iou: FloatArray, count: int
) -> tuple[IntArray, FloatArray]:
    """Match proposals one to one with people's masks, from the highest IoU down.

    Args:
        first: Row of the proposal of each pair that shares pixels.
        second: Row of people's mask.
        iou: Of the pair, in (0, 1]. Pairs under an IoU may be left out: those over it match alike.
        count: Proposals in all.

    Returns:
        The row of people's mask that each proposal is matched with, -1 for none, and the IoU with
        it, 0 for none; both of shape (count,).
    """
    matched, best = np.full(count, -1, np.int64), np.zeros(count)
    taken: set[int] = set()
    # Of equals the first rows go together, so that the order of the pairs does not matter.
    for k in np.lexsort([second, first, -iou]).tolist():
        mine, its = int(first[k]), int(second[k])
        if matched[mine] < 0 and its not in taken:
            matched[mine], best[mine] = its, iou[k]
            taken.add(its)
    return matched, best
