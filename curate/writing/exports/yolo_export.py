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
from curate.formats.picture_sizes import picture_size
from curate.formats.yolo.label_lines import Coordinates, coordinates_of
from curate.formats.yolo.yolo_folders import is_label
from curate.writing.exports.categories import list_categories
from curate.writing.exports.export import UNNAMED, Export, Holds, Writer, WriterOptions
from curate.writing.exports.image_names import ImageNames, without_ending
from curate.writing.exports.losses import Loss
from curate.writing.final_dataset import FinalDataset, FinalImage, FinalMask

IMAGES, LABELS = "images", "labels"
MOST_BYTES = 1 << 28
"""Of coordinates that are kept from when losses are looked for until they are written."""

_RESERVED = frozenset({IMAGES, LABELS})  # trainers find labels by replacing the one by the other


class YoloWriter(Writer):
    """Writes a label file an image."""

    split_in_names = True

    def __init__(self, dataset: FinalDataset, options: WriterOptions) -> None:
        super().__init__(dataset, options)
        self._names = ImageNames(dataset, reserved=_RESERVED, is_allowed=_can_be_label)
        self._classes = {label: k for k, label in enumerate(list_categories(dataset))}
        self._traced = _Traced(self)

    def find_losses(self, image: FinalImage) -> Iterable[Loss]:
        """Find images with pictures of another size, other names, masks that are no polygon."""
        shown = image.size if image.status == "ok" or image.picture is None else _shown_size(image)
        if shown != image.size:
            sizes = f"its picture is {shown[1]} x {shown[0]} px as it is shown, its masks are of "
            detail = f"{sizes}{image.width} x {image.height}"
            yield Loss("image", None, detail, None)
            return
        yield from self._names.find_losses(image)
        self._traced.begin_image()
        for mask in image.masks:
            try:
                self._traced.find(image, mask)
            except CallError:
                yield Loss("mask", mask, "too large or too ragged for one polygon", None)

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

    def _line(self, image: FinalImage, mask: FinalMask) -> bytes:
        return self._traced.take(image, mask).count_in(self.tally)

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


class _Traced:
    """Coordinates of masks, which are asked for when losses are looked for and when it is written.

    As many as :data:`MOST_BYTES` hold are traced once, those beyond that twice.

    Args:
        writer: Finds the rings that the source has.
    """

    def __init__(self, writer: Writer) -> None:
        self._writer = writer
        self._kept: dict[int, Coordinates] = {}
        self._here: dict[int, Coordinates] = {}
        self._left = MOST_BYTES

    def begin_image(self) -> None:
        """Forget the image before, but for what is kept for long."""
        self._here = {}

    def find(self, image: FinalImage, mask: FinalMask) -> Coordinates:
        """Return the coordinates of a mask.

        Raises:
            CallError: It has none.
        """
        found = self._kept.get(mask.mask_id) or self._here.get(mask.mask_id)
        if found is None:
            own = self._writer.find_own_rings(image, mask, single=True)
            ring = None if own is None else own[0]
            found = coordinates_of(mask.counts, image.size, mask.source_key, ring)
            if len(found.text) <= self._left:
                self._left -= len(found.text)
                self._kept[mask.mask_id] = found
            else:
                self._here[mask.mask_id] = found
        return found

    def take(self, image: FinalImage, mask: FinalMask) -> Coordinates:
        """Return the coordinates of a mask that is written, for the last time."""
        found = self.find(image, mask)
        if self._kept.pop(mask.mask_id, None) is not None:
            self._left += len(found.text)
        return found


def _can_be_label(name: str) -> bool:
    return is_label(f"{name}.txt")


def _shown_size(image: FinalImage) -> tuple[int, int]:
    return (0, 0) if image.picture is None else picture_size(image.picture)


EXPORT = Export("yolo", "YOLO", "yolo", Holds(), YoloWriter, needs_pictures=True)
