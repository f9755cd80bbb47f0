"""Areas, boxes, and intersections of all masks that share pixels."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from numpy import int32

from curate.common.arrays import Int32Array, IntArray
from curate.rle.mask_forms import Masks, as_runs
from curate.rle.runs import doubled, first_ending_after, inner_kernel, kernel

_FIRST, _SECOND, _INTERSECTION = range(3)
"""Columns of pairs: two masks, and the pixels that they share."""


@kernel
def _measure(
    starts: Int32Array,
    ends: Int32Array,
    offsets: IntArray,
    heights: Int32Array,
    areas: IntArray,
    boxes: IntArray,
) -> None:
    for i in range(len(heights)):
        first, stop = np.uint64(offsets[i]), np.uint64(offsets[i + 1])  # unsigned: see _decode
        if first == stop:
            continue
        h = int(heights[i])
        x = int(starts[first]) // h
        base = x * h
        x_first = x
        y_low = h
        y_high = -1
        total = 0
        for r in range(first, stop):
            s, e = int(starts[r]), int(ends[r])
            total += e - s
            if s - base >= 4 * h:  # a gap of several columns: one division beats many steps
                base = (s // h) * h
            while s >= base + h:
                base += h
            low = s - base
            high = e - 1 - base
            if high >= h:  # the run goes on into the next column: it holds a bottom and a top
                low = 0
                high = h - 1
            y_low = min(y_low, low)
            y_high = max(y_high, high)
        areas[i] = total
        boxes[i, 0] = x_first
        boxes[i, 1] = y_low
        boxes[i, 2] = (int(ends[stop - np.uint64(1)]) - 1) // h - x_first + 1
        boxes[i, 3] = y_high - y_low + 1


def measure(masks: Masks) -> tuple[IntArray, IntArray]:
    """Return areas and boxes in one pass, see :func:`area` and :func:`bbox`.

    Args:
        masks: n masks in any form of :func:`as_runs`.

    Returns:
        Areas, shape (n,), and boxes XYWH, shape (n, 4), in pixels; zeros for a mask without a
        pixel, as in pycocotools.

    Raises:
        ValueError: See :func:`as_runs`.

    Example:
        >>> areas, boxes = measure(np.eye(3))
        >>> areas.tolist(), boxes.tolist()
        ([3], [[0, 0, 3, 3]])
    """
    runs = as_runs(masks)
    areas = np.zeros(len(runs), np.int64)
    boxes = np.zeros((len(runs), 4), np.int64)
    _measure(runs.starts, runs.ends, runs.offsets, runs.heights, areas, boxes)
    return areas, boxes


def area(masks: Masks) -> IntArray:
    """Return each mask's area.

    Args:
        masks: n masks in any form of :func:`as_runs`.

    Returns:
        Shape (n,), int64, in pixels; 0 for a mask without a pixel.

    Raises:
        ValueError: See :func:`as_runs`.

    Example:
        >>> area({"size": [2, 3], "counts": [1, 2, 3]}).tolist()
        [2]
    """
    return measure(masks)[0]


def bbox(masks: Masks) -> IntArray:
    """Return each mask's bounding box.

    Args:
        masks: n masks in any form of :func:`as_runs`.

    Returns:
        Shape (n, 4), int64: x and y of the top left pixel, width and height, in pixels; zeros for a
        mask without a pixel, as in pycocotools.

    Raises:
        ValueError: See :func:`as_runs`.

    Example:
        >>> bbox(np.array([[0, 0, 0], [0, 1, 1]])).tolist()
        [[1, 1, 2, 1]]
    """
    return measure(masks)[1]


@dataclass(frozen=True)
class Overlaps:
    """Pairs of masks that share pixels.

    Attributes:
        first: Row of one mask, shape (m,).
        second: Row of the other, shape (m,); within one batch ``first < second``.
        intersection: Pixels they share, shape (m,), above 0.
    """

    first: IntArray
    second: IntArray
    intersection: IntArray

    def __len__(self) -> int:
        return len(self.first)


BLOCK = 32
"""Columns looked at together: enough for vector instructions, few enough to be alike."""

FEW = 16
"""Columns after which to look again, where they were not alike."""


@inner_kernel
def _shared_by_column(
    starts_a: Int32Array, ends_a: Int32Array, starts_b: Int32Array, ends_b: Int32Array, height: int
) -> int:
    """Pixels shared by two lists with one run in each of the same columns, else -1.

    Most masks have one run a column over most of their width; then run k meets run k, and the loop
    has no branch left, so that the compiler makes vector instructions of it.
    """
    total = 0
    spread = int32(0)
    tall = int32(height)
    column = int32(starts_a[0] // height * height)
    for k in range(len(starts_a)):
        a, b = int32(starts_a[k] - column), int32(starts_b[k] - column)
        end_a, end_b = int32(ends_a[k] - column), int32(ends_b[k] - column)
        # Negative if one leaves its column.
        spread |= a | b | int32(tall - end_a) | int32(tall - end_b)
        total += int(max(int32(min(end_a, end_b) - max(a, b)), int32(0)))
        column = int32(column + tall)
    return total if spread >= int32(0) else -1


@inner_kernel
def _count_shared(
    starts_a: Int32Array,
    ends_a: Int32Array,
    a: int,
    a_stop: int,
    starts_b: Int32Array,
    ends_b: Int32Array,
    b: int,
    b_stop: int,
    low: int,
    high: int,
    height: int,
) -> int:
    """Pixels that two run lists share within the positions [low, high), whole columns."""
    a = first_ending_after(ends_a, a, a_stop, low)
    b = first_ending_after(ends_b, b, b_stop, low)
    total = 0
    while low < high and a < a_stop and b < b_stop:
        upto = min(low + BLOCK * height, high)
        # One run a column in both, up to the end of the block?
        count = (upto - low) // height
        next_a, next_b = a + count, b + count
        if (
            next_a <= a_stop
            and next_b <= b_stop
            and starts_a[next_a - 1] >= upto - height
            and starts_b[next_b - 1] >= upto - height
            and (next_a == a_stop or starts_a[next_a] >= upto)
            and (next_b == b_stop or starts_b[next_b] >= upto)
        ):
            shared = _shared_by_column(
                starts_a[a:next_a], ends_a[a:next_a], starts_b[b:next_b], ends_b[b:next_b], height
            )
            if shared >= 0:
                total += shared
                a, b, low = next_a, next_b, upto
                continue
        upto = min(low + FEW * height, high)
        while a < a_stop and starts_a[a] < upto:
            start, end = max(starts_a[a], low), min(ends_a[a], upto)
            while b < b_stop and ends_b[b] <= start:
                b += 1
            reached = b
            while reached < b_stop and starts_b[reached] < end:
                total += min(end, ends_b[reached]) - max(start, starts_b[reached])
                reached += 1
            b = max(b, reached - 1)  # the last run met may go on into the next one of the other
            if ends_a[a] > upto:
                break
            a += 1
        while b < b_stop and ends_b[b] <= upto:
            b += 1
        low = upto
    return total


@kernel
def _overlaps(
    starts: Int32Array,
    ends: Int32Array,
    offsets: IntArray,
    heights: Int32Array,
    boxes: IntArray,
    order: IntArray,
    groups: IntArray,
) -> tuple[IntArray, int]:
    """Sweep over each group's boxes by their left side; ``order`` sorts by (group, left side)."""
    pairs = np.empty((4 * len(order) + 16, 3), np.int64)
    n = 0
    for k in range(len(order)):
        i = order[k]
        h = int(heights[i])
        right = boxes[i, 0] + boxes[i, 2]
        top, bottom = boxes[i, 1], boxes[i, 1] + boxes[i, 3]
        if right == boxes[i, 0]:
            continue
        for m in range(k + 1, len(order)):
            j = order[m]
            if groups[j] != groups[i] or boxes[j, 0] >= right:
                break
            if boxes[j, 1] >= bottom or boxes[j, 1] + boxes[j, 3] <= top or heights[j] != h:
                continue
            low = boxes[j, 0] * h
            high = min(right, boxes[j, 0] + boxes[j, 2]) * h
            shared = _count_shared(
                starts, ends, offsets[i], offsets[i + 1],
                starts, ends, offsets[j], offsets[j + 1], low, high, h,
            )  # fmt: skip
            if shared:
                if n == len(pairs):
                    pairs = doubled(pairs)
                pairs[n, _FIRST] = min(i, j)
                pairs[n, _SECOND] = max(i, j)
                pairs[n, _INTERSECTION] = shared
                n += 1
    return pairs, n


