"""Reader of PNGs in which a pixel's value is the id of its instance."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

from curate.common.arrays import AnyArray
from curate.formats.ids.id_judging import NoIds, check_middle, check_regions
from curate.formats.ids.strip_runs import IdImage, TooManyIds, TooManyRuns, label_runs
from curate.formats.png.png_reading import (
    GRAY,
    PALETTE,
    RGB,
    Pixels,
    PngHeader,
    read_strips,
)
from curate.images.image_pieces import SMALL_PIXELS
from curate.images.png_rows import CHANNELS

_STRIP_PIXELS = 1 << 22  # pixels turned into runs at a time


def is_id_kind(header: PngHeader) -> bool:
    """Return whether a PNG of this kind can hold ids."""
    if header.color in (GRAY, PALETTE):
        return True
    return header.color in CHANNELS and header.depth == 8


def read_ids(path: Path, header: PngHeader, *, known: bool = False) -> IdImage:
    """Read the masks of one PNG.

    Args:
        path: The file.
        header: What :func:`read_header` gave for it.
        known: Whether something else says that it holds ids, and it need not be judged.

    Raises:
        NoIds: It holds a picture.
        PictureProblem: It is broken.
    """
    if not is_id_kind(header):
        raise NoIds(f"it has {header.depth} bits a channel")
    to_ids, is_small = ids_of(header), header.height * header.width <= SMALL_PIXELS
    found, palette = read_strips(path, header)
    strips = _cut(found, header) if is_small else found
    try:
        if not known:
            again = strips if is_small else read_strips(path, header)[0]
            check_middle(again, to_ids, header.size)
        ids, runs = label_runs(((top, to_ids(one)) for top, one in strips), header.size)
    except (TooManyIds, TooManyRuns) as problem:
        raise NoIds(str(problem)) from problem
    if not known:
        check_regions(ids, runs, header.size, in_color=CHANNELS[header.color] >= 3)
    return IdImage(ids, runs, palette)


def _cut(found: Iterator[tuple[int, Pixels]], header: PngHeader) -> list[tuple[int, Pixels]]:
    """Return a decoded picture in strips that take little memory as ids."""
    ((_, pixels),) = found
    rows = -(-header.height // -(-header.height * header.width // _STRIP_PIXELS))
    return [(top, pixels[top : top + rows]) for top in range(0, header.height, rows)]


def _from_colors(pixels: AnyArray) -> AnyArray:
    """Return ids R + 256 G + 65536 B, shifted: a product of matrices of integers is slow."""
    ids = pixels[..., 2].astype(np.int32)
    for channel in (1, 0):
        ids <<= 8
        ids |= pixels[..., channel]
    return ids


def ids_of(header: PngHeader) -> Callable[[AnyArray], AnyArray]:
    """Return the function from decoded pixels to ids, for PNGs of one kind."""
    if header.color >= RGB and CHANNELS[header.color] >= 3:
        return _from_colors
    if CHANNELS[header.color] == 2:
        return lambda pixels: pixels[..., 0]
    if header.color == GRAY and header.depth in (2, 4):
        scale = 255 // (2**header.depth - 1)  # decoding stretches them to 8 bits
        return lambda pixels: pixels // scale
    return lambda pixels: pixels
