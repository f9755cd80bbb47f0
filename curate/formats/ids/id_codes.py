"""Ids that carry a class: the class's part of an id, and ids that are no instances.

Facts, from the datasets' own readers: in Cityscapes the class of an id of 1000 and more is
id // 1000, and an id below is a class without instances; in KITTI and Mapillary Vistas the class is
id // 256, and where id % 256 is 0 it names no instance; in MOTS the class is id // 1000, and 10000
is to be ignored. In ADE20K ids are colours, R + 256 G + 65536 B: the class is R // 10 * 256 + G,
and B tells the objects of an image apart; where it is 0 there is none.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field

from curate.common.arrays import ByteArray
from curate.errors import CallError

CODES = ("none", "cityscapes", "kitti", "mots", "ade20k")
"""The ways in which an id can carry a class."""

_BLUE = 65_536

VOID = {"mots": frozenset({10_000})}
"""Ids that no object has, by code."""

_VOC_VOID = (224, 224, 192)

_CITYSCAPES = (
    *("person", "rider", "car", "truck", "bus", "caravan", "trailer", "train"),
    *("motorcycle", "bicycle"),
)
_NAMES: Mapping[str, Mapping[int, str]] = {
    "cityscapes": dict(enumerate(_CITYSCAPES, 24)),
    "kitti": dict(enumerate(_CITYSCAPES, 24)),
    "mots": {1: "car", 2: "pedestrian"},
}


@dataclass(frozen=True)
class IdCode:
    """Meaning of a source's ids. Picklable.

    Attributes:
        name: A word of :data:`CODES`.
        void: Ids whose pixels belong to no mask and are never written; None for what a palette
            says (see :meth:`void_in`).
        names: Names of classes by number; those of the code where it has some.
    """

    name: str = "none"
    void: AbstractSet[int] | None = None
    names: Mapping[int, str] = field(default_factory=dict)

    @property
    def step(self) -> int:
        """Number of ids of a class, in ADE20K the step between them; 1 where they carry none."""
        return {"none": 1, "kitti": 256, "ade20k": _BLUE}.get(self.name, 1000)

    def describe(self) -> str:
        """Return how an id carries its class, as a clause; "" where it carries none."""
        if self.name == "ade20k":
            return "the class is in red and green, the object in blue"
        return "" if self.name == "none" else f"the class is id // {self.step}"

    def class_of(self, value: int) -> int | None:
        """Return the class of an id; None where ids carry none."""
        if self.name == "ade20k":
            return value % 256 // 10 * 256 + value // 256 % 256
        return None if self.name == "none" else value // self.step

    @property
    def is_void_zero(self) -> bool:
        """Whether evaluation leaves pixels of the id 0 out, as those without a label."""
        return self.name in ("cityscapes", "kitti") and bool(self.names)

    def class_name(self, number: int) -> str:
        """Return a class's name; its number where it has none."""
        return self.names.get(number) or str(number)

    def void_in(self, palette: ByteArray | None) -> AbstractSet[int]:
        """Return the void ids of an image; that of values below 0, -1, is one of them.

        Args:
            palette: Its colours, shape (n, 3); None where it has none. That of Pascal VOC is known
                by its last colour, in which VOC draws what is not to be judged.
        """
        if self.void is not None:
            return {*self.void, -1}
        if palette is None or len(palette) < 256 or tuple(palette[255].tolist()) != _VOC_VOID:
            return {-1}
        return {255, -1}

    def is_instance(self, value: int) -> bool:
        """Return whether an id that is not void is that of an object."""
        if self.name == "kitti":
            return value % self.step > 0
        return value > 0 if self.name == "none" else value >= self.step

    def range_of(self, category: str | None, where: str) -> range:
        """Return the ids that a new mask of a category can have.

        Args:
            category: The name or the number of a class; None where nothing is known.
            where: Name of the image, for messages.

        Raises:
            CallError: There is no such class, or it takes one.
        """
        if self.name == "none":
            return range(1, 2**24)
        if category is None:
            what = "the added mask has no category, and the ids of this source carry one"
            raise CallError(what, where, "say which one it gets with --category NAME")
        number = find_class(category, self.names, where, 5)
        if self.name == "ade20k":
            if number >= 26 * 256:
                raise CallError(f"{number} is no class of these ids", where, "use one under 6656")
            color = number // 256 * 10 + number % 256 * 256
            return range(color + _BLUE, color + 256 * _BLUE, _BLUE)
        return range(number * self.step + (self.name == "kitti"), (number + 1) * self.step)

    def block(self, taken: AbstractSet[int], ids: range) -> AbstractSet[int]:
        """Return which ids an image has no room for, of those that it has and those of a class.

        In ADE20K two objects of an image differ in blue, whatever their classes.
        """
        if self.name != "ade20k":
            return taken
        return {*taken, *(ids.start % _BLUE + one // _BLUE * _BLUE for one in taken)}


def find_class(category: str, names: Mapping[int, str], where: str, digits: int) -> int:
    """Return the number of a class.

    Args:
        category: Its name, or its number where it has no name.
        names: Names by number.
        where: Name of the image, for messages.
        digits: How many the number has at most.

    Raises:
        CallError: There is no such class.
    """
    number = next((n for n, name in names.items() if name == category), None)
    if number is None and re.fullmatch(f"[1-9][0-9]{{0,{digits - 1}}}", category, re.ASCII):
        number = int(category) if int(category) not in names else None
    if number is None:
        known = ", ".join(names.values()) or "its number"
        raise CallError(f"there is no class {category!r} in these ids", where, f"use {known}")
    return number


def id_code(
    name: str, void: AbstractSet[int] | None = None, names: Mapping[int, str] | None = None
) -> IdCode:
    """Return a code with what it always has.

    Args:
        name: A word of :data:`CODES`.
        void: Void ids; None for those of the code.
        names: Names of its classes; None for those of the code.

    Raises:
        CallError: There is no such code.
    """
    if name not in CODES:
        raise CallError(f"there is no class code {name}", "--class-code", f"use {', '.join(CODES)}")
    own = _NAMES.get(name, {}) if names is None else names
    return IdCode(name, VOID.get(name) if void is None else frozenset(void), own)
