"""Hugging Face, both ways: Parquet with a picture and its objects a row.

``datasets.load_dataset("parquet", data_files=...)`` shows the pictures: the file says that
``image`` is one. There is no agreed column for instance masks, so each object has COCO's
``{"size", "counts"}``, compressed run lengths, in ``objects.segmentation``.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from curate.common import files
from curate.errors import SourceError
from curate.formats.format import convert_read_errors, new_file
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
from curate.store.audit import Audit
from curate.store.audit_sql import DATASET_VERSION

_BATCH = 64
_MAX_FILES = 20
_REQUIRED = ("height", "width", "objects")
_OBJECT_FIELDS = frozenset(
    {"id", "category", "segmentation", "iscrowd", "draw_id", "slot", DATASET_VERSION}
)
"""What is read of objects."""

_WRAPPING = frozenset({"list", "element", "item"})
"""What Parquet puts into the path of a column where there is a list."""

MAX_OBJECTS = 100_000
"""Most objects of a picture."""

MAX_ROW_BYTES = 64 << 20
"""Most memory that a picture's objects may take as columns; as Python's values they take more."""

MAX_VALUES = 1 << 25
MAX_GROUP_BYTES = 1 << 31
"""Largest column of a row group. Equal values take next to no room in a Parquet, but memory."""


def _files(path: Path) -> list[Path]:
    """Return the Parquet files of a path: itself, or those in a folder, also in its ``data``."""
    if path.is_dir():
        return sorted([*path.glob("*.parquet"), *path.glob("data/*.parquet")])
    return [path]


def _matches(path: Path) -> bool:
    try:
        return any(_is_ours(file) for file in _files(path)[:_MAX_FILES])
    except OSError:
        return False


def _is_ours(path: Path) -> bool:
    if not path.is_file():
        return False
    with path.open("rb") as file:
        if file.read(4) != b"PAR1":
            return False
    try:
        names = pq.read_schema(path).names
    except (pa.ArrowException, OSError):
        return False
    return "objects" in names and ("image" in names or "file_name" in names)


def _read_images(path: Path, wanted: ImageFilter) -> Iterator[ImportedImage]:
    for file in _files(path):
        name = path.name if file == path else f"{path.name}, {file.name}"
        with convert_read_errors(file):
            try:
                yield from _read_rows(file, name, wanted)
            except pa.ArrowException as error:
                reason = str(error).splitlines()[0][:120]
                raise SourceError(f"the Parquet is broken ({reason})", name) from error


def _read_rows(file: Path, name: str, wanted: ImageFilter) -> Iterator[ImportedImage]:
    """Yield the images of a file; the bytes of their pictures are not read."""
    metadata = pq.read_metadata(file)
    schema = metadata.schema.to_arrow_schema()
    for column in schema.names:
        if schema.names.count(column) > 1:
            raise _duplicate_error(column, name)
    for column in _REQUIRED:
        if column not in schema.names:
            do = "keep the columns that curate wrote"
            raise SourceError(f"there is no column {column}", name, do)
    named = "file_name" if "file_name" in schema.names else "image.path"
    columns = _find_columns(metadata.schema, named, name)
    _check_groups(metadata, columns, name)
    texts = [path for path, at in columns.items() if _is_text(metadata.schema.column(at))]
    labels = _class_names(schema)
    number = 0
    for batch in _batches(file, columns, texts):
        rows = [batch.slice(at, 1) for at in range(len(batch))]
        places = [f"row {number + k}" for k in range(1, len(batch) + 1)]
        number += len(batch)
        for row, place in zip(rows, places, strict=True):
            _check_row(row, f"{name}, {place}")
        heads = zip(batch.drop_columns("objects").to_pylist(), places, strict=True)
        images = [_to_image(head, f"{name}, {place}") for head, place in heads]
        flags = wanted(images)
        for row, image, place, read in zip(rows, images, places, flags, strict=True):
            objects = _parse_objects(row.column("objects")[0].as_py(), f"{name}, {place}")
            image.shapes.extend(
                _to_mask(one, image, labels, f"{place}, object {k}", read)
                for k, one in enumerate(objects, 1)
            )
        yield from images


def _batches(file: Path, columns: dict[str, int], texts: list[str]) -> Iterator[pa.RecordBatch]:
    """Yield the rows of a file, some at a time."""
    # As dictionaries, so that a text that comes again and again is not copied each time. Each row
    # group has its own, and Arrow cannot put two of them into one batch inside a list.
    with pq.ParquetFile(file, read_dictionary=texts) as opened:
        for group in range(opened.metadata.num_row_groups):
            yield from opened.iter_batches(_BATCH, row_groups=[group], columns=list(columns))


def _find_columns(schema: pq.ParquetSchema, named: str, name: str) -> dict[str, int]:
    """Return the indices of the needed columns, by their paths; refuse duplicates."""
    found: dict[str, int] = {}
    spare: dict[str, int] = {}
    for at in range(len(schema)):
        path = schema.column(at).path
        keys = [part for part in path.split(".") if part not in _WRAPPING]
        if path in found or path in spare:
            raise _duplicate_error(path, name)
        if keys[0] == "objects":
            spare[path] = at
        if path == named or (keys[0] in _REQUIRED and (len(keys) < 2 or keys[1] in _OBJECT_FIELDS)):
            found[path] = at
    return found if found.keys() & spare.keys() else found | spare


def _duplicate_error(column: str, name: str) -> SourceError:
    return SourceError(f"the column {column[:80]!r} occurs twice", name, "keep one of them")


def _is_text(column: pq.ColumnSchema) -> bool:
    return bool(column.physical_type == "BYTE_ARRAY")


def _check_groups(metadata: pq.FileMetaData, columns: dict[str, int], name: str) -> None:
    """Refuse row groups that would fill the memory, before anything of them is unpacked."""
    for number in range(metadata.num_row_groups):
        group = metadata.row_group(number)
        for path, at in columns.items():
            column = group.column(at)
            values, size = column.num_values, column.total_uncompressed_size
            if values > MAX_VALUES or size > MAX_GROUP_BYTES:
                what = f"row group {number + 1} has {values:,} values ({size:,} bytes) in {path}"
                raise SourceError(f"{what}, which is too much", name, "write smaller row groups")


def _check_row(row: pa.RecordBatch, where: str) -> None:
    """Refuse a row with far more objects than a picture has, before they become Python's values."""
    objects = row.column("objects")
    lists = objects.flatten() if pa.types.is_struct(objects.type) else [objects]
    lengths = [pc.max(pc.list_value_length(one)).as_py() for one in lists if _is_list(one.type)]
    most = max((length for length in lengths if length is not None), default=0)
    if most > MAX_OBJECTS:
        raise SourceError(f"it has {most:,} objects, which no picture has", where)
    size = sum(_expanded_bytes(column) for column in row.columns)
    if size > MAX_ROW_BYTES:
        what = f"its objects take {size:,} bytes, which those of no picture do"
        raise SourceError(what, where)


