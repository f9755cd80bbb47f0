"""Habits of a file's stored boxes and areas: every area that of the box, every box empty.

A habit is no error of a mask: it is said once for the file, and taken out of each mask's scores.
Where most masks follow a habit, one that does not is still judged by its own numbers.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pandas as pd

from curate.common.arrays import BoolArray, FloatArray
from curate.dataset.notes import FILE_SHARE
from curate.scorers.scorer import clip_coordinates

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


def find_habit(frame: pd.DataFrame, kinds: Mapping[str, str]) -> dict[str, Any] | None:
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
        habit = {"kind": kind, "text": text, **_fit_habit(present, kind)}
        able, does = _RULES[kind](present, habit)
        if able.sum() >= LEAST_MASKS and (able & does).sum() > FILE_SHARE * able.sum():
            return habit
    return None


def follows_habit(frame: pd.DataFrame, habit: Mapping[str, Any] | None) -> BoolArray:
    """Return which masks follow a habit; none where there is none."""
    if habit is None or str(habit["kind"]) not in _RULES:
        return np.zeros(len(frame), np.bool_)
    able, does = _RULES[str(habit["kind"])](frame, habit)
    return np.asarray(able & does & (_column(frame, "area_px") > 0), np.bool_)


def _fit_habit(frame: pd.DataFrame, kind: str) -> dict[str, Any]:
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


def _found(able: Any, does: Any) -> Found:
    return np.asarray(able, np.bool_), np.asarray(does, np.bool_)


def _area_zero(frame: pd.DataFrame, _: Mapping[str, Any]) -> Found:
    area = _column(frame, "declared_area")
    return _found(np.isfinite(area), area == 0)


def _area_negative(frame: pd.DataFrame, _: Mapping[str, Any]) -> Found:
    area = _column(frame, "declared_area")
    return _found(np.isfinite(area), area < 0)


def _area_of_box(frame: pd.DataFrame, _: Mapping[str, Any]) -> Found:
    """Of masks that fill their box nobody can tell."""
    area, own = _column(frame, "declared_area"), _column(frame, "area_px")
    measured, declared = (
        columns[:, 2] * columns[:, 3]
        for columns in (_columns(frame, MEASURED), _columns(frame, BOX))
    )
    able = np.isfinite(area) & (own < 0.95 * measured)
    return _found(able, (_near(area, measured, 0.005) | _near(area, declared, 0.005)) & (area > 0))


def _area_share(frame: pd.DataFrame, _: Mapping[str, Any]) -> Found:
    area, own = _column(frame, "declared_area"), _column(frame, "area_px")
    pixels = _column(frame, "height") * _column(frame, "width")
    able = np.isfinite(area) & np.isfinite(pixels)
    return _found(able, (area > 0) & (area <= 1) & (own > 10) & _near(area * pixels, own, 0.1))


def _area_same(frame: pd.DataFrame, habit: Mapping[str, Any]) -> Found:
    area = _column(frame, "declared_area")
    return _found(np.isfinite(area), area == habit.get("value", np.nan))


def _box_empty(frame: pd.DataFrame, _: Mapping[str, Any]) -> Found:
    box = _columns(frame, BOX)
    return _found(np.isfinite(box).all(axis=1), (box[:, 2:] <= 0).any(axis=1))


def _box_corners(frame: pd.DataFrame, _: Mapping[str, Any]) -> Found:
    """Of masks at the left and upper border nobody can tell."""
    box, own = _columns(frame, BOX), _columns(frame, MEASURED)
    able = np.isfinite(box).all(axis=1) & (own[:, :2] > 2 * _NEAR_PX).any(axis=1)
    corners = np.column_stack([own[:, :2], own[:, :2] + own[:, 2:]])
    return _found(able, _near(box, corners, 0).all(axis=1))


def _box_centre(frame: pd.DataFrame, _: Mapping[str, Any]) -> Found:
    box, own = _columns(frame, BOX), _columns(frame, MEASURED)
    able = np.isfinite(box).all(axis=1) & (own[:, 2:] > 4 * _NEAR_PX).any(axis=1)
    centre = np.column_stack([own[:, :2] + own[:, 2:] / 2, own[:, 2:]])
    return _found(able, _near(box, centre, 0).all(axis=1))


def _box_share(frame: pd.DataFrame, _: Mapping[str, Any]) -> Found:
    """In shares a box is XYWH, or YOLO's centre, width and height."""
    box, own = _columns(frame, BOX), _columns(frame, MEASURED)
    size = np.tile(_columns(frame, ("width", "height")), 2)
    able = np.isfinite(box).all(axis=1) & np.isfinite(size).all(axis=1)
    centre = np.column_stack([own[:, :2] + own[:, 2:] / 2, own[:, 2:]])
    scaled = box * size
    fits = _near(scaled, own, 0).all(axis=1) | _near(scaled, centre, 0).all(axis=1)
    return _found(able, fits & (box <= 1.01).all(axis=1) & (own[:, 2:] > 2).any(axis=1))


def _box_offset(frame: pd.DataFrame, habit: Mapping[str, Any]) -> Found:
    off = _offsets(frame)
    shift = np.array(habit.get("off", [np.nan] * 4))
    with np.errstate(invalid="ignore"):
        does = (np.abs(off - shift) <= _SAME_PX).all(axis=1)
    return _found(np.isfinite(off).all(axis=1), does)


_RULES: dict[str, Callable[[pd.DataFrame, Mapping[str, Any]], Found]] = {
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
