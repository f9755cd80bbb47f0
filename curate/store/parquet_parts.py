"""Checked reads of Parquet parts; damage and foreign files are errors of one sentence."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from curate.errors import AuditError

RESTORE = "restore it from a copy, or run `curate audit` again with --restart"

_WHOLE = (
    "mask_id",
    "image_id",
    "height",
    "width",
    "area_px",
    "bbox_x",
    "bbox_y",
    "bbox_w",
    "bbox_h",
)
"""Whole numbers of which none is missing."""

_TEXTS = (
    *("source_key", "category", "file_name", "status", "status_detail"),
    *("action", "reasons", "decided_by", "policy_action", "rule_action", "flagged_by", "change"),
)
"""Columns of text."""

_STATED = ("status", "action", "decided_by", "policy_action")
"""Texts of which none is missing."""


def _is_text(kind: pa.DataType) -> bool:
    kind = kind.value_type if pa.types.is_dictionary(kind) else kind
    return bool(
        pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_null(kind)
    )


def _is_bytes(kind: pa.DataType) -> bool:
    return bool(pa.types.is_binary(kind) or pa.types.is_large_binary(kind))


def _is_number(kind: pa.DataType) -> bool:
    return bool(pa.types.is_floating(kind) or pa.types.is_integer(kind) or pa.types.is_null(kind))


def _required_type(name: str) -> Callable[[pa.DataType], bool] | None:
    """Return the required type of a column; None where any will do."""
    if name in _WHOLE:
        return lambda kind: bool(pa.types.is_integer(kind))
    if name in _TEXTS:
        return _is_text
    if name == "segmentation":
        return _is_bytes
    return _is_number if name.endswith(("_score", "_px")) else None


@contextmanager
def reading_part(path: Path) -> Iterator[None]:
    """Turn what Arrow raises on a damaged file in the block into an :class:`AuditError` on it."""
    try:
        yield
    except FileNotFoundError:
        raise
    except (pa.ArrowException, OSError, ValueError, KeyError) as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise  # of the operating system: it says why itself
        reason = str(error).strip().partition("\n")[0][:120] or type(error).__name__
        raise AuditError(f"it is damaged ({reason})", str(path), RESTORE) from error


def read_names(path: Path) -> list[str]:
    """Return the columns of a part.

    Raises:
        AuditError: It is damaged, or has columns of other types than curate writes.
    """
    return list(read_schema(path).names)


def read_rows(path: Path) -> int:
    """Return how many rows a part has, by its end; raises where that is damaged."""
    with reading_part(path):
        return int(pq.read_metadata(path).num_rows)


def read_schema(path: Path) -> pa.Schema:
    """Return the schema of a part; raises as :func:`read_names`."""
    with reading_part(path):
        schema = pq.read_schema(path)
    _check(schema, path)
    return schema


def read_columns(path: Path, columns: Sequence[str] | None = None) -> pa.Table:
    """Read a part, or those of some columns that it has.

    Raises:
        AuditError: It is damaged (each page has a checksum, which is held against what is read),
            has columns of other types than curate writes, or lacks ids.
    """
    with reading_part(path):
        names = None if columns is None else list(columns)
        table = pq.read_table(path, columns=names, page_checksum_verification=True)
    check_table(table, path)
    return table


def check_table(table: pa.Table, path: Path) -> None:
    """Check the columns read from a part; raises as :func:`read_columns`."""
    _check(table.schema, path)
    for name in (*_WHOLE, *_STATED):
        if name in table.column_names and table[name].null_count:
            raise AuditError(f"it is damaged (a row has no {name})", str(path), RESTORE)


def _check(schema: pa.Schema, path: Path) -> None:
    names = schema.names
    if len(set(names)) < len(names):
        raise AuditError("it is damaged (a column occurs twice)", str(path), RESTORE)
    for field in schema:
        wanted = _required_type(field.name)
        if wanted is not None and not wanted(field.type):
            what = f"it is not as curate writes it: {field.name} holds {str(field.type)[:60]}"
            raise AuditError(what, str(path), RESTORE)
    stated = (schema.metadata or {}).get(b"pandas")
    if stated is not None and not _fits(stated, schema):
        raise AuditError("it is damaged (its description for pandas)", str(path), RESTORE)


def _fits(stated: bytes, schema: pa.Schema) -> bool:
    """Return whether a description for pandas is one that pandas can follow, of these columns."""
    try:
        value: Any = json.loads(stated)
        kinds = {one["field_name"]: str(one["numpy_type"]) for one in value["columns"]}
        index = value["index_columns"]
        for kind in set(kinds.values()):
            _read_dtype(kind)
    except (ValueError, KeyError, TypeError):
        return False
    if not isinstance(index, list) or not all(isinstance(one, str | dict) for one in index):
        return False
    return all(_is_of(field.type, kinds.get(field.name, "")) for field in schema)


@lru_cache(1024)
def _read_dtype(kind: str) -> object:
    """Return pandas' type of a name, raising where it has none; parts name few, again and again."""
    return pd.api.types.pandas_dtype(kind)


def _is_of(kind: pa.DataType, stated: str) -> bool:
    """Return whether a column's type can become the one that is stated for pandas."""
    if stated.startswith(("Int", "UInt")):
        return bool(pa.types.is_integer(kind))
    if stated.startswith(("int", "uint", "float")):
        return _is_number(kind)
    if stated.startswith("bool"):
        return bool(pa.types.is_boolean(kind))
    return not stated.startswith("large_string") or _is_text(kind)
