"""Declaration signal: stored box and area against the mask's own, and habits of a file in them.

A habit (every area that of the box, every box empty) is no error of a mask: it is said once for the
file, and taken out of each mask's scores. Where most masks follow a habit, one that does not is
still judged by its own numbers.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pandas as pd

from curate.common.arrays import BoolArray, FloatArray
from curate.dataset.notes import FILE_SHARE
from curate.dataset.table import STRING, MaskTable
from curate.scorers.geometry import geometry
from curate.scorers.scorer import Column, Scorer, clip_coordinates, has_pixels
from curate.store.audit_records import HabitRecord

LEAST_MASKS = 5
"""Masks that could show a habit, at least."""

BOX = ("declared_x", "declared_y", "declared_w", "declared_h")
MEASURED = ("bbox_x", "bbox_y", "bbox_w", "bbox_h")

AREAS: dict[str, str] = {
    "area_zero": "the stored area is 0",
    "area_negative": "the stored area is negative",
    "area_of_box": "the stored area is that of the box",
    "area_share": "the stored area is a share of the image",
    "area_same": "the stored area is the same number everywhere",
}
"""Habits of areas, and how they are said; of several that fit the first is taken."""

BOXES: dict[str, str] = {
    "box_empty": "the stored box has no width or no height",
    "box_corners": "the stored box is left, top, right, bottom",
    "box_centre": "the stored box is its centre, width and height",
    "box_share": "the stored box is in shares of the image",
    "box_offset": "the stored box is off by the same pixels",
}
"""The same for boxes."""

HALF = 0.5
"""Where more of the masks than this do have the same area, nothing is odd about it."""

_NEAR_PX = 1.5
_SAME_PX = 0.1
_NEAR_SHARE = 0.02


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


def fit(frame: pd.DataFrame) -> dict[str, HabitRecord | None]:
    """Learn the file's habits, from many masks or a sample of them.

    Args:
        frame: The columns that the scorer reads, a row a mask, in any order.

    Returns:
        JSON-able: ``area`` and ``box``, a habit each (see
        :func:`find_habit`), None for none.
    """
    return {"area": find_habit(frame, AREAS), "box": find_habit(frame, BOXES)}


def apply(frame: pd.DataFrame, reference: Mapping[str, HabitRecord | None]) -> pd.DataFrame:
    """Score what is stored beside each mask, habits of the file taken out.

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
            habits[does] = [f"{text} {habit.get('kind', '')}".strip() for text in habits[does]]
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


def find_habit(frame: pd.DataFrame, kinds: Mapping[str, str]) -> HabitRecord | None:
    """Find the habit that most masks follow.

    Args:
        frame: A row a mask: ``area_px``, the measured and the declared columns, ``height`` and
            ``width`` where they are known.
        kinds: :data:`AREAS` or :data:`BOXES`.

    Returns:
        JSON-able: ``kind``, ``text`` and what :func:`follows_habit` needs; None for no habit.
    """
    present = frame[frame["area_px"] > 0]
    for kind, text in kinds.items():
        habit: HabitRecord = {"kind": kind, "text": text, **_fit_habit(present, kind)}
        able, does = _RULES[kind](present, habit)
        if able.sum() >= LEAST_MASKS and (able & does).sum() > FILE_SHARE * able.sum():
            return habit
    return None


def follows_habit(frame: pd.DataFrame, habit: HabitRecord | None) -> BoolArray:
    """Return which masks follow a habit; none where there is none."""
    if habit is None or habit.get("kind", "") not in _RULES:
        return np.zeros(len(frame), np.bool_)
    able, does = _RULES[habit.get("kind", "")](frame, habit)
    return np.asarray(able & does & (_column(frame, "area_px") > 0), np.bool_)


def _fit_habit(frame: pd.DataFrame, kind: str) -> HabitRecord:
    """Return the numbers of a habit: by how much boxes are off, which area is everywhere."""
    if kind == "box_offset":
        off = _offsets(frame)
        off = off[np.isfinite(off).all(axis=1)]
        off = np.median(off, axis=0) if len(off) else np.zeros(4)
        if (np.abs(off) > 2 * _SAME_PX).any():
            signed = ", ".join(f"{s} {v:+.3g}" for s, v in zip("xywh", off, strict=True) if v)
            return {"off": off.tolist(), "text": f"{BOXES[kind]} ({signed})"}
    if kind == "area_same":
        values = _column(frame, "declared_area")
        found, counts = np.unique(values[np.isfinite(values)], return_counts=True)
        value = float(found[counts.argmax()]) if len(found) else np.nan
        own = _column(frame, "area_px")[values == value]
        if len(own) and not _near(np.full(len(own), value), own).mean() > HALF:
            return {"value": value, "text": f"{AREAS[kind]} ({value:g})"}
    return {}


def _column(frame: pd.DataFrame, name: str) -> FloatArray:
    """Return a column as floats that can be computed with, NaN where the frame lacks it."""
    if name not in frame:
        return np.full(len(frame), np.nan)
    values = np.asarray(frame[name].to_numpy(np.float64, na_value=np.nan), np.float64)
    return np.where(np.isfinite(values), clip_coordinates(values), np.nan)


