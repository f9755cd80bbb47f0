"""File names of mask PNGs: the image, the class and the number that they state."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass

from curate.errors import CallError
from curate.formats.png.id_layouts import SUFFIX

_LABEL_STUDIO = re.compile(r"(task-(\d+)-annotation-(\d+)-by-[^-]*-(?:[^-]+-)?)([^-].*)-(\d+)")
_CLASS_AND_NUMBER = re.compile(r"(.+)_([^\W\d_][^_]*)_(0|[1-9]\d{0,3})")
_REST = re.compile(r"_(?:(.*?)_)?(\d+)|_(.+)", re.DOTALL)


@dataclass(frozen=True)
class Named:
    """Image, class and number in the name of a PNG.

    Attributes:
        image: What its image is called.
        prefix: What stands before the class.
        category: The class; None where the name has none.
        number: Which of its class it is; None where the name has no number.
    """

    image: str
    prefix: str
    category: str | None
    number: int | None


def read_names(
    names: Sequence[str], pictures: AbstractSet[str], *, known: bool = False
) -> dict[str, Named]:
    """Parse names where all follow one pattern; nothing where they do not.

    Args:
        names: Names of PNGs.
        pictures: Names of the pictures that are known, without their suffix.
        known: Whether they are known to be names of this kind, of which some may be gone.

    Three ways are known: Label Studio's export; the name of a picture and more behind it; and
    ``<image>_<class>_<n>``, where ``n`` counts the masks of each image, or of each
    image and class.
    """
    for read in (_label_studio, _after_pictures, _class_and_number):
        found = read(names, pictures)
        if names and len(found) == len(names):
            counted = known or read is not _class_and_number or _is_counted(found)
            return found if counted else {}
    return {}


def _label_studio(names: Sequence[str], pictures: AbstractSet[str]) -> dict[str, Named]:
    found = {name: _LABEL_STUDIO.fullmatch(name[:-4]) for name in names}
    return {
        name: Named(
            f"task-{one[2]}-annotation-{one[3]}",  # two people's are not masks of one image
            one[1],
            None if one[4] == "no_label" else one[4],
            int(one[5][:9]),
        )
        for name, one in found.items()
        if one
    }


def _after_pictures(names: Sequence[str], pictures: AbstractSet[str]) -> dict[str, Named]:
    made: dict[str, Named] = {}
    for name in names:
        stem = name[:-4]
        ends = [at for at, letter in enumerate(stem) if letter == "_" and stem[:at] in pictures]
        rest = _REST.fullmatch(stem[max(ends) :]) if ends and stem not in pictures else None
        if rest:
            image = stem[: max(ends)]
            number = None if rest[2] is None else int(rest[2][:9])
            made[name] = Named(image, f"{image}_", rest[1] or rest[3], number)
    rests = {one.category for one in made.values() if one.number is None}
    one_each = len({one.image for one in made.values()}) == len(made)
    if one_each and all(rest and SUFFIX.fullmatch(f"x_{rest}") for rest in rests):
        return {}  # ``a_masks.png`` has all masks of ``a``
    return made


def _class_and_number(names: Sequence[str], pictures: AbstractSet[str]) -> dict[str, Named]:
    made: dict[str, Named] = {}
    for name in names:
        found = _CLASS_AND_NUMBER.fullmatch(name[:-4])
        if found:
            made[name] = Named(found[1], f"{found[1]}_", found[2], int(found[3]))
    return made


def _is_counted(names: Mapping[str, Named]) -> bool:
    """Whether numbers count the masks of each image, or of each image and class."""
    if _count_images(names):
        return True
    numbers: dict[tuple[str, str | None], set[int]] = {}
    for one in names.values():
        numbers.setdefault((one.image, one.category), set()).add(one.number or 0)
    counted = all(min(some) < 2 and max(some) - min(some) < len(some) for some in numbers.values())
    # A single group is more likely frames of a recording than masks of an image.
    return counted and 1 < len(numbers) < len(names)


def _count_images(names: Mapping[str, Named]) -> bool:
    """Whether numbers count the masks of each image through all of its classes."""
    numbers: dict[str, list[int]] = {}
    for one in names.values():
        numbers.setdefault(one.image, []).append(-1 if one.number is None else one.number)
    runs = (sorted(some) for some in numbers.values())
    counted = all(s[0] in (0, 1) and s == list(range(s[0], s[0] + len(s))) for s in runs)
    classes = {(one.image, one.category) for one in names.values()}
    return counted and 1 < len(numbers) < len(classes)


def next_name(known: Mapping[str, Named], image: str, category: str | None, where: str) -> str:
    """Return the name for a new mask.

    Args:
        known: The names that are there.
        image: What its image is called.
        category: Its class; None where nothing is known.
        where: Source key of the image, for messages.

    Raises:
        CallError: It takes a class, or one that can stand in a name.
    """
    classes = {one.category for one in known.values()}
    if category is None and len(classes) == 1:
        category = next(iter(classes))
    if category is None and None not in classes:
        what = "the added mask has no category, and names of masks carry one here"
        raise CallError(what, where, "say which one it gets with --category NAME")
    prefix = next((one.prefix for one in known.values() if one.image == image), f"{image}_")
    through = _count_images(known)
    of_image = [one for one in known.values() if one.image == image]
    mine = [one.number for one in of_image if through or one.category == category]
    first = min((one.number for one in known.values() if one.number is not None), default=0)
    number = max((n for n in mine if n is not None), default=min(first, 1) - 1) + 1
    joined = "-" if prefix.startswith("task-") else "_"
    spelled = "" if category is None else f"{category}{joined}"
    name = f"{prefix}{spelled}{number}.png"
    if "/" in name or "\0" in name or len(name.encode()) > 250 or name in known:
        raise CallError(f"no file can be called {name[:80]!r}", where, "choose another category")
    return name
