"""Connected components of run-length masks: fragments, holes, outline length, distances to points.

Two-pass connected-component labelling over column segments instead of pixels (run-based labelling:
Rosenfeld and Pfaltz 1966; He, Chao and Suzuki 2008):

1. Runs are cut at column borders into *segments*, sorted by column and row.
2. A merge of each column's segments with those of the column before finds all that touch; the
   labels of components that meet are joined by union-find, and sizes are summed up. Fragments are
   8-connected: rows may touch at a corner. Overlaps side by side give the outline's length too.
3. Holes are the same thing for the *gaps* between segments of one column, 4-connected. A gap that
   reaches beyond the segments of a neighbouring column is open to the outside, and opens all that
   it is connected with; what is left is enclosed.

Most masks are one piece with a segment a column; one loop finds these, without any labels.

Invariants: segments are sorted by (column, top), do not overlap and do not touch within a column;
in ``parent`` a root is the smallest label of its component. Both connectivities are dual to each
other, so that no fragment and no hole ever cross.

Time is linear in the segments (with the inverse Ackermann factor of union-find), whatever the
pixels; memory is about 40 bytes a segment of the largest mask, allocated once a batch.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from curate.common.arrays import BoolArray, FloatArray, Int32Array, IntArray
from curate.rle.mask_forms import Masks, as_runs
from curate.rle.overlap import measure
from curate.rle.runs import Runs, kernel


@dataclass(frozen=True)
class Components:
    """Components of a batch of masks; every array has shape (n,), every area is in pixels.

    Fragments are 8-connected pieces of foreground. Holes are 4-connected pieces of background that
    neither reach the image border nor the outside of the mask (as in SAM's own clean-up).

    Attributes:
        count: Number of fragments; 0 for an empty mask.
        largest_px: Area of the largest fragment.
        hole_count: Number of holes.
        hole_px: Area of all holes.
        largest_hole_px: Area of the largest hole.
        small_island_px: Area of all fragments under the limit, the largest fragment left out.
        small_hole_px: Area of all holes under the limit.
        perimeter_px: Pixel edges between the mask and what is not the mask, holes included.
    """

    count: IntArray
    largest_px: IntArray
    hole_count: IntArray
    hole_px: IntArray
    largest_hole_px: IntArray
    small_island_px: IntArray
    small_hole_px: IntArray
    perimeter_px: IntArray


COLUMN, LOW, HIGH = range(3)
"""Rows of arrays of column segments: column, top row, row past the bottom."""

# Columns of what the kernel fills, in the order of the fields of Components.
_COUNT, _LARGEST, _HOLES, _HOLE_PX, _LARGEST_HOLE = range(5)
_SMALL_ISLANDS, _SMALL_HOLES, _PERIMETER = range(5, 8)
_COLUMNS = 8


def segment_capacity(runs: Runs, boxes: IntArray | None = None) -> int:
    """Return how many column segments the largest mask of a batch can have."""
    if not len(runs):
        return 0
    boxes = measure(runs)[1] if boxes is None else boxes
    return int((np.diff(runs.offsets) + boxes[:, 2]).max()) + 1


@kernel
def column_segments(
    starts: Int32Array,
    ends: Int32Array,
    first: int,
    stop: int,
    height: int,
    columns: Int32Array,
    lows: Int32Array,
    highs: Int32Array,
) -> int:
    """Cut runs ``first:stop`` at column borders: column, top row, row past the bottom.

    For use inside kernels; the three last arrays are filled (see :func:`segment_capacity`) and the
    number of segments is returned. Segments come sorted by column, then row.
    """
    n = 0
    x = -1
    base = 0
    for r in range(first, stop):
        s, e = int(starts[r]), int(ends[r])
        if x < 0 or s - base >= 4 * height:  # far ahead one division is faster than many steps
            x = s // height
            base = x * height
        while s >= base + height:
            base += height
            x += 1
        while e > base + height:
            columns[n] = x
            lows[n] = s - base
            highs[n] = height
            n += 1
            base += height
            x += 1
            s = base
        columns[n] = x
        lows[n] = s - base
        highs[n] = e - base
        n += 1
    return n


@kernel
def _root(parent: Int32Array, node: int) -> int:
    while parent[node] != node:
        parent[node] = parent[parent[node]]
        node = parent[node]
    return node


@kernel
def _join(parent: Int32Array, a: int, b: int) -> None:
    a, b = _root(parent, a), _root(parent, b)
    if a != b:  # the smaller label is the root: sums can then go from the last label to the first
        parent[max(a, b)] = min(a, b)


@kernel
def _label(
    columns: Int32Array,
    lows: Int32Array,
    highs: Int32Array,
    n: int,
    reach: int,
    labels: Int32Array,
    parent: Int32Array,
    sizes: IntArray,
) -> tuple[int, int]:
    """Label segments that touch across neighbouring columns, and sum each label's pixels.

    ``reach`` 1 joins diagonal neighbours too (8-connected), 0 only side by side (4-connected).
    A segment takes the label of the first neighbour it touches, so that the union-find only ever
    works on the few labels that turn out to be one. Returns the number of labels (``sizes`` is 0
    where a label was merged into another) and the rows shared side by side.
    """
    count, shared = 0, 0
    previous, current = 0, 0
    while current < n:
        x = columns[current]
        stop = current + 1
        while stop < n and columns[stop] == x:
            stop += 1
        if columns[previous] != x - 1:
            previous = current
        p = previous
        for c in range(current, stop):
            low, high = lows[c], highs[c]
            label = -1
            while p < current and highs[p] + reach <= low:  # cannot touch this one or any below it
                p += 1
            q = p
            while q < current and lows[q] < high + reach:
                shared += max(min(highs[q], high) - max(lows[q], low), 0)
                if label < 0:
                    label = labels[q]
                elif labels[q] != label:
                    _join(parent, labels[q], label)
                q += 1
            if label < 0:
                label = count
                parent[count] = count
                sizes[count] = 0
                count += 1
            labels[c] = label
            sizes[label] += high - low
        previous = current
        current = stop
    for label in range(count - 1, -1, -1):
        root = _root(parent, label)
        if root != label:
            sizes[root] += sizes[label]
            sizes[label] = 0
    return count, shared


@kernel
def _gaps(
    columns: Int32Array,
    lows: Int32Array,
    highs: Int32Array,
    n: int,
    gap_columns: Int32Array,
    gap_lows: Int32Array,
    gap_highs: Int32Array,
) -> int:
    """Background between two segments of one column: all that a hole can be made of."""
    m = 0
    for k in range(1, n):
        if columns[k] == columns[k - 1]:
            gap_columns[m] = columns[k]
            gap_lows[m] = highs[k - 1]
            gap_highs[m] = lows[k]
            m += 1
    return m


@kernel
def _open_gaps(
    columns: Int32Array,
    lows: Int32Array,
    highs: Int32Array,
    n: int,
    gap_columns: Int32Array,
    gap_lows: Int32Array,
    gap_highs: Int32Array,
    m: int,
    is_open: BoolArray,
) -> None:
    """Mark gaps that touch the outside of a neighbouring column: above, below, or an empty one."""
    is_open[:m] = False
    # A gap that reaches beyond the first top or the last bottom of a neighbouring column touches
    # the outside. Any other lies between segments there too: it is open only through an open gap.
    for side in (-1, 1):
        k, last, at = 0, 0, -2
        for g in range(m):
            wanted = gap_columns[g] + side
            if wanted != at:
                at = wanted
                k = last
                while k < n and columns[k] < wanted:
                    k += 1
                last = k
                while last + 1 < n and columns[last + 1] == wanted:
                    last += 1
            no_neighbour = k >= n or columns[k] != wanted
            if no_neighbour or gap_lows[g] < lows[k] or gap_highs[g] > highs[last]:
                is_open[g] = True


@kernel
def _column_by_column(columns: Int32Array, lows: Int32Array, highs: Int32Array) -> int:
    """Rows shared side by side by a mask with one touching segment in each column, else -1.

    Most masks are one piece without a hole; this finds so much without labelling anything.
    """
    shared, broken = 0, 0
    for k in range(1, len(columns)):
        # No way out of the loop, so that it compiles to vector instructions.
        common = min(highs[k], highs[k - 1]) - max(lows[k], lows[k - 1])
        broken |= (columns[k] - columns[k - 1] - 1) | (1 if common < 0 else 0)
        shared += max(common, 0)
    return -1 if broken else shared


@kernel
def _components(
    starts: Int32Array,
    ends: Int32Array,
    offsets: IntArray,
    heights: Int32Array,
    capacity: int,
    small: int,
    out: IntArray,
) -> None:
    segments = np.empty((3, capacity), np.int32)
    gaps = np.empty((3, capacity), np.int32)
    labels = np.empty(capacity, np.int32)
    parent = np.empty(capacity, np.int32)
    sizes = np.empty(capacity, np.int64)
    is_open = np.empty(capacity, np.bool_)
    columns, lows, highs = segments[COLUMN], segments[LOW], segments[HIGH]
    for i in range(len(heights)):
        if offsets[i] == offsets[i + 1]:
            continue
        n = column_segments(
            starts, ends, offsets[i], offsets[i + 1], heights[i], columns, lows, highs
        )
        shared = _column_by_column(columns[:n], lows[:n], highs[:n])
        if shared >= 0:
            area = 0
            for k in range(n):
                area += highs[k] - lows[k]
            out[i, _COUNT], out[i, _LARGEST] = 1, area
            out[i, _PERIMETER] = 2 * n + 2 * (area - shared)
            continue
        count, shared = _label(columns, lows, highs, n, 1, labels, parent, sizes)
        total, islands = 0, 0
        for k in range(count):
            size = sizes[k]
            if size:
                total += size
                out[i, _COUNT] += 1
                out[i, _LARGEST] = max(out[i, _LARGEST], size)
                if size < small:
                    islands += size
        # The largest fragment is no island, however small it is.
        out[i, _SMALL_ISLANDS] = islands - out[i, _LARGEST] if out[i, _LARGEST] < small else islands
        # Above and below each segment; then all vertical edges but those that two pixels share.
        out[i, _PERIMETER] = 2 * n + 2 * (total - shared)
        m = _gaps(columns, lows, highs, n, gaps[0], gaps[1], gaps[2])
        if m == 0:
            continue
        _open_gaps(columns, lows, highs, n, gaps[0], gaps[1], gaps[2], m, is_open)
        count, shared = _label(gaps[0], gaps[1], gaps[2], m, 0, labels, parent, sizes)
        for g in range(m):
            if is_open[g]:
                sizes[_root(parent, labels[g])] = 0
        for k in range(count):
            if sizes[k]:
                out[i, _HOLES] += 1
                out[i, _HOLE_PX] += sizes[k]
                out[i, _LARGEST_HOLE] = max(out[i, _LARGEST_HOLE], sizes[k])
                if sizes[k] < small:
                    out[i, _SMALL_HOLES] += sizes[k]


def components(masks: Masks, small: int = 100, boxes: IntArray | None = None) -> Components:
    """Count and measure the fragments and holes of every mask.

    Args:
        masks: n masks in any form of :func:`as_runs`.
        small: Islands and holes strictly under this area in pixels are summed as small (SAM: 100).
        boxes: Their boxes as :func:`bbox` gives them, to save measuring again.

    Returns:
        Counts and areas; all 0 for a mask without a pixel.

    Raises:
        ValueError: See :func:`as_runs`.

    Example:
        >>> ring = np.array([[1, 1, 1, 0, 1], [1, 0, 1, 0, 0], [1, 1, 1, 0, 0]])
        >>> found = components(ring)
        >>> found.count.tolist(), found.largest_px.tolist(), found.hole_px.tolist()
        ([2], [8], [1])
    """
    runs = as_runs(masks)
    out = np.zeros((len(runs), _COLUMNS), np.int64)
    _components(
        runs.starts,
        runs.ends,
        runs.offsets,
        runs.heights,
        segment_capacity(runs, boxes),
        small,
        out,
    )
    return Components(*(np.ascontiguousarray(out[:, k]) for k in range(_COLUMNS)))


def perimeter(masks: Masks) -> IntArray:
    """Return the length of each mask's outline and holes, as the number of its pixels' edges.

    Args:
        masks: n masks in any form of :func:`as_runs`.

    Returns:
        Shape (n,), in pixels, the border of the image included; 0 for a mask without a pixel.

    Raises:
        ValueError: See :func:`as_runs`.

    Example:
        >>> perimeter(np.ones((2, 3))).tolist()
        [10]
    """
    return components(masks).perimeter_px


@kernel
def _distances(
    starts: Int32Array,
    ends: Int32Array,
    offsets: IntArray,
    heights: Int32Array,
    capacity: int,
    points: FloatArray,
    out: FloatArray,
) -> None:
    columns = np.empty(capacity, np.int32)
    lows = np.empty(capacity, np.int32)
    highs = np.empty(capacity, np.int32)
    for i in range(len(heights)):
        px, py = points[i, 0], points[i, 1]
        if offsets[i] == offsets[i + 1] or not (np.isfinite(px) and np.isfinite(py)):
            out[i] = np.nan
            continue
        n = column_segments(
            starts, ends, offsets[i], offsets[i + 1], heights[i], columns, lows, highs
        )
        best = np.inf
        for k in range(n):
            dx = max(columns[k] - px, px - (columns[k] + 1), 0.0)
            dy = max(lows[k] - py, py - highs[k], 0.0)
            best = min(best, dx * dx + dy * dy)
        out[i] = np.sqrt(best)


def distance(masks: Masks, x: npt.ArrayLike, y: npt.ArrayLike) -> FloatArray:
    """Return the distance from one point a mask to the mask's nearest pixel, shape (n,).

    Args:
        masks: n masks in any form of :func:`as_runs`.
        x: Shape (n,), pixels from the left; pixel column c covers [c, c + 1].
        y: Shape (n,), pixels from the top.

    Returns:
        Pixels, 0 inside; NaN for an empty mask or a point that is not finite.

    Raises:
        ValueError: See :func:`as_runs`.

    Example:
        >>> distance(np.ones((2, 2)), [5.0], [1.0]).tolist()
        [3.0]
    """
    runs = as_runs(masks)
    points = np.column_stack([np.asarray(x, np.float64), np.asarray(y, np.float64)])
    out = np.empty(len(runs), np.float64)
    _distances(
        runs.starts, runs.ends, runs.offsets, runs.heights, segment_capacity(runs), points, out
    )
    return out


def contains(masks: Masks, x: npt.ArrayLike, y: npt.ArrayLike) -> BoolArray:
    """Return whether each mask covers the pixel that its point lies in, shape (n,).

    Args:
        masks: n masks in any form of :func:`as_runs`.
        x: Shape (n,), pixels from the left, floored to a pixel column.
        y: Shape (n,), pixels from the top, floored to a pixel row.

    Returns:
        False outside of the image, and where a coordinate is not finite.

    Raises:
        ValueError: See :func:`as_runs`.

    Example:
        >>> square = np.ones((2, 2))
        >>> contains([square, square], x=[0.5, 2.0], y=[1.9, 0.0]).tolist()
        [True, False]
    """
    runs = as_runs(masks)
    column, row = np.floor(np.asarray(x, np.float64)), np.floor(np.asarray(y, np.float64))
    inside = (column >= 0) & (row >= 0) & (column < runs.widths) & (row < runs.heights)
    column, row = np.where(inside, column, 0), np.where(inside, row, 0)
    position = np.where(inside, column * runs.heights + row, -1).astype(np.int64)
    out = np.zeros(len(runs), np.bool_)
    _contains(runs.starts, runs.ends, runs.offsets, position, out)
    return out


@kernel
def _contains(
    starts: Int32Array, ends: Int32Array, offsets: IntArray, position: IntArray, out: BoolArray
) -> None:
    for i in range(len(position)):
        low, high = offsets[i], offsets[i + 1]
        while low < high:
            middle = (low + high) >> 1
            if ends[middle] > position[i]:
                high = middle
            else:
                low = middle + 1
        out[i] = low < offsets[i + 1] and starts[low] <= position[i]
