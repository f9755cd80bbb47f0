"""YOLO segmentation labels: a text file an image, a line a mask, coordinates from 0 to 1.

Facts, from Ultralytics' documents and loader: ``class x1 y1 x2 y2 ...`` with three points at least;
the label of ``.../images/a/b.jpg`` is ``.../labels/a/b.txt``; an image without a label file, or
with an empty one, has no objects; coordinates are refused above 1.01; JPEGs are taken as EXIF
turns them. One ring is one mask: YOLO has no holes and no parts. A line of four numbers is a box.

The size of an image comes from the header of its picture, so without it there are no masks. A text
file beside its picture is a label as well, where there is no folder ``labels``.
"""

from __future__ import annotations

import math
import os
import re
from collections.abc import Iterator
from collections.abc import Set as AbstractSet
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any, BinaryIO

from curate.errors import CallError, CurateError, SourceError
from curate.formats.base import PART_BYTES, Format, Part, dropping, reading
from curate.formats.png import PictureProblem, read_picture
from curate.formats.png_folder import PICTURES
from curate.formats.rows import Rows, parts_of
from curate.formats.segmentation import Segmentation, read_polygons, valid_size
from curate.formats.trees import Edit, copy_with_edits, entries, files_under, splice
from curate.formats.yolo_names import class_names
from curate.table import MaskTable

LABELS, IMAGES = "labels", "images"

TOLERANCE = 0.01
"""How far outside 0 to 1 a coordinate may lie; rounding puts some there. As in the trainer."""

_OTHER_TEXT = {"classes.txt", "readme.txt", "requirements.txt", "license.txt", "notes.txt"}
_DEPTH = 3  # how deep a folder called labels is looked for
_LOOK = 20  # how many label files are looked at to tell the format
_FILE_COST = 4_096  # what opening a label and a picture costs, in bytes of label

Sample = tuple[str, str]
"""The label file and the picture of an image, paths under the source; either can be ""."""


def matches(path: Path) -> bool:
    """Return whether a folder has label files of which some line is a polygon."""
    try:
        if not path.is_dir():
            return False
        labels = (label for label, _ in _samples(path) if label)
        return any(_has_polygon(path / label) for label in islice(labels, _LOOK))
    except (CurateError, OSError, ValueError):
        return False


def plan(source: Path, work: Path) -> Iterator[Part]:
    """Group images into parts."""
    found = parts_of(
        ((sample, _cost(source, sample[0])) for sample in _samples(source)), PART_BYTES
    )
    first = next(found, None)
    if first is None:
        raise SourceError("there is no label file in it", str(source), "give the dataset's folder")
    yield first
    yield from found


def load(source: Path, part: Part) -> MaskTable:
    """Read the masks of some images."""
    rows = Rows()
    names = class_names(source)
    for label, picture in part.payload:
        size, status, detail = _size(source, label, picture)
        image = rows.image(_image_name(source, label, picture), size, status, detail)
        if not label:
            continue
        with reading(source / label):
            data = (source / label).read_bytes()
        for number, line in enumerate(data.splitlines(), 1):
            if not line.strip():
                continue
            mask, category = _read_line(line, size, names)
            if not valid_size(*size):
                why = detail or "its picture says so"
                mask = Segmentation(None, "unknown_image", f"the image's size is not known: {why}")
            optional: dict[str, Any] = {"category_id": category}
            if category is not None and names:
                optional["category"] = names.get(category)
            rows.mask(f"{label}:{number}", image, mask, optional=optional)
    return rows.table()


def prune(source: Path, out: Path, drop: AbstractSet[str]) -> None:
    """Copy without the lines of the dropped masks; a file keeps its other lines as they are."""
    lines: dict[str, set[int]] = {}
    for key in drop:
        name, _, number = key.rpartition(":")
        if not name or not number.isascii() or not number.isdigit():
            raise CallError(f"{key} names no mask of it", str(source))
        lines.setdefault(name, set()).add(int(number))
    edits: dict[str, Edit | None] = {n: partial(_without_lines, v) for n, v in lines.items()}
    copy_with_edits(source, out, edits)


def _without_lines(lines: AbstractSet[int], source: Path, target: BinaryIO) -> None:
    pieces, at = [], 0
    for number, line in enumerate(source.read_bytes().splitlines(keepends=True), 1):
        if number in lines:
            pieces.append((at, at + len(line), b""))
        at += len(line)
    if len(pieces) < len(lines):
        raise CallError(f"it has no line {max(lines)}", str(source))
    splice(source, target, pieces)


# --- finding images ------------------------------------------------------------------------------


def _samples(source: Path) -> Iterator[Sample]:
    """Find the images of a source: those with a label first in each folder, by name."""
    if not source.is_dir():
        return
    folders = list(_label_folders(source, "", _DEPTH))
    for below in folders:
        labels = [n for n, _ in files_under(source, ".txt", below) if _is_label(n)]
        yield from _paired(source, labels, _images_beside(source, below))
    if not folders:
        pictures = [e.name for e in entries(source) if e.name.lower().endswith(PICTURES)]
        stems = {Path(name).stem for name in pictures}
        labels = [e.name for e in entries(source) if e.name.lower().endswith(".txt")]
        labels = [n for n in labels if _is_label(n) and (Path(n).stem in stems or not pictures)]
        if labels:
            yield from _paired(source, labels, pictures)


