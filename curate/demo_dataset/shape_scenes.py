"""Small scenes of round bodies on a noisy ground, which a small segmenter learns in minutes."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import orjson
from PIL import Image

from curate.common import files
from curate.common.arrays import BoolArray, ByteArray, FloatArray
from curate.common.ranges import check_numbers
from curate.demo_dataset.demo_writing import segmentation_of
from curate.errors import CallError
from curate.formats.format import new_folder

SIDE = 64
"""Side of a scene in pixels."""

CATEGORY = "body"


def draw_shapes(path: Path, *, images: int, seed: int = 0, side: int = SIDE) -> Path:
    """Draw scenes of three to seven bodies and write them as COCO with its pictures.

    Args:
        path: A new or empty folder: ``images`` and ``instances.json``.
        images: How many scenes.
        seed: Other seeds draw other scenes.
        side: Of each scene, in pixels.

    Returns:
        The COCO file.

    Raises:
        CallError: The folder holds something, or a number is out of range.
    """
    check_numbers(seed=seed)
    if images < 1:
        raise CallError(f"{images} scenes are asked for", str(path), "ask for one or more")
    document: dict[str, list[dict[str, object]]] = {
        "images": [],
        "annotations": [],
        "categories": [{"id": 1, "name": CATEGORY}],
    }
    with new_folder(path) as made:
        files.mkdir(made / "images")
        for number in range(1, images + 1):
            picture, masks = draw_bodies(np.random.default_rng([seed, number]), side)
            name = f"scene_{seed}_{number:04d}.png"
            packed = io.BytesIO()
            Image.fromarray(picture).save(packed, "PNG")
            files.write_bytes(made / "images" / name, packed.getvalue())
            about = {"id": number, "file_name": name, "height": side, "width": side}
            document["images"].append(about)
            document["annotations"] += [
                {
                    "id": 100 * number + k,
                    "image_id": number,
                    "category_id": 1,
                    "iscrowd": 0,
                    "segmentation": segmentation_of(mask),
                    "area": int(mask.sum()),
                    "bbox": list(_box(mask)),
                }
                for k, mask in enumerate(masks)
            ]
        files.write_bytes(made / "instances.json", orjson.dumps(document))
    return path / "instances.json"


def draw_bodies(random: np.random.Generator, side: int = SIDE) -> tuple[ByteArray, list[BoolArray]]:
    """Draw a scene.

    Args:
        random: Of everything in it.
        side: Of the square picture, in pixels.

    Returns:
        The picture, shape (side, side, 3), and the mask of each body, shape (side, side); bodies
        do not overlap.
    """
    y, x = np.mgrid[:side, :side] / side
    slope = random.uniform(-30, 30, 2)
    ground = random.uniform(20, 80, 3)[None, None] + (slope[0] * x + slope[1] * y)[..., None]
    taken, masks = np.zeros((side, side), bool), list[BoolArray]()
    wanted = int(random.integers(3, 8))
    for _ in range(60):
        body = _body(random, x, y)
        if len(masks) == wanted or body.sum() < 30 or (body & taken).any():
            continue
        ground[body] = random.uniform(0.85, 1.15) * random.uniform(120, 210, 3)
        taken |= body
        masks.append(body)
    noisy = ground + random.normal(0, random.uniform(2, 12), ground.shape)
    return np.clip(noisy, 0, 255).astype(np.uint8), masks


def _body(random: np.random.Generator, x: FloatArray, y: FloatArray) -> BoolArray:
    """Draw one body: an ellipse with a wavy outline."""
    centre, radius = random.uniform(0.05, 0.95, 2), random.uniform(0.07, 0.16)
    turn, stretch = random.uniform(0, np.pi), random.uniform(0.65, 1)
    dx, dy = x - centre[0], y - centre[1]
    u = dx * np.cos(turn) + dy * np.sin(turn)
    v = (dy * np.cos(turn) - dx * np.sin(turn)) / stretch
    angle = np.arctan2(v, u)
    waves = sum(
        random.uniform(0, 0.12 / k) * np.cos(k * angle + random.uniform(0, 2 * np.pi))
        for k in (2, 3, 4)
    )
    inside: BoolArray = np.hypot(u, v) < radius * (1 + waves)
    return inside


def _box(mask: BoolArray) -> tuple[int, int, int, int]:
    ys, xs = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    return int(xs[0]), int(ys[0]), int(xs[-1] - xs[0]) + 1, int(ys[-1] - ys[0]) + 1
