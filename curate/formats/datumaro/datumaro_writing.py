"""Datumaro's JSON with objects gone, redrawn, relabelled and added; every other byte stays.

An object goes with all that is in its group. Its new pixels are one polygon where that has exactly
these, else run lengths; then further shapes of its group are cut out, and boxes in it renewed. A
label that is new is appended to the labels of every file, so that ids mean the same in all.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, BinaryIO

from curate import rle
from curate.errors import CallError
from curate.formats.datumaro.datumaro_items import (
    ITEMS,
    SHAPES,
    DatumaroFile,
    GroupedShapes,
    dataset_files,
    find_picture,
    group_shapes,
    labels_of,
    name_of,
    read_labels,
    stated_size,
)
from curate.formats.edits import Addition, Change, Edits, Stored
from curate.formats.format import ReadOptions
from curate.formats.json.byte_edits import JsonObject, Piece, Style
from curate.formats.json.image_records import find_records, open_records
from curate.formats.json.record_edits import NUMBER, RecordEdits, group_by_record
from curate.formats.json.record_lists import DocumentList, write_documents
from curate.formats.json.streaming import parse_one, scan
from curate.formats.new_pixels import (
    PixelTally,
    image_size,
    new_runs,
    ragged_error,
    wants_polygon,
)
from curate.formats.picture_sizes import find_pictures, picture_size
from curate.formats.segmentation import rle_size, valid_size
from curate.formats.table_builder import common_size, plain

_KEY = re.compile(rf"(.*)#/{ITEMS}/{NUMBER}/annotations/{NUMBER}", re.DOTALL)
_IMAGE_KEY = re.compile(rf"(.*)#/{ITEMS}/{NUMBER}", re.DOTALL)
_NO_OPTIONS = ReadOptions()
_SAMPLE = 20_000


def write(
    source: Path, out: Path | None, edits: Edits, options: ReadOptions = _NO_OPTIONS
) -> Stored:
    """Write the source with some masks gone, changed and added; see :class:`Format`."""
    edits.refuse_attributes(str(source))
    files = {plain(one.name): one for one in dataset_files(source, options.home)}
    asked = group_by_record(source, edits, _KEY, _IMAGE_KEY, files)
    writer = _ItemWriter(files, edits, options)
    if writer.new_labels:
        asked = {name: asked.get(name, {}) for name in files}
    write_documents(source, out, asked, writer.pieces)
    return writer.tally.count_stored()


class _ItemWriter:
    """Edits items of a dataset.

    Attributes:
        tally: How the new pixels were stored.
        new_labels: Labels that no file declares yet.
    """

    def __init__(
        self, files: Mapping[str, DatumaroFile], edits: Edits, options: ReadOptions
    ) -> None:
        self._files, self._masks, self._options = files, edits.masks, options
        self.tally = PixelTally()
        known = [read_labels(one.path) for one in files.values()] if edits.categories else []
        declared = {name for labels in known for name in labels or ()}
        self.new_labels = sorted(edits.categories - declared)
        if self.new_labels and len({tuple(labels or ()) for labels in known}) > 1:
            what = f"its files have labels of their own, so {self.new_labels[0]!r} has no one id"
            raise CallError(what, next(iter(files)), "add the label to all files first")
        self._usual = _usual_form(files) if edits.add else "mask"

    def pieces(self, file: BinaryIO, name: str, asked: Mapping[int, RecordEdits]) -> list[Piece]:
        """Return which bytes of a file are replaced."""
        found: list[Piece] = []
        labels = read_labels(self._files[name].path) or []
        if self.new_labels:
            found.append(self._add_labels(file, name))
            labels = [*labels, *self.new_labels]
        paths = self._pictures(name) if any(one.change or one.add for one in asked.values()) else {}
        for number, start, data in open_records(file, name, ITEMS, asked):
            found += self._edit(asked[number], data, start, self._files[name], labels, paths)
        return found

    def _add_labels(self, file: BinaryIO, name: str) -> Piece:
        file.seek(0)
        for batch in scan(file, name, frozenset(["categories"])):
            start, end = (
                (int(one[0]) for one in (batch.starts, batch.ends)) if len(batch) else (0, 0)
            )
            at, data = batch.base + start, batch.data[start:end]
            listed = None
            if not batch.is_list and labels_of(parse_one(data, at, name)) is not None:
                listed = DocumentList.inside(data, at, name, ("label", "labels"))
            if listed is not None:
                style = Style()
                made = [
                    style.value({"name": label, "parent": "", "attributes": []}).encode("utf-8")
                    for label in self.new_labels
                ]
                return listed.append(made, frozenset())[0]
        raise CallError("it declares no labels, so no mask can get one", name)

    def _pictures(self, name: str) -> dict[str, str]:
        """Return pictures in a given folder, by the names that items have for them."""
        folder = self._options.images
        if folder is None:
            return {}
        names = [
            name_of(item)
            for _, found in find_records(self._files[name].path, ITEMS)
            for item in found
            if type(item) is dict
        ]
        return {n: str(folder / p) for n, p in find_pictures(folder, names, names).items()}

    def _edit(
        self,
        mine: RecordEdits,
        data: bytes,
        at: int,
        file: DatumaroFile,
        labels: list[str],
        paths: Mapping[str, str],
    ) -> Iterator[Piece]:
        item = parse_one(data, at, file.name)
        if type(item) is not dict:
            raise CallError("it is no item, so nothing is changed in it", f"{file.name}, byte {at}")
        listed = DocumentList.inside(data, at, file.name, ("annotations",))
        given = item.get("annotations")
        grouped = group_shapes(given if type(given) is list else [])[0]
        objects = {one.numbers[0]: one for one in grouped}
        missing = [key for n, key in mine.drop.items() if n not in objects]
        missing += [key for n, (key, _) in mine.change.items() if n not in objects]
        if missing:
            raise CallError(f"{missing[0]} is not in it", file.name)
        size = _size_of(item, list(objects.values()), file, paths)
        made = [self._new(one, size, labels).encode("utf-8") for one in mine.add]
        if listed is None:
            whole = JsonObject(data, at, file.name)
            whole.set("annotations", f"[{b', '.join(made).decode('utf-8')}]")
            yield at, at + len(data), whole.text().encode("utf-8")
            return
        gone = {n for k in mine.drop for n in (*objects[k].numbers, *objects[k].companions)}
        for number, (_, wanted) in mine.change.items():
            gone |= set(objects[number].numbers[1:]) if wanted.counts is not None else set()
        yield from listed.drop(gone)
        for number, (key, wanted) in mine.change.items():
            for k, text in self._change(listed, objects[number], key, wanted, size, labels):
                if k not in gone:
                    yield listed.replace(k, text.encode("utf-8"))
        yield from listed.append(made, gone)

    def _change(
        self,
        listed: DocumentList,
        one: GroupedShapes,
        key: str,
        wanted: Change,
        size: tuple[int, int],
        labels: list[str],
    ) -> Iterator[tuple[int, str]]:
        """Yield the new texts of an object's annotations."""
        texts = {k: listed.record(k) for k in (*one.numbers, *one.companions)}
        first = texts[one.numbers[0]]
        pixels: dict[str, object] = {}
        if wanted.counts is not None:
            form = str(one.shapes[0].get("type"))
            pixels = self._pixels(wanted.counts, size, form, key)
            box = rle.bbox(new_runs(wanted.counts, size, key))[0].tolist()
            for k in one.companions:
                if texts[k].get("bbox") is not None:
                    texts[k].set("bbox", texts[k].style.value([float(side) for side in box]))
        if wanted.category is not None:
            for part in texts.values():
                if "label_id" in part.members:
                    part.set("label_id", _label_id(labels, wanted.category, key))
            if "label_id" not in first.members:
                first.set("label_id", _label_id(labels, wanted.category, key))
        for k, part in texts.items():
            yield k, _redrawn(part, pixels) if part is first and pixels else part.text()

    def _pixels(
        self, counts: bytes, size: tuple[int, int], form: str, key: str
    ) -> dict[str, object]:
        """Return the fields that hold new pixels, with the type that follows."""
        if not valid_size(*size):
            do = "give the folder of the pictures with --images"
            raise CallError("the size of its image is not known", key, do)
        mask = new_runs(counts, size, key)
        must = self._masks == "polygon"
        wanted = wants_polygon(self._masks, form)
        rings = self.tally.choose_rings(counts, size, wanted=wanted, must=must)
        if rings is not None:
            return {"type": "polygon", "points": rings[0]}
        if must:
            raise ragged_error(key, "use --masks same")
        text = rle.encode_counts(mask)[0].as_py().decode("ascii")
        return {"type": "mask", "rle": {"counts": text, "size": list(size)}}

    def _new(self, one: Addition, known: tuple[int, int], labels: list[str]) -> str:
        size = image_size(known, one.height, one.width, one.image_key)
        pixels = self._pixels(one.counts, size, self._usual, one.image_key)
        label = None
        if one.category is not None:
            label = int(_label_id(labels, one.category, one.image_key))
        fields: dict[str, object] = {"id": 0, "type": "", "attributes": {}, "group": 0}
        fields |= {"label_id": label, "z_order": 0} | pixels
        style = Style()
        return style.object({name: style.value(value) for name, value in fields.items()})


