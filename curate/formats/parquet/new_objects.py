"""New and changed objects of a Parquet, in the spellings that its columns have."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from typing import Any

import pyarrow as pa

from curate import rle
from curate.common.json_values import JsonObject
from curate.errors import CallError
from curate.formats.edits import Addition, Change, Edits, Stored
from curate.formats.mask_values import (
    COMPRESSED,
    POLYGON,
    UNCOMPRESSED,
    MaskValues,
    NewMask,
    kind_of,
    measure_masks,
)
from curate.formats.new_pixels import new_runs
from curate.formats.parquet.mask_pictures import holds_pictures, picture_value, read_mask
from curate.formats.parquet.object_columns import ObjectColumns
from curate.formats.parquet.object_rows import is_list

_XYWH, _XYXY = "xywh", "xyxy"
_NEAR = 2.5
"""Pixels by which a box may differ from its mask's and still show how boxes are written."""


class NewObjects:
    """Makes objects, and counts how their masks are stored.

    Args:
        edits: What changes.
        largest_id: Finds the largest id of the dataset.
    """

    def __init__(self, edits: Edits, largest_id: Callable[[], int]) -> None:
        self._edits, self._find_largest = edits, largest_id
        self._values = MaskValues(edits.masks)
        self._rings = MaskValues("polygon" if edits.masks == "same" else edits.masks)
        self._first_id: int | None = None
        self._pictures = 0

    def count_stored(self) -> Stored:
        """Return how many masks were stored as polygons, and as run lengths or pictures."""
        a, b = self._values.count_stored(), self._rings.count_stored()
        return Stored(
            a.polygons + b.polygons,
            a.seams + b.seams,
            a.runs + b.runs + self._pictures,
            a.turned + b.turned,
        )

    def changed(
        self,
        one: JsonObject,
        change: Change,
        columns: ObjectColumns,
        size: tuple[int, int],
        key: str,
    ) -> JsonObject:
        """Return an object with other pixels or another category."""
        made: dict[str, object] = dict(one)
        if change.counts is not None:
            if size == (0, 0):
                raise CallError("the image's size is not known", key, "reject the mask instead")
            new_runs(change.counts, size, key)
            mask = measure_masks([change.counts], [size], [key])[0]
            made |= self._pixels(mask, columns, one, key)
        if change.category is not None:
            made |= self._category(change.category, columns, key)
        return made

    def added(
        self,
        addition: Addition,
        columns: ObjectColumns,
        like: JsonObject | None,
        number: int,
    ) -> JsonObject:
        """Return a new object; fields of which nothing is known are null.

        Args:
            addition: The mask.
            columns: The file's columns.
            like: Another object of the row, which shows how values are written.
            number: Its position among those that come.
        """
        key = addition.image_key
        size = (addition.height, addition.width)
        mask = measure_masks([addition.counts], [size], [key])[0]
        made: dict[str, object] = dict.fromkeys(columns.fields)
        made |= self._pixels(mask, columns, like or {}, key)
        if holds_pictures(columns.fields[columns.pixels]):
            made[columns.pixels] = picture_value(mask, None)  # the path is that of another
        if addition.category is not None:
            made |= self._category(addition.category, columns, key)
        if columns.crowd:
            made[columns.crowd] = 0
        if columns.number and pa.types.is_integer(columns.fields[columns.number]):
            if self._first_id is None:
                self._first_id = self._find_largest() + 1
            made[columns.number] = self._first_id + number
        return made

    def _category(self, name: str, columns: ObjectColumns, key: str) -> JsonObject:
        if columns.category is None:
            what = f"it is to have the category {name!r}, but objects have none here"
            raise CallError(what, key, "write COCO with --to coco, or take the categories back")
        kind = columns.fields[columns.category]
        if pa.types.is_integer(kind):
            if name in columns.labels:
                return {columns.category: columns.labels.index(name)}
            if not columns.labels and name.isascii() and name.isdigit() and len(name) < 10:
                return {columns.category: int(name)}
            what = f"{name!r} is not among the names of categories that the file declares"
            raise CallError(what, key, "choose one of them, or write another format with --to")
        return {columns.category: name}

    def _pixels(
        self, mask: NewMask, columns: ObjectColumns, old: JsonObject, key: str
    ) -> JsonObject:
        """Return the fields that follow from a mask's pixels."""
        kind, before = columns.fields[columns.pixels], old.get(columns.pixels)
        made: dict[str, object] = {columns.pixels: self._spell(mask, kind, before, key)}
        if columns.area is not None:
            made[columns.area] = mask.area
        if columns.box is not None:
            form, scaled = _box_form(old, columns, mask)
            made[columns.box] = _spell_box(mask, form, scaled, columns.fields[columns.box])
        return made

    def _spell(self, mask: NewMask, kind: pa.DataType, old: Any, key: str) -> Any:
        if is_list(kind):
            rings = self._rings.value(mask, POLYGON, key, True)
            if isinstance(rings, dict):
                what = "the column of the masks holds polygons only"
                raise CallError(what, key, "use --masks same")
            return _nest(rings, kind, old, key)
        if holds_pictures(kind):
            if self._edits.masks == "polygon":
                what = "the column of the masks holds pictures"
                raise CallError(what, key, "use --masks same")
            self._pictures += 1
            return picture_value(mask, old)
        if pa.types.is_struct(kind):
            counts = next((one.type for one in kind if one.name == "counts"), None)
            spelled = UNCOMPRESSED if counts is not None and is_list(counts) else COMPRESSED
            value = self._values.value(mask, spelled, key, True)
            if isinstance(value, list):
                what = "the column of the masks holds run lengths only"
                raise CallError(what, key, "use --masks same")
            return value
        if pa.types.is_string(kind) or pa.types.is_large_string(kind):
            value = self._values.value(mask, kind_of(_parsed(old)) or COMPRESSED, key, True)
            return json.dumps(value)
        what = f"the column of the masks has the type {kind}, which holds no mask"
        raise CallError(what, key, "write another format with --to")


