"""Errors put into a COCO file on purpose: the four noises of COCO-N, missing and duplicate masks.

The noises are those of the benchmark COCO-N (Grad et al., arXiv 2406.10891), written anew from its
description: *approximation* simplifies the outline (Douglas and Peucker's method), *localisation*
moves every corner of the outline by Gaussian noise, *scale* dilates or erodes with a square,
*class* draws another category uniformly. As there, outlines are those of the outer pieces, so holes
are filled, and an outline is filled with its border pixels. A *duplicate* is the same object drawn
again more coarsely, within 2 px; a *missing* mask was taken out.
"""

from __future__ import annotations

import copy
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pycocotools.mask as coco_mask
from PIL import Image, ImageDraw
from scipy import ndimage

sys.path.append(str(Path(__file__).resolve().parents[1] / "_common"))
from planted import as_rle

from curate.common.arrays import BoolArray, FloatArray

LEVELS: dict[str, dict[str, float]] = {
    "easy": {"approximation": 5, "localisation": 2, "scale": 3},
    "medium": {"approximation": 10, "localisation": 3, "scale": 5},
    "hard": {"approximation": 15, "localisation": 4, "scale": 7},
}
"""COCO-N's tolerance (px), standard deviation (px) and side of the square (px)."""

SPATIAL = ("approximation", "localisation", "scale")
KINDS = (*SPATIAL, "class", "missing", "duplicate")
PADDING = 32
"""Room around a mask in which noise may draw, px."""

_AROUND = ((0, 1), (1, 1), (1, 0), (1, -1), (0, -1), (-1, -1), (-1, 0), (-1, 1))


def outline(piece: BoolArray) -> FloatArray:
    """Return the border pixels of one connected piece in order, x and y, corners only.

    Moore tracing: go round each pixel clockwise from where one came, to the next one that is set.
    """
    padded = np.pad(piece, 1)
    y, x = (int(v[0]) for v in np.nonzero(padded))
    start, came = (y, x), 6  # the first in reading order: nothing is set above or to the left
    ring = [(x - 1, y - 1)]
    first = None
    while True:
        for step in range(1, 9):
            k = (came + step) % 8
            down, right = _AROUND[k]
            if padded[y + down, x + right]:
                break
        else:
            return np.array(ring, np.float64)  # a single pixel
        if (y, x) == start:
            if first is None:
                first = k
            elif first == k:
                break
        y, x, came = y + down, x + right, (k + 4) % 8
        ring.append((x - 1, y - 1))
    return corners(np.array(ring[:-1], np.float64))


def corners(ring: FloatArray) -> FloatArray:
    """Leave out points in the middle of straight runs."""
    if len(ring) < 3:
        return ring
    before, after = ring - np.roll(ring, 1, axis=0), np.roll(ring, -1, axis=0) - ring
    kept = (before != after).any(axis=1)
    return ring[kept] if kept.any() else ring


def simplified(ring: FloatArray, tolerance: float) -> FloatArray:
    """Simplify a closed outline by Douglas and Peucker's method."""
    far = int(((ring - ring[0]) ** 2).sum(axis=1).argmax())
    halves = (ring[: far + 1], np.vstack([ring[far:], ring[:1]]))
    return np.vstack([_line(half, tolerance)[:-1] for half in halves])


def _line(points: FloatArray, tolerance: float) -> FloatArray:
    if len(points) < 3:
        return points
    start, way = points[0], points[-1] - points[0]
    length = float(np.hypot(*way))
    if length:
        away = np.abs(way[0] * (points[:, 1] - start[1]) - way[1] * (points[:, 0] - start[0]))
        away = away / length
    else:
        away = np.hypot(*(points - start).T)
    k = int(away.argmax())
    if away[k] <= tolerance:
        return points[[0, -1]]
    return np.vstack([_line(points[: k + 1], tolerance)[:-1], _line(points[k:], tolerance)])


def filled(rings: list[FloatArray], shape: tuple[int, int]) -> BoolArray:
    """Draw outlines, filled, with their border."""
    picture = Image.new("1", (shape[1], shape[0]))
    pen = ImageDraw.Draw(picture)
    for ring in rings:
        points = [(int(x), int(y)) for x, y in np.rint(ring)]
        if len(points) > 1:
            pen.polygon(points, fill=1, outline=1)
        else:
            pen.point(points, fill=1)
    return np.asarray(picture, bool)


def outlines(mask: BoolArray) -> list[FloatArray]:
    """Return the outer outline of every piece."""
    labels, count = ndimage.label(mask, np.ones((3, 3)))
    return [outline(labels == k) for k in range(1, count + 1)]


