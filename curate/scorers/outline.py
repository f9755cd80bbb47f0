"""The walk along a mask's outlines, in compiled loops.

A mask is cut into column segments. Segment k has a top edge, number 2k, walked to the right, and a
bottom edge, number 2k + 1, walked to the left. Between two columns, the ends of their segments
sorted from top to bottom pair up, and each pair is one vertical step of an outline. So the closed
outlines come out of one sweep and one walk; those that start at a top edge enclose the 8-connected
fragments, those that start at a bottom edge the 4-connected holes.
"""

from __future__ import annotations

from curate.rle import kernel
from curate.rle.runs import FloatArray, Int32Array, IntArray

SMALL_PX = 100
"""Islands and holes strictly under this area are small (SAM's clean-up)."""

CROP_TOLERANCE_PX = 1
"""How far from a crop border an outline still counts as lying on it."""


@kernel
def _pair(
    rows: Int32Array,
    p: int,
    p_stop: int,
    r: int,
    r_stop: int,
    following: Int32Array,
    spans: Int32Array,
    side: int,
    n_before: int,
) -> tuple[int, int]:
    """Join the edges p:p_stop of one column and r:r_stop of the next (either may be empty).

    ``spans``: columns ``side`` and ``side + 1`` hold the rows that the first column shares with the
    one before it, ``n_before`` spans; the two others are filled with those that the two columns
    share, spans of at least 2 rows only.

    Returns:
        How many spans were filled, and how many thick pixels they add: 2 x 2 squares cover their
        rows in both columns, less what is covered in the first column already.
    """
    shared, thick, s = 0, 0, 0
    other = 2 - side
    while p < p_stop or r < r_stop:
        # Tops before bottoms where rows are equal: corners that touch are connected.
        if r >= r_stop or (p < p_stop and 2 * rows[p] + (p & 1) <= 2 * rows[r] + (r & 1)):
            first, arrives = p, 1 - (p & 1)
            p += 1
        else:
            first, arrives = r, r & 1
            r += 1
        if r >= r_stop or (p < p_stop and 2 * rows[p] + (p & 1) <= 2 * rows[r] + (r & 1)):
            second = p
            p += 1
        else:
            second = r
            r += 1
        if arrives:
            following[first] = second
        else:
            following[second] = first
        if p & r & 1:  # inside a segment on both sides
            top, bottom = rows[second], min(rows[p], rows[r])
            if bottom - top >= 2:
                thick += 2 * (bottom - top)
                spans[shared, other] = top
                spans[shared, other + 1] = bottom
                shared += 1
                while s < n_before and spans[s, side + 1] <= top:
                    s += 1
                t = s
                while t < n_before and spans[t, side] < bottom:
                    thick -= min(bottom, spans[t, side + 1]) - max(top, spans[t, side])
                    t += 1
    return shared, thick


@kernel
def join(
    columns: Int32Array, rows: Int32Array, n: int, following: Int32Array, spans: Int32Array
) -> int:
    """Find for each edge the one that follows it on its outline; return the thick pixels."""
    total, side, n_before = 0, 0, 0
    previous, current = 0, 0
    while current < n:
        x = columns[current]
        stop = current + 1
        while stop < n and columns[stop] == x:
            stop += 1
        if previous < current and columns[previous] < x - 1:
            _pair(rows, 2 * previous, 2 * current, 0, 0, following, spans, 0, 0)
            previous, n_before = current, 0
        top = max(rows[2 * previous], rows[2 * current])
        bottom = min(rows[2 * previous + 1], rows[2 * current + 1])
        if current - previous == 1 and stop - current == 1 and top <= bottom:
            # One segment beside one, as almost everywhere in a smooth mask: no need to sort ends.
            following[2 * previous] = 2 * current
            following[2 * current + 1] = 2 * previous + 1
            if bottom - top >= 2:
                total += 2 * (bottom - top)
                for s in range(n_before):
                    inner = min(bottom, spans[s, side + 1]) - max(top, spans[s, side])
                    total -= max(inner, 0)
                spans[0, 2 - side] = top
                spans[0, 3 - side] = bottom
            n_before = 1 if bottom - top >= 2 else 0
            side = 2 - side
            previous, current = current, stop
            continue
        n_before, thick = _pair(
            rows, 2 * previous, 2 * current, 2 * current, 2 * stop, following, spans, side, n_before
        )
        total += thick
        side = 2 - side
        previous, current = current, stop
    _pair(rows, 2 * previous, 2 * n, 0, 0, following, spans, 0, 0)
    return total


