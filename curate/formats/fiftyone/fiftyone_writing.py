"""FiftyOne's samples with detections gone, redrawn, relabelled and added; every other byte stays.

New pixels are an array that fills its box, whose relative coordinates are those of whole pixels. A
mask that was a picture of its own becomes such an array; the picture stays, unused.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import blake2b
from itertools import count
from pathlib import Path
from typing import BinaryIO

from curate.common.json_values import JsonObject as Parsed
from curate.errors import CallError
from curate.formats.edits import Addition, Change, Edits, Stored
from curate.formats.fiftyone.fiftyone_samples import (
    FIELDS,
    SAMPLES,
    find_sample_pictures,
    sample_size,
    survey_samples,
)
from curate.formats.fiftyone.mask_arrays import pack_mask, relative_box
from curate.formats.format import ReadOptions
from curate.formats.json.byte_edits import JsonObject, Piece, Style
from curate.formats.json.image_records import open_records
from curate.formats.json.record_lists import DocumentList, write_documents
from curate.formats.json.streaming import parse_one
from curate.formats.new_pixels import PixelTally, image_size, new_runs, refuse_polygons

_NUMBER = "(0|[1-9][0-9]{0,17})"
_KEY = re.compile(rf"{SAMPLES}#/samples/{_NUMBER}/([^/]+)/detections/{_NUMBER}", re.DOTALL)
_IMAGE_KEY = re.compile(rf"{SAMPLES}#/samples/{_NUMBER}")
_NO_OPTIONS = ReadOptions()


@dataclass
class _SampleEdits:
    """Edits of one sample: detections by field and position."""

    drop: dict[str, dict[int, str]] = field(default_factory=dict)
    change: dict[str, dict[int, tuple[str, Change]]] = field(default_factory=dict)
    add: list[tuple[int, Addition]] = field(default_factory=list)


def write(
    source: Path, out: Path | None, edits: Edits, options: ReadOptions = _NO_OPTIONS
) -> Stored:
    """Write the folder with some masks gone, changed and added; see :class:`Format`."""
    edits.refuse_attributes(str(source))
    refuse_polygons(edits, str(source))
    samples = _by_sample(source, edits)
    asked = {SAMPLES: samples} if samples else {}
    writer = _SampleWriter(source, options, edits)
    write_documents(source, out, asked, writer.pieces)
    return writer.tally.count_stored()


def _by_sample(source: Path, edits: Edits) -> dict[int, _SampleEdits]:
    found: dict[int, _SampleEdits] = {}
    for key in (*edits.drop, *edits.change):
        match = _KEY.fullmatch(key)
        if match is None:
            raise CallError(f"{key} names no mask of it", str(source))
        if key in edits.drop and key in edits.change:
            raise CallError("a mask cannot be dropped and changed at once", key)
        mine, name, number = (
            found.setdefault(int(match[1]), _SampleEdits()),
            match[2],
            int(match[3]),
        )
        if key in edits.drop:
            mine.drop.setdefault(name, {})[number] = key
        else:
            mine.change.setdefault(name, {})[number] = key, edits.change[key]
    for position, one in enumerate(edits.add):
        match = _IMAGE_KEY.fullmatch(one.image_key)
        if match is None:
            raise CallError(f"{one.image_key} names no image of it", str(source))
        found.setdefault(int(match[1]), _SampleEdits()).add.append((position, one))
    return found


class _SampleWriter:
    """Edits samples of a dataset.

    Attributes:
        tally: How many masks were stored.
    """

    def __init__(self, source: Path, options: ReadOptions, edits: Edits) -> None:
        self._source, self.tally = source, PixelTally()
        self._field, self._pictures = "", dict[str, str]()
        self._ids: Iterator[int] | None = None
        if not edits.only_drops:
            found = survey_samples(source)
            self._field = found.field
            if found.largest_id is not None:
                self._ids = count(found.largest_id + 1)
            self._pictures = find_sample_pictures(found, options)

    def pieces(self, file: BinaryIO, name: str, asked: Mapping[int, _SampleEdits]) -> list[Piece]:
        """Return which bytes of the file are replaced."""
        found: list[Piece] = []
        for number, start, data in open_records(file, name, "samples", asked):
            found += self._edit(number, asked[number], data, start)
        return found

    def _edit(self, number: int, mine: _SampleEdits, data: bytes, at: int) -> Iterator[Piece]:
        sample = parse_one(data, at, SAMPLES)
        if type(sample) is not dict:
            raise CallError(f"sample {number} is none, so nothing is changed in it", SAMPLES)
        name = sample.get("filepath")
        picture = self._pictures.get(name) if type(name) is str else None
        size = (0, 0)
        if mine.change or mine.add:
            size = sample_size(self._source, sample, picture)
        made = [self._new(one, position, size, number) for position, one in mine.add]
        fields = dict.fromkeys((*mine.drop, *mine.change, *([self._field] if made else [])))
        for field_name in fields:
            new = made if field_name == self._field else []
            listed = DocumentList.inside(data, at, SAMPLES, (field_name, "detections"))
            if listed is None and field_name in {*mine.drop, *mine.change}:
                raise CallError(f"sample {number} has no field {field_name}", SAMPLES)
            if listed is None:
                yield self._add_field(new, data, at)
                continue
            drop, change = mine.drop.get(field_name, {}), mine.change.get(field_name, {})
            listed.check((*drop, *change))
            yield from listed.drop(drop.keys())
            for i, (key, wanted) in change.items():
                yield listed.replace(i, self._change(listed.record(i), key, wanted, size))
            yield from listed.append([one.encode("utf-8") for one in new], drop.keys())

    def _change(self, one: JsonObject, key: str, wanted: Change, size: tuple[int, int]) -> bytes:
        """Return a detection's new text."""
        style = one.style
        if wanted.category is not None:
            one.set("label", style.value(wanted.category))
        if wanted.counts is not None:
            for name, value in self._pixels(wanted.counts, size, key).items():
                one.set(name, style.value(value))
            if one.get("mask_path") is not None:
                one.set("mask_path", "null")
        return one.text().encode("utf-8")

    def _pixels(self, counts: bytes, size: tuple[int, int], key: str) -> dict[str, object]:
        if size == (0, 0):
            do = "give the folder of the pictures with --images"
            raise CallError("the size of its image is not known", key, do)
        mask, box = pack_mask(new_runs(counts, size, key))
        self.tally.runs += 1
        return {"bounding_box": relative_box(box, size), "mask": mask}

    def _new(self, one: Addition, position: int, known: tuple[int, int], sample: int) -> str:
        size = image_size(known, one.height, one.width, one.image_key)
        identity = b"%d %d %b" % (sample, position, one.counts)
        fields: Parsed = {
            "_id": {"$oid": blake2b(identity, digest_size=12).hexdigest()},
            "_cls": "Detection",
            "attributes": {},
            "tags": [],
            "label": one.category,
            **self._pixels(one.counts, size, one.image_key),
        }
        if self._ids is not None:  # as the others have one, so that all keep theirs
            fields = {**fields, "mask_id": next(self._ids)}
        style = Style()
        return style.object({name: style.value(value) for name, value in fields.items()})

    def _add_field(self, made: Sequence[str], data: bytes, at: int) -> Piece:
        """Return the replacement that gives a sample its first detections."""
        sample = JsonObject(data, at, SAMPLES)
        style = Style()
        detections = f"[{style.between.join(made)}]"
        literals = {"_cls": style.value(FIELDS), "detections": detections}
        sample.set(self._field, style.object(literals))
        return at, at + len(data), sample.text().encode("utf-8")
