"""Columns of Parquet files of pictures and their objects, in the spellings that are usual."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from curate.errors import SourceError
from curate.formats.parquet.object_rows import (
    PARQUET_ERRORS,
    broken_error,
    class_names,
    duplicate_error,
    is_list,
)

OBJECTS = "objects"

_PIXELS = ("segmentation", "segmentations", "mask", "masks", "rle", "polygon", "polygons")
_CATEGORIES = ("category", "category_id", "label", "labels", "class", "class_name", "categories")
_IDS = ("id", "annotation_id", "mask_id")
_BOXES = ("bbox", "bboxes", "box", "boxes")
_AREAS = ("area", "areas")
_NUMBERS = ("score", "predicted_iou", "stability_score", "track_id", "group_id")
_WRAPPING = frozenset({"list", "element", "item"})


@dataclass(frozen=True)
class ObjectColumns:
    """Names of columns and of fields of objects; None for what is not there.

    Attributes:
        pixels: The field of the masks.
        category: The field of the category.
        number: The field of the id.
        box: The field of the box.
        area: The field of the area.
        crowd: The field that says crowd.
        numbers: Fields of scores and groups, called as in the masks table.
        named: Path of the column with the picture's name.
        picture: Path of the column with the picture's bytes.
        image_id: Column of the image's id.
        height: Column of its height.
        width: Column of its width.
        fields: All fields of an object, with their types.
        listed: Whether objects are a list of structs, else a struct of lists.
        labels: Names of categories that are numbers.
    """

    pixels: str
    category: str | None
    number: str | None
    box: str | None
    area: str | None
    crowd: str | None
    numbers: tuple[str, ...]
    named: str | None
    picture: str | None
    image_id: str | None
    height: str | None
    width: str | None
    fields: dict[str, pa.DataType]
    listed: bool
    labels: tuple[str, ...]

    @property
    def is_sized(self) -> bool:
        """Whether rows state the sizes of their images."""
        return self.height is not None and self.width is not None

    def paths(self, metadata: pq.FileMetaData, *, whole: bool = False) -> dict[str, int]:
        """Return the columns that are read, by path, with their positions.

        Args:
            metadata: Of the file.
            whole: Whether all fields of objects are.
        """
        heads = {self.named, self.image_id, self.height, self.width}
        heads |= set() if self.is_sized else {self.picture}
        used = {self.pixels, self.category, self.number, self.box, self.area, self.crowd}
        used |= set(self.numbers)
        found: dict[str, int] = {}
        for at in range(len(metadata.schema)):
            path = metadata.schema.column(at).path
            keys = [part for part in path.split(".") if part not in _WRAPPING]
            mine = keys[0] == OBJECTS and (whole or (len(keys) > 1 and keys[1] in used))
            if path in heads or mine:
                if path in found:
                    raise duplicate_error(path, "the Parquet")
                found[path] = at
        return found


def find_object_columns(schema: pa.Schema) -> ObjectColumns | None:
    """Return the meaning of a file's columns; None where there are no objects with masks."""
    names = schema.names
    if names.count(OBJECTS) != 1 or len(set(names)) < len(names):
        return None
    fields, listed = _fields_of(schema.field(OBJECTS).type)
    pixels = _first(fields, _PIXELS)
    if pixels is None:
        return None
    picture = schema.field("image").type if "image" in names else None
    inside = _names_of(picture)
    named = "file_name" if "file_name" in names else "image.path" if "path" in inside else None
    if named is None and picture is not None and _is_string(picture):
        named = "image"
    height, width = (one if _is_whole(schema, one) else None for one in ("height", "width"))
    category = _first(fields, _CATEGORIES)
    return ObjectColumns(
        pixels=pixels,
        category=category,
        number=_first(fields, _IDS),
        box=_first(fields, _BOXES),
        area=_first(fields, _AREAS),
        crowd=_first(fields, ("iscrowd",)),
        numbers=tuple(name for name in _NUMBERS if name in fields),
        named=named,
        picture="image.bytes" if "bytes" in inside else None,
        image_id="image_id" if _is_whole(schema, "image_id") else None,
        height=height if width else None,
        width=width if height else None,
        fields=fields,
        listed=listed,
        labels=tuple(class_names(schema, category)) if category else (),
    )


def read_object_columns(path: Path, where: str) -> tuple[pq.FileMetaData, ObjectColumns]:
    """Return a file's metadata and its columns.

    Raises:
        SourceError: It is no Parquet, or has no objects with masks.
    """
    try:
        metadata = pq.read_metadata(path)
        columns = find_object_columns(metadata.schema.to_arrow_schema())
    except PARQUET_ERRORS as error:
        raise broken_error(error, where) from error
    if columns is None:
        what = "it has no column objects whose parts have a segmentation"
        raise SourceError(what, where, "name the columns image and objects.segmentation")
    return metadata, columns


def _fields_of(kind: pa.DataType) -> tuple[dict[str, pa.DataType], bool]:
    """Return the fields of an object with their types, and whether objects are a list."""
    if is_list(kind) and pa.types.is_struct(kind.value_type):
        return {one.name: one.type for one in kind.value_type}, True
    if pa.types.is_struct(kind):
        return {one.name: one.type.value_type for one in kind if is_list(one.type)}, False
    return {}, False


def _names_of(kind: pa.DataType | None) -> set[str]:
    return {one.name for one in kind} if kind is not None and pa.types.is_struct(kind) else set()


def _is_string(kind: pa.DataType) -> bool:
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind))


def _is_whole(schema: pa.Schema, name: str) -> bool:
    return name in schema.names and bool(pa.types.is_integer(schema.field(name).type))


def _first(fields: dict[str, pa.DataType], known: Sequence[str]) -> str | None:
    return next((name for name in known if name in fields), None)
