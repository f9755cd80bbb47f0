"""FiftyOne's masks: zlib-packed NumPy arrays in base64, inside boxes in relative coordinates.

An array is read by its header alone, which is a literal and never code; what it says of its size is
checked before anything of that size is made.
"""

from __future__ import annotations

import base64
import binascii
import io
import math
import zlib
from typing import Any, NamedTuple, cast

import numpy as np
from numpy.lib import format as npy

from curate import rle
from curate.common.arrays import BoolArray
from curate.common.json_values import is_finite_number
from curate.formats.segmentation import Segmentation, json_type, size_problem, valid_size

MAX_ARRAY_BYTES = 1 << 28
"""Largest array of one mask that is unpacked."""

_MAX_HEADER = 4_096
_KINDS = "biuf"


class _BadArray(ValueError):
    """An array that cannot be read, and why."""


class PixelBox(NamedTuple):
    """A box in whole pixels: x and y of its corner, width and height."""

    x: int
    y: int
    w: int
    h: int


def pixel_boxes(value: object, size: tuple[int, int]) -> tuple[PixelBox, PixelBox] | None:
    """Return a box of relative coordinates [x, y, w, h] in pixels.

    FiftyOne's importers round the sides to whole pixels, its renderer cuts them off; which of them
    an array was made for, its shape says.

    Args:
        value: The stored box.
        size: Height and width of the image in pixels.

    Returns:
        The box with rounded sides, and that with sides cut off; None where the value is no box, or
        none that an image can have.
    """
    if type(value) is not list or len(value) != 4 or not all(map(is_finite_number, value)):
        return None
    if max(map(abs, value)) > 1e3:
        return None
    height, width = size
    x, y, w, h = map(float, value)
    sides = width * x, height * y, width * (x + w), height * (y + h)
    return _box_of([round(side) for side in sides]), _box_of([int(side) for side in sides])


def _box_of(sides: list[int]) -> PixelBox:
    left, top, right, bottom = sides
    return PixelBox(left, top, right - left, bottom - top)


def relative_box(box: tuple[int, int, int, int], size: tuple[int, int]) -> list[float]:
    """Return a box in pixels, XYWH, in relative coordinates.

    Whoever multiplies them and rounds, or cuts off, has the box again.
    """
    height, width = size
    x, y, w, h = box
    left, across = _relative(x, w, width)
    top, down = _relative(y, h, height)
    return [left, top, across, down]


def _relative(start: int, length: int, whole: int) -> tuple[float, float]:
    """Return where a stretch begins, and its length, relative to the whole.

    The nearest numbers above those whose products come out a little too small.
    """
    first, share = start / whole, length / whole
    while int(whole * first) < start:
        first = math.nextafter(first, math.inf)
    while int(whole * (first + share)) < start + length:
        share = math.nextafter(share, math.inf)
    return first, share


def read_mask(
    value: object, stored_box: object, size: tuple[int, int]
) -> tuple[Segmentation, bool]:
    """Read a mask on its image.

    Args:
        value: The stored array: ``{"$binary": {"base64": ...}}``, or its older spelling.
        stored_box: The box in relative coordinates.
        size: Height and width of the image in pixels.

    Returns:
        The mask, and whether its array had another size than the box and was scaled to it (by the
        nearest neighbour).
    """
    if not valid_size(*size):
        return Segmentation(None, "invalid_size", size_problem(*size)), False
    packed = _packed(value)
    if packed is None:
        return Segmentation(None, "wrong_type", f"its mask is {json_type(value)}, no array"), False
    boxes = pixel_boxes(stored_box, size)
    if boxes is None:
        return Segmentation(None, "wrong_type", "its bounding_box is no box"), False
    try:
        return place_pixels(unpack_array(packed), boxes, size)
    except _BadArray as error:
        return Segmentation(None, "undecodable", f"its mask cannot be read: {error}"), False


def _packed(value: object) -> bytes | None:
    """Return the bytes of a binary value of MongoDB's extended JSON."""
    inner: Any = value.get("$binary") if type(value) is dict else value
    if type(inner) is dict:
        inner = inner.get("base64")
    if type(inner) is not str:
        return None
    try:
        return base64.b64decode(inner, validate=True)
    except (binascii.Error, ValueError):
        return b""


