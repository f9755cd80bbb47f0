"""All that one walk along a mask's outline tells: pieces, holes, raggedness, cuts, moments."""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np
import pandas as pd

from curate.rle import Runs, column_segments, kernel, segment_capacity
from curate.rle.runs import BoolArray, FloatArray, Int32Array, IntArray
from curate.scorers.outline import (
    CROP_TOLERANCE_PX,
    borders,
    join,
    outlines,
    sum_rings,
)
from curate.table import MaskTable

SHALLOW_PX = 3
SHALLOW_SHARE = 0.02
"""A dent is shallow up to 3 px, or 2% of the square root of the area where that is more."""


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
        out[i, 13] = join(columns, rows, n, following, spans)
        shallow = max(float(SHALLOW_PX), SHALLOW_SHARE * np.sqrt(areas[i]))
        count = outlines(
            columns, rows, following, n, cycles, rings, sizes[i], shallow, stretches, out[i, 7:]
        )
        sum_rings(rings, count, out[i])
        if near[i]:
            borders(columns, rows, following, n, sizes[i], crops[i], out[i, 11:])
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
