"""Masks with the picture around them: what a segmenter sees of a click, and what it is to draw.

Every picture is brought to one scale, the short side to :data:`SHORT_SIDE`, so that a window shows
the same share of every picture whatever the mask in it is.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pycocotools.mask as coco_mask
from PIL import Image

SHORT_SIDE = 128
"""Short side of every picture as the segmenter sees it, px."""

WINDOW = 32
"""Side of the window around a click, px of that scale."""

Bytes = npt.NDArray[np.uint8]


@dataclass(frozen=True)
class Crop:
    """A mask with so much around it that there is a window around each of its pixels.

    Attributes:
        picture: RGB stretched to the picture's own range, shape (3, h, w).
        mask: Shape (h, w), 0 or 1; its box, and half a window on each side.
        pixels: Rows and columns of the mask's pixels, shape (n, 2).
        area: Of the mask in the picture, px of the picture.
    """

    picture: Bytes
    mask: Bytes
    pixels: npt.NDArray[np.int64]
    area: float

    def window(self, random: np.random.Generator) -> tuple[Bytes, Bytes]:
        """Return picture and mask around a pixel of the mask, each as likely as any other."""
        top, left = self.pixels[random.integers(len(self.pixels))] - WINDOW // 2
        there = (slice(top, top + WINDOW), slice(left, left + WINDOW))
        return self.picture[:, *there], self.mask[there]


def cut(document: dict[str, Any], folder: Path) -> dict[int, Crop]:
    """Return the crop of each mask of a COCO document by annotation id; empty masks have none."""
    by_image = defaultdict(list)
    for annotation in document["annotations"]:
        by_image[annotation["image_id"]].append(annotation)
    crops = {}
    for image in document["images"]:
        height, width = image["height"], image["width"]
        scale = SHORT_SIDE / min(height, width)
        size = (round(width * scale), round(height * scale))
        picture = _read_picture(folder / image["file_name"], size)
        for annotation in by_image[image["id"]]:
            mask = _decode(annotation["segmentation"], height, width)
            if mask.any():
                crops[annotation["id"]] = _cut_one(picture, mask, size)
    return crops


def _read_picture(path: Path, size: tuple[int, int]) -> Bytes:
    """Return the picture at its scale, with half a window of black around it."""
    pixels = Image.open(path).convert("RGB").resize(size, Image.Resampling.BOX)
    values = np.asarray(pixels, np.float32)
    low, high = np.percentile(values, (1, 99))
    stretched = np.clip(255 * (values - low) / max(high - low, 1), 0, 255).astype(np.uint8)
    edge = WINDOW // 2
    return np.pad(np.moveaxis(stretched, 2, 0), ((0, 0), (edge, edge), (edge, edge)))


def _decode(stored: Any, height: int, width: int) -> Bytes:
    if isinstance(stored, list):
        stored = coco_mask.merge(coco_mask.frPyObjects(stored, height, width))
    elif isinstance(stored["counts"], list):
        stored = coco_mask.frPyObjects(stored, height, width)
    return np.asarray(coco_mask.decode(stored), np.uint8)


def _cut_one(picture: Bytes, mask: Bytes, size: tuple[int, int]) -> Crop:
    cover = np.asarray(Image.fromarray(mask * 255).resize(size, Image.Resampling.BOX))
    small = (cover > min(127, int(cover.max()) - 1)).astype(np.uint8)
    rows, columns = np.flatnonzero(small.any(1)), np.flatnonzero(small.any(0))
    edge = WINDOW // 2
    # The picture has an edge already: what is at y in the mask is at y + edge in it.
    there = (slice(rows[0], rows[-1] + 1 + 2 * edge), slice(columns[0], columns[-1] + 1 + 2 * edge))
    own = np.pad(small[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1], edge)
    return Crop(picture[:, *there].copy(), own, np.argwhere(own), float(mask.sum()))
