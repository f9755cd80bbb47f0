"""Do the stored box and area describe the stored mask?"""

from __future__ import annotations

import numpy as np
import pandas as pd

from curate.rle.runs import FloatArray
from curate.scorers.base import Column, Scorer, present
from curate.scorers.geometry import geometry
from curate.table import MaskTable

BOX_COLUMNS = ("declared_x", "declared_y", "declared_w", "declared_h")


def declaration(table: MaskTable, *, box_tolerance_px: float = 1.0) -> pd.DataFrame:
    """Compare the declared box and area with the measured ones.

    What habits of the formats explain is no error. SA-1B boxes end one pixel early, COCO's polygon
    boxes are fractions: a side within ``box_tolerance_px`` counts as equal. COCO's polygon areas
    are continuous and differ by up to half the outline: such an area counts as equal.

    Args:
        table: n masks.
        box_tolerance_px: Pixels by which each side of a box may be off.

    Returns:
        ``declaration_score`` in [0, 1]: the smaller of the boxes' IoU and of min / max of the two
        areas, of what is declared. NaN where nothing is declared and for a mask without a pixel
        (its ``status`` says so already). Own definition.
    """
    box, area = _box_score(table, box_tolerance_px), _area_score(table)
    score = np.where(present(table), np.fmin(box, area), np.nan)
    return pd.DataFrame({"declaration_score": score}, index=table.masks.index)


def _box_score(table: MaskTable, tolerance: float) -> FloatArray:
    if not all(column in table.masks.columns for column in BOX_COLUMNS):
        return np.full(len(table), np.nan)
    declared = table.masks[list(BOX_COLUMNS)].to_numpy(np.float64)
    measured = table.boxes.astype(np.float64)
    known = np.isfinite(declared).all(axis=1)
    declared = np.where(known[:, None], declared, 0)
    low, high = declared[:, :2], declared[:, :2] + declared[:, 2:]
    own_low, own_high = measured[:, :2], measured[:, :2] + measured[:, 2:]
    # A side that is close enough is moved onto the measured one, so that only real gaps count.
    low = np.where(np.abs(low - own_low) <= tolerance, own_low, low)
    high = np.where(np.abs(high - own_high) <= tolerance, own_high, high)
    shared = np.clip(np.minimum(high, own_high) - np.maximum(low, own_low), 0, None).prod(axis=1)
    both = np.clip(high - low, 0, None).prod(axis=1) + measured[:, 2:].prod(axis=1) - shared
    with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
        iou = np.clip(np.nan_to_num(shared / both), 0, 1)
    return np.where(known, iou, np.nan)


def _area_score(table: MaskTable) -> FloatArray:
    if "declared_area" not in table.masks.columns:
        return np.full(len(table), np.nan)
    declared = table.masks["declared_area"].to_numpy(np.float64)
    area = table.masks["area_px"].to_numpy(np.float64)
    known = np.isfinite(declared)
    declared = np.where(known, np.clip(declared, 0, None), 0)
    close = np.abs(declared - area) <= geometry(table).perimeter_px / 2
    ratio = np.minimum(declared, area) / np.maximum(np.maximum(declared, area), 1)
    return np.where(known, np.where(close, 1.0, ratio), np.nan)


SCORERS = (
    Scorer(
        name="declaration",
        question="do the stored box and area match it?",
        function=declaration,
        columns=(
            Column(
                "declaration_score",
                "Declared box and area",
                low_means="the stored box or area is not that of the mask",
            ),
        ),
    ),
)
