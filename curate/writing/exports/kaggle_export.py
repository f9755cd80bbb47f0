"""Run-length CSV as on Kaggle: ``ImageId,EncodedPixels,Height,Width,ClassId``, a row a mask.

Runs go down the columns, starts count from 1. An image without masks has one row without runs. With
splits or pictures it is a folder, with a file for each split and its pictures beside it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import BinaryIO

from curate import rle
from curate.common import files
from curate.errors import CallError
from curate.formats.csv.csv_records import spell_like
from curate.formats.csv.pixel_runs import spell_pixels
from curate.writing.exports.export import Export, Holds, ReadBack, Writer, WriterOptions
from curate.writing.exports.image_names import ImageNames
from curate.writing.exports.losses import Loss
from curate.writing.final_dataset import FinalDataset, FinalImage

_HEADER = b"ImageId,EncodedPixels,Height,Width,ClassId\n"
_WITH_ATTRIBUTES = re.compile(r"[0-9]+(?:_[0-9]+)+", re.ASCII)


class KaggleWriter(Writer):
    """Writes a row a mask."""

    def __init__(self, dataset: FinalDataset, options: WriterOptions) -> None:
        super().__init__(dataset, options)
        if options.masks == "polygon":
            what = "this format has no polygons"
            raise CallError(what, "--masks", "use --masks same")
        self._names = ImageNames(dataset)

    def find_losses(self, image: FinalImage) -> Iterable[Loss]:
        """Find other names of images, and classes that would be read as others."""
        yield from self._names.find_losses(image)
        for mask in image.masks:
            label = mask.label
            written = None if label is None else _class_name(label)
            if written != label:
                fields = {"category": written, "category_id": None}
                yield Loss("class name", mask, f"{label!r} becomes {written!r}", fields)

    def write(self, images: Iterator[FinalImage], out: Path) -> None:
        """Write the rows."""
        with ExitStack() as opened:
            made: dict[str, BinaryIO] = {}
            for name in self.options.splits or ("",):
                path = self._path(out, name)
                files.mkdir(path.parent, parents=True, exist_ok=True)
                made[name] = opened.enter_context(files.open_file(path))
                made[name].write(_HEADER)
            for image in images:
                made[image.split or ""].write(b"".join(_rows(image)))
                self.tally.runs += len(image.masks)

    def is_folder(self, export: Export) -> bool:
        """Return whether there are splits or pictures, or a folder is asked for."""
        return self.options.makes_folder

    def _path(self, out: Path, split: str) -> Path:
        """Return the file of a split; "" for the whole dataset."""
        return out / f"{split or 'train'}.csv" if self.options.makes_folder else out

    def picture_place(self, image: FinalImage) -> str:
        """Return the place of a picture: in a folder called like the split."""
        return f"{image.split or 'images'}/{image.file_name}"

    def read_back(self, out: Path) -> list[ReadBack]:
        """Return the files that have images."""
        if not self.options.splits:
            return [ReadBack(self._path(out, ""))]
        paths = [(self._path(out, name), name) for name in self.options.splits]
        return [ReadBack(p, name) for p, name in paths if p.stat().st_size > len(_HEADER)]


def _rows(image: FinalImage) -> Iterator[bytes]:
    """Yield the rows of an image."""
    name = spell_like(image.file_name.encode("utf-8", "surrogateescape"), b"")
    size = b"%d,%d" % image.size
    for mask in image.masks:
        runs, _ = rle.decode_counts([mask.counts], [image.height], [image.width])
        label = spell_like((mask.label or "").encode("utf-8", "surrogateescape"), b"")
        yield b"%b,%b,%b,%b\n" % (name, spell_pixels(runs, False), size, label)
    if not image.masks:
        yield b"%b,,%b,\n" % (name, size)


def _class_name(label: str) -> str | None:
    """Return a class as it is read again; None for one without a letter."""
    name = label.strip()
    return (name.replace("_", "-") if _WITH_ATTRIBUTES.fullmatch(name) else name) or None


EXPORT = Export(
    "kaggle-csv",
    "run-length CSV",
    "kaggle-csv",
    Holds(unnamed=True),
    KaggleWriter,
    suffix=".csv",
    in_folder="train.csv",
    reads_folder=False,
)
