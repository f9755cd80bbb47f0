"""Hugging Face's Parquet as a source: a picture and its objects a row, in one file or in shards.

There is no agreed column for instance masks. Read are ``objects`` as a struct of lists or a list of
structs, whose ``segmentation`` (or ``mask``, ``rle``, ``polygons``) is COCO's: an object of size
and counts, rings, or either as JSON in a text; so curate writes it too. Or it is a picture of the
mask, ``{bytes, path}``; pictures of ids or classes in columns of their own are not read. Names of
categories that are numbers stand in the features that ``datasets`` keeps in the file. The size of
an image is that of its columns ``height`` and ``width``, or of the picture in its row, or of masks.

A mask's key is the file, its row and its position in the row, all from 0.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd
import pyarrow as pa

from curate.common.json_values import JsonObject
from curate.dataset.table import MaskTable
from curate.errors import CurateError, SourceError
from curate.formats.format import PART_BYTES, PART_MASKS, Format, Part, convert_read_errors
from curate.formats.json.json_columns import whole_number
from curate.formats.parquet.huggingface_writing import write
from curate.formats.parquet.mask_pictures import read_mask
from curate.formats.parquet.object_columns import (
    OBJECTS,
    ObjectColumns,
    find_object_columns,
    read_object_columns,
)
from curate.formats.parquet.object_rows import (
    PARQUET_ERRORS,
    broken_error,
    check_groups,
    check_row,
    is_text,
    parquet_files,
    read_batches,
    schema_of,
)
from curate.formats.parquet.object_values import image_name, list_objects, size_of_row
from curate.formats.segmentation import Segmentation
from curate.formats.table_builder import TableBuilder, number, parts_of, with_problems
from curate.formats.untouched.parquet_check import check_huggingface

_LOOK = 3  # files of a folder that are looked at
_SHARD = re.compile(r"(.+?)-[0-9]{4,6}-of-[0-9]{4,6}\.parquet")
_ROWS_WITH_PICTURES = 8  # that are read at once
_MOST_ROWS = 2_000  # of a part


def matches(path: Path) -> bool:
    """Return whether a file, or one of a folder, is Parquet with objects that have masks."""
    try:
        return any(_is_ours(file) for file in parquet_files(path)[:_LOOK])
    except (CurateError, OSError, ValueError):
        return False


def _is_ours(path: Path) -> bool:
    schema = schema_of(path)
    return schema is not None and find_object_columns(schema) is not None


class Rows(NamedTuple):
    """Rows of one row group.

    Attributes:
        name: The file, as a path under the source; its name where it is the source.
        group: Position of the row group.
        first: Position of the first row in the group.
        rows: How many they are.
        before: How many rows of the file stand before the group.
    """

    name: str
    group: int
    first: int
    rows: int
    before: int


def plan(source: Path, work: Path) -> Iterator[Part]:
    """Group rows into parts."""
    found = parts_of(_list_rows(source), PART_BYTES)
    first = next(found, None)
    if first is None:
        raise SourceError("it has no rows", str(source), "give the files with the data")
    yield first
    yield from found


def _list_rows(source: Path) -> Iterator[tuple[tuple[Any, ...], int]]:
    """Yield ranges of rows with their weights."""
    for path in parquet_files(source):
        name = _name_of(source, path)
        with convert_read_errors(path):
            metadata, columns = read_object_columns(path, str(path))
        places = columns.paths(metadata)
        check_groups(path, metadata, places, str(path))
        before = 0
        for group in range(metadata.num_row_groups):
            about = metadata.row_group(group)
            rows = about.num_rows
            size = sum(about.column(at).total_uncompressed_size for at in places.values())
            cost = size // max(rows, 1) + PART_BYTES // PART_MASKS
            step = max(1, min(_MOST_ROWS, PART_BYTES // cost))
            for first in range(0, rows, step):
                count = min(step, rows - first)
                yield tuple(Rows(name, group, first, count, before)), cost * count
            before += rows


def _name_of(source: Path, path: Path) -> str:
    return path.name if path == source else path.relative_to(source).as_posix()


def load(source: Path, part: Part) -> MaskTable:
    """Read the masks of some rows."""
    return _read(source, part, with_masks=True)


def images_of(source: Path, part: Part) -> pd.DataFrame:
    """Return the images of a part; see :class:`Format`."""
    return _read(source, part, with_masks=False).images


def _read(source: Path, part: Part, *, with_masks: bool) -> MaskTable:
    rows = TableBuilder()
    for values in part.payload:
        some = Rows(*values)
        path = source if source.is_file() else source / some.name
        with convert_read_errors(path):
            try:
                _read_rows(rows, path, some, with_masks)
            except (*PARQUET_ERRORS, OSError) as error:
                raise broken_error(error, str(path)) from error
    return rows.table()


def _read_rows(rows: TableBuilder, path: Path, some: Rows, with_masks: bool) -> None:
    metadata, columns = read_object_columns(path, str(path))
    places = columns.paths(metadata)
    texts = [one for one, at in places.items() if is_text(metadata.schema.column(at))]
    step = 64 if columns.is_sized else _ROWS_WITH_PICTURES
    at, last = 0, some.first + some.rows
    for batch in read_batches(path, places, texts, [some.group], step):
        if OBJECTS not in batch.schema.names:  # another name stands in its second description
            what = f"the Parquet is broken (its columns are {', '.join(batch.schema.names)[:80]})"
            raise SourceError(what, str(path), "get the file again")
        for k in range(max(0, some.first - at), min(len(batch), last - at)):
            _add_row(rows, batch.slice(k, 1), columns, some, some.before + at + k, with_masks)
        at += len(batch)
        if at >= last:
            return


def _add_row(
    rows: TableBuilder,
    row: pa.RecordBatch,
    columns: ObjectColumns,
    some: Rows,
    number: int,
    with_masks: bool,
) -> None:
    """Add an image and its masks."""
    key = f"{some.name}#{number}"
    objects, problem = _read_objects(row, key)
    head = row.drop_columns([OBJECTS]).to_pylist()[0]
    size = size_of_row(head, columns, objects)
    name = image_name(head, columns) or f"{Path(some.name).stem}/{number}"
    detail = problem or ("" if size != (0, 0) else "neither columns nor its picture say its size")
    shard = _SHARD.fullmatch(Path(some.name).name)
    image_id = whole_number(head.get(columns.image_id)) if columns.image_id else None
    status = "unreadable" if problem else "ok"
    image = rows.image(
        *(name, size, status, detail, image_id),
        source_key=key,
        subset=shard[1] if shard else None,
    )
    for k, one in enumerate(objects if with_masks else ()):
        _add_mask(rows, image, one, columns, size, f"{key}/{k}")


def _read_objects(row: pa.RecordBatch, where: str) -> tuple[list[Any], str]:
    """Return a row's objects, or none and the reason."""
    try:
        check_row(row.select([OBJECTS]), where)
        return list_objects(row.column(OBJECTS)[0].as_py()), ""
    except (SourceError, ValueError, OverflowError) as error:
        return [], error.what if isinstance(error, SourceError) else "its objects cannot be read"


