"""Annotation objects to columns, for COCO, LVIS, results lists and SA-1B.

Everything is read a batch at a time with list comprehensions and one array a field, because at a
billion masks the cost of one Python call a mask is what an audit would be made of. Each field has a
fast path for values of the right type, and a slow one that looks at them one by one.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from heapq import nsmallest
from itertools import chain
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from curate.common.arrays import BoolArray, IntArray
from curate.dataset.notes import EXAMPLES, Note, Notes
from curate.dataset.table import IMAGE_STATUSES, STATUSES, MaskTable, finish
from curate.formats.json.json_columns import (
    Columns,
    extension,
    first_points,
    holds_text,
    id_key,
    is_usable_size,
    repeat,
    strings,
    text,
    to_box_columns,
    to_floats,
    to_integers,
    to_small_integers,
    unique_ids,
)
from curate.formats.repairs import FIELD_NOTES, REPAIRS
from curate.formats.segmentation import json_type, read_segmentation, rle_size, valid_size

UNKNOWN_SIZE = -1
"""Height and width of an image that states none: the run lengths' own size is taken."""

_NUMBERS = {
    "predicted_iou": "predicted_iou",
    "stability_score": "stability_score",
    "score": "score",
    "area": "declared_area",
}
_BOXES = {
    "bbox": ("declared_x", "declared_y", "declared_w", "declared_h"),
    "crop_box": ("crop_x", "crop_y", "crop_w", "crop_h"),
}
_NONE = {type(None)}
_STAND_INS = -(2**40)
"""Ids up to here stand for a text; see :func:`curate.formats.json.json_columns.id_key`."""


class Findings:
    """Faults of some of many rows.

    Args:
        order: Status words, gravest first; of several findings on a row the gravest is its status,
            and the details are told together.
    """

    def __init__(self, order: Sequence[str] = STATUSES) -> None:
        self._order = {word: rank for rank, word in enumerate(order)}
        self._rows: dict[int, list[tuple[str, str]]] = {}
        self._minor: set[tuple[str, str]] = set()

    def note(self, row: int, status: str, detail: str, *, minor: bool = False) -> None:
        """Add a finding on a row.

        Args:
            row: The row.
            status: A status word.
            detail: What is wrong, as a clause.
            minor: Whether it is less than any other: what stands beside a mask cannot be used.
        """
        self._rows.setdefault(row, []).append((status, detail))
        if minor:
            self._minor.add((status, detail))

    def note_all(self, rows: Iterable[int], status: str, detail: str) -> None:
        """Add the same finding on several rows."""
        for row in rows:
            self.note(int(row), status, detail)

    def details(self, row: int) -> str:
        """Return the findings on a row as one text, "" for none."""
        return "; ".join(detail for _, detail in self._rows.get(row, []))

    def columns(self, n: int) -> Columns:
        """Return ``status`` and ``status_detail`` for ``n`` rows."""
        if not self._rows:
            return {"status": repeat("ok", n), "status_detail": repeat("", n)}
        status, detail = ["ok"] * n, [""] * n
        for row, found in self._rows.items():
            found = sorted(
                dict.fromkeys(found), key=lambda one: (one in self._minor, self._order[one[0]])
            )
            status[row] = found[0][0]
            detail[row] = "; ".join(text for _, text in found)
        return {"status": strings(status), "status_detail": strings(detail)}


