"""Training images for a detector: augmentation, inputs and targets."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from PIL import Image

from curate.common.arrays import BoolArray, ByteArray, Float32Array, FloatArray
from curate.networks.detectors.preprocessing import DetectorInput

MAX_ZOOM = 1.5
"""Most that an image is enlarged or made smaller."""

ZOOM_CHANCE = 0.5
"""Share of images that are enlarged or made smaller."""

MIN_VISIBLE = 0.5
"""Share of a box that must be left of it in a cut-out for it to be there to find."""

MAX_BRIGHTNESS_SHIFT = 0.2
"""Most that brightness and contrast change."""


@dataclass(frozen=True)
class DetectorImage:
    """A training or held-out image.

    Attributes:
        image_id: Of the image.
        key: Of the picture's pixels, see :func:`curate.networks.runtime.picture_keys.hash_pixels`.
        boxes: Shape (n, 4), XYWH in pixels of the image; one or more.
        picture: Gives its pixels, shape (height, width, 3), uint8; called again each time.
        group: Images of one group stay on one side of a split; the picture's own key if empty.
    """

    image_id: int
    key: str
    boxes: FloatArray
    picture: Callable[[], ByteArray]
    group: str = ""


def make_example(
    picture: ByteArray,
    boxes: FloatArray,
    prepared: DetectorInput,
    random: np.random.Generator | None,
) -> tuple[Float32Array, Float32Array]:
    """Return a detector's input and its targets for one image.

    Args:
        picture: Shape (height, width, 3), uint8.
        boxes: Shape (n, 4), XYWH in pixels.
        prepared: How an image becomes an input; of a fixed size.
        random: Draws the augmentation: mirrored left to right, cut out or shrunk by up to
            :data:`MAX_ZOOM`, and lit otherwise. None changes nothing.

    Returns:
        The input, shape (3, height, width), and boxes as the library wants them: shape (m, 4),
        centre and size as shares of the input. m is at least 1 where n is.
    """
    height, width = picture.shape[:2]
    window = np.array([0.0, 0.0, width, height])
    if random is not None:
        window = _draw_window(boxes, height, width, random)
        left, top, right, bottom = (int(v) for v in window)
        cut = Image.fromarray(picture).crop((left, top, right, bottom))
        picture = _jitter_brightness(np.asarray(cut), random)
    kept, visible = _clip(boxes, window)
    kept = kept[visible]
    sizes = (window[2:] - window[:2])[[0, 1, 0, 1]]
    shares = np.concatenate([kept[:, :2] + kept[:, 2:] / 2 - window[:2], kept[:, 2:]], 1) / sizes
    if random is not None and random.random() < 0.5:
        picture = picture[:, ::-1]
        shares[:, 0] = 1 - shares[:, 0]
    return prepared.prepare(np.ascontiguousarray(picture)), shares.astype(np.float32)


def _draw_window(
    boxes: FloatArray, height: int, width: int, random: np.random.Generator
) -> FloatArray:
    """Draw left, top, right and bottom of the visible window, with at least one box in it."""
    whole = np.array([0.0, 0.0, width, height])
    if random.random() >= ZOOM_CHANCE:
        return whole
    for _ in range(10):
        zoom = np.exp(random.uniform(-np.log(MAX_ZOOM), np.log(MAX_ZOOM)))
        size = np.maximum(1, np.round(np.array([width, height]) * zoom))
        first = np.round(random.uniform(0, 1, 2) * (whole[2:] - size))
        window = np.concatenate([first, first + size])
        if _clip(boxes, window)[1].any():
            return window
    return whole


def _clip(boxes: FloatArray, window: FloatArray) -> tuple[FloatArray, BoolArray]:
    """Return boxes clipped to a window, and which of them are still visible."""
    low = np.maximum(boxes[:, :2], window[:2])
    high = np.minimum(boxes[:, :2] + boxes[:, 2:], window[2:])
    sides = np.maximum(high - low, 0)
    visible = sides.prod(1) >= MIN_VISIBLE * boxes[:, 2:].prod(1)
    return np.concatenate([low, sides], 1), visible & (sides > 0).all(1)


def _jitter_brightness(picture: ByteArray, random: np.random.Generator) -> ByteArray:
    gain, lift = (
        random.uniform(1 - MAX_BRIGHTNESS_SHIFT, 1 + MAX_BRIGHTNESS_SHIFT),
        random.uniform(-MAX_BRIGHTNESS_SHIFT, MAX_BRIGHTNESS_SHIFT) * 128,
    )
    levels = np.clip((np.arange(256) - 128) * gain + 128 + lift, 0, 255).astype(np.uint8)
    return np.asarray(levels[picture])
