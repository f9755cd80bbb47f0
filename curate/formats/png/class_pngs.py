"""PNGs of classes beside PNGs of ids, rewritten where the ids change.

Facts, from the datasets' own documents and tools: Pascal VOC's ``SegmentationClass`` has the class
of each object of ``SegmentationObject``, both with background 0 and void 255. Of Cityscapes'
``labelIds``, ``color`` and ``TrainIds`` and of KITTI's ``semantic`` and ``semantic_rgb`` each pixel
follows from its instance id; where nothing is labelled they have 0, and 255 as a training id.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from curate import rle
from curate.common.arrays import AnyArray, Int32Array, IntArray
from curate.errors import CallError, SourceError
from curate.formats.ids.class_files import ClassFile
from curate.formats.ids.division import Paint
from curate.formats.ids.id_codes import find_class
from curate.formats.ids.id_edits import ChangedPixels, IdFile, IdFileEdits
from curate.formats.ids.id_layouts import CITYSCAPES, VOC_VOID
from curate.formats.ids.id_places import IdLayout, IdPlace
from curate.formats.png.id_masks import ids_of, is_id_kind
from curate.formats.png.id_rewriting import largest_id, write_ids
from curate.formats.png.png_reading import PictureProblem, read_header, read_pixels
from curate.formats.table_builder import plain

_RGB = np.array([1, 256, 65536], np.int64)
_COLOURS = {  # of Cityscapes, by label
    24: (220, 20, 60),
    25: (255, 0, 0),
    26: (0, 0, 142),
    27: (0, 0, 70),
    28: (0, 60, 100),
    29: (0, 0, 90),
    30: (0, 0, 110),
    31: (0, 80, 100),
    32: (0, 0, 230),
    33: (119, 11, 32),
}
_TRAIN_IDS = {24: 11, 25: 12, 26: 13, 27: 14, 28: 15, 31: 16, 32: 17, 33: 18}
_IGNORED = 255  # the training id of all other labels

Values = Callable[[int], int]
"""From an id to the value of its pixels in a file of classes."""


def class_files(source: Path, layout: IdLayout, place: IdPlace) -> list[ClassFile]:
    """Return the files of classes beside a file of ids that follow its edits.

    One that cannot be read, or has another size, is left alone.

    Args:
        source: The dataset's folder, or the file of ids.
        layout: Its layout.
        place: The file of ids.
    """
    if source.is_file() or not layout.title:
        return []
    size = _size(source / place.name)
    if layout.title == "Pascal VOC":
        name = place.classes
        if not name or Path(name).is_absolute() or _size(source / name) != size:
            return []
        return [ClassFile(plain(name), True, partial(_write_named, names=layout.of_classes))]
    found = _coded(layout.title, place.name)
    return [
        ClassFile(plain(name), False, partial(_write_coded, value_of=value_of))
        for name, value_of in found.items()
        if _size(source / name) == size
    ]


def read_classes(path: Path, size: tuple[int, int], names: Mapping[int, str]) -> Any:
    """Return the class of each pixel; None where it cannot be known.

    Args:
        path: The PNG.
        size: Height and width that it must have.
        names: Names of classes, by colour (R + 256 G + 65536 B) where some are over 255.
    """
    if _size(path) != size:
        return None
    try:
        return _Classes(path, names).numbers()
    except PictureProblem:
        return None


def _size(path: Path) -> tuple[int, int] | None:
    try:
        header = read_header(path)
    except PictureProblem:
        return None
    return header.size if is_id_kind(header) else None


# --- classes that follow from the id -------------------------------------------------------------


def _coded(title: str, name: str) -> dict[str, Values]:
    """Return the files in which ids have other values, with these values."""
    folder, _, own = name.rpartition("/")
    above, _, last = folder.rpartition("/")
    if title == "Cityscapes" and (found := CITYSCAPES.fullmatch(own)):
        stem = f"{folder}/{found[1]}_gt{found[2]}_".lstrip("/")
        return {
            f"{stem}labelIds.png": _label,
            f"{stem}color.png": lambda value: _colour(_label(value)),
            f"{stem}labelTrainIds.png": lambda value: _train_id(_label(value)),
            f"{stem}instanceTrainIds.png": _instance_train_id,
        }
    if title == "KITTI" and last.lower() == "instance":
        stem = f"{above}/semantic".lstrip("/")
        return {
            f"{stem}/{own}": lambda value: value // 256,
            f"{stem}_rgb/{own}": lambda value: _colour(value // 256),
        }
    return {}


def _label(value: int) -> int:
    return value // 1000 if value >= 1000 else value


def _colour(label: int) -> int:
    return int(np.array(_COLOURS.get(label, (0, 0, 0))) @ _RGB)


def _train_id(label: int) -> int:
    return _TRAIN_IDS.get(label, _IGNORED)


def _instance_train_id(value: int) -> int:
    number = _train_id(_label(value))
    return number if value < 1000 or number == _IGNORED else 1000 * number + value % 1000


def _write_coded(
    mine: IdFileEdits, overlap: str | None, source: Path, target: BinaryIO, *, value_of: Values
) -> None:
    """Write a PNG in which each pixel's value follows from its id."""
    found = mine.find_changed_pixels(mine.storage.open(mine.path), overlap)
    paint = None
    if found is not None:
        there = np.unique(found.new[found.new != found.old]).tolist()
        paint = _paint(found, found.new != found.old, {one: value_of(one) for one in there}, source)
    write_ids(source, target, frozenset(), paint)


