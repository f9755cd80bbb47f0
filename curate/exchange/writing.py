"""Queues as files for people: what can be written, and to where."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from curate.decisions.lookup import rows_of
from curate.errors import CallError
from curate.exchange.versioning import with_version
from curate.exchange.writers import Outgoing, QueueWriter, writer_of
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
    """Write a queue to a file, whole or not at all, each mask with the version of its dataset.

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
    writer = check_target(out, format, audit, how)
    return writer.write(audit, with_version(audit, rows_for(rows, slot)), out, how or Outgoing())


def rows_for(rows: pd.DataFrame, slot: int | None) -> pd.DataFrame:
    """Return what one person of an overlap gets; all if ``slot`` is None."""
    return rows if slot is None or "slot" not in rows.columns else rows[rows["slot"] == slot]


def left_out(audit: Audit, rows: pd.DataFrame, written: int) -> dict[str, int]:
    """Return why some masks of a queue do not stand in what was written, so that none is lost.

    Args:
        audit: The audit it is of.
        rows: The queue, of one person.
        written: How many masks were written.

    Returns:
        How many different masks are missing, by what is the matter with them, in words.
    """
    ids = np.unique(rows["mask_id"].to_numpy(np.int64))
    rest = len(ids) - written
    if rest <= 0:
        return {}
    known = rows_of(audit, "masks", "mask_id", ids, ("status", "area_px", "segmentation"))
    bare = known["segmentation"].isna()
    none = bare & (known["status"] == "no_segmentation")
    why = {
        "without a mask": int(none.sum()),
        "unreadable": int((bare & ~none).sum()),
        "without a pixel": int((~bare & (known["area_px"] == 0)).sum()),
        "without a picture that can be shown": rest,
    }
    found = {}
    for words, count in why.items():
        found[words] = min(count, rest)
        rest -= found[words]
    return {words: count for words, count in found.items() if count}


def check_pictured(writer: QueueWriter, how: Outgoing) -> None:
    """See that nothing is asked of pictures where there are none.

    Raises:
        CallError: It is.
    """
    for option, value in (("--crops/--whole", how.crops), ("--images", how.images)):
        if value is not None and not writer.pictured:
            raise CallError(f"{writer.title} has no pictures", option, "leave it out")


def check_target(
    out: Path, format: str | None = None, audit: Audit | None = None, how: Outgoing | None = None
) -> QueueWriter:
    """Return what can write a queue to a path.

    Args:
        out: The path.
        format: The writer's name; None takes it from the path's ending.
        audit: The audit, where it is known already: then also what the tool needs of it is looked
            at.
        how: What the tool is to be given.

    Raises:
        CallError: There is no such writer, the path holds something already, the tool needs
            pictures that are not there, or it takes none and is to get some.
        SourceError: The folder of pictures is not there.
    """
    writer = writer_of(out, format)
    check_pictured(writer, how or Outgoing())
    check_new(out)
    if audit is not None and writer.check is not None:
        writer.check(audit, out, how or Outgoing())
    return writer