def noisy(mask: BoolArray, kind: str, strength: float, random: np.random.Generator) -> BoolArray:
    """Return a mask with one of the spatial noises; see the top of this page."""
    if kind == "scale":
        square = np.ones((int(strength), int(strength)))
        if random.random() < 0.5:
            return np.asarray(ndimage.binary_dilation(mask, square))
        return np.asarray(ndimage.binary_erosion(mask, square, border_value=1))
    rings = outlines(mask)
    if kind == "approximation":
        rings = [simplified(ring, strength) for ring in rings if len(ring) > 3]
    else:
        rings = [ring + random.normal(0, strength, ring.shape) for ring in rings]
    return filled(rings, mask.shape)


@dataclass
class Injected:
    """A damaged document and the truth about it.

    Attributes:
        document: The COCO document.
        kinds: The kind of error by annotation id; a missing mask is not here.
        ious: IoU of old and new mask by annotation id, for spatial noise.
        originals: By id of a duplicate, the mask that it repeats.
        missing: The annotations that were taken out.
    """

    document: dict[str, Any]
    kinds: dict[int, str] = field(default_factory=dict)
    ious: dict[int, float] = field(default_factory=dict)
    originals: dict[int, int] = field(default_factory=dict)
    missing: list[dict[str, Any]] = field(default_factory=list)


def inject(
    document: dict[str, Any], seed: int, level: str = "medium", share: float = 0.02
) -> Injected:
    """Put errors of each kind into a share of the masks.

    Every mask is stored as run lengths, with area and box measured, so that nothing stored betrays
    which ones were touched; annotations are shuffled, so that their ids do not either.
    """
    random = np.random.default_rng(seed)
    found = Injected(copy.deepcopy(document))
    shapes = {i["id"]: (i["height"], i["width"]) for i in document["images"]}
    for annotation in found.document["annotations"]:
        store(annotation, as_rle(annotation, *shapes[annotation["image_id"]]))
    intact = [a for a in found.document["annotations"] if not a.get("iscrowd")]
    order = random.permutation(len(intact))
    each = round(share * len(intact))
    kinds = [kind for kind in KINDS for _ in range(each)]
    places = iter(order)
    for kind in kinds:
        while not damage(found, intact[next(places)], kind, level, random):
            pass
    renumber(found, random)
    return found


def damage(
    found: Injected, annotation: dict[str, Any], kind: str, level: str, random: np.random.Generator
) -> bool:
    """Damage one annotation; False where this kind leaves nothing of it, or changes nothing."""
    key = annotation["id"]
    if kind == "class":
        others = [c["id"] for c in found.document["categories"]]
        others.remove(annotation["category_id"])
        annotation["category_id"] = int(random.choice(others))
    elif kind == "missing":
        found.document["annotations"].remove(annotation)
        found.missing.append(annotation)
        return True
    else:
        rle = annotation["segmentation"]
        new = drawn_anew(rle, kind, level, random)
        if not coco_mask.area(new):
            return False
        iou = float(coco_mask.iou([new], [rle_of(rle)], [0])[0, 0])
        if iou == 1 and kind != "duplicate":
            return False
        if kind == "duplicate":
            annotation = annotation | {"id": 10**9 + len(found.originals)}
            found.document["annotations"].append(annotation)
            found.originals[annotation["id"]] = key
            key = annotation["id"]
        store(annotation, new)
        found.ious[key] = iou
    found.kinds[key] = kind
    return True


def drawn_anew(
    rle: dict[str, Any], kind: str, level: str, random: np.random.Generator
) -> dict[str, Any]:
    """Return the run lengths of a mask with noise."""
    mask = coco_mask.decode(rle_of(rle)).astype(bool)
    strength = LEVELS[level].get(kind, 2.0)
    mask = noisy(mask, "approximation" if kind == "duplicate" else kind, strength, random)
    return dict(coco_mask.encode(np.asfortranarray(mask.astype(np.uint8))))


def rle_of(stored: dict[str, Any]) -> dict[str, Any]:
    """Return stored run lengths as pycocotools wants them."""
    return {"size": stored["size"], "counts": stored["counts"].encode()}


def store(annotation: dict[str, Any], rle: dict[str, Any]) -> None:
    """Write a mask into an annotation, with its own area and box."""
    annotation["area"] = float(coco_mask.area(rle))
    annotation["bbox"] = coco_mask.toBbox(rle).tolist()
    annotation["segmentation"] = {"size": list(rle["size"]), "counts": rle["counts"].decode()}


def renumber(found: Injected, random: np.random.Generator) -> None:
    """Shuffle the annotations and number them from 1."""
    annotations = found.document["annotations"]
    random.shuffle(annotations)
    new = {a["id"]: k for k, a in enumerate(annotations, 1)}
    for annotation in annotations:
        annotation["id"] = new[annotation["id"]]
    found.kinds = {new[k]: kind for k, kind in found.kinds.items()}
    found.ious = {new[k]: iou for k, iou in found.ious.items()}
    found.originals = {new[k]: new[o] for k, o in found.originals.items()}
