"""Writer of labelme documents: shapes that go, change and come; all other bytes are copied.

A mask goes with all of its shapes. New pixels stand in the shapes that the mask had, in their
order: parts that have no shape yet become copies of the first one behind the last, under a
``group_id`` of their own; shapes that are left over go. A mask that no polygons hold becomes a
shape of the type ``mask``, or, for X-AnyLabeling, which knows none, polygons with seams.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import BinaryIO

from curate.errors import CallError
from curate.formats.coco.annotation_edits import add_attributes
from curate.formats.edits import MASKS, Addition, Change, Edits, Stored
from curate.formats.format import ReadOptions
from curate.formats.json.byte_edits import JsonObject, Piece, Style
from curate.formats.json.json_columns import whole_number
from curate.formats.json.record_lists import (
    DocumentEdits,
    DocumentList,
    check_documents,
    find_documents,
    group_edits,
    list_mark,
    write_documents,
)
from curate.formats.labelme.documents import LIST, LabelmeDocument, check_shapes, read_labelme
from curate.formats.labelme.new_shapes import NewShape, ShapeForm
from curate.formats.labelme.shapes import (
    MASK,
    POLYGON,
    ShapeGroup,
    group_key,
    group_shapes,
    shape_kind,
)
from curate.formats.new_pixels import PixelTally, image_size
from curate.formats.table_builder import plain

_MARK = list_mark(LIST)
_NO_OPTIONS = ReadOptions()
_NEW_FIELDS: dict[str, object] = {
    "label": "",
    "points": [],
    "group_id": None,
    "description": "",
    "shape_type": POLYGON,
    "flags": {},
    "mask": None,
}
"""A shape as labelme writes it."""

_OF_ANYLABELING: dict[str, object] = {
    "label": "",
    "score": None,
    "points": [],
    "group_id": None,
    "description": "",
    "difficult": False,
    "shape_type": POLYGON,
    "flags": {},
    "attributes": {},
    "kie_linking": [],
}
"""A shape as X-AnyLabeling writes it."""

_NEEDED = ("label", "points", "group_id", "shape_type", "flags")


def write(
    source: Path, out: Path | None, edits: Edits, options: ReadOptions = _NO_OPTIONS
) -> Stored:
    """Write the source with some masks gone, changed and added; see :class:`Format`."""
    if edits.masks not in MASKS:
        raise CallError(f"masks are not stored as {edits.masks}", "masks")
    asked = group_edits(edits, _MARK)
    names = {plain(name): name for name, _ in (find_documents(source) if asked else ())}
    check_documents(asked, names, str(source))
    tally = PixelTally()

    def render(file: BinaryIO, name: str, mine: DocumentEdits) -> list[Piece]:
        document = read_labelme(source, names[name], options)
        if document is None:
            raise CallError("it is no document of labelme", name)
        listed = DocumentList.of_key(file, name, LIST)
        shapes = check_shapes(document, name)
        if listed is None or listed.count != len(shapes):
            raise CallError("it has no list of shapes", name)
        form = ShapeForm(edits.masks, document.has_masks, tally)
        return _ShapesWriter(name, document, listed, form).render(mine)

    write_documents(source, out, asked, render)
    return tally.count_stored()


class _ShapesWriter:
    """Renders the changes of one document.

    Args:
        name: Its name, for messages.
        document: What was read of it.
        listed: Its list of shapes.
        form: Makes shapes of new pixels.
    """

    def __init__(
        self, name: str, document: LabelmeDocument, listed: DocumentList, form: ShapeForm
    ) -> None:
        self._name, self._size, self._listed, self._form = name, document.size, listed, form
        self._shapes = document.shapes or []
        self._is_anylabeling = not document.has_masks
        self._groups = {one.numbers[0]: one for one in group_shapes(self._shapes)}
        self._taken = {one.identity for one in self._groups.values()}
        ids = [whole_number(one.get("group_id")) for one in self._shapes if type(one) is dict]
        self._next_id = max((0, *(one for one in ids if one is not None))) + 1
        self._gone: set[int] = set()

    def render(self, asked: DocumentEdits) -> list[Piece]:
        """Return the bytes to replace."""
        for number in asked.drop:
            self._gone |= set(self._group(number, f"{self._name}{_MARK}{number}").numbers)
        pieces: list[Piece] = []
        for number, (key, change) in asked.change.items():
            pieces += self._change(self._group(number, key), change, key)
        made = [one for addition in asked.add.values() for one in self._added(addition)]
        pieces += self._listed.drop(self._gone)
        return pieces + self._listed.append(made, self._gone)

    def _group(self, number: int, key: str) -> ShapeGroup:
        if number not in self._groups:
            raise CallError(f"{key} names no mask of it", self._name)
        return self._groups[number]

    # --- masks that change -----------------------------------------------------------------------

    def _change(self, group: ShapeGroup, change: Change, key: str) -> list[Piece]:
        if not group.kind:
            raise CallError("the shape is no object, so it cannot be changed", key)
        new: Sequence[NewShape | None] = [None] * len(group.numbers)
        if change.counts is not None:
            new = self._form.shapes(change.counts, self._size, group.kind, key)
        label = group.label if change.category is None else change.category
        group_id = self._free_group(group, label, len(new))
        texts = []
        for k, one in enumerate(new):
            number = group.numbers[min(k, len(group.numbers) - 1)]
            record = self._listed.record(number)
            if label != group.label:
                record.set("label", json.dumps(label))
            if group_id != group.group_id:
                record.set("group_id", json.dumps(group_id))
            if one is not None:
                _set_shape(record, one)
            add_attributes(record, change.attributes, key)
            texts.append(record.text().encode("utf-8"))
        self._gone |= set(group.numbers[len(new) :])
        pieces = [
            self._listed.replace(number, one)
            for number, one in zip(group.numbers, texts, strict=False)
        ]
        last = group.numbers[min(len(new), len(group.numbers)) - 1]
        return pieces + self._listed.insert(last, texts[len(group.numbers) :])

    def _free_group(self, group: ShapeGroup, label: str | None, count: int) -> object:
        """Return the group's id, or a new one where others have it, or several shapes none."""
        meant = replace(group, label=label)
        is_taken = label != group.label and meant.identity in self._taken
        if group.group_id is None and count < 2:
            return None
        if group.group_id is None or is_taken:
            meant = replace(meant, group_id=self._next_id)
            self._next_id += 1
        self._taken.add(meant.identity)
        return meant.group_id

    # --- masks that come -------------------------------------------------------------------------

    def _added(self, addition: Addition) -> list[bytes]:
        key = addition.image_key
        size = image_size(self._size, addition.height, addition.width, key)
        kinds = Counter(map(shape_kind, self._shapes))
        kind = MASK if kinds[MASK] > kinds[POLYGON] else POLYGON
        made = self._form.shapes(addition.counts, size, kind, key)
        label = self._label(addition)
        group_id = None
        if len(made) > 1:
            group_id = self._next_id
            self._next_id += 1
            self._taken.add((label, group_key(group_id)))
        return [self._shape(one, label, group_id, addition) for one in made]

    def _label(self, addition: Addition) -> str:
        if addition.category is not None:
            return addition.category
        labels = {one.label for one in self._groups.values() if one.label is not None}
        if len(labels) != 1:
            what = f"the added mask has no category, and its image has {len(labels)} labels"
            raise CallError(what, addition.image_key, "say which one it gets with --category NAME")
        return next(iter(labels))

    def _shape(self, new: NewShape, label: str, group_id: int | None, addition: Addition) -> bytes:
        """Return a new shape, with the fields that the others have."""
        first = next((k for k, one in enumerate(self._shapes) if type(one) is dict), None)
        template = None if first is None else self._listed.record(first)
        usual = _OF_ANYLABELING if self._is_anylabeling else _NEW_FIELDS
        fields = {**usual, "label": label, "points": new.points, "group_id": group_id}
        fields |= {"shape_type": new.kind, "mask": new.mask}
        has = {*_NEEDED, *(usual if template is None else template.members)}
        has |= {"mask"} if new.mask else set()
        if addition.attributes:
            fields["attributes"] = dict(addition.attributes)
            has.add("attributes")
        style = Style() if template is None else template.style
        literals = {n: style.value(v) for n, v in fields.items() if n in has}
        return style.object(literals).encode("utf-8")


def _set_shape(record: JsonObject, new: NewShape) -> None:
    """Put new pixels into a shape."""
    style = record.style
    record.set("points", style.value(new.points))
    was = shape_kind({"shape_type": record.get("shape_type")})
    if was != new.kind:
        record.set("shape_type", style.value(new.kind))
    if new.mask is not None or record.get("mask") is not None:
        record.set("mask", style.value(new.mask))
