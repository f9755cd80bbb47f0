"""Label Studio's export with regions gone, redrawn, relabelled and added; every other byte stays.

A region that goes takes with it what bears its id (texts, choices) and its relations. New pixels
are run lengths, or a polygon of one ring in percent where that has exactly these pixels.
"""

from __future__ import annotations

import base64
import itertools
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

import numpy as np

from curate import rle
from curate.common.json_values import JsonObject as Parsed
from curate.errors import CallError
from curate.formats.edits import Addition, Change, Edits, Stored
from curate.formats.format import ReadOptions
from curate.formats.json.byte_edits import JsonObject, Piece, Style
from curate.formats.json.image_records import find_records, open_records
from curate.formats.json.record_lists import DocumentList, write_documents
from curate.formats.json.streaming import parse_one
from curate.formats.label_studio.brush_rle import encode_brush
from curate.formats.label_studio.tasks import (
    ANNOTATIONS,
    BITMASK,
    KINDS,
    LABELS,
    PREDICTIONS,
    MaskRegion,
    choose_annotation,
    draws_mask,
    export_file,
    form_of,
    kind_read,
    list_regions,
    own_id,
    percent_points,
    result_ids,
    size_of_task,
    stated_size,
)
from curate.formats.new_pixels import (
    PixelTally,
    image_size,
    new_runs,
    ragged_error,
    wants_polygon,
)
from curate.formats.png.packing import pack_png
from curate.formats.table_builder import plain

_NUMBER = "(0|[1-9][0-9]{0,17})"
_KEY = re.compile(rf"(.*)#/{_NUMBER}/({'|'.join(KINDS)})/{_NUMBER}/result/{_NUMBER}", re.DOTALL)
_IMAGE_KEY = re.compile(rf"(.*)#/{_NUMBER}", re.DOTALL)
_NO_OPTIONS = ReadOptions()

Place = tuple[str, int]
"""A list of a task, and the position of an annotation in it."""


@dataclass
class _TaskEdits:
    """Edits of one task: regions by the position of their first result."""

    drop: dict[Place, dict[int, str]] = field(default_factory=dict)
    change: dict[Place, dict[int, tuple[str, Change]]] = field(default_factory=dict)
    add: list[Addition] = field(default_factory=list)


@dataclass
class _Habits:
    """How a file's regions are written.

    Attributes:
        kind: Which list of its tasks is read.
        counts: How many regions are "brush", "bitmask" and "polygon".
        first: The first result of each.
        largest_id: The largest number in ids such as ``mask_7``; None where there are none.
    """

    kind: str = ANNOTATIONS
    counts: Counter[str] = field(default_factory=Counter)
    first: dict[str, Parsed] = field(default_factory=dict)
    largest_id: int | None = None

    @property
    def pixel_form(self) -> str:
        """The form of most regions that are pixels; "" where none are."""
        forms = [one for one in ("brush", "bitmask") if self.counts[one]]
        return max(forms, key=lambda one: self.counts[one], default="")

    def name(self, form: str, name: str, default: str) -> str:
        """Return the ``from_name``, ``to_name`` or ``type`` of results of a form."""
        found = self.first.get(form, {}).get(name)
        return found if type(found) is str else default


def write(
    source: Path, out: Path | None, edits: Edits, options: ReadOptions = _NO_OPTIONS
) -> Stored:
    """Write the export with some masks gone, changed and added; see :class:`Format`."""
    edits.refuse_attributes(str(source))
    tally = PixelTally()
    tasks = _by_task(source, edits)
    path = export_file(source)
    asked = {plain(path.name): tasks} if tasks else {}
    write_documents(source, out, asked, _Writer(path, edits, tally).pieces)
    return tally.count_stored()


def _by_task(source: Path, edits: Edits) -> dict[int, _TaskEdits]:
    found: dict[int, _TaskEdits] = {}
    file = plain(export_file(source).name)
    for key in (*edits.drop, *edits.change):
        match = _KEY.fullmatch(key)
        if match is None or match[1] != file:
            raise CallError(f"{key} names no mask of it", str(source))
        mine = found.setdefault(int(match[2]), _TaskEdits())
        place, number = (match[3], int(match[4])), int(match[5])
        if key in edits.drop and key in edits.change:
            raise CallError("a mask cannot be dropped and changed at once", key)
        if key in edits.drop:
            mine.drop.setdefault(place, {})[number] = key
        else:
            mine.change.setdefault(place, {})[number] = key, edits.change[key]
    for one in edits.add:
        match = _IMAGE_KEY.fullmatch(one.image_key)
        if match is None or match[1] != file:
            raise CallError(f"{one.image_key} names no image of it", str(source))
        found.setdefault(int(match[2]), _TaskEdits()).add.append(one)
    return found


