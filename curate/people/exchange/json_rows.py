"""JSON, both ways: queues out; a list of rows in, alone or under the key ``decisions``.

A queue written as JSON (its list is called ``masks``) is one too, with ``decision`` filled in.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import orjson
import pandas as pd

from curate.common.garbage_collection import pause_collector
from curate.errors import SourceError
from curate.formats.format import convert_read_errors, new_file
from curate.formats.json.sniffing import shape_of
from curate.formats.json.streaming import scan
from curate.formats.segmentation import json_type
from curate.people.exchange.queue_writing import DUMP, ExportOptions, QueueWriter, plain_records
from curate.people.exchange.readers import ImportedDecisions, ImportOptions, Reader
from curate.people.exchange.row_cells import add_decision_column
from curate.people.exchange.table_columns import NAMES, Table, parse_decisions
from curate.people.reviews.review_file import Reviews
from curate.store.audit import Audit
from curate.store.audit_sql import source_of

_LISTS = ("", "decisions", "masks")
"""Keys under which the list may stand; the first is a file that is a list itself."""


def _matches(path: Path) -> bool:
    shape = shape_of(path)
    return any("mask_id" in shape.one(key) for key in _LISTS if shape.is_list.get(key))


def _read(reviews: Reviews, path: Path, options: ImportOptions) -> ImportedDecisions:
    del options
    columns: dict[str, list[Any]] = {}
    others: set[str] = set()
    count = 0
    with convert_read_errors(path), path.open("rb") as file, pause_collector():
        for batch in scan(file, path.name, frozenset(_LISTS)):
            values = batch.parse(path.name)
            if not batch.is_list:
                what = f"{batch.key} is {json_type(values[0])}, not a list"
                raise SourceError(what, path.name)
            _append_rows(path.name, values, count, columns, others)
            count += len(values)
    table = Table(path.name, columns, range(1, count + 1), frozenset(others))
    return parse_decisions(table, reviews.audit)


def _append_rows(
    name: str, values: list[Any], count: int, columns: dict[str, list[Any]], others: set[str]
) -> None:
    """Append rows to the columns read so far; a key that a row lacks is None."""
    if set(map(type, values)) - {dict}:
        at, odd = next((k, v) for k, v in enumerate(values) if type(v) is not dict)
        raise SourceError(f"it is {json_type(odd)}, not an object", f"{name}, row {count + at + 1}")
    keys = set().union(*values)
    others |= keys - set(NAMES)
    for column in keys & set(NAMES) - set(columns):
        columns[column] = [None] * count
    for column, taken in columns.items():
        taken.extend([value.get(column) for value in values])


def write_json(audit: Audit, rows: pd.DataFrame, out: Path, how: ExportOptions) -> int:
    """Write a queue as JSON: ``{"audit": ..., "source": ..., "masks": [...]}``.

    Each mask has a ``decision``, null until people fill it in.
    """
    del how
    head = {"audit": str(audit.path), "source": source_of(audit).get("path")}
    with new_file(out) as file:
        file.write(orjson.dumps(head)[:-1] + b',"masks":[')
        for k, record in enumerate(plain_records(add_decision_column(rows))):
            file.write((b",\n" if k else b"\n") + orjson.dumps(record, option=DUMP))
        file.write(b"\n]}\n")
    return len(rows)


READER = Reader("json", "JSON rows", _matches, _read)

WRITER = QueueWriter("json", "JSON", write_json, pictured=False)
