"""Pictures and masks at the scale at which objects without a mask are looked for."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

import numpy as np
from PIL import Image

from curate.common.arrays import BoolArray, ByteArray, Float32Array
from curate.rle import Runs, bbox, to_dense

OBJECT_PX = 20.0
"""Side that the typical object of a dataset gets, as a square, in pixels."""

LONGEST_SIDES = (160, 1024)
"""Least and most pixels of a reduced picture's longest side; these go before :data:`OBJECT_PX`."""

LARGEST_SCALE = 2.0
"""Most that a picture is enlarged."""

FLAT_LEVELS = 6.0
"""Added to the standard deviation of the picture's levels, so that no noise is made large."""


@dataclass(frozen=True)
class ReducedMask:
    """Pixels of a mask in its box.

    Attributes:
        top: First row of the box.
        left: First column.
        pixels: Shape (height, width) of the box.
    """

    top: int
    left: int
    pixels: BoolArray

    @property
    def place(self) -> tuple[slice, slice]:
        """Rows and columns of the box."""
        height, width = self.pixels.shape
        return slice(self.top, self.top + height), slice(self.left, self.left + width)


@dataclass(frozen=True)
class ReducedImage:
    """A picture at the scale at which objects are looked for, with its masks.

    Attributes:
        picture: Shape (height, width, 3), RGB.
        masks: In the order in which they were given.
        size: Height and width of the image itself.
    """

    picture: ByteArray
    masks: tuple[ReducedMask, ...]
    size: tuple[int, int]

    @property
    def shape(self) -> tuple[int, int]:
        """Height and width of the reduced picture."""
        return self.picture.shape[0], self.picture.shape[1]

    def draw(self, which: Collection[int]) -> BoolArray:
        """Return the pixels of some masks together, by their places."""
        drawn = np.zeros(self.shape, np.bool_)
        for k in which:
            drawn[self.masks[k].place] |= self.masks[k].pixels
        return drawn

    def cover(self, dropped: Collection[int] = ()) -> BoolArray:
        """Return the pixels of all masks but some, by their places."""
        left_out = set(dropped)
        return self.draw([k for k in range(len(self.masks)) if k not in left_out])

    def colours(self) -> Float32Array:
        """Return the picture's levels standardised over it, shape (height, width, 3)."""
        levels = self.picture.astype(np.float32)
        return np.asarray((levels - levels.mean()) / (levels.std() + FLAT_LEVELS), np.float32)


def reduced_shape(size: tuple[int, int], object_side: float) -> tuple[int, int]:
    """Return height and width at which objects are looked for in an image.

    Args:
        size: Height and width of the image.
        object_side: Side that the dataset's typical object has as a square, in pixels of images.

    >>> reduced_shape((480, 640), 40.0)
    (240, 320)
    """
    longest = max(size)
    scale = min(OBJECT_PX / max(object_side, 1e-6), LARGEST_SCALE)
    least, most = (side / longest for side in LONGEST_SIDES)
    scale = min(max(scale, min(least, LARGEST_SCALE)), most)
    height, width = (max(1, round(side * scale)) for side in size)
    return height, width


def reduce_image(picture: ByteArray, runs: Runs, object_side: float) -> ReducedImage:
    """Reduce, or enlarge, a picture and its masks.

    Args:
        picture: Shape (height, width, 3), RGB.
        runs: Its masks, of its size; empty ones stay empty.
        object_side: See :func:`reduced_shape`.
    """
    size = (picture.shape[0], picture.shape[1])
    height, width = reduced_shape(size, object_side)
    small = Image.fromarray(picture).resize(
        (width, height), Image.Resampling.BILINEAR, reducing_gap=3.0
    )
    steps = size[0] / height, size[1] / width
    boxes = bbox(runs).tolist() if len(runs) else []
    masks = tuple(_reduce_mask(runs, k, box, (height, width), steps) for k, box in enumerate(boxes))
    return ReducedImage(np.asarray(small, np.uint8), masks, size)


def _reduce_mask(
    runs: Runs,
    which: int,
    box: tuple[int, int, int, int],
    shape: tuple[int, int],
    steps: tuple[float, float],
) -> ReducedMask:
    """Return a mask on a coarser or finer grid; one that would vanish keeps some pixels.

    Args:
        runs: Masks.
        which: Which of them.
        box: Its box, XYWH in pixels of the image.
        shape: Of the grid.
        steps: Pixels of the image a row, and a column, of the grid.
    """
    x, y, w, h = box
    if not w * h:
        return ReducedMask(0, 0, np.zeros((0, 0), np.bool_))
    low, high = [], []
    for first, length, step, cells in ((y, h, steps[0], shape[0]), (x, w, steps[1], shape[1])):
        low.append(min(cells - 1, int(first / step)))
        high.append(min(cells, max(low[-1] + 1, int(np.ceil((first + length) / step)))))
    top, left = int(low[0] * steps[0]), int(low[1] * steps[1])
    bottom = min(int(runs.heights[which]), int(np.ceil(high[0] * steps[0])))
    right = min(int(runs.widths[which]), int(np.ceil(high[1] * steps[1])))
    dense = to_dense(runs, which, (left, top, right - left, bottom - top))
    window = (
        low[1] * steps[1] - left,
        low[0] * steps[0] - top,
        min(high[1] * steps[1] - left, float(right - left)),
        min(high[0] * steps[0] - top, float(bottom - top)),
    )
    shares = np.asarray(
        Image.fromarray(dense.astype(np.uint8) * 255).resize(
            (high[1] - low[1], high[0] - low[0]), Image.Resampling.BOX, box=window
        )
    )
    kept = shares >= 128
    return ReducedMask(low[0], low[1], kept if kept.any() else shares > 0)
