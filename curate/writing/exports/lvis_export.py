"""LVIS: COCO instances without ``iscrowd``, whose categories say how many images they are in.

A synset is that of the name where nothing better is known. No image says which categories it does
certainly not show: nothing in an audit tells.
"""

from __future__ import annotations

from dataclasses import replace

from curate.writing.exports.coco_export import EXPORT as COCO
from curate.writing.exports.coco_export import CocoWriter
from curate.writing.exports.export import WriterOptions
from curate.writing.final_dataset import FinalDataset, FinalImage, FinalMask

_RARE, _COMMON = 10, 100
"""The most images in which a category is rare, or common; in more it is frequent."""


class LvisWriter(CocoWriter):
    """Writes COCO with LVIS's fields."""

    stem = "lvis"
    categories_last = True

    def __init__(self, dataset: FinalDataset, options: WriterOptions) -> None:
        super().__init__(dataset, options)
        self._counts: dict[tuple[str | None, int], list[int]] = {}

    def image(self, image: FinalImage) -> dict[str, object]:
        """Return an image's record; count its categories."""
        seen = [self.number(mask) for mask in image.masks]
        for number in seen:
            self._counts.setdefault((image.split, number), [0, 0])[1] += 1
        for number in set(seen):
            self._counts[image.split, number][0] += 1
        lists: dict[str, object] = {"neg_category_ids": [], "not_exhaustive_category_ids": []}
        return super().image(image) | lists

    def annotation(self, image: FinalImage, mask: FinalMask) -> dict[str, object]:
        """Return a mask's record."""
        made = super().annotation(image, mask)
        return {name: value for name, value in made.items() if name != "iscrowd"}

    def list_categories(self, split: str | None) -> list[dict[str, object]]:
        """Return the records of all categories, with the counts of one split."""
        return [
            self._category(number, name, *self._counts.get((split, number), (0, 0)))
            for name, number in self.categories.items()
        ]

    def _category(self, number: int, name: str, images: int, masks: int) -> dict[str, object]:
        frequency = "r" if images <= _RARE else "c" if images <= _COMMON else "f"
        word = name.strip().replace(" ", "_").lower()
        return {
            "id": number,
            "name": name,
            "synset": f"{word}.n.01",
            "synonyms": [word],
            "def": "",
            "frequency": frequency,
            "image_count": images,
            "instance_count": masks,
        }


EXPORT = replace(
    COCO,
    name="lvis",
    title="LVIS",
    reader="lvis",
    holds=replace(COCO.holds, crowds=False),
    open=LvisWriter,
    in_folder="annotations/lvis.json",
)