def _read_habits(source: Path) -> _Habits:
    """Look at all regions of a file."""
    kinds = {kind: _Habits(kind) for kind in KINDS}
    some = dict.fromkeys(kinds, False)
    for _, tasks in find_records(source, ""):
        for task in tasks:
            for kind, habits in kinds.items() if type(task) is dict else ():
                some[kind] = some[kind] or bool(task.get(kind))
                for one in filter(_draws, choose_annotation(task, kind).result):
                    form = form_of(one)
                    habits.counts[form] += 1
                    habits.first.setdefault(form, one)
                    ids = (habits.largest_id, own_id(one.get("id")))
                    habits.largest_id = max((i for i in ids if i is not None), default=None)
    return kinds[kind_read(some)]


def _draws(result: object) -> bool:
    return type(result) is dict and draws_mask(result)


class _Writer:
    """Edits tasks of one file."""

    def __init__(self, source: Path, edits: Edits, tally: PixelTally) -> None:
        self._name, self._masks, self._tally = source.name, edits.masks, tally
        drawn = any(one.counts is not None for one in edits.change.values())
        self._habits = _read_habits(source) if edits.add or drawn else _Habits()
        largest = self._habits.largest_id
        stem, first = ("added", 1) if largest is None else ("mask", largest + 1)
        self._new_ids = (f"{stem}_{k}" for k in itertools.count(first))

    def pieces(self, file: BinaryIO, name: str, asked: Mapping[int, _TaskEdits]) -> list[Piece]:
        """Return which bytes of the file are replaced."""
        found: list[Piece] = []
        for number, start, data in open_records(file, name, "", asked):
            found += self._edit_task(asked[number], data, start)
        return found

    def _edit_task(self, mine: _TaskEdits, data: bytes, at: int) -> Iterator[Piece]:
        task = parse_one(data, at, self._name)
        if type(task) is not dict:
            raise CallError(
                "it is no task, so nothing is changed in it", f"{self._name}, byte {at}"
            )
        target = choose_annotation(task, self._habits.kind).number if mine.add else None
        places: dict[Place, None] = dict.fromkeys((*mine.drop, *mine.change))
        if target is not None:
            places[self._habits.kind, target] = None
        for place in places:
            is_target = place == (self._habits.kind, target)
            listed = DocumentList.inside(data, at, self._name, (*place, "result"))
            known = size_of_task(task, place[0])
            added = mine.add if is_target else []
            yield from self._edit_result(listed, mine, place, added, known)
        if mine.add and target is None:
            yield self._add_annotation(mine.add, task, data, at)

    def _edit_result(
        self,
        listed: DocumentList | None,
        mine: _TaskEdits,
        place: Place,
        add: list[Addition],
        known: tuple[int, int],
    ) -> Iterator[Piece]:
        """Yield the replacements in the results of one annotation."""
        drop, change = mine.drop.get(place, {}), mine.change.get(place, {})
        count = 0 if listed is None else listed.count
        values = (
            []
            if listed is None
            else [parse_one(listed.text(i), listed.spans[i][0], self._name) for i in range(count)]
        )
        regions = {region.numbers[0]: region for region in list_regions(values)[0]}
        missing = [key for n, key in drop.items() if n not in regions]
        missing += [key for n, (key, _) in change.items() if n not in regions]
        if missing or listed is None:
            raise CallError(f"{(missing or ['what is to change'])[0]} is not in it", self._name)
        gone = {
            n
            for region in (regions[number] for number in drop)
            for n in (*region.numbers, *region.companions)
        }
        yield from listed.drop(gone)
        size = stated_size(values)
        size = known if size == (0, 0) else size
        for number, (key, wanted) in change.items():
            yield from self._change(listed, regions[number], key, wanted, size, gone)
        taken = set(result_ids(values))
        ids = (name for name in self._new_ids if name not in taken)
        style = listed.record(0).style if listed.count and type(values[0]) is dict else Style()
        for one in add:
            image_size(size, one.height, one.width, one.image_key)
        made = [self._new_result(one, next(ids), style).encode("utf-8") for one in add]
        yield from listed.append(made, gone)

    def _change(
        self,
        listed: DocumentList,
        region: MaskRegion,
        key: str,
        wanted: Change,
        size: tuple[int, int],
        gone: AbstractSet[int],
    ) -> Iterator[Piece]:
        numbers = {*region.numbers, *region.companions} - gone
        texts = {number: listed.record(number) for number in sorted(numbers)}
        if wanted.category is not None and wanted.category != region.label:
            named = [one for one in texts.values() if _relabel(one, wanted.category)]
            if not named:
                do = "give it a label in Label Studio first"
                raise CallError("its region has no label that could change", key, do)
        if wanted.counts is not None:
            form = form_of(region.results[0])
            new, value = self._pixels(wanted.counts, size, form, key)
            for number in region.numbers:
                self._redraw(texts[number], form, new, value)
        for number, one in texts.items():
            text = one.text().encode("utf-8")
            if text != listed.text(number):  # a relation belongs to two regions
                yield listed.replace(number, text)

    def _redraw(self, result: JsonObject, old: str, new: str, pixels: Parsed) -> None:
        """Give a result other pixels, and the other names that follow where its form changes."""
        value = JsonObject(result.literal("value").encode("utf-8"), 0, self._name)
        if old == new:
            for name, one in pixels.items():
                if name in ("rle", "points", BITMASK):
                    value.set(name, value.style.value(one))
            result.set("value", value.text())
            return
        kept = {name: value.literal(name) for name in value.members if name not in _FORM}
        kept = {name.replace(old, new): text for name, text in kept.items()}
        literals = {name: value.style.value(one) for name, one in pixels.items()}
        result.set("value", value.style.object(literals | kept))
        for name in ("type", "from_name"):
            stated = result.get(name)
            told = stated.replace(old, new) if type(stated) is str and name == "type" else stated
            told = self._habits.name(new, name, told if type(told) is str else new)
            if told != stated:
                result.set(name, Style().value(told))

    def _pixels(
        self, counts: bytes, size: tuple[int, int], form: str, key: str
    ) -> tuple[str, dict[str, object]]:
        """Return in which form new pixels are stored, and the fields that hold them."""
        if size == (0, 0):
            do = "export the project again with Label Studio, which states the sizes"
            raise CallError("no result states the size of its picture", key, do)
        runs = new_runs(counts, size, key)
        wanted = wants_polygon(self._masks, form)
        # Where the project draws no pixels, only a polygon can be loaded again.
        must = self._masks == "polygon" or (wanted and not self._habits.pixel_form)
        rings = self._tally.choose_rings(counts, size, wanted=wanted, must=must)
        if rings is not None:
            return "polygon", {"points": percent_points(rings[0], size), "closed": True}
        if self._masks == "polygon":
            raise ragged_error(key, "use --masks same")
        if (form if form != "polygon" else self._habits.pixel_form) == "bitmask":
            return "bitmask", {BITMASK: _bitmask(runs)}
        try:
            packed = encode_brush(runs, 0).tolist()
        except ValueError as error:
            raise CallError(str(error), key) from error
        return "brush", {"format": "rle", "rle": packed}

    def _new_result(self, one: Addition, name: str, style: Style) -> str:
        counts, pixels = self._habits.counts, self._habits.pixel_form or "brush"
        usual = "polygon" if counts["polygon"] > counts[pixels] else pixels
        size = one.height, one.width
        form, value = self._pixels(one.counts, size, usual, one.image_key)
        kind = self._habits.name(form, "type", f"{form}labels")
        if one.category is not None:
            labels = kind if kind in LABELS else f"{form}labels"
            kind, value = (kind if kind in LABELS else labels), {**value, labels: [one.category]}
        elif kind in LABELS:
            kind = form
        fields = {
            "id": name,
            "type": kind,
            "from_name": self._habits.name(form, "from_name", "tag"),
            "to_name": self._habits.name(form, "to_name", "image"),
            "original_width": one.width,
            "original_height": one.height,
            "image_rotation": 0,
            "value": value,
        }
        return style.object({key: style.value(value) for key, value in fields.items()})

    def _add_annotation(self, add: list[Addition], task: Parsed, data: bytes, at: int) -> Piece:
        """Return the replacement that gives a task its first annotation that is read."""
        kind = self._habits.kind
        known = size_of_task(task, kind)
        for one in add:
            image_size(known, one.height, one.width, one.image_key)
        style = Style()
        made = (self._new_result(one, next(self._new_ids), style) for one in add)
        literals = {"result": f"[{', '.join(made)}]"}
        if kind != PREDICTIONS:
            literals |= {"was_cancelled": "false", "ground_truth": "false"}
        text = style.object(literals)
        listed = DocumentList.inside(data, at, self._name, (kind,))
        if listed is not None:
            return listed.append([text.encode("utf-8")], frozenset())[0]
        whole = JsonObject(data, at, self._name)
        whole.set(kind, f"[{text}]")
        return at, at + len(data), whole.text().encode("utf-8")


_FORM = ("format", "rle", "points", "closed", BITMASK)
"""Names in the value of a region that hold its pixels, or say how."""


def _bitmask(runs: rle.Runs) -> str:
    """Return a mask as Label Studio has bitmasks: black on transparent, a PNG as a data: URL."""
    mask = rle.to_dense(runs, 0)
    pixels = np.zeros((*mask.shape, 2), np.uint8)
    pixels[..., 1] = np.where(mask, 255, 0)
    return f"data:image/png;base64,{base64.b64encode(pack_png(pixels)).decode('ascii')}"


def _relabel(result: JsonObject, label: str) -> bool:
    """Give a result another label; return whether it has one."""
    value = result.get("value")
    name = next((one for one in LABELS if type(value) is dict and value.get(one)), None)
    if name is None:
        return False
    inner = JsonObject(result.literal("value").encode("utf-8"))
    inner.set(name, inner.style.value([label]))
    result.set("value", inner.text())
    return True
