"""Masks drawn by chance: with holes, in parts, at the border, ragged, of one pixel."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from pycocotools import mask as coco_mask

Rng = np.random.Generator
Size = tuple[int, int]
"""Height and width in pixels."""

APART = 0.4
"""Masks of one image share less than this (IoU), so that nobody can take one for another."""


def encoded(mask: np.ndarray) -> bytes:
    """Return pixels as COCO compressed counts, by pycocotools."""
    counts: bytes = coco_mask.encode(np.asfortranarray(mask.astype(np.uint8)))["counts"]
    return counts


def decoded(counts: bytes | str, size: Size) -> np.ndarray:
    """Return the pixels of COCO compressed counts, by pycocotools."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # its arrays are older than NumPy 2
        return np.asarray(coco_mask.decode({"size": list(size), "counts": counts}) > 0)


def rasterised(rings: Sequence[Sequence[float]], size: Size) -> np.ndarray:
    """Return the pixels of polygons, by pycocotools."""
    merged = coco_mask.merge(coco_mask.frPyObjects([list(ring) for ring in rings], *size))
    return decoded(merged["counts"], size)


def rle_of(mask: np.ndarray) -> dict[str, Any]:
    return {"size": list(mask.shape), "counts": encoded(mask).decode()}


def runs_of(pixels: np.ndarray) -> list[int]:
    """Return run lengths of a flat mask, background first."""
    flat = pixels.astype(np.int8)
    edges = np.flatnonzero(np.diff(flat)) + 1
    counts = np.diff(np.concatenate([[0], edges, [flat.size]])).tolist()
    return [0, *counts] if flat[0] else counts


def box_of(mask: np.ndarray) -> tuple[int, int, int, int]:
    """Return x, y, w and h, where w and h count pixels."""
    y, x = np.nonzero(mask)
    return int(x.min()), int(y.min()), int(np.ptp(x)) + 1, int(np.ptp(y)) + 1


def iou(a: np.ndarray, b: np.ndarray) -> float:
    return float((a & b).sum() / max(1, (a | b).sum()))


def _block(rng: Rng, size: Size) -> np.ndarray:
    height, width = size
    mask = np.zeros(size, bool)
    h, w = (int(rng.integers(3, max(4, side * 2 // 3))) for side in size)
    y, x = int(rng.integers(0, height - h + 1)), int(rng.integers(0, width - w + 1))
    mask[y : y + h, x : x + w] = True
    return mask


def ring(rng: Rng, size: Size) -> np.ndarray:
    """A block with holes, one of them in the middle."""
    mask = _block(rng, size)
    x, y, w, h = box_of(mask)
    mask[y + 1 : y + h - 1, x + w // 2] = False
    mask[y + h // 2, x + 1 : x + w - 1] = False
    mask[y + 1, x + 1] = False
    return mask


def parts(rng: Rng, size: Size) -> np.ndarray:
    return np.asarray(_block(rng, size) ^ _block(rng, size))


def border(rng: Rng, size: Size) -> np.ndarray:
    """A block at an edge of the image, or in a corner."""
    mask = np.zeros(size, bool)
    h, w = (int(rng.integers(2, side)) for side in size)
    rows = slice(h // 2, h) if rng.random() < 0.5 else slice(size[0] - h // 2, size[0])
    mask[rows, : w // 2 + 1] = True
    return mask if rng.random() < 0.5 else mask[:, ::-1].copy()


def blob(rng: Rng, size: Size) -> np.ndarray:
    """Smooth noise over a threshold."""
    noise = rng.random(size)
    for _ in range(max(3, min(size) // 6)):
        for axis in (0, 1):
            noise = noise + np.roll(noise, 1, axis) + np.roll(noise, -1, axis)
    return noise > np.quantile(noise, rng.uniform(0.6, 0.9))


def dot(rng: Rng, size: Size) -> np.ndarray:
    mask = np.zeros(size, bool)
    mask[int(rng.integers(size[0])), int(rng.integers(size[1]))] = True
    return mask


def noise(rng: Rng, size: Size) -> np.ndarray:
    return rng.random(size) < rng.uniform(0.02, 0.5)


def full(rng: Rng, size: Size) -> np.ndarray:
    return np.ones(size, bool)


SHAPES = (ring, parts, border, blob, dot)
"""What masks of a dataset are."""

ANY_SHAPE = (*SHAPES, noise, full)
"""What a person may draw instead of one."""


def drawn(rng: Rng, size: Size, shapes: Sequence[Callable[..., Any]] = SHAPES) -> np.ndarray:
    """Return a mask with a pixel at least."""
    while True:
        mask: np.ndarray = shapes[int(rng.integers(len(shapes)))](rng, size)
        if mask.any():
            return mask


def is_apart(mask: np.ndarray, others: Sequence[np.ndarray]) -> bool:
    return all(iou(mask, other) < APART for other in others)


def scene(rng: Rng, size: Size, count: int) -> list[np.ndarray]:
    """Return masks of one image, none of which is nearly another; the first has holes."""
    made: list[np.ndarray] = [ring(rng, size)]
    while len(made) < count:
        mask = drawn(rng, size)
        if is_apart(mask, made):
            made.append(mask)
    return made


def star(rng: Rng, size: Size) -> list[float]:
    """Return a ring of 3 to 8 corners as alternating x and y, some of them at the border."""
    height, width = size
    angles = np.sort(rng.uniform(0, 2 * math.pi, int(rng.integers(3, 9))))
    radius = rng.uniform(0.3, 1, len(angles)) * min(size) / 2
    x = rng.uniform(0, width) + radius * np.cos(angles)
    y = rng.uniform(0, height) + radius * np.sin(angles)
    corners = np.stack([np.clip(x, 0, width), np.clip(y, 0, height)], axis=1)
    hundredths = (corners.ravel() * 100).astype(int)
    hundredths[hundredths % 20 == 10] += 1  # where COCO rounds, readers in single precision differ
    return [value / 100 for value in hundredths.tolist()]


def stars(
    rng: Rng, size: Size, count: int, others: Sequence[np.ndarray] = (), rings: int = 1
) -> list[list[list[float]]]:
    """Return polygons of one image, none of which is nearly another or one of some masks."""
    made: list[list[list[float]]] = []
    seen = list(others)
    while len(made) < count:
        one = [star(rng, size) for _ in range(rings)]
        mask = rasterised(one, size)
        if mask.sum() > 3 and is_apart(mask, seen):
            made.append(one)
            seen.append(mask)
    return made
