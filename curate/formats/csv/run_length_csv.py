"""Run lengths in a CSV file, a row a mask, as Kaggle's competitions have them.

Facts, from the competitions' pages and the code that people publish for them: runs are pairs of
start and length, starts count from 1 and go down the columns; an image has one row a mask (Data
Science Bowl 2018, Airbus), or one a class (Severstal, clouds); a row without runs says that there
is no mask. Sizes stand in the file (iMaterialist, HuBMAP, Sartorius) or are those of the pictures.
Competitions whose starts go along the rows are told by their columns
(:mod:`curate.formats.csv.run_length_columns`).

A mask's key is the file's name and the line of its row.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path

import numpy as np
import pandas as pd

from curate.dataset.table import MaskTable
from curate.errors import CurateError, SourceError
from curate.formats.csv.csv_records import Record, read_header, read_records
from curate.formats.csv.pixel_runs import looks_like_runs, read_pixels
from curate.formats.csv.run_length_columns import Columns, find_columns
from curate.formats.csv.run_length_writing import write
from curate.formats.format import (
    PART_BYTES,
    PART_MASKS,
    Format,
    Part,
    ReadOptions,
    convert_read_errors,
)
from curate.formats.named_pictures import NamedPictures, find_named, own_pictures, size_and_status
from curate.formats.own_pictures import OwnPictures
from curate.formats.picture_sizes import note_size
from curate.formats.segmentation import Segmentation
from curate.formats.table_builder import TableBuilder, plain, with_problems
from curate.formats.untouched.csv_check import check_run_length_csv

_LOOK = 200  # records that are looked at to see that there are run lengths
_NAMES = 20_000  # records whose images are looked for beside the file
_NO_OPTIONS = ReadOptions()


def matches(path: Path) -> bool:
    """Return whether a file is a CSV with such columns, and the first runs in it are runs."""
    try:
        columns = find_columns(read_header(path)) if path.is_file() else None
        if columns is None:
            return False
        with path.open("rb") as file:
            for record in islice(_rows(file, path.name), _LOOK):
                if columns.has_mask(record):
                    return looks_like_runs(record.value(columns.pixels).strip())
        return not columns.needs_look
    except (CurateError, OSError, ValueError):
        return False


def _rows(file: object, where: str) -> Iterator[Record]:
    """Return the records behind the header."""
    return islice(read_records(file, where), 1, None)  # type: ignore[arg-type]


def _columns(source: Path) -> Columns:
    columns = find_columns(read_header(source))
    if columns is None:
        what = "it has no column of images (ImageId) beside one of run lengths (EncodedPixels)"
        raise SourceError(what, str(source), "check its first line")
    return columns


# --- plan ----------------------------------------------------------------------------------------


@dataclass
class _RowPlaces:
    """Rows of a file: the image of each and its place.

    Attributes:
        images: Position of each image by name, in order.
        sized: Whether each image's size is stated.
        image: Image of each row.
        start: Where it begins in bytes.
        end: Where it ends.
        line: Its line.
    """

    images: dict[str, int] = field(default_factory=dict)
    sized: list[bool] = field(default_factory=list)
    image: array[int] = field(default_factory=lambda: array("q"))
    start: array[int] = field(default_factory=lambda: array("q"))
    end: array[int] = field(default_factory=lambda: array("q"))
    line: array[int] = field(default_factory=lambda: array("q"))

    @classmethod
    def read(cls, source: Path, columns: Columns) -> _RowPlaces:
        """Read where the rows of all images are."""
        rows = cls()
        with convert_read_errors(source), source.open("rb") as file:
            for record in _rows(file, str(source)):
                name = columns.image_of(record)
                number = rows.images.setdefault(name, len(rows.images))
                sized = columns.size_of(record) is not None
                if number == len(rows.sized):
                    rows.sized.append(sized)
                elif sized:
                    rows.sized[number] = True
                rows.image.append(number)
                rows.start.append(record.start)
                rows.end.append(record.end)
                rows.line.append(record.line)
        return rows


def plan(source: Path, work: Path, options: ReadOptions = _NO_OPTIONS) -> Iterator[Part]:
    """Group images into parts; their pictures are found where the file states no sizes."""
    rows = _RowPlaces.read(source, _columns(source))
    if not rows.images:
        raise SourceError("it has no row but its header", str(source), "check the file")
    pictures = find_named(source, rows.images, options)
    if not pictures.paths and not any(rows.sized):
        what = "it states no sizes of images, and no pictures of its images are found"
        raise SourceError(what, str(source), "give the folder of the pictures with --images DIR")
    folder = "" if pictures.folder is None else str(pictures.folder)
    yield from _parts(rows, pictures, folder)


def _parts(rows: _RowPlaces, pictures: NamedPictures, folder: str) -> Iterator[Part]:
    image, start, end, line = (
        np.array(one, np.int64) for one in (rows.image, rows.start, rows.end, rows.line)
    )
    order = np.argsort(image, kind="stable")
    costs = end - start + PART_BYTES // PART_MASKS
    totals = np.bincount(image, weights=costs[: len(image)], minlength=len(rows.images))
    bounds = np.searchsorted(image[order], np.arange(len(rows.images) + 1))
    names = list(rows.images)
    first, weight, index = 0, 0.0, 0
    for number in range(len(names) + 1):
        last = number == len(names)
        if number > first and (last or weight + totals[number] > PART_BYTES):
            mine = order[bounds[first] : bounds[number]]
            named = tuple((name, pictures.paths.get(name, "")) for name in names[first:number])
            yield Part(index, (folder, named, _ranges(mine, start, end, line)))
            first, weight, index = number, 0.0, index + 1
        if not last:
            weight += totals[number]


def _ranges(
    rows: np.ndarray, start: np.ndarray, end: np.ndarray, line: np.ndarray
) -> tuple[tuple[int, int, int], ...]:
    """Return where rows are, those that follow each other as one: begin, end and first line."""
    rows = np.sort(rows)
    cuts = np.flatnonzero(np.diff(rows) != 1) + 1
    firsts, lasts = np.append(0, cuts), np.append(cuts, len(rows)) - 1
    return tuple(
        (int(start[a]), int(end[b]), int(line[a]))
        for a, b in zip(rows[firsts], rows[lasts], strict=True)
    )


# --- load ----------------------------------------------------------------------------------------


def load(source: Path, part: Part) -> MaskTable:
    """Read the masks of some images."""
    return _read(source, part, with_masks=True)


def images_of(source: Path, part: Part) -> pd.DataFrame:
    """Return the images of a part; see :class:`Format`."""
    return _read(source, part, with_masks=False).images


def _read(source: Path, part: Part, *, with_masks: bool) -> MaskTable:
    folder, named, ranges = part.payload
    columns, rows = _columns(source), TableBuilder()
    found: dict[str, list[Record]] = {name: [] for name, _ in named}
    with convert_read_errors(source), source.open("rb") as file:
        for start, end, line in ranges:
            for record in read_records(file, str(source), start, end, line):
                found.setdefault(columns.image_of(record), []).append(record)
    pictures = NamedPictures(Path(folder) if folder else None, dict(named))
    for name, records in found.items():
        size, image = _add_image(rows, columns, records, name, pictures)
        for record in records if with_masks else ():
            if columns.has_mask(record) or len(record.fields) != columns.count:
                key = f"{source.name}:{record.line}"
                mask = _read_mask(columns, record, size, key, rows)
                rows.mask(key, image, mask, optional=_class_columns(columns, record))
    return rows.table()


def _add_image(
    rows: TableBuilder, columns: Columns, records: list[Record], name: str, pictures: NamedPictures
) -> tuple[tuple[int, int], int]:
    """Add an image; return its size, (0, 0) where it is not known, and its position."""
    stated = (columns.size_of(record) for record in records)
    size = next((one for one in stated if one is not None), None)
    called, status, detail = name, "ok", ""
    path = pictures.paths.get(name, "")
    if path:
        called = pictures.file_name(name)
    if size is None:
        size, status, detail = size_and_status(pictures.folder, path)
        if size != (0, 0):
            note_size(rows.notes, plain(called))
    return size, rows.image(called, size, status, detail, source_key=name)


def _read_mask(
    columns: Columns, record: Record, size: tuple[int, int], key: str, rows: TableBuilder
) -> Segmentation:
    problems = []
    if len(record.fields) != columns.count:
        problems.append(f"the row has {len(record.fields)} fields of {columns.count}")
    own = columns.size_of(record)
    if own not in (None, size):
        assert own is not None
        problems.append(f"the row says {own[1]} x {own[0]}, another row of the image says other")
    if size == (0, 0):
        detail = "the image's size is not known: the file states none, and no picture tells it"
        return Segmentation(None, "unknown_image", detail)
    pixels = record.value(columns.pixels)
    if columns.pixels >= len(record.fields):
        return Segmentation(None, "wrong_type", problems[0])
    if columns.by_row:
        what = "starts count along the rows, as in the competition that has these columns"
        rows.notes.add("runs_by_row", what, key)
    return with_problems(read_pixels(pixels, *size, columns.by_row), problems)


def _class_columns(columns: Columns, record: Record) -> dict[str, object]:
    """Return the optional columns of a mask."""
    text = columns.category_of(record)
    if not text:
        return {}
    number = int(text) if text.isascii() and text.isdigit() and len(text) < 10 else None
    made: dict[str, object] = {"category": text}
    return made if number is None else made | {"category_id": number}


def pictures(source: Path) -> OwnPictures | None:
    """Return the pictures beside the file."""
    columns = _columns(source)
    with source.open("rb") as file:
        rows = islice(_rows(file, str(source)), _NAMES)
        names = list(dict.fromkeys(columns.image_of(record) for record in rows))
    return own_pictures(source, names)


FORMAT = Format(
    "kaggle-csv",
    "run-length CSV, as on Kaggle",
    matches,
    plan,
    load,
    write,
    follows=("plan", "write"),
    check_unedited=check_run_length_csv,
    images=images_of,
    pictures=pictures,
)
