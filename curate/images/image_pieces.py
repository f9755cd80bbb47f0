"""Pictures in pieces, so that memory does not grow with what a file claims.

PNG, TIFF and all that is stored unpacked are read a strip at a time. What only Pillow can decode
is decoded whole where that fits, a JPEG at a smaller scale if need be; what does not fit is refused
by its header, before a byte of it is decoded.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import lru_cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

from PIL import Image, ImagePalette
from PIL.PngImagePlugin import PngImageFile

from curate.images import png_rows, tiff_blocks
from curate.images.decode_cost import TooMuch, bytes_to_decode
from curate.images.deep_pixels import DeepPixels
from curate.images.tiff_samples import TiffSamples

if TYPE_CHECKING:
    from PIL import ImageFile

SMALL_PIXELS = 8_000_000
"""Pictures up to this size are decoded whole: a strip at a time would be slower."""

PIECE_PIXELS = 1 << 20
"""About how many pixels a piece has."""

_DEEP_RAW = ("RGB;16B", "RGBA;16B", "LA;16B")


OpenedImage: TypeAlias = "ImageFile.ImageFile | TiffSamples"
"""A picture opened by Pillow, or one that only this package reads."""


@dataclass(frozen=True)
class ImagePiece:
    """A piece of a picture.

    Attributes:
        x: Column of its first pixel.
        y: Row of its first pixel.
        image: Its pixels, in the picture's own mode.
        dx: Columns from a pixel to the next; over 1 for passes of an interlaced PNG.
        dy: Rows from a pixel to the next.
    """

    x: int
    y: int
    image: Image.Image | DeepPixels
    dx: int = 1
    dy: int = 1


Pieces = Callable[[int, int], Iterator[ImagePiece]]


@dataclass(frozen=True)
class PixelSource:
    """A picture whose pixels can be gone through, several times if need be.

    Attributes:
        height: Of all pieces together, in pixels.
        width: Of all pieces together, in pixels.
        turned: Whether they lie as displayed and not as stored: Pillow turns a TIFF by itself.
        pieces: Takes which row to begin with and before which to end, and gives the pieces, from
            first to last; those without such a row may be left out.
        ordered: Whether no piece begins above the one before it.
    """

    height: int
    width: int
    turned: bool
    pieces: Pieces
    ordered: bool = True


def source_of(
    path: Path,
    image: OpenedImage,
    size: tuple[int, int],
    max_bytes: int,
    *,
    gray: bool,
    least: tuple[int, int] | None = None,
) -> PixelSource:
    """Return how to go through a picture in bounded memory.

    Args:
        path: The file.
        image: It, opened and not decoded.
        size: Height and width as stored.
        max_bytes: Most memory that decoding may take.
        gray: Whether brightness is all that is wanted.
        least: Height and width of which the picture may be reduced to; None for all of its pixels.

    Raises:
        TooMuch: It cannot be decoded in so much memory.
        Exception: Whatever Pillow and its decoders raise on a broken file.
    """
    if isinstance(image, TiffSamples):
        return PixelSource(*size, False, _samples(image, max_bytes))
    if size[0] * size[1] > SMALL_PIXELS or _is_deep_png(image):
        found = _png(path, image) or _tiff(path, image, size, max_bytes)
        found = found or _raw(path, image, size)
        if found is not None:
            ordered = image.format != "PNG" or not image.info.get("interlace")
            return PixelSource(*size, False, found, ordered)
    image = _fit_decoder(path, image, max_bytes, gray=gray, least=least)
    image.load()
    # Pillow turns a TIFF itself, and drops its orientation.
    return PixelSource(
        image.height, image.width, image.format == "TIFF", partial(_crop_bands, image)
    )


def _fit_decoder(
    path: Path,
    image: ImageFile.ImageFile,
    max_bytes: int,
    *,
    gray: bool,
    least: tuple[int, int] | None,
) -> ImageFile.ImageFile:
    """Set up a picture's decoder so that it takes no more than ``max_bytes``."""
    is_jpeg, size = image.format in ("JPEG", "MPO"), image.size
    if is_jpeg and least is not None:
        sides = [image.height // least[0], image.width // least[1]]
        mode = "L" if gray else image.mode
        scale = max((s for s in (1, 2, 4, 8) if s <= min(sides)), default=1)
        while scale < 8 and bytes_to_decode(path, image, mode, scale) > max_bytes:
            scale *= 2
        image.draft(mode, (image.width // scale, image.height // scale))
    elif is_jpeg and bytes_to_decode(path, image) > max_bytes:
        image.draft("L", image.size)
    needed = bytes_to_decode(path, image)
    if needed > max_bytes:
        raise TooMuch(image, size, needed, max_bytes)
    return image


def check_every_pixel(path: Path, image: OpenedImage, max_bytes: int) -> None:
    """Check that a JPEG can be decoded at its full scale, if only in gray; others need no draft.

    Raises:
        TooMuch: It cannot in so much memory.
    """
    if not isinstance(image, TiffSamples) and image.format in ("JPEG", "MPO"):
        mode = "L" if image.mode == "RGB" else image.mode
        needed = bytes_to_decode(path, image, mode)
        if needed > max_bytes:
            raise TooMuch(image, image.size, needed, max_bytes)


def _crop_bands(image: Image.Image, top: int, bottom: int) -> Iterator[ImagePiece]:
    rows = max(1, PIECE_PIXELS // max(1, image.width))
    for y in range(top, min(bottom, image.height), rows):
        box = (0, y, image.width, min(y + rows, bottom, image.height))
        yield ImagePiece(0, y, image.crop(box))


def _samples(image: TiffSamples, max_bytes: int) -> Pieces:
    image.check_memory(max_bytes)

    def pieces(top: int, bottom: int) -> Iterator[ImagePiece]:
        for x, y, piece in image.pieces(PIECE_PIXELS, top, bottom):
            yield ImagePiece(x, y, piece)

    return pieces


def _is_deep_png(image: ImageFile.ImageFile) -> bool:
    """Whether a PNG has colours of 16 bit, of which Pillow would keep the upper 8."""
    return image.format == "PNG" and len(image.tile) == 1 and image.tile[0][3] in _DEEP_RAW


def _png(path: Path, image: ImageFile.ImageFile) -> Pieces | None:
    if image.format != "PNG" or len(image.tile) != 1 or image.tile[0][0] != "zip":
        return None
    rawmode, palette = str(image.tile[0][3]), image.palette
    mode, interlaced = image.mode, bool(image.info.get("interlace"))
    bits = _bits(mode, rawmode)

    def pieces(top: int, bottom: int) -> Iterator[ImagePiece]:
        for one in png_rows.strips(path, PIECE_PIXELS * bits // 8):
            n = len(one.rows)
            if one.y >= bottom and not interlaced:
                return
            if one.y + n * one.dy <= top:
                continue
            piece: Image.Image | DeepPixels
            if rawmode in _DEEP_RAW:
                values = one.rows.view(">u2").reshape(n, one.width, -1)
                piece = DeepPixels(values[:, :, :3] if values.shape[2] > 2 else values[:, :, 0])
            else:
                data = one.rows.tobytes()
                piece = _from_bytes(mode, (one.width, n), data, (rawmode,), palette)
            yield ImagePiece(one.x, one.y, piece, one.dx, one.dy)

    return pieces


def _raw(path: Path, image: ImageFile.ImageFile, size: tuple[int, int]) -> Pieces | None:
    """Take what stands unpacked in the file: BMP, PPM, TGA and TIFF as most tools write them."""
    mode, palette = image.mode, image.palette
    if not image.tile or any(one.codec_name != "raw" for one in image.tile):
        return None
    tiles = [(one.extents or (0, 0, *image.size), one.offset, one.args) for one in image.tile]
    covered = sum((x1 - x0) * (y1 - y0) for (x0, y0, x1, y1), _, _ in tiles)
    if covered != size[0] * size[1]:  # colour planes that stand apart
        return None

    def pieces(top: int, bottom: int) -> Iterator[ImagePiece]:
        with path.open("rb") as file:
            for (x0, y0, x1, y1), offset, told in tiles:
                args = told if isinstance(told, tuple) else (told,)
                rawmode, stride, step = (*args, *(0, 1)[len(args) - 1 :])[:3]
                row = -(-(x1 - x0) * _bits(mode, rawmode) // 8)
                stride = stride or row
                rows = max(1, PIECE_PIXELS // (x1 - x0))
                for y in range(max(y0, top), min(y1, bottom), rows):
                    n = min(rows, y1 - y)
                    file.seek(offset + (y - y0 if step > 0 else y1 - y - n) * stride)
                    data = file.read(n * stride)
                    if len(data) < (n - 1) * stride + row:
                        raise OSError("image file is truncated")
                    data = data.ljust(n * stride, b"\0")
                    made = _from_bytes(mode, (x1 - x0, n), data, (rawmode, stride, step), palette)
                    yield ImagePiece(x0, y, made)

    return pieces


@lru_cache(256)
def _bits(mode: str, rawmode: str) -> int:
    """Return how many bits a pixel takes in a raw mode: the fewest from which Pillow makes one."""
    for bits in range(1, 129):
        try:
            _from_bytes(mode, (8, 1), bytes(bits), (rawmode,), None)
        except ValueError as error:
            if "not enough" not in str(error):
                raise
        else:
            return bits
    raise ValueError(f"pixels of the kind {rawmode} are not known")


def _from_bytes(
    mode: str, size: tuple[int, int], data: bytes, args: tuple[object, ...], palette: object
) -> Image.Image:
    piece = Image.frombytes(mode, size, data, "raw", *args)
    if mode in ("P", "PA") and isinstance(palette, ImagePalette.ImagePalette):
        piece.putpalette(palette)
    return piece


def _tiff(
    path: Path, image: ImageFile.ImageFile, size: tuple[int, int], max_bytes: int
) -> Pieces | None:
    if image.format != "TIFF":
        return None
    blocks = tiff_blocks.read_blocks(path)
    # Pillow is left to read what is odd.
    if blocks is None or (blocks.height, blocks.width) != size:
        return None
    a_block = blocks.block_bytes + 4 * blocks.block_height * blocks.block_width
    if a_block <= max_bytes // 4:
        decoded = partial(tiff_blocks.decode_blocks, path, blocks, PIECE_PIXELS)
    elif blocks.unpacks_by_rows and not tiff_blocks.has_old_lzw(path, blocks):
        at_once = PIECE_PIXELS * blocks.bits // 8
        decoded = partial(tiff_blocks.unpack_rows, path, blocks, image, at_once)
    else:
        return None

    def pieces(top: int, bottom: int) -> Iterator[ImagePiece]:
        for x, y, piece in decoded(top, bottom):
            yield ImagePiece(x, y, piece)

    return pieces


def open_without_pixels(path: Path) -> ImageFile.ImageFile:
    """Open a PNG as one of a single pixel with the same palette and metadata.

    Raises:
        Exception: Whatever Pillow raises on a broken file.
    """
    return PngImageFile(io.BytesIO(png_rows.without_pixels(path)))
