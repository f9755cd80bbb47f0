"""Share of a mask's outline that lies on the outline of a mask around it, compiled."""

from __future__ import annotations

import numpy as np

from curate.common.arrays import FloatArray, Int32Array, IntArray
from curate.rle import Runs
from curate.rle.runs import first_ending_after, inner_kernel, kernel
from curate.rle.topology import column_segments, segment_capacity


@inner_kernel
def _write_padded(
    starts: Int32Array,
    ends: Int32Array,
    first: int,
    stop: int,
    height: int,
    pad: int,
    scratch: tuple[Int32Array, Int32Array, Int32Array],
    out: IntArray,
) -> int:
    """Write segments as positions in columns that ``pad`` empty rows keep apart at each end."""
    columns, lows, highs = scratch
    n = column_segments(starts, ends, first, stop, height, columns, lows, highs)
    for k in range(n):
        base = np.int64(columns[k]) * (height + 2 * pad) + pad
        out[k, 0] = base + lows[k]
        out[k, 1] = base + highs[k]
    return n


@inner_kernel
def _left_over(
    own: IntArray, n: int, own_shift: int, other: IntArray, m: int, other_shift: int
) -> tuple[int, int]:
    """Count pixels of ``own`` that are not in ``own`` moved, and of those not in ``other`` moved.

    Moved by a number of positions; all lists ascend.
    """
    edge, contact = 0, 0
    b, c = 0, 0
    for a in range(n):
        position, end = own[a, 0], own[a, 1]
        while position < end:
            while b < n and own[b, 1] + own_shift <= position:
                b += 1
            if b < n and own[b, 0] + own_shift <= position:
                position = own[b, 1] + own_shift
                continue
            upto = end if b >= n else min(end, own[b, 0] + own_shift)
            edge += upto - position
            while position < upto:
                while c < m and other[c, 1] + other_shift <= position:
                    c += 1
                if c < m and other[c, 0] + other_shift <= position:
                    position = other[c, 1] + other_shift
                    continue
                free = upto if c >= m else min(upto, other[c, 0] + other_shift)
                contact += free - position
                position = free
            position = max(position, upto)
    return edge, contact


@inner_kernel
def _ends_over(own: IntArray, n: int, other: IntArray, m: int, reach: int) -> int:
    """Count tops and bottoms of ``own`` beyond which, ``reach`` pixels on, ``other`` is not."""
    contact = 0
    up, down = 0, 0
    for a in range(n):
        above, below = own[a, 0] - reach, own[a, 1] - 1 + reach
        while up < m and other[up, 1] <= above:
            up += 1
        while down < m and other[down, 1] <= below:
            down += 1
        contact += 1 if up >= m or other[up, 0] > above else 0
        contact += 1 if down >= m or other[down, 0] > below else 0
    return contact


@kernel
def _contacts(
    starts: Int32Array,
    ends: Int32Array,
    offsets: IntArray,
    heights: Int32Array,
    inner: IntArray,
    outer: IntArray,
    reach: int,
    capacity: int,
    out: FloatArray,
) -> None:
    scratch = (
        np.empty(capacity, np.int32),
        np.empty(capacity, np.int32),
        np.empty(capacity, np.int32),
    )
    own, other = np.empty((capacity, 2), np.int64), np.empty((capacity, 2), np.int64)
    for pair in range(len(inner)):
        i, j = inner[pair], outer[pair]
        first, stop = offsets[i], offsets[i + 1]
        h = int(heights[i])
        column = h + 2 * reach
        n = _write_padded(starts, ends, first, stop, h, reach, scratch, own)
        # Of the outer mask only the columns around the inner one matter.
        low = (starts[first] // h - reach) * h
        high = ((ends[stop - 1] - 1) // h + reach + 1) * h
        from_run = first_ending_after(ends, offsets[j], offsets[j + 1], low)
        to_run = first_ending_after(ends, offsets[j], offsets[j + 1], high)
        to_run = min(to_run + 1, offsets[j + 1])
        m = _write_padded(starts, ends, from_run, to_run, h, reach, scratch, other)
        total = 2 * n
        touching = _ends_over(own, n, other, m, reach)
        for step in (-column, column):
            edge, contact = _left_over(own, n, step, other, m, step * reach)
            total += edge
            touching += contact
        out[pair] = touching / total


def outline_contact(
    runs: Runs, inner: IntArray, outer: IntArray, reach_px: int, boxes: IntArray
) -> FloatArray:
    """Return the share of inner outlines that lie on the outer masks' outlines, shape (m,).

    A pixel edge of the inner outline counts where the pixel ``reach_px`` beyond it is not in the
    outer mask.

    Args:
        runs: n masks.
        inner: Rows of m masks that are not empty.
        outer: Rows of the m masks around them, of the same images.
        reach_px: Tolerance in pixels, at least 1.
        boxes: Boxes of the n masks, shape (n, 4).
    """
    out = np.zeros(len(inner), np.float64)
    _contacts(
        runs.starts, runs.ends, runs.offsets, runs.heights, inner, outer, reach_px,
        segment_capacity(runs, boxes), out,
    )  # fmt: skip
    return out
