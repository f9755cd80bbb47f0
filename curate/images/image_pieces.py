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
from typing import TYPE_CHECKING, BinaryIO

from PIL import Image, ImagePalette
from PIL.PngImagePlugin import PngImageFile

from curate.images import png_rows, tiff_blocks

if TYPE_CHECKING:
    from PIL import ImageFile

SMALL_PIXELS = 8_000_000
"""Pictures up to this size are decoded whole: a strip at a time would be slower."""

PIECE_PIXELS = 1 << 20
"""About how many pixels a piece has."""

_ONE_BYTE = ("1", "L", "P")
_MANY_SCANS = (0xC2, 0xC6, 0xCA, 0xCE)  # frames of progressive JPEG
_FRAMES = (*range(0xC0, 0xC4), *range(0xC5, 0xC8), *range(0xC9, 0xCC), *range(0xCD, 0xD0))
_WEBP = 16.1  # bytes a pixel, measured: four pictures of RGBA
_JPEG_2000 = 5.5  # bytes a sample, measured
_JPEG_2000_BLOCK = 420  # bytes a code block, measured
_HEAD = 1 << 16


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
    image: Image.Image
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
    image: ImageFile.ImageFile,
    size: tuple[int, int],
    max_bytes: int,
    *,
    gray: bool,
    least: tuple[int, int] | None = None,
) -> PixelSource:
    """Return how to go through a picture in bounded memory.

    Args:
        path: The file.
        image: It, opened by Pillow and not decoded.
        size: Height and width as stored.
        max_bytes: Most memory that decoding may take.
        gray: Whether brightness is all that is wanted.
        least: Height and width of which the picture may be reduced to; None for all of its pixels.

    Raises:
        TooMuch: It cannot be decoded in so much memory.
        Exception: Whatever Pillow and its decoders raise on a broken file.
    """
    if size[0] * size[1] > SMALL_PIXELS:
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
    is_jpeg = image.format in ("JPEG", "MPO")
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
        raise TooMuch(image, needed, max_bytes)
    return image


def check_every_pixel(path: Path, image: ImageFile.ImageFile, max_bytes: int) -> None:
    """Check that a JPEG can be decoded at its full scale, if only in gray; others need no draft.

    Raises:
        TooMuch: It cannot in so much memory.
    """
    if image.format in ("JPEG", "MPO"):
        mode = "L" if image.mode == "RGB" else image.mode
        needed = bytes_to_decode(path, image, mode)
        if needed > max_bytes:
            raise TooMuch(image, needed, max_bytes)


