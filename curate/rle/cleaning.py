"""Clean-up of masks: small holes filled, small islands removed, on run lengths."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from curate.common.arrays import BoolArray, Int32Array, IntArray
from curate.rle.runs import Runs, kernel
from curate.rle.topology import _label, _root, column_segments, segment_capacity


@dataclass(frozen=True)
class Cleaned:
    """Outcome of cleaning ``n`` masks.

    Attributes:
        runs: The masks; empty where every island was small.
        changed: Shape (n,); whether a hole was filled or an island removed.
    """

    runs: Runs
    changed: BoolArray


def clean(runs: Runs, small: int) -> Cleaned:
    """Fill holes and then remove islands of fewer than ``small`` pixels, as SAM's clean-up does.

    Holes are the 8-connected pieces of all that is not the mask, so also a pocket at the border of
    the image; islands are the 8-connected pieces of the mask with its holes filled. A mask of small
    islands alone loses them all, as in the paper (arXiv 2304.02643, appendix B); SAM's code leaves
    the largest.

    Args:
        runs: n masks.
        small: In pixels; 0 changes nothing.
    """
    runs_room = int(np.diff(runs.offsets).sum()) + int(runs.widths.sum(dtype=np.int64))
    starts, ends = np.empty(runs_room, np.int32), np.empty(runs_room, np.int32)
    offsets = np.zeros(len(runs) + 1, np.int64)
    changed = np.zeros(len(runs), np.bool_)
    # What is not the mask has at most one segment more a column than the mask.
    widest = int(runs.widths.max()) if len(runs) else 0
    capacity = segment_capacity(runs) + 2 * widest + 1
    used = _clean(
        runs.starts,
        runs.ends,
        runs.offsets,
        runs.heights,
        runs.widths,
        small,
        capacity,
        starts,
        ends,
        offsets,
        changed,
    )
    return Cleaned(
        Runs(offsets, starts[:used].copy(), ends[:used].copy(), runs.heights, runs.widths), changed
    )


_COLUMN, _LOW, _HIGH = range(3)
"""Rows of arrays of column segments: column, top row, row past the bottom."""


@kernel
def _clean(
    starts: Int32Array,
    ends: Int32Array,
    offsets: IntArray,
    heights: Int32Array,
    widths: Int32Array,
    small: int,
    capacity: int,
    out_starts: Int32Array,
    out_ends: Int32Array,
    out_offsets: IntArray,
    changed: BoolArray,
) -> int:
    mask = np.empty((3, capacity), np.int32)
    rest = np.empty((3, capacity), np.int32)
    labels = np.empty(capacity, np.int32)
    parent = np.empty(capacity, np.int32)
    sizes = np.empty(capacity, np.int64)
    used = 0
    for i in range(len(heights)):
        height, width = int(heights[i]), int(widths[i])
        n = column_segments(
            starts, ends, offsets[i], offsets[i + 1], height, mask[_COLUMN], mask[_LOW], mask[_HIGH]
        )
        m = _complement(mask, n, height, width, rest)
        _label(rest[_COLUMN], rest[_LOW], rest[_HIGH], m, 1, labels, parent, sizes)
        holes = _keep(rest, m, labels, parent, sizes, 0, small)
        if holes > 0:
            n = _join_columns(mask, n, rest, holes)
        _label(mask[_COLUMN], mask[_LOW], mask[_HIGH], n, 1, labels, parent, sizes)
        left = _keep(mask, n, labels, parent, sizes, small, capacity * height)
        changed[i] = holes > 0 or left < n
        used = _write(mask, left, height, used, out_starts, out_ends)
        out_offsets[i + 1] = used
    return used


@kernel
def _complement(mask: Int32Array, n: int, height: int, width: int, rest: Int32Array) -> int:
    """Write the column segments of all that is not the mask."""
    m, k = 0, 0
    for x in range(width):
        low = 0
        while k <= n:
            inside = k < n and mask[_COLUMN, k] == x
            high = mask[_LOW, k] if inside else height
            if high > low:
                rest[_COLUMN, m], rest[_LOW, m], rest[_HIGH, m] = x, low, high
                m += 1
            if not inside:
                break
            low = mask[_HIGH, k]
            k += 1
    return m


@kernel
def _keep(
    segments: Int32Array,
    n: int,
    labels: Int32Array,
    parent: Int32Array,
    sizes: IntArray,
    low: int,
    high: int,
) -> int:
    """Keep the segments of pieces of ``low`` to under ``high`` pixels, in order."""
    kept = 0
    for k in range(n):
        size = sizes[_root(parent, labels[k])]
        if low <= size < high:
            segments[:, kept] = segments[:, k]
            kept += 1
    return kept


@kernel
def _join_columns(mask: Int32Array, n: int, holes: Int32Array, m: int) -> int:
    """Put holes into a mask, in place: they fit its gaps, so each joins a neighbour or is alone."""
    merged = np.empty((3, n + m), np.int32)
    a, b, k = 0, 0, -1
    while a < n or b < m:
        first = b >= m or (
            a < n
            and (
                mask[_COLUMN, a] < holes[_COLUMN, b]
                or (mask[_COLUMN, a] == holes[_COLUMN, b] and mask[_LOW, a] < holes[_LOW, b])
            )
        )
        x, low, high = (mask[_COLUMN, a], mask[_LOW, a], mask[_HIGH, a]) if first else (
            holes[_COLUMN, b], holes[_LOW, b], holes[_HIGH, b]
        )  # fmt: skip
        if first:
            a += 1
        else:
            b += 1
        if k >= 0 and merged[_COLUMN, k] == x and merged[_HIGH, k] == low:
            merged[_HIGH, k] = high
        else:
            k += 1
            merged[_COLUMN, k], merged[_LOW, k], merged[_HIGH, k] = x, low, high
    mask[:, : k + 1] = merged[:, : k + 1]
    return k + 1


@kernel
def _write(
    mask: Int32Array, n: int, height: int, used: int, starts: Int32Array, ends: Int32Array
) -> int:
    """Turn column segments into runs, which go on from the foot of a column to the next top."""
    begin = used
    for k in range(n):
        start = mask[_COLUMN, k] * height + mask[_LOW, k]
        if used > begin and ends[used - 1] == start:
            used -= 1
        else:
            starts[used] = start
        ends[used] = mask[_COLUMN, k] * height + mask[_HIGH, k]
        used += 1
    return used
