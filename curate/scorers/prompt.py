"""Prompt signal: distance of a mask from the point that it was prompted with."""

from __future__ import annotations

import numpy as np
import pandas as pd

from curate import rle
from curate.dataset.table import MaskTable
from curate.scorers.scorer import Column, Scorer, clip_coordinates, has_pixels

BELOW_ONE = np.nextafter(1.0, 0.0)


def prompt(table: MaskTable) -> pd.DataFrame:
    """Compare each mask with its own prompt.

    A point is given in continuous pixels: pixel column c covers c to c + 1, so the pixel of a point
    is its coordinates rounded down.

    Args:
        table: n masks; the point stands in ``prompt_x``, ``prompt_y``.

    Returns:
        ``prompt_score`` in [0, 1]: 1 where the mask has the point's pixel, else size / (size +
        distance) and always under 1, size being the square root of the area and distance that
        from the point to the mask's nearest pixel; ``prompt_distance_px``, 0 where it has it. Both
        NaN without a point or a pixel. Own definition.
    """
    masks = table.masks
    distance = np.full(len(table), np.nan)
    score = distance.copy()
    if "prompt_x" in masks.columns and "prompt_y" in masks.columns:
        x, y = masks["prompt_x"].to_numpy(np.float64), masks["prompt_y"].to_numpy(np.float64)
        known = np.isfinite(x) & np.isfinite(y) & has_pixels(table)
        x, y = clip_coordinates(np.where(known, x, -1)), clip_coordinates(np.where(known, y, -1))
        inside = rle.contains(table.runs, x, y)
        outside = np.flatnonzero(known & ~inside)
        distance[known] = 0
        distance[outside] = rle.distance(table.runs[outside], x[outside], y[outside])
        size = np.sqrt(masks["area_px"].to_numpy(np.float64))
        score[known] = 1
        far = size[outside] / (size[outside] + distance[outside])
        score[outside] = np.minimum(far, BELOW_ONE)  # a point on the outline is at distance 0
    return pd.DataFrame({"prompt_score": score, "prompt_distance_px": distance}, index=masks.index)


SCORERS = (
    Scorer(
        name="prompt",
        question="does it contain the point it was prompted with?",
        function=prompt,
        columns=(
            Column(
                "prompt_score",
                "Contains its prompt",
                low_means="it does not contain the point it was prompted with",
                states="its prompt lies outside of it ({prompt_distance_px:.1f} px away)",
                evidence="contradiction",
            ),
            Column("prompt_distance_px", "Distance from its prompt", "measure", "px"),
        ),
    ),
)
