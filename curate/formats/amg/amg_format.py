"""Output of Segment Anything's ``amg.py``: folders of PNGs with a CSV, or lists of RLE.

Facts, from the script: the CSV is written after all the PNGs, unquoted, without a last line break;
``id`` is the PNG's name; a box is XYWH with inclusive maxima, so one pixel short in w and h;
``--matting`` puts pictures called ``7matting.png`` beside the masks. The folder or the JSON file is
called like the image, without its extension, and so is ``file_name`` here. The image's size stands
nowhere: it is the size that most of the masks have.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from curate.common import files
from curate.common.json_values import JsonObject
from curate.dataset.table import MaskTable
from curate.errors import CallError, CurateError, SourceError
from curate.formats.amg.amg_folder import COLUMNS, MASK_NAME, edit_folder, load_folder
from curate.formats.amg.metadata_csv import SHEET
from curate.formats.coco.annotation_edits import split_edits
from curate.formats.copying import Edit, copy_with_edits, list_entries, splice
from curate.formats.edits import Addition, Change, Edits, Stored
from curate.formats.format import PART_BYTES, Format, Part, convert_read_errors
from curate.formats.json.byte_edits import Elements, Piece
from curate.formats.json.json_columns import holds_text, whole_number
from curate.formats.json.sniffing import shape_of
from curate.formats.json.streaming import scan
from curate.formats.mask_values import MaskValues
from curate.formats.new_pixels import PixelTally, refuse_categories, refuse_polygons
from curate.formats.repairs import FIELD_NOTES
from curate.formats.sa1b.sam_records import SAMPLE, SamRecords
from curate.formats.segmentation import Segmentation, json_type, read_segmentation, rle_size
from curate.formats.table_builder import (
    TableBuilder,
    common_size,
    number,
    parts_of,
    plain,
    with_problems,
)
from curate.formats.untouched.png_check import check_amg

_LOOK = 2000  # how many entries of a folder are looked at to tell the format
_RECORD = re.compile(r"(.*)#/[0-9]+", re.DOTALL)
_PNG_COST = PART_BYTES // 1000
"""A mask's weight in a part: decoding a thousand PNGs takes as long as reading 16 MB of RLE."""

_FIELDS = ("predicted_iou", "stability_score", "area", "bbox", "crop_box")


def matches(path: Path) -> bool:
    """Return whether a path is such a folder, a parent of such folders, or such JSON."""
    try:
        if path.is_dir():
            return any(_looks_right(path, kind, name) for kind, name in _images(path, _LOOK))
        return path.is_file() and _is_record_list(path)
    except (CurateError, OSError, ValueError):
        return False


def plan(source: Path, work: Path) -> Iterator[Part]:
    """Group images into parts."""
    if source.is_file():
        yield Part(0, (("json", source.name),))
        return
    found = list(_images(source))
    if not found:
        do = "give the folder that amg.py wrote"
        raise SourceError(f"there is no {SHEET} and no JSON list in it", str(source), do)
    yield from parts_of(((image, _cost(source, *image)) for image in found), PART_BYTES)


def load(source: Path, part: Part) -> MaskTable:
    """Read the masks of some images."""
    rows = TableBuilder()
    for kind, name in part.payload:
        if kind == "json":
            alone = source.is_file()
            load_records(rows, source if alone else source / name, name, alone)
        else:
            load_folder(rows, source, name, _image_key(name))
    return rows.table()


def write(source: Path, out: Path | None, edits: Edits) -> Stored:
    """Copy with other PNGs and lines of the CSV, or other records, for masks that go, change, come.

    A mask that goes takes its PNG and its line along; of one that changes the PNG is written anew,
    and area and box in its line.
    """
    images = [("json", source.name)] if source.is_file() else list(_images(source))
    known = {_image_key(name): (kind, name) for kind, name in images}
    changes: dict[str, Edit | None] = {}
    new: dict[str, bytes] = {}
    tally = PixelTally()
    for key, mine in _by_image(source, edits, known).items():
        kind, name = known[key]
        if kind == "json":
            path = source if source.is_file() else source / name
            pieces, stored = edit_records(path, plain(name), mine)
            changes[plain(name)] = partial(splice, pieces=pieces)
            tally.runs += stored.runs
        else:
            changed, made = edit_folder(source, name, mine, tally)
            changes |= changed
            new |= made
    copy_with_edits(source, out, changes, new)
    return tally.count_stored()


