"""A small dataset of boxes, as COCO has it."""

from __future__ import annotations

from typing import Any

import numpy as np
from pycocotools import mask as coco_mask

HEIGHT, WIDTH = 40, 50


def rle(pixels: np.ndarray) -> dict[str, Any]:
    """Return pixels as COCO's compressed RLE."""
    made = coco_mask.encode(np.asfortranarray(pixels.astype(np.uint8)))
    return {"size": list(made["size"]), "counts": made["counts"].decode()}


def box(x: int, y: int, w: int, h: int) -> np.ndarray:
    """Return a filled box on an image of the fixture's size."""
    pixels = np.zeros((HEIGHT, WIDTH), bool)
    pixels[y : y + h, x : x + w] = True
    return pixels


def annotation(number: int, image: int, pixels: np.ndarray, category: int = 1) -> dict[str, Any]:
    """Return an annotation."""
    return {
        "id": number,
        "image_id": image,
        "category_id": category,
        "segmentation": rle(pixels),
        "area": int(pixels.sum()),
        "bbox": [0, 0, 1, 1],
        "iscrowd": 0,
    }


def dataset() -> dict[str, Any]:
    """Return three images with four boxes each, ids 1 to 12."""
    images = [
        {"id": k, "file_name": f"{k}.png", "height": HEIGHT, "width": WIDTH} for k in (1, 2, 3)
    ]
    annotations = [
        annotation(4 * (image - 1) + k + 1, image, box(12 * k + 1, 5, 8 + k % 2, 10 + image))
        for image in (1, 2, 3)
        for k in range(4)
    ]
    categories = [{"id": 1, "name": "cat"}, {"id": 2, "name": "dog"}]
    return {"images": images, "annotations": annotations, "categories": categories}
