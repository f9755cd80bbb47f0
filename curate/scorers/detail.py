"""Detail signal: corners of the outline against what is usual for the mask's size.

Two steps: :func:`measure_corners` counts, :func:`fit` learns what is usual in the dataset, and
:func:`apply` scores. Some objects have few corners too (a book, a screen), so a low score is a
hint; but an outline drawn with a few clicks, or simplified too far, cannot hide from it.
"""

from __future__ import annotations

from typing import TypedDict

import numpy as np
import pandas as pd

from curate.common.arrays import FloatArray
from curate.common.json_values import JsonObject
from curate.dataset.table import MaskTable
from curate.scorers.kernels.corners import count_corners
from curate.scorers.scorer import Column, Scorer, has_pixels

TOLERANCE_PX = 1.0
"""How far a simplified outline may lie from the true one."""

MOST_SIZES = 24
"""Sizes at which a reference says what is usual, at most."""

EACH = 20
"""Masks that a size needs at least, so that no mask is compared with itself."""


class DetailReference(TypedDict):
    """What is usual: sizes (logarithms of areas), and the logarithm of the corner count there."""

    size: list[float]
    detail: list[float]


def measure_corners(table: MaskTable) -> pd.DataFrame:
    """Count the corners of each mask's outer outlines, simplified within a pixel.

    Returns:
        Index ``mask_id``; ``corner_count``, summed over the pieces of a mask: the corners that
        Douglas and Peucker's method leaves of the way along its border pixels; NaN without a pixel.
    """
    rows = np.flatnonzero(has_pixels(table)).astype(np.int64)
    counts = np.full(len(table), np.nan)
    runs = table.runs
    counts[rows] = count_corners(
        runs.starts, runs.ends, runs.offsets, rows, runs.heights.astype(np.int64), TOLERANCE_PX
    )
    return pd.DataFrame({"corner_count": counts}, index=table.masks.index)


def _logarithms(frame: pd.DataFrame) -> tuple[FloatArray, FloatArray]:
    area, count = (frame[name].to_numpy(np.float64) for name in ("area_px", "corner_count"))
    return np.log(np.maximum(area, 1)), np.log(np.maximum(count, 1))


def fit(frame: pd.DataFrame) -> JsonObject:
    """Learn how many corners are usual at each size, from many masks or a sample of them.

    Args:
        frame: ``area_px`` and ``corner_count``, a row a mask, in any order.

    Returns:
        JSON-able: sizes (logarithms of areas) and the median of the logarithm of the count there;
        ``{}`` where there is no mask.
    """
    size, detail = _logarithms(frame)
    known = frame["corner_count"].notna().to_numpy()
    if not known.any():
        return {}
    order = np.lexsort((detail[known], size[known]))
    size, detail = size[known][order], detail[known][order]
    sizes = min(max(len(size) // EACH, 1), MOST_SIZES)
    parts = np.array_split(np.arange(len(size)), sizes)
    fitted: DetailReference = {
        "size": [float(np.median(size[p])) for p in parts],
        "detail": [float(np.median(detail[p])) for p in parts],
    }
    return fitted


def apply(frame: pd.DataFrame, reference: DetailReference) -> pd.DataFrame:
    """Score outlines by how far they stay behind what is usual.

    Returns:
        ``detail_score``: corners there are of the corners that are usual at this size, at most 1;
        NaN where there is no count.
    """
    size, detail = _logarithms(frame)
    score = np.full(len(frame), np.nan)
    if reference:
        usual = np.interp(size, reference["size"], reference["detail"])
        score = np.minimum(np.exp(detail - usual), 1.0)
    score[frame["corner_count"].isna().to_numpy()] = np.nan
    return pd.DataFrame({"detail_score": score}, index=frame.index)


SCORERS = (
    Scorer(
        name="detail",
        function=measure_corners,
        columns=(
            Column("corner_count", "Corners", "measure", "", "how many corners its outline has"),
        ),
        question="has its outline the detail that is usual at its size?",
        needs=("deep",),
        reads=("area_px", "corner_count"),
        fit=fit,
        apply=apply,
        applied=(
            Column(
                "detail_score",
                "Detail",
                low_means="its outline has far fewer corners than is usual at its size",
                states="its outline has fewer corners than is usual at its size "
                "({corner_count}, {detail_score:.2f} of the usual number)",
                evidence="form",
            ),
        ),
    ),
)
