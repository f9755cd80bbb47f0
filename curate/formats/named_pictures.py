"""Pictures of images that a list names, often without a suffix: in a folder, or beside the list."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from curate.formats.format import ReadOptions
from curate.formats.own_pictures import (
    OwnPictures,
    holds_picture,
    is_picture,
    roots_beside,
    under_one_of,
)
from curate.formats.picture_sizes import picture_of
from curate.images import ImageFolder

_PATTERNS = ("{}", "{}.png", "{}.jpg", "{}.jpeg", "{}.tif", "{}.tiff", "{0}/images/{0}.png")
"""Where under a folder the picture of an image called ``{}`` is."""

_SAMPLE = 1_000  # names by which pictures beside a list are found
_MOST_ENTRIES = 2_000  # of a folder, that are looked at


@dataclass(frozen=True)
class NamedPictures:
    """Pictures by the names of their images.

    Attributes:
        folder: The folder in which they are; None where none is known.
        paths: Paths under it by name; only what is found.
    """

    folder: Path | None
    paths: dict[str, str]

    def file_name(self, name: str) -> str:
        """Return the name of an image: its name, or its picture's path where that has no end."""
        return name if is_picture(name) else self.paths.get(name, name)


def own_pictures(file: Path, names: Sequence[str]) -> OwnPictures | None:
    """Return the pictures that lie beside a list, in folders of any name.

    Args:
        file: The list.
        names: Names of its images, or the first of them.
    """
    found = _find_beside(file, names[:_SAMPLE])
    if found is None:
        return None
    folder, pattern = found
    known = [pattern.format(name) for name in names]
    return OwnPictures(folder, tuple(known[:: max(1, len(known) // _SAMPLE)]))


def find_named(file: Path, names: Iterable[str], options: ReadOptions) -> NamedPictures:
    """Find the pictures of all images of a list.

    Args:
        file: The list.
        names: Names of all its images.
        options: May name the folder of the pictures; else it is looked for beside the list.
    """
    names = list(names)
    patterns: tuple[str, ...]
    if options.images is None:
        found = _find_beside(options.home or file, names[:_SAMPLE])
        if found is None:
            return NamedPictures(None, {})
        folder, patterns = found[0], found[1:]
    else:
        folder, patterns = options.images, _PATTERNS
    images = ImageFolder(folder)
    paths: dict[str, str] = {}
    for pattern in patterns:
        left = {pattern.format(name): name for name in names if name not in paths}
        exact = images.exactly(name for name in left if is_picture(name))
        paths |= {left[n]: n for n in left if is_picture(n) and exact.find(n) is not None}
    left_over = [name for name in names if name not in paths]
    if left_over and options.images is not None:
        every = images.find_all(names)
        paths |= {name: every[name] for name in left_over if every.get(name)}
    return NamedPictures(folder, paths)


def _find_beside(file: Path, names: Sequence[str]) -> tuple[Path, str] | None:
    """Return the one folder beside a list that holds its pictures, and how they are named."""
    roots = _folders_beside(file) if names else []
    for pattern in _PATTERNS if roots else ():
        found = under_one_of(roots, [pattern.format(name) for name in names])
        if found is not None:
            return found.folder, pattern
    return None


def _folders_beside(file: Path) -> list[Path]:
    """Return the folders beside a file, and others where tools put pictures, that hold some."""
    home = file.resolve().parent
    made = roots_beside(file)
    try:
        with os.scandir(home) as entries:
            near = [entry for _, entry in zip(range(_MOST_ENTRIES), entries, strict=False)]
        names = sorted(entry.name for entry in near if entry.is_dir(follow_symlinks=False))
    except OSError:
        return made
    return made + [home / name for name in names if holds_picture(home / name, 3)]


def size_and_status(folder: Path | None, path: str) -> tuple[tuple[int, int], str, str]:
    """Return a picture's height and width as it is shown, with an image status and a detail."""
    if folder is None or not path:
        return (0, 0), "missing", "no picture is found for it, and the file states no size"
    found = picture_of(folder / path)
    if found is None:
        return (0, 0), "unreadable", "its picture cannot be read, and the file states no size"
    return found.upright, *found.finding
