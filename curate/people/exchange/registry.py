"""Registry of exchange tools: how their files are written for people and read back.

Those that come with curate are named in :data:`BUILT_IN`; other packages add theirs through the
entry-point group ``curate.exchange``, whose entries name an :class:`ExchangeTool`. Each is loaded
when it is first used.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from importlib import import_module
from importlib.metadata import entry_points
from pathlib import Path

import pandas as pd

from curate.archives.zip_listing import damage_of
from curate.errors import CallError, SourceError
from curate.formats.format import convert_read_errors
from curate.people.reviews.review_file import Reviews
from curate.store.audit import StoredAudit

BUILT_IN: tuple[tuple[str, str, str], ...] = (
    ("csv", "tables", "CSV"),
    ("json", "tables", "JSON"),
    ("coco", "coco", "TOOL"),
    ("cvat", "cvat", "TOOL"),
    ("fiftyone", "fiftyone", "TOOL"),
    ("huggingface", "huggingface", "TOOL"),
    ("label-studio", "label_studio", "TOOL"),
)
"""Name, module and attribute of every built-in tool; files are tried from the last one up, those of
other packages at the end."""

ENTRY_POINTS = "curate.exchange"
"""Entry-point group through which other packages add tools."""


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
        title: Its name for people.
        write: (audit, rows, path, how) to the number of masks written. ``rows`` is what
            :func:`curate.queue` or a draw gave. The path is new; it
            is written whole or not at all.
        check: Raises where it cannot be written as asked for: called before masks are drawn, so
            that no draw is recorded that nobody ever sees.
        pictured: Whether it has to do with pictures at all.
    """

    title: str
    write: Callable[[StoredAudit, pd.DataFrame, Path, ExportOptions], int]
    check: Callable[[StoredAudit, Path, ExportOptions], None] | None = None
    pictured: bool = True


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
class DecisionReader:
    """One kind of file with decisions.

    Attributes:
        title: Its name for people.
        matches: Whether a path holds it. Looks at content, is cheap, never raises.
        read: (reviews, path, options) to what the file says. Raises :class:`SourceError` on the
            first thing that is wrong; says which row and mask.
    """

    title: str
    matches: Callable[[Path], bool]
    read: Callable[[Reviews, Path, ImportOptions], ImportedDecisions]


@dataclass(frozen=True)
class ExchangeTool:
    """A tool that people work with, or a kind of table.

    Attributes:
        name: Its short name, as ``curate queue --to`` and ``curate import --format`` take it.
        writer: How queues are written for it; None where none are.
        reader: How decisions come back from it; None where none do.
    """

    name: str
    writer: QueueWriter | None = None
    reader: DecisionReader | None = None


class Registry:
    """Tools by name, built-in ones first.

    Args:
        built_in: Name, module of this package and attribute of each.
        group: Entry-point group of other packages, which cannot take a built-in name.
    """

    def __init__(self, built_in: tuple[tuple[str, str, str], ...], group: str) -> None:
        self._built_in = {name: (module, attribute) for name, module, attribute in built_in}
        self._group = group

    @cached_property
    def _added(self) -> dict[str, ExchangeTool]:
        found = (entry.load() for entry in entry_points(group=self._group))
        return {tool.name: tool for tool in found if tool.name not in self._built_in}

    def writer_names(self) -> tuple[str, ...]:
        """Return the names that ``--to`` takes, without loading what is built in."""
        return (*self._built_in, *(name for name, tool in self._added.items() if tool.writer))

    def reader_names(self) -> tuple[str, ...]:
        """Return the names that ``--format`` takes, without loading what is built in."""
        return (*self._built_in, *(name for name, tool in self._added.items() if tool.reader))

    def tool(self, name: str) -> ExchangeTool:
        """Return a tool; KeyError where there is none of that name."""
        if name in self._added:
            return self._added[name]
        module, attribute = self._built_in[name]
        found: ExchangeTool = getattr(import_module(f"{__package__}.{module}"), attribute)
        return found

    def writer(self, out: Path, format: str | None = None) -> QueueWriter:
        """Return the writer for a path.

        Args:
            out: The path.
            format: The tool's name; None takes it from the path's ending (".json" is "json").

        Raises:
            CallError: No queue is written so.
        """
        name = format or out.suffix.lower().removeprefix(".")
        found = self.tool(name).writer if name in self.writer_names() else None
        if found is None:
            do = "choose from " + ", ".join(self.writer_names())
            raise CallError(f"a queue cannot be written as {name or 'that'!r}", str(out), do)
        return found

    def match(self, path: Path, format: str | None = None) -> str | None:
        """Return the name of the tool whose export is at a path; None where no reader knows it.

        Args:
            path: The file or folder.
            format: The name of the only tool that counts; None: all count.
        """
        tried = (*reversed(self._built_in), *self._added)
        for name in tried if format is None else (format,):
            found = self.tool(name).reader
            if found is not None and found.matches(path):
                return name
        return None

    def reader(self, path: Path, format: str | None = None) -> tuple[str, DecisionReader]:
        """Return the reader of a file, and the name of its tool.

        Args:
            path: The file, or a folder where a tool exports one.
            format: The tool's name; None to look.

        Raises:
            CallError: There is no reader of that name.
            SourceError: The file is not there, empty or cut short, or no reader knows it.
        """
        known = ", ".join(self.reader_names())
        if format is not None and format not in self.reader_names():
            what = f"no decisions are read from {format!r}"
            raise CallError(what, "--format", f"use one of {known}")
        if not path.exists():
            raise SourceError("there is no such file or folder", str(path), "check the path")
        if path.is_file():
            with convert_read_errors(path):
                damage = damage_of(path)
            if damage or not path.stat().st_size:
                raise SourceError(damage or "the file is empty", str(path), "get the file again")
        name = format or self.match(path)
        found = None if name is None else self.tool(name).reader
        if name is not None and found is not None:
            return name, found
        what = "decisions cannot be imported from this format"
        do = f"a table needs columns mask_id and decision; --format forces one of {known}"
        raise SourceError(what, str(path), do)


REGISTRY = Registry(BUILT_IN, ENTRY_POINTS)
