"""Crop windows: the piece of an image that shows a mask with its surroundings."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

LEAST_SIDE = 24
"""Smallest window in pixels: a mask of three pixels needs surroundings to be understood."""

Rectangle = tuple[float, float, float, float]
"""XYWH in pixels."""


@dataclass(frozen=True)
class Box:
    """A window on an image: whole pixels, inside the image."""

    x: int
    y: int
    w: int
    h: int

    @property
    def longest(self) -> int:
        """The longer side in pixels."""
        return max(self.w, self.h)


def window(size: tuple[int, int], parts: Sequence[Rectangle], context: float = 0.45) -> Box | None:
    """Choose the square piece of an image that shows some boxes with what surrounds them.

    Args:
        size: Width and height of the image.
        parts: XYWH of what must be seen; parts outside the image are cut off.
        context: Room on each side, as a share of the longer side of what must be seen.

    Returns:
        A window inside the image (not square where the image ends), or None for an image or a list
        without anything in it.
    """
    width, height = size
    if width < 1 or height < 1 or not parts:
        return None
    left = min(max(min(p[0] for p in parts), 0), width - 1)
    top = min(max(min(p[1] for p in parts), 0), height - 1)
    right = max(left + 1, min(max(p[0] + p[2] for p in parts), width))
    bottom = max(top + 1, min(max(p[1] + p[3] for p in parts), height))
    side = max(LEAST_SIDE, math.ceil((1 + 2 * context) * max(right - left, bottom - top)))
    x, w = _span((left + right) / 2, side, width)
    y, h = _span((top + bottom) / 2, side, height)
    return Box(x, y, w, h)


def _span(middle: float, side: int, limit: int) -> tuple[int, int]:
    side = min(side, limit)
    return max(0, min(round(middle - side / 2), limit - side)), side
