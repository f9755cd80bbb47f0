"""The worst images of a dataset, each drawn whole with all its masks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from curate.images import Box, ImageFolder
from curate.render.crops import DatasetImages
from curate.render.mask_drawing import Drawing, Painter
from curate.reporting.mask_selection import runs_of
from curate.reporting.queries import ReportSource
from curate.rle import decode_counts

MOST_SHOWN = 6
MOST_MASKS = 400
"""Masks that are drawn on one image."""

PATH_CHARACTERS = 60_000
"""Length of all outlines of one image, beyond which no more are drawn."""

LONGEST_PX = 640
PICTURE_BYTES = 40_000


@dataclass(frozen=True)
class OutlinedMask:
    """One mask of an image.

    Attributes:
        mask_id: Its id.
        action: accept, review or reject.
        category: Its name; "" without one.
        path: Its outline, in pixels of the image.
    """

    mask_id: int
    action: str
    category: str
    path: str


@dataclass(frozen=True)
class WorstImage:
    """One of the worst images.

    Attributes:
        image_id: Its id.
        file_name: Its file.
        masks: How many masks it has.
        review: Of these, those to review.
        reject: Those that are rejected.
        missing: Detections that no mask explains.
        outlined: Masks that are drawn, those that are accepted first and rejected ones last, so
            that these lie on top.
        drawing: The picture; None where the image's size is not known.
    """

    image_id: int
    file_name: str
    masks: int
    review: int
    reject: int
    missing: int
    outlined: Sequence[OutlinedMask]
    drawing: Drawing | None


def draw_worst_images(
    source: ReportSource, rows: Sequence[Mapping[str, Any]], pictures: ImageFolder | None
) -> list[WorstImage]:
    """Draw the worst images that have a mask to review or rejected.

    Args:
        source: The audit.
        rows: The images, worst first, as :func:`curate.reporting.tables.by_image` has them.
        pictures: The pictures; None draws on a neutral ground.
    """
    if "action" not in source.masks:
        return []
    worst = [row for row in rows if row["reject"] or row["review"]][:MOST_SHOWN]
    masks = _find_masks(source, [int(row["image_id"]) for row in worst])
    place, runs = runs_of(source, [int(mask["mask_id"]) for mask in masks])
    painter, folder = Painter(place, runs, DatasetImages(None), 0), DatasetImages(pictures)
    return [
        _draw(row, [mask for mask in masks if mask["image_id"] == row["image_id"]], painter, folder)
        for row in worst
    ]


def _draw(
    row: Mapping[str, Any],
    masks: Sequence[Mapping[str, Any]],
    painter: Painter,
    pictures: DatasetImages,
) -> WorstImage:
    nothing, _ = decode_counts([], [], [])
    drawing = Painter({}, nothing, pictures, PICTURE_BYTES).draw_whole(row, LONGEST_PX)
    return WorstImage(
        image_id=int(row["image_id"]),
        file_name=str(row["file_name"] or ""),
        masks=int(row["n"]),
        review=int(row["review"]),
        reject=int(row["reject"]),
        missing=int(row["missing"] or 0),
        outlined=_outline(masks, painter, drawing.box) if drawing else [],
        drawing=drawing,
    )


def _outline(masks: Sequence[Mapping[str, Any]], painter: Painter, box: Box) -> list[OutlinedMask]:
    """Return the outlines of an image's masks, as many as may be drawn, the worst on top."""
    size, left, found = (box.w, box.h), PATH_CHARACTERS, []
    for mask in masks:
        path = painter.path(int(mask["mask_id"]), box, size)
        left -= len(path)
        if left < 0:
            break
        if path:
            category = str(mask["category"] or "")
            found.append(OutlinedMask(int(mask["mask_id"]), mask["action"], category, path))
    return found[::-1]


def _find_masks(source: ReportSource, images: Sequence[int]) -> Sequence[Mapping[str, Any]]:
    """Return masks of images with pixels: rejected ones, then those to review, largest first."""
    category = "category" if "category" in source.masks else "null"
    order = "action = 'reject' desc, action = 'review' desc, area_px desc, mask_id"
    return source.rows(
        f"select mask_id, image_id, action, {category} as category from masks "
        f"where image_id in ({', '.join(map(str, images)) or 'null'}) and area_px > 0 "
        f"qualify row_number() over (partition by image_id order by {order}) <= {MOST_MASKS} "
        f"order by {order}"
    )
