"""TIFFs that hold one mask each: every value but 0 is in it."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any, BinaryIO, cast

import numpy as np
from PIL import Image

from curate import rle
from curate.errors import CallError
from curate.formats.ids.division import Paint
from curate.formats.ids.strip_runs import TooManyRuns, label_runs
from curate.formats.png.png_reading import MAX_DECODED_PIXELS, PictureProblem
from curate.formats.segmentation import Segmentation
from curate.formats.tiff.tiff_ids import TIFF_IDS, read_ids
from curate.formats.tiff.tiff_samples import read_header, read_strips

TIFFS = (".tif", ".tiff")
"""How the names of TIFFs end."""


def is_tiff(name: str) -> bool:
    """Whether a file is called like a TIFF."""
    return name.lower().endswith(TIFFS)


def mask_size(path: Path) -> tuple[int, int]:
    """Return a TIFF's height and width.

    Raises:
        PictureProblem: It cannot be read, is of several bands, or of several pages.
    """
    header = read_header(path)
    if header.pages > 1:
        what = f"it has {header.pages:,} pages: save each mask as a TIFF of its own"
        raise PictureProblem("undecodable", what)
    return header.size


def read_mask(path: Path) -> Segmentation:
    """Read a TIFF that holds one mask.

    Returns:
        The mask, or with a status that says why there is none.
    """
    try:
        header = read_header(path)
        drawn = ((top, (values != 0).astype(np.uint8)) for top, values in read_strips(path, header))
        _, runs = label_runs(drawn, header.size)
    except PictureProblem as problem:
        return Segmentation(None, problem.status, problem.detail)
    except TooManyRuns as problem:
        return Segmentation(None, "undecodable", str(problem))
    if not len(runs):
        none, sides = np.zeros(0, np.int32), (np.full(1, n, np.int32) for n in header.size)
        runs = rle.Runs(np.zeros(2, np.int64), none, none, *sides)
    return Segmentation(cast(bytes, rle.encode_counts(runs)[0].as_py()))


def holds_one_mask(path: Path) -> bool | None:
    """Return whether a TIFF holds one mask; None where it holds nothing, or cannot be read."""
    try:
        count = len(read_ids(path, True).ids)
    except PictureProblem:
        return None
    return None if not count else count == 1


def mask_tiff(mask: rle.Runs, where: str) -> bytes:
    """Return a mask as an 8-bit TIFF of 0 and 255, packed with deflate.

    Args:
        mask: One mask.
        where: The mask's source key, or that of its image, for the message.

    Raises:
        CallError: The image is larger than any TIFF that is read.
    """
    height, width = int(mask.heights[0]), int(mask.widths[0])
    if height * width > MAX_DECODED_PIXELS:
        what = f"a TIFF of {width} x {height} pixels is too large to be read again"
        raise CallError(what, where, "write another format")
    pixels: Any = rle.to_dense(mask, 0).astype(np.uint8) * np.uint8(255)
    packed = io.BytesIO()
    Image.fromarray(pixels).save(packed, "TIFF", compression="tiff_adobe_deflate")
    return packed.getvalue()


def redraw(source: Path, target: BinaryIO, mask: rle.Runs) -> None:
    """Write a TIFF of one mask anew with other pixels, of the same value; all else stays.

    Raises:
        CallError: It is packed in a way that loses values.
        SourceError: It cannot be read.
    """
    opened = TIFF_IDS.open(source)
    inside = opened.ids[0] if len(opened.ids) == 1 else min(255, opened.largest)
    pixels = rle.to_dense(mask, 0).astype(np.int32) * np.int32(inside)
    TIFF_IDS.write(source, target, set(opened.ids), Paint(0, 0, pixels))
