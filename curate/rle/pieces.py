"""Connected parts and holes of masks, as masks of their own."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from curate.common.arrays import Int32Array, IntArray
from curate.rle.mask_forms import Masks, as_runs
from curate.rle.overlap import measure
from curate.rle.runs import Runs, kernel
from curate.rle.topology import (
    COLUMN,
    HIGH,
    LOW,
    _gaps,
    _label,
    _open_gaps,
    _root,
    column_segments,
    segment_capacity,
)


@dataclass(frozen=True)
class Parts:
    """Connected parts of masks.

    Attributes:
        masks: m masks, one a part, on images of the same sizes.
        rows: Shape (m,): the mask that each is a part of.
    """

    masks: Runs
    rows: IntArray

    def __len__(self) -> int:
        return len(self.rows)


def parts(masks: Masks, connectivity: Literal[4, 8] = 8) -> Parts:
    """Return the connected parts of each mask.

    Args:
        masks: n masks in any form of :func:`as_runs`.
        connectivity: 8 where pixels that touch at a corner are connected, 4 where only those are
            that share an edge.

    Returns:
        The parts of the first mask, then those of the second, and so on, each mask's in the order
        of their first pixels, column by column. None for a mask without a pixel.

    Raises:
        ValueError: The connectivity is neither, or see :func:`as_runs`.

    Source: labels of runs, see :mod:`curate.rle.topology`.

    Example:
        >>> found = parts(np.array([[1, 0, 1], [0, 1, 0]]), connectivity=4)
        >>> len(found), found.rows.tolist()
        (3, [0, 0, 0])
        >>> len(parts(np.array([[1, 0, 1], [0, 1, 0]])))
        1
    """
    if connectivity not in (4, 8):
        raise ValueError(f"connectivity is 4 or 8, not {connectivity}")
    runs = as_runs(masks)
    boxes = measure(runs)[1]
    capacity = segment_capacity(runs, boxes)
    total = len(runs.starts) + int(boxes[:, 2].sum())  # a run is cut at each border of a column
    starts, ends = np.empty(total, np.int32), np.empty(total, np.int32)
    offsets, rows = np.zeros(total + 1, np.int64), np.empty(total, np.int64)
    reach = 1 if connectivity == 8 else 0
    used, count = _parts(
        runs.starts, runs.ends, runs.offsets, runs.heights, capacity, reach,
        starts, ends, offsets, rows,
    )  # fmt: skip
    rows = rows[:count].copy()
    made = Runs(
        offsets[: count + 1].copy(),
        starts[:used].copy(),
        ends[:used].copy(),
        runs.heights[rows],
        runs.widths[rows],
    )
    return Parts(made, rows)


@kernel
def _parts(
    starts: Int32Array,
    ends: Int32Array,
    offsets: IntArray,
    heights: Int32Array,
    capacity: int,
    reach: int,
    out_starts: Int32Array,
    out_ends: Int32Array,
    out_offsets: IntArray,
    rows: IntArray,
) -> tuple[int, int]:
    """Write the runs of all parts; return how many runs and how many parts there are."""
    segments = np.empty((3, capacity), np.int32)
    labels = np.empty(capacity, np.int32)
    parent = np.empty(capacity, np.int32)
    sizes = np.empty(capacity, np.int64)
    last = np.empty(capacity, np.int64)
    used, count = 0, 0
    for i in range(len(heights)):
        n = column_segments(
            starts, ends, offsets[i], offsets[i + 1], heights[i],
            segments[COLUMN], segments[LOW], segments[HIGH],
        )  # fmt: skip
        found, _ = _label(
            segments[COLUMN], segments[LOW], segments[HIGH], n, reach, labels, parent, sizes
        )
        # Roots are the smallest labels, and labels ascend with the segments: so do the parts.
        for label in range(found):
            last[label] = 0
        for k in range(n):
            labels[k] = _root(parent, labels[k])
            last[labels[k]] += 1
        for label in range(found):  # from how many segments to where the next one goes
            if last[label]:
                room, last[label] = last[label], used
                rows[count] = i
                out_offsets[count + 1] = used + room
                used += room
                count += 1
        for k in range(n):
            base = segments[COLUMN, k] * heights[i]
            at = last[labels[k]]
            out_starts[at], out_ends[at] = base + segments[LOW, k], base + segments[HIGH, k]
            last[labels[k]] += 1
    return _join_touching(out_starts, out_ends, out_offsets, count), count


@kernel
def _join_touching(starts: Int32Array, ends: Int32Array, offsets: IntArray, count: int) -> int:
    """Join, in place, runs that go on from the foot of a column to the next top."""
    used, first = 0, 0
    for part in range(count):
        stop, begin = offsets[part + 1], used
        for k in range(first, stop):
            if used > begin and ends[used - 1] == starts[k]:
                ends[used - 1] = ends[k]
            else:
                starts[used], ends[used] = starts[k], ends[k]
                used += 1
        first = stop
        offsets[part + 1] = used
    return used


def holes(masks: Masks) -> Runs:
    """Return the holes of each mask: what it encloses and does not cover.

    A hole is a 4-connected piece of background that reaches neither the border of the image nor the
    outside of the mask. :func:`merge` of a mask and its holes is the mask filled, :func:`parts` of
    them are the single holes.

    Args:
        masks: n masks in any form of :func:`as_runs`.

    Returns:
        n masks of the same image sizes: all holes of each. Without a pixel where there is none.

    Raises:
        ValueError: See :func:`as_runs`.

    Source: gaps of columns, see :mod:`curate.rle.topology`; equal to
    ``scipy.ndimage.binary_fill_holes`` less the mask.

    Example:
        >>> from curate.rle import area, parts
        >>> ring = np.array([[1, 1, 1], [1, 0, 1], [1, 1, 1]])
        >>> area(holes(ring)).tolist(), len(parts(holes(ring), connectivity=4))
        ([1], 1)
    """
    runs = as_runs(masks)
    most = len(runs.starts)  # a gap lies between two runs
    starts, ends = np.empty(most, np.int32), np.empty(most, np.int32)
    offsets = np.zeros(len(runs) + 1, np.int64)
    used = _holes(
        runs.starts, runs.ends, runs.offsets, runs.heights, segment_capacity(runs),
        starts, ends, offsets,
    )  # fmt: skip
    return Runs(offsets, starts[:used].copy(), ends[:used].copy(), runs.heights, runs.widths)


@kernel
def _holes(
    starts: Int32Array,
    ends: Int32Array,
    offsets: IntArray,
    heights: Int32Array,
    capacity: int,
    out_starts: Int32Array,
    out_ends: Int32Array,
    out_offsets: IntArray,
) -> int:
    segments = np.empty((3, capacity), np.int32)
    gaps = np.empty((3, capacity), np.int32)
    columns, lows, highs = segments[COLUMN], segments[LOW], segments[HIGH]
    gap_columns, gap_lows, gap_highs = gaps[COLUMN], gaps[LOW], gaps[HIGH]
    labels = np.empty(capacity, np.int32)
    parent = np.empty(capacity, np.int32)
    sizes = np.empty(capacity, np.int64)
    is_open = np.empty(capacity, np.bool_)
    used = 0
    for i in range(len(heights)):
        n = column_segments(
            starts, ends, offsets[i], offsets[i + 1], heights[i], columns, lows, highs
        )
        m = _gaps(columns, lows, highs, n, gap_columns, gap_lows, gap_highs)
        if m:
            _open_gaps(columns, lows, highs, n, gap_columns, gap_lows, gap_highs, m, is_open)
            _label(gap_columns, gap_lows, gap_highs, m, 0, labels, parent, sizes)
            for g in range(m):
                if is_open[g]:
                    sizes[_root(parent, labels[g])] = 0
            for g in range(m):
                if sizes[_root(parent, labels[g])]:
                    base = gap_columns[g] * heights[i]
                    out_starts[used] = base + gap_lows[g]
                    out_ends[used] = base + gap_highs[g]
                    used += 1
        out_offsets[i + 1] = used
    return used
