"""Sizes of images whose source states none, from the headers of their pictures."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from curate.common import files
from curate.dataset.notes import Notes
from curate.formats.coco.annotation_columns import UNKNOWN_SIZE, ImageRows
from curate.formats.format import convert_read_errors
from curate.formats.png.png_reading import PictureProblem, PngInfo, read_picture
from curate.images import ImageFolder

_FILE = "picture-sizes.json"


def find_pictures(pictures: Path, names: Iterable[str], unsized: Collection[str]) -> dict[str, str]:
    """Find the pictures of images without a size.

    Args:
        pictures: Folder of the pictures.
        names: File names of all images of the source: none gets the picture of another.
        unsized: Names of those without a size.

    Returns:
        Path under the folder by name, only of what is found.
    """
    found = ImageFolder(pictures).find_all(names) if unsized else {}
    return {name: found[name] for name in unsized if found.get(name)}


def note_size(notes: Notes, name: str) -> None:
    """Note of an image that its size is that of its picture."""
    what = "the size is not stated and taken from the picture"
    notes.add("sizes_from_pictures", what, name, of="images")


def picture_of(path: Path) -> PngInfo | None:
    """Read a picture's header; None where it cannot be read."""
    try:
        return read_picture(path)
    except PictureProblem:
        return None


def picture_size(path: Path) -> tuple[int, int]:
    """Return a picture's height and width as it is shown; (0, 0) where it cannot be read."""
    picture = picture_of(path)
    if picture is None:
        return 0, 0
    return picture.upright


@dataclass(frozen=True)
class PictureSizes:
    """Pictures of the images of a source that states no size of them.

    Attributes:
        folder: Folder of the pictures.
        paths: Paths under it by file name.
    """

    folder: Path
    paths: Mapping[str, str]

    @classmethod
    def build(
        cls, pictures: Path, names: Iterable[str], unsized: Collection[str], work: Path
    ) -> None:
        """Find the pictures once and note in a work directory where they are."""
        facts = {"folder": str(pictures), "paths": find_pictures(pictures, names, unsized)}
        with files.convert_write_errors(work):
            files.write_text(work / _FILE, json.dumps(facts))

    @classmethod
    def open(cls, work: Path) -> PictureSizes:
        """Read what :meth:`build` left in a work directory."""
        with convert_read_errors(work / _FILE):
            facts = json.loads((work / _FILE).read_bytes())
        return cls(Path(facts["folder"]), facts["paths"])

    def fill(self, images: ImageRows, row: int) -> bool:
        """Give an image the size of its picture, upright; return whether it has one.

        Run lengths of another size are then a finding, but not where EXIF turns the picture: they
        may belong to it as it is stored.
        """
        path = self.paths.get(images.names[row])
        picture = picture_of(self.folder / path) if path else None
        if picture is None:
            return False
        images.heights[row], images.widths[row] = picture.size
        if picture.rotated:
            if images.fallback is None:
                images.fallback = np.full((len(images.ids), 2), UNKNOWN_SIZE, np.int64)
            images.fallback[row] = picture.upright
            images.heights[row] = images.widths[row] = UNKNOWN_SIZE
        note_size(images.notes, images.names[row])
        return True
