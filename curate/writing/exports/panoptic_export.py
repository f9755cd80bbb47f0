"""COCO panoptic: a JSON of segments, PNGs of their ids in a folder called like it, pictures.

``annotations/panoptic.json`` and ``annotations/panoptic/``; with splits both are of each split, as
COCO's own are (``panoptic_val2017``), and pictures are in a folder called like the split. Every
category is one of things.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np

from curate.common import files
from curate.formats.ids.strip_runs import MOST_IDS
from curate.formats.png.packing import pack_png
from curate.writing.exports.coco_export import CocoWriter
from curate.writing.exports.export import Export, Holds, ReadBack, WriterOptions
from curate.writing.exports.id_pngs import check_size, find_too_many, paint
from curate.writing.exports.image_names import ImageNames, without_ending
from curate.writing.exports.losses import Loss
from curate.writing.final_dataset import FinalDataset, FinalImage

_PARTS = np.array([1, 256, 65536])


class PanopticWriter(CocoWriter):
    """Writes an annotation and a PNG an image."""

    stem = "panoptic"

    def __init__(self, dataset: FinalDataset, options: WriterOptions) -> None:
        super().__init__(dataset, options)
        self._image_names = ImageNames(dataset)
        self._out = Path()

    def find_losses(self, image: FinalImage) -> Iterable[Loss]:
        """Find masks beyond those that are read again of one PNG, and other names."""
        check_size(image)
        yield from find_too_many(image, MOST_IDS)
        yield from self._image_names.find_losses(image)

    def write(self, images: Iterator[FinalImage], out: Path) -> None:
        """Write a JSON for each split, and the PNGs."""
        self._out = out
        for read in self.read_back(out):
            files.mkdir(read.path.with_suffix(""), parents=True, exist_ok=True)
        super().write(images, out)

    def annotations(self, image: FinalImage) -> Iterator[dict[str, object]]:
        """Yield the one record of an image, and write its PNG."""
        numbers = range(1, len(image.masks) + 1)
        ids = paint(image, numbers)
        name = f"{without_ending(image.file_name)}.png"
        target = self._json(self._out, image.split).with_suffix("") / name
        files.mkdir(target.parent, parents=True, exist_ok=True)
        files.write_bytes(target, pack_png((ids[..., None] // _PARTS % 256).astype(np.uint8)))
        self.tally.runs += len(image.masks)
        segments = [
            {
                "id": number,
                "category_id": self.number(mask),
                "iscrowd": mask.iscrowd,
                "bbox": mask.box,
                "area": mask.area,
            }
            for number, mask in zip(numbers, image.masks, strict=True)
        ]
        number = image.image_id or self.spare_image
        yield {"image_id": number, "file_name": name, "segments_info": segments}

    def list_categories(self, split: str | None) -> list[dict[str, object]]:
        """Return the records of all categories, all of things."""
        return [one | {"isthing": 1} for one in super().list_categories(split)]

    def _json(self, out: Path, split: str | None) -> Path:
        return out / "annotations" / (f"{self.stem}_{split}.json" if split else f"{self.stem}.json")

    def read_back(self, out: Path) -> list[ReadBack]:
        """Return the JSON, or those of the splits."""
        if not self.options.splits:
            return [ReadBack(self._json(out, None))]
        return [ReadBack(self._json(out, name), name) for name in self.options.splits]

    def is_folder(self, export: Export) -> bool:
        """Return that it is a folder."""
        return True


EXPORT = Export(
    "panoptic",
    "COCO panoptic",
    "coco-panoptic",
    Holds(crowds=True, overlaps=False),
    PanopticWriter,
)