def _add_mask(
    rows: TableBuilder,
    image: int,
    one: Any,
    columns: ObjectColumns,
    size: tuple[int, int],
    key: str,
) -> None:
    if not isinstance(one, dict):
        rows.mask(key, image, Segmentation(None, "wrong_type", "the object is null"))
        return
    value = one.get(columns.pixels)
    if size == (0, 0) and value is not None:
        mask = Segmentation(None, "unknown_image", "the image's size is not known")
    else:
        mask = read_mask(value, size)
    stored, problems = _stated(one, columns)
    number_ = whole_number(one.get(columns.number)) if columns.number else None
    rows.mask(key, image, with_problems(mask, problems), number_, stored)


def _stated(one: JsonObject, columns: ObjectColumns) -> tuple[dict[str, object], list[str]]:
    """Return the optional columns of a mask, and what is wrong with them."""
    stated: dict[str, object] = {}
    problems = []
    category = one.get(columns.category) if columns.category else None
    if isinstance(category, str):
        stated["category"] = category
    elif type(category) is int and abs(category) < 2**62:
        stated["category_id"] = category
        if 0 <= category < len(columns.labels):
            stated["category"] = columns.labels[category]
    if columns.area is not None:
        stated["declared_area"], problem = number(one.get(columns.area), columns.area)
        problems.append(problem)
    for name in columns.numbers:
        if name.endswith("_id"):
            stated[name] = whole_number(one.get(name))
        else:
            stated[name], problem = number(one.get(name), name)
            problems.append(problem)
    crowd = one.get(columns.crowd) if columns.crowd else None
    if crowd in (0, 1):
        stated["iscrowd"] = int(crowd is True or crowd == 1)
    return stated, problems


FORMAT = Format(
    "huggingface",
    "Hugging Face Parquet",
    matches,
    plan,
    load,
    write,
    check_unedited=check_huggingface,
    images=images_of,
)
