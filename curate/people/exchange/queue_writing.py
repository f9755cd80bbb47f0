"""Export of queues: what is asked for is checked, then written whole or not at all.

Mask ids and draw numbers are the same in an audit and in the audit of a corrected dataset, so the
version of the dataset is exported with every mask, and compared when decisions are imported.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import orjson
import pandas as pd

from curate.dataset.notes import short_version
from curate.dataset.table import records
from curate.errors import CallError, SourceError
from curate.formats.format import check_new
from curate.people.exchange.registry import REGISTRY, ExportOptions, QueueWriter
from curate.store.audit import StoredAudit
from curate.store.audit_sql import DATASET_VERSION, dataset_version
from curate.store.rows_by_id import rows_of

DUMP = orjson.OPT_SERIALIZE_NUMPY | orjson.OPT_NON_STR_KEYS
"""How JSON is written."""

QueueRow = Mapping[str, Any]
"""A row of a queue: plain values by column; None where one is missing or not finite."""

BATCH = 20_000
"""Rows that are made into plain values at a time."""


_ID = re.compile(r"[0-9a-f]{12}(?:[0-9a-f]{20})?")
_MAX_LISTED = 3


def add_version(audit: StoredAudit, rows: pd.DataFrame) -> pd.DataFrame:
    """Return a queue with the version of the dataset in every row, behind ``draw_id``.

    Args:
        audit: The audit that the queue is of.
        rows: The queue.

    Returns:
        The queue as it is where the audit has no version.
    """
    version = dataset_version(audit)
    if version is None:
        return rows
    made = rows.drop(columns=DATASET_VERSION, errors="ignore")
    names = list(made.columns)
    made.insert(names.index("draw_id") + 1 if "draw_id" in names else 0, DATASET_VERSION, version)
    return made


def check_version(audit: StoredAudit, named: Iterable[object], where: str) -> None:
    """Check that what came back was made from the version of the dataset that the audit is of.

    Args:
        audit: The audit that the decisions are for.
        named: What stands as ``dataset_version`` at each mask. What is no version id says nothing:
            cells that people emptied, and numbers that a spreadsheet rounded.
        where: The file, for messages.

    Raises:
        SourceError: A mask was sent out from another version.
    """
    own = dataset_version(audit)
    texts = {str(one) for one in named if isinstance(one, str | int)}
    spelled = (text.strip().lower() for text in texts)
    found = {short_version(text) for text in spelled if _ID.fullmatch(text)}
    other = sorted(found - {own})
    if own is None or not other:
        return
    listed = " and ".join(other[:_MAX_LISTED]) + (" and others" if other[_MAX_LISTED:] else "")
    what = (
        f"{'a part of it' if own in found else 'it'} was made from version {listed} of the dataset"
    )
    do = (
        "import it into the audit that it was made from (`curate version AUDIT` prints its"
        " version); of masks that `curate diff` of both calls unchanged, rows without the columns"
        " dataset_version, draw_id, queue_kind and inclusion_probability can be imported here"
    )
    raise SourceError(f"{what}, and the audit is of version {own}", where, do)


def plain_records(rows: pd.DataFrame) -> Iterator[QueueRow]:
    """Yield each row as a dict of plain values; what is missing or not finite is None."""
    for start in range(0, len(rows), BATCH):
        yield from records(rows.iloc[start : start + BATCH])


def write_items(file: BinaryIO, values: Iterable[object]) -> int:
    """Write values as the elements of a JSON list, one a line, and return how many they are."""
    count = 0
    for count, value in enumerate(values, 1):
        file.write((b",\n" if count > 1 else b"\n") + orjson.dumps(value, option=DUMP))
    return count


def write_queue(
    audit: StoredAudit,
    rows: pd.DataFrame,
    out: Path,
    format: str | None = None,
    *,
    slot: int | None = None,
    how: ExportOptions | None = None,
) -> int:
    """Write a queue to a file, whole or not at all, each mask with the version of its dataset.

    Args:
        audit: The audit it is of.
        rows: What :func:`curate.queue` or a draw gave.
        out: The file or folder; it must not exist.
        format: The tool's name; None takes it from the path's ending (".json" is "json").
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
    return writer.write(
        audit, add_version(audit, select_slot(rows, slot)), out, how or ExportOptions()
    )


def select_slot(rows: pd.DataFrame, slot: int | None) -> pd.DataFrame:
    """Return the rows of one person of an overlap; all if ``slot`` is None."""
    return rows if slot is None or "slot" not in rows.columns else rows[rows["slot"] == slot]


def count_left_out(audit: StoredAudit, rows: pd.DataFrame, written: int) -> dict[str, int]:
    """Count the masks of a queue that were not written, by reason.

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
    columns = ("status", "area_px", "segmentation", "image_id")
    known = rows_of(audit, "masks", "mask_id", ids, columns)
    bare = known["segmentation"].isna()
    none = bare & (known["status"] == "no_segmentation")
    why = {
        "without a mask": int(none.sum()),
        "unreadable": int((bare & ~none).sum()),
        "without a pixel": int((~bare & (known["area_px"] == 0)).sum()),
        "whose picture is over a limit that can be raised": int(_too_large(audit, known).sum()),
        "without a picture that can be shown": rest,
    }
    found = {}
    for words, count in why.items():
        found[words] = min(count, rest)
        rest -= found[words]
    return {words: count for words, count in found.items() if count}


def _too_large(audit: StoredAudit, masks: pd.DataFrame) -> pd.Series[bool]:
    """Return which masks are of images whose picture was too large for the audit to decode."""
    if "picture_status" not in audit.query("describe images")["column_name"].tolist():
        return pd.Series(False, masks.index)
    found = audit.query("select image_id from images where picture_status = 'too_large'")
    shown = masks["segmentation"].notna() & (masks["area_px"] > 0)
    return shown & masks["image_id"].isin(found["image_id"])


def check_options(writer: QueueWriter, how: ExportOptions) -> None:
    """Check that options of pictures are given only to a writer that has any.

    Raises:
        CallError: It is.
    """
    for option, value in (("--crops/--whole", how.crops), ("--images", how.images)):
        if value is not None and not writer.pictured:
            raise CallError(f"{writer.title} has no pictures", option, "leave it out")


def check_target(
    out: Path,
    format: str | None = None,
    audit: StoredAudit | None = None,
    how: ExportOptions | None = None,
) -> QueueWriter:
    """Check that a queue can be written to a path, and return the writer.

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
    writer = REGISTRY.writer(out, format)
    check_options(writer, how or ExportOptions())
    check_new(out)
    if audit is not None and writer.check is not None:
        writer.check(audit, out, how or ExportOptions())
    return writer
