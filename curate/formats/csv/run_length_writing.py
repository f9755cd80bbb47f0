"""Writer of run-length CSV files: rows changed, cut and added, all other bytes as they were."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from curate.errors import CallError, SourceError
from curate.formats.copying import copy_with_edits, splice
from curate.formats.csv.csv_records import Record, read_header, spell_like
from curate.formats.csv.pixel_runs import spell_pixels
from curate.formats.csv.row_places import csv_rows_of
from curate.formats.csv.run_length_columns import Columns, find_columns
from curate.formats.edits import Addition, Change, Edits, Stored
from curate.formats.format import ReadOptions, convert_read_errors
from curate.formats.named_pictures import find_named, size_and_status
from curate.formats.new_pixels import (
    PixelTally,
    image_size,
    new_pixels,
    new_runs,
    refuse_categories,
    refuse_polygons,
)
from curate.formats.table_builder import plain

Piece = tuple[int, int, bytes]
Size = tuple[int, int]

_NO_OPTIONS = ReadOptions()


def write(
    source: Path, out: Path | None, edits: Edits, options: ReadOptions = _NO_OPTIONS
) -> Stored:
    """Copy with other rows for the masks that go, change or come.

    The last row of an image stays, without runs, when its last mask goes: so the image stays too.
    A row without runs is filled by a mask that comes; else the mask gets a row behind those of its
    image.
    """
    refuse_polygons(edits, str(source))
    edits.refuse_attributes(str(source))
    columns = find_columns(read_header(source))
    if columns is None:
        raise SourceError("its columns are not those of run lengths", str(source), "check it")
    if not columns.has_classes:
        refuse_categories(edits, str(source))
    tally = PixelTally()
    if edits.is_empty:
        copy_with_edits(source, out, {})
        return tally.count_stored()
    images = _touched(source, columns, edits)
    if next(new_pixels(edits), None) is not None:
        _find_sizes(source, columns, images, options)
    pieces: list[Piece] = []
    for image in images:
        pieces += image.pieces(columns, tally)
    pieces.sort(key=lambda piece: piece[:2])
    copy_with_edits(source, out, {plain(source.name): partial(splice, pieces=pieces)})
    return tally.count_stored()


def _touched(source: Path, columns: Columns, edits: Edits) -> list[_RowsOfImage]:
    """Return the images that change, with all of their rows."""
    drop, change = _by_line(source, edits)
    add: dict[str, list[Addition]] = {}
    for addition in edits.add:
        add.setdefault(addition.image_key, []).append(addition)
    images: dict[str, _RowsOfImage] = {}
    known: set[int] = set()
    for record in csv_rows_of(source):
        name = columns.image_of(record)
        is_mask = columns.has_mask(record) or len(record.fields) != columns.count
        if is_mask and (record.line in drop or record.line in change):
            known.add(record.line)
        elif name in images or plain(name) not in add:
            continue
        images.setdefault(name, _RowsOfImage(name, add.pop(plain(name), [])))
    for key in (f"{plain(source.name)}:{line}" for line in sorted({*drop, *change} - known)):
        raise CallError(f"{key} names no mask of it", str(source))
    for key in add:
        raise CallError(f"{key} names no image of it", str(source))
    newline = _newline(source)
    for record in csv_rows_of(source):
        image = images.get(columns.image_of(record))
        if image is not None:
            key = f"{plain(source.name)}:{record.line}"
            one = _Row(record, key, record.line in drop, change.get(record.line))
            image.rows.append(one)
            image.newline = newline
    return list(images.values())


def _by_line(source: Path, edits: Edits) -> tuple[set[int], dict[int, Change]]:
    """Return drops and changes by the line of the row."""

    def line_of(key: str) -> int:
        name, _, line = key.rpartition(":")
        if name != plain(source.name) or not re.fullmatch("[0-9]{1,18}", line, re.ASCII):
            raise CallError(f"{key} names no mask of it", str(source))
        return int(line)

    return set(map(line_of, edits.drop)), {line_of(k): one for k, one in edits.change.items()}


def _newline(source: Path) -> bytes:
    """Return how lines end in a file."""
    with convert_read_errors(source), source.open("rb") as file:
        return b"\r\n" if file.readline().endswith(b"\r\n") else b"\n"


def _find_sizes(
    source: Path, columns: Columns, images: list[_RowsOfImage], options: ReadOptions
) -> None:
    """Find the sizes of images: as their rows say, or those of their pictures."""
    unsized = []
    for image in images:
        stated = (columns.size_of(row.record) for row in image.rows)
        image.size = next((size for size in stated if size is not None), (0, 0))
        if image.size == (0, 0):
            unsized.append(image)
    if unsized:
        names = dict.fromkeys(columns.image_of(record) for record in csv_rows_of(source))
        pictures = find_named(source, names, options)
        for image in unsized:
            path = pictures.paths.get(image.name, "")
            image.size, _, image.problem = size_and_status(pictures.folder, path)


@dataclass
class _Row:
    """A row of an image that changes.

    Attributes:
        record: The row.
        key: Its source key.
        goes: Whether its mask goes.
        change: What changes of its mask.
        pixels: New content of its runs, b"" for none; None as it is.
        category: New class; None as it is.
    """

    record: Record
    key: str
    goes: bool
    change: Change | None
    pixels: bytes | None = None
    category: str | None = None


@dataclass
class _RowsOfImage:
    """An image of which rows change.

    Attributes:
        name: Its name.
        add: Masks that come.
        rows: Its rows in order.
        newline: How lines end.
        size: Its height and width; (0, 0) where not known.
        problem: Why they are not known.
    """

    name: str
    add: list[Addition]
    rows: list[_Row] = field(default_factory=list)
    newline: bytes = b"\n"
    size: Size = (0, 0)
    problem: str = ""

    def pieces(self, columns: Columns, tally: PixelTally) -> Iterator[Piece]:
        """Yield what changes in the file."""
        for row in self.rows:
            if row.change is not None:
                self._change(row, row.change, columns, tally)
        new = [one for one in self.add if not self._fill(one, columns, tally)]
        bare = [row for row in self.rows if row.goes and row.pixels is None]
        stays = new or len(bare) < len(self.rows)
        for row in bare if columns.joined else bare[: 0 if stays else 1]:
            row.pixels = b""
        made = [self._new_row(one, columns, tally) for one in new]
        for row in self.rows:
            behind = made if row is self.rows[-1] else []
            if row.goes and row.pixels is None:
                instead = b"".join(one + self.newline for one in behind)
                yield row.record.start, row.record.stop, instead
                continue
            yield from _field_pieces(row, columns)
            if behind:
                end = row.record.end
                yield end, end, b"".join(self.newline + one for one in behind)

    def _change(self, row: _Row, change: Change, columns: Columns, tally: PixelTally) -> None:
        if columns.pixels >= len(row.record.fields):
            raise CallError("its row ends before its runs", row.key, "reject the mask instead")
        if change.counts is not None:
            row.pixels = self._spell(change.counts, row.key, columns, tally)
        if change.category is None or change.category == columns.category_of(row.record):
            return
        target = row
        if columns.joined:
            target = self._row_of_class(change.category, columns, row.key) or row
        if target is not row:  # the class has a row of its own: the runs go there
            raw = row.record.value(columns.pixels)
            target.pixels = raw if row.pixels is None else row.pixels
            target.goes, row.pixels = False, b""
        else:
            row.category = change.category
            _check_class(row.record, change.category, columns, row.key)

    def _row_of_class(self, category: str, columns: Columns, key: str) -> _Row | None:
        """Return the row that an image has for a class; None where there is none.

        Raises:
            CallError: A mask stands in it.
        """
        for row in self.rows:
            if row.category is not None or columns.category_of(row.record) != category:
                continue
            if row.pixels or (row.pixels is None and columns.has_mask(row.record) and not row.goes):
                what = f"{self.name} has a mask of the class {category!r}, and the file one row"
                do = "join the two masks, or write another format with --to"
                raise CallError(f"{what} an image and class", key, do)
            return row
        return None

    def _fill(self, one: Addition, columns: Columns, tally: PixelTally) -> bool:
        """Put a mask that comes into a row without runs; return whether there is one."""
        category = self._category(one, columns)
        if columns.joined:
            row = self._row_of_class(str(category), columns, one.image_key)
        else:
            empty = (row for row in self.rows if _is_free(row, columns))
            row = next(empty, None)
        if row is None:
            return False
        image_size(self.size, one.height, one.width, one.image_key)
        row.pixels = self._spell(one.counts, one.image_key, columns, tally)
        row.goes = False
        if not columns.joined and category is not None:
            _check_class(row.record, category, columns, one.image_key)
            row.category = category
        return True

    def _category(self, one: Addition, columns: Columns) -> str | None:
        """Return the class of a mask that comes; None where there are none.

        Raises:
            CallError: It has none, and rows carry one.
        """
        if one.category is not None or not columns.has_classes:
            return one.category
        if columns.category in columns.of_images:
            return columns.category_of(self.rows[0].record)
        what = "the added mask has no category, and rows of the file carry one"
        raise CallError(what, one.image_key, "say which one it gets with --category NAME")

    def _spell(self, counts: bytes, key: str, columns: Columns, tally: PixelTally) -> bytes:
        if self.size == (0, 0):
            raise CallError(
                f"the image's size is not known: {self.problem}", key, "add its picture"
            )
        tally.runs += 1
        return spell_pixels(new_runs(counts, self.size, key), columns.by_row)

    def _new_row(self, one: Addition, columns: Columns, tally: PixelTally) -> bytes:
        image_size(self.size, one.height, one.width, one.image_key)
        whole = [row.record for row in self.rows if len(row.record.fields) == columns.count]
        like = (whole or [self.rows[-1].record])[-1]
        kept = {columns.image, *columns.of_images}
        fields = [old if k in kept else b"" for k, old in enumerate(like.fields[: columns.count])]
        fields += [b""] * (columns.count - len(fields))
        fields[columns.pixels] = self._spell(one.counts, one.image_key, columns, tally)
        category = self._category(one, columns)
        if category is not None:
            place, value = _class_field(like, category, columns)
            fields[place] = value
            made = Record(0, 0, fields)
            _check_class(made, category, columns, one.image_key, is_new=True)
        return b",".join(fields)


def _is_free(row: _Row, columns: Columns) -> bool:
    """Return whether a row has no runs that stay."""
    if row.pixels is not None or len(row.record.fields) != columns.count:
        return False
    return not columns.has_mask(row.record)


def _class_field(record: Record, category: str, columns: Columns) -> tuple[int, bytes]:
    """Return which field says the class, and how it is written with another one."""
    place = columns.image if columns.joined else columns.category
    assert place is not None
    old = record.fields[place] if place < len(record.fields) else b""
    value = f"{columns.image_of(record)}_{category}" if columns.joined else category
    had = columns.category_of(record)
    text = record.text(place)
    if not columns.joined and had and text != had:  # attributes stand behind it
        value += text[len(had) :]
    return place, spell_like(value.encode("utf-8", "surrogateescape"), old)


def _check_class(
    record: Record, category: str, columns: Columns, key: str, is_new: bool = False
) -> None:
    """Raise where a class, written, would be read as another."""
    fields = list(record.fields)
    place, value = _class_field(record, category, columns)
    if not is_new and place < len(fields):
        fields[place] = value
    made = Record(0, 0, fields)
    if columns.category_of(made) != category or columns.image_of(made) != columns.image_of(record):
        what = f"the category {category!r} cannot stand in its column"
        raise CallError(what, key, "choose another name")


def _field_pieces(row: _Row, columns: Columns) -> Iterator[Piece]:
    """Yield the fields of a row that change."""
    record = row.record
    changes: dict[int, bytes] = {}
    if row.goes and len(record.fields) != columns.count:  # it stays as a sound row without runs
        fields = [*record.fields, *[b""] * columns.count][: columns.count]
        fields[columns.pixels] = b""
        yield record.start, record.end, b",".join(fields)
        return
    if row.pixels is not None:
        changes[columns.pixels] = spell_like(row.pixels, record.fields[columns.pixels])
    if row.category is not None:
        place, value = _class_field(record, row.category, columns)
        changes[place] = value
    for place in sorted(changes):
        yield (*record.place(place), changes[place])
