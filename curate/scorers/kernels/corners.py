"""Corners of outlines (Moore tracing, Douglas-Peucker), compiled."""

from __future__ import annotations

import numpy as np

from curate.common.arrays import ByteArray, FloatArray, Int32Array, IntArray
from curate.rle.runs import doubled, kernel
from curate.scorers.kernels.edge_walk import draw

_ROUND = np.array([(0, 1), (1, 1), (1, 0), (1, -1), (0, -1), (-1, -1), (-1, 0), (-1, 1)], np.int64)
"""The eight neighbours of a pixel, one after the other."""


@kernel
def _trace(crop: ByteArray, x: int, y: int, ring: IntArray) -> tuple[IntArray, int]:
    """Walk around a piece from its first pixel; list where the way turns (Moore's tracing).

    Args:
        crop: Pixels, a border of zeros around them; 0 is not of the mask.
        x: First index of the piece's first pixel in reading order.
        y: Second index.
        ring: Room for the turns.

    Returns:
        The turns, and how many there are.
    """
    first_x, first_y = x, y
    came, n, way, first_way = 6, 0, -1, -1
    while True:
        step = 1
        while (
            step <= 8
            and not crop[x + _ROUND[(came + step) % 8, 0], y + _ROUND[(came + step) % 8, 1]]
        ):
            step += 1
        if step > 8:
            ring[0, 0], ring[0, 1] = x, y
            return ring, 1
        k = (came + step) % 8
        if x == first_x and y == first_y:
            if first_way < 0:
                first_way = k
            elif first_way == k:
                if way == k and n > 1:  # the way goes straight on where it began
                    n -= 1
                    for i in range(n):
                        ring[i, 0], ring[i, 1] = ring[i + 1, 0], ring[i + 1, 1]
                return ring, n
        if k != way:
            if n == len(ring):
                ring = doubled(ring)
            ring[n, 0], ring[n, 1] = x, y
            n += 1
        x, y = x + _ROUND[k, 0], y + _ROUND[k, 1]
        way, came = k, (k + 4) % 8


@kernel
def _fill(crop: ByteArray, x: int, y: int, stack: IntArray) -> IntArray:
    """Mark the piece that a pixel is of as seen (2)."""
    stack[0, 0], stack[0, 1] = x, y
    crop[x, y] = 2
    n = 1
    while n:
        n -= 1
        here_x, here_y = stack[n, 0], stack[n, 1]
        for k in range(8):
            there_x, there_y = here_x + _ROUND[k, 0], here_y + _ROUND[k, 1]
            if crop[there_x, there_y] == 1:
                crop[there_x, there_y] = 2
                if n == len(stack):
                    stack = doubled(stack)
                stack[n, 0], stack[n, 1] = there_x, there_y
                n += 1
    return stack


@kernel
def _farthest(ring: IntArray, n: int, low: int, high: int) -> tuple[int, float]:
    """Return the point between two of a ring that is farthest from their line, and how far."""
    ax, ay = ring[low, 0], ring[low, 1]
    bx, by = ring[high % n, 0], ring[high % n, 1]
    length = np.sqrt(float((bx - ax) ** 2 + (by - ay) ** 2))
    most, where = -1.0, low
    for k in range(low + 1, high):
        x, y = ring[k, 0] - ax, ring[k, 1] - ay
        if length > 0:
            away = abs((bx - ax) * y - (by - ay) * x) / length
        else:
            away = np.sqrt(float(x * x + y * y))
        if away > most:
            most, where = away, k
    return where, most


@kernel
def _count_simplified(ring: IntArray, n: int, tolerance: float) -> int:
    """Return how many points Douglas and Peucker's method keeps of a closed outline."""
    if n < 3:
        return n
    far, _ = _farthest(ring, n, 0, n)
    kept = 2
    todo = np.empty((n + 2, 2), np.int64)
    todo[0, 0], todo[0, 1] = 0, far
    todo[1, 0], todo[1, 1] = far, n
    count = 2
    while count:
        count -= 1
        low, high = todo[count, 0], todo[count, 1]
        where, away = _farthest(ring, n, low, high)
        if away > tolerance:
            kept += 1
            todo[count, 0], todo[count, 1] = low, where
            todo[count + 1, 0], todo[count + 1, 1] = where, high
            count += 2
    return kept


@kernel
def count_corners(
    starts: Int32Array,
    ends: Int32Array,
    offsets: IntArray,
    rows: IntArray,
    heights: IntArray,
    tolerance: float,
) -> FloatArray:
    """Count the corners of some masks' outer outlines; each mask has at least one pixel."""
    result = np.zeros(len(rows))
    ring, stack = np.empty((256, 2), np.int64), np.empty((256, 2), np.int64)
    for i in range(len(rows)):
        first, stop = offsets[rows[i]], offsets[rows[i] + 1]
        crop, _, _ = draw(starts[first:stop], ends[first:stop], heights[rows[i]])
        for x in range(crop.shape[0]):
            for y in range(crop.shape[1]):
                if crop[x, y] == 1:
                    ring, n = _trace(crop, x, y, ring)
                    result[i] += _count_simplified(ring, n, tolerance)
                    stack = _fill(crop, x, y, stack)
    return result
