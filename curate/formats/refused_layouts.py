"""Datasets that are not read, known by the names of their files: what each is, and what to do."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from pathlib import Path

from curate.common import files
from curate.formats.refused_files import BMP, BOX_XML, LABELME_XML, RefusedFile

_MOST_FILES = 2_000  # that are listed
_HEAD = 1 << 16  # bytes of a file that are looked at

_OF_CLASSES = (
    "give a dataset of instances; to have each class of an image as one mask, force --format "
    "label-png on the folder of its PNGs"
)
_CAMVID = RefusedFile("CamVid: its colours are classes, not objects", _OF_CLASSES)
_SEMANTIC = RefusedFile(
    "semantic segmentation with Datumaro's dataset_meta.json: its colours are classes, not objects",
    _OF_CLASSES,
)
_SYNTHIA = RefusedFile(
    "SYNTHIA: its colours and texts are classes, not objects",
    "save the second channel of GT/LABELS, which has the ids of objects, as PNGs of ids; or "
    + _OF_CLASSES,
)
_BRATS = RefusedFile(
    "BraTS in arrays: volumes whose values are classes of tissue",
    "cut them into slices and save the ids of each lesion (skimage.measure.label) as .npy or PNG",
)
_ICDAR = RefusedFile(
    "text segmentation of ICDAR, whose masks are colours on white in BMP",
    "save them as PNG (magick mogrify -format png *_GT.bmp), give their folder, and add --void "
    "16777215, which is white",
)
_CREATE_ML = RefusedFile(
    "CreateML: boxes and no masks",
    "of Roboflow export 'COCO Segmentation' of a segmentation project",
)
_OBB = RefusedFile(
    "oriented boxes (DOTA, YOLO OBB) and no masks",
    "of Roboflow export 'COCO Segmentation'; or write the four corners as COCO's segmentation",
)
_BARE = RefusedFile(
    "pictures without annotations",
    "give the annotations, and the pictures with --images; curate generate draws masks",
)

_Names = Sequence[str]


def _has(pattern: str) -> Callable[[Path, _Names], bool]:
    whole = re.compile(pattern)
    return lambda folder, names: any(map(whole.fullmatch, names))


def _all(*holds: Callable[[Path, _Names], bool]) -> Callable[[Path, _Names], bool]:
    return lambda folder, names: all(one(folder, names) for one in holds)


def _says(pattern: str, *words: bytes) -> Callable[[Path, _Names], bool]:
    """Whether the first file of some names has all of some words near its beginning."""
    whole = re.compile(pattern)

    def look(folder: Path, names: _Names) -> bool:
        name = next(filter(whole.fullmatch, names), None)
        if name is None:
            return False
        with files.open_to_read(folder / name) as file:
            head = file.read(_HEAD)
        return all(word in head for word in words)

    return look


def _only(pattern: str) -> Callable[[Path, _Names], bool]:
    whole = re.compile(pattern, re.IGNORECASE)
    return lambda folder, names: bool(names) and all(map(whole.fullmatch, names))


ALWAYS: tuple[tuple[Callable[[Path, _Names], bool], RefusedFile], ...] = (
    (_all(_has(r"label_colors\.txt"), _has(r".*annot/[^/]+\.png")), _CAMVID),
    (
        _all(
            _says(r"(.*/)?dataset_meta\.json", b'"label_map"'),
            _has(r"(.*/)?masks/.+\.png"),
            _has(r"(.*/)?images/.+"),
        ),
        _SEMANTIC,
    ),
    (_all(_has(r"(.*/)?RGB/.+"), _has(r"(.*/)?(GT|GTTXT|SemSeg)/.+")), _SYNTHIA),
    (_all(_has(r"(.*/)?RGBLeft/.+"), _has(r"(.*/)?GTLeft/.+")), _SYNTHIA),
    (_says(r"(.*/)?[^/]+\.xml", b"<annotation>", b"<polygon>"), LABELME_XML),
    (_says(r"(.*/)?[^/]+\.xml", b"<annotation>", b"<segm>"), LABELME_XML),
    (_all(_has(r".*_data_cropped\.npy"), _has(r".*_label_cropped\.npy")), _BRATS),
)
"""What is refused even where its files would pass for ids: their values are classes, or but some of
its masks."""

OTHERS: tuple[tuple[Callable[[Path, _Names], bool], RefusedFile], ...] = (
    (_all(_has(r".*_GT\.bmp"), _has(r".*_GT\.txt")), _ICDAR),
    (_has(r"(.*/)?_annotations\.createml\.json"), _CREATE_ML),
    (_has(r"(.*/)?labelTxt/.+\.txt"), _OBB),
    (_says(r"(.*/)?[^/]+\.xml", b"<annotation>", b"<bndbox>"), BOX_XML),
    (_only(r".*\.bmp"), BMP),
    (_only(r".*\.(jpe?g|png|bmp|gif|webp|tiff?)"), _BARE),
)
"""What is named where no format is found."""


def refused_layout(folder: Path, *, passing: bool = False) -> RefusedFile | None:
    """Return the kind of a dataset that is not read; never raises.

    Args:
        folder: The folder of the dataset.
        passing: Whether only those are meant whose files would pass for ids.

    Returns:
        None where nothing is known of it.
    """
    try:
        names = list(islice(_names(folder), _MOST_FILES)) if folder.is_dir() else []
        known = ALWAYS if passing else (*ALWAYS, *OTHERS)
        return next((kind for holds, kind in known if holds(folder, names)), None)
    except (OSError, ValueError):
        return None


def _names(folder: Path) -> Iterator[str]:
    """Yield the paths of files below a folder, in order of folders."""
    for root, folders, found in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        above = Path(root).relative_to(folder).as_posix()
        for name in sorted(found):
            if not name.startswith("."):
                yield name if above == "." else f"{above}/{name}"