def _size_of(
    item: Mapping[str, Any],
    objects: list[GroupedShapes],
    file: DatumaroFile,
    paths: Mapping[str, str],
) -> tuple[int, int]:
    """Return the height and width of an item's image, as reading finds them."""
    size = stated_size(item)
    if valid_size(*size):
        return size
    name = name_of(item)
    path = Path(paths[name]) if name in paths else find_picture(file, name)
    size = picture_size(path) if path is not None else (0, 0)
    if valid_size(*size):
        return size
    sizes = (rle_size(shape.get("rle")) for one in objects for shape in one.shapes)
    usable = (one for one in sizes if one is not None and valid_size(*one))
    return common_size(usable) or (0, 0)


def _redrawn(part: JsonObject, pixels: Mapping[str, object]) -> str:
    """Return a shape's text with other pixels, and what follows where its type changes."""
    style = part.style
    literals = {name: style.value(value) for name, value in pixels.items()}
    if pixels["type"] == part.get("type"):
        for name, text in literals.items():
            if name != "type":
                part.set(name, text)
        return part.text()
    kept = {name: part.literal(name) for name in part.members if name not in ("rle", "points")}
    return style.object({**kept, **literals})


def _label_id(labels: list[str], name: str, key: str) -> str:
    """Return the id of a label as text."""
    if name not in labels:
        what = f"its file does not declare the label {name!r}, but another does"
        raise CallError(what, key, "add the label to all files first")
    return str(labels.index(name))


def _usual_form(files: Mapping[str, DatumaroFile]) -> str:
    """Return which type most shapes have, of the first files' many."""
    counts: Counter[str] = Counter()
    for one in files.values():
        for _, found in find_records(one.path, ITEMS):
            given = (item.get("annotations") for item in found if type(item) is dict)
            listed = (a for some in given if type(some) is list for a in some if type(a) is dict)
            counts.update(str(a.get("type")) for a in listed if a.get("type") in SHAPES)
            if counts.total() > _SAMPLE:
                return counts.most_common(1)[0][0]
    return counts.most_common(1)[0][0] if counts else "mask"
