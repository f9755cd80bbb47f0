"""Masks in arrays: ids in two dimensions, or a mask a layer in three."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple, cast

import numpy as np

from curate import rle
from curate.common.arrays import AnyArray, BoolArray
from curate.formats.ids.id_judging import NoIds, UnreadIds, check_middle, check_regions
from curate.formats.ids.strip_runs import (
    MOST_IDS,
    IdImage,
    TooManyIds,
    TooManyRuns,
    label_runs,
)
from curate.formats.npy.stored_arrays import ArrayHeader, StoredArray, list_arrays
from curate.formats.png.png_reading import PictureProblem
from curate.formats.segmentation import size_problem, valid_size
from curate.formats.tiff.tiff_ids import to_ids

_STRIP_PIXELS = 1 << 20
_LEAST_SIDE = 16  # of an array among others whose name says nothing: boxes have 4 columns
_NAMED = re.compile(
    r"(?:.*[_/])?(?:masks?|labels?|labeled|seg(?:m|mentations?)?|inst(?:ances?)?|ids|arr_0|y)",
    re.IGNORECASE,
)


class MaskArray(NamedTuple):
    """An array of masks.

    Attributes:
        stored: Where it is.
        layered: Whether it has a mask a layer; else its values are ids.
    """

    stored: StoredArray
    layered: bool

    @property
    def size(self) -> tuple[int, int]:
        """Height and width in pixels."""
        shape = self.stored.header.shape
        return shape[-2], shape[-1]


def find_masks(path: Path) -> list[MaskArray]:
    """Return the arrays of a file that have the shape and the type of masks.

    In an archive these are the ones whose names say so, or else all that are large enough.

    Raises:
        NoIds: There are none.
        UnreadIds: There are, of a kind that is not read.
        PictureProblem: The file cannot be read.
    """
    stored = list_arrays(path)
    kinds = [(one, _is_layered(one.header)) for one in stored]
    found = [MaskArray(one, layered) for one, layered in kinds if layered is not None]
    if len(stored) > 1:
        named = [one for one in found if _NAMED.fullmatch(one.stored.member)]
        found = named or [one for one in found if min(one.size) >= _LEAST_SIDE]
    if found:
        return found
    if any(_is_volume(one.header) for one in stored):
        what = "it has whole numbers of 3 dimensions"
        raise UnreadIds(f"{what}: save ids as (H, W), masks as booleans of (N, H, W)")
    shapes = ", ".join(f"{one.header.dtype} {one.header.shape}" for one in stored[:3])
    raise NoIds(f"it holds {shapes or 'no array'}")


def _is_layered(header: ArrayHeader) -> bool | None:
    """Return whether an array of this shape and type has a mask a layer; None for no masks."""
    shape, kind = header.shape, header.dtype
    if len(shape) == 2:
        return False if kind.kind in "biu" else None
    if len(shape) == 3 or (len(shape) == 4 and shape[1] == 1):
        as_bytes = kind.kind in "iu" and kind.itemsize == 1 and shape[-1] > 4
        return True if kind.kind == "b" or as_bytes else None
    return None


def _is_volume(header: ArrayHeader) -> bool:
    return len(header.shape) == 3 and header.dtype.kind in "iu" and header.shape[-1] > 4


def check_size(array: MaskArray) -> None:
    """Check that an array can be that of an image.

    Raises:
        PictureProblem: It cannot.
    """
    if not valid_size(*array.size):
        raise PictureProblem("invalid_size", size_problem(*array.size))


def read_ids(values: AnyArray, *, known: bool) -> IdImage:
    """Turn an array of ids into masks.

    Args:
        values: Shape (height, width), whole numbers or booleans.
        known: Whether something else says that they are ids.

    Raises:
        NoIds: It is a picture.
    """
    size = (values.shape[0], values.shape[1])
    if not known:
        check_middle(_strips(values), lambda ids: ids, size)
    try:
        ids, runs = label_runs(_strips(values), size)
    except (TooManyIds, TooManyRuns) as problem:
        raise NoIds(str(problem)) from problem
    if not known:
        check_regions(ids, runs, size)
    return IdImage(ids, runs, None)


def _strips(values: AnyArray) -> Iterator[tuple[int, AnyArray]]:
    rows = max(1, _STRIP_PIXELS // values.shape[1])
    for top in range(0, values.shape[0], rows):
        some = values[top : top + rows]
        yield top, some.astype(np.uint8) if some.dtype == bool else to_ids(some)


def layers_of(values: AnyArray) -> Sequence[BoolArray]:
    """Return the masks of an array that has one a layer.

    Args:
        values: Shape (n, height, width) or (n, 1, height, width).

    Raises:
        NoIds: A layer has other values than 0 and 1, or 0 and 255; or there are too many.
    """
    if len(values) > MOST_IDS:
        raise NoIds(f"it has {len(values):,} layers")
    flat = values.reshape(len(values), *values.shape[-2:])
    if values.dtype != bool:
        for layer in flat:
            others = layer[layer != 0]
            if len(others) and not (others == others[0]).all():
                raise NoIds("a layer has more values than 0 and one other")
            if len(others) and int(others[0]) not in (1, -1, 255):
                raise NoIds(f"a layer has the value {others[0]}")
    return [np.asarray(layer != 0, np.bool_) for layer in flat]


def counts_of(mask: BoolArray) -> bytes:
    """Encode a mask as COCO compressed counts."""
    return cast(bytes, rle.encode_counts(rle.from_dense(mask))[0].as_py())
