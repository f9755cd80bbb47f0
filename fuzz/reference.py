"""Masks drawn by plain code and pycocotools, from values as they stand in a file."""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from pycocotools import mask as coco_mask

Pixels = npt.NDArray[np.bool_]

MOST_PIXELS = 1 << 22
"""Larger masks are not drawn here."""

_FAR = 20_000  # coordinates beyond it are nothing that a reference needs to draw


def of_runs(counts: Sequence[Any], height: int, width: int) -> Pixels | None:
    """Return a mask of column-major run lengths, background first; None where they are none."""
    if any(type(one) is not int or one < 0 for one in counts) or sum(counts) != height * width:
        return None
    flat = np.repeat(np.arange(len(counts)) % 2 == 1, np.array(counts, np.int64))
    return flat.reshape(width, height).T


def numbers_of(text: str) -> list[int] | None:
    """Return the run lengths of COCO's compressed text; None where it is cut off or overflows.

    Own code after the definition in ``maskApi.c``: six bits a character, least first, with a sign;
    from the third on each is a difference to the one two before.
    """
    found: list[int] = []
    at = 0
    while at < len(text):
        value, shift = 0, 0
        while True:
            if at >= len(text) or shift > 60:
                return None
            bits = ord(text[at]) - 48
            if not 0 <= bits < 64:
                return None
            value |= (bits & 31) << shift
            shift += 5
            at += 1
            if not bits & 32:
                if bits & 16:
                    value -= 1 << shift
                break
        if len(found) > 2:
            value += found[-2]
        found.append(value)
    return found


def of_polygons(rings: Any, height: int, width: int) -> Pixels | None:
    """Return what pycocotools draws of rings; None where they are none, or far out."""
    if not isinstance(rings, list) or not rings:
        return None
    for ring in rings:
        if not isinstance(ring, list) or len(ring) < 6 or len(ring) % 2:
            return None
        for one in ring:
            if type(one) not in (int, float) or abs(one) > _FAR or math.isnan(one):
                return None
    made = coco_mask.merge(coco_mask.frPyObjects(rings, height, width))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return np.asarray(coco_mask.decode(made)) > 0


def is_size(height: Any, width: Any) -> bool:
    """Return whether an image of that size is drawn here."""
    if type(height) is not int or type(width) is not int:
        return False
    return height > 0 and width > 0 and height * width <= MOST_PIXELS


def of_coco(value: Any, height: int, width: int) -> tuple[Pixels | None, bool]:
    """Return the mask of a COCO segmentation.

    Returns:
        The mask, None where this code cannot say; and whether it is certain that there is none.
    """
    if isinstance(value, list):
        return of_polygons(value, height, width), False
    if not isinstance(value, dict) or value.get("size") != [height, width]:
        return None, False
    if any(type(side) is not int for side in value["size"]):
        return None, False
    counts = value.get("counts")
    if isinstance(counts, str):
        numbers = numbers_of(counts)
        if numbers is None:
            return None, False
    elif isinstance(counts, list) and all(type(one) is int for one in counts):
        numbers = counts
    else:
        return None, False
    if not numbers:
        return None, False
    return of_runs(numbers, height, width), sum(numbers) != height * width


def box_of(mask: Pixels) -> tuple[int, int, int, int]:
    """Return the tight box, XYWH in pixels; zeros for an empty mask."""
    y, x = np.nonzero(mask)
    if not len(y):
        return 0, 0, 0, 0
    return int(x.min()), int(y.min()), int(np.ptp(x)) + 1, int(np.ptp(y)) + 1
