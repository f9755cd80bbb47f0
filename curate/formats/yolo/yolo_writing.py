"""Writer of YOLO label files and of their list of classes."""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import BinaryIO

from curate.errors import CallError
from curate.formats.copying import Edit
from curate.formats.edits import Addition, Edits
from curate.formats.format import convert_read_errors
from curate.formats.new_pixels import PixelTally, image_size
from curate.formats.table_builder import plain
from curate.formats.yolo.class_names import ClassNames, with_names, with_yaml_names
from curate.formats.yolo.label_lines import coordinates_of, with_class, with_coordinates


class Classes:
    """The classes of a dataset while it is written: its names can grow.

    Args:
        source: The dataset's folder, or its folder of labels.
        declared: The classes that it declares.
    """

    def __init__(self, source: Path, declared: ClassNames) -> None:
        self._source, self._declared = source, declared
        self._numbers: dict[str, int] = {}
        for number, name in sorted(declared.names.items(), reverse=True):
            self._numbers[name] = number
        self._new: dict[int, str] = {}

    def number(self, category: str | None, key: str) -> int:
        """Return the number of a category; one that is not declared is added later.

        Args:
            category: Its name, or its number where no names are declared; None for the only one.
            key: What has the category, for messages.

        Raises:
            CallError: There is no such class, and none can be declared here.
        """
        declared = self._declared
        if category is None:
            if len(declared.names) != 1:
                what = f"the added mask has no category, and {len(declared.names)} are declared"
                raise CallError(what, key, "say which one it gets with --category NAME")
            return next(iter(declared.names))
        if category and category in self._numbers:
            return self._numbers[category]
        if declared.path is None:
            if re.fullmatch("[0-9]{1,9}", category):
                return int(category)
            what = f"no names of classes are declared, so the category {category!r} has no number"
            raise CallError(what, key, "write another format, with --to coco, or give its number")
        if not declared.path.is_relative_to(self._source):
            what = f"{category!r} is not among the names of {declared.path}, which is not written"
            raise CallError(what, key, "write another format, with --to coco")
        number = max((*declared.names, *self._new)) + 1
        self._new[number] = category
        return self._numbers.setdefault(category, number)

    def changes(self) -> dict[str, Edit | None]:
        """Return the edits of the list of names, for :func:`copy_with_edits`."""
        path = self._declared.path
        if path is None or not self._new:
            return {}
        with convert_read_errors(path):
            data = path.read_bytes()
        if self._declared.is_list:
            made = with_names(data, list(self._new.values()))
        elif (grown := with_yaml_names(data, self._new)) is not None:
            made = grown
        else:
            names = ", ".join(map(repr, self._new.values()))
            what = f"{names} cannot be added to its names without changing more of it"
            raise CallError(what, str(path), "write another format, with --to coco")
        return {plain(path.relative_to(self._source).as_posix()): partial(_put, made)}


def _put(content: bytes, source: Path, target: BinaryIO) -> None:
    del source
    target.write(content)


@dataclass
class LabelEdits:
    """Edits of one label file.

    Attributes:
        drop: Lines that go, counted from 1.
        change: Source key, new pixels or None and new class or None of lines that change.
        add: Masks of new lines, each with its class.
        size: Height and width of the image in pixels.
    """

    drop: set[int] = field(default_factory=set)
    change: dict[int, tuple[str, bytes | None, int | None]] = field(default_factory=dict)
    add: list[tuple[int, Addition]] = field(default_factory=list)
    size: tuple[int, int] = (0, 0)

    @property
    def has_pixels(self) -> bool:
        """Whether a mask gets new pixels, which takes the size of the image."""
        return bool(self.add) or any(counts is not None for _, counts, _ in self.change.values())

    def write(self, source: Path, target: BinaryIO, tally: PixelTally) -> None:
        """Write a label file anew.

        Raises:
            CallError: It has no such line, or a mask cannot be a polygon.
        """
        with convert_read_errors(source):
            data = source.read_bytes()
        target.write(self.edit_content(data, tally, str(source)))

    def edit_content(self, data: bytes, tally: PixelTally, where: str) -> bytes:
        """Return the content of a label file with its edits.

        Raises:
            CallError: It has no such line, or a mask cannot be a polygon.
        """
        lines = data.splitlines(keepends=True)
        for number in sorted({*self.drop, *self.change}):
            if not (0 < number <= len(lines) and lines[number - 1].strip()):
                raise CallError(f"it has no mask in line {number}", where)
        found = re.search(rb"\r\n|\n|\r", data)
        end = found[0] if found else b"\n"
        made = [self._line(i, line, tally) for i, line in enumerate(lines, 1) if i not in self.drop]
        open_end = bool(lines) and not lines[-1].endswith((b"\n", b"\r"))
        for number, mask in self.add:
            image_size(self.size, mask.height, mask.width, mask.image_key)
            text = coordinates_of(mask.counts, self.size, mask.image_key).count_in(tally)
            if made and not made[-1].endswith((b"\n", b"\r")):
                made[-1] += end
            made.append(str(number).encode() + b" " + text + end)
        if self.add and open_end:
            made[-1] = made[-1][: -len(end)]
        return b"".join(made)

    def _line(self, number: int, line: bytes, tally: PixelTally) -> bytes:
        key, counts, category = self.change.get(number, ("", None, None))
        if counts is not None:
            text = coordinates_of(counts, self.size, key).count_in(tally)
            line = with_coordinates(line, text)
        return line if category is None else with_class(line, category)


def by_label(
    source: Path, edits: Edits, images: Collection[str], classes: Classes
) -> dict[str, LabelEdits]:
    """Group edits by the label file.

    Returns:
        By path under the source, as source keys have it.

    Raises:
        CallError: A key names nothing, or a category cannot be held.
    """
    files: dict[str, LabelEdits] = {}

    def of(key: str) -> tuple[LabelEdits, int]:
        name, _, number = key.rpartition(":")
        if not name or not re.fullmatch("[0-9]{1,18}", number, re.ASCII):
            raise CallError(f"{key} names no mask of it", str(source))
        return files.setdefault(name, LabelEdits()), int(number)

    for key in edits.drop:
        mine, number = of(key)
        mine.drop.add(number)
    for key, change in edits.change.items():
        mine, number = of(key)
        if key.rpartition(":")[0] not in images:
            raise CallError(f"{key} names no mask of it", str(source))
        category = None if change.category is None else classes.number(change.category, key)
        mine.change[number] = key, change.counts, category
    for addition in edits.add:
        key = addition.image_key
        if not key or key not in images:
            raise CallError(f"{key} names no image of it", str(source))
        number = classes.number(addition.category, key)
        files.setdefault(key, LabelEdits()).add.append((number, addition))
    return files
