"""Drawing of one mask on a crop of its picture: window, outlines, marks."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from curate.images import Box, Rectangle
from curate.render.crops import DatasetImages, data_uri, shrink
from curate.render.formatting import score
from curate.render.outline_path import path_of
from curate.rle import Runs

OVERLAP_IOU = 0.2
"""Least IoU at which the mask that one overlaps most is drawn beside it."""

SHOWN_PX = 400
"""Longest side of a stored crop: sharp in the grid, good enough when enlarged."""

THUMB_PX = 112


@dataclass(frozen=True)
class Drawing:
    """A window on an image and what is drawn in it, in image pixels from the window's corner.

    Attributes:
        box: The window.
        picture: Data URI of the crop, or "" where there is no picture.
        thumb: The same, smaller, for lists.
        why: Why there is no picture.
        mine: Path of the mask.
        twin: Path of the mask that it repeats or lies in.
        others: Paths of masks nearby, where no picture shows the place.
        boxes: Boxes drawn dashed, XYWH: declared ones, or detections.
        points: Points (x, y): where the mask was prompted.
    """

    box: Box
    picture: str = ""
    thumb: str = ""
    why: str = ""
    mine: str = ""
    twin: str = ""
    others: Sequence[str] = ()
    boxes: Sequence[Rectangle] = ()
    points: Sequence[tuple[float, float]] = ()

    @property
    def unit(self) -> float:
        """A hundredth of the window's longer side: the measure of marks."""
        return self.box.longest / 100


def read_finite(row: Mapping[str, Any], names: Sequence[str]) -> tuple[float, ...] | None:
    """Return the named columns as finite numbers, or None where one is missing."""
    values = [row.get(name) for name in names]
    try:
        found = tuple(float(v) for v in values if v is not None)
    except (TypeError, ValueError, OverflowError):
        return None
    return found if len(found) == len(names) and all(map(math.isfinite, found)) else None


def box_of(row: Mapping[str, Any]) -> Rectangle | None:
    """Return the measured box of a mask, or None for one without pixels."""
    box = read_finite(row, ("bbox_x", "bbox_y", "bbox_w", "bbox_h"))
    return (box[0], box[1], box[2], box[3]) if box and box[2] > 0 and box[3] > 0 else None


def declared_of(row: Mapping[str, Any]) -> Rectangle | None:
    """Return the box that the source declares, where it is not the measured one."""
    box = read_finite(row, ("declared_x", "declared_y", "declared_w", "declared_h"))
    if box is None or box[2] <= 0 or box[3] <= 0:
        return None
    mine = box_of(row)
    if mine and all(abs(a - b) <= 2 for a, b in zip(mine, box, strict=True)):
        return None
    return (box[0], box[1], box[2], box[3])


def point_of(row: Mapping[str, Any]) -> tuple[float, float] | None:
    """Return the point a mask was prompted with."""
    point = read_finite(row, ("prompt_x", "prompt_y"))
    return (point[0], point[1]) if point else None


