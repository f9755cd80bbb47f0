"""Clean-up of masks: small holes filled, small islands removed, on run lengths."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from curate.common.arrays import BoolArray, Int32Array, IntArray
from curate.rle.mask_forms import Masks, as_runs
from curate.rle.runs import Runs, kernel
from curate.rle.topology import COLUMN, HIGH, LOW, _label, _root, column_segments, segment_capacity


@dataclass(frozen=True)
class Cleaned:
    """Outcome of cleaning ``n`` masks.

    Attributes:
        runs: The masks; empty where every island was small.
        changed: Shape (n,); whether a hole was filled or an island removed.
    """

    runs: Runs
    changed: BoolArray


def clean(masks: Masks, small: int = 100) -> Cleaned:
    """Fill holes and then remove islands of fewer than ``small`` pixels, as SAM's clean-up does.

    Holes are the 8-connected pieces of all that is not the mask, so also a pocket at the border of
    the image; islands are the 8-connected pieces of the mask with its holes filled. A mask of small
    islands alone loses them all, as in the paper (arXiv 2304.02643, appendix B); SAM's code leaves
    the largest.

    Args:
        masks: n masks in any form of :func:`as_runs`.
        small: In pixels; 0 changes nothing.

    Returns:
        The masks, and which of them are others now; a mask without a pixel stays one.

    Raises:
        ValueError: See :func:`as_runs`.

    Example:
        >>> ring = np.array([[1, 1, 1], [1, 0, 1], [1, 1, 1]])
        >>> cleaned = clean(ring, small=2)
        >>> area(cleaned.runs).tolist(), cleaned.changed.tolist()
        ([9], [True])
    """
    runs = as_runs(masks)
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
            starts, ends, offsets[i], offsets[i + 1], height, mask[COLUMN], mask[LOW], mask[HIGH]
        )
        m = _complement(mask, n, height, width, rest)
        _label(rest[COLUMN], rest[LOW], rest[HIGH], m, 1, labels, parent, sizes)
        holes = _keep(rest, m, labels, parent, sizes, 0, small)
        if holes > 0:
            n = _join_columns(mask, n, rest, holes)
        _label(mask[COLUMN], mask[LOW], mask[HIGH], n, 1, labels, parent, sizes)
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
            inside = k < n and mask[COLUMN, k] == x
            high = mask[LOW, k] if inside else height
            if high > low:
                rest[COLUMN, m], rest[LOW, m], rest[HIGH, m] = x, low, high
                m += 1
            if not inside:
                break
            low = mask[HIGH, k]
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
                mask[COLUMN, a] < holes[COLUMN, b]
                or (mask[COLUMN, a] == holes[COLUMN, b] and mask[LOW, a] < holes[LOW, b])
            )
        )
        x, low, high = (mask[COLUMN, a], mask[LOW, a], mask[HIGH, a]) if first else (
            holes[COLUMN, b], holes[LOW, b], holes[HIGH, b]
        )  # fmt: skip
        if first:
            a += 1
        else:
            b += 1
        if k >= 0 and merged[COLUMN, k] == x and merged[HIGH, k] == low:
            merged[HIGH, k] = high
        else:
            k += 1
            merged[COLUMN, k], merged[LOW, k], merged[HIGH, k] = x, low, high
    mask[:, : k + 1] = merged[:, : k + 1]
    return k + 1


@kernel
def _write(
    mask: Int32Array, n: int, height: int, used: int, starts: Int32Array, ends: Int32Array
) -> int:
    """Turn column segments into runs, which go on from the foot of a column to the next top."""
    begin = used
    for k in range(n):
        start = mask[COLUMN, k] * height + mask[LOW, k]
        if used > begin and ends[used - 1] == start:
            used -= 1
        else:
            starts[used] = start
        ends[used] = mask[COLUMN, k] * height + mask[HIGH, k]
        used += 1
    return used
