"""Integrity signal: pieces, holes, raggedness, cuts at crop borders, whole-image masks."""

from __future__ import annotations

import numpy as np
import pandas as pd

from curate.common.arrays import FloatArray
from curate.dataset.table import MaskTable
from curate.scorers.geometry import CROP_COLUMNS, geometry, has_crops
from curate.scorers.scorer import Column, Scorer, has_pixels


def _share(part: FloatArray, whole: FloatArray) -> FloatArray:
    """Return part / whole in [0, 1], NaN where there is no whole."""
    ratio = np.full(len(part), np.nan)
    np.divide(part, whole, out=ratio, where=whole > 0)
    return np.asarray(np.minimum(ratio, 1.0))


def integrity(table: MaskTable, *, image_margin_px: float = 20.0) -> pd.DataFrame:
    """Measure pieces, holes and outline of every mask.

    All scores lie in [0, 1] and do not depend on scale, except that a dent counts as ragged up to
    max(3 px, 2% of the square root of the area). Fragments are 8-connected, holes 4-connected, as
    in SAM's clean-up; "outline" is the outer outline in pixel edges, holes left out.

    - ``fragment_score``: largest fragment / area.
    - ``hole_score``: area / (area + holes).
    - ``outline_score``: 1 - ragged / outline, ragged being twice the depth of every shallow dent
      along x and along y: the length that filling the dents would save. Exactly 1 for whatever is
      convex along rows and columns, so for straight, diagonal and round outlines of any size;
      about 0.7 where each pixel of the outline is noisy by 1 px. Own definition.
    - ``hairline_score``: share of the pixels that lie in a fully set square of 2 x 2. Own.
    - ``compact_score``: 4 pi A / P^2 of the mask without its holes, P being pi/4 of the pixel edges
      (1 for a disc on average over directions), cut at 1.
    - ``straight_score``: 1 - longest exactly straight, axis-parallel stretch of outline off the
      image border / half the outline: tiles, seams and boxes leave such edges. Own definition.
    - ``solidity_score``: area / area of the convex hull of the pixels' corners.
    - ``crop_score``: 1 - share of the outline that lies (within 1 px) on a crop border that is not
      within ``image_margin_px`` of that image border (after SAM's crop-edge filter).
    - ``coverage_score``: 1 - area / image area.

    Args:
        table: n masks.
        image_margin_px: See ``crop_score``; pixels.

    Returns:
        The scores above and counts, areas (px) and lengths (pixel edges) behind them; all NaN for
        a mask without a pixel, ``crop_score`` NaN without crop columns.
    """
    g = geometry(table, image_margin_px)
    masks = table.masks
    area = masks["area_px"].to_numpy(np.float64)
    pixels = masks["height"].to_numpy(np.float64) * masks["width"].to_numpy(np.float64)
    columns = {
        "fragment_score": _share(g.largest_px, area),
        "fragment_count": g.fragment_count,
        "largest_fragment_px": g.largest_px,
        "small_island_px": g.small_island_px,
        "hole_score": _share(area, area + g.hole_px),
        "hole_count": g.hole_count,
        "hole_area_px": g.hole_px,
        "small_hole_px": g.small_hole_px,
        "outline_score": 1 - _share(g.ragged_px, g.outline_px),
        "outline_px": g.outline_px,
        "hairline_score": _share(g.thick_px, area),
        "compact_score": _share(64 / np.pi * (area + g.hole_px), g.outline_px**2),
        "straight_score": 1 - _share(g.straight_px, g.outline_px / 2),
        "straight_edge_px": g.straight_px,
        "solidity_score": _share(2 * area, g.hull_px2),
        "crop_score": _crop(table, g.cut_px, g.outline_px),
        "coverage_score": 1 - _share(area, pixels),
        "border_px": g.border_px,
    }
    if not has_pixels(table).all():
        columns = {name: np.where(area > 0, values, np.nan) for name, values in columns.items()}
    return pd.DataFrame(columns, index=masks.index)


def _crop(table: MaskTable, cut_px: FloatArray, outline_px: FloatArray) -> FloatArray:
    if not has_crops(table.masks):
        return np.full(len(table), np.nan)
    known = np.isfinite(table.masks[list(CROP_COLUMNS)].to_numpy(np.float64)).all(axis=1)
    return np.where(known, 1 - _share(cut_px, outline_px), np.nan)


SCORERS = (
    Scorer(
        name="integrity",
        question="is it sound in itself?",
        function=integrity,
        columns=(
            Column(
                "fragment_score",
                "Wholeness",
                low_means="it falls into several pieces",
                states="it falls into pieces ({fragment_count}, {lack:.1%} outside the largest)",
                evidence="form",
            ),
            Column("fragment_count", "Fragments", "measure"),
            Column("largest_fragment_px", "Largest fragment", "measure", "px"),
            Column("small_island_px", "Islands under 100 px", "measure", "px"),
            Column(
                "hole_score",
                "Freedom from holes",
                low_means="it has holes",
                states="it has holes ({hole_area_px} px in all)",
                evidence="form",
            ),
            Column("hole_count", "Holes", "measure"),
            Column("hole_area_px", "Hole area", "measure", "px"),
            Column("small_hole_px", "Holes under 100 px", "measure", "px"),
            Column(
                "outline_score",
                "Outline smoothness",
                low_means="its outline is ragged",
                states="its outline is less smooth than is usual (smoothness {outline_score:.2f})",
                evidence="form",
            ),
            Column("outline_px", "Outline length", "measure", "px"),
            Column(
                "hairline_score",
                "Thickness",
                low_means="parts of it are only one pixel thick",
                states="parts of it are only one pixel thick ({lack:.1%} of its pixels)",
                evidence="form",
            ),
            Column(
                "compact_score",
                "Compactness",
                low_means="its outline is long for its area",
                states="its outline is long for its area (compactness {compact_score:.2f})",
                evidence="form",
            ),
            Column(
                "straight_score",
                "Freedom from straight cuts",
                low_means="a long part of its outline is one straight line along x or y",
                states="one stretch of its outline is straight "
                "({straight_edge_px} px of {outline_px} px)",
                evidence="form",
            ),
            Column("straight_edge_px", "Longest straight edge", "measure", "px"),
            Column("solidity_score", "Solidity", low_means="it fills little of its convex hull"),
            Column(
                "crop_score",
                "Freedom from crop cuts",
                low_means="it is cut at a crop's border",
                states="part of its outline lies on a crop's border ({lack:.0%} of it)",
                evidence="form",
            ),
            Column("coverage_score", "Room around it", low_means="it covers most of the image"),
            Column("border_px", "Outline on the image border", "measure", "px"),
        ),
    ),
)
