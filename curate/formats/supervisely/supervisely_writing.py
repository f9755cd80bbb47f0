"""Writer of Supervisely's projects: objects that go, change and come; all other bytes are copied.

New pixels become what the mask was, a bitmap or a polygon with its holes, as far as its class
allows: ``meta.json`` says what the figures of a class are. A mask of several parts becomes a
bitmap, or, in a class of polygons, one ring with seams. Classes that are new are added to
``meta.json``, for figures of any type.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any, BinaryIO

from curate.errors import CallError, SourceError
from curate.formats.copying import Edit, splice
from curate.formats.edits import MASKS, Addition, Change, Edits, Stored
from curate.formats.json.byte_edits import JsonObject, Piece, Style
from curate.formats.json.json_columns import whole_number
from curate.formats.json.record_lists import (
    DocumentEdits,
    DocumentList,
    check_documents,
    group_edits,
    list_mark,
    write_documents,
)
from curate.formats.new_pixels import PixelTally, image_size
from curate.formats.supervisely.figures import (
    BITMAP,
    POLYGON,
    figure_kind,
    read_figure,
)
from curate.formats.supervisely.new_figures import BOTH, FigureForm
from curate.formats.supervisely.project import (
    LIST,
    ProjectMetas,
    color_of,
    find_annotations,
    read_annotation,
    size_of,
    title_of,
)
from curate.formats.table_builder import plain

_MARK = list_mark(LIST)
_NEW_FIELDS = ("description", "geometryType", "tags", "classTitle")
"""Fields of an object as the tool writes it, beside its id and its figure."""


def write(source: Path, out: Path | None, edits: Edits) -> Stored:
    """Write the source with some masks gone, changed and added; see :class:`Format`."""
    if edits.masks not in MASKS:
        raise CallError(f"masks are not stored as {edits.masks}", "masks")
    edits.refuse_attributes(str(source))
    asked = group_edits(edits, _MARK)
    names = {plain(name): name for name, _ in (find_annotations(source) if asked else ())}
    check_documents(asked, names, str(source))
    metas, tally = ProjectMetas(source), PixelTally()
    ids = _free_ids(source, names.values()) if edits.add else None

    def render(file: BinaryIO, name: str, mine: DocumentEdits) -> list[Piece]:
        listed = DocumentList.of_key(file, name, LIST)
        found = read_annotation(source, names[name])
        if listed is None or listed.count != len(found.records or ()):
            raise CallError("it has no list of objects", name)
        form = FigureForm(edits.masks, metas.find(name), tally)
        size, _ = size_of(found)
        return _ObjectsWriter(name, found.records or [], size, listed, form, ids).render(mine)

    write_documents(source, out, asked, render, _declare_classes(source, metas, asked))
    return tally.count_stored()


def _free_ids(source: Path, names: Iterable[str]) -> count[int] | None:
    """Return ids for new objects, above all that there are; None where some have none."""
    highest = 0
    for name in names:
        try:
            records = read_annotation(source, name).records or []
        except SourceError:
            continue
        for one in records:
            number = whole_number(one.get("id")) if type(one) is dict else None
            if number is None:
                return None
            highest = max(highest, number)
    return count(highest + 1) if highest < 2**62 else None


# --- classes -------------------------------------------------------------------------------------


def _declare_classes(
    source: Path, metas: ProjectMetas, asked: Mapping[str, DocumentEdits]
) -> dict[str, Edit | None]:
    """Return the edits of ``meta.json`` files that declare classes which are new."""
    new: dict[str, dict[str, None]] = {}
    for name, mine in asked.items():
        meta = metas.find(name)
        if meta is None:
            continue
        titles = [change.category for _, change in mine.change.values()]
        titles += [addition.category for addition in mine.add.values()]
        for title in titles:
            if title is not None and title not in meta.classes:
                new.setdefault(meta.name, {})[title] = None
    return {plain(name): partial(_edit_meta, plain(name), titles) for name, titles in new.items()}


def _edit_meta(name: str, titles: Iterable[str], path: Path, target: BinaryIO) -> None:
    with path.open("rb") as file:
        listed = DocumentList.of_key(file, name, "classes")
        if listed is None:
            raise CallError("it has no list of classes to add to", name)
        style = Style()
        if listed.count and listed.text(0)[:1] == b"{":
            style = listed.record(0).style
        made = []
        for title in titles:
            fields = {"title": title, "shape": "any", "color": color_of(title)}
            literals = {key: style.value(value) for key, value in fields.items()}
            made.append(style.object(literals).encode("utf-8"))
        pieces = listed.append(made, frozenset())
    splice(path, target, pieces)


# --- documents -----------------------------------------------------------------------------------


class _ObjectsWriter:
    """Renders the changes of one document.

    Args:
        name: Its name, for messages.
        figures: Its objects, parsed.
        size: Height and width of the image; zeros where they are not known.
        listed: Its list of objects.
        form: Makes figures of new pixels.
        ids: Ids for what is new; None where objects have none.
    """

    def __init__(
        self,
        name: str,
        figures: list[Any],
        size: tuple[int, int],
        listed: DocumentList,
        form: FigureForm,
        ids: count[int] | None,
    ) -> None:
        self._name, self._figures, self._size = name, figures, size
        self._listed, self._form, self._ids = listed, form, ids

    def render(self, asked: DocumentEdits) -> list[Piece]:
        """Return the bytes to replace."""
        for number in (*asked.drop, *asked.change):
            is_there = number < len(self._figures)
            if not is_there or figure_kind(self._figures[number]) not in (*BOTH, ""):
                raise CallError(f"{self._name}{_MARK}{number} names no mask of it", self._name)
        pieces = [self._changed(n, key, change) for n, (key, change) in asked.change.items()]
        made = [self._added(addition) for addition in asked.add.values()]
        return [*pieces, *self._listed.drop(asked.drop), *self._listed.append(made, asked.drop)]

    def _changed(self, number: int, key: str, change: Change) -> Piece:
        figure = self._figures[number]
        kind = figure_kind(figure)
        if not kind:
            raise CallError("it is no object, so it cannot be changed", key)
        record = self._listed.record(number)
        title, counts = title_of(figure), change.counts
        if change.category is not None and change.category != title:
            title = change.category
            record.set("classTitle", json.dumps(title))
            if "classId" in record.members:
                record.set("classId", json.dumps(self._form.class_id(title)))
            if counts is None and kind not in self._form.kinds(title):
                counts = read_figure(figure, self._size).counts
                if counts is None:
                    what = f"its pixels cannot be read, so it cannot be of the class {title}"
                    raise CallError(what, key, "draw it anew")
        if counts is not None:
            _set_figure(record, self._form.fields(counts, self._size, kind, title, key))
        return self._listed.replace(number, record.text().encode("utf-8"))

    def _added(self, addition: Addition) -> bytes:
        key = addition.image_key
        size = image_size(self._size, addition.height, addition.width, key)
        kinds = Counter(map(figure_kind, self._figures))
        kind = POLYGON if kinds[POLYGON] > kinds[BITMAP] else BITMAP
        title = self._title(addition)
        figure = self._form.fields(addition.counts, size, kind, title, key)
        first = next((k for k, one in enumerate(self._figures) if type(one) is dict), None)
        template = None if first is None else self._listed.record(first)
        fields: dict[str, object] = {} if self._ids is None else {"id": next(self._ids)}
        if template is not None and "classId" in template.members:
            fields["classId"] = self._form.class_id(title)
        fields |= {**dict.fromkeys(_NEW_FIELDS), "description": "", "tags": [], **figure}
        fields["classTitle"] = title
        if template is not None and "shape" in template.members:
            fields["shape"] = fields["geometryType"]
        style = Style() if template is None else template.style
        literals = {name: style.value(value) for name, value in fields.items()}
        return style.object(literals).encode("utf-8")

    def _title(self, addition: Addition) -> str:
        if addition.category is not None:
            return addition.category
        titles = {title_of(one) for one in self._figures if type(one) is dict} - {None}
        if len(titles) != 1:
            what = f"the added mask has no category, and its image has {len(titles)} classes"
            raise CallError(what, addition.image_key, "say which one it gets with --category NAME")
        return str(next(iter(titles)))


def _set_figure(record: JsonObject, fields: Mapping[str, object]) -> None:
    """Put new pixels into an object."""
    style, kind = record.style, str(fields["geometryType"])
    for name in ("geometryType", "shape"):
        stated = record.get(name)
        if stated is not None and stated != kind:
            record.set(name, style.value(kind))
    if kind == BITMAP:
        record.set("bitmap", style.value(fields["bitmap"]))
        if record.get("points") is not None:
            record.set("points", style.value({"exterior": [], "interior": []}))
        return
    record.set("points", style.value(fields["points"]))
    if record.get("bitmap") is not None:
        record.set("bitmap", "null")
