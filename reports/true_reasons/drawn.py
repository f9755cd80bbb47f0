"""A perfect dataset: smooth shapes drawn on pictures, with right masks, boxes and areas.

Nothing of :mod:`curate.demo_dataset` is used: shapes, pictures and file are made apart from it.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pycocotools.mask as coco_mask
from PIL import Image, ImageFilter

from curate.common.arrays import BoolArray, FloatArray

Rng = np.random.Generator

SIZES = ((320, 240), (400, 300), (480, 480), (640, 426))
"""Widths and heights of pictures, px."""

AN_IMAGE = 8
"""Objects that are placed in a picture, about."""

LEAST_AREA, MOST_SHARE = 300, 0.12
"""Smallest object, px, and largest, as a share of the picture."""


def blob(rng: Rng) -> FloatArray:
    """Draw a round shape whose radius swings gently."""
    angle = np.linspace(0, 2 * np.pi, 160, endpoint=False)
    radius = 1 + sum(
        rng.uniform(0, 0.22) / k * np.cos(k * angle + rng.uniform(0, 6.3)) for k in (2, 3, 4)
    )
    return np.column_stack([radius * np.cos(angle), radius * np.sin(angle)])


def ellipse(rng: Rng) -> FloatArray:
    """Draw an ellipse."""
    angle = np.linspace(0, 2 * np.pi, 120, endpoint=False)
    return np.column_stack([np.cos(angle), rng.uniform(0.35, 1) * np.sin(angle)])


def rounded_box(rng: Rng) -> FloatArray:
    """Draw a box with round corners (a superellipse): a book, a screen, a car."""
    angle = np.linspace(0, 2 * np.pi, 160, endpoint=False)
    power = 2 / rng.uniform(3, 6)
    x, y = np.cos(angle), np.sin(angle)
    flat = rng.uniform(0.4, 1)
    return np.column_stack([np.sign(x) * abs(x) ** power, flat * np.sign(y) * abs(y) ** power])


def capsule(rng: Rng) -> FloatArray:
    """Draw a long, bent shape of even width: a banana, an arm."""
    along = np.linspace(-1, 1, 60)
    bend, width = rng.uniform(-0.5, 0.5), rng.uniform(0.18, 0.35)
    half = width * np.sqrt(np.clip(1 - abs(along) ** 5, 0, None))
    middle = bend * along**2
    return np.concatenate(
        [np.column_stack([along, middle - half]), np.column_stack([along, middle + half])[::-1]]
    )


def clicked(rng: Rng) -> FloatArray:
    """Draw a shape as a person clicks it: 9 to 22 corners around."""
    corners = int(rng.integers(9, 23))
    angle = np.sort((np.arange(corners) + rng.uniform(-0.25, 0.25, corners)) / corners * 2 * np.pi)
    radius = 1 + 0.15 * np.cos(2 * angle + rng.uniform(0, 6.3)) + rng.uniform(-0.05, 0.05, corners)
    return np.column_stack([radius * np.cos(angle), rng.uniform(0.5, 1) * radius * np.sin(angle)])


STYLES: dict[str, Callable[[Rng], FloatArray]] = {
    "blob": blob,
    "ellipse": ellipse,
    "box": rounded_box,
    "banana": capsule,
    "clicked": clicked,
}


@dataclass(frozen=True)
class Placed:
    """An object in its picture: its category, outline in pixels, and its pixels."""

    category: str
    outline: FloatArray
    mask: BoolArray


def place(rng: Rng, size: tuple[int, int], category: str) -> Placed | None:
    """Turn a shape, scale it, and put it into a picture; None where it would not fit."""
    width, height = size
    shape = STYLES[category](rng)
    turn = rng.uniform(0, 2 * np.pi)
    turned = shape @ np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
    scale = np.exp(rng.uniform(np.log(12), np.log(0.18 * min(size) + 12)))
    low, high = scale * turned.min(axis=0), scale * turned.max(axis=0)
    room = np.array(size) - (high - low) - 8
    if (room < 0).any():
        return None
    outline = np.round(scale * turned - low + 4 + rng.uniform(0, 1, 2) * room, 2)
    rles = coco_mask.frPyObjects([outline.ravel().tolist()], height, width)
    mask = coco_mask.decode(coco_mask.merge(rles)).astype(bool)
    if not LEAST_AREA <= mask.sum() <= MOST_SHARE * width * height:
        return None
    return Placed(category, outline, mask)


def fill_picture(rng: Rng, size: tuple[int, int]) -> list[Placed]:
    """Place objects that do not touch each other."""
    placed: list[Placed] = []
    taken = np.zeros(size[::-1], bool)
    for _ in range(6 * AN_IMAGE):
        found = place(rng, size, str(rng.choice(list(STYLES))))
        if found is not None and not (taken & grown(found.mask)).any():
            placed.append(found)
            taken |= found.mask
        if len(placed) == AN_IMAGE:
            break
    return placed


def grown(mask: BoolArray) -> BoolArray:
    """Return a mask with three pixels more on every side."""
    image = Image.fromarray(mask.astype(np.uint8) * 255).filter(ImageFilter.MaxFilter(7))
    return np.asarray(image) > 0


def paint(rng: Rng, size: tuple[int, int], placed: list[Placed]) -> Image.Image:
    """Paint a picture: a shaded ground, objects of another colour, grain over both."""
    width, height = size
    x, y = np.meshgrid(np.linspace(0, 1, width), np.linspace(0, 1, height))
    ground = rng.uniform(60, 190, 3)
    slope = rng.uniform(-40, 40, (2, 3))
    picture = ground + x[..., None] * slope[0] + y[..., None] * slope[1]
    for one in placed:
        away = rng.choice([-1, 1], 3) * rng.uniform(35, 80, 3)
        picture[one.mask] = (
            np.clip(ground + away, 5, 250) + rng.uniform(-20, 20) * y[one.mask, None]
        )
    picture += rng.normal(0, rng.uniform(2, 8), picture.shape)
    sharp = Image.fromarray(np.clip(picture, 0, 255).astype(np.uint8))
    return sharp.filter(ImageFilter.GaussianBlur(rng.uniform(0.3, 0.9)))


def annotation(one: Placed, mask_id: int, image_id: int, polygon: bool) -> dict[str, Any]:
    """Return an object as COCO has it, its box and area right for its spelling."""
    rle = coco_mask.encode(np.asfortranarray(one.mask.astype(np.uint8)))
    x, y = one.outline.T
    low, high = one.outline.min(axis=0), one.outline.max(axis=0)
    around = 0.5 * abs(np.dot(x, np.roll(y, 1)) - np.dot(y, np.roll(x, 1)))
    return {
        "id": mask_id,
        "image_id": image_id,
        "category_id": list(STYLES).index(one.category) + 1,
        "iscrowd": 0,
        "segmentation": [one.outline.ravel().tolist()]
        if polygon
        else {"size": rle["size"], "counts": rle["counts"].decode()},
        "bbox": [*low.tolist(), *(high - low).tolist()]
        if polygon
        else coco_mask.toBbox(rle).tolist(),
        "area": float(around) if polygon else int(coco_mask.area(rle)),
    }


def make(folder: Path, seed: int, masks: int) -> tuple[Path, Path]:
    """Write a dataset of ``masks`` masks; return its file and the folder of its pictures."""
    rng = np.random.default_rng(seed)
    pictures = folder / "images"
    pictures.mkdir(parents=True)
    images: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    while len(annotations) < masks:
        size = SIZES[rng.integers(len(SIZES))]
        placed = fill_picture(rng, size)[: masks - len(annotations)]
        image_id, name = len(images) + 1, f"{len(images) + 1:05d}.png"
        paint(rng, size, placed).save(pictures / name)
        images.append({"id": image_id, "file_name": name, "width": size[0], "height": size[1]})
        polygon = image_id % 2 == 0
        annotations += [
            annotation(one, len(annotations) + k + 1, image_id, polygon)
            for k, one in enumerate(placed)
        ]
    categories = [{"id": k + 1, "name": name} for k, name in enumerate(STYLES)]
    file = folder / "instances.json"
    file.write_text(
        json.dumps({"images": images, "annotations": annotations, "categories": categories})
    )
    return file, pictures
