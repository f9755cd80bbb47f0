"""Rows of Parquet files that hold a picture and its objects each, read within bounds.

``objects`` is a struct of lists, or a list of structs, as Hugging Face's datasets have it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import orjson
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from curate.errors import SourceError

BATCH_ROWS = 64
"""Rows that are read at once."""

MAX_OBJECTS = 100_000
"""Most objects of a picture."""

MAX_ROW_BYTES = 64 << 20
"""Most memory that a picture's objects may take as columns; as Python's values they take more."""

MAX_VALUES = 1 << 25
MAX_GROUP_BYTES = 1 << 31
"""Largest column of a row group. Equal values take next to no room in a Parquet, but memory."""


PARQUET_ERRORS = (pa.ArrowException, UnicodeDecodeError)
"""What Arrow raises on damaged files; names that are no UTF-8 are for Python to notice."""


def broken_error(error: Exception, where: str) -> SourceError:
    """Return Arrow's error on a file as one of the source."""
    reason = (str(error).splitlines() or [""])[0][:120]
    return SourceError(f"the Parquet is broken ({reason})", where, "get the file again")


def parquet_files(path: Path) -> list[Path]:
    """Return the Parquet files of a path: itself, or those in a folder, also in its ``data``."""
    if path.is_dir():
        return sorted([*path.glob("*.parquet"), *path.glob("data/*.parquet")])
    return [path]


def schema_of(path: Path) -> pa.Schema | None:
    """Return the schema of a Parquet file; None for what is none, or is damaged."""
    if not path.is_file():
        return None
    with path.open("rb") as file:
        if file.read(4) != b"PAR1":
            return None
    try:
        return pq.read_schema(path)
    except (pa.ArrowException, OSError, ValueError):  # ValueError: names that are not UTF-8
        return None


def read_batches(
    file: Path,
    columns: Mapping[str, int],
    texts: list[str],
    groups: Sequence[int] | None = None,
    rows: int = BATCH_ROWS,
) -> Iterator[pa.RecordBatch]:
    """Yield the rows of a file, some at a time.

    Args:
        file: The file.
        columns: Paths of the columns that are read, with their positions.
        texts: Those of them that are texts.
        groups: Positions of the row groups; None for all.
        rows: Most rows of a batch.
    """
    # As dictionaries, so that a text that comes again and again is not copied each time. Each row
    # group has its own, and Arrow cannot put two of them into one batch inside a list.
    with pq.ParquetFile(file, read_dictionary=texts) as opened:
        for group in range(opened.metadata.num_row_groups) if groups is None else groups:
            yield from opened.iter_batches(rows, row_groups=[group], columns=list(columns))


def duplicate_error(column: str, name: str) -> SourceError:
    """Return the error that a column of the file ``name`` stands in it twice."""
    return SourceError(f"the column {column[:80]!r} occurs twice", name, "keep one of them")


def is_text(column: pq.ColumnSchema) -> bool:
    """Return whether a column holds texts or bytes."""
    return bool(column.physical_type == "BYTE_ARRAY")


def check_groups(file: Path, metadata: pq.FileMetaData, columns: dict[str, int], name: str) -> None:
    """Refuse row groups that are broken, or would fill the memory.

    Args:
        file: The file.
        metadata: Its metadata.
        columns: Paths of the columns that will be read, with their positions.
        name: What the file is called in messages.

    Raises:
        SourceError: One is.
    """
    _check_readable(file, metadata, columns, name)
    for number in range(metadata.num_row_groups):
        group = metadata.row_group(number)
        for path, at in columns.items():
            column = group.column(at)
            values, size = column.num_values, column.total_uncompressed_size
            if values > MAX_VALUES or size > MAX_GROUP_BYTES:
                what = f"row group {number + 1} has {values:,} values ({size:,} bytes) in {path}"
                raise SourceError(f"{what}, which is too much", name, "write smaller row groups")


def _check_readable(
    file: Path, metadata: pq.FileMetaData, columns: Iterable[str], name: str
) -> None:
    """Read one row of each row group.

    Where the metadata of a column contradicts the schema, Arrow raises an error only to whoever
    reads it; whoever asks for that metadata has the process ended (``std::terminate``).
    """
    try:
        with pq.ParquetFile(file, pre_buffer=False) as opened:
            for group in range(metadata.num_row_groups):
                next(opened.iter_batches(1, row_groups=[group], columns=list(columns)), None)
    except (*PARQUET_ERRORS, OSError) as error:
        raise broken_error(error, name) from error


def check_row(row: pa.RecordBatch, where: str) -> None:
    """Refuse a row with far more objects than a picture has, before they become Python's values."""
    objects = row.column("objects")
    lists = objects.flatten() if pa.types.is_struct(objects.type) else [objects]
    lengths = [pc.max(pc.list_value_length(one)).as_py() for one in lists if is_list(one.type)]
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
    if is_list(kind):
        return 8 * len(values) + _expanded_bytes(values.flatten())
    return int(values.nbytes)


def is_list(kind: pa.DataType) -> bool:
    """Return whether a type is one of Arrow's lists."""
    plain = pa.types.is_list(kind) or pa.types.is_large_list(kind)
    return bool(plain or pa.types.is_fixed_size_list(kind))


def parse_objects(value: Any, where: str) -> list[dict[str, Any]]:
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


def class_names(schema: pa.Schema, field: str = "category") -> list[str]:
    """Return the names of categories that are kept as numbers; none where they are texts.

    Args:
        schema: Of a file, with the features that ``datasets`` keeps in it.
        field: Name of the category in an object.
    """
    try:
        metadata = orjson.loads((schema.metadata or {}).get(b"huggingface", b"{}"))
        objects = metadata["info"]["features"]["objects"]
        one = objects.get("feature", objects) if isinstance(objects, dict) else objects[0]
        names = one[field].get("feature", one[field])["names"]
        return [str(name) for name in names]
    except (ValueError, KeyError, TypeError, IndexError, AttributeError, OverflowError):
        return []
