"""The output of Segment Anything's ``amg.py``: folders of PNGs with a CSV, or lists of RLE.

Facts, from the script: the CSV is written after all the PNGs, unquoted, without a last line break;
``id`` is the PNG's name; a box is XYWH with inclusive maxima, so one pixel short in w and h;
``--matting`` puts pictures called ``7matting.png`` beside the masks. The folder or the JSON file is
called like the image, without its extension, and so is ``file_name`` here. The image's size stands
nowhere: it is the size that most of the masks have.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from collections.abc import Set as AbstractSet
from functools import partial
from pathlib import Path

from curate.errors import CurateError, SourceError
from curate.formats.amg_json import edit_records, load_records
from curate.formats.amg_sheet import SHEET, Sheet
from curate.formats.base import PART_BYTES, Format, Part, dropping
from curate.formats.edits import Edits
from curate.formats.json_shape import shape_of
from curate.formats.png import read_masks
from curate.formats.rows import Rows, number, parts_of, plain, with_problems
from curate.formats.segmentation import Segmentation
from curate.formats.trees import Edit, copy_with_edits, cuts, entries, splice
from curate.table import MaskTable

COLUMNS = {
    "area": "declared_area",
    "bbox_x0": "declared_x",
    "bbox_y0": "declared_y",
    "bbox_w": "declared_w",
    "bbox_h": "declared_h",
    "point_input_x": "prompt_x",
    "point_input_y": "prompt_y",
    "predicted_iou": "predicted_iou",
    "stability_score": "stability_score",
    "crop_box_x0": "crop_x",
    "crop_box_y0": "crop_y",
    "crop_box_w": "crop_w",
    "crop_box_h": "crop_h",
}
"""Columns of the CSV and what they are called here."""

_LOOK = 100  # how many entries of a folder are looked at to tell the format
_MASK = re.compile(r"[0-9]+\.png", re.IGNORECASE)
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
    rows = Rows()
    for kind, name in part.payload:
        if kind == "json":
            load_records(rows, source if source.is_file() else source / name, name)
        else:
            _load_folder(rows, source, name)
    return rows.table()


def prune(source: Path, out: Path, drop: AbstractSet[str]) -> None:
    """Copy without the dropped masks: their PNGs and their lines of the CSV, or their records."""
    edits: dict[str, Edit | None] = {}
    images = [("json", source.name)] if source.is_file() else list(_images(source))
    left = set(drop)
    for kind, name in images if drop else ():
        if kind == "json":
            mine = {key for key in left if key.startswith(f"{plain(name)}#/")}
            if mine:
                path = source if source.is_file() else source / name
                pieces, _ = edit_records(path, plain(name), Edits(drop=frozenset(mine)))
                edits[plain(name)] = partial(splice, pieces=pieces)
        else:
            mine = _drop_from_folder(source, name, left, edits)
        left -= mine
    copy_with_edits(source, out, edits)


def _images(source: Path, limit: int | None = None) -> Iterator[tuple[str, str]]:
    """Find images: ("folder" or "json", name under the source); in ``limit`` entries of it."""
    if (source / SHEET).is_file():
        yield "folder", ""
        return
    for entry in entries(source)[:limit]:
        if entry.is_dir(follow_symlinks=False):
            folder = Path(entry.path)
            # A run that was stopped leaves PNGs without the CSV, which is written last.
            if (folder / SHEET).is_file() or any(_MASK.fullmatch(e.name) for e in entries(folder)):
                yield "folder", entry.name
        elif entry.name.lower().endswith(".json") and _is_list(Path(entry.path)):
            yield "json", entry.name


def _cost(source: Path, kind: str, name: str) -> int:
    if kind == "json":
        return (source / name).stat().st_size
    return _PNG_COST * len(entries(source / name)) + 1


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


# --- folders -------------------------------------------------------------------------------------


class _Entry:
    """One mask of a folder: its key, its PNG and its line of the CSV."""

    def __init__(self, key: str, png: str, values: dict[str, str] | None = None) -> None:
        self.key, self.png = key, png
        self.values = values if values is not None else {}
        self.problems: list[str] = []
        self.again = False


def _entries(source: Path, name: str) -> tuple[Sheet, list[_Entry], list[str]]:
    """List the masks of a folder: the CSV's records in order, then the PNGs that it lacks.

    Returns:
        The CSV, its masks followed by the others, and the names of these others.
    """
    sheet = Sheet(source / name / SHEET)
    below = f"{name}/" if name else ""
    names = {e.name for e in entries(source / name) if _MASK.fullmatch(e.name)}
    by_number = {f"{int(n[:-4])}.png": n for n in sorted(names, reverse=True)}
    found, claimed = [], set[str]()
    for line, png, values, problems in sheet.rows():
        real = by_number.get(png, png)
        unique = png and real not in claimed
        entry = _Entry(f"{below}{real}" if unique else f"{below}{SHEET}:{line}", real, values)
        entry.problems, entry.again = problems, bool(png) and not unique
        claimed.add(real)
        found.append(entry)
    others = sorted(names - claimed, key=lambda n: (int(n[:-4]), n))
    return sheet, [*found, *(_Entry(f"{below}{n}", n) for n in others)], others


def _load_folder(rows: Rows, source: Path, name: str) -> None:
    folder = source / name
    sheet, found, others = _entries(source, name)
    size, masks = read_masks([folder / e.png if e.png else None for e in found], None)
    detail = sheet.problem
    if not detail and others:
        some = ", ".join(others[:3]) + (", ..." if len(others) > 3 else "")
        detail = f"{len(others)} PNGs are not in {SHEET}: {some}"
    if not masks and not detail:
        detail = "it has no masks, so its size is not known"
    image = rows.image(
        name or folder.resolve().name, size, "unreadable" if sheet.problem else "ok", detail
    )
    for entry, mask in zip(found, masks, strict=True):
        stored = {}
        for column, ours in COLUMNS.items():
            stored[ours], problem = number(entry.values.get(column), column)
            entry.problems.append(problem)
        mask = with_problems(mask, entry.problems)
        if entry.again and mask.status == "ok":
            detail = f"an earlier line of {SHEET} has the same id"
            mask = Segmentation(mask.counts, "duplicate_id", detail)
        mask_id = int(entry.png[:-4]) if entry.png else None
        rows.mask(entry.key, image, mask, mask_id, stored)


def _drop_from_folder(
    source: Path, name: str, drop: AbstractSet[str], edits: dict[str, Edit | None]
) -> set[str]:
    """Plan the edits of one folder and return which keys they serve."""
    sheet, found, _ = _entries(source, name)
    dropped = [entry for entry in found if plain(entry.key) in drop]
    if not dropped:
        return set()
    below = f"{name}/" if name else ""
    staying = {entry.png for entry in found if plain(entry.key) not in drop}
    for entry in dropped:
        there = bool(entry.png) and os.path.lexists(source / name / entry.png)
        if there and entry.png not in staying:
            edits[plain(below + entry.png)] = None
    gone = [plain(entry.key) in drop for entry in found[: len(sheet.records)]]
    if any(gone):
        pieces = list(cuts(sheet.spans, lambda i: i > 0 and gone[i - 1]))
        edits[plain(below + SHEET)] = lambda origin, target: splice(origin, target, pieces)
    return {plain(entry.key) for entry in dropped}


FORMAT = Format("amg", "output of SAM's amg.py", matches, plan, load, dropping(prune))
