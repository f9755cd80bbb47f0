"""Closed outlines of a mask along the edges of its pixels."""

from __future__ import annotations

from itertools import pairwise

import numpy as np

from curate.common.arrays import BoolArray, IntArray
from curate.rle.runs import doubled, kernel


def outlines(mask: BoolArray) -> list[IntArray]:
    """Return the outlines of a mask, exactly along the edges of its pixels.

    Pixels that touch at a corner only belong to one part: the outline runs on from the one to the
    other.

    Args:
        mask: Shape (height, width).

    Returns:
        One (k, 2) array of corners (x, y) a ring, in the order of their topmost edges; pixel
        (0, 0) covers the corners 0 to 1. Only corners at which the direction changes; the last is
        joined to the first. The inside is on the right hand: outer rings run clockwise as a
        picture is seen, holes the other way. No ring for a mask without a pixel.
    """
    points, bounds = _trace(np.pad(mask, 1))
    points = points - 1
    return [points[a:b] for a, b in pairwise(bounds)]


@kernel
def _trace(mask: BoolArray) -> tuple[IntArray, IntArray]:
    """Follow the cracks between inside and outside, inside on the right hand.

    ``mask`` has a border of outside pixels. Returns the corners (x, y) of all rings, and where each
    ring begins and the last ends.
    """
    height, width = mask.shape
    tops = 0
    for y in range(1, height):
        for x in range(width):
            if mask[y, x] and not mask[y - 1, x]:
                tops += 1
    seen = np.zeros((height, width), np.bool_)
    points = np.empty((4 * tops + 4, 2), np.int64)
    bounds = np.zeros(tops + 1, np.int64)
    n = 0
    rings = 0
    for y0 in range(1, height):
        for x0 in range(width):
            if seen[y0, x0] or not mask[y0, x0] or mask[y0 - 1, x0]:
                continue
            x, y, heading, before = x0, y0, 0, 3
            while True:  # one step along the crack a turn; 0 right, 1 down, 2 left, 3 up
                if heading == 0:
                    if seen[y, x]:
                        break
                    seen[y, x] = True
                if heading != before:
                    if n == len(points):
                        points = doubled(points)
                    points[n, 0], points[n, 1] = x, y
                    n += 1
                before = heading
                x += 1 if heading == 0 else (-1 if heading == 2 else 0)
                y += 1 if heading == 1 else (-1 if heading == 3 else 0)
                if heading == 0:
                    left, right = mask[y - 1, x], mask[y, x]
                elif heading == 1:
                    left, right = mask[y, x], mask[y, x - 1]
                elif heading == 2:
                    left, right = mask[y, x - 1], mask[y - 1, x - 1]
                else:
                    left, right = mask[y - 1, x - 1], mask[y - 1, x]
                if left:
                    heading = (heading + 3) % 4
                elif not right:
                    heading = (heading + 1) % 4
            rings += 1
            bounds[rings] = n
    return points[:n], bounds[: rings + 1]
