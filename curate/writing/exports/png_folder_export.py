"""Folders of one PNG a mask: ``<image>/masks/*.png`` and the picture in ``<image>/images/``.

The layout of the 2018 Data Science Bowl. With splits there is a dataset of it in a folder a split.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

from curate import rle
from curate.common import files
from curate.errors import CallError
from curate.formats.png.mask_pngs import mask_png
from curate.formats.png.png_folder_format import IMAGES, MASKS
from curate.formats.png.png_reading import MAX_DECODED_PIXELS
from curate.writing.exports.export import Export, Holds, ReadBack, Writer, WriterOptions
from curate.writing.exports.image_names import ImageNames, without_ending
from curate.writing.exports.losses import Loss
from curate.writing.final_dataset import FinalDataset, FinalImage

_RESERVED = frozenset({IMAGES, MASKS})


class PngFolderWriter(Writer):
    """Writes a folder an image."""

    def __init__(self, dataset: FinalDataset, options: WriterOptions) -> None:
        super().__init__(dataset, options)
        self._names = ImageNames(dataset, flat=True, reserved=_RESERVED)

    def find_losses(self, image: FinalImage) -> Iterable[Loss]:
        """Find images that nothing would name, too large ones, and other names."""
        if image.height * image.width > MAX_DECODED_PIXELS:
            raise CallError(
                f"a PNG of {image.width} x {image.height} pixels is too large to be read again",
                image.file_name,
                "choose another format",
            )
        if not image.masks and (image.picture is None or not self.options.puts_pictures):
            yield Loss("no mask", None, "", None)
        else:
            yield from self._names.find_losses(image)

    def write(self, images: Iterator[FinalImage], out: Path) -> None:
        """Write the PNGs, numbered from 0 in each image."""
        for image in images:
            folder = out / self._folder(image) / MASKS
            files.mkdir(folder, parents=True, exist_ok=True)
            for k, mask in enumerate(image.masks):
                runs, _ = rle.decode_counts([mask.counts], [image.height], [image.width])
                files.write_bytes(folder / f"{k}.png", mask_png(runs, mask.source_key))
            self.tally.runs += len(image.masks)

    def _folder(self, image: FinalImage) -> str:
        name = without_ending(image.file_name)
        return f"{image.split}/{name}" if image.split else name

    def picture_place(self, image: FinalImage) -> str:
        """Return the place of a picture: beside its masks."""
        return f"{self._folder(image)}/{IMAGES}/{image.file_name}"

    def read_back(self, out: Path) -> list[ReadBack]:
        """Return the folder, or those of the splits that have images."""
        if not self.options.splits:
            return [ReadBack(out)]
        return [ReadBack(out / name, name) for name in self.options.splits if (out / name).is_dir()]


EXPORT = Export(
    "png-folder",
    "folders of one PNG a mask",
    "png-folder",
    Holds(categories=False, crowds=False, paths=False),
    PngFolderWriter,
)
