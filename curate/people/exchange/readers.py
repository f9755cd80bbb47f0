"""Import of decisions: the registry of readers, their options and results.

To read another tool's export, write a module with a ``READER = Reader(name, title, matches, read)``
and name it in :data:`BUILT_IN`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache
from importlib import import_module
from pathlib import Path

import pandas as pd

from curate.errors import CallError, SourceError
from curate.formats.format import convert_read_errors
from curate.formats.zip_listing import damage_of
from curate.people.reviews.review_file import Reviews

BUILT_IN: tuple[tuple[str, str], ...] = (
    ("label-studio", "label_studio.export_reading"),
    ("json", "json_rows"),
    ("cvat", "cvat_tasks"),
    ("fiftyone", "fiftyone"),
    ("huggingface", "huggingface"),
    ("coco", "corrected_coco"),
    ("csv", "csv_rows"),
)
"""Name and module of every reader, in the order in which they are tried."""


@dataclass(frozen=True)
class ImportOptions:
    """Options of an import: facts about a file that are not in it.

    Attributes:
        reviewer: Who decided, where the file names nobody.
        exported: The exported masks: the file that people corrected, or the number of the draw that
            it was made of; None where the file says it, or it was the whole source.
        same_iou: A mask with at least this IoU with its correction counts as not changed.
        match: "iou": masks whose id a tool lost are found by how they overlap; None: they are not.
        assume_reviewed: All of it was reviewed, also where nothing was changed.
    """

    reviewer: str | None = None
    exported: Path | int | None = None
    same_iou: float = 1.0
    match: str | None = None
    assume_reviewed: bool = False


@dataclass(frozen=True)
class ImportedDecisions:
    """Contents of a file, in the columns that :meth:`Reviews.add` takes.

    Attributes:
        decisions: Decisions on masks; ``row`` says where each stands in the file.
        missing: Masks that people added; None where such a file cannot hold any.
        reviewed_images: Images that were fully reviewed; None likewise.
        notes: How many there were of what is no decision, in words for people:
            ``{"rows without a decision": 12}``.
        untouched: How many masks are accepted because they were left as they were; None where
            people say something of each.
        seen: What of which images such a file shows, so that what was added there earlier and is
            not in it now is withdrawn; see
            :func:`curate.people.reviews.replaced_additions.make_windows`. None where such a file
            says nothing of what is not in it.
        scope: The exported subset; see
            :class:`curate.people.reviews.import_origin.ImportOrigin`.
    """

    decisions: pd.DataFrame
    missing: pd.DataFrame | None = None
    reviewed_images: pd.DataFrame | None = None
    notes: dict[str, int] = field(default_factory=dict)
    untouched: int | None = None
    seen: pd.DataFrame | None = None
    scope: str = ""


@dataclass(frozen=True)
class Reader:
    """One kind of file with decisions.

    Attributes:
        name: Its short name, as ``--format`` takes it.
        title: Its name for people.
        matches: Whether a path holds it. Looks at content, is cheap, never raises.
        read: (reviews, path, options) to what the file says. Raises :class:`SourceError` on the
            first thing that is wrong; says which row and mask.
    """

    name: str
    title: str
    matches: Callable[[Path], bool]
    read: Callable[[Reviews, Path, ImportOptions], ImportedDecisions]


def reader_names() -> tuple[str, ...]:
    """Return the names of all readers."""
    return tuple(name for name, _ in BUILT_IN)


def reader_of(path: Path, format: str | None = None) -> Reader:
    """Return the reader of a file.

    Args:
        path: The file, or a folder where a tool exports one.
        format: Its reader's name; None to look.

    Raises:
        CallError: There is no reader of that name.
        SourceError: The file is not there, empty or cut short, or no reader knows it.
    """
    known = ", ".join(reader_names())
    if format is not None and format not in reader_names():
        raise CallError(f"no decisions are read from {format!r}", "--format", f"use one of {known}")
    if not path.exists():
        raise SourceError("there is no such file or folder", str(path), "check the path")
    if path.is_file():
        with convert_read_errors(path):
            damage = damage_of(path)
        if damage or not path.stat().st_size:
            raise SourceError(damage or "the file is empty", str(path), "get the file again")
    if format is not None:
        return _load_reader(format)
    for name in reader_names():
        if _load_reader(name).matches(path):
            return _load_reader(name)
    what = "it is nothing that decisions are read from"
    do = f"a table needs columns mask_id and decision; --format forces one of {known}"
    raise SourceError(what, str(path), do)


@cache
def _load_reader(name: str) -> Reader:
    module = import_module(f"curate.people.exchange.{dict(BUILT_IN)[name]}")
    found: Reader = module.READER
    return found
