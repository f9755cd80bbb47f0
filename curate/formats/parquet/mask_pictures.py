"""Masks of objects that are pictures inside a Parquet, as ``datasets`` keeps its ``Image``."""

from __future__ import annotations

import io
import struct
from typing import Any

import numpy as np
import pyarrow as pa
from PIL import Image

from curate import rle
from curate.common.json_values import JsonObject
from curate.formats.mask_values import NewMask
from curate.formats.png.embedded_png import place_whole, read_embedded
from curate.formats.png.png_reading import PictureProblem
from curate.formats.segmentation import Segmentation, read_segmentation, rle_size, valid_size
from curate.images.png_rows import SIGNATURE

BYTES, PATH = "bytes", "path"


def holds_pictures(kind: pa.DataType) -> bool:
    """Return whether a type is that of pictures: their bytes, or a path to them."""
    return bool(pa.types.is_struct(kind)) and {BYTES, PATH} <= {one.name for one in kind}


def read_mask(value: Any, size: tuple[int, int]) -> Segmentation:
    """Return the mask of an object, as a picture or in one of COCO's forms.

    In a picture each pixel that is neither black nor transparent is in the mask.

    Args:
        value: What the column has.
        size: Height and width of the image.
    """
    if not isinstance(value, dict) or BYTES not in value:
        return read_segmentation(value, *size)
    data = value[BYTES]
    if not isinstance(data, bytes) or not data:
        return Segmentation(None, "no_segmentation", "the mask's picture is not in the file")
    try:
        pixels = read_embedded(data, size, opacity=False)
    except PictureProblem as problem:
        return Segmentation(None, problem.status, problem.detail)
    return place_whole(pixels, size, "the mask's PNG", "the image")


def size_of_mask(value: Any) -> tuple[int, int] | None:
    """Return the height and width that a mask states; None where it states none."""
    if not isinstance(value, dict) or BYTES not in value:
        return rle_size(value)
    data = value[BYTES]
    if not isinstance(data, bytes) or not data.startswith(SIGNATURE) or len(data) < 24:
        return None
    width, height = struct.unpack(">II", data[16:24])
    return (height, width) if valid_size(height, width) else None


def picture_value(mask: NewMask, old: Any) -> JsonObject:
    """Return new pixels as a picture: 8-bit gray, 255 in the mask, with the path that was there."""
    size = np.array([mask.height]), np.array([mask.width])
    runs, _ = rle.decode_counts([mask.counts], *size)
    packed = io.BytesIO()
    pixels = np.where(rle.to_dense(runs, 0), np.uint8(255), np.uint8(0))
    Image.fromarray(pixels).save(packed, "PNG")
    return {BYTES: packed.getvalue(), PATH: old.get(PATH) if isinstance(old, dict) else None}
