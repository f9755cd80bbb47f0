"""Distance of the outlines of two masks."""

from __future__ import annotations

import numpy as np

from curate.common.arrays import FloatArray, Int32Array, IntArray
from curate.rle.mask_forms import Masks, as_runs
from curate.rle.runs import first_ending_after, kernel
from curate.rle.set_operations import boundary

_FAR = 2**60


@kernel
def _rows_away(
    starts: Int32Array, ends: Int32Array, low: int, high: int, x: int, y: int, height: int
) -> int:
    """Return how many rows from (x, y) the nearest pixel of column x lies; far for none."""
    position = x * height + y
    r = first_ending_after(ends, low, high, position)
    nearest = _FAR
    if r < high and int(starts[r]) < (x + 1) * height:
        nearest = max(0, int(starts[r]) - position)
    if r > low and int(ends[r - 1]) > x * height:
        nearest = min(nearest, position - int(ends[r - 1]) + 1)
    return nearest


@kernel
def _sum_of_nearest(
    starts: Int32Array,
    ends: Int32Array,
    first: int,
    stop: int,
    other_starts: Int32Array,
    other_ends: Int32Array,
    other_first: int,
    other_stop: int,
    height: int,
) -> tuple[float, int]:
    """Add up the distance of each pixel of some runs to the nearest pixel of others."""
    total, n = 0.0, 0
    left = int(other_starts[other_first]) // height
    right = (int(other_ends[other_stop - 1]) - 1) // height
    for r in range(first, stop):
        for position in range(int(starts[r]), int(ends[r])):
            x, y = position // height, position % height
            best = _FAR
            # Columns ever farther away, until they alone are farther than what was found.
            step = max(0, left - x, x - right)
            while step * step < best and (x - step >= left or x + step <= right):
                for side in range(1 if step == 0 else 2):
                    column = x + step if side else x - step
                    if left <= column <= right:
                        rows = _rows_away(
                            other_starts, other_ends, other_first, other_stop, column, y, height
                        )
                        if rows < _FAR:
                            best = min(best, rows * rows + step * step)
                step += 1
            total += np.sqrt(float(best))
            n += 1
    return total, n


@kernel
def _outline_distances(
    starts: Int32Array,
    ends: Int32Array,
    offsets: IntArray,
    other_starts: Int32Array,
    other_ends: Int32Array,
    other_offsets: IntArray,
    heights: Int32Array,
    out: FloatArray,
) -> None:
    for i in range(len(out)):
        a, b, c, d = offsets[i], offsets[i + 1], other_offsets[i], other_offsets[i + 1]
        if a == b or c == d:
            continue
        h = int(heights[i])
        there, n = _sum_of_nearest(starts, ends, a, b, other_starts, other_ends, c, d, h)
        back, m = _sum_of_nearest(other_starts, other_ends, c, d, starts, ends, a, b, h)
        out[i] = (there + back) / (n + m)


def outline_distance(masks: Masks, others: Masks) -> FloatArray:
    """Return the mean distance of the outlines of each mask and its other.

    Each pixel of either outline (the band of one pixel that :func:`curate.rle.boundary` gives)
    counts once, with its Euclidean distance to the nearest pixel of the other outline: the
    average symmetric surface distance of the medical field.

    Args:
        masks: n masks in any form of :func:`as_runs`.
        others: n masks on images of the same sizes.

    Returns:
        Shape (n,), in pixels, 0 for equal outlines; NaN where a mask has no pixel.

    Raises:
        ValueError: There are not as many, sizes differ, or see :func:`as_runs`.

    Source: Heimann et al. 2009, IEEE TMI 28(8), "average symmetric surface distance".

    Example:
        >>> one, other = np.zeros((2, 9, 9), bool)
        >>> one[3, 2], other[3, 5] = True, True
        >>> outline_distance([one], [other]).tolist()
        [3.0]
    """
    runs, other_runs = as_runs(masks), as_runs(others)
    sizes = [(each.heights.tolist(), each.widths.tolist()) for each in (runs, other_runs)]
    if sizes[0] != sizes[1]:
        raise ValueError("masks and others must be as many, on images of the same sizes")
    mine, theirs = boundary(runs), boundary(other_runs)
    out = np.full(len(runs), np.nan)
    _outline_distances(
        mine.starts, mine.ends, mine.offsets,
        theirs.starts, theirs.ends, theirs.offsets, runs.heights, out,
    )  # fmt: skip
    return out
