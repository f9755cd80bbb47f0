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
import pyarrow as pa
import pyarrow.parquet as pq

from curate.decisions.reviews import Reviews
from curate.errors import SourceError
from curate.exchange.coming_back import join
from curate.exchange.cvat_writing import safe_label
from curate.exchange.huggingface_writing import write_huggingface
from curate.exchange.readers import Found, Options, Reader
from curate.exchange.shapes import Picture, Shape, Tool, draw_of
from curate.exchange.views import needs_pictures
from curate.exchange.writers import Writer
from curate.formats.base import reading
from curate.formats.segmentation import read_segmentation

_BATCH = 64
_LOOK = 20
_NEEDED = ("height", "width", "objects")


def _files(path: Path) -> list[Path]:
    """Return the Parquet files of a path: itself, or those in a folder, also in its ``data``."""
    if path.is_dir():
        return sorted([*path.glob("*.parquet"), *path.glob("data/*.parquet")])
    return [path]


def _matches(path: Path) -> bool:
    try:
        return any(_is_ours(file) for file in _files(path)[:_LOOK])
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


def _pictures(path: Path) -> Iterator[Picture]:
    for file in _files(path):
        name = path.name if file == path else f"{path.name}, {file.name}"
        with reading(file):
            try:
                yield from _rows(file, name)
            except pa.ArrowException as error:
                reason = str(error).splitlines()[0][:120]
                raise SourceError(f"the Parquet is broken ({reason})", name) from error


def _rows(file: Path, name: str) -> Iterator[Picture]:
    """Yield the pictures of a file; their bytes are not read."""
    with pq.ParquetFile(file) as opened:
        schema = opened.schema_arrow
        for column in _NEEDED:
            if column not in schema.names:
                do = "keep the columns that curate wrote"
                raise SourceError(f"there is no column {column}", name, do)
        named = "file_name" if "file_name" in schema.names else "image.path"
        labels = _class_names(schema)
        number = 0
        for batch in opened.iter_batches(_BATCH, columns=[*_NEEDED, named]):
            for row in batch.to_pylist():
                number += 1
                yield _picture(row, f"row {number}", name, labels)


def _picture(row: dict[str, Any], place: str, name: str, labels: list[str]) -> Picture:
    where = f"{name}, {place}"
    size = (row["height"], row["width"])
    if not all(type(side) is int and 0 < side < 2**31 for side in size):
        raise SourceError("its height and width are no whole numbers over 0", where)
    called = row.get("file_name") or (row.get("image") or {}).get("path")
    if not isinstance(called, str):
        raise SourceError("it has no file_name", where)
    shapes = []
    for k, one in enumerate(_objects(row["objects"], where), 1):
        mask = one.get("segmentation")
        category = one.get("category")
        if type(category) is int and 0 <= category < len(labels):
            category = labels[category]
        shapes.append(
            Shape(
                one.get("id"),
                read_segmentation(mask, *size),
                category if isinstance(category, str) else None,
                f"{place}, object {k}",
                isinstance(mask, list) and bool(mask),
                draw_of(one.get("draw_id"), one.get("slot")),
            )
        )
    return Picture(called, size, shapes)


def _objects(value: Any, where: str) -> list[dict[str, Any]]:
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
        told = orjson.loads((schema.metadata or {}).get(b"huggingface", b"{}"))
        objects = told["info"]["features"]["objects"]
        one = objects.get("feature", objects) if isinstance(objects, dict) else objects[0]
        names = one["category"].get("feature", one["category"])["names"]
        return [str(name) for name in names]
    except (ValueError, KeyError, TypeError, IndexError, AttributeError):
        return []


TOOL = Tool(_matches, _pictures, safe_label)
"""How such a Parquet is read."""


def _read(reviews: Reviews, path: Path, options: Options) -> Found:
    return join(reviews, TOOL, path, options)


READER = Reader("huggingface", "Hugging Face Parquet", _matches, _read)

WRITER = Writer(
    "huggingface", "Hugging Face Parquet", write_huggingface, check=needs_pictures("Hugging Face")
)
