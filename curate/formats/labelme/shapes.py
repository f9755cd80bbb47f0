"""Shapes of a labelme document: which are masks, which of them are one, and their pixels.

Shapes with one label and one ``group_id`` are one mask, the union of what they enclose: so the
exporters of labelme (to COCO and VOC) and of X-AnyLabeling (to COCO) read them. A shape without a
``group_id`` is a mask by itself. Polygons (the default of ``shape_type``) and masks count;
rectangles, circles, lines, points and cuboids are no masks, whatever their group.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

import numpy as np

from curate import rle
from curate.common.json_values import is_finite_number
from curate.formats.json.json_columns import text, whole_number
from curate.formats.png.embedded_png import decode_text, place_mask, read_embedded
from curate.formats.png.png_reading import PictureProblem
from curate.formats.segmentation import (
    MAX_COORDINATE,
    Segmentation,
    flatten_points,
    json_type,
    read_segmentation,
    size_problem,
    valid_size,
)

POLYGON, MASK = "polygon", "mask"

IGNORED = "__ignore__"
"""The label of regions that labelme's exporters leave out: void, no object."""

Size = tuple[int, int]


@dataclass(frozen=True)
class ShapeGroup:
    """One mask: shapes of one label and group.

    Attributes:
        numbers: Where its shapes stand in the list, in order.
        label: Its label; None where it has none.
        group_id: As it stands in the file; None where it has none.
        kind: Type of its first shape: :data:`POLYGON`, :data:`MASK`, or "" for what is no object.
    """

    numbers: tuple[int, ...]
    label: str | None
    group_id: object
    kind: str

    @property
    def identity(self) -> tuple[str | None, str]:
        """Label and group, by which shapes belong together."""
        return self.label, group_key(self.group_id)


def group_key(group_id: object) -> str:
    """Return a group's id as a text; 1 and 1.0 are the same."""
    number = whole_number(group_id)
    return json.dumps(group_id if number is None else number)


def shape_kind(shape: object) -> str:
    """Return the type of a shape; that of one without any is :data:`POLYGON`, of no object ""."""
    if type(shape) is not dict:
        return ""
    kind = shape.get("shape_type")
    return POLYGON if kind in (None, "") else text(kind)


def label_of(shape: Mapping[str, Any]) -> str | None:
    """Return a shape's label; None where it has none."""
    label = shape.get("label")
    return None if label in (None, "") else text(label)


def group_shapes(shapes: Sequence[Any]) -> list[ShapeGroup]:
    """Return the masks of a document, in the order of their first shapes."""
    found: dict[object, list[int]] = {}
    for number, shape in enumerate(shapes):
        kind = shape_kind(shape)
        if kind not in (POLYGON, MASK, ""):
            continue
        group = shape.get("group_id") if kind else None
        key = number if group is None else (label_of(shape), group_key(group))
        found.setdefault(key, []).append(number)
    made = []
    for numbers in found.values():
        first = shapes[numbers[0]]
        kind = shape_kind(first)
        label, group = (label_of(first), first.get("group_id")) if kind else (None, None)
        made.append(ShapeGroup(tuple(numbers), label, group, kind))
    return made


def other_kinds(shapes: Iterable[Any]) -> list[str]:
    """Return the types of shapes that are no masks, one for each shape."""
    kinds = map(shape_kind, shapes)
    return [kind for kind in kinds if kind not in (POLYGON, MASK, "")]


def read_group(shapes: Sequence[Any], group: ShapeGroup, size: Size) -> Segmentation:
    """Return the pixels of a mask, or a status that says why there are none.

    Args:
        shapes: All shapes of the document.
        group: Which of them are the mask.
        size: Height and width of the image.
    """
    if not group.kind:
        problem = f"the shape is {json_type(shapes[group.numbers[0]])}, not an object"
        return Segmentation(None, "wrong_type", problem)
    if not valid_size(*size):
        return Segmentation(None, "invalid_size", size_problem(*size))
    mine = [shapes[number] for number in group.numbers]
    rings = [flatten_points(one.get("points")) for one in mine if shape_kind(one) == POLYGON]
    read = [read_segmentation(rings, *size)] if rings else []
    for one in mine:
        if shape_kind(one) == MASK:
            read.append(_read_mask(one, size))
    return _unite(read, size)


def _unite(read: Sequence[Segmentation], size: Size) -> Segmentation:
    broken = next((one for one in read if one.counts is None), None)
    if broken is not None:
        return broken
    if len(read) == 1:
        return read[0]
    heights, widths = ([side] * len(read) for side in size)
    runs, _ = rle.decode_counts([cast(bytes, one.counts) for one in read], heights, widths)
    counts = cast(bytes, rle.encode_counts(rle.merge(runs))[0].as_py())
    repairs = tuple(kind for one in read for kind in one.repairs)
    return Segmentation(counts, repairs=repairs, crossings=read[0].crossings)


def _read_mask(shape: Mapping[str, Any], size: Size) -> Segmentation:
    """Read a shape with a PNG, which lies with its upper left pixel at the first of two points."""
    points = shape.get("points")
    corner = points[0] if type(points) is list and points else None
    if (
        type(corner) is not list
        or len(corner) != 2
        or not all(is_finite_number(value) and abs(value) <= MAX_COORDINATE for value in corner)
    ):
        return Segmentation(None, "wrong_type", "the mask's points are not its two corners")
    x, y = (int(np.round(value)) for value in corner)
    if shape.get("mask") is None:
        return Segmentation(None, "no_segmentation", "the shape has no mask")
    try:
        pixels = read_embedded(decode_text(shape["mask"]), size, opacity=False)
    except PictureProblem as problem:
        return Segmentation(None, problem.status, problem.detail)
    return place_mask(pixels, x, y, size)