@dataclass
class ImageRows:
    """The images of a part, before they are a table.

    Attributes:
        ids: Shape (m,), unique.
        names: File names, "" where the source gives none.
        heights: In pixels, :data:`UNKNOWN_SIZE` where the source gives none, 0 where what it gives
            cannot be used.
        widths: The same.
        findings: What is wrong with an image, by position.
        listed: Shape (m,); which images the source lists. Others are only names that masks use, and
            stand in no images table. None for all.
        keys: Their source keys, "" where no mask can be added; empty where none is known.
        notes: What is said once for many images.
        fallback: Shape (m, 2), height and width that a mask is drawn with where neither it nor its
            image states a size, under 0 where not known; None where nothing is.
    """

    ids: IntArray
    names: list[str]
    heights: IntArray
    widths: IntArray
    findings: Findings = field(default_factory=lambda: Findings(IMAGE_STATUSES))
    listed: BoolArray | None = None
    keys: list[str] = field(default_factory=list)
    notes: Notes = field(default_factory=Notes)
    fallback: IntArray | None = None

    def frame(self) -> pd.DataFrame:
        """Return the images as a frame for :func:`curate.dataset.table.finish`."""
        sizes = np.stack([self.heights, self.widths], axis=1)
        if self.fallback is not None:
            sizes = np.where(sizes.min(axis=1, keepdims=True) < 0, self.fallback, sizes)
        sizes = np.maximum(sizes, 0)
        columns = {
            "file_name": strings(self.names),
            "height": sizes[:, 0],
            "width": sizes[:, 1],
            **self.findings.columns(len(self.ids)),
        }
        if len(self.keys) == len(self.ids):
            columns["source_key"] = strings(self.keys)
        frame = pd.DataFrame(columns, index=pd.Index(self.ids, name="image_id"))
        return frame if self.listed is None else frame[self.listed]


