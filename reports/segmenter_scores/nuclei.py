"""The nuclei of the study: their images by half, brought to one scale, whole or cut into tiles."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pycocotools.mask as coco_mask
from PIL import Image

SIDE = 128
"""Side of the segmenter's square input, in pixels."""

DIAMETER = 26.0
"""Of an image's median nucleus once it is brought to scale, in pixels."""

Pixels = npt.NDArray[np.uint8]
Labels = npt.NDArray[np.uint16]


def halves(data: Path, seed: int = 0) -> tuple[set[int], set[int]]:
    """Split the images by id at random: those that a segmenter learns from, and the others."""
    document = json.loads((data / "dsb2018/instances_original.json").read_text())
    images = np.unique([a["image_id"] for a in document["annotations"]])
    drawn = np.random.default_rng(seed).permutation(images)[: len(images) // 2]
    first = set(drawn.tolist())
    return first, set(images.tolist()) - first


def part_of(document: dict[str, Any], images: set[int]) -> dict[str, Any]:
    """Return a COCO document with some of its images only."""
    return document | {
        "images": [i for i in document["images"] if i["id"] in images],
        "annotations": [a for a in document["annotations"] if a["image_id"] in images],
    }


def dense(annotation: dict[str, Any], height: int, width: int) -> npt.NDArray[np.bool_]:
    """Return an annotation's mask, shape (height, width)."""
    shape = annotation["segmentation"]
    if isinstance(shape, list):
        rle = coco_mask.merge(coco_mask.frPyObjects(shape, height, width))
    elif isinstance(shape["counts"], list):
        rle = coco_mask.frPyObjects(shape, height, width)
    else:
        rle = shape
    return np.asarray(coco_mask.decode(rle), bool)


@dataclass(frozen=True)
class Plate:
    """An image and its nuclei, brought to scale.

    Attributes:
        image: Shape (height, width, 3), uint8.
        labels: Shape (height, width): number of the nucleus from 1 on, 0 on the ground.
    """

    image: Pixels
    labels: Labels


def scale_of(annotations: list[dict[str, Any]]) -> float:
    """Return by how much an image is enlarged: what its masks, as published, ask for."""
    areas = [a["area"] for a in annotations if a["area"] > 0]
    diameter = 2 * float(np.sqrt(np.median(areas) / np.pi)) if areas else DIAMETER
    return float(np.clip(DIAMETER / diameter, 0.25, 4))


def plates(data: Path, images: set[int], longest: int | None = None) -> list[Plate]:
    """Read images with their masks as first published: nobody has corrected them yet.

    Args:
        data: Folder of the datasets.
        images: Which.
        longest: Longest side that they are brought to; the study's scale if None.
    """
    document = part_of(json.loads((data / "dsb2018/instances_original.json").read_text()), images)
    masks: dict[int, list[dict[str, Any]]] = {}
    for annotation in document["annotations"]:
        masks.setdefault(annotation["image_id"], []).append(annotation)
    made = []
    for image in sorted(document["images"], key=lambda image: image["id"]):
        picture = Image.open(data / "dsb2018/images" / image["file_name"]).convert("RGB")
        height, width = image["height"], image["width"]
        labels = np.zeros((height, width), np.uint16)
        for k, annotation in enumerate(masks.get(image["id"], []), start=1):
            labels[dense(annotation, height, width)] = k
        scale = longest / max(height, width) if longest else scale_of(masks.get(image["id"], []))
        size = (max(1, round(width * scale)), max(1, round(height * scale)))
        made.append(
            Plate(
                np.asarray(picture.resize(size, Image.Resampling.BILINEAR)),
                np.asarray(Image.fromarray(labels).resize(size, Image.Resampling.NEAREST)),
            )
        )
    return made


@dataclass(frozen=True)
class Cutting:
    """Cuts a piece out of a plate, turned, zoomed and tinted at random, with some nuclei on it.

    Attributes:
        side: Of the square piece, in pixels.
        most: Nuclei given at most.
        zoom: Largest factor of the random scale; the smallest is its inverse.
    """

    side: int
    most: int
    zoom: float = 1.4

    def __call__(
        self, scene: tuple[Pixels, Labels], random: np.random.Generator
    ) -> tuple[Pixels, npt.NDArray[np.bool_]]:
        """Return a piece of a plate, whose labels come as (1, h, w), and its masks, (n, h, w)."""
        image, labels = self._piece(Plate(scene[0], scene[1][0]), random)
        turns, flip = int(random.integers(4)), bool(random.integers(2))
        image, labels = np.rot90(image, turns), np.rot90(labels, turns)
        if flip:
            image, labels = image[:, ::-1], labels[:, ::-1]
        tinted = image.astype(np.float32)
        tinted = 255 * (tinted / 255) ** random.uniform(0.7, 1.4)
        tinted = tinted * random.uniform(0.8, 1.2, 3 if random.random() < 0.3 else 1)
        if random.random() < 0.1:
            tinted = 255 - tinted
        counts = np.bincount(labels.ravel())
        found = np.flatnonzero(counts >= 12)
        found = random.permutation(found[found > 0])[: self.most]
        masks = labels[None] == found[:, None, None]
        return np.clip(tinted, 0, 255).astype(np.uint8), masks

    def _piece(self, plate: Plate, random: np.random.Generator) -> tuple[Pixels, Labels]:
        scale = self.zoom ** random.uniform(-1, 1)
        wanted = self.side / scale
        height, width = plate.labels.shape
        nuclei = np.argwhere(plate.labels)
        middle = nuclei[random.integers(len(nuclei))] if len(nuclei) else (height // 2, width // 2)
        corner = middle - random.uniform(0.2, 0.8, 2) * wanted
        top, left = (
            min(max(c, 0.0), max(n - wanted, 0.0))
            for c, n in zip(corner, (height, width), strict=True)
        )
        box = (left, top, left + wanted, top + wanted)
        size = (self.side, self.side)
        cut = Image.fromarray(plate.image).transform(
            size, Image.Transform.EXTENT, box, Image.Resampling.BILINEAR
        )
        drawn = Image.fromarray(plate.labels).transform(
            size, Image.Transform.EXTENT, box, Image.Resampling.NEAREST
        )
        return np.asarray(cut), np.asarray(drawn)