def _crop_bands(image: Image.Image, top: int, bottom: int) -> Iterator[ImagePiece]:
    rows = max(1, PIECE_PIXELS // max(1, image.width))
    for y in range(top, min(bottom, image.height), rows):
        box = (0, y, image.width, min(y + rows, bottom, image.height))
        yield ImagePiece(0, y, image.crop(box))


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
            piece = _from_bytes(mode, (one.width, n), one.rows.tobytes(), (rawmode,), palette)
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
    elif blocks.is_one_deflate_strip:
        at_once = PIECE_PIXELS * blocks.bits // 8
        decoded = partial(tiff_blocks.inflate_rows, path, blocks, image, at_once)
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


class TooMuch(ValueError):
    """Decoding a picture takes more memory than it may."""

    def __init__(self, image: ImageFile.ImageFile, needed: int, most: int) -> None:
        kind = "progressive JPEG" if image.info.get("progressive") else str(image.format)
        size = f"{image.width} x {image.height} px"
        super().__init__(
            f"to decode this {kind} of {size} takes {_megabytes(needed)}, "
            f"over the limit of {_megabytes(most)}"
        )


def _megabytes(size: int) -> str:
    return f"{size / 1e6:,.0f} MB" if size >= 10_000_000 else f"{size / 1e3:,.0f} kB"


def bytes_to_decode(path: Path, image: ImageFile.ImageFile, mode: str = "", scale: int = 1) -> int:
    """Return about how many bytes Pillow takes to decode a picture whole.

    Args:
        path: The file.
        image: It, opened and not decoded; what its ``draft`` set up counts.
        mode: In which mode it is decoded; the picture's own if empty.
        scale: By how much it is reduced in height and width, for a JPEG.
    """
    mode = mode or image.mode
    pixels = -(-image.width // scale) * -(-image.height // scale)
    sample = 1 if mode in _ONE_BYTE else 2 if mode.startswith("I;16") else 4
    own = sample * pixels
    if image.format == "WEBP":
        return int(_WEBP * pixels)
    if image.format == "JPEG2000":
        return own + _jpeg_2000(path, len(image.getbands()), pixels)
    if image.format in ("JPEG", "MPO"):
        return own + _kept_coefficients(path, image)
    if image.format == "TIFF":
        turned = 1 if image.getexif().get(0x0112, 1) in (None, 1) else 2
        blocks = tiff_blocks.read_blocks(path)
        return turned * own + (2 * own if blocks is None else blocks.block_bytes)
    in_python = any(one[0] not in ("raw", "zip", "gif", "tga_rle") for one in image.tile)
    return 3 * own if in_python else own


def _kept_coefficients(path: Path, image: ImageFile.ImageFile) -> int:
    """Return the bytes that a JPEG keeps until its last scan; 0 if one scan has everything."""
    try:
        with path.open("rb") as file:
            found = _of_frame(file)
    except OSError:
        found = None
    if found is not None:
        return found
    # What is not understood here may be understood there: the worst is assumed.
    return 64 * 8 * image.width * image.height


def _of_frame(file: BinaryIO) -> int | None:
    file.seek(2)
    coefficients, components, many = 0, 0, False
    while True:
        head = file.read(2)
        if head == b"\xff\xff":  # a filler
            file.seek(-1, 1)
            continue
        size = int.from_bytes(file.read(2), "big") - 2
        if len(head) < 2 or head[0] != 0xFF or size < 0:
            return None
        body = file.read(size)
        if head[1] in _FRAMES and len(body) >= 6:
            many = many or head[1] in _MANY_SCANS
            components = body[5]
            coefficients = _coefficients(body)
        elif head[1] == 0xDA:
            return coefficients if many or (body[:1] or b"\0")[0] < components else 0


def _coefficients(frame: bytes) -> int:
    height, width = int.from_bytes(frame[1:3], "big"), int.from_bytes(frame[3:5], "big")
    factors = [(one >> 4 or 1, one & 15 or 1) for one in frame[7 : 6 + 3 * frame[5] : 3]]
    across, down = (max((one[k] for one in factors), default=1) for k in range(2))
    blocks = 0
    for x, y in factors:
        blocks += -(-width * x // (8 * across)) * -(-height * y // (8 * down))
    return 128 * blocks


def _jpeg_2000(path: Path, samples: int, pixels: int) -> int:
    """Return the bytes of a tile: its samples, and the decoder's state of each code block."""
    with path.open("rb") as file:
        data = file.read(_HEAD)
    at = data.find(b"\xff\x4f\xff\x51")
    size, block = pixels, 64 * 64
    if at < 0:
        return int(pixels * (_JPEG_2000 * samples + _JPEG_2000_BLOCK / 16))
    tile = data[at + 4 + 2 + 2 + 16 : at + 4 + 2 + 2 + 24]
    if len(tile) == 8:
        side = int.from_bytes(tile[:4], "big"), int.from_bytes(tile[4:], "big")
        size = min(pixels, side[0] * side[1])
    at += 2
    while at + 4 <= len(data) and data[at] == 0xFF and data[at + 1] not in (0x90, 0x93, 0xD9):
        length = int.from_bytes(data[at + 2 : at + 4], "big")
        where = {0x52: at + 10, 0x53: at + 7 + (samples > 256)}.get(data[at + 1])
        if where is not None and where + 2 <= len(data):
            block = min(block, 1 << (data[where] & 15) + 2 + (data[where + 1] & 15) + 2)
        at += 2 + max(2, length)
    return int(size * samples * (_JPEG_2000 + _JPEG_2000_BLOCK / block))
