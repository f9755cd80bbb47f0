"""SQL results as data frames, read in batches without a Python loop over rows."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import pandas as pd
import pyarrow as pa

from curate.common.garbage_collection import pause_collector
from curate.dataset.table import BINARY
from curate.store.exact_integers import exact_integers

COLUMN_TYPES: dict[str, pa.DataType] = {
    **dict.fromkeys(
        ("decision_id", "mask_id", "image_id", "missing_id", "place", "slot", "order"), pa.int64()
    ),
    **dict.fromkeys(("iou", "seconds", "inclusion_probability"), pa.float64()),
    **dict.fromkeys(("time", "created"), pa.timestamp("us", "UTC")),
    **dict.fromkeys(("draw_id", "stratum", "proposal_id"), pa.int64()),
    "segmentation": pa.large_binary(),
}
"""Types of columns by name; all others are text."""

_NULLABLE = ("draw_id", "stratum")
_ROWS = 20_000


def fetch_frame(
    connection: sqlite3.Connection, sql: str, columns: Sequence[str], parameters: Iterable[Any] = ()
) -> pd.DataFrame:
    """Run a query.

    Args:
        connection: The open file.
        sql: What to ask.
        columns: Names of what it gives, in order; they say the types, see :data:`COLUMN_TYPES`.
        parameters: Values for its question marks.

    Returns:
        A frame. Missing numbers are NaN, missing whole numbers and texts are NA.
    """
    schema = _schema_of(columns)
    batches = []
    with pause_collector():
        cursor = connection.execute(sql, tuple(parameters))
        while rows := cursor.fetchmany(_ROWS):
            arrays = [
                pa.array(values, kind)
                for values, kind in zip(zip(*rows, strict=True), schema.types, strict=True)
            ]
            batches.append(pa.record_batch(arrays, schema=schema))
    return _as_frame(pa.Table.from_batches(batches, schema))


def empty_frame(columns: Sequence[str]) -> pd.DataFrame:
    """Return a frame without rows, of the types that :func:`fetch_frame` gives."""
    return _as_frame(_schema_of(columns).empty_table())


def _schema_of(columns: Sequence[str]) -> pa.Schema:
    return pa.schema([(name, COLUMN_TYPES.get(name, pa.large_string())) for name in columns])


def _as_frame(table: pa.Table) -> pd.DataFrame:
    frame: pd.DataFrame = table.to_pandas(types_mapper={pa.large_binary(): BINARY}.get)
    nullable = [name for name in _NULLABLE if name in table.column_names]
    return frame.assign(**{name: exact_integers(table[name]) for name in nullable})


def insert_columns(
    connection: sqlite3.Connection, table: str, columns: Mapping[str, Sequence[Any]]
) -> None:
    """Insert columns of equal length into a table; NaN becomes NULL."""
    marks = ", ".join("?" * len(columns))
    with pause_collector():
        connection.executemany(
            f"insert into {table} ({', '.join(columns)}) values ({marks})",
            zip(*columns.values(), strict=True),
        )
