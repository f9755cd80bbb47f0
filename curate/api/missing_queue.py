"""Table of the proposed missing masks that nobody has answered, as CSV or JSON.

:mod:`curate.api.missing_answers` imports it, once people have filled in its column ``decision``.
"""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from curate.api.queue_files import make_hidden, name_queue
from curate.common.paths import AnyPath
from curate.errors import CallError
from curate.formats.format import new_file
from curate.people.exchange.queue_writing import add_version, plain_records, write_items
from curate.people.exchange.table_columns import add_decision_column
from curate.people.exchange.tables import format_rows
from curate.people.queues.missing_proposals import (
    check_open,
    count_proposals,
    find_open,
    read_proposals,
)
from curate.store.audit import StoredAudit

_KINDS = ("csv", "json")


def write_proposals(
    audit: StoredAudit, out: AnyPath | None, to: str | None, most: int | None
) -> str:
    """Write the open proposals of an audit, the surest first, and say how many there are.

    Args:
        audit: The audit.
        out: A new file; None returns CSV.
        to: "csv" or "json"; by the file's ending if None.
        most: How many rows at most; None for all.

    Raises:
        CurateError: Nothing is proposed, all is answered, or the file exists, is of another kind,
            or cannot be written.
    """
    proposals = read_proposals(audit)
    check_open(audit, proposals)
    found = find_open(audit, proposals).head(most or len(proposals))
    rows = add_decision_column(add_version(audit, found))
    if out is None:
        return "".join(format_rows(rows)).rstrip("\r\n")
    place = Path(out)
    kind = to or place.suffix.lstrip(".").lower()
    if kind not in _KINDS:
        what = "proposed missing masks are written as a table"
        raise CallError(what, str(place), "give a name that ends in .csv or .json")
    with make_hidden(place) as made:
        _write(made, rows, kind)
        name_queue(made, place, None)
    return f"{len(rows):,} proposed missing masks in {place}; {count_proposals(audit).text()}"


def _write(made: Path, rows: pd.DataFrame, kind: str) -> None:
    with new_file(made) as file:
        if kind == "json":
            file.write(b'{"proposals":[')
            write_items(file, plain_records(rows))
            file.write(b"\n]}\n")
            return
        for line in format_rows(rows):
            file.write(line.encode())
