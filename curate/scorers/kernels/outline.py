"""Contour tracing on run lengths, second half: lengths, areas and shapes of linked outlines.

The edges of :mod:`curate.scorers.kernels.bars` are walked once, cycle by cycle, in ascending order
of their first edge. On the way:

- **area**: the sum of a cycle's rows, bottoms less tops (Green's theorem on a grid); a hole takes
  its area from the fragment around it, and an island takes its area from the hole.
- **length**: a unit for each column of an edge, and the vertical steps between columns and edges.
- **raggedness**: an outline falls into *stretches* that never turn back along an axis. Two turns
  that bend into the mask one after the other make a dent; its depth is the shorter stretch's size.
  Twice the depth of each shallow dent is what the outline would lose if the dents were filled.
- **straight part**: the longest level stretch of rows, or vertical step, off the image border.

Invariants: an edge belongs to one cycle, and a fragment's cycle is found before those of its holes
(its first edge lies further left, or above), so that ``rings`` of what lies around is there when it
is asked for. Every walk starts at the topmost edge of its first column, where a new stretch along x
begins. All sums are whole numbers.

Time is linear in the columns of edges; blocks of 32 without a turn, as most are, are passed over
with vector instructions. Memory is the caller's.
"""

from __future__ import annotations

from numpy import int32

from curate.common.arrays import FloatArray, Int32Array, IntArray
from curate.rle.runs import inner_kernel, kernel
from curate.scorers.kernels import (
    BORDER_PX,
    CUT_PX,
    FRAGMENT_COUNT,
    HOLE_COUNT,
    HOLE_PX,
    LARGEST_HOLE_PX,
    LARGEST_PX,
    OUTLINE_PX,
    PERIMETER_PX,
    RAGGED_PX,
    SMALL_HOLE_PX,
    SMALL_ISLAND_PX,
    STRAIGHT_PX,
)
from curate.scorers.kernels.bars import BEGIN, LEFT, STOP

SMALL_PX = 100
"""Islands and holes strictly under this area are small (SAM's clean-up)."""

CROP_TOLERANCE_PX = 1
"""How far from a crop border an outline still counts as lying on it."""

SIZE_X, INWARD_X, SIZE_Y, INWARD_Y = range(4)
"""Rows of ``stretches``: sizes and directions of turns of the stretches of one outline."""

RING_PX, IN_FRAGMENT, IN_HOLE = range(3)
"""Columns of ``rings``, a row an outline: pixels (of a fragment without its holes, of a hole
without its islands), the fragment a hole is in (itself for a fragment), and the hole a fragment is
in (-1 for none; itself for a hole)."""

HEIGHT, WIDTH = range(2)
"""Cells of an image's ``size``."""

CROP_LEFT, CROP_TOP, CROP_RIGHT, CROP_BOTTOM = range(4)
"""Cells of a ``crop``."""

BLOCK = 32
"""Columns looked at together: enough for vector instructions, few enough to be alike."""


@inner_kernel
def _walk_hole(
    spans: Int32Array, following: Int32Array, start: int, cycle: int, cycles: Int32Array
) -> tuple[int, int]:
    """Walk the outline of a hole; return the area it encloses and its length.

    A longer bar fills its columns alone, so that no hole ever has an edge of one.
    """
    area, length = 0, 0
    node = start
    while True:
        cycles[node] = cycle
        y = spans[node, LEFT]
        area += -y if node & 1 else y
        node = following[node]
        length += 1 + abs(spans[node, LEFT] - y)
        if node == start:
            return area, length


@inner_kernel
def _level(rows: Int32Array, height: int, level: int, longest: int) -> tuple[int, int]:
    """Follow the level stretches of one edge, ``level`` long at its start; on the border none is.

    Returns:
        How long the stretch is that the edge ends with, and the longest so far.
    """
    count, k = len(rows), 1
    while k < count and rows[k] == rows[0]:
        k += 1
    level = 0 if rows[0] == 0 or rows[0] == height else level + k
    longest = max(longest, level)
    if k == count:
        return level, longest
    last, back = rows[count - 1], count - 1
    while rows[back - 1] == last:
        back -= 1
    level = 0 if last == 0 or last == height else count - back
    longest = max(longest, level)
    # Between them only what is longer than the longest matters: such a one from k on would still
    # go on at k + longest, and from there it is followed backwards; most places are never read.
    while k + longest < back:
        ahead = k + longest
        y = rows[ahead]
        begin = ahead
        while begin > k and rows[begin - 1] == y:
            begin -= 1
        if begin > k:
            k = begin
            continue
        while rows[ahead] == y:  # ends before the last stretch, which has another row
            ahead += 1
        if y != 0 and y != height:
            longest = ahead - k
        k = ahead
    return level, longest