def _expanded_bytes(values: pa.Array) -> int:
    """Return the size of values in bytes, repeated dictionary entries counted each time."""
    kind = values.type
    if pa.types.is_dictionary(kind):
        lengths = pc.binary_length(values.dictionary).take(values.indices)
        return int(values.indices.nbytes) + int(pc.sum(lengths).as_py() or 0)
    if pa.types.is_struct(kind):
        return sum(_expanded_bytes(one) for one in values.flatten())
    if _is_list(kind):
        return 8 * len(values) + _expanded_bytes(values.flatten())
    return int(values.nbytes)


def _is_list(kind: pa.DataType) -> bool:
    plain = pa.types.is_list(kind) or pa.types.is_large_list(kind)
    return bool(plain or pa.types.is_fixed_size_list(kind))


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


def _parse_objects(value: Any, where: str) -> list[dict[str, Any]]:
    """Return objects one by one; they may be columns of lists, or a list."""
    if value is None:
        return []
    if isinstance(value, list):
        return [one for one in value if isinstance(one, dict)]
    if not isinstance(value, dict):
        raise SourceError("its objects are neither lists nor a list", where)
    columns = {key: column or [] for key, column in value.items()}
    if not all(isinstance(column, list) for column in columns.values()):
        raise SourceError("its objects are no lists", where)
    if len({len(column) for column in columns.values()}) > 1:
        lengths = ", ".join(f"{len(column)} {key}" for key, column in columns.items())
        raise SourceError(f"the lists of its objects differ in length ({lengths[:120]})", where)
    return [
        dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True)
    ]


