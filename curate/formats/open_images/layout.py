"""Files of an Open Images dataset: lists of masks, names of classes, pictures and PNGs.

Lists and class descriptions lie in the folder, or in ``annotations`` or ``metadata`` in it. A PNG
or a picture is looked for by its name in all folders, those first where the last one was.
"""

from __future__ import annotations

import csv
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from curate.common import files
from curate.formats.copying import list_entries
from curate.formats.csv.csv_records import read_header
from curate.formats.format import convert_read_errors
from curate.formats.own_pictures import is_picture

_PLACES = ("", "annotations", "metadata", "labels")
_MOST_FILES = 200  # of a folder, that are looked at
_MOST_FOLDERS = 2_000
_NEEDED = ("maskpath", "imageid", "labelname")
_DESCRIPTIONS = 10_000_000  # bytes of class descriptions; the real ones have 25 kB
_ENDINGS = (".jpg", ".png", ".jpeg")


@dataclass(frozen=True)
class MaskColumns:
    """Positions of a list's columns; -1 for what is not there."""

    count: int
    path: int
    image: int
    label: int
    box: int
    sides: tuple[int, int, int, int]
    iou: int


def find_mask_columns(path: Path) -> MaskColumns | None:
    """Return the columns of a list of masks; None where a file is none."""
    names = [name.lower() for name in read_header(path)]
    if not set(_NEEDED) <= set(names) or len(set(names)) < len(names):
        return None

    def place(name: str) -> int:
        return names.index(name) if name in names else -1

    sides = tuple(place(f"box{side}") for side in ("xmin", "xmax", "ymin", "ymax"))
    return MaskColumns(
        *(len(names), place("maskpath"), place("imageid"), place("labelname"), place("boxid")),
        sides,  # type: ignore[arg-type]
        place("predictediou"),
    )


def find_lists(source: Path) -> list[tuple[str, MaskColumns]]:
    """Return the lists of masks of a folder, as paths under it, with their columns."""
    found = []
    for name in _csv_files(source):
        columns = find_mask_columns(source / name)
        if columns is not None:
            found.append((name, columns))
    return found


def _csv_files(source: Path) -> Iterator[str]:
    for below in _PLACES:
        folder = source / below
        if folder.is_dir():
            for entry in list_entries(folder)[:_MOST_FILES]:
                if entry.name.lower().endswith(".csv") and entry.is_file():
                    yield f"{below}/{entry.name}" if below else entry.name


def class_labels(source: Path) -> dict[str, str]:
    """Return the names of classes by their codes (``/m/019jd``)."""
    made: dict[str, str] = {}
    for name in _csv_files(source):
        lowered = name.rpartition("/")[2].lower()
        if "class-descriptions" not in lowered and lowered != "classes.csv":
            continue
        with convert_read_errors(source / name), files.open_to_read(source / name) as file:
            text = file.read(_DESCRIPTIONS).decode("utf-8-sig", "replace")
        try:
            for row in csv.reader(text.splitlines()):
                if len(row) == 2 and row[0] != "LabelName":
                    made.setdefault(row[0].strip(), row[1].strip())
        except csv.Error:
            continue
    return made


def subset_of(name: str) -> str | None:
    """Return the split that a list is of, as its name begins with it."""
    head = name.rpartition("/")[2].lower().partition("-")[0]
    return head if head in ("train", "validation", "test") else None


class Folders:
    """All folders of a dataset, in which files are looked for by name.

    Args:
        source: The dataset's folder.
    """

    def __init__(self, source: Path) -> None:
        self.source = source
        self._folders = list(_walk(source))
        self._last: dict[str, int] = {}

    def find(self, name: str, kind: str) -> str:
        """Return a file's path under the source; "" where there is none.

        Args:
            name: Its name, without a folder.
            kind: What it is, so that it is looked for first where the last of its kind was.
        """
        if not name or "/" in name or "\\" in name or "\0" in name or name in (".", ".."):
            return ""
        last = self._last.get(kind, 0)
        for at in (last, *range(len(self._folders))):
            path = f"{self._folders[at]}{name}"
            if os.path.isfile(self.source / path):
                self._last[kind] = at
                return path
        return ""

    def find_picture(self, image: str) -> str:
        """Return the path of an image's picture under the source; "" where there is none."""
        names = [image] if is_picture(image) else [image + ending for ending in _ENDINGS]
        return next((path for name in names if (path := self.find(name, "picture"))), "")


def _walk(source: Path) -> Iterator[str]:
    """Yield folders as the beginnings of paths under the source: "", ``masks/``, ..."""
    left = _MOST_FOLDERS
    for folder, below, _ in os.walk(source):
        below.sort()
        left -= 1
        if left < 0:
            return
        name = Path(folder).relative_to(source).as_posix()
        yield "" if name == "." else f"{name}/"
