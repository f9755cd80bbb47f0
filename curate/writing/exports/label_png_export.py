"""PNGs of instance ids: ``masks/<image>.png``, 16 bits, and the pictures in ``images/``.

As StarDist and cellpose read them. With splits there is a dataset of it in a folder a split.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np

from curate.common import files
from curate.errors import CallError
from curate.formats.ids.id_judging import NoIds, check_middle, check_regions
from curate.formats.ids.strip_runs import MOST_IDS
from curate.formats.png.packing import pack_png
from curate.writing.exports.export import Export, Holds, ReadBack, Writer, WriterOptions
from curate.writing.exports.id_pngs import check_size, find_too_many, paint
from curate.writing.exports.image_names import ImageNames, without_ending
from curate.writing.exports.losses import Loss
from curate.writing.final_dataset import FinalDataset, FinalImage

IMAGES, MASKS = "images", "masks"
_FEW = 16  # so few ids are never taken for a picture


class LabelPngWriter(Writer):
    """Writes a PNG an image."""

    def __init__(self, dataset: FinalDataset, options: WriterOptions) -> None:
        super().__init__(dataset, options)
        self._names = ImageNames(dataset, flat=True)

    def find_losses(self, image: FinalImage) -> Iterable[Loss]:
        """Find masks beyond the 65,535 ids of 16 bits, and other names."""
        check_size(image)
        yield from find_too_many(image, MOST_IDS)
        yield from self._names.find_losses(image)
        if _FEW < len(image.masks) <= MOST_IDS:
            self._check_readable(image)

    def _check_readable(self, image: FinalImage) -> None:
        """Check that nobody takes the ids for a photo.

        Raises:
            CallError: They are scattered as the values of one are.
        """
        ids = np.arange(1, len(image.masks) + 1)
        pixels = paint(image, ids.tolist())
        try:
            check_middle([(0, pixels)], lambda one: one, image.size)
            check_regions(ids, image.runs(), image.size)
        except NoIds as problem:
            what = f"its ids could not be told from a picture ({problem.detail})"
            raise CallError(what, image.file_name, "choose another format") from problem

    def write(self, images: Iterator[FinalImage], out: Path) -> None:
        """Write the PNGs; ids count from 1 in each image."""
        for split in self.options.splits or ("",):
            files.mkdir(out / split / MASKS, parents=True, exist_ok=True)
        for image in images:
            pixels = paint(image, range(1, len(image.masks) + 1)).astype(np.uint16)
            name = f"{without_ending(image.file_name)}.png"
            files.write_bytes(out / (image.split or "") / MASKS / name, pack_png(pixels))
            self.tally.runs += len(image.masks)

    def picture_place(self, image: FinalImage) -> str:
        """Return the place of a picture: in the folder beside the masks."""
        return f"{image.split or ''}/{IMAGES}/{image.file_name}".lstrip("/")

    def read_back(self, out: Path) -> list[ReadBack]:
        """Return the folder, or those of the splits that have images."""
        if not self.options.splits:
            return [ReadBack(out)]
        found = [ReadBack(out / name, name) for name in self.options.splits]
        return [one for one in found if any((one.path / MASKS).iterdir())]


EXPORT = Export(
    "label-png",
    "PNGs of instance ids",
    "label-png",
    Holds(categories=False, crowds=False, overlaps=False, paths=False),
    LabelPngWriter,
)
