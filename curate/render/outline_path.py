"""Mask outlines as short SVG paths.

Only the part of a mask inside a crop is ever turned into pixels, and at no more than about twice
the resolution it is shown at, so that memory does not depend on the size of the image.
"""

from __future__ import annotations

import numpy as np

from curate.common.arrays import BoolArray, Int32Array, IntArray
from curate.images import Box
from curate.rle import Runs
from curate.rle.outlines import outlines
from curate.rle.runs import kernel

MOST_SAMPLES = 720
"""Longest side of the pixel grid an outline is traced on."""

MOST_POINTS = 1500
"""Corners a path may have: a ragged mask is simplified until it has no more."""

MOST_RINGS = 300
"""Separate outlines a path may have: the largest are kept."""


@kernel
def _mark(starts: Int32Array, ends: Int32Array, height: int, box: IntArray, out: BoolArray) -> None:
    """Set every cell of ``out`` that a run touches; ``box`` is x, y, w, h and the cell's side."""
    x0, y0, w, h, step = box[0], box[1], box[2], box[3], box[4]
    for r in range(len(starts)):
        position, end = np.int64(starts[r]), np.int64(ends[r])
        while position < end:  # a column at a time
            x = position // height
            if x >= x0 + w:
                return
            top = max(position - x * height, y0) - y0
            bottom = min(end - x * height, height, y0 + h) - y0
            if x >= x0 and top < bottom:
                for cell in range(top // step, (bottom - 1) // step + 1):
                    out[cell, (x - x0) // step] = True
            position = (x + 1) * height


def sample(runs: Runs, index: int, box: Box, step: int) -> BoolArray:
    """Draw a window on a mask in cells of ``step`` by ``step`` pixels.

    Args:
        runs: A batch of masks.
        index: Which of them.
        box: The window.
        step: Side of a cell; 1 gives the pixels themselves.

    Returns:
        Booleans of shape (ceil(box.h / step), ceil(box.w / step)): whether any pixel of the cell is
        in the mask, so that a thin part is seen however small it is drawn.
    """
    span = slice(int(runs.offsets[index]), int(runs.offsets[index + 1]))
    out = np.zeros((-(-box.h // step), -(-box.w // step)), np.bool_)
    if runs.heights[index] > 0:
        window = np.array([box.x, box.y, box.w, box.h, step], np.int64)
        _mark(runs.starts[span], runs.ends[span], int(runs.heights[index]), window, out)
    return out


@kernel
def _thin(points: IntArray, tolerance: float) -> BoolArray:
    """Douglas and Peucker's rule on one closed ring: which corners to keep."""
    n = len(points)
    keep = np.zeros(n, np.bool_)
    far, farthest = 0, -1.0
    for i in range(n):
        dx, dy = float(points[i, 0] - points[0, 0]), float(points[i, 1] - points[0, 1])
        if dx * dx + dy * dy > farthest:
            far, farthest = i, dx * dx + dy * dy
    keep[0] = keep[far] = True
    todo = [(0, far), (far, n)]
    while len(todo) > 0:
        a, b = todo.pop()
        ax, ay = float(points[a, 0]), float(points[a, 1])
        dx, dy = float(points[b % n, 0]) - ax, float(points[b % n, 1]) - ay
        length = np.sqrt(dx * dx + dy * dy)
        worst, at = tolerance, -1
        for i in range(a + 1, b):
            px, py = float(points[i, 0]) - ax, float(points[i, 1]) - ay
            gap = abs(px * dy - py * dx) / length if length > 0 else np.sqrt(px * px + py * py)
            if gap > worst:
                worst, at = gap, i
        if at >= 0:
            keep[at] = True
            todo.append((a, at))
            todo.append((at, b))
    return keep


def rings_of(mask: BoolArray, tolerance: float) -> list[IntArray]:
    """Return the closed outlines of a small mask, outer ones and holes, largest first.

    Args:
        mask: Shape (height, width).
        tolerance: How far, in pixels of ``mask``, an outline may stray from the pixel edges; 0
            keeps every corner.

    Returns:
        One (k, 2) array of corners (x, y) a ring; pixel (0, 0) covers the corners 0 to 1.
    """
    rings = outlines(mask)
    rings.sort(key=lambda ring: -int(np.ptp(ring[:, 0]) + np.ptp(ring[:, 1])))
    rings = rings[:MOST_RINGS]
    while tolerance > 0 or sum(map(len, rings)) > MOST_POINTS:
        thin = [ring[_thin(ring, tolerance)] for ring in rings]
        # A ring that vanished in the simplification still stands for something: keep its corners.
        rings = [t if len(t) > 2 else r for t, r in zip(thin, rings, strict=True)]
        if sum(map(len, rings)) <= MOST_POINTS or tolerance > mask.size:
            break
        tolerance = max(0.5, 1.6 * tolerance)
    return rings


def path_of(runs: Runs, index: int, box: Box, shown_px: int) -> str:
    """Return the outline of a mask inside ``box`` as SVG path data, in pixels from its corner.

    Args:
        runs: A batch of masks.
        index: Which of them.
        box: The window.
        shown_px: How large the box's longer side will be shown; finer detail is left out.

    Returns:
        Path data ("" where the mask has no pixel in the box). Exact where a pixel is shown large;
        else within three quarters of a pixel or half a shown one, whichever is more, unless the
        mask is too ragged for that (:data:`MOST_POINTS`).
    """
    step = max(1, -(-box.longest // MOST_SAMPLES))
    mask = sample(runs, index, box, step)
    if not mask.any():
        return ""
    scale = shown_px / box.longest * step
    rings = rings_of(mask, 0.0 if scale > 5 else max(0.75, 0.5 / scale))
    return "".join(_ring_path(ring * step, box) for ring in rings)


def _ring_path(ring: IntArray, box: Box) -> str:
    ring = np.minimum(ring, np.array([box.w, box.h]))
    steps = np.diff(ring, axis=0)
    lines = "".join(_line(int(dx), int(dy)) for dx, dy in steps)
    return f"M{ring[0, 0]} {ring[0, 1]}{lines}z"


def _line(dx: int, dy: int) -> str:
    if dy == 0:
        return f"h{dx}"
    if dx == 0:
        return f"v{dy}"
    return f"l{dx} {dy}"