class Annotations:
    """Collects annotation objects, batch by batch, and makes a table of them.

    Args:
        images: The images that the annotations lie on.
        categories: Names by id; None where the source has no list of categories.
        placeholders: Declared categories that no object can have, and why.
        need_ids: Whether an annotation without an id is a finding.
    """

    def __init__(
        self,
        images: ImageRows,
        categories: dict[int, str] | None = None,
        placeholders: dict[int, str] | None = None,
        need_ids: bool = True,
    ) -> None:
        self.images, self.categories, self._need_ids = images, categories, need_ids
        self._placeholders = placeholders or {}
        self.findings, self.notes = Findings(), Notes()
        self._category_texts: dict[int, str] = {}
        self._noted: dict[str, set[int]] = {}
        self._batches: list[Columns] = []
        self._lengths: list[int] = []
        self.count = 0

    def add(self, records: list[Any], rows: IntArray, keys: pa.Array) -> None:
        """Take in annotation objects.

        Args:
            records: Parsed JSON values; one that is no object becomes a finding.
            rows: Position of each one's image in ``images``.
            keys: Source keys, as large strings.
        """
        if set(map(type, records)) - {dict}:
            for i, record in enumerate(records):
                if type(record) is not dict:
                    what = f"the annotation is {json_type(record)}, not an object"
                    self.findings.note(self.count + i, "wrong_type", what)
            records = [record if type(record) is dict else {} for record in records]
        columns = _fields(records)
        for record in records:
            if type(given := record.get("category_id")) is str:
                self._category_texts[id_key(given)] = text(given)[:80]
        self._note_ids(records, columns["id_given"])
        self._note_odd_numbers(records, columns)
        columns |= self._segmentations(records, rows)
        self._count_notes(keys)
        columns |= {"source_key": keys, "image_row": rows}
        self._batches.append(columns)
        self._lengths.append(len(records))
        self.count += len(records)

    def add_columns(self, columns: Columns, rows: IntArray, keys: pa.Array) -> None:
        """Take in annotations that are columns already and of which all is sound; see :meth:`add`.

        Args:
            columns: As :class:`curate.formats.json.fast_reader.QuickReader` gives them; run lengths
                have the size of their image where that states one.
            rows: Position of each one's image in ``images``.
            keys: Source keys, as large strings.
        """
        given = columns["id_given"]
        if self._need_ids and not given.all():
            for i in np.flatnonzero(~given).tolist():
                self._say("no_id", i)
            self._count_notes(keys)
        self._batches.append(columns | {"source_key": keys, "image_row": rows})
        self._lengths.append(len(rows))
        self.count += len(rows)

    def fits(self, heights: IntArray, widths: IntArray, rows: IntArray) -> bool:
        """Return whether run lengths have usable sizes, those of their images where stated."""
        own_h, own_w = self.images.heights[rows], self.images.widths[rows]
        free = (own_h < 0) | (own_w < 0)
        same = (own_h == heights) & (own_w == widths)
        return bool((free | same).all() and is_usable_size(heights, widths).all())

    def _say(self, kind: str, row: int) -> None:
        """Note once for the file what holds for a mask, named by its place in the batch."""
        self._noted.setdefault(kind, set()).add(row)

    def _count_notes(self, keys: pa.Array) -> None:
        """Take the notes of a batch into those of the file."""
        for kind, rows in self._noted.items():
            places = tuple(keys[row].as_py() for row in nsmallest(EXAMPLES, rows))
            what = FIELD_NOTES.get(kind) or REPAIRS[kind]
            self.notes.merge([Note(kind, what, len(rows), examples=places)])
        self._noted.clear()

    def _note_ids(self, records: list[dict[str, Any]], given: BoolArray) -> None:
        """Note ids that are missing, text, or nothing that can be an id."""
        for i in np.flatnonzero(~given).tolist():
            value = records[i].get("id")
            if value is None and records[i] and self._need_ids:
                self._say("no_id", i)
            elif value is not None and type(value) is not str:
                self._say("odd_ids", i)
        for name in ("id", "image_id", "category_id"):
            values = [record.get(name) for record in records]
            if str in set(map(type, values)):
                for i, value in enumerate(values):
                    if type(value) is str:
                        self._say("text_ids", i)

    def _note_odd_numbers(self, records: list[dict[str, Any]], columns: Columns) -> None:
        """Note stored numbers that are none; a missing one, or an empty list, is no finding."""
        read = {name: column for name, column in _NUMBERS.items() if column in columns}
        read |= {name: four[0] for name, four in _BOXES.items() if four[0] in columns}
        for name, column in read.items():
            nothing = np.isnan(columns[column])
            values = [record.get(name) for record in records]
            if holds_text(values):
                for i, value in enumerate(values):
                    if not nothing[i] and holds_text([value]):
                        self._say("text_numbers", i)
            for i in np.flatnonzero(nothing).tolist():
                value = values[i]
                if value is None or value == []:
                    continue
                if _are_numbers(value, 1 if name in _NUMBERS else 4):
                    self._say("not_finite", i)
                    continue
                what = json_type(value)
                if type(value) is list:
                    what = "a list, but not of four numbers"
                self.findings.note(
                    self.count + i, "wrong_type", f"its {name} is {what}", minor=True
                )

    def _note_size(self, row: int, image: int, detail: str) -> None:
        """Note that a mask's image has no usable size, in the image's own words if it has any."""
        images = self.images
        if images.listed is not None and not images.listed[image]:
            return  # that its image is unknown is noted already
        if images.heights[image] < 0 or images.widths[image] < 0:
            detail = "the size of its image is not given"
        self.findings.note(row, "invalid_size", images.findings.details(image) or detail)

    def _segmentations(self, records: list[dict[str, Any]], rows: IntArray) -> Columns:
        heights, widths = self.images.heights[rows], self.images.widths[rows]
        values = [record.get("segmentation") for record in records]
        counts: list[bytes | None] = []
        crossings = np.full(len(values), np.nan)
        for i, value in enumerate(values):
            height, width = int(heights[i]), int(widths[i])
            if height < 0 or width < 0:
                height, width = _own_size(value)
                if height < 1 and self.images.fallback is not None:
                    height, width = np.maximum(self.images.fallback[rows[i]], 0).tolist()
                heights[i], widths[i] = height, width
            one = read_segmentation(value, height, width)
            counts.append(one.counts)
            crossings[i] = np.nan if one.crossings is None else one.crossings
            for kind in one.repairs:
                self._say(kind, i)
            if one.status == "no_segmentation" and records[i]:
                self._say("no_segmentation", i)
            if one.status == "invalid_size" and not valid_size(height, width):
                self._note_size(self.count + i, int(rows[i]), one.detail)
            elif one.status != "ok":
                self.findings.note(self.count + i, one.status, one.detail)
        segmentation = pa.array(counts, pa.large_binary())
        found = {"segmentation": segmentation, "height": heights, "width": widths}
        polygons = bool(np.isfinite(crossings).any())
        return {**found, **({"outline_crossings": crossings} if polygons else {})}

    def columns(self) -> Columns:
        """Return all batches' columns joined; what a batch lacks is NaN there."""
        names = list(dict.fromkeys(chain.from_iterable(self._batches)))
        return {name: self._join(name) for name in names}

    def _join(self, name: str) -> Any:
        given = [batch.get(name) for batch in self._batches]
        first = next(values for values in given if values is not None)
        if isinstance(first, pa.Array):
            return pa.concat_arrays(given)
        filled = [
            np.full(n, np.nan) if values is None else values
            for values, n in zip(given, self._lengths, strict=True)
        ]
        return np.concatenate(filled)

    def table(
        self, spare_ids: IntArray | None = None, repeated: IntArray | None = None
    ) -> MaskTable:
        """Return everything added as a table.

        Args:
            repeated: Shape (k, 2), sorted: ids that several annotations have, and how many have it;
                None for ids that need to be unique in their image only.
            spare_ids: Ids for masks whose own id is missing, no whole number or taken already,
                one a mask; None to number all masks of the table from 0 in that case.
        """
        if not self._batches:
            self.add([], np.zeros(0, np.int64), pa.array([], pa.large_string()))
        columns = self.columns()
        n, rows = self.count, columns.pop("image_row")
        ids, given = columns.pop("id"), columns.pop("id_given")
        own = given.copy()
        if repeated is None:
            own[self._note_repeated_in_image(ids, given, rows)] = False
        elif len(repeated):
            own[self._note_repeated(ids, given, repeated)] = False
        self._settle_sizes(columns, rows)
        category, known = columns.pop("category_id"), columns.pop("category_given")
        numbered = known & (category > _STAND_INS)
        if numbered.any():
            columns["category_id"] = pd.arrays.IntegerArray(category, ~numbered)
        columns["category"] = self._names(category, known)
        columns["image_id"] = self.images.ids[rows]
        columns["file_name"] = extension(pa.array(self.images.names, pa.large_string()).take(rows))
        for name in ("segmentation", "source_key"):
            columns[name] = extension(columns[name])
        for name, dtype in (("iscrowd", "Int8"), ("track_id", "Int64")):
            if name in columns:
                columns[name] = pd.array(columns[name], dtype=dtype)
        columns |= self.findings.columns(n)
        index = pd.Index(unique_ids(ids, given, spare_ids), name="mask_id")
        own &= index.to_numpy() == ids
        if self._need_ids and not own.all():
            columns["own_id"] = pd.array(own, dtype="boolean")
        self.notes.merge(self.images.notes.list())
        masks = pd.DataFrame(columns, index=index, copy=False)
        return finish(masks, self.images.frame(), self.notes.list())

    def _note_repeated(self, ids: IntArray, given: BoolArray, repeated: IntArray) -> IntArray:
        """Note, and return, the masks whose id others have too."""
        at = np.minimum(np.searchsorted(repeated[:, 0], ids), len(repeated) - 1)
        found = np.flatnonzero(given & (repeated[at, 0] == ids))
        for row in found.tolist():
            detail = f"the id {ids[row]} is used by {repeated[at[row], 1]} annotations"
            self.findings.note(row, "duplicate_id", detail)
        return found

    def _note_repeated_in_image(self, ids: IntArray, given: BoolArray, rows: IntArray) -> IntArray:
        """Note, and return, the masks whose id others of their image have too."""
        if given.all() and ((np.diff(ids) > 0).all() or len(np.unique(ids)) == len(ids)):
            return np.zeros(0, np.int64)
        some = np.flatnonzero(given)
        some = some[np.lexsort((ids[some], rows[some]))]
        same = (np.diff(ids[some]) == 0) & (np.diff(rows[some]) == 0)
        twice = np.flatnonzero(np.append(same, False) | np.insert(same, 0, False))
        for row in some[twice].tolist():
            detail = f"the id {ids[row]} is used by other annotations of its image too"
            self.findings.note(row, "duplicate_id", detail)
        return some[twice]

    def _names(self, category: IntArray, known: BoolArray) -> Any:
        """Return category names; notes the annotations whose category is not declared."""
        if self.categories is None:
            return repeat(None, len(category))
        declared = np.array(sorted(self.categories), np.int64)
        at = np.searchsorted(declared, category)
        found = known & (at < len(declared))
        found[found] = declared[at[found]] == category[found]
        for row in np.flatnonzero(~found):
            named = self._category_texts.get(int(category[row]), str(category[row]))
            unknown = f"category {named} is not declared"
            detail = unknown if known[row] else "there is no category id"
            self.findings.note(int(row), "bad_category", detail)
        for number, why in self._placeholders.items():
            rows = np.flatnonzero(known & (category == number))
            self.findings.note_all(rows, "bad_category", f"category {number} {why}")
        names = pa.array([self.categories[i] for i in declared.tolist()], pa.large_string())
        return extension(names.take(pa.array(at, mask=~found)))

    def _settle_sizes(self, columns: Columns, rows: IntArray) -> None:
        """Give images without a size that of their first mask; others of it must agree."""
        images, height, width = self.images, columns["height"], columns["width"]
        open_rows = np.flatnonzero(((images.heights < 0) | (images.widths < 0))[rows])
        sized = open_rows[(height[open_rows] > 0) & (width[open_rows] > 0)]
        image, first = np.unique(rows[sized], return_index=True)
        images.heights, images.widths = images.heights.copy(), images.widths.copy()
        images.heights[image] = height[sized[first]]
        images.widths[image] = width[sized[first]]
        wrong = sized[
            (height[sized] != images.heights[rows[sized]])
            | (width[sized] != images.widths[rows[sized]])
        ]
        for row in wrong.tolist():
            other = f"{images.widths[rows[row]]} x {images.heights[rows[row]]}"
            detail = f"the RLE is {width[row]} x {height[row]}, others of the image {other}"
            self.findings.note(row, "size_mismatch", detail)
        if len(wrong):
            gone = np.zeros(len(rows), bool)
            gone[wrong] = True
            nothing = pa.scalar(None, pa.large_binary())
            columns["segmentation"] = pc.if_else(pa.array(gone), nothing, columns["segmentation"])
        height[open_rows] = np.maximum(images.heights[rows[open_rows]], 0)
        width[open_rows] = np.maximum(images.widths[rows[open_rows]], 0)


