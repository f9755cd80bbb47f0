"""A small sound dataset with everything that any scorer can ask for, and tables from pixels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from bright_segmenter import BrightSegmenter
from PIL import Image

from curate import rle
from curate.dataset.table import MaskTable, finish
from curate.images import ImageFolder
from curate.scorers.reprompt import Prompter
from curate.scorers.soft_masks import SoftMasks

HEIGHT, WIDTH = 120, 160
Mask = np.ndarray[Any, np.dtype[np.bool_]]


def table_of(
    masks: Sequence[Any],
    images: Sequence[int] | None = None,
    mask_ids: Sequence[int] | None = None,
    **columns: Any,
) -> MaskTable:
    """Return a table of pixel masks (None: no segmentation), all in image 1 unless told."""
    images = [1] * len(masks) if images is None else images
    sizes = [(HEIGHT, WIDTH) if m is None else np.shape(m) for m in masks]
    counts = [
        None if m is None else rle.encode_counts(rle.from_dense(np.asarray(m)))[0].as_py()
        for m in masks
    ]
    frame = pd.DataFrame(
        {
            "source_key": [f"scene.json#/annotations/{k}" for k in range(len(masks))],
            "image_id": images,
            "file_name": [f"{i}.png" for i in images],
            "height": [h for h, _ in sizes],
            "width": [w for _, w in sizes],
            "segmentation": counts,
            **columns,
        },
        index=pd.Index(range(100, 100 + len(masks)) if mask_ids is None else mask_ids),
    )
    first = frame.drop_duplicates("image_id").set_index("image_id")
    return finish(frame, first[["file_name", "height", "width"]])


def disc(cx: float, cy: float, radius: float, shape: tuple[int, int] = (HEIGHT, WIDTH)) -> Mask:
    y, x = np.mgrid[: shape[0], : shape[1]] + 0.5
    return np.asarray(np.hypot(x - cx, y - cy) < radius)


@dataclass
class Scene:
    """Two images of six discs each, an empty mask and one without a segmentation; all is sound."""

    masks: list[Mask | None]
    truth: list[Mask]
    images: list[int]
    columns: dict[str, list[Any]]
    slope: dict[int, float] = field(default_factory=dict)

    @classmethod
    def sound(cls) -> Scene:
        truth, images = [], []
        for image in (1, 2):
            for k in range(6):
                truth.append(disc(30 + 50 * (k % 3), 32 + 55 * (k // 3), 16 + k % 2))
                images.append(image)
        boxes = rle.bbox(rle.concat([rle.from_dense(m) for m in truth])).astype(float)
        n = len(truth) + 2
        columns: dict[str, list[Any]] = {
            "category": (["cell", "nucleus"] * n)[:n],
            "predicted_iou": [0.9] * n,
            "declared_area": [float(m.sum()) for m in truth] + [np.nan] * 2,
            "prompt_x": [*(boxes[:, 0] + boxes[:, 2] / 2), 5.0, 5.0],
            "prompt_y": [*(boxes[:, 1] + boxes[:, 3] / 2), 5.0, 5.0],
            "crop_x": [0.0] * n,
            "crop_y": [0.0] * n,
            "crop_w": [float(WIDTH)] * n,
            "crop_h": [float(HEIGHT)] * n,
        }
        for k, side in enumerate("xywh"):
            columns[f"declared_{side}"] = [*boxes[:, k], np.nan, np.nan]
        empty = np.zeros((HEIGHT, WIDTH), bool)
        return cls([*(m.copy() for m in truth), empty, None], truth, [*images, 2, 2], columns)

    def table(self) -> MaskTable:
        return table_of(self.masks, self.images, **self.columns)

    def inputs(self, folder: Path) -> dict[str, Any]:
        """Draw and write what stands beside the masks: it shows the truth."""
        n = len(self.truth)
        sure = {"category": self.columns["category"][:n], "score": [0.9] * n}
        detections = table_of(self.truth, self.images[:n], range(n), **sure)
        other = table_of(self.truth, self.images[:n], range(n))
        (folder / "images").mkdir()
        (folder / "soft").mkdir()
        for image in (1, 2):
            shown = sum(m for m, i in zip(self.truth, self.images, strict=False) if i == image)
            pixels = np.where(np.asarray(shown) > 0, 200, 40).astype(np.uint8)
            Image.fromarray(pixels).save(folder / "images" / f"{image}.png")
        for k, mask in enumerate(self.truth):
            y, x = np.mgrid[:HEIGHT, :WIDTH]
            distance = np.sqrt(mask.sum() / np.pi) - np.hypot(
                x - x[mask].mean(), y - y[mask].mean()
            )
            np.save(folder / "soft" / f"{100 + k}.npy", distance * self.slope.get(k, 4.0))
        return {
            "detections": detections,
            "compare": {"other": other},
            "images": ImageFolder(folder / "images"),
            "soft_masks": SoftMasks(folder / "soft"),
            "segmenter": Prompter(BrightSegmenter(slope=self._slopes())),
            "deep": True,
        }

    def _slopes(self) -> dict[tuple[int, int], float]:
        """Return the slopes by a pixel of each mask they belong to."""
        found = {}
        for k, slope in self.slope.items():
            y, x = np.nonzero(self.truth[k])
            found[int(x.mean()), int(y.mean())] = slope
        return found
