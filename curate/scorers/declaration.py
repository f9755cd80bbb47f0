"""Declaration signal: stored box and area against the mask's own."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from curate.common.arrays import FloatArray
from curate.dataset.table import STRING, MaskTable
from curate.scorers.declared_habits import AREAS, BOX, BOXES, MEASURED, find_habit, follows_habit
from curate.scorers.geometry import geometry
from curate.scorers.scorer import Column, Scorer, clip_coordinates, has_pixels


def declaration(table: MaskTable, *, box_tolerance_px: float = 1.0) -> pd.DataFrame:
    """Compare the declared box and area with the measured ones.

    What habits of the formats explain is no error. SA-1B boxes end one pixel early, COCO's polygon
    boxes are fractions: a side within ``box_tolerance_px`` counts as equal. COCO's polygon areas
    are continuous and differ by up to half the outline: such an area counts as equal.

    Args:
        table: n masks.
        box_tolerance_px: Pixels by which each side of a box may be off.

    Returns:
        ``declared_box_iou`` in [0, 1]: the boxes' IoU; ``declared_area_ratio`` in [0, 1]: min / max
        of the two areas. NaN where nothing is declared and for a mask without a pixel (its
        ``status`` says so already). Own definitions.
    """
    here = has_pixels(table)
    columns = {
        "declared_box_iou": _box_score(table, box_tolerance_px),
        "declared_area_ratio": _area_score(table),
    }
    columns = {name: np.where(here, values, np.nan) for name, values in columns.items()}
    return pd.DataFrame(columns, index=table.masks.index)


def fit(frame: pd.DataFrame) -> dict[str, Any]:
    """Learn the file's habits, from many masks or a sample of them.

    Args:
        frame: The columns that the scorer reads, a row a mask, in any order.

    Returns:
        JSON-able: ``area`` and ``box``, a habit each (see
        :func:`~curate.scorers.declared_habits.find_habit`), None for none.
    """
    return {"area": find_habit(frame, AREAS), "box": find_habit(frame, BOXES)}


def apply(frame: pd.DataFrame, reference: Mapping[str, Any]) -> pd.DataFrame:
    """Score what is stored beside each mask, habits of the file taken out.

    Args:
        frame: As for :func:`fit`.
        reference: What :func:`fit` gave.

    Returns:
        ``declared_box_score``, ``declared_area_score``: as measured, 1 for a mask that follows the
        habit of its file; ``declaration_score``: the smaller of them; ``declaration_habit``: the
        words of the habits it follows, "" for none.
    """
    scores, habits = {}, np.full(len(frame), "", object)
    for kind, measure in (("box", "declared_box_iou"), ("area", "declared_area_ratio")):
        habit = reference.get(kind)
        does = follows_habit(frame, habit)
        values = frame[measure].to_numpy(np.float64)
        scores[f"declared_{kind}_score"] = np.where(does & np.isfinite(values), 1.0, values)
        if habit is not None:
            habits[does] = [f"{text} {habit['kind']}".strip() for text in habits[does]]
    lower = np.fmin(scores["declared_box_score"], scores["declared_area_score"])
    found = pd.DataFrame({**scores, "declaration_score": lower}, index=frame.index)
    found["declaration_habit"] = pd.Series(habits, frame.index, dtype=STRING)
    return found


def _box_score(table: MaskTable, tolerance: float) -> FloatArray:
    if not all(column in table.masks.columns for column in BOX):
        return np.full(len(table), np.nan)
    declared = table.masks[list(BOX)].to_numpy(np.float64)
    measured = table.boxes.astype(np.float64)
    known = np.isfinite(declared).all(axis=1)
    declared = clip_coordinates(np.where(known[:, None], declared, 0))
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
                "declared_box_iou",
                "IoU of stored and measured box",
                "measure",
                "share",
                "how well the stored box is that of the mask",
            ),
            Column(
                "declared_area_ratio",
                "Stored and measured area",
                "measure",
                "share",
                "the smaller of the two areas as a share of the larger",
            ),
        ),
        reads=("area_px", *MEASURED, "declared_box_iou", "declared_area_ratio"),
        may_read=(*BOX, "declared_area", "height", "width"),
        fit=fit,
        apply=apply,
        applied=(
            Column(
                "declared_box_score",
                "Declared box",
                low_means="the stored box is not that of the mask",
                states="the stored box is not that of the mask (IoU {declared_box_iou:.2f})",
            ),
            Column(
                "declared_area_score",
                "Declared area",
                low_means="the stored area is not that of the mask",
                states="the stored area is not that of the mask ({declared_area} px for "
                "{area_px} px)",
            ),
            Column(
                "declaration_score",
                "Declared box and area",
                low_means="the stored box or area is not that of the mask",
                states="the stored box or area is not that of the mask "
                "({declaration_score:.2f} of it)",
            ),
            Column(
                "declaration_habit",
                "Habits it follows",
                "word",
                "",
                "habits of its file in stored boxes and areas that it follows",
            ),
        ),
    ),
)
