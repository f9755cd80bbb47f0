"""Everything that one walk along a mask's outline tells: pieces, holes, raggedness, cuts, moments.

A mask is cut into column segments. Segment k has a top edge, number 2k, walked to the right, and a
bottom edge, number 2k + 1, walked to the left. Between two columns, the ends of their segments
sorted from top to bottom pair up, and each pair is one vertical step of an outline. So the closed
outlines come out of one sweep and one walk; those that start at a top edge enclose the 8-connected
fragments, those that start at a bottom edge the 4-connected holes.
"""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np
import pandas as pd

from curate.rle import Runs, column_segments, kernel, segment_capacity
from curate.rle.runs import BoolArray, FloatArray, Int32Array, IntArray
from curate.table import MaskTable

SMALL_PX = 100
"""Islands and holes strictly under this area are small (SAM's clean-up)."""

SHALLOW_PX = 3
SHALLOW_SHARE = 0.02
"""A dent is shallow up to 3 px, or 2% of the square root of the area where that is more."""

CROP_TOLERANCE_PX = 1
"""How far from a crop border an outline still counts as lying on it."""


@dataclass(frozen=True)
class Geometry:
    """What the outlines of a batch of masks tell; arrays of shape (n,), zeros for an empty mask.

    Lengths count pixel edges, areas pixels, both as whole numbers.

    Attributes:
        fragment_count: 8-connected fragments.
        largest_px: Area of the largest fragment.
        hole_count: 4-connected background regions that the mask encloses.
        hole_px: Their area, islands inside them left out.
        largest_hole_px: Area of the largest of them.
        small_island_px: Area of the fragments under 100 px, the largest fragment left out.
        small_hole_px: Area of the holes under 100 px.
        perimeter_px: Length of all outlines, holes included.
        outline_px: Length of the outer outlines.
        ragged_px: Twice the depth of every shallow dent of the outer outlines, horizontal and
            vertical ones: the length that they would lose if the dents were filled.
        straight_px: Longest exactly straight, axis-parallel stretch off the image border.
        border_px: Length of outer outline on the image border.
        cut_px: Length of outer outline on a crop border (0 where no crop is given).
        thick_px: Pixels that lie in a fully set square of 2 x 2.
        hull_px2: Twice the area of the convex hull of the pixels' corners.
        mean_x, mean_y: Centre of mass, pixels, a pixel's centre at + 0.5.
        var_xx, var_yy, var_xy: Second central moments of the area, px^2, of full pixels.
    """

    fragment_count: FloatArray
    largest_px: FloatArray
    hole_count: FloatArray
    hole_px: FloatArray
    largest_hole_px: FloatArray
    small_island_px: FloatArray
    small_hole_px: FloatArray
    perimeter_px: FloatArray
    outline_px: FloatArray
    ragged_px: FloatArray
    straight_px: FloatArray
    border_px: FloatArray
    cut_px: FloatArray
    thick_px: FloatArray
    hull_px2: FloatArray
    mean_x: FloatArray
    mean_y: FloatArray
    var_xx: FloatArray
    var_yy: FloatArray
    var_xy: FloatArray


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
def _join(
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
def _outlines(
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
def _borders(
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
def _sum_rings(rings: IntArray, count: int, out: FloatArray) -> None:
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


@kernel
def _corners(columns: Int32Array, rows: Int32Array, n: int, side: int, chain: IntArray) -> int:
    """Write, for each whole x of the mask's box, the outermost corner there (side 1: uppermost).

    Corners that their two neighbours hide are left out: they are most of a ragged outline's.
    """
    x0 = columns[0]
    width = columns[n - 1] - x0 + 1
    for x in range(width + 1):
        chain[x, 1] = FAR
    for k in range(n):
        x = columns[k] - x0
        y = side * rows[2 * k + (side < 0)]
        chain[x, 1] = min(chain[x, 1], y)
        chain[x + 1, 1] = min(chain[x + 1, 1], y)
    used = 1
    before = chain[0, 1]
    chain[0, 0] = 0
    for x in range(1, width):
        y = chain[x, 1]
        after = chain[x + 1, 1]
        chain[used, 0] = x
        chain[used, 1] = y
        used += 1 if 2 * y < before + after else 0
        before = y
    y = chain[width, 1]
    chain[used, 0] = width
    chain[used, 1] = y
    return used + 1


FAR = 2**30 - 1
"""Beyond any row, and its double still fits 32 bits."""


@kernel
def _half_hull(columns: Int32Array, rows: Int32Array, n: int, side: int, chain: IntArray) -> int:
    """Twice the area between the axis y = 0 and one side of the hull, with ``side``'s sign."""
    count = _corners(columns, rows, n, side, chain)
    used = 0
    for i in range(count):
        x, y = np.int64(chain[i, 0]), np.int64(chain[i, 1])
        while used > 1:
            ax, ay = chain[used - 2, 0], chain[used - 2, 1]
            bx, by = chain[used - 1, 0], chain[used - 1, 1]
            if (bx - ax) * (y - by) - (by - ay) * (x - bx) > 0:
                break
            used -= 1
        chain[used, 0] = x
        chain[used, 1] = y
        used += 1
    total = 0
    for i in range(1, used):
        total += (chain[i, 0] - chain[i - 1, 0]) * (chain[i, 1] + chain[i - 1, 1])
    return total


@kernel
def _moments(
    columns: Int32Array, lows: Int32Array, highs: Int32Array, n: int, out: FloatArray
) -> None:
    """Fill centre and second central moments; exact sums around the first pixel before dividing."""
    x0, y0 = np.int64(columns[0]), np.int64(lows[0])
    area, sx, sy, sxx, syy, sxy = 0.0, 0.0, 0.0, 0.0, 0.0, 0.0
    for k in range(n):
        x = float(columns[k] - x0)
        a, b = float(lows[k] - y0), float(highs[k] - y0)
        m = b - a
        column_y = (b * b - a * a) / 2  # integrals over the full pixels, not sums over centres
        area += m
        sx += m * x
        sxx += m * x * x
        sy += column_y
        syy += (b * b * b - a * a * a) / 3
        sxy += x * column_y
    mx, my = sx / area, sy / area
    out[0] = mx + x0 + 0.5
    out[1] = my + y0
    out[2] = sxx / area - mx * mx + 1 / 12
    out[3] = syy / area - my * my
    out[4] = sxy / area - mx * my


@kernel
def _geometry(
    starts: Int32Array,
    ends: Int32Array,
    offsets: IntArray,
    sizes: Int32Array,
    crops: IntArray,
    near: BoolArray,
    areas: IntArray,
    capacity: int,
    out: FloatArray,
) -> None:
    columns, lows, highs = (
        np.empty(capacity, np.int32),
        np.empty(capacity, np.int32),
        np.empty(capacity, np.int32),
    )
    rows, following = np.empty(2 * capacity, np.int32), np.empty(2 * capacity, np.int32)
    cycles, spans = np.empty(2 * capacity, np.int32), np.empty((2 * capacity, 4), np.int32)
    rings = np.empty((2 * capacity, 3), np.int64)
    stretches = np.empty((4, 2 * capacity), np.int32)
    chain = np.empty((capacity + 2, 2), np.int64)
    for i in range(len(sizes)):
        first, stop = offsets[i], offsets[i + 1]
        if first == stop:
            continue
        n = column_segments(starts, ends, first, stop, int(sizes[i, 0]), columns, lows, highs)
        for k in range(n):
            rows[2 * k] = lows[k]
            rows[2 * k + 1] = highs[k]
        out[i, 13] = _join(columns, rows, n, following, spans)
        shallow = max(float(SHALLOW_PX), SHALLOW_SHARE * np.sqrt(areas[i]))
        count = _outlines(
            columns, rows, following, n, cycles, rings, sizes[i], shallow, stretches, out[i, 7:]
        )
        _sum_rings(rings, count, out[i])
        if near[i]:
            _borders(columns, rows, following, n, sizes[i], crops[i], out[i, 11:])
        out[i, 14] = -_half_hull(columns, rows, n, -1, chain)
        out[i, 14] -= _half_hull(columns, rows, n, 1, chain)
        _moments(columns, lows, highs, n, out[i, 15:])


def measure_outlines(
    runs: Runs, areas: IntArray, boxes: IntArray, crops: IntArray | None = None
) -> Geometry:
    """Walk the outlines of a batch of masks.

    Args:
        runs: n masks.
        areas: Their areas in pixels, shape (n,).
        boxes: Their boxes, shape (n, 4), XYWH.
        crops: Left, top, right and bottom of the crop border where it can cut a mask, shape (n, 4),
            :data:`NO_BORDER` for a side that cannot.
    """
    out = np.zeros((len(runs), len(fields(Geometry))), np.float64)
    sizes = np.column_stack([runs.heights, runs.widths])
    if crops is None:
        crops = np.full((len(runs), 4), NO_BORDER, np.int64)
    _geometry(
        runs.starts,
        runs.ends,
        runs.offsets,
        sizes,
        crops,
        _near_border(boxes, sizes, crops),
        np.asarray(areas, np.int64),
        segment_capacity(runs, boxes),
        out,
    )
    return Geometry(*np.ascontiguousarray(out.T))


NO_BORDER = -(2**40)
"""A crop side that cannot cut: no outline is near it."""


def _near_border(boxes: IntArray, sizes: Int32Array, crops: IntArray) -> BoolArray:
    """Return which boxes reach the image border or a crop border, shape (n,)."""
    sides = np.column_stack([boxes[:, :2], boxes[:, :2] + boxes[:, 2:]])
    image = (sides[:, :2] == 0) | (sides[:, 2:] == sizes[:, ::-1])
    crop = (sides - crops)[:, :2] <= CROP_TOLERANCE_PX, (crops - sides)[:, 2:] <= CROP_TOLERANCE_PX
    return np.asarray(image.any(axis=1) | crop[0].any(axis=1) | crop[1].any(axis=1))


def geometry(table: MaskTable, image_margin_px: float = 20.0) -> Geometry:
    """Return the geometry of every mask of a table; worked out once and kept with the table.

    Args:
        table: n masks.
        image_margin_px: A crop border this close to the image border is not one that cuts (SAM's
            crop-edge filter: 20).
    """
    key = f"_geometry_{image_margin_px}"
    kept = table.__dict__.get(key)
    if kept is None:
        crops = _crop_borders(table.masks, image_margin_px)
        kept = measure_outlines(table.runs, table.masks["area_px"].to_numpy(), table.boxes, crops)
        table.__dict__[key] = kept
    return kept


def _crop_borders(masks: pd.DataFrame, image_margin_px: float) -> IntArray | None:
    """Return the crop sides that are not sides of the image, rounded to pixels."""
    if not has_crops(masks):
        return None
    x, y, w, h = (masks[c].to_numpy(np.float64) for c in CROP_COLUMNS)
    sides = np.column_stack([x, y, x + w, y + h])
    zero = np.zeros(len(masks))
    image = np.column_stack([zero, zero, masks["width"], masks["height"]])
    cuts = np.isfinite(sides) & (np.abs(sides - image) > image_margin_px)
    return np.where(cuts, np.rint(np.where(cuts, sides, 0)), NO_BORDER).astype(np.int64)


CROP_COLUMNS = ("crop_x", "crop_y", "crop_w", "crop_h")


def has_crops(masks: pd.DataFrame) -> bool:
    """Return whether a masks frame says which crop each mask was found in."""
    return all(column in masks.columns for column in CROP_COLUMNS)
