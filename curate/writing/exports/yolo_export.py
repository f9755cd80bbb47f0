"""YOLO segmentation as Ultralytics takes it: ``images/``, ``labels/`` and ``data.yaml``.

With splits both have a folder for each. A mask is one line, so one polygon: its rings are joined by
seams of no width where it has holes or several parts, and rasterise to exactly its pixels.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

import yaml

from curate.common import files
from curate.errors import CallError
from curate.formats.new_pixels import PixelTally
from curate.formats.picture_sizes import picture_size
from curate.formats.yolo.label_lines import coordinates_of
from curate.formats.yolo.yolo_folders import is_label
from curate.writing.exports.categories import list_categories
from curate.writing.exports.export import UNNAMED, Export, Holds, Writer, WriterOptions
from curate.writing.exports.image_names import ImageNames, without_ending
from curate.writing.exports.losses import Loss
from curate.writing.final_dataset import FinalDataset, FinalImage, FinalMask

IMAGES, LABELS = "images", "labels"
_RESERVED = frozenset({IMAGES, LABELS})  # trainers find labels by replacing the one by the other


class YoloWriter(Writer):
    """Writes a label file an image."""

    split_in_names = True

    def __init__(self, dataset: FinalDataset, options: WriterOptions) -> None:
        super().__init__(dataset, options)
        self._names = ImageNames(dataset, reserved=_RESERVED, is_allowed=_can_be_label)
        self._classes = {label: k for k, label in enumerate(list_categories(dataset))}
        self._tally = PixelTally()
        self._image, self._lines = -1, dict[int, tuple[bytes, PixelTally]]()

    def find_losses(self, image: FinalImage) -> Iterable[Loss]:
        """Find images with pictures of another size, other names, masks that are no polygon."""
        shown = image.size if image.status == "ok" or image.picture is None else _shown_size(image)
        if shown != image.size:
            sizes = f"its picture is {shown[1]} x {shown[0]} px as it is shown, its masks are of "
            detail = f"{sizes}{image.width} x {image.height}"
            yield Loss("image", None, detail, None)
            return
        yield from self._names.find_losses(image)
        self._image, self._lines = image.image_id, {}
        for mask in image.masks:
            try:
                self._lines[mask.mask_id] = self._coordinates(image, mask)
            except CallError:
                yield Loss("mask", mask, "too large or too ragged for one polygon", None)

    def _coordinates(self, image: FinalImage, mask: FinalMask) -> tuple[bytes, PixelTally]:
        tally = PixelTally()
        return coordinates_of(mask.counts, image.size, mask.source_key, tally), tally

    def write(self, images: Iterator[FinalImage], out: Path) -> None:
        """Write the labels, and the YAML that describes the dataset."""
        for split in self.options.splits or ("",):
            files.mkdir(out / LABELS / split, parents=True, exist_ok=True)
        for image in images:
            lines = [
                b"%d %b\n" % (self._classes[mask.label or UNNAMED], self._line(image, mask))
                for mask in image.masks
            ]
            target = out / f"{LABELS}/{without_ending(self._path(image))}.txt"
            files.mkdir(target.parent, parents=True, exist_ok=True)
            files.write_bytes(target, b"".join(lines))
        files.write_bytes(out / "data.yaml", self._yaml())
        self.stored = self._tally.count_stored()

    def _line(self, image: FinalImage, mask: FinalMask) -> bytes:
        known = self._lines.get(mask.mask_id) if image.image_id == self._image else None
        text, tally = self._coordinates(image, mask) if known is None else known
        self._tally.polygons += tally.polygons
        self._tally.seams += tally.seams
        return text

    def _yaml(self) -> bytes:
        splits = self.options.splits
        train = splits[0] if splits else ""
        val = next((name for name in splits if name.startswith("val")), (splits or ("",))[-1])
        places = {"train": train, "val": val}
        others = [name for name in splits if name not in (train, val)]
        places |= {"test": others[0]} if others else {}
        stated = {
            **{key: f"{IMAGES}/{name}".rstrip("/") for key, name in places.items()},
            "nc": len(self._classes),
            "names": {k: label for label, k in self._classes.items()},
        }
        text: str = yaml.safe_dump(stated, allow_unicode=True, sort_keys=False, width=10_000)
        note = "" if splits else "# No split was asked for: train and val are the same images.\n"
        return (note + text).encode("utf-8")

    def _path(self, image: FinalImage) -> str:
        return f"{image.split}/{image.file_name}" if image.split else image.file_name

    def picture_place(self, image: FinalImage) -> str:
        """Return the place of a picture, which tells that of its label."""
        return f"{IMAGES}/{self._path(image)}"

    def name_read(self, image: FinalImage) -> str:
        """Return the picture's path."""
        return self.picture_place(image)


def _can_be_label(name: str) -> bool:
    return is_label(f"{name}.txt")


def _shown_size(image: FinalImage) -> tuple[int, int]:
    return (0, 0) if image.picture is None else picture_size(image.picture)


EXPORT = Export("yolo", "YOLO", "yolo", Holds(), YoloWriter, needs_pictures=True)
