"""PNGs of ids for exports: a pixel has the id of its mask, 0 where there is none."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from curate.common.arrays import AnyArray, BoolArray
from curate.dataset.notes import count_noun
from curate.errors import CallError
from curate.formats.png.png_reading import MAX_DECODED_PIXELS
from curate.writing.exports.losses import Loss
from curate.writing.final_dataset import FinalImage


def check_size(image: FinalImage) -> None:
    """Check that a PNG of an image is read again.

    Raises:
        CallError: It is too large.
    """
    if image.height * image.width > MAX_DECODED_PIXELS:
        what = f"a PNG of {image.width} x {image.height} pixels is too large to be read again"
        raise CallError(what, image.file_name, "choose another format")


def find_too_many(image: FinalImage, most: int) -> Iterator[Loss]:
    """Find the masks for which there is no id any more."""
    for mask in image.masks[most:]:
        detail = f"its image has {count_noun(len(image.masks), 'mask')}, {most:,} have an id"
        yield Loss("too many", mask, detail, None)


def paint(image: FinalImage, values: Sequence[int]) -> AnyArray:
    """Return the pixels of an image, each with the value of its mask; masks share none.

    Args:
        image: The image.
        values: A value a mask, above 0.
    """
    runs = image.runs()
    owners = np.repeat(np.array(values, np.int64), np.diff(runs.offsets))
    steps = np.zeros(image.height * image.width + 1, np.int64)
    np.add.at(steps, runs.starts, owners)
    np.subtract.at(steps, runs.ends, owners)
    flat = np.cumsum(steps)[:-1]
    return np.ascontiguousarray(flat.reshape((image.height, image.width), order="F"))


def find_void(image: FinalImage) -> BoolArray:
    """Return which pixels are void, shape (height, width); masks may have some of them."""
    void = np.zeros(image.size, np.bool_)
    for mask in image.void:
        void |= image.dense(mask)
    return void
