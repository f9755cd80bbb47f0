"""Folders of labels and pictures of a YOLO dataset, in the layouts that tools write.

A label stands in a folder ``labels`` (Ultralytics, Roboflow; its picture in ``images`` beside it,
or, of predictions in ``runs``, in the folder above), in a folder ``obj_train_data`` beside its
picture (Darknet, CVAT), or beside its picture anywhere else. Labels and pictures are paired by
path; what is left then by name as :func:`curate.dataset.image_names.normalise` spells it (Label
Studio names labels after URLs), each only where one label and one picture are left that have it.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

from curate.dataset.image_names import (
    base_name,
    normalise,
    without_suffix,
    without_upload_prefix,
)
from curate.errors import SourceError
from curate.formats.copying import files_under, list_entries
from curate.formats.own_pictures import holds_picture
from curate.formats.png.png_reading import PICTURES
from curate.formats.yolo.class_names import describes_dataset, is_darknet, stated_path
from curate.formats.yolo.label_lines import has_polygon

LABELS, IMAGES = "labels", "images"
_SPLIT_FOLDERS = (".", "train", "valid", "val", "test")


class YoloImage(NamedTuple):
    """An image of a source; all are paths under it.

    Attributes:
        label: Its label file; "" where it has none yet.
        picture: Its picture; "" where there is none beside the labels.
        place: The label file that it has or would have; "" where it could be none.
        subset: The split that it is in; "" where that is not known, or not looked for.
    """

    label: str
    picture: str
    place: str
    subset: str = ""

    @property
    def is_drawn_over(self) -> bool:
        """Whether the picture lies above its labels: predictions were drawn into it."""
        head, found, _ = f"/{self.label}".rpartition(f"/{LABELS}/")
        return bool(found and self.picture) and head == f"/{self.picture}".rpartition("/")[0]


_PICTURE_LISTS = {"train.txt", "val.txt", "valid.txt", "test.txt"}
_PICTURE_LISTS |= {"autosplit_train.txt", "autosplit_val.txt", "autosplit_test.txt"}
_LISTS = {"classes.txt", "labels.txt", "obj_names.txt"} | _PICTURE_LISTS
_PROSE = {"readme.txt", "requirements.txt", "license.txt", "notes.txt", "results.txt"}
_PROSE |= {"readme.dataset.txt", "readme.roboflow.txt"}
_DEPTH = 5  # how deep a folder called labels is looked for
_OBJ = re.compile(r"obj_[A-Za-z0-9]+_data", re.ASCII | re.IGNORECASE)
_RUN = re.compile(r"(?:predict|exp|track)[0-9]*|runs", re.IGNORECASE)


def find_samples(source: Path) -> Iterator[YoloImage]:
    """Find the images of a source: those with a label first in each folder, by name."""
    if not source.is_dir():
        return
    folders = label_folders(source)
    for below in folders:
        labels = [n for n, _ in files_under(source, ".txt", below) if _is_label_in(source, n)]
        yield from _pair_files(below, labels, _pictures_of(source, below))
    if not folders:
        yield from _beside_pictures(source)


def label_folders(source: Path) -> list[str]:
    """Return the folders of labels under a source.

    Labels in ``predict`` or ``runs`` are a model's opinion of pictures whose labels are the others
    that there are, so they count only where there are no others.
    """
    found = list(_label_folders(source, "", _DEPTH))
    others = [name for name in found if not any(map(_RUN.fullmatch, name.split("/")))]
    return others or found


def find_dataset_folder(yaml: Path) -> Path:
    """Return the folder of the dataset that a YAML file describes; the file where it is no such.

    Args:
        yaml: A YAML file, or Darknet's ``obj.data``.

    Raises:
        SourceError: There are no labels where it says, nor beside it, nor beside its folder.
    """
    if yaml.suffix.lower() == ".data":
        return yaml.parent if is_darknet(yaml) else yaml
    if not describes_dataset(yaml):
        return yaml
    stated, beside = yaml.parent / stated_path(yaml), yaml.parent
    # A path that is none on this machine: the YAML may stand in a folder of the dataset.
    tried = [stated, beside] if stated.is_dir() else [beside, beside.parent / stated.name]
    above = beside.resolve().parent
    if any((above / split / LABELS).is_dir() for split in _SPLIT_FOLDERS):
        tried.append(above)
    for folder in tried:
        if folder.is_dir() and label_folders(folder):
            return folder
    what = "it describes a YOLO dataset, but there are no labels where it says"
    raise SourceError(what, str(yaml), "give the dataset's folder")


def has_pictures(source: Path) -> bool:
    """Whether some picture lies where labels of the source have theirs; stops at the first.

    What predictions were drawn into does not count.
    """
    folders = label_folders(source)
    for below in folders:
        images = source / below[: -len(LABELS)] / IMAGES
        of_labels = base_name(below) == LABELS and images.is_dir()
        if holds_picture(images if of_labels else source / below):
            return True
    return not folders and holds_picture(source)


def _label_folders(source: Path, below: str, depth: int) -> Iterator[str]:
    for entry in list_entries(source / below):
        name = f"{below}/{entry.name}" if below else entry.name
        if entry.is_dir(follow_symlinks=False) and entry.name != IMAGES:
            if entry.name == LABELS or _OBJ.fullmatch(entry.name):
                yield name
            elif depth > 1:
                yield from _label_folders(source, name, depth - 1)


def _is_label_in(source: Path, name: str) -> bool:
    """Whether a file in a folder of labels is one: a picture may be called ``test.jpg``."""
    return is_label(name) or (is_list_of_pictures(name) and has_polygon(source / name))


def is_list_of_pictures(name: str) -> bool:
    """Whether a text file of this name is mostly a list of pictures."""
    return base_name(name).lower() in _PICTURE_LISTS


def is_label(name: str) -> bool:
    """Whether a text file of this name can be a label."""
    return base_name(name).lower() not in _LISTS | _PROSE


def _pictures_of(source: Path, below: str) -> list[str]:
    """Return the pictures that belong to a folder of labels, as paths under the source."""
    if base_name(below) != LABELS:
        return _pictures_under(source, below)
    above = below[: -len(LABELS)]
    if (source / above / IMAGES).is_dir():
        return _pictures_under(source, above + IMAGES)
    beside = _pictures_under(source, below)
    return beside or [
        above + entry.name
        for entry in list_entries(source / above)
        if entry.name.lower().endswith(PICTURES) and entry.is_file()
    ]


def _pictures_under(source: Path, below: str) -> list[str]:
    return [name for name, _ in files_under(source, "", below) if name.lower().endswith(PICTURES)]


def _beside_pictures(source: Path) -> Iterator[YoloImage]:
    """Find labels that stand beside their pictures, or, where there are none at all, alone."""
    files = [name for name, _ in files_under(source, "")]
    pictures = [name for name in files if name.lower().endswith(PICTURES)]
    labels = [name for name in files if name.lower().endswith(".txt") and is_label(name)]
    if pictures:
        folders = {name.rpartition("/")[0] for name in labels}
        pictures = [name for name in pictures if name.rpartition("/")[0] in folders]
        samples = [sample for sample in _pair_files("", labels, pictures) if sample.picture]
        if any(sample.label for sample in samples):
            yield from samples
    else:
        yield from (YoloImage(label, "", label) for label in labels)


def _pair_files(below: str, labels: list[str], pictures: list[str]) -> Iterator[YoloImage]:
    """Pair labels with pictures, in the order of the labels' names, also of labels yet to be made.

    So an image does not change its place when it gets its first mask.
    """
    by_stem: dict[str, list[str]] = {}
    for picture in pictures:
        by_stem.setdefault(_label_stem(picture, below), []).append(picture)
    found = {label: by_stem.pop(os.path.splitext(label)[0], [""])[0] for label in labels}
    for spelled in _SPELLINGS:
        left = [label for label, picture in found.items() if not picture]
        for label, stem in _only_pairs(left, list(by_stem), below, spelled):
            found[label] = by_stem.pop(stem)[0]
    if any(YoloImage(*pair, "").is_drawn_over for pair in found.items()):
        by_stem = {}  # what else lies there are charts, and not pictures of the dataset
    bare = {f"{stem}.txt": some[0] for stem, some in by_stem.items()}
    for label in sorted({**found, **bare}, key=lambda name: name.split("/")):
        if label in found:
            yield YoloImage(label, found[label], label)
        else:
            yield YoloImage("", bare[label], label if is_label(label) else "")


def own_name(path: str) -> str:
    """Return the last part of a path without what Label Studio puts before names of uploads."""
    return without_upload_prefix(base_name(path))


_SPELLINGS: tuple[Callable[[str], str], ...] = (
    normalise,
    lambda name: base_name(normalise(name)),
    lambda name: base_name(normalise(name)).casefold(),
    lambda name: own_name(normalise(name)).casefold(),
)
"""Ways to spell the names of labels and pictures, from the strictest to the loosest."""


def _only_pairs(
    labels: list[str], stems: list[str], below: str, spelled: Callable[[str], str]
) -> Iterator[tuple[str, str]]:
    """Yield a label and a picture's stem where no other one of either has the same spelling.

    Both must lie in folders of the same name: a split may repeat the names of another.
    """
    if not labels or not stems:
        return
    sides: list[dict[tuple[str, str], list[str]]] = [{}, {}]
    for side, paths, suffix in ((sides[0], labels, len(".txt")), (sides[1], stems, 0)):
        for path in paths:
            stem = path[len(below) : len(path) - suffix].lstrip("/")
            folder, _, name = stem.rpartition("/")
            side.setdefault((normalise(folder), spelled(without_suffix(name))), []).append(path)
    for key, found in sides[0].items():
        if key[1] and len(found) == 1 and len(sides[1].get(key, ())) == 1:
            yield found[0], sides[1][key][0]


def _label_stem(picture: str, below: str) -> str:
    """Return the path that a picture's label has or would have, without its extension.

    Args:
        picture: Its path under the source.
        below: The folder of labels that it belongs to; "" where labels stand beside pictures.
    """
    stem = os.path.splitext(picture)[0]
    if base_name(below) != LABELS or stem.startswith(f"{below}/"):
        return stem
    above = below[: -len(LABELS)] + IMAGES
    tail = stem[len(above) + 1 :] if stem.startswith(f"{above}/") else base_name(stem)
    return f"{below}/{tail}"