@kernel
def _walk_hole(
    rows: Int32Array, following: Int32Array, start: int, cycle: int, cycles: Int32Array
) -> tuple[int, int]:
    """Walk the outline of a hole; return the area it encloses and its length."""
    area, length = 0, 0
    node = start
    while True:
        cycles[node] = cycle
        y = rows[node]
        area += -y if node & 1 else y
        node = following[node]
        length += 1 + abs(rows[node] - y)
        if node == start:
            return area, length


@kernel
def _walk_fragment(
    columns: Int32Array,
    rows: Int32Array,
    following: Int32Array,
    start: int,
    cycle: int,
    cycles: Int32Array,
    height: int,
    width: int,
    stretches: Int32Array,
) -> tuple[int, int, int, int, int]:
    """Walk the outer outline of a fragment from the topmost edge of its first column.

    A stretch is a part of the outline that never turns back along x (or along y). Its size and
    whether the turn behind it bends into the mask are written to the rows of ``stretches``: 0 and
    1 along x, 2 and 3 along y.

    Returns:
        Enclosed area, length, longest straight part off the image border, stretches along x and y.
    """
    area, length, level, straight = 0, 0, 0, 0
    n_x, n_y, size_x, size_y, sign = 0, 0, 0, 0, -1
    node = start
    while True:
        cycles[node] = cycle
        y = rows[node]
        to = following[node]
        bottom = node & 1
        dy = rows[to] - y
        size = abs(dy)
        area += y if bottom else -y
        length += 1 + size
        level = 0 if (y == 0) | (y == height) else level + 1
        straight = max(straight, level)
        level = level if dy == 0 else 0
        edge = columns[node >> 1] + 1 - bottom
        straight = straight if (edge == 0) | (edge == width) else max(straight, size)
        size_x += 1
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
        size_y += size
        node = to
        if node == start:
            break
    # The walk ends with the step up to its start, which its first stretch along y goes on from.
    if n_y > 0:
        stretches[2, 0] += size_y
    return area, length, straight, n_x, n_y


@kernel
def _dents(sizes: Int32Array, inward: Int32Array, count: int, shallow: float) -> int:
    """Twice the depth of the shallow dents between the stretches of one closed outline."""
    total = 0
    for i in range(count):
        depth = min(sizes[i], sizes[i + 1 if i + 1 < count else 0])
        total += 2 * depth if (inward[i] == 1) & (depth <= shallow) else 0
    return total


@kernel
def outlines(
    columns: Int32Array,
    rows: Int32Array,
    following: Int32Array,
    n: int,
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
    for node in range(2 * n):
        cycles[node] = -1
    for node in range(2 * n):
        if cycles[node] >= 0:
            continue
        if node & 1:
            area, length = _walk_hole(rows, following, node, count, cycles)
            mother = rings[cycles[node - 1], 1]
            rings[count, 1] = mother
            rings[count, 2] = count
            rings[mother, 0] -= area
        else:
            area, length, straight, n_x, n_y = _walk_fragment(
                columns, rows, following, node, count, cycles, size[0], size[1], stretches
            )
            out[1] += length
            out[2] += _dents(stretches[0], stretches[1], n_x, shallow)
            out[2] += _dents(stretches[2], stretches[3], n_y, shallow)
            out[3] = max(out[3], straight)
            rings[count, 1] = count
            rings[count, 2] = -1
            if node > 0 and columns[node // 2 - 1] == columns[node // 2]:
                around = rings[cycles[node - 1], 2]
                rings[count, 2] = around
                if around >= 0:
                    rings[around, 0] -= area
        out[0] += length
        rings[count, 0] = area
        count += 1
    return count


@kernel
def borders(
    columns: Int32Array,
    rows: Int32Array,
    following: Int32Array,
    n: int,
    size: Int32Array,
    crop: IntArray,
    out: FloatArray,
) -> None:
    """Fill the length of outline on the image border, and on the crop border."""
    for node in range(2 * n):
        y, bottom = rows[node], node & 1
        dy = rows[following[node]] - y
        edge = columns[node >> 1] + 1 - bottom
        if y == 0 or y == size[0]:
            out[0] += 1
        if edge == 0 or edge == size[1]:
            out[0] += abs(dy)
        if abs(y - crop[1 + 2 * bottom]) <= CROP_TOLERANCE_PX:
            out[1] += 1
        if abs(edge - crop[2 if dy > 0 else 0]) <= CROP_TOLERANCE_PX:
            out[1] += abs(dy)


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
