"""Parquet files with objects, row by row: what no edit names has the same values and types."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from curate.formats.edits import Change, Edits
from curate.formats.untouched.tree_check import FileCheck, TreeEdits, check_tree

_STEP = 500

Rows = dict[int, tuple[set[int], dict[int, Change], int]]
"""By row: objects that go, that change, and how many come."""


def check_huggingface(source: Path, written: Path, edits: Edits) -> str:
    """Compare two Parquet files, or folders of them, in all that no edit names."""
    files: dict[str, Rows] = {}

    def of(key: str) -> tuple[str, int, tuple[set[int], dict[int, Change], int], int]:
        name, _, place = key.rpartition("#")
        row, _, number = place.partition("/")
        rows = files.setdefault(name, {})
        return name, int(row), rows.setdefault(int(row), (set(), {}, 0)), int(number or 0)

    for key in edits.drop:
        *_, mine, number = of(key)
        mine[0].add(number)
    for key, change in edits.change.items():
        *_, mine, number = of(key)
        mine[1][number] = change
    for key, count in Counter(one.image_key for one in edits.add).items():
        name, row, mine, _ = of(key)
        files[name][row] = (mine[0], mine[1], count)
    edited: dict[str, FileCheck] = {n: partial(_check_file, rows) for n, rows in files.items()}
    return check_tree(source, written, TreeEdits(edited))


def _check_file(rows: Rows, source: Path, written: Path) -> str:
    with pq.ParquetFile(source) as old, pq.ParquetFile(written) as new:
        if not _described(old).equals(_described(new), check_metadata=True):
            return "its columns are not as they were"
        problem = _check_layout(old.metadata, new.metadata)
        if problem:
            return problem
        first = 0
        for group in range(old.metadata.num_row_groups):
            tables = old.read_row_group(group), new.read_row_group(group)
            for name in tables[0].column_names:
                if name != "objects" and not _is_equal(*(one.column(name) for one in tables)):
                    return f"the column {name} is not as it was"
            for row, was, now in _objects(*tables):
                problem = _check_row(was, now, *rows.get(first + row, (set(), {}, 0)))
                if problem:
                    return f"row {first + row}: {problem}"
            first += len(tables[0])
    return ""


def _described(file: pq.ParquetFile) -> pa.Schema:
    """Return a file's columns and its own metadata; Arrow's, which it writes anew, left out."""
    schema = file.schema_arrow
    metadata = schema.metadata or {}
    own = {k: v for k, v in metadata.items() if not k.startswith(b"ARROW:")}
    return schema.with_metadata(own or None)


def _check_layout(old: pq.FileMetaData, new: pq.FileMetaData) -> str:
    if old.num_row_groups != new.num_row_groups:
        return "it has other row groups"
    for group in range(old.num_row_groups):
        was, now = old.row_group(group), new.row_group(group)
        if was.num_rows != now.num_rows:
            return "its row groups have other lengths"
        pairs = ((was.column(k), now.column(k)) for k in range(was.num_columns))
        if any(a.compression != b.compression for a, b in pairs):
            return "a column is packed in another way"
    return ""


def _is_equal(old: pa.ChunkedArray, new: pa.ChunkedArray) -> bool:
    if old.equals(new):
        return True
    steps = range(0, max(len(old), len(new)), _STEP)  # NaN is not equal to itself, its text is
    return all(repr(_values(old, at)) == repr(_values(new, at)) for at in steps)


def _values(column: pa.ChunkedArray, at: int) -> list[Any]:
    return list(column.slice(at, _STEP).to_pylist())


def _objects(old: pa.Table, new: pa.Table) -> Iterator[tuple[int, Any, Any]]:
    """Yield rows whose objects differ, or may."""
    was, now = old.column("objects"), new.column("objects")
    for at in range(0, len(was), _STEP):
        pairs = zip(_values(was, at), _values(now, at), strict=True)
        for k, (a, b) in enumerate(pairs):
            yield at + k, a, b


def _split(value: Any) -> list[Any]:
    if isinstance(value, dict):
        columns = {k: v for k, v in value.items() if isinstance(v, list)}
        if len({len(one) for one in columns.values()}) > 1:
            return [value]
        rows = zip(*columns.values(), strict=True)
        return [dict(zip(columns, one, strict=True)) for one in rows]
    return value or []


def _check_row(old: Any, new: Any, gone: set[int], changed: dict[int, Change], added: int) -> str:
    if not (gone or changed or added):
        return "" if repr(old) == repr(new) else "its objects are not as they were"
    was = [(k, one) for k, one in enumerate(_split(old)) if k not in gone]
    now = _split(new)
    if len(now) != len(was) + added:
        return f"it has {len(now)} objects instead of {len(was) + added}"
    for (k, one), made in zip(was, now, strict=False):
        if repr(one) == repr(made):
            continue
        change = changed.get(k)
        if change is None or not isinstance(one, dict) or not isinstance(made, dict):
            return f"object {k} is not as it was"
        for name in one:
            if repr(one[name]) != repr(made.get(name)) and not _may_differ(name, change):
                return f"{name} of object {k} is not as it was"
    return ""


def _may_differ(name: str, change: Change) -> bool:
    lowered = name.lower()
    of_pixels = ("segmentation", "mask", "rle", "polygon", "bbox", "box", "area")
    if change.counts is not None and lowered.startswith(of_pixels):
        return lowered != "mask_id"
    return change.category is not None and lowered.startswith(("category", "label", "class"))
