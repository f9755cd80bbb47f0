"""Geometry of outlines: pieces, holes, raggedness, cuts, hull, moments."""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np
import pandas as pd
from numpy import int32

from curate.common.arrays import BoolArray, FloatArray, Int32Array, IntArray
from curate.dataset.table import MaskTable
from curate.rle import Runs
from curate.rle.runs import kernel
from curate.rle.topology import column_segments, segment_capacity
from curate.scorers.kernels import HULL_PX2, THICK_PX
from curate.scorers.kernels.bars import cut_bars, join, lay_out
from curate.scorers.kernels.hull import corners, half_hull, moments
from curate.scorers.kernels.outline import CROP_TOLERANCE_PX, borders, outlines, sum_rings
from curate.scorers.scorer import clip_coordinates

SHALLOW_PX = 3
SHALLOW_SHARE = 0.02
"""A dent is shallow up to 3 px, or 2% of the square root of the area where that is more."""


@dataclass(frozen=True)
class Geometry:
    """Measures of the outlines of a batch of masks, shape (n,) each; zeros for an empty mask.

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
    columns = np.empty(capacity + 1, np.int32)
    lows, highs = np.empty(capacity, np.int32), np.empty(capacity, np.int32)
    bars, rows = np.empty(capacity + 1, np.int32), np.empty(2 * capacity, np.int32)
    spans, covered = np.empty((2 * capacity, 4), np.int32), np.empty((capacity, 4), np.int32)
    following, cycles = np.empty(2 * capacity, np.int32), np.empty(2 * capacity, np.int32)
    rings = np.empty((2 * capacity, 3), np.int64)
    stretches, shared = np.empty((4, 2 * capacity), np.int32), np.empty((3, capacity), np.int32)
    outer, hidden = np.empty(capacity + 10, np.int32), np.empty(capacity + 2, np.int32)
    chain = np.empty((2, capacity + 2), np.int32)
    for i in range(len(sizes)):
        first, stop = offsets[i], offsets[i + 1]
        if first == stop:
            continue
        n = column_segments(starts, ends, first, stop, int(sizes[i, 0]), columns, lows, highs)
        m = cut_bars(columns, lows, highs, n, shared, bars)
        lay_out(lows, highs, bars, m, rows, spans)
        out[i, THICK_PX] = join(columns, bars, m, spans, following, covered, shared)
        shallow = max(float(SHALLOW_PX), SHALLOW_SHARE * np.sqrt(areas[i]))
        count = outlines(
            columns, rows, bars, m, spans, following, cycles, rings, sizes[i], shallow,
            stretches, out[i],
        )  # fmt: skip
        sum_rings(rings, count, out[i])
        if near[i]:
            borders(columns, rows, spans, following, m, sizes[i], crops[i], out[i])
        for side, edges in ((int32(1), lows), (int32(-1), highs)):
            count = corners(columns, edges, bars, m, side, outer, hidden, chain)
            out[i, HULL_PX2] -= half_hull(chain, count)
        moments(columns, lows, highs, n, out[i])


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
    low, high = boxes[:, :2], boxes[:, :2] + boxes[:, 2:]
    near = (low == 0).any(axis=1) | (high == sizes[:, ::-1]).any(axis=1)
    if (crops != NO_BORDER).any():
        near |= (low - crops[:, :2] <= CROP_TOLERANCE_PX).any(axis=1)
        right = (crops[:, 2:] != NO_BORDER) & (crops[:, 2:] - high <= CROP_TOLERANCE_PX)
        near |= right.any(axis=1)
    return np.asarray(near)


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
    stated = masks[list(CROP_COLUMNS)].to_numpy(np.float64)
    x, y, w, h = np.where(np.isfinite(stated), clip_coordinates(stated), np.nan).T
    sides = np.column_stack([x, y, x + w, y + h])
    zero = np.zeros(len(masks))
    image = np.column_stack([zero, zero, masks["width"], masks["height"]])
    cuts = np.isfinite(sides) & (np.abs(sides - image) > image_margin_px)
    return np.where(cuts, np.rint(np.where(cuts, sides, 0)), NO_BORDER).astype(np.int64)


CROP_COLUMNS = ("crop_x", "crop_y", "crop_w", "crop_h")


def has_crops(masks: pd.DataFrame) -> bool:
    """Return whether a masks frame says which crop each mask was found in."""
    return all(column in masks.columns for column in CROP_COLUMNS)