def _columns(frame: pd.DataFrame, names: tuple[str, ...]) -> FloatArray:
    return np.column_stack([_column(frame, name) for name in names])


def _offsets(frame: pd.DataFrame) -> FloatArray:
    return np.asarray(_columns(frame, BOX) - _columns(frame, MEASURED), np.float64)


def _near(a: FloatArray, b: FloatArray, share: float = _NEAR_SHARE) -> BoolArray:
    """Return where two numbers are equal within a share, or within a pixel and a half."""
    with np.errstate(invalid="ignore"):
        return np.asarray(np.abs(a - b) <= np.maximum(share * np.abs(b), _NEAR_PX), np.bool_)


Found = tuple[BoolArray, BoolArray]


def _as_flags(able: Any, does: Any) -> Found:
    return np.asarray(able, np.bool_), np.asarray(does, np.bool_)


def _area_zero(frame: pd.DataFrame, _: HabitRecord) -> Found:
    area = _column(frame, "declared_area")
    return _as_flags(np.isfinite(area), area == 0)


def _area_negative(frame: pd.DataFrame, _: HabitRecord) -> Found:
    area = _column(frame, "declared_area")
    return _as_flags(np.isfinite(area), area < 0)


def _area_of_box(frame: pd.DataFrame, _: HabitRecord) -> Found:
    """Of masks that fill their box nobody can tell."""
    area, own = _column(frame, "declared_area"), _column(frame, "area_px")
    measured, declared = (
        columns[:, 2] * columns[:, 3]
        for columns in (_columns(frame, MEASURED), _columns(frame, BOX))
    )
    able = np.isfinite(area) & (own < 0.95 * measured)
    return _as_flags(
        able, (_near(area, measured, 0.005) | _near(area, declared, 0.005)) & (area > 0)
    )


def _area_share(frame: pd.DataFrame, _: HabitRecord) -> Found:
    area, own = _column(frame, "declared_area"), _column(frame, "area_px")
    pixels = _column(frame, "height") * _column(frame, "width")
    able = np.isfinite(area) & np.isfinite(pixels)
    return _as_flags(able, (area > 0) & (area <= 1) & (own > 10) & _near(area * pixels, own, 0.1))


def _area_same(frame: pd.DataFrame, habit: HabitRecord) -> Found:
    area = _column(frame, "declared_area")
    return _as_flags(np.isfinite(area), area == habit.get("value", np.nan))


def _box_empty(frame: pd.DataFrame, _: HabitRecord) -> Found:
    box = _columns(frame, BOX)
    return _as_flags(np.isfinite(box).all(axis=1), (box[:, 2:] <= 0).any(axis=1))


def _box_corners(frame: pd.DataFrame, _: HabitRecord) -> Found:
    """Of masks at the left and upper border nobody can tell."""
    box, own = _columns(frame, BOX), _columns(frame, MEASURED)
    able = np.isfinite(box).all(axis=1) & (own[:, :2] > 2 * _NEAR_PX).any(axis=1)
    corners = np.column_stack([own[:, :2], own[:, :2] + own[:, 2:]])
    return _as_flags(able, _near(box, corners, 0).all(axis=1))


def _box_centre(frame: pd.DataFrame, _: HabitRecord) -> Found:
    box, own = _columns(frame, BOX), _columns(frame, MEASURED)
    able = np.isfinite(box).all(axis=1) & (own[:, 2:] > 4 * _NEAR_PX).any(axis=1)
    centre = np.column_stack([own[:, :2] + own[:, 2:] / 2, own[:, 2:]])
    return _as_flags(able, _near(box, centre, 0).all(axis=1))


def _box_share(frame: pd.DataFrame, _: HabitRecord) -> Found:
    """In shares a box is XYWH, or YOLO's centre, width and height."""
    box, own = _columns(frame, BOX), _columns(frame, MEASURED)
    size = np.tile(_columns(frame, ("width", "height")), 2)
    able = np.isfinite(box).all(axis=1) & np.isfinite(size).all(axis=1)
    centre = np.column_stack([own[:, :2] + own[:, 2:] / 2, own[:, 2:]])
    scaled = box * size
    fits = _near(scaled, own, 0).all(axis=1) | _near(scaled, centre, 0).all(axis=1)
    return _as_flags(able, fits & (box <= 1.01).all(axis=1) & (own[:, 2:] > 2).any(axis=1))


def _box_offset(frame: pd.DataFrame, habit: HabitRecord) -> Found:
    off = _offsets(frame)
    shift = np.array(habit.get("off", [np.nan] * 4))
    with np.errstate(invalid="ignore"):
        does = (np.abs(off - shift) <= _SAME_PX).all(axis=1)
    return _as_flags(np.isfinite(off).all(axis=1), does)


_RULES: dict[str, Callable[[pd.DataFrame, HabitRecord], Found]] = {
    "area_zero": _area_zero,
    "area_negative": _area_negative,
    "area_of_box": _area_of_box,
    "area_share": _area_share,
    "area_same": _area_same,
    "box_empty": _box_empty,
    "box_corners": _box_corners,
    "box_centre": _box_centre,
    "box_share": _box_share,
    "box_offset": _box_offset,
}

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
