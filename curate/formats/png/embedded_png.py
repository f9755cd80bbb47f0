"""PNGs of one mask inside of a JSON document, in base64, that lie somewhere on an image."""

from __future__ import annotations

import base64
import binascii
import io
import struct
import zlib

import numpy as np
from PIL.PngImagePlugin import PngImageFile

from curate import rle
from curate.common.arrays import BoolArray
from curate.errors import CallError
from curate.formats.png.packing import pack_png
from curate.formats.png.png_reading import BROKEN, PictureProblem
from curate.formats.segmentation import Segmentation, encode_runs, json_type
from curate.images.png_rows import SIGNATURE
from curate.images.quiet_decoders import quiet_pillow

MAX_EMBEDDED_PIXELS = 1 << 27
"""Largest PNG that is decoded in one piece."""

_MOST_PACKED = 1 << 28
_MOST_BESIDE = 1 << 20  # of a PNG's bytes beside its pixels


def decode_text(text: object) -> bytes:
    """Return the bytes of a base64 text; a ``data:`` URL counts as well.

    Raises:
        PictureProblem: It is no text (``wrong_type``), empty (``no_segmentation``), or no base64
            (``undecodable``).
    """
    if type(text) is not str:
        raise PictureProblem("wrong_type", f"the mask's data is {json_type(text)}, not a string")
    if text.startswith("data:"):
        text = text.partition(",")[2]
    if not text.strip():
        raise PictureProblem("no_segmentation", "the mask's data is empty")
    try:
        return base64.b64decode("".join(text.split()), validate=True)
    except (binascii.Error, ValueError) as error:
        raise PictureProblem("undecodable", "the mask's data is no base64") from error


def size_of_png(data: bytes) -> tuple[int, int] | None:
    """Return the height and width that the first 24 bytes of a PNG state; None of anything else."""
    if len(data) < 24 or data[:8] != SIGNATURE or data[12:16] != b"IHDR":
        return None
    width, height = struct.unpack(">II", data[16:24])
    return height, width


def inflate(data: bytes, size: tuple[int, int]) -> bytes:
    """Unpack zlib's bytes, if they are not more than any PNG of an image has.

    Args:
        data: The packed PNG.
        size: Height and width of the image.

    Raises:
        PictureProblem: It is broken, cut off or too large (``undecodable``).
    """
    most = min(_MOST_BESIDE + 8 * size[0] * size[1], _MOST_PACKED)
    unpacker = zlib.decompressobj()
    try:
        made = unpacker.decompress(data, most)
    except zlib.error as error:
        raise PictureProblem("undecodable", f"the mask's data is broken ({error})") from error
    if unpacker.unconsumed_tail:
        raise PictureProblem("undecodable", "the mask's data unpacks to too many bytes")
    if not unpacker.eof:
        raise PictureProblem("undecodable", "the mask's data is cut off")
    return made


def read_embedded(data: bytes, size: tuple[int, int], *, opacity: bool) -> BoolArray:
    """Decode a PNG that holds a mask or a piece of one.

    Args:
        data: The PNG.
        size: Height and width of the image that it is a piece of: it cannot be larger.
        opacity: Whether a pixel that is not transparent is in the mask, in a PNG that knows
            transparency. Else all that are not 0 (in colours: neither black nor transparent).

    Raises:
        PictureProblem: It is no PNG or broken (``undecodable``), or larger (``size_mismatch``).
    """
    if not data.startswith(SIGNATURE) or len(data) < 33 or data[12:16] != b"IHDR":
        raise PictureProblem("undecodable", "the mask's data is no PNG")
    width, height = struct.unpack(">II", data[16:24])
    if height > size[0] or width > size[1]:
        detail = f"the mask's PNG is {width} x {height}, the image {size[1]} x {size[0]}"
        raise PictureProblem("size_mismatch", detail)
    if height * width > MAX_EMBEDDED_PIXELS:
        detail = f"a PNG of {width} x {height} pixels is too large to decode"
        raise PictureProblem("undecodable", detail)
    try:
        with quiet_pillow(), PngImageFile(io.BytesIO(data)) as picture:
            picture.load()
            pixels = _find_mask(picture, opacity)
    except BROKEN as error:
        reason = str(error).strip() or type(error).__name__
        raise PictureProblem("undecodable", f"the mask's PNG is broken ({reason})") from error
    if pixels.shape != (height, width):
        raise PictureProblem("undecodable", "the PNG's pixels are not as many as it says")
    return pixels


def _find_mask(picture: PngImageFile, opacity: bool) -> BoolArray:
    if opacity and (picture.mode in ("LA", "RGBA") or "transparency" in picture.info):
        return np.asarray(np.asarray(picture.convert("RGBA"))[..., 3] != 0)
    pixels = np.asarray(picture)
    if pixels.ndim == 2:
        return np.asarray(pixels != 0)
    alpha = pixels.shape[2] in (2, 4)
    shown = pixels[..., -1] != 0 if alpha else np.ones(pixels.shape[:2], np.bool_)
    return np.asarray(pixels[..., : pixels.shape[2] - alpha].any(axis=2) & shown)


def place_mask(pixels: BoolArray, x: int, y: int, size: tuple[int, int]) -> Segmentation:
    """Return a mask of an image of which a piece was decoded; what lies outside is cut off.

    Args:
        pixels: Shape (height, width): the piece.
        x: Column of its left edge on the image.
        y: Row of its upper edge.
        size: Height and width of the image.
    """
    top, left = max(0, -y), max(0, -x)
    seen = pixels[top : max(0, size[0] - y), left : max(0, size[1] - x)]
    if not seen.size:
        detail = f"the mask at x {x}, y {y} lies outside the image, {size[1]} x {size[0]}"
        return Segmentation(None, "size_mismatch", detail)
    # The runs of its columns, found between a row of background above and one below.
    height, width = seen.shape
    columns = np.zeros((width, height + 2), np.int8)
    columns[:, 1:-1] = seen.T
    column, row = np.divmod(np.flatnonzero(np.diff(columns, axis=1)), height + 1)
    places = (column + x + left) * size[0] + row + y + top
    return Segmentation(encode_runs(places[::2], places[1::2], *size))


def place_whole(
    pixels: BoolArray, size: tuple[int, int], named: str, image_named: str
) -> Segmentation:
    """Return a mask of an image that was decoded whole, or why it is none of that image.

    Args:
        pixels: Shape (height, width).
        size: Height and width of the image.
        named: What messages call the mask's picture.
        image_named: What they call the image.
    """
    if pixels.shape != size:
        height, width = pixels.shape
        detail = f"{named} is {width} x {height}, {image_named} {size[1]} x {size[0]}"
        return Segmentation(None, "size_mismatch", detail)
    return place_mask(pixels, 0, 0, size)


def png_of(pixels: BoolArray) -> bytes:
    """Return a mask as an 8-bit gray PNG of 0 and 1."""
    return pack_png(pixels.astype(np.uint8))


def cut_out(mask: rle.Runs, where: str) -> tuple[int, int, BoolArray]:
    """Return the left column and upper row of a mask's box, and the pixels in it.

    Args:
        mask: One mask with a pixel at least.
        where: Its source key, or that of its image, for the message.

    Raises:
        CallError: A PNG of the box would be larger than any that is read.
    """
    x, y, w, h = (int(side) for side in rle.bbox(mask)[0])
    if w * h > MAX_EMBEDDED_PIXELS:
        what = f"a PNG of {w} x {h} pixels is too large to be read again"
        raise CallError(what, where, "write another format")
    return x, y, rle.to_dense(mask, 0, (x, y, w, h))
