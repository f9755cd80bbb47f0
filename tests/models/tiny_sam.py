"""A tiny SAM trained on drawn shapes in half a minute, for every test that needs one that works."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image, ImageDraw

from curate.networks.segmenters.small_sam import build_small_sam
from curate.networks.segmenters.training_steps import SegmenterSchedule, train_on_scenes

Masks = npt.NDArray[np.bool_]
Pixels = npt.NDArray[np.uint8]
SIDE, PATCH = 64, 8
SCHEDULE = SegmenterSchedule(
    steps=660, images=4, prompts=6, rounds=1, learning_rate=2e-3, iou_weight=10
)


@dataclass(frozen=True)
class Drawing:
    """Discs, rectangles and polygons, apart from each other, on a dark noisy ground.

    Attributes:
        image: Shape (height, width, 3), uint8.
        masks: Shape (n, height, width).
    """

    image: Pixels
    masks: Masks


def drawing(random: np.random.Generator, height: int = 0, width: int = 0) -> Drawing:
    """Draw three to six shapes; the size is drawn too unless it is given."""
    height, width = height or int(random.integers(64, 129)), width or int(random.integers(64, 129))
    ground = random.uniform(0, 90, 3)
    image = np.tile(ground, (height, width, 1))
    taken = np.zeros((height, width), bool)
    masks: list[Masks] = []
    wanted = int(random.integers(3, 7))
    for _ in range(40):
        if len(masks) == wanted:
            break
        mask = shape(random, height, width)
        if mask.sum() < 60 or (mask & taken).any():
            continue
        image[mask] = random.uniform(120, 255, 3)
        taken |= mask
        masks.append(mask)
    image += random.normal(0, random.uniform(2, 12), image.shape)
    if not masks:
        return drawing(random, height, width)
    return Drawing(np.clip(image, 0, 255).astype(np.uint8), np.array(masks))


def shape(random: np.random.Generator, height: int, width: int) -> Masks:
    """Draw one disc, rectangle or polygon, a tenth to a fifth of the longest side in radius."""
    radius = random.uniform(0.09, 0.22) * max(height, width)
    centre = random.uniform(radius / 2, (width - radius / 2, height - radius / 2))
    canvas = Image.new("1", (width, height))
    pen = ImageDraw.Draw(canvas)
    kind = random.integers(3)
    half = radius * random.uniform(0.6, 1, 2)
    if kind == 0:
        pen.ellipse([*(centre - half), *(centre + half)], fill=1)
    elif kind == 1:
        pen.rectangle([*(centre - half), *(centre + half)], fill=1)
    else:
        corners = int(random.integers(3, 8))
        turn = (np.arange(corners) + random.uniform(0, 0.6, corners)) * 2 * np.pi / corners
        reach = radius * random.uniform(0.7, 1, corners)
        ring = centre + np.stack([np.cos(turn), np.sin(turn)], axis=1) * reach[:, None]
        pen.polygon([tuple(point) for point in ring], fill=1)
    return np.asarray(canvas, bool)


def drawings(count: int, seed: int) -> list[Drawing]:
    """Draw images with a seed."""
    random = np.random.default_rng(seed)
    return [drawing(random) for _ in range(count)]


def trained_sam(folder: Path, schedule: SegmenterSchedule = SCHEDULE) -> Path:
    """Train a tiny SAM on drawings and save it like a real one; return where it is."""
    model = build_small_sam(side=SIDE, patch=PATCH, hidden=64, layers=2, decoder=64)
    threads = torch.get_num_threads()
    torch.set_num_threads(min(2, threads))
    try:
        scenes = [(drawn.image, drawn.masks) for drawn in drawings(300, seed=0)]
        train_on_scenes(model, scenes, schedule, seed=0)
    finally:
        torch.set_num_threads(threads)
    model.save_pretrained(folder)
    return folder
