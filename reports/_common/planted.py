"""Errors put into a COCO file on purpose, eleven kinds, drawn with a seed."""

from __future__ import annotations

import copy
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pycocotools.mask as coco_mask
from scipy import ndimage

from curate.common.arrays import BoolArray

SMALLEST = 100
"""Masks under this area are left alone, px: on them most kinds would not show."""


@dataclass(frozen=True)
class Scene:
    """One mask and what a defect may need to know of its surroundings."""

    mask: BoolArray
    others: list[BoolArray]
    random: np.random.Generator

    def box(self) -> tuple[int, int, int, int]:
        """Return top, bottom, left, right; half open."""
        rows, columns = np.flatnonzero(self.mask.any(1)), np.flatnonzero(self.mask.any(0))
        return int(rows[0]), int(rows[-1]) + 1, int(columns[0]), int(columns[-1]) + 1

    def step(self) -> int:
        """Return 12% of the mask's side as if it were square, px, at least 1."""
        return max(1, round(0.12 * float(np.sqrt(self.mask.sum()))))


def moved(mask: BoolArray, down: int, right: int) -> BoolArray:
    """Return the mask displaced; what leaves the image is cut off."""
    rows, columns = np.nonzero(mask)
    rows, columns = rows + down, columns + right
    height, width = mask.shape
    inside = (rows >= 0) & (rows < height) & (columns >= 0) & (columns < width)
    result = np.zeros_like(mask)
    result[rows[inside], columns[inside]] = True
    return result


def duplicate(scene: Scene) -> BoolArray:
    """Draw the same object again, one pixel beside."""
    return moved(scene.mask, 1, 1)


def shifted(scene: Scene) -> BoolArray:
    """Move by 30% of the box in any direction."""
    top, bottom, left, right = scene.box()
    angle = scene.random.uniform(0, 2 * np.pi)
    down, across = 0.3 * (bottom - top) * np.sin(angle), 0.3 * (right - left) * np.cos(angle)
    return moved(scene.mask, round(down), round(across))


def elsewhere(scene: Scene) -> BoolArray:
    """Put the shape anywhere in the image."""
    top, bottom, left, right = scene.box()
    height, width = scene.mask.shape
    down = int(scene.random.integers(height - (bottom - top) + 1)) - top
    return moved(scene.mask, down, int(scene.random.integers(width - (right - left) + 1)) - left)


def too_wide(scene: Scene) -> BoolArray:
    """Draw the outline too far out, by 12% of the object's size."""
    return np.asarray(ndimage.binary_dilation(scene.mask, iterations=scene.step()))


def too_tight(scene: Scene) -> BoolArray:
    """Draw the outline too far in, by 12% of the object's size."""
    return np.asarray(ndimage.binary_erosion(scene.mask, iterations=scene.step()))


