"""What writes a queue for people's tools: the registry, and what every writer takes.

To write another tool's files, write a module with a
``WRITER = Writer(name, title, write, is_folder, check)`` and name it in :data:`BUILT_IN`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any

import orjson
import pandas as pd

from curate.curation.columns import plain
from curate.errors import CallError
from curate.store import Audit

BUILT_IN: tuple[tuple[str, str], ...] = (
    ("csv", "csv_rows"),
    ("json", "json_rows"),
    ("coco", "coco"),
    ("cvat", "cvat"),
    ("fiftyone", "fiftyone"),
    ("huggingface", "huggingface"),
    ("label-studio", "label_studio"),
)
"""Name and module of every writer."""

DUMP = orjson.OPT_SERIALIZE_NUMPY | orjson.OPT_NON_STR_KEYS
"""How JSON is written."""

BATCH = 20_000
"""Rows that are made into plain values at a time."""


@dataclass(frozen=True)
class Outgoing:
    """How a queue is written for a tool.

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
            :func:`curate.curation.queue.queue` or a draw gave. The path is new; it is written whole
            or not at all.
        is_folder: Whether a folder is written, not a file.
        check: Raises where it cannot be written as asked for: called before masks are drawn, so
            that no draw is recorded that nobody ever sees.
        pictured: Whether it has to do with pictures at all.
    """

    name: str
    title: str
    write: Callable[[Audit, pd.DataFrame, Path, Outgoing], int]
    is_folder: bool = False
    check: Callable[[Audit, Path, Outgoing], None] | None = None
    pictured: bool = True


def writer_names() -> tuple[str, ...]:
    """Return the names of all writers."""
    return tuple(name for name, _ in BUILT_IN)


def writer_of(out: Path, format: str | None = None) -> QueueWriter:
    """Return what writes a queue to a path.

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
    return _named(name)


@cache
def _named(name: str) -> QueueWriter:
    module = import_module(f"curate.exchange.{dict(BUILT_IN)[name]}")
    found: QueueWriter = module.WRITER
    return found


def records(rows: pd.DataFrame) -> Iterator[dict[str, Any]]:
    """Yield each row as a dict of plain values; what is missing or not finite is None."""
    for start in range(0, len(rows), BATCH):
        batch = rows.iloc[start : start + BATCH]
        columns = {str(name): plain(batch[name]) for name in rows.columns}
        for values in zip(*columns.values(), strict=True):
            yield dict(zip(columns, values, strict=True))
