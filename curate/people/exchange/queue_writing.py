"""Export of queues: the registry of writers, their options, and the version of the dataset.

To write another tool's files, write a module with a
``WRITER = QueueWriter(name, title, write, is_folder, check)`` and name it in :data:`BUILT_IN`.

Mask ids and draw numbers are the same in an audit and in the audit of a corrected dataset, so the
version of the dataset is exported with every mask, and compared when decisions are imported.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pandas as pd

from curate.dataset.table import plain
from curate.dataset.version_id import short
from curate.errors import CallError, SourceError
from curate.formats.format import check_new
from curate.store.audit import Audit
from curate.store.audit_sql import DATASET_VERSION, dataset_version
from curate.store.rows_by_id import rows_of

BUILT_IN: tuple[tuple[str, str], ...] = (
    ("csv", "csv_rows"),
    ("json", "json_rows"),
    ("coco", "corrected_coco"),
    ("cvat", "cvat_tasks"),
    ("fiftyone", "fiftyone"),
    ("huggingface", "huggingface"),
    ("label-studio", "label_studio.task_writing"),
)
"""Name and module of every writer."""

DUMP = orjson.OPT_SERIALIZE_NUMPY | orjson.OPT_NON_STR_KEYS
"""How JSON is written."""

BATCH = 20_000
"""Rows that are made into plain values at a time."""


_ID = re.compile(r"[0-9a-f]{12}(?:[0-9a-f]{20})?")
_MAX_LISTED = 3


def add_version(audit: Audit, rows: pd.DataFrame) -> pd.DataFrame:
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


def check_version(audit: Audit, named: Iterable[object], where: str) -> None:
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
    found = {short(text) for text in spelled if _ID.fullmatch(text)}
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


@dataclass(frozen=True)
class ExportOptions:
    """Options of writing a queue for a tool.

    Attributes:
        crops: Each mask as a picture of its own, cut out with some context; else whole images.
            None: as suits the tool.
        images: The folder of pictures, where it is not the one that the audit was made with.
        place: Where it will stand, where it is not made there.
    """

    crops: bool | None = None
    images: Path | None = None
    place: Path | None = None


@dataclass(frozen=True)
class QueueWriter:
    """One way of writing a queue.

    Attributes:
        name: Its short name, as ``--to`` takes it.
        title: Its name for people.
        write: (audit, rows, path, how) to the number of masks written. ``rows`` is what
            :func:`curate.people.queues.population.rank_queue` or a draw gave. The path is new; it
            is written whole or not at all.
        is_folder: Whether a folder is written, not a file.
        check: Raises where it cannot be written as asked for: called before masks are drawn, so
            that no draw is recorded that nobody ever sees.
        pictured: Whether it has to do with pictures at all.
    """

    name: str
    title: str
    write: Callable[[Audit, pd.DataFrame, Path, ExportOptions], int]
    is_folder: bool = False
    check: Callable[[Audit, Path, ExportOptions], None] | None = None
    pictured: bool = True


def writer_names() -> tuple[str, ...]:
    """Return the names of all writers."""
    return tuple(name for name, _ in BUILT_IN)


def writer_of(out: Path, format: str | None = None) -> QueueWriter:
    """Return the writer of a path.

    Args:
        out: The path.
        format: The writer's name; None takes it from the path's ending (".json" is "json").

    Raises:
        CallError: There is no such writer.
    """
    name = format or out.suffix.lower().removeprefix(".")
    if name not in writer_names():
        do = "choose from " + ", ".join(writer_names())
        raise CallError(f"a queue cannot be written as {name or 'that'!r}", str(out), do)
    return _load_writer(name)


@cache
def _load_writer(name: str) -> QueueWriter:
    module = import_module(f"curate.people.exchange.{dict(BUILT_IN)[name]}")
    found: QueueWriter = module.WRITER
    return found


def plain_records(rows: pd.DataFrame) -> Iterator[dict[str, Any]]:
    """Yield each row as a dict of plain values; what is missing or not finite is None."""
    for start in range(0, len(rows), BATCH):
        batch = rows.iloc[start : start + BATCH]
        columns = {str(name): plain(batch[name]) for name in rows.columns}
        for values in zip(*columns.values(), strict=True):
            yield dict(zip(columns, values, strict=True))


def write_queue(
    audit: Audit,
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
        rows: What :func:`curate.people.queues.population.rank_queue` or a draw gave.
        out: The file or folder; it must not exist.
        format: A name of :data:`curate.people.exchange.queue_writing.BUILT_IN`; None takes it from
            the path's ending (".json" is "json").
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


def count_left_out(audit: Audit, rows: pd.DataFrame, written: int) -> dict[str, int]:
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
    audit: Audit | None = None,
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
    writer = writer_of(out, format)
    check_options(writer, how or ExportOptions())
    check_new(out)
    if audit is not None and writer.check is not None:
        writer.check(audit, out, how or ExportOptions())
    return writer