def overlaps(masks: Masks, groups: npt.ArrayLike, boxes: IntArray | None = None) -> Overlaps:
    """Find every pair of masks of one group (an image) that share pixels, and how many.

    Args:
        masks: n masks in any form of :func:`as_runs`.
        groups: Shape (n,), integers; only masks of an equal group and an equal height are paired.
        boxes: Their boxes as :func:`bbox` gives them, to save measuring again.

    Returns:
        The pairs, ordered by (first, second). Exact; no pixels are expanded. A mask without a pixel
        is in none.

    Raises:
        ValueError: See :func:`as_runs`.

    Example:
        >>> found = overlaps([np.array([[1, 1, 0]]), np.array([[0, 1, 1]])], groups=[7, 7])
        >>> found.first.tolist(), found.second.tolist(), found.intersection.tolist()
        ([0], [1], [1])
    """
    runs = as_runs(masks)
    boxes = bbox(runs) if boxes is None else boxes
    group_ids = np.asarray(groups, np.int64)
    order = np.lexsort((boxes[:, 0], group_ids)).astype(np.int64)
    pairs, n = _overlaps(
        runs.starts, runs.ends, runs.offsets, runs.heights, boxes, order, group_ids
    )
    pairs = pairs[:n]
    pairs = pairs[np.lexsort((pairs[:, _SECOND], pairs[:, _FIRST]))]
    return Overlaps(
        pairs[:, _FIRST].copy(), pairs[:, _SECOND].copy(), pairs[:, _INTERSECTION].copy()
    )


