"""Handcrafted features of a mask: form and place, colours, gradients, and the image's other masks.

They are what a classifier of categories has where no encoder is brought along, and helps it where
one is. Histograms of colours and of oriented gradients (Dalal and Triggs, 2005) as usual, in a
square window around the mask; the categories of the image's other masks are counted in places that
a hash of their names gives (feature hashing, Weinberger et al., 2009), so that a dataset's number
of categories does not matter.
"""

from __future__ import annotations

import hashlib
from functools import cache

import numpy as np
from PIL import Image
from scipy import ndimage

from curate.common.arrays import AnyArray, ByteArray, FloatArray, IntArray
from curate.networks.encoders.mask_windows import cut_windows
from curate.rle import Runs, bbox

SIDE = 32
"""Side of the window in pixels."""

LEVELS = 4
"""Levels of each colour in the histogram."""

CELLS = 4
"""Cells of oriented gradients along each side of the window."""

DIRECTIONS = 8
"""Directions of gradients, over half a turn."""

BUCKETS = 128
"""Places in which categories of other masks are counted."""

FORM = 9
COUNT = FORM + 9 + LEVELS**3 + CELLS**2 * DIRECTIONS + (SIDE // 4) ** 2 + BUCKETS
"""Numbers of a mask."""


def handcrafted_features(
    picture: ByteArray, runs: Runs, areas: FloatArray, categories: AnyArray
) -> FloatArray:
    """Return the features of an image's masks, shape (masks, :data:`COUNT`); all finite.

    Args:
        picture: Shape (height, width, 3), uint8, RGB.
        runs: The masks, each with a pixel at least.
        areas: Theirs in pixels, shape (masks,).
        categories: Theirs, shape (masks,); anything but text is none.
    """
    rows = np.arange(len(runs))
    drawn = Image.fromarray(picture)
    parts = [_form(runs, areas)]
    looks = np.zeros((len(runs), COUNT - FORM - BUCKETS))
    for row in rows.tolist():  # one after the other: a crowded image has thousands
        looks[row] = _looks(drawn, runs, np.array([row]))
    parts += [looks, _count_others(categories)]
    return np.concatenate(parts, 1)


def _form(runs: Runs, areas: FloatArray) -> FloatArray:
    """Return size, proportions and place of masks, shape (masks, :data:`FORM`)."""
    x, y, w, h = bbox(runs).astype(np.float64).T
    height, width = float(runs.heights[0]), float(runs.widths[0])
    columns = [
        np.log(areas / (height * width)),
        np.log(w / h),
        areas / (w * h),
        (x + w / 2) / width,
        (y + h / 2) / height,
        w / width,
        h / height,
        y / height,
        (y + h) / height,
    ]
    return np.stack(columns, 1)


def _looks(picture: Image.Image, runs: Runs, row: IntArray) -> FloatArray:
    """Return colours, gradients and outline of one mask in its window."""
    window = cut_windows(picture, runs, row, (SIDE, SIDE))
    pixels, inside = window.pixels[0].astype(np.float64) / 255, window.shares[0] >= 0.5
    if not inside.any():  # thinner than a pixel of the window
        inside = window.shares[0] >= window.shares[0].max()
    own = pixels[inside]
    around = pixels[~inside] if not inside.all() else own
    level = np.minimum((own * LEVELS).astype(np.int64), LEVELS - 1)
    codes = (level[:, 0] * LEVELS + level[:, 1]) * LEVELS + level[:, 2]
    histogram = np.sqrt(np.bincount(codes, minlength=LEVELS**3) / len(own))
    outline = window.shares[0].reshape(SIDE // 4, 4, SIDE // 4, 4).mean((1, 3)).ravel()
    means = [own.mean(0), own.std(0), around.mean(0)]
    return np.concatenate([*means, histogram, _gradients(pixels.mean(-1)), outline])


def _gradients(gray: FloatArray) -> FloatArray:
    """Return a histogram of oriented gradients, shape (cells * directions,)."""
    down, right = np.gradient(ndimage.gaussian_filter(gray, 0.7))
    strength = np.hypot(down, right)
    turn = np.arctan2(down, right) % np.pi / np.pi * DIRECTIONS
    direction = np.minimum(turn.astype(np.int64), DIRECTIONS - 1)
    place = np.arange(SIDE) * CELLS // SIDE
    codes = (place[:, None] * CELLS + place) * DIRECTIONS + direction
    found = np.bincount(codes.ravel(), strength.ravel(), CELLS**2 * DIRECTIONS)
    return np.asarray(np.sqrt(found / (found.sum() + 1e-3)), np.float64)


@cache
def bucket_of(category: str) -> int:
    """Return the place in which a category is counted."""
    return hashlib.blake2b(category.encode(errors="replace"), digest_size=2).digest()[0] % BUCKETS


def _count_others(categories: AnyArray) -> FloatArray:
    """Return the categories of each mask's neighbours, log(1 + count), shape (masks, places)."""
    places = [bucket_of(one) if isinstance(one, str) else -1 for one in categories.tolist()]
    codes = np.array(places, np.int64)
    total = np.bincount(codes[codes >= 0], minlength=BUCKETS).astype(np.float64)
    counts = np.repeat(total[None], len(codes), 0)
    named = np.flatnonzero(codes >= 0)
    counts[named, codes[named]] -= 1
    return np.log1p(counts)
