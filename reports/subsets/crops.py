"""Masks as small crops: the picture and the box that a segmenter gets, and the mask."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pycocotools.mask as coco_mask
from PIL import Image

SIDE = 30
"""Side of a stored crop; training cuts a window of :data:`WINDOW` out of it."""

WINDOW = 24
AROUND = 1.6
"""Side of a window, by the longest side of the mask's box."""

SMALLEST = 12
"""Least side of a window in the picture, px."""


@dataclass(frozen=True)
class Crops:
    """Crops of masks.

    Attributes:
        ids: Annotation ids, shape (n,).
        inputs: Shape (n, 4, side, side), uint8: RGB stretched to the picture's own range, and 255
            in the mask's box.
        masks: Shape (n, side, side), 0 or 1.
    """

    ids: npt.NDArray[np.int64]
    inputs: npt.NDArray[np.uint8]
    masks: npt.NDArray[np.uint8]

    def of(self, ids: Iterable[int]) -> Crops:
        """Return the crops of some masks."""
        here = np.isin(self.ids, list(ids))
        return Crops(self.ids[here], self.inputs[here], self.masks[here])


def cut(document: dict[str, Any], folder: Path) -> Crops:
    """Cut a crop around the box of each mask of a COCO document of RLE or polygons."""
    by_image = defaultdict(list)
    for annotation in document["annotations"]:
        by_image[annotation["image_id"]].append(annotation)
    ids, inputs, masks = [], [], []
    for image in document["images"]:
        picture = _stretch(folder / image["file_name"])
        for annotation in by_image[image["id"]]:
            mask = _decode(annotation["segmentation"], image["height"], image["width"])
            if not mask.any():
                continue
            crop, drawn = _cut_one(picture, mask)
            ids.append(annotation["id"])
            inputs.append(crop)
            masks.append(drawn)
    return Crops(np.array(ids), np.stack(inputs), np.stack(masks))


def _decode(stored: Any, height: int, width: int) -> npt.NDArray[np.bool_]:
    if isinstance(stored, list):
        stored = coco_mask.merge(coco_mask.frPyObjects(stored, height, width))
    elif isinstance(stored["counts"], list):
        stored = coco_mask.frPyObjects(stored, height, width)
    return np.asarray(coco_mask.decode(stored), np.bool_)


def _stretch(path: Path) -> npt.NDArray[np.uint8]:
    pixels = np.asarray(Image.open(path).convert("RGB"), np.float32)
    low, high = np.percentile(pixels, (1, 99))
    return np.clip(255 * (pixels - low) / max(high - low, 1), 0, 255).astype(np.uint8)


def _cut_one(
    picture: npt.NDArray[np.uint8], mask: npt.NDArray[np.bool_]
) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.uint8]]:
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    top, bottom, left, right = rows[0], rows[-1] + 1, columns[0], columns[-1] + 1
    side = max(SMALLEST, AROUND * max(bottom - top, right - left)) * SIDE / WINDOW
    x, y = (left + right) / 2 - side / 2, (top + bottom) / 2 - side / 2
    where = (x, y, x + side, y + side)
    box = np.zeros_like(mask, np.uint8)
    box[top:bottom, left:right] = 255
    planes = [*np.moveaxis(picture, 2, 0), box, mask.astype(np.uint8) * 255]
    made = [_resample(plane, where) for plane in planes]
    return np.stack(made[:4]), (made[4] > 127).astype(np.uint8)


def _resample(plane: npt.NDArray[np.uint8], where: tuple[float, ...]) -> npt.NDArray[np.uint8]:
    extent, bilinear = Image.Transform.EXTENT, Image.Resampling.BILINEAR
    return np.asarray(Image.fromarray(plane).transform((SIDE, SIDE), extent, where, bilinear))
