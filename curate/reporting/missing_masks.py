"""Cards of images with possibly missing masks: unmatched detections, drawn."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from curate.images import ImageFolder, Rectangle
from curate.render.crops import DatasetImages
from curate.render.formatting import score
from curate.render.mask_drawing import Drawing, Painter, box_of, read_finite
from curate.rle import decode_counts


@dataclass(frozen=True)
class Unexplained:
    """An image with detections that no mask explains."""

    image_id: int
    file_name: str
    count: int
    found: Sequence[str]
    drawing: Drawing | None


def draw(
    rows: Sequence[Mapping[str, Any]], images: ImageFolder | None, names: Mapping[int, str]
) -> list[Unexplained]:
    """Draw the detections that no mask explains on their images.

    Args:
        rows: As :func:`curate.reporting.tables.missing_masks` gives them.
        images: The pictures, or None.
        names: Categories by their numbers, for detectors that only tell a number.
    """
    nothing, _ = decode_counts([], [], [])
    painter = Painter({}, nothing, DatasetImages(images), 24_000)
    result = []
    for row in rows:
        seen = _detections(row.get("found"), names)
        drawing = painter.draw_boxes(row, [box for _, box in seen])
        words = [text for text, _ in seen if text]
        result.append(
            Unexplained(row["image_id"], str(row["file_name"]), int(row["n"]), words, drawing)
        )
    return result


def _detections(text: Any, names: Mapping[int, str], most: int = 40) -> list[tuple[str, Rectangle]]:
    try:
        entries = json.loads(text) if isinstance(text, str | bytes) and text else []
    except ValueError:
        return []
    found = []
    for entry in entries[:most] if isinstance(entries, list) else ():
        if not isinstance(entry, Mapping) or not entry.get("counted", True):
            continue
        box = _box_in(entry)
        if box is not None:
            confidence = read_finite(entry, ("score",))
            name = entry.get("category") or names.get(entry.get("category_id", -1), "")
            found.append(
                (f"{name} {score(confidence[0])}".strip() if confidence else str(name), box)
            )
    return found


def _box_in(entry: Mapping[str, Any]) -> Rectangle | None:
    box = entry.get("bbox", entry.get("box"))
    if isinstance(box, Sequence) and len(box) == 4:
        entry = dict(zip(("bbox_x", "bbox_y", "bbox_w", "bbox_h"), box, strict=True))
    return box_of(entry)