@inner_kernel
def _steps(rows: Int32Array) -> tuple[int, int]:
    """Return the largest step down and up from one row to the next, 0 where there is none."""
    most, least = int32(0), int32(0)
    for k in range(1, len(rows)):
        step = int32(rows[k] - rows[k - 1])
        most = max(most, step)
        least = min(least, step)
    return int(most), int(least)


@inner_kernel
def _turns(
    rows: Int32Array, sign: int, size: int, bottom: int, stretches: Int32Array, count: int
) -> tuple[int, int, int, int]:
    """Split one edge into stretches that go up and that go down; return sign, size, count, step.

    ``sign`` and ``size`` are the way and the length of the stretch at hand; the step is the longest
    from one column to the next.
    """
    anchor, longest = rows[0], 0
    for begin in range(0, len(rows) - 1, BLOCK):
        block = rows[begin : begin + BLOCK + 1]
        most, least = _steps(block)
        longest = max(longest, most, -least)
        if (least if sign > 0 else most) == 0:  # no turn in the whole block, as in most
            continue
        for k in range(1, len(block)):
            if (block[k] - block[k - 1]) * sign < 0:
                stretches[SIZE_Y, count] = size + abs(block[k - 1] - anchor)
                stretches[INWARD_Y, count] = (sign > 0) == (bottom == 0)
                count += 1
                size, sign, anchor = 0, -sign, block[k - 1]
    return sign, size + abs(rows[len(rows) - 1] - anchor), count, longest


@inner_kernel
def _sum(rows: Int32Array) -> int:
    """Sum rows."""
    total = 0
    for k in range(len(rows)):
        total += rows[k]
    return total


@kernel
def _walk_fragment(
    rows: Int32Array,
    spans: Int32Array,
    following: Int32Array,
    start: int,
    cycle: int,
    cycles: Int32Array,
    columns: Int32Array,
    size: Int32Array,
    stretches: Int32Array,
) -> tuple[int, int, int, int]:
    """Walk the outer outline of a fragment from the topmost edge of its first column.

    A stretch is a part of the outline that never turns back along x (or along y). Its size and
    whether the turn behind it bends into the mask are written to the rows of ``stretches``
    (:data:`SIZE_X` and those after it).

    Returns:
        Enclosed area, longest straight part off the image border, stretches along x and along y.
    """
    area, level, straight = 0, 0, 0
    n_x, n_y, size_x, size_y, sign = 0, 0, 0, 0, -1
    node = start
    while True:
        cycles[node] = cycle
        to = following[node]
        bottom = node & 1
        begin, stop = spans[node, BEGIN], spans[node, STOP]
        if stop - begin > 1:
            edge_rows = rows[begin:stop]
            total = _sum(edge_rows)
            area += total if bottom else -total
            sign, size_y, n_y, step = _turns(edge_rows, sign, size_y, bottom, stretches, n_y)
            straight = max(straight, step)
            level, straight = _level(edge_rows, size[HEIGHT], level, straight)
        else:
            y = rows[begin]
            area += y if bottom else -y
            level = 0 if (y == 0) | (y == size[HEIGHT]) else level + 1
            straight = max(straight, level)
        dy = (
            spans[to, LEFT + (to & 1)] - rows[stop - 1]
        )  # from where a top edge is walked, or a bottom
        level = level if dy == 0 else 0
        # The right end of a top edge, the left end of a bottom edge.
        edge = columns[len(rows) - stop] if bottom else columns[stop - 1] + 1
        straight = straight if (edge == 0) | (edge == size[WIDTH]) else max(straight, abs(dy))
        size_x += stop - begin
        if (node ^ to) & 1:
            stretches[SIZE_X, n_x] = size_x
            stretches[INWARD_X, n_x] = (dy > 0) == (bottom == 1)
            n_x += 1
            size_x = 0
        if dy * sign < 0:
            stretches[SIZE_Y, n_y] = size_y
            stretches[INWARD_Y, n_y] = (sign > 0) == (bottom == 0)
            n_y += 1
            size_y = 0
            sign = -sign
        size_y += abs(dy)
        node = to
        if node == start:
            break
    # The walk ends with the step up to its start, which its first stretch along y goes on from.
    if n_y > 0:
        stretches[SIZE_Y, 0] += size_y
    return area, straight, n_x, n_y