def _image_key(name: str) -> str:
    """Return the source key of an image; "." is the source itself, the folder of one image."""
    return plain(name) or "."


def _by_image(source: Path, edits: Edits, known: Collection[str]) -> dict[str, Edits]:
    """Group edits by the source key of the image."""
    drop: dict[str, set[str]] = {}
    change: dict[str, dict[str, Change]] = {}
    add: dict[str, list[Addition]] = {}

    def image_of(key: str) -> str:
        record = _RECORD.fullmatch(key)
        image = record[1] if record else key.rpartition("/")[0] or "."
        if image not in known:
            raise CallError(f"{key} names no mask of it", str(source))
        return image

    for key in edits.drop:
        drop.setdefault(image_of(key), set()).add(key)
    for key, one in edits.change.items():
        change.setdefault(image_of(key), {})[key] = one
    for addition in edits.add:
        if addition.image_key not in known:
            raise CallError(f"{addition.image_key} names no image of it", str(source))
        add.setdefault(addition.image_key, []).append(addition)
    return {
        image: replace(
            edits,
            drop=frozenset(drop.get(image, ())),
            change=change.get(image, {}),
            add=add.get(image, []),
        )
        for image in sorted({*drop, *change, *add})
    }


def _images(source: Path, limit: int | None = None) -> Iterator[tuple[str, str]]:
    """Find images: ("folder" or "json", name under the source); in ``limit`` entries of it."""
    if (source / SHEET).is_file():
        yield "folder", ""
        return
    for entry in list_entries(source)[:limit]:
        if entry.is_dir(follow_symlinks=False):
            folder = Path(entry.path)
            # A run that was stopped leaves PNGs without the CSV, which is written last.
            if (folder / SHEET).is_file() or any(
                MASK_NAME.fullmatch(e.name) for e in list_entries(folder)
            ):
                yield "folder", entry.name
        elif entry.name.lower().endswith(".json") and _is_list(Path(entry.path)):
            yield "json", entry.name


def _cost(source: Path, kind: str, name: str) -> int:
    if kind == "json":
        return (source / name).stat().st_size
    return _PNG_COST * len(list_entries(source / name)) + 1


def _looks_right(source: Path, kind: str, name: str) -> bool:
    if kind == "json":
        return _is_record_list(source / name)
    sheet = source / name / SHEET
    if not sheet.is_file():
        return False
    with files.open_to_read(sheet) as file:
        header = file.readline(4096).decode("utf-8-sig", "replace").strip().split(",")
    return "id" in header and len(set(COLUMNS) & set(header)) >= 3


def _is_list(path: Path) -> bool:
    try:
        with files.open_to_read(path) as file:
            head = file.read(64)
    except OSError:
        return False
    return head.removeprefix(b"\xef\xbb\xbf").lstrip()[:1] == b"["


def _is_record_list(path: Path) -> bool:
    if not _is_list(path):
        return False
    first = shape_of(path).one("")
    own = {"predicted_iou", "stability_score", "point_coords", "crop_box"} & set(first)
    return "segmentation" in first and "image_id" not in first and bool(own)


