"""YOLO segmentation labels: a text file an image, a line a mask, coordinates from 0 to 1.

Facts, from Ultralytics' documents and loader: ``class x1 y1 x2 y2 ...`` with three points at least;
the label of ``.../images/a/b.jpg`` is ``.../labels/a/b.txt``; an image without a label file, or
with an empty one, has no objects; coordinates are refused above 1.01; JPEGs are taken as EXIF
turns them. One ring is one mask: YOLO has no holes and no parts. A line of four numbers is a box.

The size of an image comes from the header of its picture, so without it there are no masks. A text
file beside its picture is a label as well, where there is no folder ``labels``.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

from curate.errors import CallError, CurateError, SourceError
from curate.formats.base import PART_BYTES, Format, Part, reading
from curate.formats.edits import Edits, Stored
from curate.formats.new_pixels import Tally, new_pixels
from curate.formats.png import PictureProblem, read_picture
from curate.formats.png_folder import PICTURES
from curate.formats.rows import Rows, parts_of, plain
from curate.formats.segmentation import Segmentation, valid_size
from curate.formats.trees import Edit, copy_with_edits, entries, files_under
from curate.formats.yolo_lines import has_polygon, read_line
from curate.formats.yolo_names import class_names
from curate.formats.yolo_writing import Classes, by_label
from curate.table import MaskTable

LABELS, IMAGES = "labels", "images"

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
        return any(has_polygon(path / label) for label in islice(labels, _LOOK))
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
    names = class_names(source).names
    for label, picture in part.payload:
        size, status, detail = _size(source, label, picture)
        name, key = _image_name(source, label, picture), _label_path(label, picture)
        image = rows.image(name, size, status, detail, source_key=key)
        if not label:
            continue
        with reading(source / label):
            data = (source / label).read_bytes()
        for number, line in enumerate(data.splitlines(), 1):
            if not line.strip():
                continue
            mask, category = read_line(line, size, names)
            if not valid_size(*size):
                why = detail or "its picture says so"
                mask = Segmentation(None, "unknown_image", f"the image's size is not known: {why}")
            optional: dict[str, Any] = {"category_id": category}
            if category is not None and names:
                optional["category"] = names.get(category)
            rows.mask(f"{label}:{number}", image, mask, optional=optional)
    return rows.table()


def write(source: Path, out: Path, edits: Edits) -> Stored:
    """Copy with other lines for the masks that go, change or come; all other lines stay."""
    edits.refuse_attributes(str(source))
    if edits.masks == "rle" and next(new_pixels(edits), None) is not None:
        raise CallError("YOLO holds polygons only", str(source), "use --masks same")
    samples: dict[str, Sample] = {}
    if not edits.only_drops:
        samples = {plain(_label_path(*sample)): sample for sample in _samples(source)}
    classes, tally = Classes(source, class_names(source)), Tally()
    changes: dict[str, Edit | None] = {}
    new: dict[str, bytes] = {}
    for name, mine in by_label(source, edits, samples, classes).items():
        label, picture = samples.get(name, ("", ""))
        if mine.has_pixels:
            mine.size, _, detail = _size(source, label, picture)
            if not valid_size(*mine.size):
                why = detail or "its picture says so"
                raise CallError(f"the image's size is not known: {why}", name, "add its picture")
        if label or not picture:
            changes[name] = partial(mine.write, tally=tally)
        else:
            new[_label_path(label, picture)] = mine.edited(b"", tally, name)
    copy_with_edits(source, out, changes | classes.changes(), new)
    return tally.stored()


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
    """Pair labels with pictures, in the order of the labels' names, also of labels yet to be made.

    So an image does not change its place when it gets its first mask.
    """
    by_stem: dict[str, list[str]] = {}
    for picture in pictures:
        by_stem.setdefault(_labelled(picture), []).append(picture)
    found = {label: by_stem.pop(os.path.splitext(label)[0], [""])[0] for label in labels}
    bare = {f"{stem}.txt": some[0] for stem, some in by_stem.items()}
    for label in sorted({**found, **bare}, key=lambda name: name.split("/")):
        yield (label, found[label]) if label in found else ("", bare[label])


def _labelled(picture: str) -> str:
    """Return the path of a picture's label without its extension: the last images is labels."""
    stem = os.path.splitext(picture)[0]
    head, found, tail = f"/{stem}".rpartition(f"/{IMAGES}/")
    return f"{head}/{LABELS}/{tail}"[1:] if found else stem


def _cost(source: Path, label: str) -> int:
    return _FILE_COST + ((source / label).stat().st_size if label else 0)


def _label_path(label: str, picture: str) -> str:
    """Return the label file that an image has or would have; "" where that would be no label."""
    path = label or f"{_labelled(picture)}.txt"
    return path if _is_label(path) else ""


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


FORMAT = Format("yolo", "YOLO segmentation labels", matches, plan, load, write)
