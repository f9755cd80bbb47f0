"""Small pictures with a few plain shapes on a noisy ground, and their boxes."""

from __future__ import annotations

from functools import partial

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw

from curate.networks.detectors.training_images import DetectorImage
from curate.networks.runtime.picture_keys import hash_pixels


def draw(
    random: np.random.Generator, width: int = 80, height: int = 64
) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.float64]]:
    """Return a picture and the boxes, XYWH, of the one to three shapes on it."""
    ground = random.integers(0, 256, 3)
    noisy = ground + random.normal(0, 8, (height, width, 3))
    image = Image.fromarray(np.clip(noisy, 0, 255).astype(np.uint8))
    pen = ImageDraw.Draw(image)
    boxes: list[tuple[int, int, int, int]] = []
    for _ in range(random.integers(1, 4)):
        w, h = (int(v) for v in random.integers(14, 32, 2))
        x, y = int(random.integers(0, width - w)), int(random.integers(0, height - h))
        if any(x < a + c and a < x + w and y < b + d and b < y + h for a, b, c, d in boxes):
            continue
        ink = (ground + random.integers(60, 196, 3)) % 256  # far from the ground
        corners = [x, y, x + w - 1, y + h - 1]
        (pen.ellipse if random.random() < 0.5 else pen.rectangle)(corners, fill=tuple(ink.tolist()))
        boxes.append((x, y, w, h))
    return np.asarray(image), np.array(boxes, np.float64)


def scenes(count: int, seed: int = 0) -> list[DetectorImage]:
    """Return scenes to train on; their pictures are held in memory."""
    random = np.random.default_rng(seed)
    made = []
    for k in range(count):
        picture, boxes = draw(random)
        made.append(DetectorImage(k, hash_pixels(picture), boxes, partial(np.asarray, picture)))
    return made
