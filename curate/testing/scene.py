"""Drawn dataset, sound in all respects, with everything that a scorer can ask for."""

from __future__ import annotations

import io
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pandas as pd
from PIL import Image

from curate import rle
from curate.common import files
from curate.common.arrays import AnyArray, BoolArray
from curate.dataset.table import MaskTable, finish
from curate.images import ImageFolder
from curate.networks.encoders.encoder import HandcraftedEncoder
from curate.scorers.reprompt import Prompter
from curate.scorers.soft_masks import SoftMasks
from curate.testing.bright_segmenter import BrightSegmenter
from curate.testing.bright_verifier import BrightVerifier

HEIGHT, WIDTH = 120, 160
"""Size of the scene's images, in pixels."""

FIRST_ID = 100
"""Id of the first mask."""

SPOILT = 4
"""Row of the mask that defects are planted in: a disc around (80, 87) on the first image."""


def table_of(
    masks: Sequence[AnyArray | None],
    images: Sequence[int] | None = None,
    mask_ids: Iterable[int] | None = None,
    **columns: Any,
) -> MaskTable:
    """Return a table of masks drawn as pixels.

    Args:
        masks: Each of shape (height, width); None for one without a segmentation.
        images: Image id of each; all are on image 1 if None. Image 3 is called ``3.png``.
        mask_ids: Id of each; from :data:`FIRST_ID` on if None.

    Further columns are given by name, with a value a mask.
    """
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
        index=range(FIRST_ID, FIRST_ID + len(masks)) if mask_ids is None else list(mask_ids),
    )
    first = frame.drop_duplicates("image_id").set_index("image_id")
    return finish(frame, first[["file_name", "height", "width"]])


def disc(x: float, y: float, radius: float, shape: tuple[int, int] = (HEIGHT, WIDTH)) -> BoolArray:
    """Draw a disc of a radius in pixels around a point, on an image of a shape."""
    rows, columns = np.mgrid[: shape[0], : shape[1]] + 0.5
    inside: BoolArray = np.hypot(columns - x, rows - y) < radius
    return inside


@dataclass
class Scene:
    """Two images of six discs each, then an empty mask and one without a segmentation.

    Attributes:
        masks: The masks of the table; a defect changes them.
        truth: What they should be: what pictures, detections, soft masks and so on show.
        images: Image id of each mask.
        columns: Further columns of the table, a value a mask: ``category``, ``predicted_iou``,
            ``declared_x``, ``prompt_x``, ``crop_x`` and their kin.
        slope: Logits a pixel of the soft masks' edges, by row, where it is not 4.
    """

    masks: list[BoolArray | None]
    truth: list[BoolArray]
    images: list[int]
    columns: dict[str, list[Any]]
    slope: dict[int, float] = field(default_factory=dict)

    SPOILT: ClassVar[int] = SPOILT

    @classmethod
    def sound(cls) -> Scene:
        """Draw the scene without any defect."""
        truth, images = [], []
        for image in (1, 2):
            for k in range(6):
                truth.append(disc(30 + 50 * (k % 3), 32 + 55 * (k // 3), 16 + k % 2))
                images.append(image)
        boxes = rle.bbox(truth).astype(float)
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

    @property
    def spoilt(self) -> BoolArray:
        """The mask that a defect is planted in, shape (height, width)."""
        mask = self.masks[SPOILT]
        assert mask is not None
        return mask

    @spoilt.setter
    def spoilt(self, mask: BoolArray) -> None:
        self.masks[SPOILT] = mask

    def table(self) -> MaskTable:
        """Return the masks as a scorer gets them."""
        return table_of(self.masks, self.images, **self.columns)

    def inputs(self, folder: Path) -> dict[str, object]:
        """Draw pictures, detections, soft masks and the like, all of them of the truth.

        Args:
            folder: An empty folder, for pictures and soft masks.

        Returns:
            By the words of :data:`curate.scorers.scorer.NEEDS`.
        """
        n = len(self.truth)
        sure = {"category": self.columns["category"][:n], "score": [0.9] * n}
        detections = table_of(self.truth, self.images[:n], range(n), **sure)
        other = table_of(self.truth, self.images[:n], range(n))
        files.mkdir(folder / "images")
        files.mkdir(folder / "soft")
        for image in (1, 2):
            shown = sum(m for m, i in zip(self.truth, self.images, strict=False) if i == image)
            pixels = np.where(np.asarray(shown) > 0, 200, 40).astype(np.uint8)
            packed = io.BytesIO()
            Image.fromarray(pixels).save(packed, "PNG")
            files.write_bytes(folder / "images" / f"{image}.png", packed.getvalue())
        for k, mask in enumerate(self.truth):
            y, x = np.mgrid[:HEIGHT, :WIDTH]
            distance = np.sqrt(mask.sum() / np.pi) - np.hypot(
                x - x[mask].mean(), y - y[mask].mean()
            )
            with files.open_file(folder / "soft" / f"{FIRST_ID + k}.npy") as file:
                files.save_array(file, distance * self.slope.get(k, 4.0))
        return {
            "detections": detections,
            "compare": {"other": other},
            "images": ImageFolder(folder / "images"),
            "soft_masks": SoftMasks(folder / "soft"),
            "segmenter": Prompter(BrightSegmenter(slope=self._slopes())),
            "verifier": BrightVerifier(),
            "encoder": HandcraftedEncoder(),
            "judge": self._judge,
            "deep": True,
        }

    def _judge(self, table: MaskTable) -> pd.DataFrame:
        """Answer as a judge that knows the truth: by each mask's IoU with it."""
        places = table.masks.index.to_numpy(np.int64) - FIRST_ID
        iou = np.zeros(len(table))
        for row, place in enumerate(places.tolist()):
            mask = rle.decode(table.runs[row : row + 1])[0]
            truth = self.truth[place]
            iou[row] = (mask & truth).sum() / (mask | truth).sum()
        answers = {"judge_score": iou, "judge_answer": np.where(iou > 0.5, "accept", "reject")}
        return pd.DataFrame({**answers, "judge_reason": "by its IoU"}, index=table.masks.index)

    def _slopes(self) -> dict[tuple[int, int], float]:
        """Return the slopes by a pixel of each mask they belong to."""
        found = {}
        for k, slope in self.slope.items():
            y, x = np.nonzero(self.truth[k])
            found[int(x.mean()), int(y.mean())] = slope
        return found
