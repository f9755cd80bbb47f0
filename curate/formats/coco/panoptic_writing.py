"""Writer of COCO panoptic: segments removed, changed and added in the JSON and in the PNGs of ids.

Pixels of a segment that goes become 0, which is void: evaluation leaves them out, so a mask that is
to be ignored goes as one that is removed does.

A folder is copied with the JSON and some PNGs changed. A JSON that was given alone becomes a
folder: the JSON, and the PNGs that it names in a folder called like it.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import BinaryIO, cast

from curate import rle
from curate.common import files
from curate.errors import CallError, SourceError
from curate.formats.coco.annotation_edits import match_number_type
from curate.formats.coco.images_and_categories import Categories
from curate.formats.coco.panoptic_reading import (
    PanopticListing,
    is_inside,
    key_name,
    list_annotations,
    panoptic_json,
    png_folder,
    stuff_of,
)
from curate.formats.copying import Edit, copy_with_edits, splice
from curate.formats.edits import Addition, Change, Edits, Stored
from curate.formats.format import convert_read_errors, copy_file, new_folder
from curate.formats.ids.division import Paint
from curate.formats.ids.id_codes import IdCode
from curate.formats.ids.id_edits import IdFileEdits, refuse_clashes
from curate.formats.json.byte_edits import JsonObject, Piece, Style, ordinals, read_span
from curate.formats.json.json_columns import whole_number
from curate.formats.json.record_lists import DocumentList
from curate.formats.new_pixels import PixelTally, refuse_polygons
from curate.formats.png.png_ids import PNG_IDS
from curate.formats.table_builder import plain

_SEGMENT = "/segments_info/"
_CODE = IdCode(void=frozenset())


@dataclass
class _SegmentEdits:
    """Edits of one annotation, by the number of the segment.

    Attributes:
        drop: Segments that go.
        change: Source key and change of segments.
        add: New masks, each with its position among the edits.
    """

    drop: set[int] = field(default_factory=set)
    change: dict[int, tuple[str, Change]] = field(default_factory=dict)
    add: list[tuple[int, Addition]] = field(default_factory=list)


def write(source: Path, out: Path | None, edits: Edits) -> Stored:
    """Write the JSON and its PNGs with some segments gone, changed and added.

    Every other byte of the JSON stays, and so does every PNG of which no pixel changes.

    Raises:
        CallError: ``out`` exists, a key names nothing, or the format cannot hold what is asked.
        SourceError: The JSON or a PNG cannot be read, or the PNGs lie outside of the folder.
    """
    edits.refuse_attributes(str(source))
    refuse_polygons(edits, str(source))
    path = panoptic_json(source)
    writer = _PanopticWriter(source, path, edits)
    changes = writer.changes()
    if source.is_dir():
        copy_with_edits(source, out, changes)
    elif out is None:
        with files.open_null() as target:
            for name, edit in changes.items():
                edit(path.parent / name, target)
    else:
        writer.write_folder(out, changes)
    return writer.tally.count_stored()


class _PanopticWriter:
    """Works out what changes in a JSON and its PNGs."""

    def __init__(self, source: Path, path: Path, edits: Edits) -> None:
        self.source, self.path, self.edits = source, path, edits
        self.tally = PixelTally()
        self.listing: PanopticListing = list_annotations(path)
        self.folder = png_folder(path, self.listing.sample)
        self.name = key_name(source, path)
        self._categories = Categories(self.listing.categories, self.name)
        self._stuff = stuff_of(self.listing.categories)

    def changes(self) -> dict[str, Edit]:
        """Return the writers of files that change, by path under the source.

        Of a JSON that stands alone these are its own name, and PNGs in a folder called like it.
        """
        asked = self._by_annotation()
        images = [self._image(number, mine) for number, mine in sorted(asked.items())]
        if self.edits.overlap is None:
            refuse_clashes(self.source, [one.ids for one in images if one.has_pixels])
        changes: dict[str, Edit] = {}
        pieces: list[Piece] = []
        for one in images:
            pieces += one.divide(self.edits.overlap, self.tally)
            if one.png is not None:
                changes[self._png_name(one.png)] = one.write_png
        pieces += self._declare()
        if pieces:
            changes[self.name] = partial(splice, pieces=sorted(pieces, key=lambda one: one[:2]))
        return changes

    def _png_name(self, png: str) -> str:
        if not self.source.is_dir():
            return f"{plain(self.path.stem)}/{plain(png)}"
        folder = cast(Path, self.folder).resolve()
        if not folder.is_relative_to(self.source.resolve()):
            what = "the PNGs of ids lie outside of this folder, so they are not copied with it"
            do = "audit the folder that has both, or the JSON alone"
            raise SourceError(what, str(self.source), do)
        return plain((folder / png).relative_to(self.source.resolve()).as_posix())

    def _by_annotation(self) -> dict[int, _SegmentEdits]:
        """Group edits by annotation.

        Raises:
            CallError: A key names nothing.
        """
        found: dict[int, _SegmentEdits] = {}
        prefix = f"{self.name}#/annotations/"

        def of(key: str) -> tuple[_SegmentEdits, int]:
            image, inside, number = key.rpartition(_SEGMENT)
            if not inside:
                raise CallError(f"{key} names no mask of it", str(self.source))
            (at,) = ordinals([image], prefix, "mask")
            (segment,) = ordinals([number], "", "mask")
            return found.setdefault(at, _SegmentEdits()), segment

        for key in self.edits.drop:
            mine, segment = of(key)
            mine.drop.add(segment)
        for key, change in self.edits.change.items():
            mine, segment = of(key)
            if change.ignore:  # pixels of no segment, 0, are void
                mine.drop.add(segment)
            else:
                mine.change[segment] = key, change
        for position, one in enumerate(self.edits.add):
            (at,) = ordinals([one.image_key], prefix, "image")
            found.setdefault(at, _SegmentEdits()).add.append((position, one))
        beyond = [at for at in found if at >= len(self.listing.annotations)]
        if beyond:
            raise CallError(f"it has no annotation {beyond[0]}", str(self.source))
        return found

    def _image(self, number: int, asked: _SegmentEdits) -> _PanopticImage:
        at, length, _, png = self.listing.annotations[number]
        with convert_read_errors(self.path), self.path.open("rb") as file:
            data = read_span(file, at, at + length)
        key = f"{self.name}#/annotations/{number}"
        segments = DocumentList.inside(data, at, self.name, ("segments_info",))
        if segments is None:
            raise CallError("it has no list of segments", key)
        segments.check({*asked.drop, *asked.change})
        image = _PanopticImage(key, segments, asked, self._categories, self._stuff)
        place = self.folder / png if self.folder is not None and png and is_inside(png) else None
        if place is not None and place.is_file() and image.needs_png:
            image.open(place, png)
        elif image.has_pixels:
            raise CallError("its PNG of ids is not there, so nothing can be drawn", key)
        return image

    def _declare(self) -> list[Piece]:
        """Return the pieces that declare new categories."""
        if not self._categories.added:
            return []
        with self.path.open("rb") as file:
            listed = DocumentList.of_key(file, self.name, "categories")
            if listed is None:
                raise CallError("it has no list of categories", self.name)
            known = [one for one in self.listing.categories if type(one) is dict]
            style = listed.record(0).style if listed.count and known else Style()
            made = []
            for name, number in self._categories.added.items():
                fields: dict[str, object] = {"id": number, "name": name}
                fields |= {"supercategory": ""} if "supercategory" in (known or [{}])[0] else {}
                fields |= {"isthing": 1}
                literals = {key: style.value(value) for key, value in fields.items()}
                made.append(style.object(literals).encode("utf-8"))
            return listed.append(made, frozenset())

    def write_folder(self, out: Path, changes: Mapping[str, Edit]) -> None:
        """Make a folder of the JSON and the PNGs that it names."""
        with new_folder(out) as made:
            self._write_one(self.path, made / self.path.name, changes.get(self.name))
            named = dict.fromkeys(png for *_, png in self.listing.annotations)
            for png in named if self.folder is not None else ():
                origin = cast(Path, self.folder) / png
                if not png or not is_inside(png) or not origin.is_file():
                    continue
                if not origin.resolve().is_relative_to(cast(Path, self.folder).resolve()):
                    what = "it is a link that leaves the folder of PNGs, so it is not copied"
                    raise SourceError(what, str(origin), "replace it by the file it points to")
                edit = changes.get(f"{plain(self.path.stem)}/{plain(png)}")
                self._write_one(origin, made / self.path.stem / png, edit)

    def _write_one(self, origin: Path, target: Path, edit: Edit | None) -> None:
        if edit is None:
            with convert_read_errors(origin):
                copy_file(origin, target)
            return
        files.mkdir(target.parent, parents=True, exist_ok=True)
        with files.open_file(target) as file:
            edit(origin, file)
        files.copy_attributes(origin, target, times=False)


class _PanopticImage:
    """One annotation and its PNG, and what changes in both.

    Attributes:
        ids: Edits of the PNG.
        png: The PNG's name; None where none of its pixels changes.
    """

    def __init__(
        self,
        key: str,
        segments: DocumentList,
        asked: _SegmentEdits,
        categories: Categories,
        stuff: frozenset[int],
    ) -> None:
        self.png: str | None = None
        self.ids = IdFileEdits(key, Path(), _CODE, PNG_IDS)
        self._key, self._segments, self._asked = key, segments, asked
        self._categories, self._stuff = categories, stuff
        self._records: dict[int, JsonObject] = {}
        for number in range(segments.count):
            if segments.text(number)[:1] == b"{":
                self._records[number] = segments.record(number)
        self._of = {n: whole_number(one.get("id")) for n, one in self._records.items()}
        self._paint: Paint | None = None

    @property
    def has_pixels(self) -> bool:
        """Whether masks get pixels."""
        redrawn = any(one.counts is not None for _, one in self._asked.change.values())
        return redrawn or bool(self._asked.add)

    @property
    def needs_png(self) -> bool:
        """Whether pixels change: not where only empty or doubled segments go."""
        return self.has_pixels or bool(self._gone_ids())

    def _gone_ids(self) -> set[int]:
        """Return the ids that no segment has any more."""
        stays = {value for n, value in self._of.items() if n not in self._asked.drop}
        gone = {self._of.get(n) for n in self._asked.drop} - stays
        return {value for value in gone if value is not None}

    def open(self, path: Path, name: str) -> None:
        """Open the PNG for its edits."""
        self.ids = replace(self.ids, path=path)
        opened = PNG_IDS.open(path)
        self.ids.drop |= self._gone_ids() & set(opened.ids)
        for number, (key, change) in self._asked.change.items():
            value = self._of.get(number)
            if change.counts is None:
                continue
            if value is None or list(self._of.values()).count(value) > 1:
                raise CallError("its id is missing or that of another, so it has no pixels", key)
            if value not in opened.ids:
                what = f"no pixel of the PNG has its id {value}, so it cannot be redrawn"
                raise CallError(what, key, "reject it and add a mask instead")
            self.ids.change[value] = key, change.counts
        self.ids.add.extend(self._asked.add)
        if self.has_pixels or self.ids.drop:
            self.png = name

    def divide(self, overlap: str | None, tally: PixelTally) -> list[Piece]:
        """Divide the pixels, and return the pieces of the JSON that change."""
        measured: dict[int, bytes] = {}  # pixels by id, of those whose measures change
        new: list[tuple[int, Addition, bytes]] = []
        if self.has_pixels:
            opened = PNG_IDS.open(self.ids.path)
            division = self.ids.divide(opened, overlap)
            cut = dict(division.find_cut_masks(self._key, opened.ids, opened.runs))
            for claim in division.claims:
                own = cast(bytes, rle.encode_counts(claim.mask)[0].as_py())
                counts = cut.pop(claim.key, own)
                if counts != own:
                    tally.held[claim.key] = counts
                if isinstance(claim.key, str):
                    measured[claim.id] = counts
                else:
                    addition = dict(self._asked.add)[claim.key]
                    new.append((claim.id, addition, counts))
            self._note_cut(cut, measured, tally)
            tally.runs += len(division.claims)
            self._paint = division.paint()
        return self._pieces(measured, new, opened.size if self.has_pixels else (0, 0))

    def _note_cut(
        self, cut: Mapping[str | int, bytes], measured: dict[int, bytes], tally: PixelTally
    ) -> None:
        """Note which masks that stay lose pixels; the PNG may have ids that the JSON has not."""
        for key, counts in cut.items():
            value = int(str(key).rpartition("#")[2])
            measured[value] = counts
            for number, own in self._of.items():
                if own == value and number not in self._asked.drop:
                    tally.held[f"{self._key}{_SEGMENT}{number}"] = counts

    def _pieces(
        self,
        measured: Mapping[int, bytes],
        new: Iterable[tuple[int, Addition, bytes]],
        size: tuple[int, int],
    ) -> list[Piece]:
        pieces = self._segments.drop(self._asked.drop)
        for number, record in self._records.items():
            value = self._of[number]
            if number in self._asked.drop:
                continue
            before = record.text()
            if value in measured:
                _measure(record, measured[cast(int, value)], size)
            if number in self._asked.change:
                self._relabel(record, *self._asked.change[number])
            if record.text() != before:
                pieces.append(self._segments.replace(number, record.text().encode("utf-8")))
        odd = self._asked.change.keys() - self._records.keys()
        if odd:
            raise CallError("the segment is no object", f"{self._key}{_SEGMENT}{min(odd)}")
        made = [self._new(*one, size) for one in new]
        return pieces + self._segments.append(made, self._asked.drop)

    def _relabel(self, record: JsonObject, key: str, change: Change) -> None:
        if change.category is None:
            return
        old = record.get("category_id")
        number = self._categories.number(change.category, old)
        if (number in self._stuff) != (whole_number(old) in self._stuff):
            what = f"{change.category!r} and its present category are not both things or both stuff"
            raise CallError(what, key, "reject it and add a mask instead")
        if type(old) is bool or old != number:
            record.set("category_id", json.dumps(number))

    def _new(self, value: int, addition: Addition, counts: bytes, size: tuple[int, int]) -> bytes:
        """Return a new segment, written like the first one."""
        first = next(iter(self._records.values()), None)
        style = first.style if first is not None else Style()
        category = self._categories.only()
        if addition.category is not None:
            category = self._categories.number(addition.category)
        elif category is None:
            what = "the added mask has no category, and the file has not just one"
            raise CallError(what, self._key, "give it one with --category NAME")
        area, box = _measures(counts, size)
        fields: dict[str, object] = {
            "id": value,
            "category_id": category,
            "iscrowd": 0,
            "bbox": box,
            "area": area,
        }
        order = [name for name in (first.members if first is not None else ()) if name in fields]
        named = {name: fields[name] for name in dict.fromkeys([*order, *fields])}
        literals = {name: style.value(one) for name, one in named.items()}
        return style.object(literals).encode("utf-8")

    def write_png(self, source: Path, target: BinaryIO) -> None:
        """Write the PNG anew; of a JSON that stands alone it may be elsewhere than the source."""
        PNG_IDS.write(self.ids.path, target, self.ids.drop | self.ids.change.keys(), self._paint)


def _measures(counts: bytes, size: tuple[int, int]) -> tuple[int, list[int]]:
    runs, _ = rle.decode_counts([counts], [size[0]], [size[1]])
    return int(rle.area(runs)[0]), [int(side) for side in rle.bbox(runs)[0].tolist()]


def _measure(record: JsonObject, counts: bytes, size: tuple[int, int]) -> None:
    """Renew the box and the area of a segment, where it has them."""
    area, box = _measures(counts, size)
    for name, value in (("bbox", box), ("area", area)):
        if name in record.members:
            made = record.style.value(match_number_type(record.get(name), value))
            if made != record.literal(name):
                record.set(name, made)
