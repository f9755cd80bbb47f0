"""A queue as Parquet that Hugging Face's ``datasets`` shows as pictures with objects."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from curate.common import files
from curate.formats.format import new_file
from curate.people.exchange.queue_images import (
    ExportedView,
    RecentPictures,
    check_pictures,
    find_pictures,
    group_by_image,
    make_crops,
    save_picture,
)
from curate.people.exchange.queue_writing import ExportOptions
from curate.people.exchange.tool_image_names import PictureNames
from curate.people.exchange.tool_labels import spell_category
from curate.rle import area, bbox, encode_counts
from curate.store.audit import Audit
from curate.store.audit_sql import DATASET_VERSION

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
    names = PictureNames(audit)
    written = 0
    views = make_crops(audit, rows) if how.crops else group_by_image(audit, rows)
    with (
        new_file(out) as file,
        files.scratch() as work,
        pq.ParquetWriter(file, schema, compression="zstd") as parquet,
    ):
        for group in _groups(views, names, folder, work, bool(how.crops)):
            made = [_make_row(view, name, data, extra) for view, name, data in group]
            written += sum(len(row["objects"]["id"]) for row in made)
            parquet.write_table(pa.Table.from_pylist(made, schema=schema))
    return written


def _groups(
    views: Iterator[ExportedView],
    names: PictureNames,
    folder: RecentPictures,
    work: Path,
    crop: bool,
) -> Iterator[list[tuple[ExportedView, str, bytes]]]:
    """Yield views with their names and pictures, a row group at a time."""
    group: list[tuple[ExportedView, str, bytes]] = []
    size = 0
    for view in views:
        name = names.of(view, crop=crop)
        target = work / f"picture{Path(name).suffix}"
        if not save_picture(folder, view, target):
            continue
        data = target.read_bytes()
        files.unlink(target)
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
    cast: dict[str, Any] = {_TEXT: str, _INT: int, _FLOAT: float}
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
    kinds = {"id": _INT, "area": _INT, "category": _TEXT, "iscrowd": _INT, **extra}
    mask = pa.struct([("size", pa.list_(pa.int32())), ("counts", pa.string())])
    fields: dict[str, pa.DataType] = {
        "id": pa.int64(),
        "bbox": pa.list_(pa.float64()),
        "area": pa.int64(),
        "category": pa.string(),
        "segmentation": mask,
        "iscrowd": pa.int64(),
    }
    fields |= {key: pa.type_for_alias(kind) for key, kind in extra.items()}
    whole = {"height": "int32", "width": "int32", "image_id": _INT, "file_name": _TEXT}
    of_objects: dict[str, Any] = {
        name: _list_feature(_value_feature(kind)) for name, kind in kinds.items()
    }
    of_objects["bbox"] = _list_feature(_list_feature(_value_feature(_FLOAT)))
    # A list around a dict: "Sequence" of a dict would mean a dict of lists.
    of_objects["segmentation"] = [
        {"size": _list_feature(_value_feature("int32")), "counts": _value_feature(_TEXT)}
    ]
    features = {
        "image": {"_type": "Image"},
        **{
            name: _value_feature(whole[name])
            for name in ("file_name", "image_id", "height", "width")
        },
        "objects": {name: of_objects[name] for name in fields},
    }
    return pa.schema(
        [
            ("image", pa.struct([("bytes", pa.binary()), ("path", pa.string())])),
            ("file_name", pa.string()),
            ("image_id", pa.int64()),
            ("height", pa.int32()),
            ("width", pa.int32()),
            ("objects", pa.struct([(name, pa.list_(kind)) for name, kind in fields.items()])),
        ],
        metadata={"huggingface": orjson.dumps({"info": {"features": features}}).decode()},
    )


def _value_feature(kind: str) -> dict[str, Any]:
    return {"dtype": kind, "_type": "Value"}


def _list_feature(feature: Any) -> dict[str, Any]:
    return {"feature": feature, "_type": "Sequence"}
