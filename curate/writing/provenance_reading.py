"""Provenance read again: the facts of the whole dataset, one mask that left, and its new row."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import orjson
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from curate.common import files
from curate.common.json_values import JsonObject
from curate.errors import CallError, SourceError
from curate.formats.format import convert_read_errors
from curate.writing.provenance import JSON_MARK, LEFT, MARK, write_rows

_NEEDED = ("height", "width", "segmentation")
_DO = "name the provenance of this dataset with --from"


def read_left(path: Path, mask: int) -> tuple[JsonObject, JsonObject]:
    """Return the facts of a provenance, and the row of a mask that was removed or is ignored.

    Args:
        path: The provenance, Parquet or JSON.
        mask: Id of the mask in the audit.

    Raises:
        SourceError: It cannot be read, or is no provenance.
        CallError: It has no such mask, the mask is in the dataset, or its pixels are not known.
    """
    with _reading(path):
        if path.suffix.lower() == ".json":
            facts, rows = _read_json(path)
            found = [row for row in rows if row.get("mask_id") == mask]
        else:
            facts = _facts_of(pq.read_schema(path), path)
            found = pq.read_table(path, filters=[("mask_id", "==", mask)]).to_pylist()
    if not found:
        raise CallError(f"there is no mask {mask} in it", str(path), _DO)
    row = found[0]
    if row.get("change") not in LEFT:
        what = f"mask {mask} is in the dataset ({row.get('change')})"
        raise CallError(what, str(path), "only removed and ignored masks can be restored")
    if not all(row.get(name) for name in _NEEDED):
        what = f"it does not hold the pixels of mask {mask}"
        do = "prune or write the audit again: this was made by an earlier curate, or of no pixels"
        raise CallError(what, str(path), do)
    return facts, row


class RowChange(NamedTuple):
    """New values of a row of a provenance.

    Attributes:
        column: By which the row is found: "mask_id" or "new_source_key".
        value: What it has there.
        values: The new values by column.
    """

    column: str
    value: object
    values: Mapping[str, object]

    def is_of(self, row: JsonObject) -> bool:
        """Return whether it changes a row."""
        return row.get(self.column) == self.value

    def as_row(self) -> JsonObject:
        """Return a row of its own, where the provenance has none."""
        return {**self.values, self.column: self.value}


def write_restored(path: Path, to: Path, facts: JsonObject, changes: Sequence[RowChange]) -> None:
    """Write a provenance again, with other values in some rows; one that it lacks is added.

    Args:
        path: The provenance.
        to: The new file, of the same kind.
        facts: Its facts.
        changes: Of which rows.
    """
    with _reading(path):
        if path.suffix.lower() == ".json":
            _, rows = _read_json(path)
            changed = [_changed(row, changes) for row in rows]
            lacking = [one for one in changes if not any(map(one.is_of, rows))]
            with files.open_file(to) as file:
                write_rows(file, facts, [*changed, *(one.as_row() for one in lacking)])
        else:
            _write_parquet(path, to, facts, changes)
    with files.open_file(to, "r+b") as file:
        files.sync(file)


def _changed(row: JsonObject, changes: Sequence[RowChange]) -> JsonObject:
    for one in changes:
        if one.is_of(row):
            row = {**row, **one.values}
    return row


def read_reasons(path: Path, keys: Sequence[str]) -> dict[str, str]:
    """Read the reasons of masks that are in the dataset; by source key there, "" for none.

    Args:
        path: The provenance, Parquet or JSON.
        keys: Their source keys in the dataset; those that it does not have are left out.
    """
    with _reading(path):
        if path.suffix.lower() == ".json":
            rows = [row for row in _read_json(path)[1] if row.get("new_source_key") in keys]
        else:
            wanted = [("new_source_key", "in", list(keys))]
            rows = pq.read_table(path, filters=wanted).to_pylist()
    return {str(row["new_source_key"]): str(row.get("reason") or "") for row in rows}


def _write_parquet(path: Path, to: Path, facts: JsonObject, changes: Sequence[RowChange]) -> None:
    """Write the row groups one by one, so that few rows are in memory."""
    with pq.ParquetFile(path) as old:
        schema = old.schema_arrow
        schema = schema.with_metadata({**(schema.metadata or {}), MARK: orjson.dumps(facts)})
        with (
            files.open_file(to) as file,
            pq.ParquetWriter(file, schema, compression="zstd") as writer,
        ):
            lacking = list(changes)
            for group in range(old.num_row_groups):
                table = old.read_row_group(group)
                for one in changes:
                    here = pc.fill_null(pc.equal(table[one.column], one.value), False)
                    if one in lacking and pc.any(here).as_py():
                        lacking.remove(one)
                    for name, value in one.values.items():
                        at = table.schema.get_field_index(name)
                        new = pa.scalar(value, table.schema.field(at).type)
                        table = table.set_column(at, name, pc.if_else(here, new, table[name]))
                writer.write_table(table.cast(schema))
            if lacking:
                rows = [one.as_row() for one in lacking]
                writer.write_table(pa.Table.from_pylist(rows, schema=schema))


@contextmanager
def _reading(path: Path) -> Iterator[None]:
    """Turn what damaged files raise into one error."""
    try:
        with convert_read_errors(path):
            yield
    except (pa.ArrowException, ValueError, KeyError, TypeError, AttributeError) as error:
        raise SourceError("it is no provenance that curate wrote", str(path), _DO) from error


def _facts_of(schema: pa.Schema, path: Path) -> JsonObject:
    found = (schema.metadata or {}).get(MARK)
    if found is None or not {"mask_id", "change"} <= set(schema.names):
        raise SourceError("it is no provenance that curate wrote", str(path), _DO)
    facts: JsonObject = orjson.loads(found)
    return dict(facts)


def _read_json(path: Path) -> tuple[JsonObject, list[JsonObject]]:
    data = path.read_bytes()
    if not data.startswith(JSON_MARK):
        raise SourceError("it is no provenance that curate wrote", str(path), _DO)
    content = orjson.loads(data)
    return dict(content["about"]), [dict(row) for row in content["masks"]]
