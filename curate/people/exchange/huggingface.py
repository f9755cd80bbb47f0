"""Hugging Face, both ways: Parquet with a picture and its objects a row.

``datasets.load_dataset("parquet", data_files=...)`` shows the pictures: the file says that
``image`` is one. There is no agreed column for instance masks, so each object has COCO's
``{"size", "counts"}``, compressed run lengths, in ``objects.segmentation``.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from curate.common import files
from curate.errors import SourceError
from curate.formats.format import convert_read_errors, new_file
from curate.formats.parquet.object_rows import (
    PARQUET_ERRORS,
    broken_error,
    check_groups,
    check_row,
    class_names,
    duplicate_error,
    is_text,
    parquet_files,
    parse_objects,
    read_batches,
    schema_of,
)
from curate.formats.parquet.written_columns import (
    FLOAT,
    GROUP_BYTES,
    GROUP_ROWS,
    INT,
    TEXT,
    object_schema,
)
from curate.formats.segmentation import read_segmentation
from curate.people.exchange.image_names import save_pictures
from curate.people.exchange.imported_images import (
    UNREAD,
    ImageExport,
    ImageFilter,
    ImportedImage,
    ImportedMask,
    parse_draw,
)
from curate.people.exchange.queue_images import (
    ExportedView,
    check_pictures,
    find_pictures,
    require_pictures,
)
from curate.people.exchange.registry import ExchangeTool, ExportOptions, QueueWriter
from curate.people.exchange.tool_export import export_reader
from curate.people.exchange.tool_labels import safe_label, spell_category
from curate.rle import area, bbox, encode_counts
from curate.store.audit import StoredAudit
from curate.store.audit_sql import DATASET_VERSION

_MAX_FILES = 20
_REQUIRED = ("height", "width", "objects")
_OBJECT_FIELDS = frozenset(
    {"id", "category", "segmentation", "iscrowd", "draw_id", "slot", DATASET_VERSION}
)
"""What is read of objects."""

_WRAPPING = frozenset({"list", "element", "item"})
"""What Parquet puts into the path of a column where there is a list."""


def _matches(path: Path) -> bool:
    try:
        return any(_is_ours(file) for file in parquet_files(path)[:_MAX_FILES])
    except OSError:
        return False


def _is_ours(path: Path) -> bool:
    schema = schema_of(path)
    names = [] if schema is None else schema.names
    return "objects" in names and ("image" in names or "file_name" in names)


def _read_images(path: Path, wanted: ImageFilter) -> Iterator[ImportedImage]:
    for file in parquet_files(path):
        name = path.name if file == path else f"{path.name}, {file.name}"
        with convert_read_errors(file):
            try:
                yield from _read_rows(file, name, wanted)
            except PARQUET_ERRORS as error:
                raise broken_error(error, name) from error


def _read_rows(file: Path, name: str, wanted: ImageFilter) -> Iterator[ImportedImage]:
    """Yield the images of a file; the bytes of their pictures are not read."""
    metadata = pq.read_metadata(file)
    schema = metadata.schema.to_arrow_schema()
    for column in schema.names:
        if schema.names.count(column) > 1:
            raise duplicate_error(column, name)
    for column in _REQUIRED:
        if column not in schema.names:
            do = "keep the columns that curate wrote"
            raise SourceError(f"there is no column {column}", name, do)
    named = "file_name" if "file_name" in schema.names else "image.path"
    columns = _find_columns(metadata.schema, named, name)
    check_groups(file, metadata, columns, name)
    texts = [path for path, at in columns.items() if is_text(metadata.schema.column(at))]
    labels = class_names(schema)
    number = 0
    for batch in read_batches(file, columns, texts):
        rows = [batch.slice(at, 1) for at in range(len(batch))]
        places = [f"row {number + k}" for k in range(1, len(batch) + 1)]
        number += len(batch)
        for row, place in zip(rows, places, strict=True):
            check_row(row, f"{name}, {place}")
        heads = zip(batch.drop_columns("objects").to_pylist(), places, strict=True)
        images = [_to_image(head, f"{name}, {place}") for head, place in heads]
        flags = wanted(images)
        for row, image, place, read in zip(rows, images, places, flags, strict=True):
            objects = parse_objects(row.column("objects")[0].as_py(), f"{name}, {place}")
            image.shapes.extend(
                _to_mask(one, image, labels, f"{place}, object {k}", read)
                for k, one in enumerate(objects, 1)
            )
        yield from images


def _find_columns(schema: pq.ParquetSchema, named: str, name: str) -> dict[str, int]:
    """Return the indices of the needed columns, by their paths; refuse duplicates."""
    found: dict[str, int] = {}
    spare: dict[str, int] = {}
    for at in range(len(schema)):
        path = schema.column(at).path
        keys = [part for part in path.split(".") if part not in _WRAPPING]
        if path in found or path in spare:
            raise duplicate_error(path, name)
        if keys[0] == "objects":
            spare[path] = at
        if path == named or (keys[0] in _REQUIRED and (len(keys) < 2 or keys[1] in _OBJECT_FIELDS)):
            found[path] = at
    return found if found.keys() & spare.keys() else found | spare


def _to_image(row: dict[str, Any], where: str) -> ImportedImage:
    size: tuple[Any, Any] = (row.get("height"), row.get("width"))
    if not all(type(side) is int and 0 < side < 2**31 for side in size):
        raise SourceError("its height and width are no whole numbers over 0", where)
    called = row.get("file_name") or (row.get("image") or {}).get("path")
    if not isinstance(called, str):
        raise SourceError("it has no file_name", where)
    return ImportedImage(called, size)


def _to_mask(
    one: dict[str, Any], image: ImportedImage, labels: list[str], where: str, read: bool
) -> ImportedMask:
    mask, category = one.get("segmentation"), one.get("category")
    if type(category) is int and 0 <= category < len(labels):
        category = labels[category]
    return ImportedMask(
        one.get("id"),
        read_segmentation(mask, *image.size) if read else UNREAD,
        category if isinstance(category, str) else None,
        where,
        isinstance(mask, list) and bool(mask),
        parse_draw(one.get("draw_id"), one.get("slot")),
        one.get(DATASET_VERSION),
        one["iscrowd"] if one.get("iscrowd") in (0, 1) else None,
    )


OBJECT_COLUMNS = (
    *("draw_id", DATASET_VERSION, "slot", "quality_score", "reasons", "priority", "rank"),
    "action",
)
"""Columns of a queue that objects have too, where the queue has them."""


def write_huggingface(audit: StoredAudit, rows: pd.DataFrame, out: Path, how: ExportOptions) -> int:
    """Write a queue as one Parquet file; whole images unless crops are asked for.

    Raises:
        CallError: There are no pictures.
    """
    folder = check_pictures(find_pictures(audit, how), "Hugging Face")
    extra = {name: _column_type(rows[name]) for name in OBJECT_COLUMNS if name in rows.columns}
    schema = object_schema(extra)
    written = 0
    with (
        new_file(out) as file,
        files.scratch() as work,
        pq.ParquetWriter(file, schema, compression="zstd") as parquet,
    ):
        views = save_pictures(audit, rows, folder, work, crops=bool(how.crops))
        for group in _groups((view, work / name, name) for view, name, saved in views if saved):
            made = [_make_row(view, name, data, extra) for view, name, data in group]
            written += sum(len(row["objects"]["id"]) for row in made)
            parquet.write_table(pa.Table.from_pylist(made, schema=schema))
    return written


def _groups(
    views: Iterator[tuple[ExportedView, Path, str]],
) -> Iterator[list[tuple[ExportedView, str, bytes]]]:
    """Yield views with their names and pictures, a row group at a time."""
    group: list[tuple[ExportedView, str, bytes]] = []
    size = 0
    for view, picture, name in views:
        data = picture.read_bytes()
        files.unlink(picture)
        group.append((view, name, data))
        size += len(data)
        if size >= GROUP_BYTES or len(group) >= GROUP_ROWS:
            yield group
            group, size = [], 0
    if group:
        yield group


def _make_row(view: ExportedView, name: str, data: bytes, extra: dict[str, str]) -> dict[str, Any]:
    counts = [bytes(one).decode("ascii") for one in encode_counts(view.runs).to_pylist()]
    size = [view.box.h, view.box.w]
    cast: dict[str, type] = {TEXT: str, INT: int, FLOAT: float}
    objects: dict[str, list[Any]] = {
        "id": [record["mask_id"] for record in view.rows],
        "bbox": [[float(side) for side in box] for box in bbox(view.runs).tolist()],
        "area": area(view.runs).tolist(),
        "category": [spell_category(record) for record in view.rows],
        "segmentation": [{"size": size, "counts": one} for one in counts],
        "iscrowd": [int(record.get("iscrowd") or 0) for record in view.rows],
    }
    for key, kind in extra.items():
        values = [record.get(key) for record in view.rows]
        objects[key] = [None if value is None else cast[kind](value) for value in values]
    return {
        "image": {"bytes": data, "path": name},
        "file_name": name,
        "image_id": view.image_id,
        "height": view.box.h,
        "width": view.box.w,
        "objects": objects,
    }


def _column_type(column: pd.Series[Any]) -> str:
    if pd.api.types.is_integer_dtype(column.dtype):
        return INT
    return FLOAT if pd.api.types.is_float_dtype(column.dtype) else TEXT


EXPORT = ImageExport(_matches, _read_images, safe_label)

TOOL = ExchangeTool(
    "huggingface",
    QueueWriter("Hugging Face Parquet", write_huggingface, require_pictures("Hugging Face")),
    export_reader("Hugging Face Parquet", EXPORT),
)
