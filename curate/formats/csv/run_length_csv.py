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

from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import pandas as pd

from curate.dataset.table import MaskTable
from curate.errors import CurateError, SourceError
from curate.formats.csv.csv_records import Record, read_header, read_records
from curate.formats.csv.pixel_runs import looks_like_runs, read_pixels
from curate.formats.csv.row_places import RowPlaces, csv_rows_of
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
        for record in islice(csv_rows_of(path), _LOOK):
            if columns.has_mask(record):
                return looks_like_runs(record.value(columns.pixels).strip())
        return not columns.needs_look
    except (CurateError, OSError, ValueError):
        return False


def _image_names(source: Path) -> Iterator[str]:
    """Yield the image of each row."""
    columns = _columns(source)
    for record in csv_rows_of(source):
        yield columns.image_of(record)


def _columns(source: Path) -> Columns:
    columns = find_columns(read_header(source))
    if columns is None:
        what = "it has no column of images (ImageId) beside one of run lengths (EncodedPixels)"
        raise SourceError(what, str(source), "check its first line")
    return columns


# --- plan ----------------------------------------------------------------------------------------


def plan(source: Path, work: Path, options: ReadOptions = _NO_OPTIONS) -> Iterator[Part]:
    """Group images into parts; their pictures are found where the file states no sizes."""
    columns, rows, is_sized = _columns(source), RowPlaces(), False
    for record in csv_rows_of(source):
        rows.add(columns.image_of(record), record)
        is_sized = is_sized or columns.size_of(record) is not None
    if not rows.images:
        raise SourceError("it has no row but its header", str(source), "check the file")
    if options.home is not None:
        rows.order_like(_image_names(options.home))
    pictures = find_named(source, rows.images, options)
    if not pictures.paths and not is_sized:
        what = "it states no sizes of images, and no pictures of its images are found"
        raise SourceError(what, str(source), "give the folder of the pictures with --images DIR")
    folder = "" if pictures.folder is None else str(pictures.folder)
    groups = rows.group(lambda lengths: lengths + PART_BYTES // PART_MASKS, PART_BYTES)
    for index, (names, ranges) in enumerate(groups):
        named = tuple((name, pictures.paths.get(name, "")) for name in names)
        yield Part(index, (folder, named, ranges))


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
    names = list(dict.fromkeys(islice(_image_names(source), _NAMES)))
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