def _are_numbers(value: Any, size: int) -> bool:
    """Return whether what is no usable number is one all the same, or a list of so many."""
    some = [value] if size == 1 else value
    return type(some) is list and len(some) == size and set(map(type, some)) <= {int, float}


def _own_size(value: object) -> tuple[int, int]:
    """Return the size that a segmentation states, (0, 0) where it states none that is usable."""
    size = rle_size(value)
    return size if size is not None and valid_size(*size) else (0, 0)


def _fields(records: list[dict[str, Any]]) -> Columns:
    """Return the columns of every known field except the segmentation."""
    columns: Columns = {}
    nested = [record.get("attributes") for record in records]
    nested = nested if dict in set(map(type, nested)) else []

    def values(name: str) -> list[Any]:
        top = [record.get(name) for record in records]
        if not nested or not set(map(type, top)) & _NONE:
            return top
        return [
            (more.get(name) if type(more) is dict else None) if value is None else value
            for value, more in zip(top, nested, strict=True)
        ]

    for name, column in _NUMBERS.items():
        number = to_floats(values(name))
        if number is not None:
            columns[column] = number
    for name, four in _BOXES.items():
        box = to_box_columns(values(name))
        if box is not None:
            columns |= dict(zip(four, box, strict=True))
    point = to_box_columns(first_points(values("point_coords")), 2)
    if point is not None:
        columns |= dict(zip(("prompt_x", "prompt_y"), point, strict=True))
    columns["id"], columns["id_given"] = to_integers([record.get("id") for record in records])
    categories = values("category_id")
    columns["category_id"], columns["category_given"] = to_integers(categories)
    for i in np.flatnonzero(~columns["category_given"]).tolist():
        if type(categories[i]) is str:  # the name by which the file's own list has it
            columns["category_id"][i] = id_key(categories[i])
            columns["category_given"][i] = True
    for name in ("iscrowd", "track_id"):
        whole = to_small_integers(values(name), 2**7 if name == "iscrowd" else 2**53)
        if whole is not None:
            columns[name] = whole
    return columns
