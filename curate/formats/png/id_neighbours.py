"""Neighbours of PNGs of instance ids: their pictures, and folders of others named like them."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from itertools import combinations
from pathlib import Path

from curate.errors import SourceError
from curate.formats.copying import list_entries
from curate.formats.png.png_reading import PICTURES

SUBFOLDERS = ("masks", "labels")
"""Subfolders of a source in which ids are looked for before all others."""

_NAMED = (*SUBFOLDERS, "instance", "instances")  # that have their pictures beside them
_IMAGES = ("images", "image_2", "image_02", "img", "imgs", "JPEGImages")
_OF_LABELS = re.compile(
    r"mask|label|seg|inst|seman|panoptic|class|colou?r|gt|ground|annot|depth|disp", re.IGNORECASE
)
SUFFIX = re.compile(
    r"(.+?)_(?:cp_|inst_)?(?:masks?|labels?|instances?|inst|seg|ids)", re.IGNORECASE
)
_MOST_TWINS = 300  # folders that are compared with each other


def own_pictures(source: Path, folder: str, names: list[str]) -> dict[str, str]:
    """Return the pictures in a folder of PNGs that are called like them but for ``_masks``."""
    marked = {name: SUFFIX.fullmatch(name.rpartition("/")[2][:-4]) for name in names}
    if not any(marked.values()):
        return {}
    stems: dict[str, str] = {}
    for entry in reversed(list_entries(source / folder)):
        if entry.name.lower().endswith(PICTURES):
            stems[os.path.splitext(entry.name)[0]] = f"{folder}/{entry.name}".lstrip("/")
    return {name: stems[found[1]] for name, found in marked.items() if found and found[1] in stems}


class NeighbourImages:
    """The pictures beside a folder of PNGs of ids."""

    def __init__(self, source: Path, below: str) -> None:
        self._below = below
        root, whole = source.resolve(), (source / below).resolve()
        self._found: list[tuple[Path, str]] = []
        for above in (whole.parent, whole.parent.parent):
            for name in _IMAGES if below or whole.name.lower() in _NAMED else ():
                if (above / name).is_dir() and above / name != whole:
                    inside = above.is_relative_to(root)
                    shown = (above / name).relative_to(root if inside else above).as_posix()
                    self._found.append((above / name, shown))

    def of(self, png: str) -> str:
        """Return the picture of a PNG; its own name where there is none."""
        tail = os.path.splitext(png[len(self._below) :].lstrip("/"))[0]
        for folder, shown in self._found:
            for suffix in PICTURES:
                if (folder / f"{tail}{suffix}").is_file():
                    return f"{shown}/{tail}{suffix}"
        return png


def refuse_twins(source: Path, pngs: Mapping[str, list[str]]) -> None:
    """Raise where two folders have PNGs of the same names: ids and classes, or two opinions.

    Frames of several recordings have the same names too, so folders whose names say nothing of
    labels may share numbers.
    """
    stems = {folder: {n.rpartition("/")[2] for n in names} for folder, names in pngs.items()}
    for one, other in combinations(sorted(stems), 2) if len(stems) <= _MOST_TWINS else ():
        shared = len(stems[one] & stems[other])
        if 2 * shared < min(len(stems[one]), len(stems[other])) or not shared:
            continue
        numbers = all(name[:-4].isdecimal() for name in stems[one] & stems[other])
        if numbers and not any(map(_OF_LABELS.search, _differing(one, other))):
            continue
        both = f"{one or 'the folder itself'} and {other}"
        what = f"{both} have PNGs of the same {shared:,} names, and only one can have the masks"
        raise SourceError(what, str(source), f"give one of them: {source / one}, {source / other}")


def _differing(one: str, other: str) -> list[str]:
    return sorted(set(one.split("/")) ^ set(other.split("/")))
