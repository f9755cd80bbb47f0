"""Masks cut out with their surroundings, large ones reduced, for crops and for corruptions."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from PIL import Image

from curate.common.arrays import BoolArray, IntArray
from curate.rle import Runs, to_dense

OBJECT_SIDE = 64
"""Longest side of an object in its frame, in pixels; smaller objects keep their pixels."""

SURROUNDINGS = 3
"""Side of a frame, as a multiple of the object's longest side."""


@dataclass(frozen=True)
class MaskFrame:
    """A mask in a square window around it.

    Attributes:
        pixels: Shape (side, side).
        left: Of the window in the image, in pixels of the image; may be negative.
        top: The same downwards.
        scale: Pixels of the frame per pixel of the image, at most 1.
        height: Of the image, in its pixels.
        width: Of the image, in its pixels.
    """

    pixels: BoolArray
    left: float
    top: float
    scale: float
    height: int
    width: int

    def with_pixels(self, pixels: BoolArray) -> MaskFrame:
        """Return another mask in the same window; what lies outside of the image is cut off."""
        return replace(self, pixels=pixels & self.inside())

    def moved(self, right: float, down: float) -> MaskFrame:
        """Return the mask with its window displaced, in pixels of the image, cut at its border."""
        there = replace(self, left=self.left + right, top=self.top + down)
        return there.with_pixels(there.pixels)

    def inside(self) -> BoolArray:
        """Return which pixels of the frame have their centre within the image."""
        centres = (np.arange(len(self.pixels)) + 0.5) / self.scale
        rows = (centres + self.top >= 0) & (centres + self.top < self.height)
        columns = (centres + self.left >= 0) & (centres + self.left < self.width)
        return np.asarray(rows[:, None] & columns[None, :])

    def box(self) -> tuple[float, float, float, float]:
        """Return left, top, right and bottom of the mask in the image, in its pixels.

        A mask without pixels has the box of its window.
        """
        rows, columns = np.flatnonzero(self.pixels.any(1)), np.flatnonzero(self.pixels.any(0))
        if not len(rows):
            rows = columns = np.array([0, len(self.pixels) - 1])
        return (
            self.left + columns[0] / self.scale,
            self.top + rows[0] / self.scale,
            self.left + (columns[-1] + 1) / self.scale,
            self.top + (rows[-1] + 1) / self.scale,
        )


def cut_frames(
    runs: Runs, which: int, box: IntArray, others: tuple[int, ...] = ()
) -> list[MaskFrame]:
    """Cut a mask out with its surroundings, and what others have in the same window.

    Args:
        runs: Masks of one image.
        which: The mask that the window lies around; it has pixels.
        box: Its box, XYWH in pixels.
        others: More masks of the image.

    Returns:
        The mask, then the others.
    """
    x, y, w, h = (int(v) for v in box)
    longest = max(w, h)
    side = SURROUNDINGS * longest
    left, top = x + w // 2 - side // 2, y + h // 2 - side // 2
    scale = min(1.0, OBJECT_SIDE / longest)
    reduced = max(SURROUNDINGS, round(side * scale))
    found = []
    for k in (which, *others):
        pixels = to_dense(runs, k, (left, top, side, side))
        if reduced < side:
            levels = Image.fromarray(pixels.astype(np.uint8) * 255)
            shares = np.asarray(levels.resize((reduced, reduced), Image.Resampling.BOX))
            kept = shares >= 128
            pixels = kept if kept.any() or not pixels.any() else shares > 0
        found.append(
            MaskFrame(
                pixels,
                left,
                top,
                reduced / side,
                int(runs.heights[which]),
                int(runs.widths[which]),
            )
        )
    return found