def _class_names(schema: pa.Schema) -> list[str]:
    """Return the names of categories that are kept as numbers; none where they are texts."""
    try:
        metadata = orjson.loads((schema.metadata or {}).get(b"huggingface", b"{}"))
        objects = metadata["info"]["features"]["objects"]
        one = objects.get("feature", objects) if isinstance(objects, dict) else objects[0]
        names = one["category"].get("feature", one["category"])["names"]
        return [str(name) for name in names]
    except (ValueError, KeyError, TypeError, IndexError, AttributeError, OverflowError):
        return []


OBJECT_COLUMNS = (
    *("draw_id", DATASET_VERSION, "slot", "quality_score", "reasons", "priority", "rank"),
    "action",
)
"""Columns of a queue that objects have too, where the queue has them."""

GROUP_BYTES = 32 << 20
"""About how many bytes of pictures stand in one row group."""

GROUP_ROWS = 100
"""Most rows of a row group: the viewer of Hugging Face reads whole groups."""

_TEXT, _INT, _FLOAT = "string", "int64", "float64"


def write_huggingface(audit: Audit, rows: pd.DataFrame, out: Path, how: ExportOptions) -> int:
    """Write a queue as one Parquet file; whole images unless crops are asked for.

    Raises:
        CallError: There are no pictures.
    """
    folder = check_pictures(find_pictures(audit, how), "Hugging Face")
    extra = {name: _column_type(rows[name]) for name in OBJECT_COLUMNS if name in rows.columns}
    schema = _schema(extra)
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
    cast: dict[str, type] = {_TEXT: str, _INT: int, _FLOAT: float}
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
        return _INT
    return _FLOAT if pd.api.types.is_float_dtype(column.dtype) else _TEXT


def _schema(extra: dict[str, str]) -> pa.Schema:
    """Return the columns, and beside them what ``datasets`` needs to know to show them."""
    mask = pa.struct([("size", pa.list_(pa.int32())), ("counts", pa.string())])
    objects = {
        "id": pa.int64(),
        "bbox": pa.list_(pa.float64()),
        "area": pa.int64(),
        "category": pa.string(),
        "segmentation": mask,
        "iscrowd": pa.int64(),
    }
    objects |= {key: pa.type_for_alias(kind) for key, kind in extra.items()}
    columns = {
        "file_name": pa.string(),
        "image_id": pa.int64(),
        "height": pa.int32(),
        "width": pa.int32(),
        "objects": pa.struct([(name, pa.list_(kind)) for name, kind in objects.items()]),
    }
    features = {"image": {"_type": "Image"}} | {k: _feature(kind) for k, kind in columns.items()}
    image = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    return pa.schema(
        {"image": image, **columns},
        metadata={"huggingface": orjson.dumps({"info": {"features": features}}).decode()},
    )


def _feature(kind: pa.DataType) -> object:
    """Return the feature that ``datasets`` knows a type as."""
    if pa.types.is_struct(kind):
        return {field.name: _feature(field.type) for field in kind}
    if not pa.types.is_list(kind):
        return {"dtype": _FLOAT if pa.types.is_float64(kind) else str(kind), "_type": "Value"}
    inner = _feature(kind.value_type)
    # A list around a dict: "Sequence" of a dict would mean a dict of lists.
    is_dict = pa.types.is_struct(kind.value_type)
    return [inner] if is_dict else {"feature": inner, "_type": "Sequence"}


EXPORT = ImageExport(_matches, _read_images, safe_label)

TOOL = ExchangeTool(
    "huggingface",
    QueueWriter("Hugging Face Parquet", write_huggingface, require_pictures("Hugging Face")),
    export_reader("Hugging Face Parquet", EXPORT),
)
