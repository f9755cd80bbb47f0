"""Square windows of a picture around its masks, brought to the size of an encoder's input."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from PIL import Image

from curate.common.arrays import ByteArray, Float32Array, IntArray
from curate.rle import Runs, bbox, to_dense

MARGIN = 1.2
"""Side of a window, as a multiple of the longest side of the mask's box."""

SMALLEST = 8.0
"""Shortest side of a window in pixels of the picture."""


@dataclass(frozen=True)
class MaskWindows:
    """Windows around n masks of one picture.

    Attributes:
        pixels: RGB, shape (n, height, width, 3), uint8; black outside of the picture.
        shares: How much of each pixel the mask covers, shape (n, height, width), in [0, 1].
    """

    pixels: ByteArray
    shares: Float32Array


def cut_windows(
    picture: Image.Image, runs: Runs, rows: IntArray, size: tuple[int, int]
) -> MaskWindows:
    """Cut square windows around some masks out of their picture.

    Args:
        picture: RGB, of the size of the masks.
        runs: The picture's masks.
        rows: Which of them; each has pixels.
        size: Height and width that each window is brought to.
    """
    pixels = np.zeros((len(rows), *size, 3), np.uint8)
    shares = np.zeros((len(rows), *size), np.float32)
    boxes = bbox(runs)
    for place, row in enumerate(rows.tolist()):
        x, y, w, h = (int(v) for v in boxes[row])
        side = max(SMALLEST, MARGIN * max(w, h))
        left, top = x + w / 2 - side / 2, y + h / 2 - side / 2
        pixels[place] = resize_window(picture, (left, top), (side, side), size)
        mask = Image.fromarray(to_dense(runs, row, (x, y, w, h)).astype(np.uint8) * 255)
        covered = resize_window(mask, (left - x, top - y), (side, side), size)
        shares[place] = covered.astype(np.float32) / 255
    return MaskWindows(pixels, shares)


def resize_window(
    image: Image.Image,
    corner: tuple[float, float],
    sides: tuple[float, float],
    size: tuple[int, int],
) -> ByteArray:
    """Return a window, which may reach beyond the image, in another size; black outside of it.

    Args:
        image: RGB, or of one channel.
        corner: Left and top of the window in pixels.
        sides: Its width and height.
        size: Height and width of the result.

    Returns:
        Shape (height, width, 3), or (height, width) of one channel.
    """
    bounds = []
    for start, length, side, pixels in zip(corner, image.size, sides, size[::-1], strict=True):
        step = side / pixels
        low = min(max(0, int(np.ceil(-start / step - 1e-9))), pixels - 1)
        high = min(pixels, int(np.floor((length - start) / step + 1e-9)))
        bounds.append((low, max(low + 1, high), step))
    (left, right, across), (top, bottom, down) = bounds
    box = (
        max(0.0, corner[0] + left * across),
        max(0.0, corner[1] + top * down),
        min(float(image.width), corner[0] + right * across),
        min(float(image.height), corner[1] + bottom * down),
    )
    shape = size if image.mode == "L" else (*size, 3)
    result = np.zeros(shape, np.uint8)
    part = image.resize(
        (right - left, bottom - top), Image.Resampling.BILINEAR, box=box, reducing_gap=2.0
    )
    result[top:bottom, left:right] = np.asarray(part)
    return result