@dataclass(frozen=True)
class Painter:
    """Draws masks: their runs, where each stands among them, and the pictures.

    Attributes:
        place: Row in ``runs`` of each mask id.
        most_bytes: File size that one crop may take.
    """

    place: Mapping[int, int]
    runs: Runs
    pictures: DatasetImages
    most_bytes: int

    def path(self, mask_id: int | None, box: Box, size: tuple[int, int]) -> str:
        """Return the outline of a mask, "" where it is unknown or lives on another canvas."""
        row = self.place.get(mask_id) if mask_id is not None else None
        if row is None or (self.runs.widths[row], self.runs.heights[row]) != size:
            return ""
        return path_of(self.runs, row, box, SHOWN_PX)

    def draw(
        self,
        row: Mapping[str, Any],
        box: Box,
        twin: int | None,
        others: Sequence[int],
        thumb: bool = False,
    ) -> Drawing:
        """Draw one mask.

        Args:
            row: Its columns.
            box: The window.
            twin: The mask drawn beside it in another colour.
            others: Masks drawn around it where there is no picture.
            thumb: Whether a small version is wanted too.
        """
        size = (int(row["width"]), int(row["height"]))
        piece, why = self.pictures.crop(row.get("file_name"), size, box, SHOWN_PX)
        around = () if piece else [self.path(i, box, size) for i in others]
        declared, point = declared_of(row), point_of(row)
        return Drawing(
            box=box,
            picture=data_uri(piece, self.most_bytes) if piece else "",
            thumb=data_uri(shrink(piece, THUMB_PX), 4000) if piece and thumb else "",
            why=why,
            mine=self.path(int(row["mask_id"]), box, size),
            twin=self.path(twin, box, size),
            others=[path for path in around if path],
            boxes=[_shift(declared, box)] if declared else (),
            points=[(point[0] - box.x + 0.5, point[1] - box.y + 0.5)] if point else (),
        )

    def draw_boxes(self, row: Mapping[str, Any], boxes: Sequence[Rectangle]) -> Drawing | None:
        """Draw boxes on a whole image: what detectors saw and no mask explains."""
        drawn = self.draw_whole(row, SHOWN_PX)
        return None if drawn is None else replace(drawn, boxes=boxes)

    def draw_whole(self, row: Mapping[str, Any], longest: int) -> Drawing | None:
        """Return a whole image without a mask; None where its size is not known.

        Args:
            row: Its columns.
            longest: Longest side of the picture, in pixels of the page.
        """
        size = (int(row["width"] or 0), int(row["height"] or 0))
        if min(size) < 1:
            return None
        whole = Box(0, 0, *size)
        piece, why = self.pictures.crop(row.get("file_name"), size, whole, longest)
        return Drawing(whole, data_uri(piece, self.most_bytes) if piece else "", why=why)


def _shift(rectangle: Rectangle, box: Box) -> Rectangle:
    x, y, w, h = rectangle
    return (round(x - box.x, 1), round(y - box.y, 1), round(w, 1), round(h, 1))


def twin_of(row: Mapping[str, Any]) -> int | None:
    """Return the mask to draw beside one, None where there is none worth showing.

    That is its twin, the mask that it overlaps much, or one that a reason names.
    """
    found = _partner(row)
    return found[1] if found else None


def _partner(row: Mapping[str, Any]) -> tuple[str, int] | None:
    """Return the column that points at the mask to draw beside one, and that mask."""
    reasons = str(row.get("reasons") or "")
    for column in ("duplicate_of", "overlap_with", "nested_in"):
        found = read_finite(row, (column,))
        if found is None or int(found[0]) == row["mask_id"]:
            continue
        iou = read_finite(row, ("overlap_iou",)) if column == "overlap_with" else None
        near = column == "duplicate_of" or (iou is not None and iou[0] >= OVERLAP_IOU)
        if near or re.search(rf"\bmask {int(found[0])}\b", reasons):
            return column, int(found[0])
    return None


def twin_kind(row: Mapping[str, Any]) -> str:
    """Return the relation of :func:`twin_of` to a mask: "copy", "overlap", "container", or ""."""
    kinds = {"duplicate_of": "copy", "overlap_with": "overlap", "nested_in": "container"}
    found = _partner(row)
    return kinds[found[0]] if found else ""


def twin_words(row: Mapping[str, Any]) -> str:
    """Describe the mask of :func:`twin_of` in words."""
    found = _partner(row)
    if found is None:
        return ""
    if found[0] == "nested_in":
        return f"mask {found[1]}, which contains it"
    twin = found[0] == "duplicate_of"
    iou = read_finite(row, ("duplicate_iou" if twin else "overlap_iou",))
    words = "a better mask of the same object" if twin else "which overlaps it"
    return f"mask {found[1]}, {words}" + (f" (IoU {score(iou[0])})" if iou else "")