def half(scene: Scene) -> BoolArray:
    """Cut one half off along a straight line, as a tile's border does."""
    top, bottom, left, right = scene.box()
    result = scene.mask.copy()
    if scene.random.random() < 0.5:
        result[:, (left + right) // 2 :] = False
    else:
        result[(top + bottom) // 2 :] = False
    return result


def hole(scene: Scene) -> BoolArray:
    """Leave a round hole at the thickest place, half as wide as the mask is there."""
    depth = ndimage.distance_transform_edt(scene.mask)
    row, column = np.unravel_index(depth.argmax(), depth.shape)
    rows, columns = np.ogrid[: depth.shape[0], : depth.shape[1]]
    away = (rows - row) ** 2 + (columns - column) ** 2
    return np.asarray(scene.mask & (away > (0.5 * depth.max()) ** 2))


def merged(scene: Scene) -> BoolArray | None:
    """Draw the nearest other object within 20 px into the same mask."""
    away = ndimage.distance_transform_edt(~scene.mask)
    gaps = [(float(away[other].min()), k) for k, other in enumerate(scene.others) if other.any()]
    if not gaps or min(gaps)[0] > 20:
        return None
    return np.asarray(scene.mask | scene.others[min(gaps)[1]])


def coarse(scene: Scene) -> BoolArray | None:
    """Draw a polygon of five corners only."""
    rows, columns = np.nonzero(scene.mask)
    middle, centre = rows.mean(), columns.mean()
    angles, away = (
        np.arctan2(rows - middle, columns - centre),
        np.hypot(rows - middle, columns - centre),
    )
    ring: list[float] = []
    for angle in np.linspace(-np.pi, np.pi, 5, endpoint=False):
        near = np.flatnonzero(np.abs((angles - angle + np.pi) % (2 * np.pi) - np.pi) < 0.3)
        if len(near):
            corner = near[away[near].argmax()]
            ring += [float(columns[corner]), float(rows[corner])]
    if len(ring) < 6:
        return None
    return coco_mask.decode(coco_mask.frPyObjects([ring], *scene.mask.shape))[..., 0].astype(bool)


def sliver(scene: Scene) -> BoolArray:
    """Put a line of one pixel on the border of the image instead of the object."""
    result = np.zeros_like(scene.mask)
    turned = result.T if scene.random.random() < 0.5 else result
    length = max(12, round(float(np.sqrt(scene.mask.sum()))))
    start = int(scene.random.integers(max(1, turned.shape[0] - length)))
    turned[start : start + length, 0 if scene.random.random() < 0.5 else -1] = True
    return result


def torn(scene: Scene) -> BoolArray:
    """Take out a level band, a sixth of the height, so that it falls apart."""
    top, bottom, _, _ = scene.box()
    width = max(2, (bottom - top) // 6)
    first = (top + bottom - width) // 2
    result = scene.mask.copy()
    result[first : first + width] = False
    return result


KINDS: dict[str, Callable[[Scene], BoolArray | None]] = {
    "duplicate": duplicate,
    "shifted": shifted,
    "elsewhere": elsewhere,
    "too wide": too_wide,
    "too tight": too_tight,
    "half": half,
    "hole": hole,
    "merged": merged,
    "five corners": coarse,
    "sliver": sliver,
    "torn": torn,
}


def as_rle(annotation: dict[str, Any], height: int, width: int) -> dict[str, Any]:
    """Return pycocotools' RLE of an annotation, whatever way it is stored."""
    stored = annotation["segmentation"]
    if isinstance(stored, list):
        return coco_mask.merge(coco_mask.frPyObjects(stored, height, width))
    if isinstance(stored["counts"], list):
        return coco_mask.frPyObjects(stored, height, width)
    return {"size": stored["size"], "counts": stored["counts"].encode()}


def plant(
    document: dict[str, Any], seed: int, share: float = 0.12
) -> tuple[dict[str, Any], dict[int, str], dict[int, int]]:
    """Damage a share of the masks of a COCO document.

    Area and box are those of the damaged mask, so that nothing stored betrays it.

    Returns:
        The damaged document; the kind by annotation id; a duplicate's original by its id.
    """
    random = np.random.default_rng(seed)
    damaged = copy.deepcopy(document)
    shapes = {image["id"]: (image["height"], image["width"]) for image in damaged["images"]}
    by_image = defaultdict(list)
    for annotation in damaged["annotations"]:
        if not annotation.get("iscrowd"):
            by_image[annotation["image_id"]].append(annotation)
    kinds: dict[int, str] = {}
    originals: dict[int, int] = {}
    next_id = max(a["id"] for a in damaged["annotations"]) + 1
    for image_id, intact in sorted(by_image.items()):
        masks = [coco_mask.decode(as_rle(a, *shapes[image_id])).astype(bool) for a in intact]
        for k, annotation in enumerate(intact):
            if random.random() >= share or masks[k].sum() < SMALLEST:
                continue
            kind = list(KINDS)[random.integers(len(KINDS))]
            result = KINDS[kind](Scene(masks[k], masks[:k] + masks[k + 1 :], random))
            if result is None or result.sum() < 12:
                continue
            if kind == "duplicate":
                original, annotation = annotation, annotation | {"id": next_id}
                damaged["annotations"].append(annotation)
                originals[next_id] = original["id"]
                next_id += 1
            rle = coco_mask.encode(np.asfortranarray(result.astype(np.uint8)))
            annotation["area"] = float(coco_mask.area(rle))
            annotation["bbox"] = coco_mask.toBbox(rle).tolist()
            annotation["segmentation"] = {"size": rle["size"], "counts": rle["counts"].decode()}
            kinds[annotation["id"]] = kind
    return damaged, kinds, originals