def _label_folders(source: Path, below: str, depth: int) -> Iterator[str]:
    for entry in entries(source / below):
        name = f"{below}/{entry.name}" if below else entry.name
        if entry.is_dir(follow_symlinks=False) and entry.name != IMAGES:
            if entry.name == LABELS:
                yield name
            elif depth > 1:
                yield from _label_folders(source, name, depth - 1)


def _is_label(name: str) -> bool:
    return name.rpartition("/")[2].lower() not in _OTHER_TEXT


def _images_beside(source: Path, labels: str) -> list[str]:
    """Return the pictures that belong to a folder of labels, as paths under the source."""
    folder = f"{labels[: -len(LABELS)]}{IMAGES}"
    if not (source / folder).is_dir():
        return []
    return [name for name, _ in files_under(source, "", folder) if name.lower().endswith(PICTURES)]


def _paired(source: Path, labels: list[str], pictures: list[str]) -> Iterator[Sample]:
    by_stem: dict[str, list[str]] = {}
    for picture in pictures:
        by_stem.setdefault(_labelled(picture), []).append(picture)
    for label in labels:
        yield label, by_stem.pop(os.path.splitext(label)[0], [""])[0]
    for unlabelled in by_stem.values():
        yield "", unlabelled[0]


def _labelled(picture: str) -> str:
    """Return the path of a picture's label without its extension: the last images is labels."""
    stem = os.path.splitext(picture)[0]
    head, found, tail = f"/{stem}".rpartition(f"/{IMAGES}/")
    return f"{head}/{LABELS}/{tail}"[1:] if found else stem


def _cost(source: Path, label: str) -> int:
    return _FILE_COST + ((source / label).stat().st_size if label else 0)


def _image_name(source: Path, label: str, picture: str) -> str:
    return picture or os.path.splitext(label)[0]


def _size(source: Path, label: str, picture: str) -> tuple[tuple[int, int], str, str]:
    """Return an image's size as its labels mean it, with a status and a detail for the images."""
    path = source / picture if picture else _picture_outside(source, label)
    if path is None:
        return (0, 0), "missing", f"there is no picture for {label}"
    try:
        found = read_picture(path)
    except PictureProblem as problem:
        return (0, 0), problem.status, problem.detail
    if not found.rotated:
        return found.size, "ok", ""
    upright = found.size[::-1]
    return upright, "exif_rotated", f"EXIF turns the picture to {upright[1]} x {upright[0]}"


def _picture_outside(source: Path, label: str) -> Path | None:
    """Find a label's picture where the source is the folder of labels itself."""
    if source.resolve().name != LABELS:
        return None
    stem = source.resolve().parent / IMAGES / os.path.splitext(label)[0]
    candidates = (stem.with_name(stem.name + end) for end in PICTURES)
    return next((path for path in candidates if path.is_file()), None)


# --- reading labels ------------------------------------------------------------------------------


def _has_polygon(path: Path) -> bool:
    with open(path, "rb") as file:
        lines = file.read(1 << 20).splitlines()[:_LOOK]
    return any(
        len(line.split()) >= 7 and _read_line(line, (1000, 1000), {})[0].counts is not None
        for line in lines
    )


def _read_line(
    line: bytes, size: tuple[int, int], names: dict[int, str]
) -> tuple[Segmentation, int | None]:
    """Read one label.

    Args:
        line: Its bytes.
        size: Height and width of the image in pixels.
        names: The declared classes; empty where none are.

    Returns:
        The mask and its class, None where that is no whole number from 0.
    """
    first, *fields = line.split()
    category = _class_of(first)
    try:
        values = [float(field) for field in fields]
    except ValueError:
        odd = next(field for field in fields if not _is_number(field))
        detail = f"{odd[:40].decode('utf-8', 'replace')!r} is not a number"
        return Segmentation(None, "wrong_type", detail), category
    mask = _read_ring(values, size)
    if mask.status == "ok":
        if category is None:
            detail = f"the class {first[:40].decode('utf-8', 'replace')!r} is no whole number"
            mask = Segmentation(mask.counts, "bad_category", detail)
        elif names and category not in names:
            detail = f"the class {category} is not among the {len(names)} declared"
            mask = Segmentation(mask.counts, "bad_category", detail)
    return mask, category


def _read_ring(values: list[float], size: tuple[int, int]) -> Segmentation:
    if len(values) == 4:
        detail = "the line has four numbers: a box, or two points, but no polygon"
        return Segmentation(None, "bad_polygon", detail)
    for value in values:
        if not -TOLERANCE <= value <= 1 + TOLERANCE:  # NaN is not within either
            what = "is not finite" if not math.isfinite(value) else "lies outside 0 to 1"
            return Segmentation(None, "bad_polygon", f"the coordinate {value:g} {what}")
    height, width = size
    ring = [value * (height if i % 2 else width) for i, value in enumerate(values)]
    return read_polygons([ring], height, width)


def _is_number(field: bytes) -> bool:
    try:
        float(field)
    except ValueError:
        return False
    return True


def _class_of(field: bytes) -> int | None:
    """Return a class; ``3.0`` is one, as trainers read it."""
    whole = re.fullmatch(rb"([0-9]{1,9})(\.0*)?", field)
    return int(whole[1]) if whole else None


FORMAT = Format("yolo", "YOLO segmentation labels", matches, plan, load, dropping(prune))
