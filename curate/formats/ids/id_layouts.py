"""Layouts of files of instance ids: their places, their pictures, their code of ids.

Those of PNGs are known by their folders and names, with all that is beside the ids left alone:
Pascal VOC (``SegmentationObject``; the class of a mask is that of most of its pixels in
``SegmentationClass``), Cityscapes (``*_gtFine_instanceIds.png``), KITTI (``instance`` beside
``semantic`` or ``image_2``), Mapillary Vistas (``instances`` beside ``labels`` or ``panoptic``),
MOTS (``instances`` beside ``images``), ADE20K (``*_seg.png`` beside ``*_atr.txt`` or JSON) and
MVTec AD (``ground_truth`` beside ``test``). Any other source is its subfolder ``masks`` or
``labels`` where it has one, else all of it but folders that are called like pictures.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator, Mapping
from itertools import combinations
from pathlib import Path

from curate.dataset.notes import plural
from curate.errors import SourceError
from curate.formats.copying import files_under, list_entries
from curate.formats.ids.id_codes import IdCode, id_code
from curate.formats.ids.id_places import IdLayout, IdPlace
from curate.formats.ids.scene_layouts import (
    find_ade20k,
    find_mvtec,
    is_ade20k,
    is_mvtec,
    mapillary_names,
)
from curate.formats.png.png_reading import PICTURES, PictureProblem, read_header

_DEPTH = 4  # how deep a folder of a known layout is looked for
_MOST_FOLDERS = 2_000  # and in how many folders
VOC_VOID = frozenset({255, 224 + 256 * 224 + 65536 * 192})  # by index, by colour
_OF_PICTURES = re.compile(
    r"images?|imgs?|jpegimages|pngimages|leftimg8bit|image_0?[23]|rgb|photos?|pictures?|rawimages",
    re.IGNORECASE,
)
CITYSCAPES = re.compile(r"(.*)_gt(Fine|Coarse)_(instanceIds|labelIds|color|\w*TrainIds)\.png")
_VOC: tuple[str, ...] = (
    *("aeroplane", "bicycle", "bird", "boat", "bottle", "bus", "car", "cat", "chair", "cow"),
    *("diningtable", "dog", "horse", "motorbike", "person", "pottedplant", "sheep", "sofa"),
    *("train", "tvmonitor"),
)

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
_KINDS = {".png": "PNGs", ".tif": "TIFFs", ".npy": "arrays"}
_VOC_BOTH = "trainval"
_MOST_LINES = 1_000_000  # of a list
_MOST_LISTS = 100  # of splits that are read
_MOST_TWINS = 300  # folders that are compared with each other


def names_pictures(folder: str) -> bool:
    """Whether a folder is called like those of pictures."""
    return _OF_PICTURES.fullmatch(folder) is not None


def file_layout(path: Path) -> IdLayout:
    """Return the layout that a single PNG's name stands for."""
    found = CITYSCAPES.fullmatch(path.name)
    is_ids = found is not None and found[3] == "instanceIds"
    return IdLayout("Cityscapes", code=id_code("cityscapes")) if is_ids else IdLayout()


def find_layout(source: Path, home: Path | None = None) -> IdLayout:
    """Recognise the layout of a folder of PNGs by the names of folders and files.

    Args:
        source: The folder.
        home: The folder of which it is a copy, so that what lies around it is found.

    Raises:
        SourceError: It has classes, and no ids.
    """
    home = home or source
    folders = list(_folders(source))
    named: dict[str, list[str]] = {}
    for folder in folders:
        name = folder.rpartition("/")[2] or home.resolve().name
        named.setdefault(name.lower(), []).append(folder)
    if objects := named.get("segmentationobject"):
        names = _voc_names((home / objects[0]).resolve().parent)
        return IdLayout("Pascal VOC", tuple(objects), IdCode(void=VOC_VOID), names)
    first = _first_png(source)
    if {"gtfine", "gtcoarse"} & named.keys() or CITYSCAPES.fullmatch(first.rpartition("/")[2]):
        return IdLayout("Cityscapes", code=id_code("cityscapes"))
    if is_ade20k(source, first):
        return IdLayout("ADE20K", code=id_code("ade20k"))
    if is_mvtec(home, defects := tuple(named.get("ground_truth", ()))):
        return IdLayout("MVTec AD", defects)
    if found := _beside((source, home), named.get("instance", []), ("semantic", "image_2")):
        return IdLayout("KITTI", found, id_code("kitti"))
    if found := _beside((source, home), named.get("instances", []), ("labels", "panoptic")):
        names = mapillary_names((home / found[0]).resolve())
        return IdLayout("Mapillary Vistas", found, id_code("kitti", names=names))
    if found := _beside((source, home), named.get("instances", []), ("images", "image_02", "img")):
        names = _read_list(home / found[0] / "labels.txt")
        return IdLayout("MOTS", found, id_code("mots", names=names or None))
    if home.resolve().name.lower() == "segmentationclass":
        what = "in SegmentationClass the ids are classes, not objects"
        raise SourceError(what, str(source), "give SegmentationObject, or the folder of both")
    return plain_layout(source)