# --- classes by name -----------------------------------------------------------------------------


def _write_named(
    mine: IdFileEdits,
    overlap: str | None,
    source: Path,
    target: BinaryIO,
    *,
    names: Mapping[int, str],
) -> None:
    """Write a PNG of classes whose numbers or colours have names."""
    opened = mine.storage.open(mine.path)
    found = mine.find_changed_pixels(opened, overlap)
    paint = None
    if found is not None:
        values = _values_of(mine, opened, _Classes(source, names), found)
        where = (found.new != found.old) | np.isin(found.new, [*mine.change, *mine.relabel])
        paint = _paint(found, where, values, source)
    write_ids(source, target, frozenset(), paint)


def _values_of(
    mine: IdFileEdits, opened: IdFile, classes: _Classes, found: ChangedPixels
) -> dict[int, int]:
    """Return the value of the pixels of each id that is new, and of background and void.

    Raises:
        CallError: A mask has no category, or one that the dataset lacks.
    """
    places = {one: k for k, one in enumerate(opened.ids)}
    values = {0: classes.background}
    for void in mine.code.void_in(opened.palette):
        values[void] = classes.void
    for one in (*mine.change, *mine.relabel):
        category = mine.relabel.get(one)
        old = opened.runs[np.array([places[one]])]
        values[one] = classes.most_of(old) if category is None else classes.value_of(category)
    for one, category in mine.find_new_ids(opened).items():
        if category is None:
            what = "the added mask has no category, and every object of Pascal VOC has a class"
            raise CallError(what, mine.name, "say which one it gets with --category NAME")
        values[one] = classes.value_of(category)
    return values


class _Classes:
    """Pixels of a PNG of classes, and what their values are called.

    Attributes:
        background: The value of background.
        void: The value of void.
    """

    def __init__(self, path: Path, names: Mapping[int, str]) -> None:
        try:
            header = read_header(path)
            pixels, palette = read_pixels(path, header)
        except PictureProblem as problem:
            do = "mend it, or leave it out: then only the PNG of ids is written"
            raise SourceError(problem.detail, str(path), do) from problem
        self._path, self._names = path, names
        self._values = ids_of(header)(pixels)
        by_colour = palette is not None and (0 in names or max(names, default=0) > 255)
        self._numbers: IntArray | None = None
        if by_colour:
            self._numbers = palette.astype(np.int64) @ _RGB
            self._numbers = self._numbers[: largest_id(path, header) + 1]
        self.background = self._find(0, 0)
        void = max(VOC_VOID) if by_colour or largest_id(path, header) > 65535 else 255
        self.void = self._find(void, 0)

    def numbers(self) -> AnyArray:
        """Return the number of the class of each pixel: its value, or its colour."""
        if self._numbers is None:
            return self._values
        return np.append(self._numbers, np.zeros(256, np.int64))[self._values]

    def value_of(self, category: str) -> int:
        """Return the value of a class by its name, or by its number where it has none.

        Raises:
            CallError: There is no such class.
        """
        known = {n: name for n, name in self._names.items() if n not in (0, *VOC_VOID)}
        number = find_class(category, known, str(self._path), 10)
        if number in VOC_VOID:
            what = f"{category!r} is void among these classes, which no mask has"
            raise CallError(what, str(self._path), "use the name of a class")
        value = self._find(number, -1)
        if value < 0:
            what = f"the palette of this PNG lacks the colour of {category!r}"
            raise CallError(what, str(self._path), "write another format with --to")
        return value

    def most_of(self, mask: rle.Runs) -> int:
        """Return the value that most pixels of a mask have, void and background only if all do."""
        x, y, w, h = np.asarray(rle.bbox(mask))[0].tolist()
        inside = rle.to_dense(rle.crop(mask, [(x, y, w, h)]), 0)
        counted = Counter(self._values[y : y + h, x : x + w][inside].tolist())
        known = {one: n for one, n in counted.items() if one not in (self.background, self.void)}
        return int(max(known or counted, key=lambda one: (known or counted)[one]))

    def _find(self, number: int, missing: int) -> int:
        if self._numbers is None:
            return number
        places = np.flatnonzero(self._numbers == number)
        return int(places[0]) if len(places) else missing


def _paint(
    found: ChangedPixels, where: AnyArray, values: Mapping[int, int], path: Path
) -> Paint | None:
    """Return the paint over some pixels of a PNG of classes.

    Raises:
        CallError: The PNG cannot hold a value.
    """
    there, largest = where.nonzero(), largest_id(path, read_header(path))
    if not len(there[0]):
        return None
    ids, at = np.unique(found.new[there], return_inverse=True)
    numbers = [values[one] for one in ids.tolist()]
    if max(numbers) > largest:
        what = f"it holds values up to {largest:,}, and the class of a mask is {max(numbers):,}"
        raise CallError(what, str(path), "save it with more bits a pixel first")
    made: Int32Array = np.zeros(found.new.shape, np.int32)
    made[there] = np.array([value or -1 for value in numbers], np.int32)[at]
    return Paint(found.box[0], found.box[1], made)
