"""The walk along a mask's outlines, in compiled loops, bar by bar:
:mod:`curate.scorers.kernels.bars`."""

from __future__ import annotations

from numpy import int32

from curate.rle import kernel
from curate.rle.runs import FloatArray, Int32Array, IntArray, inner_kernel

SMALL_PX = 100
"""Islands and holes strictly under this area are small (SAM's clean-up)."""

CROP_TOLERANCE_PX = 1
"""How far from a crop border an outline still counts as lying on it."""

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
        y = spans[node, 2]
        area += -y if node & 1 else y
        node = following[node]
        length += 1 + abs(spans[node, 2] - y)
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
        if (least if sign > 0 else most) == 0:
            continue
        for k in range(1, len(block)):
            if (block[k] - block[k - 1]) * sign < 0:
                stretches[2, count] = size + abs(block[k - 1] - anchor)
                stretches[3, count] = (sign > 0) == (bottom == 0)
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
    whether the turn behind it bends into the mask are written to the rows of ``stretches``: 0 and
    1 along x, 2 and 3 along y.

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
        begin, stop = spans[node, 0], spans[node, 1]
        if stop - begin > 1:
            edge_rows = rows[begin:stop]
            total = _sum(edge_rows)
            area += total if bottom else -total
            sign, size_y, n_y, step = _turns(edge_rows, sign, size_y, bottom, stretches, n_y)
            straight = max(straight, step)
            level, straight = _level(edge_rows, size[0], level, straight)
        else:
            y = rows[begin]
            area += y if bottom else -y
            level = 0 if (y == 0) | (y == size[0]) else level + 1
            straight = max(straight, level)
        dy = spans[to, 2 + (to & 1)] - rows[stop - 1]
        level = level if dy == 0 else 0
        # The right end of a top edge, the left end of a bottom edge.
        edge = columns[len(rows) - stop] if bottom else columns[stop - 1] + 1
        straight = straight if (edge == 0) | (edge == size[1]) else max(straight, abs(dy))
        size_x += stop - begin
        if (node ^ to) & 1:
            stretches[0, n_x] = size_x
            stretches[1, n_x] = (dy > 0) == (bottom == 1)
            n_x += 1
            size_x = 0
        if dy * sign < 0:
            stretches[2, n_y] = size_y
            stretches[3, n_y] = (sign > 0) == (bottom == 0)
            n_y += 1
            size_y = 0
            sign = -sign
        size_y += abs(dy)
        node = to
        if node == start:
            break
    # The walk ends with the step up to its start, which its first stretch along y goes on from.
    if n_y > 0:
        stretches[2, 0] += size_y
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

    ``rings`` columns: pixels (of a fragment without its holes, of a hole without its islands), the
    fragment a hole is in (itself for a fragment), the hole a fragment is in (-1 for none; itself
    for a hole). ``out``: all lengths, outer lengths, ragged length, longest straight part.
    """
    count = 0
    cycles[: 2 * n_bars] = -1
    for node in range(2 * n_bars):
        if cycles[node] >= 0:
            continue
        if node & 1:
            area, length = _walk_hole(spans, following, node, count, cycles)
            mother = rings[cycles[node - 1], 1]
            rings[count, 1] = mother
            rings[count, 2] = count
            rings[mother, 0] -= area
            out[0] += length
        else:
            area, straight, n_x, n_y = _walk_fragment(
                rows, spans, following, node, count, cycles, columns, size, stretches
            )
            ragged_x, length_x = _dents(stretches[0], stretches[1], n_x, shallow)
            ragged_y, length_y = _dents(stretches[2], stretches[3], n_y, shallow)
            out[0] += length_x + length_y
            out[1] += length_x + length_y
            out[2] += ragged_x + ragged_y
            out[3] = max(out[3], straight)
            rings[count, 1] = count
            rings[count, 2] = -1
            bar = node >> 1
            if bar > 0 and columns[bars[bar] - 1] == columns[bars[bar]]:
                around = rings[cycles[node - 1], 2]
                rings[count, 2] = around
                if around >= 0:
                    rings[around, 0] -= area
        rings[count, 0] = area
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
        bottom, stop = node & 1, spans[node, 1]
        to = following[node]
        for k in range(spans[node, 0], stop):
            y = rows[k]
            on = rows[k + 1] if k + 1 < stop else spans[to, 2 + (to & 1)]
            edge = columns[back - k] if bottom else columns[k] + 1
            if y == 0 or y == size[0]:
                out[0] += 1
            if edge == 0 or edge == size[1]:
                out[0] += abs(on - y)
            if abs(y - crop[1 + 2 * bottom]) <= CROP_TOLERANCE_PX:
                out[1] += 1
            if abs(edge - crop[2 if on > y else 0]) <= CROP_TOLERANCE_PX:
                out[1] += abs(on - y)


@kernel
def sum_rings(rings: IntArray, count: int, out: FloatArray) -> None:
    """Fill fragment count, largest, hole count, area, largest, small islands and small holes."""
    for r in range(count):
        size = rings[r, 0]
        if rings[r, 1] == r:
            out[0] += 1
            out[1] = max(out[1], size)
            if size < SMALL_PX:
                out[5] += size
        else:
            out[2] += 1
            out[3] += size
            out[4] = max(out[4], size)
            if size < SMALL_PX:
                out[6] += size
    if out[1] < SMALL_PX:
        out[5] -= out[1]
