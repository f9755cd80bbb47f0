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

from curate.dataset.table import MaskTable
from curate.errors import CallError, CurateError, SourceError
from curate.formats.amg.amg_folder import COLUMNS, MASK_NAME, edit_folder, load_folder
from curate.formats.amg.amg_json import edit_records, load_records
from curate.formats.amg.metadata_csv import SHEET
from curate.formats.copying import Edit, copy_with_edits, list_entries, splice
from curate.formats.edits import Addition, Change, Edits, Stored
from curate.formats.format import PART_BYTES, Format, Part
from curate.formats.json.sniffing import shape_of
from curate.formats.new_pixels import PixelTally
from curate.formats.table_builder import TableBuilder, parts_of, plain
from curate.formats.untouched.sheet_check import check_amg

_LOOK = 2000  # how many entries of a folder are looked at to tell the format
_RECORD = re.compile(r"(.*)#/[0-9]+", re.DOTALL)
_PNG_COST = PART_BYTES // 1000
"""A mask's weight in a part: decoding a thousand PNGs takes as long as reading 16 MB of RLE."""


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
    return tally.stored()


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
    with open(sheet, "rb") as file:
        header = file.readline(4096).decode("utf-8-sig", "replace").strip().split(",")
    return "id" in header and len(set(COLUMNS) & set(header)) >= 3


def _is_list(path: Path) -> bool:
    with open(path, "rb") as file:
        return file.read(64).removeprefix(b"\xef\xbb\xbf").lstrip()[:1] == b"["


def _is_record_list(path: Path) -> bool:
    if not _is_list(path):
        return False
    first = shape_of(path).one("")
    own = {"predicted_iou", "stability_score", "point_coords", "crop_box"} & set(first)
    return "segmentation" in first and "image_id" not in first and bool(own)


FORMAT = Format(
    "amg", "output of SAM's amg.py", matches, plan, load, write, check_unedited=check_amg
)
