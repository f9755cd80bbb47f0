"""Changes of Parquet: rows as plain values, and columns with other types, names and nesting."""

from __future__ import annotations

import io
import json
from random import Random
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from fuzz.mutate import raw, values

_TYPES = (
    *(pa.string(), pa.binary(), pa.int8(), pa.int32(), pa.float32(), pa.float64(), pa.bool_()),
    *(pa.large_string(), pa.uint64(), pa.date32(), pa.decimal128(38, 2), pa.null(), pa.int64()),
    *(pa.list_(pa.int64()), pa.dictionary(pa.int32(), pa.string()), pa.struct([("a", pa.int8())])),
)


def mutate(data: bytes, random: Random) -> bytes:
    """Return a Parquet with one to three changes; bytes that are none are given back."""
    try:
        table = pq.read_table(io.BytesIO(data))
    except (pa.ArrowException, OSError):
        return data
    for _ in range(random.choice((1, 1, 2, 3))):
        try:
            table = _changed(table, random)
        except (pa.ArrowException, OverflowError, TypeError, ValueError, KeyError, UnicodeError):
            continue  # there is no Arrow value of that kind: another change follows, or none
    packed = io.BytesIO()
    try:
        how = random.choice(("none", "snappy", "zstd"))
        pq.write_table(table, packed, compression=how, row_group_size=random.choice((1, 2, 10_000)))
    except (pa.ArrowException, OSError, ValueError):
        return raw.mutate(data, random)
    return packed.getvalue()


def _changed(table: pa.Table, random: Random) -> pa.Table:
    if not table.num_columns:
        return table
    at = random.randrange(table.num_columns)
    name, column = table.field(at).name, table.column(at)
    way = random.random()
    if way < 0.45:
        return _with_other_values(table, at, random)
    if way < 0.6:
        return _replaced(table, at, column.cast(random.choice(_TYPES), safe=False))
    if way < 0.68:
        return _replaced(table, at, pa.nulls(len(table), random.choice((column.type, *_TYPES))))
    if way < 0.74:
        return table.remove_column(at)
    if way < 0.8:
        other = random.choice([*table.column_names, "x", "", "é"])
        return table.rename_columns(
            [*table.column_names[:at], other, *table.column_names[at + 1 :]]
        )
    if way < 0.85:
        return table.append_column(name, column)
    if way < 0.9:
        offsets = pa.array(range(len(table) + 1), pa.int32())
        whole = column.combine_chunks()
        return _replaced(table, at, pa.ListArray.from_arrays(offsets, whole))
    if way < 0.95:
        return random.choice((table.slice(0, 0), table.slice(1), pa.concat_tables([table, table])))
    odd = {b"huggingface": values.mutate(b'{"info": {"features": {"objects": {}}}}', random)}
    return table.replace_schema_metadata(random.choice(({}, odd, {b"pandas": b"{"})))


def _with_other_values(table: pa.Table, at: int, random: Random) -> pa.Table:
    """Change one value of a column, as JSON's values are changed."""
    column = table.column(at)
    if not len(column):
        return table
    listed = column.to_pylist()
    row = random.randrange(len(listed))
    value: Any = listed[row]
    if isinstance(value, bytes):
        listed[row] = raw.mutate(value, random)
    else:
        json.dumps(value)  # else there is nothing to change in it
        listed[row] = values.changed(value, random)
    try:
        made = pa.array(listed, column.type)
    except (pa.ArrowException, OverflowError, TypeError):
        made = pa.array(listed)
    return _replaced(table, at, made)


def _replaced(table: pa.Table, at: int, values_: Any) -> pa.Table:
    return table.set_column(at, table.field(at).name, values_)
