"""Polygons that cross themselves: two of a ring's edges pass through each other."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from curate.rle import kernel
from curate.rle.runs import FloatArray, IntArray

MOST_POINTS = 20_000
"""Points of a ring that is looked at; the largest outlines of datasets have a few thousand."""


def count_crossings(rings: Sequence[Sequence[float]]) -> int:
    """Count the pairs of edges of one ring that pass through each other, over all rings.

    Edges that only touch, or lie on each other as in a seam, do not cross.

    Args:
        rings: Alternating x and y in pixels, at least three points each, all finite.
    """
    total = 0
    for ring in rings:
        points = np.array(ring, np.float64).reshape(-1, 2)
        if 4 <= len(points) <= MOST_POINTS:
            ends = np.roll(points, -1, axis=0)
            order = np.argsort(np.minimum(points[:, 0], ends[:, 0]), kind="stable")
            total += _crossings(points, ends, order)
    return total


@kernel
def _side(ax: float, ay: float, bx: float, by: float, x: float, y: float) -> float:
    """Return on which side of a line a point lies: over 0, under 0, or 0 on it."""
    return (bx - ax) * (y - ay) - (by - ay) * (x - ax)


@kernel
def _crossings(points: FloatArray, ends: FloatArray, order: IntArray) -> int:
    """Count crossing pairs of edges; ``order`` sorts edges by their left end."""
    found = 0
    for i in range(len(order)):
        a, b = points[order[i]], ends[order[i]]
        right = max(a[0], b[0])
        for j in range(i + 1, len(order)):
            c, d = points[order[j]], ends[order[j]]
            if min(c[0], d[0]) > right:
                break
            if min(a[1], b[1]) > max(c[1], d[1]) or min(c[1], d[1]) > max(a[1], b[1]):
                continue
            own = _side(a[0], a[1], b[0], b[1], c[0], c[1]) * _side(
                a[0], a[1], b[0], b[1], d[0], d[1]
            )
            other = _side(c[0], c[1], d[0], d[1], a[0], a[1]) * _side(
                c[0], c[1], d[0], d[1], b[0], b[1]
            )
            if own < 0 and other < 0:
                found += 1
    return found
