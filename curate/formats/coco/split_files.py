"""Files of a COCO folder, mostly one a split: their places, their splits, their pictures.

Facts: COCO has ``annotations/instances_train2017.json`` beside ``train2017``, and tools write such
names with splits of their own (CVAT: ``instances_Train.json``, pictures in ``images/Train``); LVIS
has ``lvis_v1_train.json``. Roboflow has ``_annotations.coco.json`` in ``train``, ``valid`` and
``test``, among the pictures. ``trainval`` and ``minival`` are made of other splits. A dataset
without splits has one file in ``annotations`` and its pictures beside that.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import NamedTuple

from curate.errors import CurateError
from curate.formats.copying import list_entries
from curate.formats.json.sniffing import JsonOutline, shape_of

_ROBOFLOW = "_annotations.coco.json"
_ANNOTATIONS = "annotations"
_COCO = re.compile(r"(instances_)([^/]+)\.json", re.IGNORECASE)
_SPLIT = re.compile(
    r"(|.*[-_.])((?:train|val|valid|validation|test|training|testing)(?:[-_]?[0-9]{1,4})?)\.json",
    re.IGNORECASE,
)
_MADE_OF_OTHERS = re.compile(r"mini|trainval|all", re.IGNORECASE)
_WHOLE = ("instances.json", "lvis.json")
"""Names of the one file of a dataset without splits, as it is exported; pictures may be away."""

_MOST_FOLDERS = 1_000  # that are looked at for files of Roboflow


class SplitFile(NamedTuple):
    """A file of one split.

    Attributes:
        name: Its path under the source with ``/``.
        split: The split; "" where the name says none.
        below: The folder under the source in which its pictures are, with ``/`` at its end; "" for
            the source itself, or where they are elsewhere.
        is_lvis: Whether it is LVIS's.
    """

    name: str
    split: str
    below: str
    is_lvis: bool


def split_files(source: Path) -> list[SplitFile]:
    """Return the files of a folder's splits, in order of names; none where it has no such files.

    Of files of several kinds (``instances_``, ``person_keypoints_``) those of one kind are taken:
    ``instances_``, or the only kind there is.
    """
    if not source.is_dir():
        return []
    for folder in (f"{_ANNOTATIONS}/", ""):
        if found := _named_after_splits(source, folder):
            return found
    return _in_folders_of_splits(source) or _only_file(source)


def _only_file(source: Path) -> list[SplitFile]:
    """Return the one file in ``annotations``, if it is of instances and its pictures are there."""
    if not (source / _ANNOTATIONS).is_dir():
        return []
    names = [e.name for e in list_entries(source / _ANNOTATIONS) if e.name.endswith(".json")]
    if len(names) != 1:
        return []
    named = _COCO.fullmatch(names[0]) or _SPLIT.fullmatch(names[0])
    split = named[2] if named else ""
    found = _sound(source, {f"{_ANNOTATIONS}/{names[0]}": split})
    return found if found and (names[0] in _WHOLE or _has_pictures(source, found[0])) else []


def _has_pictures(source: Path, one: SplitFile) -> bool:
    """Whether the first picture of a file is where :attr:`SplitFile.below` says."""
    first = _first_name(shape_of(source / one.name))
    return bool(first) and (source / one.below / first).is_file()


def _named_after_splits(source: Path, folder: str) -> list[SplitFile]:
    if folder and not (source / folder).is_dir():
        return []
    kinds: dict[str, dict[str, str]] = {}
    for entry in list_entries(source / folder):
        found = _COCO.fullmatch(entry.name) or _SPLIT.fullmatch(entry.name)
        if found and entry.is_file() and not _MADE_OF_OTHERS.match(found[2]):
            kinds.setdefault(found[1].lower(), {})[f"{folder}{entry.name}"] = found[2]
    sound = {kind: _sound(source, names) for kind, names in kinds.items()}
    several = {kind: found for kind, found in sound.items() if len(found) > 1}
    chosen = several.get("instances_")
    if chosen is None and len(several) == 1:
        (chosen,) = several.values()
    return chosen or []


def _in_folders_of_splits(source: Path) -> list[SplitFile]:
    folders = [e.name for e in list_entries(source) if e.is_dir(follow_symlinks=False)]
    names = {
        f"{folder}/{_ROBOFLOW}": folder
        for folder in folders[:_MOST_FOLDERS]
        if (source / folder / _ROBOFLOW).is_file()
    }
    return _sound(source, names)


def _sound(source: Path, names: dict[str, str]) -> list[SplitFile]:
    """Return those of some files, given with their splits, that hold instances."""
    found = []
    for name, split in names.items():
        try:
            shape = shape_of(source / name)
        except (CurateError, OSError, ValueError):
            continue
        if shape.looks_coco:
            below = _find_pictures(source, name, split, shape)
            found.append(SplitFile(name, split, below, shape.looks_lvis))
    return found


def _find_pictures(source: Path, name: str, split: str, shape: JsonOutline) -> str:
    """Return the folder of a file's pictures under the source; see :class:`SplitFile`."""
    first = _first_name(shape)
    home = name.rpartition("/")[0]
    inside = [f"{split}/", f"images/{split}/"] if split else []
    inside += ["images/", "data/"]
    if home not in ("", _ANNOTATIONS):
        inside = [f"{home}/"]
    if first:
        for below in ("", *inside):
            if (source / below / first).is_file():
                return below
    return f"{home}/" if home not in ("", _ANNOTATIONS) else ""


def _first_name(shape: JsonOutline) -> str:
    """Return the name of a file's first picture as a path under a folder; "" if it is none."""
    first = shape.one("images").get("file_name")
    usable = type(first) is str and "\0" not in first and len(first) < 1_000
    return str(first) if usable and not Path(str(first)).is_absolute() else ""
