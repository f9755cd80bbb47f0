"""Reader of PNGs in which a pixel's value is the id of its instance."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np

from curate import rle
from curate.common.arrays import AnyArray, ByteArray, IntArray
from curate.formats.png.png_reading import (
    GRAY,
    PALETTE,
    RGB,
    PictureProblem,
    Pixels,
    PngHeader,
    read_strips,
)
from curate.formats.png.strip_runs import TooManyIds, TooManyRuns, label_runs
from curate.images.image_pieces import SMALL_PIXELS
from curate.images.png_rows import CHANNELS
from curate.rle import Runs

_STRIP_PIXELS = 1 << 22  # pixels turned into runs at a time

# What tells pictures from ids. Objects are regions: most of their pixels have neighbours of the
# same id, they have some pixels each, and they fill a good part of their boxes.
_LOOK_PIXELS = 1 << 20  # pixels looked at before all others
_FEW_PIXELS, _FEW_IDS, _MANY_IDS = 256, 16, 256
_DIFFERING = 0.6  # of discs of 4 px across 0.4 of the pairs that touch them differ; of photos 0.7
_SMALLEST, _SMALLEST_OF_COLOR = 4, 16  # px; the edges of drawings have a colour for some pixels
_FILLED = 0.05  # discs fill 0.79; n values scattered over a photo 1/n


def is_id_kind(header: PngHeader) -> bool:
    """Return whether a PNG of this kind can hold ids."""
    if header.color in (GRAY, PALETTE):
        return True
    return header.color in CHANNELS and header.depth == 8


class IdImage(NamedTuple):
    """A PNG of ids.

    Attributes:
        ids: All ids but 0, ascending.
        runs: Their pixels, one mask an id.
        palette: Its colours, shape (n, 3), or None.
    """

    ids: IntArray
    runs: Runs
    palette: ByteArray | None


class NoIds(PictureProblem):
    """A PNG holds a picture, and no ids."""

    def __init__(self, why: str) -> None:
        super().__init__("undecodable", f"{why}: it is no picture of ids")


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
            _check_middle(again, to_ids, header)
        ids, runs = label_runs(((top, to_ids(one)) for top, one in strips), header.size)
    except (TooManyIds, TooManyRuns) as problem:
        raise NoIds(str(problem)) from problem
    if not known:
        _check_regions(ids, runs, header)
    return IdImage(ids, runs, palette)


def _cut(found: Iterator[tuple[int, Pixels]], header: PngHeader) -> list[tuple[int, Pixels]]:
    """Return a decoded picture in strips that take little memory as ids."""
    ((_, pixels),) = found
    rows = -(-header.height // -(-header.height * header.width // _STRIP_PIXELS))
    return [(top, pixels[top : top + rows]) for top in range(0, header.height, rows)]


def _check_middle(
    strips: Iterable[tuple[int, Pixels]], to_ids: Callable[[AnyArray], AnyArray], header: PngHeader
) -> None:
    """Look at the middle columns, which is quick, and tell most pictures.

    Raises:
        NoIds: Neighbours differ as in photos, or there are nearly as many values as pixels.
    """
    height, width = header.size
    half = max(1, _LOOK_PIXELS // height) // 2 + 1
    columns = slice(max(0, width // 2 - half), width // 2 + half)
    # Copied, for a view would keep all of its strip.
    ids = np.concatenate([np.array(to_ids(pixels[:, columns])) for _, pixels in strips])
    values, counts = np.unique(ids, return_counts=True)
    if ids.size < _FEW_PIXELS or len(values) <= _FEW_IDS:
        return
    inside = (ids[1:] != 0) | (ids[:-1] != 0)
    pairs = int(np.count_nonzero(inside))
    differing = int(np.count_nonzero(ids[1:] != ids[:-1])) / max(1, pairs)
    if differing > _DIFFERING:
        raise NoIds(f"{differing:.0%} of neighbouring pixels differ")
    if len(values) > _MANY_IDS and np.median(counts) < _SMALLEST:
        raise NoIds(f"half of its {len(values):,} values have under {_SMALLEST} pixels")


def _check_regions(ids: IntArray, runs: Runs, header: PngHeader) -> None:
    """Check that the pixels of each value lie together, as those of an object do.

    Raises:
        NoIds: It does not: values of a photo are everywhere, those of a drawing's edges are tiny.
    """
    if len(ids) <= _FEW_IDS or header.height * header.width < _FEW_PIXELS:
        return
    areas, boxes = np.asarray(rle.area(runs)), np.asarray(rle.bbox(runs), np.int64)
    smallest = _SMALLEST_OF_COLOR if CHANNELS[header.color] >= 3 else _SMALLEST
    if (len(ids) > _MANY_IDS or smallest > _SMALLEST) and np.median(areas) < smallest:
        raise NoIds(f"half of its {len(ids):,} values have under {smallest} pixels")
    filled = areas.sum() / (boxes[:, 2] * boxes[:, 3]).sum()
    if filled < _FILLED:
        raise NoIds(f"its {len(ids):,} values fill {filled:.1%} of their boxes")


def ids_of(header: PngHeader) -> Callable[[AnyArray], AnyArray]:
    """Return the function from decoded pixels to ids, for PNGs of one kind."""
    if header.color >= RGB and CHANNELS[header.color] >= 3:
        return lambda pixels: pixels[..., :3] @ np.array([1, 256, 65536], np.int32)
    if CHANNELS[header.color] == 2:
        return lambda pixels: pixels[..., 0]
    if header.color == GRAY and header.depth in (2, 4):
        scale = 255 // (2**header.depth - 1)  # decoding stretches them to 8 bits
        return lambda pixels: pixels // scale
    return lambda pixels: pixels
