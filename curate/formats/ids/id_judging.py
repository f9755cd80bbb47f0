"""Judgement of whether values are ids or those of a picture.

Objects are regions: most of their pixels have neighbours of the same id, they have some pixels
each, and they fill a good part of their boxes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

import numpy as np

from curate import rle
from curate.common.arrays import AnyArray, IntArray
from curate.formats.png.png_reading import PictureProblem
from curate.rle import Runs

_LOOK_PIXELS = 1 << 20  # pixels looked at before all others
_FEW_PIXELS, _FEW_IDS, _MANY_IDS = 256, 16, 256
_DIFFERING = 0.6  # of discs of 4 px across 0.4 of the pairs that touch them differ; of photos 0.7
_SMALLEST, _SMALLEST_OF_COLOR = 4, 16  # px; the edges of drawings have a colour for some pixels
_FILLED = 0.05  # discs fill 0.79; n values scattered over a photo 1/n


class NoIds(PictureProblem):
    """A file holds a picture, and no ids."""

    def __init__(self, why: str) -> None:
        super().__init__("undecodable", f"{why}: it is no picture of ids")


class UnreadIds(PictureProblem):
    """A file holds ids in a way that is not read; the detail says what helps."""

    def __init__(self, why: str) -> None:
        super().__init__("undecodable", why)


def check_middle(
    strips: Iterable[tuple[int, AnyArray]],
    to_ids: Callable[[AnyArray], AnyArray],
    size: tuple[int, int],
) -> None:
    """Look at the middle columns, which is quick, and tell most pictures.

    Args:
        strips: First row and pixels of all strips, from the top.
        to_ids: From pixels to ids.
        size: Height and width of all of them together.

    Raises:
        NoIds: Neighbours differ as in photos, or there are nearly as many values as pixels.
    """
    height, width = size
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


def check_regions(
    ids: IntArray, runs: Runs, size: tuple[int, int], *, in_color: bool = False
) -> None:
    """Check that the pixels of each value lie together, as those of an object do.

    Args:
        ids: All values but 0.
        runs: Their pixels.
        size: Height and width in pixels.
        in_color: Whether values are made of three channels: a drawing may be, too.

    Raises:
        NoIds: It does not: values of a photo are everywhere, those of a drawing's edges are tiny.
    """
    if len(ids) <= _FEW_IDS or size[0] * size[1] < _FEW_PIXELS:
        return
    areas, boxes = np.asarray(rle.area(runs)), np.asarray(rle.bbox(runs), np.int64)
    smallest = _SMALLEST_OF_COLOR if in_color else _SMALLEST
    if (len(ids) > _MANY_IDS or smallest > _SMALLEST) and np.median(areas) < smallest:
        raise NoIds(f"half of its {len(ids):,} values have under {smallest} pixels")
    boxed = boxes[:, 2] * boxes[:, 3]
    objects = np.arange(len(ids)) != np.argmax(boxed - areas)  # one may be void, and everywhere
    filled = areas[objects].sum() / boxed[objects].sum()
    if filled < _FILLED:
        raise NoIds(f"its {len(ids):,} values fill {filled:.1%} of their boxes")
