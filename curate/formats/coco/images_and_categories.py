"""Image and category objects of COCO: file name and size; names by number, numbers by name."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, BinaryIO

from curate.errors import CallError
from curate.formats.coco.annotation_columns import UNKNOWN_SIZE, ImageRows
from curate.formats.json.json_columns import id_key, text, whole_number
from curate.formats.json.streaming import scan
from curate.formats.own_pictures import OwnPictures, beside_file
from curate.formats.repairs import FIELD_NOTES
from curate.formats.segmentation import json_type, size_problem, valid_size

_CATEGORY_ID = re.compile(rb'"category_id"\s{0,9}:\s{0,9}"?([0-9]{1,19})')
_SCANNED_BYTES = 1 << 22
_LONGEST_FIELD = 64  # bytes of the expression at most
_MOST_NUMBER = 2**62
_LISTS = frozenset({"images", "annotations", "categories"})


def image_fields(value: Any) -> tuple[str, int, int, str]:
    """Return file name, height and width of an image object, and what is wrong with it.

    What is wrong is "" where nothing is. A size that is not stated is :data:`UNKNOWN_SIZE`; one
    that cannot be used is 0.
    """
    if type(value) is not dict:
        return "", 0, 0, f"the image is {json_type(value)}, not an object"
    name = value.get("file_name")
    if type(name) is not str:
        url = value.get("coco_url")  # LVIS names its pictures only so
        name = "/".join(url.split("/")[-2:]) if type(url) is str else name
    sizes, problem = [], ""
    for side in ("height", "width"):
        given = value.get(side)
        number = UNKNOWN_SIZE if given is None else whole_number(given)
        if number is None:
            problem = f"its {side} is {json_type(given)}"
            problem += " that is not whole" if type(given) in (int, float) else ""
        sizes.append(0 if number is None else number)
    height, width = sizes
    if problem or UNKNOWN_SIZE in (value.get("height"), value.get("width")):
        return text(name), 0, 0, problem or size_problem(*sizes)
    if UNKNOWN_SIZE in sizes:
        return text(name), UNKNOWN_SIZE, UNKNOWN_SIZE, ""
    if not valid_size(height, width):
        in_range = max(abs(height), abs(width)) < 2**31
        kept = (height, width) if in_range and min(sizes) >= 0 else (0, 0)
        return text(name), *kept, size_problem(height, width)
    return text(name), height, width, ""


def states_no_size(value: Any) -> bool:
    """Return whether an image object leaves its size open: a side is missing, null or 0."""
    if type(value) is not dict:
        return False
    sides = [value.get(side) for side in ("height", "width")]
    sides = [0 if side is None else whole_number(side) for side in sides]
    return 0 in sides and None not in sides


def pictures(source: Path) -> OwnPictures | None:
    """Return the pictures beside a file in COCO's form; see :func:`beside_file`."""
    return beside_file(source, names_and_sizes(source)) if source.is_file() else None


def names_and_sizes(source: Path) -> Iterator[tuple[str, tuple[int, int] | None]]:
    """Yield the file name of every image, and its height and width where they are known."""
    seen = False
    with source.open("rb") as file:
        for batch in scan(file, source.name, _LISTS):
            if batch.key == "images" and batch.is_list:
                seen = True
                for value in batch.parse(source.name):
                    name, height, width, _ = image_fields(value)
                    yield name, ((height, width) if min(height, width) > 0 else None)
            elif seen:
                return


def note_sizes(images: ImageRows, value: Any) -> None:
    """Note sizes that are not written as whole numbers though they are."""
    sizes = [value.get(side) for side in ("height", "width")] if type(value) is dict else []
    for of, kind in ((str, "text_numbers"), (float, "float_sizes")):
        if any(type(side) is of and whole_number(side) is not None for side in sizes):
            name = text(value.get("file_name"))
            images.notes.add(kind, FIELD_NOTES[kind], name, of="images")


_NO_NUMBERS: Mapping[str, int] = MappingProxyType({})
_BACKGROUND = {"background", "__background__", "_background_"}


