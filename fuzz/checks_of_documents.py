"""Masks of JSON documents, one an image, held against a plain parser and pycocotools."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from curate.dataset.table import MaskTable
from fuzz import reference
from fuzz.checks import Files, compare_mask, parse_json, rows_by_key


def check_labelme(files: Files, tables: Sequence[MaskTable]) -> None:
    """Check polygons of labelme that belong to no group."""
    for key, row in rows_by_key(tables).items():
        name, _, number = key.rpartition("#/shapes/")
        whole = parse_json(files[name]) if name in files else None
        if not isinstance(whole, dict) or not isinstance(whole.get("shapes"), list):
            continue
        shape = whole["shapes"][int(number)]
        size = whole.get("imageHeight"), whole.get("imageWidth")
        if not isinstance(shape, dict) or size != (row["height"], row["width"]):
            continue
        ring = _flat(shape.get("points"))
        is_polygon = shape.get("shape_type") == "polygon" and shape.get("group_id") is None
        if is_polygon and len(ring) >= 6 and reference.is_size(*size):
            compare_mask(row, reference.of_polygons([ring], *size), False)


def check_supervisely(files: Files, tables: Sequence[MaskTable]) -> None:
    """Check polygons of Supervisely that have no holes."""
    for key, row in rows_by_key(tables).items():
        name, _, number = key.rpartition("#/objects/")
        whole = parse_json(files[name]) if name in files else None
        if not isinstance(whole, dict) or not isinstance(whole.get("objects"), list):
            continue
        figure, size = whole["objects"][int(number)], whole.get("size")
        sides = row["height"], row["width"]
        if not isinstance(figure, dict) or figure.get("geometryType") != "polygon":
            continue
        if not isinstance(size, dict) or (size.get("height"), size.get("width")) != sides:
            continue
        points = figure.get("points")
        if isinstance(points, dict) and points.get("interior") == [] and reference.is_size(*sides):
            ring = _flat(points.get("exterior"))
            if len(ring) >= 6:
                compare_mask(row, reference.of_polygons([ring], *sides), False)


def _flat(points: Any) -> list[float]:
    """Return x and y in turn; nothing where a point is no pair of numbers."""
    flat: list[float] = []
    for point in points if isinstance(points, list) else ():
        if not isinstance(point, list) or [*map(type, point)] not in _PAIRS:
            return []
        flat += point
    return flat


_PAIRS = [[a, b] for a in (int, float) for b in (int, float)]
