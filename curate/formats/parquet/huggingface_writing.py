"""Writer of Parquet with pictures and their objects: objects change, all other values stay.

A file in which nothing changes is copied. One in which something does is written anew: with its
schema and metadata, its row groups, and the codec of each column.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from curate.common.json_values import JsonObject
from curate.errors import CallError
from curate.formats.copying import Edit, copy_with_edits
from curate.formats.edits import Addition, Change, Edits, Stored
from curate.formats.format import convert_read_errors
from curate.formats.new_pixels import image_size, new_runs
from curate.formats.parquet.new_objects import NewObjects
from curate.formats.parquet.object_columns import (
    OBJECTS,
    ObjectColumns,
    read_object_columns,
)
from curate.formats.parquet.object_rows import (
    PARQUET_ERRORS,
    broken_error,
    check_groups,
    parquet_files,
)
from curate.formats.parquet.object_values import list_objects, size_of_row
from curate.formats.table_builder import plain

_KEY = re.compile(r"(.+)#([0-9]{1,15})(?:/([0-9]{1,9}))?", re.DOTALL | re.ASCII)


@dataclass
class _RowEdits:
    """Changes of one row: by position of the object, and what comes."""

    drop: set[int] = field(default_factory=set)
    change: dict[int, tuple[str, Change]] = field(default_factory=dict)
    add: list[tuple[int, Addition]] = field(default_factory=list)


def write(source: Path, out: Path | None, edits: Edits) -> Stored:
    """Copy with other objects in the rows where masks go, change or come."""
    edits.refuse_attributes(str(source))
    shards = {
        plain(path.name if path == source else path.relative_to(source).as_posix()): path
        for path in parquet_files(source)
    }
    mine = _by_file(source, shards, edits)
    new = NewObjects(edits, partial(_largest_id, list(shards.values())))
    changes: dict[str, Edit | None] = {
        name: partial(_rewrite, rows=rows, new=new, name=name) for name, rows in mine.items()
    }
    copy_with_edits(source, out, changes)
    return new.count_stored()


def _by_file(
    source: Path, shards: dict[str, Path], edits: Edits
) -> dict[str, dict[int, _RowEdits]]:
    """Return edits by file and row."""
    files: dict[str, dict[int, _RowEdits]] = {}

    def of(key: str, is_mask: bool) -> tuple[_RowEdits, int]:
        found = _KEY.fullmatch(key)
        if not found or found[1] not in shards or (found[3] is not None) != is_mask:
            kind = "mask" if is_mask else "image"
            raise CallError(f"{key} names no {kind} of it", str(source))
        rows = files.setdefault(found[1], {})
        return rows.setdefault(int(found[2]), _RowEdits()), int(found[3] or 0)

    for key in edits.drop:
        row, place = of(key, True)
        row.drop.add(place)
    for key, change in edits.change.items():
        row, place = of(key, True)
        row.change[place] = key, change
    for number, addition in enumerate(edits.add):
        of(addition.image_key, False)[0].add.append((number, addition))
    return files


def _largest_id(paths: list[Path]) -> int:
    """Return the largest id of the objects of some files; 0 where there is none."""
    largest = 0
    for path in paths:
        with convert_read_errors(path):
            metadata, columns = read_object_columns(path, str(path))
            if columns.number is None or not pa.types.is_integer(columns.fields[columns.number]):
                continue
            places = columns.paths(metadata)
            mine = [p for p in places if p.startswith(f"{OBJECTS}.") and columns.number in p]
            with pq.ParquetFile(path) as opened:
                for batch in opened.iter_batches(1024, columns=mine):
                    values = batch.column(OBJECTS)
                    while not pa.types.is_integer(values.type):
                        values = _inner(values, columns.number)
                    largest = max(largest, pc.max(values).as_py() or 0)
    return largest


def _inner(values: pa.Array, field_name: str) -> pa.Array:
    if pa.types.is_struct(values.type):
        return values.field(field_name)
    return values.flatten()


def _rewrite(
    source: Path, file: BinaryIO, rows: dict[int, _RowEdits], new: NewObjects, name: str
) -> None:
    """Write a file with other objects in some rows."""
    try:
        with convert_read_errors(source):
            metadata, columns = read_object_columns(source, str(source))
            every = {metadata.schema.column(k).path: k for k in range(len(metadata.schema))}
            check_groups(source, metadata, every, str(source))
        with pq.ParquetFile(source) as opened:
            schema = opened.schema_arrow
            with pq.ParquetWriter(file, schema, **_settings(metadata)) as writer:
                for table, first in _groups(opened, metadata):
                    inside = {k - first: rows[k] for k in rows if 0 <= k - first < len(table)}
                    if inside:
                        table = _edit_table(table, columns, inside, new, f"{name}#", first)
                    writer.write_table(table, row_group_size=max(1, len(table)))
    except PARQUET_ERRORS as error:
        raise broken_error(error, str(source)) from error
    last = metadata.num_rows
    for row in sorted(rows):
        if row >= last:
            raise CallError(f"{name}#{row} names no row of it", str(source))


def _groups(opened: pq.ParquetFile, metadata: pq.FileMetaData) -> Iterator[tuple[pa.Table, int]]:
    """Yield row groups, each with the number of rows before it."""
    first = 0
    for group in range(metadata.num_row_groups):
        table = opened.read_row_group(group)
        yield table, first
        first += len(table)


def _settings(metadata: pq.FileMetaData) -> JsonObject:
    """Return how a file is written, as arguments of a writer."""
    # By the names of the schema, by which columns are written: row groups may say others.
    columns = {
        metadata.schema.column(k).path: metadata.row_group(0).column(k)
        for k in range(metadata.num_columns if metadata.num_row_groups else 0)
    }
    codecs = {name: one.compression for name, one in columns.items()}
    return {
        "use_compliant_nested_type": False,  # else what lists call their elements is renamed
        "compression": {k: "NONE" if v == "UNCOMPRESSED" else v for k, v in codecs.items()},
        "use_dictionary": [
            name
            for name, one in columns.items()
            if any("DICTIONARY" in encoding for encoding in one.encodings)
        ],
        "write_statistics": [name for name, one in columns.items() if one.is_stats_set],
        "version": metadata.format_version if metadata.format_version in _VERSIONS else "2.6",
        "store_schema": b"ARROW:schema" in (metadata.metadata or {}),
    }


_VERSIONS = ("1.0", "2.4", "2.6")


def _edit_table(
    table: pa.Table,
    columns: ObjectColumns,
    rows: dict[int, _RowEdits],
    new: NewObjects,
    prefix: str,
    first: int,
) -> pa.Table:
    """Return a row group with other objects in some rows."""
    place = table.schema.get_field_index(OBJECTS)
    old = table.column(place)
    pieces: list[pa.Array] = []
    at = 0
    for row in sorted(rows):
        pieces += old.slice(at, row - at).chunks
        head = table.slice(row, 1).drop_columns([OBJECTS]).to_pylist()[0]
        key = f"{prefix}{first + row}"
        value = _edit_row(old[row].as_py(), head, columns, rows[row], new, key)
        try:
            pieces.append(pa.array([value], type=old.type))
        except (pa.ArrowException, TypeError, ValueError, OverflowError) as error:
            what = f"the types of the file's columns cannot hold what changes ({error})"
            raise CallError(what[:300], key, "write another format with --to") from error
        at = row + 1
    pieces += old.slice(at).chunks
    made = pa.chunked_array(pieces, type=old.type)
    return table.set_column(place, table.schema.field(place), made)


def _edit_row(
    value: Any,
    head: JsonObject,
    columns: ObjectColumns,
    edits: _RowEdits,
    new: NewObjects,
    key: str,
) -> Any:
    """Return the objects of a row with its edits."""
    try:
        objects = list_objects(value)
    except ValueError as error:
        raise CallError("the lists of its objects differ in length", key, "mend it") from error
    for place in sorted({*edits.drop, *edits.change}):
        if place >= len(objects):
            raise CallError(f"{key}/{place} names no mask of it", key)
    size = size_of_row(head, columns, objects)
    like = next((one for one in objects if isinstance(one, dict)), None)
    made = []
    for place, one in enumerate(objects):
        if place in edits.change:
            mask_key, change = edits.change[place]
            if not isinstance(one, dict):
                raise CallError(
                    "the object is null, so it cannot be changed", mask_key, "reject it"
                )
            one = new.changed(one, change, columns, size, mask_key)
        if place not in edits.drop:
            made.append(one)
    for number, addition in edits.add:
        image_size(size, addition.height, addition.width, key)
        new_runs(addition.counts, (addition.height, addition.width), key)
        made.append(new.added(addition, columns, like, number))
    if columns.listed:
        return made
    kept = dict(value) if isinstance(value, dict) else {}
    names = [name for name in columns.fields if kept or name in columns.fields]
    return kept | {name: [one.get(name) for one in made] for name in names}
