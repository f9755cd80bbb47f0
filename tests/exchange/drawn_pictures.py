"""Two drawn pictures with masks that tools have trouble with, the same each time."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
from boxes import rle
from PIL import Image

import curate
from curate.store.audit import StoredAudit, open_audit

SIZES = ((200, 320), (150, 90))
"""Height and width of each image; none is square."""

CATEGORIES = ("ring & <disc>", 'dog "x"')


def shapes(height: int, width: int) -> dict[str, np.ndarray]:
    """Return masks by what is special about them."""
    y, x = np.mgrid[:height, :width]

    def disc(cx: float, cy: float, r: float) -> np.ndarray:
        return np.asarray((x - cx * width) ** 2 + (y - cy * height) ** 2 <= r * r)

    dot = np.zeros((height, width), bool)
    dot[height // 2, width * 3 // 4] = True
    return {
        "hole": disc(0.25, 0.3, 24) & ~disc(0.25, 0.3, 9),
        "parts": disc(0.6, 0.2, 12) | disc(0.85, 0.3, 7),
        "border": (x < 12) & (y > height * 0.75),
        "dot": dot,
        "corner": disc(1.0, 1.0, 22),
        "disc": disc(0.45, 0.7, 18),
    }


def dataset() -> dict[str, Any]:
    """Return the pictures and their masks as COCO has them, ids from 1."""
    images: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    for image, (height, width) in enumerate(SIZES, 1):
        images.append({"id": image, "file_name": f"{image}.png", "height": height, "width": width})
        for k, mask in enumerate(shapes(height, width).values()):
            ys, xs = np.nonzero(mask)
            x, y = int(xs.min()), int(ys.min())
            annotations.append(
                {
                    "id": len(annotations) + 1,
                    "image_id": image,
                    "category_id": 1 + k % 2,
                    "segmentation": rle(mask),
                    "area": int(mask.sum()),
                    "bbox": [x, y, int(xs.max()) - x + 1, int(ys.max()) - y + 1],
                    "iscrowd": 0,
                }
            )
    categories = [{"id": k, "name": name} for k, name in enumerate(CATEGORIES, 1)]
    return {"images": images, "annotations": annotations, "categories": categories}


def pixels(height: int, width: int) -> np.ndarray:
    """Return a dark picture on which the masks' objects are bright."""
    y, x = np.mgrid[:height, :width]
    noise = (7 * x + 13 * y) % 17
    picture = np.repeat((30 + noise)[:, :, None], 3, 2).astype(np.uint8)
    for k, mask in enumerate(shapes(height, width).values()):
        picture[mask] = (200 - 20 * k, 90 + 20 * k, 120)
    return picture


def drawn_audit(folder: Path) -> StoredAudit:
    """Draw the pictures into a new folder, audit them, and return the audit."""
    (folder / "pictures").mkdir(parents=True)
    for image, size in enumerate(SIZES, 1):
        Image.fromarray(pixels(*size)).save(folder / "pictures" / f"{image}.png")
    (folder / "drawn.json").write_text(json.dumps(dataset()))
    curate.audit(folder / "drawn.json", folder / "audit", images=folder / "pictures")
    return open_audit(folder / "audit")
