"""Masks of one size in the frame of a picture of another."""

from __future__ import annotations

import numpy as np

from curate import rle
from curate.formats.segmentation import Segmentation, encode_runs, valid_size

_TOLERANCE = 1.5
"""Pixels of a PNG by which its sides may differ from those of the scaled picture."""


def fits(mask: tuple[int, int], picture: tuple[int, int]) -> bool:
    """Return whether a PNG of one size (height, width) shows a picture of another, scaled."""
    (h, w), (height, width) = mask, picture
    down = abs(h - height * w / width) <= _TOLERANCE
    return down or abs(w - width * h / height) <= _TOLERANCE


def scale_mask(mask: Segmentation, size: tuple[int, int], picture: tuple[int, int]) -> Segmentation:
    """Return a mask in the frame of its picture: each pixel has the nearest of the mask.

    Pixel (x, y) of a picture of W x H is in the mask if pixel (x w / W, y h / H), rounded down, of
    the PNG of w x h is. Nothing is drawn, so the picture may have any size.

    Args:
        mask: The mask, of the size of its PNG.
        size: Height and width of the PNG.
        picture: Height and width of the picture.
    """
    if mask.counts is None or size == picture:
        return mask
    if not valid_size(*picture):
        return Segmentation(None, "invalid_size", "the picture is larger than any mask")
    if not fits(size, picture):
        what = f"the PNG is {size[1]} x {size[0]}, the picture {picture[1]} x {picture[0]}"
        return Segmentation(None, "size_mismatch", f"{what}, which is no scaled picture")
    runs, codes = rle.decode_counts([mask.counts], [size[0]], [size[1]])
    if codes[0]:
        return mask
    (h, w), (height, width) = size, picture
    top, bottom, columns = _by_column(runs.starts.astype(np.int64), runs.ends.astype(np.int64), h)
    top, bottom = -(-top * height // h), -(-bottom * height // h)
    first = np.searchsorted(columns, np.arange(w + 1))
    of = np.arange(width) * w // width  # the column of the PNG for each of the picture
    counts = (first[1:] - first[:-1])[of]
    total = int(counts.sum())
    target = np.repeat(np.arange(width), counts)
    within = np.arange(total) - np.repeat(np.cumsum(counts) - counts, counts)
    run = np.repeat(first[:-1][of], counts) + within
    starts, ends = target * height + top[run], target * height + bottom[run]
    return mask._replace(counts=encode_runs(starts, ends, height, width))


def _by_column(
    starts: np.ndarray, ends: np.ndarray, height: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Split runs where columns end; return top, bottom (exclusive) and column of each."""
    first, last = starts // height, (ends - 1) // height
    counts = last - first + 1
    owner = np.repeat(np.arange(len(starts)), counts)
    step = np.arange(int(counts.sum())) - np.repeat(np.cumsum(counts) - counts, counts)
    column = first[owner] + step
    top = np.maximum(starts[owner] - column * height, 0)
    bottom = np.minimum(ends[owner] - column * height, height)
    return top, bottom, column
