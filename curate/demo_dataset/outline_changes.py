"""Outlines as people draw them: their length, what differs between two, and imprecise ones."""

from __future__ import annotations

import numpy as np
from scipy import ndimage

from curate.common.arrays import BoolArray, FloatArray

EDGE_TO_LENGTH = np.pi / 4
"""Mean length of a curve over the number of pixel edges that follow it, over all directions."""

_WAVE = 0.5
"""How far the errors of an outline reach along it, in radii of a disc of the same area."""


def outline_length(mask: BoolArray) -> float:
    """Return the length of a mask's outline and holes in pixels, shape (height, width)."""
    padded = np.pad(mask, 1)
    edges = sum(int((np.diff(padded.astype(np.int8), axis=axis) != 0).sum()) for axis in (0, 1))
    return EDGE_TO_LENGTH * edges


def changed_length(before: BoolArray, after: BoolArray, tolerance_px: float) -> float:
    """Return the length of outline that has to be drawn to make one mask of another.

    Args:
        before: The mask as it is, shape (height, width).
        after: The mask as it should be, same shape.
        tolerance_px: Outlines that are this near to each other are left as they are.

    Returns:
        Pixels: of the outline that is drawn, or of the one that is taken away where that is
        longer; 0 for equal masks.
    """
    window = _window(before | after, 2)
    old, new = before[window], after[window]
    drawn = outline_length(new) * _far_share(new, old, tolerance_px)
    return max(drawn, outline_length(old) * _far_share(old, new, tolerance_px))


def _far_share(mask: BoolArray, other: BoolArray, tolerance_px: float) -> float:
    """Return the share of a mask's border pixels that are far from the other's border."""
    border, aim = _border(mask), _border(other)
    if not border.any():
        return 0.0
    if not aim.any():
        return 1.0
    away = ndimage.distance_transform_edt(~aim)
    return float((away[border] > tolerance_px).mean())


def _border(mask: BoolArray) -> BoolArray:
    inside: BoolArray = ndimage.binary_erosion(mask)
    return mask & ~inside


def imprecise(mask: BoolArray, error: float, random: np.random.Generator) -> BoolArray:
    """Return a mask as somebody draws it whose outline is off here and there.

    Args:
        mask: The object, shape (height, width).
        error: Standard deviation of the outline's distance from the right one, as a share of the
            radius of a disc of the same area; 0 draws the object itself. With 0.04 a disc of 50 px
            keeps an IoU of about 0.94; a small one more, as errors under half a pixel change none.
        random: Of the errors.

    Returns:
        Same shape; never empty where the object is not.
    """
    radius = float(np.sqrt(mask.sum() / np.pi))
    if not error or not radius:
        return mask
    window = _window(mask, int(4 * error * radius) + 2)
    own = np.pad(mask[window], 1)
    outside, inside = (ndimage.distance_transform_edt(some) for some in (~own, own))
    shift = _smooth_noise(own.shape, max(_WAVE * radius, 1), random) * error * radius
    depth = np.where(own, inside - 0.5, 0.5 - outside) + shift
    drawn = np.zeros_like(mask)
    drawn[window] = (depth > 0)[1:-1, 1:-1]
    return drawn if drawn.any() else mask


def _smooth_noise(shape: tuple[int, ...], sigma: float, random: np.random.Generator) -> FloatArray:
    """Return noise of standard deviation 1 that changes slowly; shape as asked."""
    spread = int(4 * sigma) + 1  # what lies within reach of the filter is drawn too
    wide = random.standard_normal(tuple(size + 2 * spread for size in shape))
    smooth: FloatArray = ndimage.gaussian_filter(wide, sigma, truncate=4)
    # A filter of weights w leaves a variance of sum(w ** 2), about 1 / (4 pi sigma^2) in the plane.
    inner = tuple(slice(spread, -spread) for _ in shape)
    scaled: FloatArray = smooth[inner] * (2 * np.sqrt(np.pi) * sigma)
    return scaled


def _window(mask: BoolArray, margin: int) -> tuple[slice, slice]:
    """Return the rows and columns of all pixels of a mask, with a margin within the image."""
    spans = []
    for axis in (1, 0):
        found = np.flatnonzero(mask.any(axis=axis))
        first, last = (int(found[0]), int(found[-1]) + 1) if len(found) else (0, 1)
        spans.append(slice(max(first - margin, 0), last + margin))
    return spans[0], spans[1]
