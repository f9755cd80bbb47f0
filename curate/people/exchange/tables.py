"""Tables of decisions as CSV and JSON, both ways: queues out, rows with a column ``decision`` in.

CSV: the first row names the columns, in any order; commas, semicolons and tabs are found by it. A
row is counted as a spreadsheet counts it: the header is row 1, and a cell may hold line breaks.

JSON: a list of rows, alone or under the key ``decisions``. A queue written as JSON (its list is
called ``masks``) is one too, with ``decision`` filled in.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import orjson
import pandas as pd

from curate.common.garbage_collection import pause_collector
from curate.dataset.table import plain
from curate.errors import SourceError
from curate.formats.format import convert_read_errors, new_file
from curate.formats.json.sniffing import shape_of
from curate.formats.json.streaming import scan
from curate.formats.segmentation import json_type
from curate.people.exchange.queue_writing import plain_records, write_items
from curate.people.exchange.registry import (
    DecisionReader,
    ExchangeTool,
    ExportOptions,
    ImportedDecisions,
    ImportOptions,
    QueueWriter,
)
from curate.people.exchange.table_columns import (
    FORMULA,
    NAMES,
    Table,
    add_decision_column,
    parse_decisions,
)
from curate.people.reviews.review_file import Reviews
from curate.store.audit import StoredAudit

_HEAD_BYTES = 1 << 16
_BATCH = 20_000
_DELIMITERS = (",", ";", "\t")
_LISTS = ("", "decisions", "masks")
"""Keys under which the list may stand; the first is a file that is a list itself."""


def _parse_header(line: str, key: str) -> tuple[str, list[str]]:
    """Return the delimiter of a header, and its names; the one that gives the key, if one does."""
    cut = {mark: next(csv.reader([line], delimiter=mark), []) for mark in _DELIMITERS}
    best = max(_DELIMITERS, key=lambda mark: (key in _normalise_names(cut[mark]), len(cut[mark])))
    return best, _normalise_names(cut[best])


def _normalise_names(names: list[str]) -> list[str]:
    return [name.strip().lower() for name in names]


def is_csv_with(path: Path, key: str) -> bool:
    """Whether a file is CSV with a column of that name."""
    try:
        with path.open("rb") as file:
            head = file.read(_HEAD_BYTES)
        line = head.splitlines()[0].decode("utf-8-sig") if head else ""
        return key in _parse_header(line, key)[1]
    except (OSError, UnicodeDecodeError, csv.Error, IndexError):
        return False


def _matches_csv(path: Path) -> bool:
    return is_csv_with(path, NAMES[0])


def _read_csv(reviews: Reviews, path: Path, options: ImportOptions) -> ImportedDecisions:
    del options
    with pause_collector():
        return parse_decisions(read_csv_table(path, NAMES), reviews.audit)


def read_csv_table(path: Path, wanted: Sequence[str]) -> Table:
    """Read some columns of a CSV file, as texts.

    Args:
        path: The file.
        wanted: Names of the columns, as far as it has them; the first one names a row in messages.

    Raises:
        SourceError: It is no sound CSV in UTF-8.
    """
    with convert_read_errors(path), path.open("rb") as file:
        text = io.TextIOWrapper(file, "utf-8-sig", newline="")
        try:
            return _read_rows(path.name, text, wanted)
        except UnicodeDecodeError as error:
            do = "save it as CSV UTF-8"
            raise SourceError("the text is not UTF-8", path.name, do) from error


def _read_rows(name: str, text: io.TextIOWrapper, wanted: Sequence[str]) -> Table:
    mark, names = _parse_header(text.readline(), wanted[0])
    for column in wanted:
        if names.count(column) > 1:
            raise SourceError(f"the column {column} occurs twice", name)
    places = {column: names.index(column) for column in wanted if column in names}
    columns: dict[str, list[Any]] = {column: [] for column in places}
    rows: list[int] = []
    for first, batch in _batches(name, csv.reader(text, delimiter=mark, strict=True)):
        numbers = range(first, first + len(batch))
        if set(map(len, batch)) - {len(names)}:
            numbers, batch = _check_rows(name, len(names), numbers, batch)  # type: ignore[assignment]
        if not batch:
            continue
        cells = list(zip(*batch, strict=True))
        rows.extend(numbers)
        for column, place in places.items():
            columns[column].extend(cells[place])
    return Table(name, columns, rows, frozenset(names) - set(wanted), wanted[0])


def _batches(name: str, reader: Any) -> Iterator[tuple[int, list[list[str]]]]:
    """Yield rows with the number of the first of them."""
    first = 2
    while True:
        try:
            batch = list(islice(reader, _BATCH))
        except csv.Error as error:
            what = f"the CSV is broken ({error})"
            raise SourceError(what, f"{name}, line {reader.line_num + 1}") from error
        if not batch:
            return
        yield first, batch
        first += len(batch)


def _check_rows(
    name: str, width: int, numbers: range, batch: list[list[str]]
) -> tuple[list[int], list[list[str]]]:
    """Leave out empty lines; refuse rows with too few or too many cells."""
    kept = [(at, row) for at, row in zip(numbers, batch, strict=True) if any(row)]
    for at, row in kept:
        if len(row) != width:
            what = f"it has {len(row)} cells, the header has {width}"
            raise SourceError(what, f"{name}, row {at}", "check its quotes and commas")
    return [at for at, _ in kept], [row for _, row in kept]


def write_csv(audit: StoredAudit, rows: pd.DataFrame, out: Path, how: ExportOptions) -> int:
    """Write a queue as CSV (UTF-8, RFC 4180), safe to open in a spreadsheet.

    A text that a spreadsheet would run as a formula gets an apostrophe in front; numbers stay.
    """
    del audit, how
    with new_file(out) as file:
        text = io.TextIOWrapper(file, "utf-8", newline="", write_through=True)
        for line in format_csv(rows):
            text.write(line)
        text.detach()
    return len(rows)


def format_csv(rows: pd.DataFrame) -> Iterator[str]:
    """Yield a queue as CSV text, some lines at a time, with an empty column ``decision``."""
    return format_rows(add_decision_column(rows))


def format_rows(rows: pd.DataFrame) -> Iterator[str]:
    """Yield a table as CSV text, some lines at a time, safe to open in a spreadsheet."""
    buffer = io.StringIO()
    writer = csv.writer(buffer)
    writer.writerow(rows.columns)
    for start in range(0, len(rows), _BATCH):
        batch = rows.iloc[start : start + _BATCH]
        columns = [[_escape_cell(value) for value in plain(batch[name])] for name in rows.columns]
        writer.writerows(zip(*columns, strict=True))
        yield buffer.getvalue()
        buffer.seek(0)
        buffer.truncate()
    yield buffer.getvalue()


def _escape_cell(value: Any) -> Any:
    if value is None:
        return ""
    if isinstance(value, str):
        risky = value.lstrip(" ").startswith(FORMULA) or value.startswith(FORMULA)
        return "'" + value if risky else value
    return value


def is_json_with(path: Path, key: str, lists: Sequence[str]) -> bool:
    """Whether a file is JSON with a list of objects that have such a field, under one of the keys
    (``""``: the file itself is the list)."""
    shape = shape_of(path)
    return any(key in shape.one(name) for name in lists if shape.is_list.get(name))


def _matches_json(path: Path) -> bool:
    return is_json_with(path, NAMES[0], _LISTS)


def _read_json(reviews: Reviews, path: Path, options: ImportOptions) -> ImportedDecisions:
    del options
    return parse_decisions(read_json_table(path, NAMES, _LISTS), reviews.audit)


def read_json_table(path: Path, wanted: Sequence[str], lists: Sequence[str]) -> Table:
    """Read some fields of the objects in a list of a JSON file; as :func:`read_csv_table`.

    Args:
        path: The file.
        wanted: Names of the fields.
        lists: Keys under which the list may stand.

    Raises:
        SourceError: It is no such file.
    """
    columns: dict[str, list[Any]] = {}
    others: set[str] = set()
    count = 0
    with convert_read_errors(path), path.open("rb") as file, pause_collector():
        for batch in scan(file, path.name, frozenset(lists)):
            values = batch.parse(path.name)
            if not batch.is_list:
                what = f"{batch.key} is {json_type(values[0])}, not a list"
                raise SourceError(what, path.name)
            _append_rows(path.name, (values, wanted), count, columns, others)
            count += len(values)
    return Table(path.name, columns, range(1, count + 1), frozenset(others), wanted[0])


def _append_rows(
    name: str,
    batch: tuple[list[Any], Sequence[str]],
    count: int,
    columns: dict[str, list[Any]],
    others: set[str],
) -> None:
    """Append rows to the columns read so far; a key that a row lacks is None."""
    values, wanted = batch
    if set(map(type, values)) - {dict}:
        at, odd = next((k, v) for k, v in enumerate(values) if type(v) is not dict)
        raise SourceError(f"it is {json_type(odd)}, not an object", f"{name}, row {count + at + 1}")
    keys = set().union(*values)
    others |= keys - set(wanted)
    for column in keys & set(wanted) - set(columns):
        columns[column] = [None] * count
    for column, taken in columns.items():
        taken.extend([value.get(column) for value in values])


def write_json(audit: StoredAudit, rows: pd.DataFrame, out: Path, how: ExportOptions) -> int:
    """Write a queue as JSON: ``{"audit": ..., "source": ..., "masks": [...]}``.

    Each mask has a ``decision``, null until people fill it in.
    """
    del how
    head = {"audit": str(audit.path), "source": audit.info.source.get("path")}
    with new_file(out) as file:
        file.write(orjson.dumps(head)[:-1] + b',"masks":[')
        write_items(file, plain_records(add_decision_column(rows)))
        file.write(b"\n]}\n")
    return len(rows)


CSV = ExchangeTool(
    "csv",
    QueueWriter("CSV", write_csv, pictured=False),
    DecisionReader("CSV rows", _matches_csv, _read_csv),
)

JSON = ExchangeTool(
    "json",
    QueueWriter("JSON", write_json, pictured=False),
    DecisionReader("JSON rows", _matches_json, _read_json),
)
