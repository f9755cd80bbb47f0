"""Splits of a YOLO dataset: as its folders are called, else as lists of pictures say.

Facts: Roboflow writes ``train/images``, ``valid/images``, ``test/images``; Ultralytics' datasets
have ``images/train2017``; CVAT's YOLO 1.1 has ``obj_<subset>_data`` and its Ultralytics formats
``images/<subset>``. Lists (``train.txt``, ``autosplit_val.txt``, what ``data.yaml`` or ``obj.data``
name) have a picture's path a line, relative to some folder that is not always the dataset's.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

from curate.formats.copying import list_entries
from curate.formats.yolo.class_names import read_settings
from curate.formats.yolo.yolo_folders import IMAGES, LABELS, YoloImage

_SPLIT = re.compile(
    r"(?:mini)?(?:train|val|valid|test|training|validation|testing)(?:[-_]?[0-9]{1,4})?",
    re.IGNORECASE,
)
_OBJ = re.compile(r"obj_([A-Za-z0-9]+)_data", re.ASCII | re.IGNORECASE)
_LIST = re.compile(r"(?:autosplit_)?((?:mini)?(?:train|val|valid|validation|test)[0-9]{0,4})\.txt")
_KEYS = ("train", "val", "valid", "test")  # of data.yaml and obj.data
_LARGEST = 256 << 20  # bytes of a list

Splits = Callable[[YoloImage], str]


def find_splits(source: Path) -> Splits:
    """Return a function from an image to its split; "" where no folder and no list says one."""
    listed = _read_lists(source)

    def split_of(image: YoloImage) -> str:
        path = image.picture or image.label
        return split_in_path(path) or listed.get(_tail(path), "")

    return split_of


def split_in_path(path: str) -> str:
    """Return the split that the folders of a picture or label name; "" for none."""
    folders = path.split("/")[:-1]
    for folder in reversed(folders):
        if found := _OBJ.fullmatch(folder):
            return found[1]
    for folder in reversed(folders):
        if _SPLIT.fullmatch(folder):
            return folder
    return ""


def _read_lists(source: Path) -> dict[str, str]:
    """Return splits by the end of a picture's path; what two lists say differently is left out."""
    found: dict[str, str] = {}
    doubtful: set[str] = set()
    for split, path in _lists(source).items():
        try:
            if not path.is_file() or path.stat().st_size > _LARGEST:
                continue
            with path.open(encoding="utf-8", errors="replace") as file:
                for line in file:
                    tail = _tail(line.strip().replace("\\", "/"))
                    if tail and found.setdefault(tail, split) != split:
                        doubtful.add(tail)
        except OSError:
            continue
    return {tail: split for tail, split in found.items() if tail not in doubtful}


def _lists(source: Path) -> dict[str, Path]:
    """Return the lists of pictures by the split that each is of."""
    found: dict[str, Path] = {}
    for name, stated in read_settings(source).items():
        if name in _KEYS and stated.lower().endswith(".txt"):
            for path in (source / stated, source / Path(stated).name):
                if path.resolve().is_relative_to(source.resolve()) and path.is_file():
                    found.setdefault(name, path)
    for entry in list_entries(source):
        listed = _LIST.fullmatch(entry.name)
        if listed and entry.is_file() and source / entry.name not in found.values():
            found.setdefault(listed[1], source / entry.name)
    return found


def _tail(path: str) -> str:
    """Return a picture's folder and name without its ending: lists and data agree in these.

    ``images`` and ``labels`` are one.
    """
    parts = [part for part in path.split("/") if part not in ("", ".")]
    if not parts:
        return ""
    stem = parts[-1].rpartition(".")[0] or parts[-1]
    folder = parts[-2] if len(parts) > 1 else ""
    return f"{IMAGES if folder in ('', LABELS) else folder}/{stem}"