def unpack_array(packed: bytes) -> BoolArray:
    """Return the pixels of a packed array: which values are not 0.

    Raises:
        _BadArray: It is none, or too large.
    """
    unpacker = zlib.decompressobj()
    try:
        head = unpacker.decompress(packed, _MAX_HEADER)
        file = io.BytesIO(head)
        version = npy.read_magic(file)
        if version not in ((1, 0), (2, 0)):
            raise _BadArray(f"it is of version {version[0]}.{version[1]} of NumPy's format")
        read = npy.read_array_header_1_0 if version == (1, 0) else npy.read_array_header_2_0
        shape, is_fortran, dtype = read(file, max_header_size=_MAX_HEADER)
    except _BadArray:
        raise
    except Exception as error:
        raise _BadArray("it is no packed NumPy array") from error
    if dtype.kind not in _KINDS or dtype.hasobject or dtype.shape or dtype.fields:
        raise _BadArray(f"its values are {str(dtype)[:40]}, no numbers")
    if len(shape) == 3 and shape[2] == 1:
        shape = shape[:2]
    if len(shape) != 2 or min(shape) < 0:
        raise _BadArray(f"its shape is {str(shape)[:60]}, not (height, width)")
    wanted = math.prod(shape) * dtype.itemsize
    if wanted > MAX_ARRAY_BYTES:
        raise _BadArray(f"it would take {wanted:,} bytes")
    body = head[file.tell() :]
    try:
        body += unpacker.decompress(unpacker.unconsumed_tail, max(1, wanted + 1 - len(body)))
    except zlib.error as error:
        raise _BadArray("its bytes are damaged") from error
    if len(body) != wanted:
        raise _BadArray(f"it has {len(body):,} bytes, not the {wanted:,} of its shape")
    values = np.frombuffer(body, dtype).reshape(shape, order="F" if is_fortran else "C")
    return cast(BoolArray, values != 0)


def place_pixels(
    pixels: BoolArray, boxes: tuple[PixelBox, PixelBox], size: tuple[int, int]
) -> tuple[Segmentation, bool]:
    """Put pixels on an image, in the box of :func:`pixel_boxes` that has their shape.

    Where neither has, they are scaled to the second, as FiftyOne's renderer does; see
    :func:`read_mask`.

    Raises:
        _BadArray: The box has no pixel, or more than an image can have.
    """
    box = next((one for one in boxes if pixels.shape == (one.h, one.w)), boxes[1])
    if box.w < 1 or box.h < 1 or not pixels.size:
        raise _BadArray("its box or its array has no pixel")
    if box.w * box.h > rle.MAX_PIXELS:
        raise _BadArray("its box is beyond any image")
    is_scaled = pixels.shape != (box.h, box.w)
    # Only what lies on the image is made, however large the box is.
    left, right = max(box.x, 0), min(box.x + box.w, size[1])
    top, bottom = max(box.y, 0), min(box.y + box.h, size[0])
    if right <= left or bottom <= top:
        return Segmentation(None, "undecodable", "its box lies outside of the image"), False
    rows = np.arange(top - box.y, bottom - box.y)
    columns = np.arange(left - box.x, right - box.x)
    if is_scaled:
        rows = (2 * rows + 1) * pixels.shape[0] // (2 * box.h)
        columns = (2 * columns + 1) * pixels.shape[1] // (2 * box.w)
    piece = np.ascontiguousarray(pixels[rows][:, columns])
    runs = rle.paste(rle.from_dense(piece), [(left, top)], [size[0]], [size[1]])
    return Segmentation(cast(bytes, rle.encode_counts(runs)[0].as_py())), is_scaled


def pack_mask(mask: rle.Runs) -> tuple[dict[str, object], tuple[int, int, int, int]]:
    """Return a mask's packed array as FiftyOne stores it, and its box in pixels, XYWH."""
    x, y, w, h = (int(side) for side in rle.bbox(mask)[0])
    packed = io.BytesIO()
    npy.write_array(packed, rle.to_dense(mask, 0, (x, y, w, h)), (1, 0), allow_pickle=False)
    text = base64.b64encode(zlib.compress(packed.getvalue())).decode("ascii")
    return {"$binary": {"base64": text, "subType": "00"}}, (x, y, w, h)
