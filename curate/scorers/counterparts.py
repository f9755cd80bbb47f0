"""Correspondence of two sets of masks: shared images, and overlapping masks."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from curate.common.arrays import BoolArray, FloatArray, IntArray
from curate.dataset.image_join import Listing, join
from curate.dataset.table import MaskTable
from curate.rle import cross_overlaps
from curate.rle.runs import kernel
from curate.scorers.scorer import clip_coordinates


@dataclass(frozen=True)
class Pairs:
    """Pairs of a mask and another set's mask that share pixels, or whose boxes do.

    Attributes:
        first: Row of the mask, shape (m,).
        second: Row of the other set's mask, shape (m,).
        iou: Their intersection over union, in (0, 1].
        covered: Their intersection over the area of the other set's mask, in (0, 1].
    """

    first: IntArray
    second: IntArray
    iou: FloatArray
    covered: FloatArray

    def __getitem__(self, keep: BoolArray) -> Pairs:
        return Pairs(self.first[keep], self.second[keep], self.iou[keep], self.covered[keep])


def match_images(images: pd.DataFrame, others: pd.DataFrame) -> IntArray:
    """Find for each image the same image of another set, by :func:`curate.dataset.image_join.join`.

    The ids of both count as ids of one dataset: where names do not tell, equal ids do.

    Args:
        images: Index ``image_id``; columns ``file_name``, ``height``, ``width``.
        others: The same for the other set.

    Returns:
        Shape (n,), row in ``others``, -1 where there is none.
    """
    return join(_listing(others), _listing(images)).rows


def _listing(images: pd.DataFrame) -> Listing:
    return Listing(
        images["file_name"].to_numpy(object).tolist(),
        images.index.to_numpy(np.int64),
        images[["height", "width"]].to_numpy(np.int64),
    )


def groups(table: MaskTable, other: MaskTable) -> tuple[IntArray, IntArray]:
    """Return a group for each mask of both tables: equal for masks of the same image.

    A mask whose image the other table does not have is in group -1 (-2 for the other table's).
    """
    matched = match_images(table.images, other.images)
    mine = table.images.index.get_indexer(pd.Index(table.masks["image_id"]))
    theirs = other.images.index.get_indexer(pd.Index(other.masks["image_id"]))
    here = np.where(mine >= 0, matched[mine], -1) if len(matched) else np.full(len(mine), -1)
    wanted = np.isin(theirs, matched)
    return here.astype(np.int64), np.where(wanted & (theirs >= 0), theirs, -2).astype(np.int64)


def mask_pairs(table: MaskTable, other: MaskTable, group: tuple[IntArray, IntArray]) -> Pairs:
    """Find all pairs of masks of the same image that share pixels."""
    found = cross_overlaps(table.runs, group[0], other.runs, group[1])
    same = table.runs.widths[found.first] == other.runs.widths[found.second]
    first, second = found.first[same], found.second[same]
    shared = found.intersection[same]
    areas = table.masks["area_px"].to_numpy()[first]
    others = other.masks["area_px"].to_numpy()[second]
    return Pairs(first, second, shared / (areas + others - shared), shared / others)


def box_pairs(boxes: FloatArray, others: FloatArray, group: tuple[IntArray, IntArray]) -> Pairs:
    """Find all pairs of boxes XYWH of the same group that share area; boxes of NaN share none."""
    boxes, others = clip_coordinates(boxes), clip_coordinates(others)
    order = np.lexsort((others[:, 0], group[1])).astype(np.int64)
    sorted_groups = group[1][order]
    begins = np.searchsorted(sorted_groups, group[0], "left").astype(np.int64)
    stops = np.searchsorted(sorted_groups, group[0], "right").astype(np.int64)
    counted = _box_pairs(boxes, others, order, begins, stops, np.empty((0, 3)))
    pairs = np.empty((counted, 3))
    _box_pairs(boxes, others, order, begins, stops, pairs)
    first, second, shared = pairs[:, 0].astype(np.int64), pairs[:, 1].astype(np.int64), pairs[:, 2]
    area = boxes[first, 2] * boxes[first, 3]
    other_area = others[second, 2] * others[second, 3]
    return Pairs(first, second, shared / (area + other_area - shared), shared / other_area)


@kernel
def _box_pairs(
    boxes: FloatArray,
    others: FloatArray,
    order: IntArray,
    begins: IntArray,
    stops: IntArray,
    pairs: FloatArray,
) -> int:
    """Count the pairs, and write them where there is room."""
    n = 0
    for i in range(len(boxes)):
        if np.isnan(boxes[i, 0]):
            continue
        right, bottom = boxes[i, 0] + boxes[i, 2], boxes[i, 1] + boxes[i, 3]
        for k in range(begins[i], stops[i]):
            j = order[k]
            if others[j, 0] >= right or np.isnan(others[j, 0]):  # NaN is sorted to the end
                break
            w = min(right, others[j, 0] + others[j, 2]) - max(boxes[i, 0], others[j, 0])
            h = min(bottom, others[j, 1] + others[j, 3]) - max(boxes[i, 1], others[j, 1])
            if w > 0 and h > 0:
                if n < len(pairs):
                    pairs[n, 0], pairs[n, 1], pairs[n, 2] = i, j, w * h
                n += 1
    return n