@inner_kernel
def _dents(sizes: Int32Array, inward: Int32Array, count: int, shallow: float) -> tuple[int, int]:
    """Twice the depth of the shallow dents between the stretches of one outline, and its length."""
    total, length = 0, 0
    for i in range(count):
        depth = min(sizes[i], sizes[i + 1 if i + 1 < count else 0])
        total += 2 * depth if (inward[i] == 1) & (depth <= shallow) else 0
        length += sizes[i]
    return total, length


@kernel
def outlines(
    columns: Int32Array,
    rows: Int32Array,
    bars: Int32Array,
    n_bars: int,
    spans: Int32Array,
    following: Int32Array,
    cycles: Int32Array,
    rings: IntArray,
    size: Int32Array,
    shallow: float,
    stretches: Int32Array,
    out: FloatArray,
) -> int:
    """Walk all outlines; return how many there are.

    Fills ``rings`` (:data:`RING_PX` and the columns after it) and, of ``out``, the lengths of all
    outlines and of outer ones, the ragged length and the longest straight part.
    """
    count = 0
    cycles[: 2 * n_bars] = -1
    for node in range(2 * n_bars):
        if cycles[node] >= 0:
            continue
        if node & 1:
            area, length = _walk_hole(spans, following, node, count, cycles)
            mother = rings[cycles[node - 1], IN_FRAGMENT]
            rings[count, IN_FRAGMENT] = mother
            rings[count, IN_HOLE] = count
            rings[mother, RING_PX] -= area  # the fragment is found first: it begins further left
            out[PERIMETER_PX] += length
        else:
            area, straight, n_x, n_y = _walk_fragment(
                rows, spans, following, node, count, cycles, columns, size, stretches
            )
            ragged_x, length_x = _dents(stretches[SIZE_X], stretches[INWARD_X], n_x, shallow)
            ragged_y, length_y = _dents(stretches[SIZE_Y], stretches[INWARD_Y], n_y, shallow)
            out[PERIMETER_PX] += length_x + length_y
            out[OUTLINE_PX] += length_x + length_y
            out[RAGGED_PX] += ragged_x + ragged_y
            out[STRAIGHT_PX] = max(out[STRAIGHT_PX], straight)
            rings[count, IN_FRAGMENT] = count
            rings[count, IN_HOLE] = -1
            bar = node >> 1
            if bar > 0 and columns[bars[bar] - 1] == columns[bars[bar]]:
                around = rings[cycles[node - 1], IN_HOLE]
                rings[count, IN_HOLE] = around
                if around >= 0:
                    rings[around, RING_PX] -= area
        rings[count, RING_PX] = area
        count += 1
    return count


@kernel
def borders(
    columns: Int32Array,
    rows: Int32Array,
    spans: Int32Array,
    following: Int32Array,
    n_bars: int,
    size: Int32Array,
    crop: IntArray,
    out: FloatArray,
) -> None:
    """Fill the length of outline on the image border, and on the crop border."""
    back = len(rows) - 1
    for node in range(2 * n_bars):
        bottom, stop = node & 1, spans[node, STOP]
        to = following[node]
        for k in range(spans[node, BEGIN], stop):
            y = rows[k]
            on = rows[k + 1] if k + 1 < stop else spans[to, LEFT + (to & 1)]
            edge = columns[back - k] if bottom else columns[k] + 1
            if y == 0 or y == size[HEIGHT]:
                out[BORDER_PX] += 1
            if edge == 0 or edge == size[WIDTH]:
                out[BORDER_PX] += abs(on - y)
            if abs(y - crop[CROP_BOTTOM if bottom else CROP_TOP]) <= CROP_TOLERANCE_PX:
                out[CUT_PX] += 1
            if abs(edge - crop[CROP_RIGHT if on > y else CROP_LEFT]) <= CROP_TOLERANCE_PX:
                out[CUT_PX] += abs(on - y)


@kernel
def sum_rings(rings: IntArray, count: int, out: FloatArray) -> None:
    """Fill fragment count, largest, hole count, area, largest, small islands and small holes."""
    for r in range(count):
        size = rings[r, RING_PX]
        if rings[r, IN_FRAGMENT] == r:
            out[FRAGMENT_COUNT] += 1
            out[LARGEST_PX] = max(out[LARGEST_PX], size)
            if size < SMALL_PX:
                out[SMALL_ISLAND_PX] += size
        else:
            out[HOLE_COUNT] += 1
            out[HOLE_PX] += size
            out[LARGEST_HOLE_PX] = max(out[LARGEST_HOLE_PX], size)
            if size < SMALL_PX:
                out[SMALL_HOLE_PX] += size
    if out[LARGEST_PX] < SMALL_PX:  # the largest fragment is no island
        out[SMALL_ISLAND_PX] -= out[LARGEST_PX]
