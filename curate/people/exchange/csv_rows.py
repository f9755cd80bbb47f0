"""CSV, both ways: queues out, tables with a column ``decision`` in.

The first row names the columns, in any order; commas, semicolons and tabs are found by it. A row is
counted as a spreadsheet counts it: the header is row 1, and a cell may hold line breaks.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import pandas as pd

from curate.common.garbage_collection import pause_collector
from curate.dataset.table import plain
from curate.errors import SourceError
from curate.formats.format import convert_read_errors, new_file
from curate.people.exchange.queue_writing import ExportOptions, QueueWriter
from curate.people.exchange.readers import ImportedDecisions, ImportOptions, Reader
from curate.people.exchange.row_cells import FORMULA, add_decision_column
from curate.people.exchange.table_columns import NAMES, Table, parse_decisions
from curate.people.reviews.review_file import Reviews
from curate.store.audit import Audit

_HEAD_BYTES = 1 << 16
_BATCH = 20_000
_DELIMITERS = (",", ";", "\t")


def _parse_header(line: str) -> tuple[str, list[str]]:
    """Return the delimiter of a header, and its names."""
    cut = {mark: next(csv.reader([line], delimiter=mark), []) for mark in _DELIMITERS}
    best = max(
        _DELIMITERS, key=lambda mark: ("mask_id" in _normalise_names(cut[mark]), len(cut[mark]))
    )
    return best, _normalise_names(cut[best])


def _normalise_names(names: list[str]) -> list[str]:
    return [name.strip().lower() for name in names]


def _matches(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            head = file.read(_HEAD_BYTES)
        line = head.splitlines()[0].decode("utf-8-sig") if head else ""
        return "mask_id" in _parse_header(line)[1]
    except (OSError, UnicodeDecodeError, csv.Error, IndexError):
        return False


def _read(reviews: Reviews, path: Path, options: ImportOptions) -> ImportedDecisions:
    del options
    with convert_read_errors(path), path.open("rb") as file:
        text = io.TextIOWrapper(file, "utf-8-sig", newline="")
        try:
            with pause_collector():
                return parse_decisions(_read_table(path.name, text), reviews.audit)
        except UnicodeDecodeError as error:
            do = "save it as CSV UTF-8"
            raise SourceError("the text is not UTF-8", path.name, do) from error


def _read_table(name: str, text: io.TextIOWrapper) -> Table:
    mark, names = _parse_header(text.readline())
    for column in NAMES:
        if names.count(column) > 1:
            raise SourceError(f"the column {column} occurs twice", name)
    places = {column: names.index(column) for column in NAMES if column in names}
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
    return Table(name, columns, rows, frozenset(names) - set(NAMES))


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


def write_csv(audit: Audit, rows: pd.DataFrame, out: Path, how: ExportOptions) -> int:
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
    rows = add_decision_column(rows)
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


READER = Reader("csv", "CSV rows", _matches, _read)

WRITER = QueueWriter("csv", "CSV", write_csv, pictured=False)
