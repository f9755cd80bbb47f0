"""Queues as files for people: what can be written, and to where."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from curate.errors import CallError
from curate.exchange.queue_files import WRITERS
from curate.formats.base import check_new
from curate.store import Audit


def write_queue(
    audit: Audit,
    rows: pd.DataFrame,
    out: Path,
    format: str | None = None,
    *,
    slot: int | None = None,
) -> int:
    """Write a queue to a file, whole or not at all.

    Args:
        audit: The audit it is of.
        rows: What :func:`curate.curation.queue.queue` or a draw gave.
        out: The file; it must not exist.
        format: "csv", "json" or "coco"; None takes it from the file's name (".json" is "json").
        slot: Only what the first (0) or the second person (1) of an overlap gets; all if None.

    Returns:
        How many masks stand in the file: COCO leaves out those that have no segmentation, and holds
        a mask for two people once.

    Raises:
        CallError: There is no such format, or the file exists.
        AuditError: It cannot be written.
    """
    chosen_format = check_target(out, format)
    if slot is not None and "slot" in rows.columns:
        rows = rows[rows["slot"] == slot]
    return WRITERS[chosen_format](audit, rows, out)


def check_target(out: Path, format: str | None = None) -> str:
    """Return the format of a file that a queue can be written to.

    Raises:
        CallError: There is no such format, or the file holds something already.
    """
    chosen_format = format or out.suffix.lower().removeprefix(".")
    if chosen_format not in WRITERS:
        do = "choose from " + ", ".join(WRITERS)
        raise CallError(f"a queue cannot be written as {chosen_format or 'that'!r}", str(out), do)
    check_new(out)
    return chosen_format