def _parsed(text: Any) -> Any:
    try:
        return json.loads(text) if isinstance(text, str) else None
    except (ValueError, RecursionError):
        return None


def _nest(rings: list[list[float]], kind: pa.DataType, old: Any, key: str) -> Any:
    """Return rings in as many lists as a column has."""
    depth, inner = 1, kind.value_type
    while is_list(inner):
        depth, inner = depth + 1, inner.value_type
    if depth == 3:
        return [_points(ring) for ring in rings]
    of_points = depth == 2 and isinstance(old, list) and len(old) > 2
    of_points = of_points and all(isinstance(one, list) and len(one) == 2 for one in old)
    if depth == 2 and not of_points:
        return rings
    if len(rings) > 1 or depth > 3:
        what = "the column of the masks holds one ring a mask, and the new mask has several"
        raise CallError(what, key, "write another format with --to")
    return _points(rings[0]) if depth == 2 else rings[0]


def _points(ring: list[float]) -> list[list[float]]:
    return [list(pair) for pair in zip(ring[::2], ring[1::2], strict=True)]


def _box_form(old: JsonObject, columns: ObjectColumns, new: NewMask) -> tuple[str, bool]:
    """Return how boxes are written, as that of a mask that is there shows it.

    Returns:
        XYWH or XYXY, and whether in shares of the image.
    """
    box = old.get(columns.box or "")
    size = (new.height, new.width)
    if not (isinstance(box, list) and len(box) == 4 and all(map(_is_finite, box))):
        return _XYWH, False
    mask = read_mask(old.get(columns.pixels), size)
    if mask.counts is None:
        return _XYWH, False
    runs, codes = rle.decode_counts([mask.counts], [size[0]], [size[1]])
    if codes[0]:
        return _XYWH, False
    x, y, w, h = (float(side) for side in rle.bbox(runs)[0])
    forms = {_XYWH: (x, y, w, h), _XYXY: (x, y, x + w, y + h)}
    best, found = _NEAR, (_XYWH, False)
    for form, sides in forms.items():
        for scaled in (False, True):
            scale = (size[1], size[0]) * 2 if scaled else (1, 1, 1, 1)
            off = max(abs(a * s - b) for a, s, b in zip(box, scale, sides, strict=True))
            if off < best:
                best, found = off, (form, scaled)
    return found


def _is_finite(value: Any) -> bool:
    return type(value) in (int, float) and math.isfinite(value)


def _spell_box(mask: NewMask, form: str, scaled: bool, kind: pa.DataType) -> list[float]:
    x, y, w, h = mask.box
    sides: list[float] = [x, y, w, h] if form == _XYWH else [x, y, x + w, y + h]
    if scaled:
        scale = (mask.width, mask.height) * 2
        sides = [side / one for side, one in zip(sides, scale, strict=True)]
    whole = is_list(kind) and pa.types.is_integer(kind.value_type)
    return [int(side) for side in sides] if whole else [float(side) for side in sides]
