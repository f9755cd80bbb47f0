"""Queues as files for people: what can be written, and to where."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from curate.exchange.writers import Outgoing, Writer, writer_of
from curate.formats.base import check_new
from curate.store import Audit


def write_queue(
    audit: Audit,
    rows: pd.DataFrame,
    out: Path,
    format: str | None = None,
    *,
    slot: int | None = None,
    how: Outgoing | None = None,
) -> int:
    """Write a queue to a file, whole or not at all.

    Args:
        audit: The audit it is of.
        rows: What :func:`curate.curation.queue.queue` or a draw gave.
        out: The file or folder; it must not exist.
        format: A name of :data:`curate.exchange.writers.BUILT_IN`; None takes it from the path's
            ending (".json" is "json").
        slot: Only what the first (0) or the second person (1) of an overlap gets; all if None.
        how: What a tool can be given in more than one way.

    Returns:
        How many masks stand in the file: COCO leaves out those that have no segmentation, and holds
        a mask for two people once.

    Raises:
        CallError: There is no such format, or the file exists.
        AuditError: It cannot be written.
    """
    writer = check_target(out, format)
    if slot is not None and "slot" in rows.columns:
        rows = rows[rows["slot"] == slot]
    return writer.write(audit, rows, out, how or Outgoing())


def check_target(out: Path, format: str | None = None) -> Writer:
    """Return what can write a queue to a path.

    Raises:
        CallError: There is no such writer, or the path holds something already.
    """
    writer = writer_of(out, format)
    check_new(out)
    return writer
