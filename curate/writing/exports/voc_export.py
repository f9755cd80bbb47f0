"""Pascal VOC: palette PNGs of instances and of classes, lists of the splits, pictures.

``SegmentationObject`` and ``SegmentationClass`` have a PNG an image in VOC's colours, and
``labelmap.txt`` says which colour is which class, as CVAT and datumaro read it. 255 is left for
void, so an image has 254 masks at most, and a dataset 254 classes. Ignore regions, and crowd
regions if they may be no masks, are void where no mask has their pixels.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np

from curate.common import files
from curate.errors import CallError
from curate.formats.png.packing import pack_png
from curate.writing.exports.categories import list_categories
from curate.writing.exports.export import UNNAMED, Export, Holds, Writer, WriterOptions
from curate.writing.exports.id_pngs import check_size, find_too_many, find_void, paint
from curate.writing.exports.image_names import ImageNames, without_ending
from curate.writing.exports.losses import Loss
from curate.writing.final_dataset import FinalDataset, FinalImage

MOST = 254
"""Masks of an image, and classes: 0 is background and :data:`VOID` void."""

VOID = 255

OBJECTS, CLASSES, IMAGES, LISTS = (
    "SegmentationObject",
    "SegmentationClass",
    "JPEGImages",
    "ImageSets/Segmentation",
)
_WITHOUT_SPLITS = "trainval"


def voc_color(number: int) -> tuple[int, int, int]:
    """Return a colour of VOC's palette: bits of the number spread over the channels.

    >>> voc_color(1), voc_color(255)
    ((128, 0, 0), (224, 224, 192))
    """
    color, left = [0, 0, 0], number
    for bit in range(7, -1, -1):
        for channel in range(3):
            color[channel] |= (left >> channel & 1) << bit
        left >>= 3
    return color[0], color[1], color[2]


PALETTE = bytes(value for number in range(256) for value in voc_color(number))


class VocWriter(Writer):
    """Writes two PNGs an image."""

    def __init__(self, dataset: FinalDataset, options: WriterOptions) -> None:
        super().__init__(dataset, options)
        self._names = ImageNames(dataset, flat=True)
        labels = list_categories(dataset)
        if len(labels) > MOST:
            what = f"it has {len(labels)} categories, and a PNG of classes has {MOST}"
            raise CallError(what, str(dataset.audit.path), "choose another format")
        self._spelled = _spell(labels)
        self._classes = {self._spelled[label]: k for k, label in enumerate(labels, 1)}

    def find_losses(self, image: FinalImage) -> Iterable[Loss]:
        """Find masks beyond 254, class names that a line cannot hold, other names."""
        check_size(image)
        yield from find_too_many(image, MOST)
        for mask in image.masks:
            label = mask.label or UNNAMED
            spelled = self._spelled.get(label, label)  # spelled already where it is not listed
            if spelled != label:
                fields = {"category": spelled, "category_id": None}
                yield Loss("class name", mask, f"{label!r} as {spelled!r}", fields)
        yield from self._names.find_losses(image)

    def write(self, images: Iterator[FinalImage], out: Path) -> None:
        """Write the PNGs, the lists of the splits and the label map."""
        for folder in (OBJECTS, CLASSES, LISTS):
            files.mkdir(out / folder, parents=True, exist_ok=True)
        names: dict[str, list[str]] = {one: [] for one in self.options.splits or (_WITHOUT_SPLITS,)}
        for image in images:
            stem = without_ending(image.file_name)
            names[image.split or _WITHOUT_SPLITS].append(stem)
            classes = [self._classes[mask.label or UNNAMED] for mask in image.masks]
            numbers = range(1, len(image.masks) + 1)
            void = find_void(image)
            for folder, values in ((OBJECTS, numbers), (CLASSES, classes)):
                pixels = paint(image, list(values)).astype(np.uint8)
                pixels = np.where(void & (pixels == 0), np.uint8(VOID), pixels)
                files.write_bytes(out / folder / f"{stem}.png", pack_png(pixels, PALETTE))
            self.tally.runs += len(image.masks)
        for split, stems in names.items():
            text = "".join(f"{stem}\n" for stem in stems)
            files.write_bytes(out / LISTS / f"{split}.txt", text.encode("utf-8"))
        files.write_bytes(out / "labelmap.txt", self._label_map().encode("utf-8"))

    def _label_map(self) -> str:
        lines = ["# label:color_rgb:parts:actions", "background:0,0,0::"]
        for label, number in self._classes.items():
            lines.append(f"{label}:{','.join(map(str, voc_color(number)))}::")
        return "".join(f"{line}\n" for line in lines)

    def picture_place(self, image: FinalImage) -> str:
        """Return the place of a picture."""
        return f"{IMAGES}/{image.file_name}"


def _spell(labels: list[str]) -> dict[str, str]:
    """Return how each class is written: on one line, without what separates, each once."""
    made: dict[str, str] = {}
    plain = {label for label in labels if _clean(label) == label}
    for label in labels:
        spelled = _clean(label)
        while label not in plain and (spelled in plain or spelled in made.values()):
            spelled += "_"
        made[label] = spelled
    return made


def _clean(label: str) -> str:
    made = "".join(c if c.isprintable() and c != ":" else "_" for c in label).strip()
    return f"_{made[1:]}" if made[:1] == "#" or not made or made == "background" else made


EXPORT = Export(
    "voc",
    "Pascal VOC",
    "label-png",
    Holds(void=True, overlaps=False, paths=False),
    VocWriter,
)
