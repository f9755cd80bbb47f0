"""Greedy non-maximum suppression, image by image, by box or by mask, as in SAM's generator."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from curate.common.arrays import FloatArray, IntArray
from curate.rle.mask_forms import Masks, as_runs
from curate.rle.overlap import Overlaps, area, overlaps
from curate.rle.runs import Runs, kernel


@dataclass(frozen=True)
class Suppression:
    """Suppressed masks and what suppressed them; both arrays have shape (n,).

    Attributes:
        by: Row of the one that suppressed it; -1 where it is kept.
        iou: IoU with that one, of boxes or of masks; NaN where it is kept.
    """

    by: IntArray
    iou: FloatArray


def nms(
    masks: Masks,
    scores: npt.ArrayLike,
    iou_threshold: float = 0.7,
    groups: npt.ArrayLike | None = None,
) -> IntArray:
    """Return which masks are left when each gives way to a better one that it overlaps.

    Args:
        masks: n masks in any form of :func:`as_runs`.
        scores: Shape (n,), higher is better, NaN is worst; of equal ones the first is better.
        iou_threshold: Masks of an IoU strictly above it are one object (SAM: 0.7). It is the exact
            IoU of the masks, not of their boxes: crossing limbs, or a ring and what it surrounds,
            share a box, but hardly a pixel.
        groups: Shape (n,), integers: only masks of an equal group (an image, a category) can
            suppress each other. None for one group.

    Returns:
        Rows of those that are left, the best first. A mask without a pixel neither suppresses nor
        gives way.

    Raises:
        ValueError: ``scores`` or ``groups`` is not of length n, or see :func:`as_runs`.

    Source: greedy suppression, as in ``torchvision.ops.nms``, by mask.

    Example:
        >>> wide, narrow, other = np.eye(1, 9) + 1, np.eye(1, 9), np.zeros((1, 9))
        >>> other[0, 4] = 1
        >>> nms([narrow, wide, other], scores=[0.5, 0.9, 0.7], iou_threshold=0.1).tolist()
        [1]
        >>> nms([narrow, wide, other], [0.5, 0.9, 0.7], 0.1, groups=[1, 2, 1]).tolist()
        [1, 2, 0]
    """
    runs, quality = as_runs(masks), np.asarray(scores, np.float64)
    group_ids = np.zeros(len(runs), np.int64) if groups is None else np.asarray(groups, np.int64)
    for name, one in (("scores", quality), ("groups", group_ids)):
        if one.shape != (len(runs),):
            raise ValueError(f"{name} has shape {one.shape}, but there are {len(runs)} masks")
    lost = mask_nms(runs, group_ids, (quality,), iou_threshold).by >= 0
    order = _best_first(np.zeros(len(runs), np.int64), (quality,))
    return order[~lost[order]]


@kernel
def _greedy(
    boxes: FloatArray,
    groups: IntArray,
    order: IntArray,
    limit: float,
    by: IntArray,
    iou: FloatArray,
) -> None:
    kept = np.empty(len(order), np.int64)
    n = 0
    for k in range(len(order)):
        i = order[k]
        if k == 0 or groups[i] != groups[order[k - 1]]:
            n = 0
        x, y, w, h = boxes[i, 0], boxes[i, 1], boxes[i, 2], boxes[i, 3]
        for m in range(n):
            j = kept[m]
            width = min(x + w, boxes[j, 0] + boxes[j, 2]) - max(x, boxes[j, 0])
            height = min(y + h, boxes[j, 1] + boxes[j, 3]) - max(y, boxes[j, 1])
            if width <= 0 or height <= 0:
                continue
            shared = width * height
            found = shared / (w * h + boxes[j, 2] * boxes[j, 3] - shared)
            if found > limit:
                by[i] = j
                iou[i] = found
                break
        if by[i] < 0:
            kept[n] = i
            n += 1


def greedy_nms(
    boxes: FloatArray, groups: IntArray, keys: tuple[npt.NDArray[np.generic], ...], limit: float
) -> Suppression:
    """Go through the boxes of each group, best first; a box gives way to a kept one it overlaps.

    Args:
        boxes: Shape (n, 4), XYWH in pixels; a box of no area neither suppresses nor gives way.
        groups: Shape (n,); boxes of different groups (images) have nothing to do with each other.
        keys: What makes a box better, most important first; each of shape (n,), higher is better,
            NaN is worst. Rows that tie in all of them go by position.
        limit: Boxes of an IoU strictly above it are one object.
    """
    order = _best_first(groups, keys)
    by, iou = np.full(len(boxes), -1, np.int64), np.full(len(boxes), np.nan)
    _greedy(
        np.ascontiguousarray(boxes, np.float64),
        np.ascontiguousarray(groups, np.int64),
        order,
        limit,
        by,
        iou,
    )
    return Suppression(by, iou)


def _best_first(groups: IntArray, keys: tuple[npt.NDArray[np.generic], ...]) -> IntArray:
    """Return the rows by group, then by keys."""
    descending = [
        np.where(np.isnan(k), -np.inf, k) for k in (key.astype(np.float64) for key in keys)
    ]
    order = np.lexsort([np.arange(len(groups)), *(-k for k in reversed(descending)), groups])
    return order.astype(np.int64)


def mask_nms(
    runs: Runs, groups: IntArray, keys: tuple[npt.NDArray[np.generic], ...], limit: float
) -> Suppression:
    """Do what :func:`greedy_nms` does, by the exact IoU of the masks.

    Two crossing limbs or a ring and what it surrounds share a box, but hardly a pixel.

    Args:
        runs: n masks; those without a pixel neither suppress nor give way.
        groups: As in :func:`greedy_nms`.
        keys: As in :func:`greedy_nms`.
        limit: Masks of an IoU strictly above it are one object.
    """
    pairs, sizes = overlaps(runs, groups), area(runs)
    union = sizes[pairs.first] + sizes[pairs.second] - pairs.intersection
    found = pairs.intersection / union
    close = found > limit
    pairs = Overlaps(pairs.first[close], pairs.second[close], pairs.intersection[close])
    order = _best_first(groups, keys)
    rank = np.empty(len(order), np.int64)
    rank[order] = np.arange(len(order))
    # Each pair as (the worse, the better), worse ones best first, and for each the best first.
    ranks = np.sort(np.column_stack([rank[pairs.first], rank[pairs.second]]), axis=1)
    turn = np.lexsort((ranks[:, 0], ranks[:, 1]))
    by, iou = np.full(len(runs), -1, np.int64), np.full(len(runs), np.nan)
    _greedy_pairs(order[ranks[turn, 1]], order[ranks[turn, 0]], found[close][turn], by, iou)
    return Suppression(by, iou)


@kernel
def _greedy_pairs(
    worse: IntArray, better: IntArray, found: FloatArray, by: IntArray, iou: FloatArray
) -> None:
    for k in range(len(worse)):
        if by[worse[k]] < 0 and by[better[k]] < 0:
            by[worse[k]] = better[k]
            iou[worse[k]] = found[k]


def crop_nms(
    masks: FloatArray | Runs,
    images: IntArray,
    keys: tuple[FloatArray, ...],
    crops: FloatArray,
    limit: float,
) -> Suppression:
    """Suppress within each crop by quality, then across an image's crops the most zoomed-in first.

    Args:
        masks: Their boxes, shape (n, 4), XYWH in pixels of the image, for box IoU; or the masks
            themselves, for exact IoU.
        images: Shape (n,), ids.
        keys: What makes a mask better within a crop, as in :func:`greedy_nms`: SAM's predicted IoU.
        crops: Shape (n, 4), XYWH of the crop each mask was made in; NaN where unknown, which counts
            as one crop larger than all others.
        limit: As in :func:`greedy_nms`.
    """
    within = suppress(masks, crop_numbers(images, crops), keys, limit)
    left = np.flatnonzero(within.by < 0)
    with np.errstate(divide="ignore", invalid="ignore"):
        zoom = 1 / (crops[:, 2] * crops[:, 3])
    across = suppress(masks[left], images[left], (zoom[left], *(key[left] for key in keys)), limit)
    by, iou = within.by.copy(), within.iou.copy()
    lost = across.by >= 0
    by[left[lost]] = left[across.by[lost]]
    iou[left] = across.iou
    return Suppression(by, iou)


def crop_numbers(images: IntArray, crops: FloatArray) -> IntArray:
    """Number the crops of all images, shape (n,): equal where image and crop are."""
    _, crop = np.unique(
        np.column_stack([images, np.nan_to_num(crops, nan=-1.0)]), axis=0, return_inverse=True
    )
    return crop.reshape(-1).astype(np.int64)


def suppress(
    masks: FloatArray | Runs,
    groups: IntArray,
    keys: tuple[npt.NDArray[np.generic], ...],
    limit: float,
) -> Suppression:
    """Do :func:`mask_nms` or :func:`greedy_nms`, whichever ``masks`` are for.

    Args:
        masks: Boxes, shape (n, 4), XYWH, or the masks themselves.
        groups: As in :func:`greedy_nms`.
        keys: As in :func:`greedy_nms`.
        limit: As in :func:`greedy_nms`.
    """
    if isinstance(masks, Runs):
        return mask_nms(masks, groups, keys, limit)
    return greedy_nms(masks, groups, keys, limit)