@kernel
def _cross(
    starts_a: Int32Array,
    ends_a: Int32Array,
    offsets_a: IntArray,
    boxes_a: IntArray,
    starts_b: Int32Array,
    ends_b: Int32Array,
    offsets_b: IntArray,
    boxes_b: IntArray,
    heights_a: Int32Array,
    heights_b: Int32Array,
    begins: IntArray,
    stops: IntArray,
    order_b: IntArray,
) -> tuple[IntArray, int]:
    """For each mask of a: the masks of b with the same group stand in order_b[begin:stop]."""
    pairs = np.empty((4 * len(begins) + 16, 3), np.int64)
    n = 0
    for i in range(len(begins)):
        h = int(heights_a[i])
        left, right = boxes_a[i, 0], boxes_a[i, 0] + boxes_a[i, 2]
        top, bottom = boxes_a[i, 1], boxes_a[i, 1] + boxes_a[i, 3]
        if right == left:
            continue
        for m in range(begins[i], stops[i]):
            j = order_b[m]
            if boxes_b[j, 0] >= right:
                break
            j_right = boxes_b[j, 0] + boxes_b[j, 2]
            if j_right <= left or boxes_b[j, 1] >= bottom or heights_b[j] != h:
                continue
            if boxes_b[j, 1] + boxes_b[j, 3] <= top:
                continue
            shared = _count_shared(
                starts_a, ends_a, offsets_a[i], offsets_a[i + 1],
                starts_b, ends_b, offsets_b[j], offsets_b[j + 1],
                max(left, boxes_b[j, 0]) * h, min(right, j_right) * h, h,
            )  # fmt: skip
            if shared:
                if n == len(pairs):
                    pairs = doubled(pairs)
                pairs[n, _FIRST] = i
                pairs[n, _SECOND] = j
                pairs[n, _INTERSECTION] = shared
                n += 1
    return pairs, n


def cross_overlaps(
    masks: Masks, groups: npt.ArrayLike, others: Masks, other_groups: npt.ArrayLike
) -> Overlaps:
    """Find every pair of a mask and another batch's mask of an equal group that share pixels.

    Args:
        masks: n masks in any form of :func:`as_runs`.
        groups: Shape (n,), integers.
        others: k masks.
        other_groups: Shape (k,), integers.

    Returns:
        Pairs ordered by (first, second); ``first`` counts in ``masks``, ``second`` in
        ``others``. Masks of unequal image height are never paired.

    Raises:
        ValueError: See :func:`as_runs`.

    Example:
        >>> found = cross_overlaps(np.ones((1, 3)), [7], [np.eye(1, 3), np.zeros((1, 3))], [7, 7])
        >>> found.first.tolist(), found.second.tolist(), found.intersection.tolist()
        ([0], [0], [1])
    """
    runs, other_runs = as_runs(masks), as_runs(others)
    mine, theirs = np.asarray(groups, np.int64), np.asarray(other_groups, np.int64)
    boxes, other_boxes = bbox(runs), bbox(other_runs)
    order = np.lexsort((other_boxes[:, 0], theirs)).astype(np.int64)
    sorted_groups = theirs[order]
    pairs, n = _cross(
        runs.starts, runs.ends, runs.offsets, boxes,
        other_runs.starts, other_runs.ends, other_runs.offsets, other_boxes,
        runs.heights, other_runs.heights,
        np.searchsorted(sorted_groups, mine, "left").astype(np.int64),
        np.searchsorted(sorted_groups, mine, "right").astype(np.int64),
        order,
    )  # fmt: skip
    pairs = pairs[:n]
    pairs = pairs[np.lexsort((pairs[:, _SECOND], pairs[:, _FIRST]))]
    return Overlaps(
        pairs[:, _FIRST].copy(), pairs[:, _SECOND].copy(), pairs[:, _INTERSECTION].copy()
    )