def plain_layout(source: Path) -> IdLayout:
    """Return the layout of a folder of ids that has none with a name."""
    below = tuple(name for name in SUBFOLDERS if (source / name).is_dir())
    return IdLayout(folders=below or ("",))


def find_id_files(
    source: Path,
    layout: IdLayout,
    home: Path | None = None,
    suffixes: tuple[str, ...] = (".png",),
) -> Iterator[IdPlace]:
    """Find the files of ids of a folder, in order of folders and names.

    Args:
        source: The folder.
        layout: Its layout; those with a name are of PNGs.
        home: The folder of which it is a copy; None: it is none.
        suffixes: How their names end, in lower case.

    Raises:
        SourceError: Several folders of them are side by side, and nothing says which is meant.
    """
    if layout.title == "Pascal VOC":
        yield from _voc(source, home or source, layout.folders)
    elif layout.title == "Cityscapes":
        yield from _cityscapes(source)
    elif layout.title == "ADE20K":
        yield from find_ade20k(source)
    elif layout.title == "MVTec AD":
        yield from find_mvtec(source, home or source, layout.folders)
    elif layout.title:
        for folder in layout.folders:
            pictures = NeighbourImages(home or source, folder)
            for name, size in files_under(source, ".png", folder):
                yield IdPlace(name, size, pictures.of(name))
    else:
        yield from _others(source, home or source, layout.folders, suffixes)


def _folders(source: Path) -> Iterator[str]:
    """Yield the source ("") and the folders in it, nearest first."""
    level, left = [""], _MOST_FOLDERS
    for _ in range(_DEPTH):
        yield from level
        inside: list[str] = []
        for folder in level[: max(left, 0)]:
            left -= 1
            found = list_entries(source / folder)
            inside += [
                f"{folder}/{entry.name}".lstrip("/")
                for entry in found
                if entry.is_dir(follow_symlinks=False)
            ]
        level = inside


def _first_png(source: Path) -> str:
    return next(iter(files_under(source, ".png")), ("", 0))[0]


def _beside(
    places: tuple[Path, Path], folders: Iterable[str], names: Iterable[str]
) -> tuple[str, ...]:
    """Return the folders of 16-bit PNGs beside which a folder of one of some names is."""
    wanted, (source, home) = set(names), places
    found = []
    for folder in folders:
        above = (home / folder).resolve().parent
        beside = list_entries(above) if above.is_dir() else []
        if any(e.name.lower() in wanted and e.is_dir() for e in beside) and _is_deep(
            source, folder
        ):
            found.append(folder)
    return tuple(found)


def _is_deep(source: Path, folder: str) -> bool:
    for name, _ in files_under(source, ".png", folder):
        try:
            return read_header(source / name).depth == 16
        except PictureProblem:
            continue
    return False


# --- known layouts -------------------------------------------------------------------------------


def _voc(source: Path, home: Path, folders: Iterable[str]) -> Iterator[IdPlace]:
    for folder in folders:
        above = (home / folder).resolve().parent
        inside = above.is_relative_to(home.resolve())
        prefix = folder[: -len("SegmentationObject")] if inside else ""
        subsets = _voc_subsets(above / "ImageSets" / "Segmentation")
        for name, size in files_under(source, ".png", folder):
            tail = name[len(folder) :].lstrip("/")
            classes = above / "SegmentationClass" / tail
            shown = str(classes) if not inside else f"{prefix}SegmentationClass/{tail}"
            stem = os.path.splitext(tail)[0]
            image = f"{prefix}JPEGImages/{_voc_picture(above / 'JPEGImages', stem)}"
            yield IdPlace(name, size, image, shown if classes.is_file() else "", subsets.get(stem))


def _voc_picture(folder: Path, stem: str) -> str:
    """Return the name of a picture: VOC's are JPEG, those of tools may be others."""
    for suffix in (".jpg", *PICTURES):
        if (folder / f"{stem}{suffix}").is_file():
            return f"{stem}{suffix}"
    return f"{stem}.jpg"


def _voc_subsets(folder: Path) -> dict[str, str]:
    """Return the split of each image that is in the list of one; ``trainval`` is two of them."""
    found: dict[str, str] = {}
    lists = sorted(folder.glob("*.txt"))[:_MOST_LISTS] if folder.is_dir() else []
    for file in lists:
        if file.stem != _VOC_BOTH:
            for line in _lines(file):
                if stem := line.strip():
                    found.setdefault(stem, file.stem)
    return found


def _voc_names(folder: Path) -> dict[int, str]:
    """Return names of classes by index, or by colour (R + 256 G + 65536 B) in tools' exports."""
    names: dict[int, str] = {}
    for line in _lines(folder / "labelmap.txt"):
        found = re.fullmatch(r"([^#:][^:]*):(\d{1,3}),(\d{1,3}),(\d{1,3}):.*", line.strip())
        if found:
            r, g, b = (int(found[k]) for k in (2, 3, 4))
            names[r + 256 * g + 65536 * b] = found[1]
    return names or dict(enumerate(_VOC, 1))