def load_records(rows: TableBuilder, path: Path, name: str, named_by_place: bool) -> None:
    """Read one file's masks into ``rows``.

    Args:
        rows: What collects them.
        path: The file.
        name: Its path under the source, with which source keys begin.
        named_by_place: Whether the file is the source itself.
    """
    records: list[Any] = []
    with convert_read_errors(path), open(path, "rb") as file:
        for batch in scan(file, name):
            if batch.key or not batch.is_list:
                raise SourceError("it is not a list of masks", str(path), "check the format")
            records.extend(batch.parse(name))
    read = [record if isinstance(record, dict) else {} for record in records]
    size = common_size(rle_size(record.get("segmentation")) for record in read)
    detail = "" if size else "no mask tells its size"
    image = rows.image(
        *(Path(name).stem, size or (0, 0), "ok", detail),
        source_key=name,
        named_by_place=named_by_place,
    )
    for i, record in enumerate(records):
        key = f"{name}#/{i}"
        if not isinstance(record, dict):
            detail = f"the record is {json_type(record)}, not an object"
            rows.mask(key, image, Segmentation(None, "wrong_type", detail))
            continue
        mask = read_segmentation(record.get("segmentation"), *(size or (0, 0)))
        stored, problems = _read_stored(record)
        if mask.status == "no_segmentation":
            rows.notes.add("no_segmentation", FIELD_NOTES["no_segmentation"], key)
        if holds_text([record.get(field) for field in _FIELDS]):
            rows.notes.add("text_numbers", FIELD_NOTES["text_numbers"], key)
        rows.mask(key, image, with_problems(mask, problems), optional=stored)


def _read_stored(record: JsonObject) -> tuple[dict[str, float], list[str]]:
    """Read the numbers beside a mask."""
    point = record.get("point_coords")
    if isinstance(point, list) and point and isinstance(point[0], list):
        point = point[0]
    stored: dict[str, float] = {}
    problems = []
    for name in ("predicted_iou", "stability_score"):
        stored[name], problem = number(record.get(name), name)
        problems.append(problem)
    stored["declared_area"], problem = number(record.get("area"), "area")
    problems.append(problem)
    for name, value, columns in (
        ("bbox", record.get("bbox"), ("declared_x", "declared_y", "declared_w", "declared_h")),
        ("point_coords", point, ("prompt_x", "prompt_y")),
        ("crop_box", record.get("crop_box"), ("crop_x", "crop_y", "crop_w", "crop_h")),
    ):
        if value is None:
            continue
        if not isinstance(value, list) or len(value) != len(columns):
            problems.append(f"{name} is not a list of {len(columns)} numbers")
            continue
        for column, one in zip(columns, value, strict=True):
            stored[column], problem = number(one, name)
            problems.append(problem)
    return stored, problems


def edit_records(path: Path, name: str, edits: Edits) -> tuple[list[Piece], Stored]:
    """Work out what changes in one file, for :func:`curate.formats.copying.splice`.

    Args:
        path: The file.
        name: Its path under the source as :func:`curate.formats.table_builder.plain` writes it.
        edits: What changes in this file, and only that: source keys begin with its name, and the
            image key of an added mask is its name.

    Raises:
        CallError: A key names no mask of the file, or the file cannot hold what is asked.
        SourceError: The file is not sound JSON.
    """
    refuse_categories(edits, name)
    refuse_polygons(edits, name)
    values = MaskValues(edits.masks)
    drop, change = split_edits(edits, f"{name}#/")
    elements = Elements(change, drop, 0 if edits.only_drops else SAMPLE)
    sizes, top = list[tuple[int, int] | None](), 0
    with convert_read_errors(path), open(path, "rb") as file:
        for batch in scan(file, name):
            if batch.key or not batch.is_list:
                raise SourceError("it is not a list of masks", str(path), "check the format")
            elements.take(batch)
            if not edits.only_drops:
                records = [one for one in batch.parse(name) if type(one) is dict]
                sizes += [rle_size(one.get("segmentation")) for one in records]
                top = max(top, *(whole_number(one.get("id")) or 0 for one in records), 0)
        elements.check({*drop, *change}, name)
        pieces = elements.cuts()
        if not edits.only_drops:
            made = SamRecords(name, common_size(sizes), elements, values)
            ids = [top + i if made.has_ids() else None for i in range(1, len(edits.add) + 1)]
            pieces += made.render_changes(file, change) + made.append_records(file, edits.add, ids)
    return sorted(pieces, key=lambda piece: piece[:2]), values.count_stored()


FORMAT = Format(
    "amg", "output of SAM's amg.py", matches, plan, load, write, check_unedited=check_amg
)
