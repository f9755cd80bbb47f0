"""Reading the masks of a PNG in which a pixel's value is the id of its instance."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from curate import rle
from curate.formats.png import GRAY, PALETTE, RGB, Header, PictureProblem, read_pixels
from curate.formats.png_ids import CHANNELS
from curate.rle import Runs

MAX_COLOR_IDS = 65_535
"""More different colours than this are a picture, not ids."""

_STRIP_PIXELS = 1 << 22  # pixels turned into runs at a time


def is_id_kind(header: Header) -> bool:
    """Return whether a PNG of this kind can hold ids."""
    if header.color in (GRAY, PALETTE):
        return True
    return header.color in CHANNELS and header.depth == 8


def read_ids(path: Path, header: Header) -> tuple[npt.NDArray[np.int64], Runs, npt.NDArray[Any]]:
    """Read the masks of one PNG.

    Args:
        path: The file.
        header: What :func:`read_header` gave for it.

    Returns:
        The ids in ascending order, their masks, and the decoded pixels.

    Raises:
        PictureProblem: It is broken, or no picture of ids.
    """
    if not is_id_kind(header):
        detail = f"a colour PNG of {header.depth} bits a channel holds no instance ids"
        raise PictureProblem("undecodable", detail)
    pixels, _ = read_pixels(path, header)
    return (*_label_runs(pixels, ids_of(header)), pixels)


def ids_of(header: Header) -> Callable[[npt.NDArray[Any]], npt.NDArray[Any]]:
    """Return what turns decoded pixels into ids, for PNGs of one kind."""
    if header.color >= RGB and CHANNELS[header.color] >= 3:
        return lambda pixels: pixels[..., :3] @ np.array([1, 256, 65536], np.int32)
    if CHANNELS[header.color] == 2:
        return lambda pixels: pixels[..., 0]
    if header.color == GRAY and header.depth in (2, 4):
        scale = 255 // (2**header.depth - 1)  # decoding stretches them to 8 bits
        return lambda pixels: pixels // scale
    return lambda pixels: pixels


def _label_runs(
    pixels: npt.NDArray[Any], to_ids: Callable[[npt.NDArray[Any]], npt.NDArray[Any]]
) -> tuple[npt.NDArray[np.int64], Runs]:
    """Turn pixels into one mask an id, a strip of columns at a time to bound memory."""
    height, width = pixels.shape[:2]
    step = max(1, _STRIP_PIXELS // height)
    owners, starts, ends = [], [], []
    seen = np.zeros(0, np.int64)
    for x in range(0, width, step):
        ids, runs = rle.from_label_image(to_ids(pixels[:, x : x + step]))
        seen = np.union1d(seen, ids)
        if len(seen) > MAX_COLOR_IDS:
            detail = f"it has over {MAX_COLOR_IDS} different values: it is no picture of ids"
            raise PictureProblem("undecodable", detail)
        owners.append(np.repeat(ids, np.diff(runs.offsets)))
        starts.append(runs.starts.astype(np.int64) + x * height)
        ends.append(runs.ends.astype(np.int64) + x * height)
    owner, start, end = map(np.concatenate, (owners, starts, ends))
    order = np.lexsort((start, owner))
    owner, start, end = owner[order], start[order], end[order]
    # A run that goes on in the next strip was cut in two.
    apart = (owner[1:] != owner[:-1]) | (start[1:] != end[:-1])
    first, last = np.append(True, apart)[: len(start)], np.append(apart, True)[: len(start)]
    found, counts = np.unique(owner[first], return_counts=True)
    offsets = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
    sizes = np.full(len(found), height, np.int32), np.full(len(found), width, np.int32)
    return found, Runs(offsets, start[first].astype(np.int32), end[last].astype(np.int32), *sizes)