def category_names(listed: list[Any] | None) -> tuple[dict[int, str] | None, dict[int, str]]:
    """Return names by id (of a text: by its stand-in), and which categories no object can have.

    Category 0 is an ordinary category where the file declares it as one. Where it is called
    background, or is the parent of the others (as one exporter writes it), no object can have it.
    """
    if listed is None:
        return None, {}
    known = [one for one in listed if type(one) is dict]
    names: dict[int, str] = {}
    placeholders: dict[int, str] = {}
    parents = {one["supercategory"] for one in known if type(one.get("supercategory")) is str}
    for one in known:
        number, name = _key(one.get("id")), text(one.get("name"))
        if number is None:
            continue
        names[number] = name
        is_parent = one.get("supercategory") == "none" and one.get("name") in parents
        if number == 0 and (name.lower() in _BACKGROUND or is_parent):
            placeholders[0] = f"({name}) is a placeholder, not an object"
    return names, placeholders


def _key(given: Any) -> int | None:
    return id_key(given) if type(given) is str else whole_number(given)


def find_top_category(file: BinaryIO) -> int:
    """Return the highest number of a category that an annotation of a file has, 0 for none."""
    top, at, tail = 0, 0, b""
    while data := os.pread(file.fileno(), _SCANNED_BYTES, at):
        at += len(data)
        found = (int(one[1]) for one in _CATEGORY_ID.finditer(tail + data))
        top = max((top, *(number for number in found if number < _MOST_NUMBER)))
        tail = data[-_LONGEST_FIELD:]
    return top


class Categories:
    """Numbers of categories by name, for a file that is written.

    Args:
        listed: The categories as they stand in the file; None where it has none.
        where: Name of the file, for messages.
        closed: Why no category can be added; "" where one can.
        numbers: Numbers that categories get when they are added; others get the next one.
        find_top: Finds the highest number that any annotation has, declared or not; None where
            that does not matter. Asked only when a category is added.

    Attributes:
        declared: Whether the file has a list of categories.
        added: Numbers of the names that were asked for and are not declared.
    """

    def __init__(
        self,
        listed: list[Any] | None,
        where: str,
        closed: str = "",
        numbers: Mapping[str, int] = _NO_NUMBERS,
        find_top: Callable[[], int] | None = None,
    ) -> None:
        self._find_top = find_top
        self.added: dict[str, int] = {}
        self._given = numbers
        self._where, self._closed, self.declared = where, closed, listed is not None
        self._names, placeholders = category_names(listed)
        names = self._names or {}
        self._real = [number for number in names if number not in placeholders]
        given = [one.get("id") for one in listed or () if type(one) is dict]
        self._spelled = {_key(one): one for one in given if type(one) is str}
        self._numbers: dict[str, int] = {}
        for number in (*self._real, *placeholders):
            self._numbers.setdefault(names[number], number)

    def number(self, name: str, present: Any = None) -> int | str:
        """Return the id that a category's name stands for, the first of several, as it is written.

        A name that is not declared gets a number of its own. Where the file declares none, names
        are numbers.

        Args:
            name: The name.
            present: The category id that a mask has now; kept where it has that name already.

        Raises:
            CallError: There is no such category, and none can be added.
        """
        now = _key(present)
        if not self.declared:
            return self._plain(name)
        if now in self._real and self._names and self._names[now] == name:
            return present if type(present) is str else now
        if name in self._numbers:
            number = self._numbers[name]
            return self._spelled.get(number, number)
        if self._closed:
            what = f"the category {name!r} is not declared, and {self._closed}"
            raise CallError(what, self._where, "write it as COCO, with --to coco")
        if name not in self.added:
            given = self._given.get(name)
            self.added[name] = self._next_number() if given is None else given
        return self.added[name]

    def _next_number(self) -> int:
        """Return a number that no category has, and no annotation."""
        used = self._find_top() if self._find_top is not None and not self.added else 0
        known: list[int] = [*(self._names or ()), *self.added.values(), *self._given.values()]
        return max([0, used, *known]) + 1

    def only(self) -> int | str | None:
        """Return the one category that masks can have; None where there are none or several."""
        return self._spelled.get(self._real[0], self._real[0]) if len(self._real) == 1 else None

    def _plain(self, name: str) -> int:
        digits = name.removeprefix("-")
        if not (digits.isascii() and digits.isdigit() and len(digits) <= 18):
            what = f"the category {name!r} is no number, and the file has no list of categories"
            raise CallError(what, self._where, "give the number of the category")
        return int(name)