def _cityscapes(source: Path) -> Iterator[IdPlace]:
    for name, size in files_under(source, ".png"):
        folder, _, own = name.rpartition("/")
        found = CITYSCAPES.fullmatch(own)
        if found and found[3] == "instanceIds":
            parts = ["leftImg8bit" if p in ("gtFine", "gtCoarse") else p for p in folder.split("/")]
            yield IdPlace(
                name, size, "/".join([*filter(None, parts), f"{found[1]}_leftImg8bit.png"])
            )


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text("utf-8-sig", "replace").split("\n")[:_MOST_LINES]
    except OSError:
        return []


def _read_list(path: Path) -> dict[int, str]:
    """Return the names of a list, a line each, numbered from 1."""
    return {number: line.strip() for number, line in enumerate(_lines(path), 1) if line.strip()}


# --- any other source ----------------------------------------------------------------------------


def _others(
    source: Path, home: Path, folders: Iterable[str], suffixes: tuple[str, ...]
) -> Iterator[IdPlace]:
    files: dict[str, list[tuple[str, int]]] = {}
    pictures: dict[str, NeighbourImages] = {}
    for below in folders:
        known = NeighbourImages(home, below)
        for name, size in files_under(source, suffixes, below):
            folder = name.rpartition("/")[0]
            if not any(map(_OF_PICTURES.fullmatch, folder.split("/"))):
                files.setdefault(folder, []).append((name, size))
                pictures[folder] = known
    named = {folder: [n for n, _ in found] for folder, found in files.items()}
    refuse_twins(source, named, _KINDS.get(suffixes[0], "files"))
    beside: dict[str, str] = {}
    for folder, found in files.items():
        beside |= own_pictures(source, folder, [n for n, _ in found])
    taken = set(beside.values())
    for name, size in sorted((one for found in files.values() for one in found), key=_in_order):
        if name not in taken:
            known = pictures[name.rpartition("/")[0]]
            yield IdPlace(name, size, beside.get(name) or known.of(name))


def _in_order(named: tuple[str, int]) -> list[str]:
    return named[0].split("/")


def own_pictures(source: Path, folder: str, names: list[str]) -> dict[str, str]:
    """Return the pictures in a folder of ids that are called like them but for ``_masks``.

    Where the ids are no pictures themselves, one of the very same name counts as well.
    """
    stem_of = {name: os.path.splitext(name.rpartition("/")[2])[0] for name in names}
    called: dict[str, list[str]] = {}
    for name, stem in stem_of.items():
        marked = SUFFIX.fullmatch(stem)
        called[name] = [marked[1]] if marked else []
        if not name.lower().endswith(PICTURES):
            called[name].append(stem)
    if not any(called.values()):
        return {}
    stems: dict[str, str] = {}
    for entry in reversed(list_entries(source / folder)):
        if entry.name.lower().endswith(PICTURES):
            stems[os.path.splitext(entry.name)[0]] = f"{folder}/{entry.name}".lstrip("/")
    return {
        name: next(stems[one] for one in some if one in stems)
        for name, some in called.items()
        if any(one in stems for one in some)
    }


class NeighbourImages:
    """The pictures beside a folder of files of ids."""

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

    def of(self, file: str) -> str:
        """Return the picture of a file of ids; its own name where there is none."""
        tail = os.path.splitext(file[len(self._below) :].lstrip("/"))[0]
        for folder, shown in self._found:
            for suffix in PICTURES:
                if (folder / f"{tail}{suffix}").is_file():
                    return f"{shown}/{tail}{suffix}"
        return file


def refuse_twins(source: Path, files: Mapping[str, list[str]], kind: str) -> None:
    """Raise where two folders have files of the same names: ids and classes, or two opinions.

    Frames of several recordings have the same names too, so folders whose names say nothing of
    labels may share numbers.
    """
    stems = {folder: {n.rpartition("/")[2] for n in names} for folder, names in files.items()}
    for one, other in combinations(sorted(stems), 2) if len(stems) <= _MOST_TWINS else ():
        shared = len(stems[one] & stems[other])
        if 2 * shared < min(len(stems[one]), len(stems[other])) or not shared:
            continue
        numbers = all(os.path.splitext(n)[0].isdecimal() for n in stems[one] & stems[other])
        if numbers and not any(map(_OF_LABELS.search, _differing(one, other))):
            continue
        both = f"{one or 'the folder itself'} and {other}"
        names = plural(shared, "name", f"{shared:,} names")
        what = f"{both} have {kind} of the same {names}, and only one can have the masks"
        raise SourceError(what, str(source), f"give one of them: {source / one}, {source / other}")


def _differing(one: str, other: str) -> list[str]:
    return sorted(set(one.split("/")) ^ set(other.split("/")))
