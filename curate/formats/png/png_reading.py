"""Reader of PNG masks and instance ids that trusts nothing a file says of itself."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple, cast

import numpy as np
from PIL import Image
from PIL.PngImagePlugin import PngImageFile

from curate import rle
from curate.common import files
from curate.common.arrays import AnyArray, BoolArray, ByteArray
from curate.formats.ids.strip_runs import TooManyRuns, label_runs
from curate.formats.segmentation import Segmentation, size_problem, valid_size
from curate.images import MAX_BYTES, png_rows
from curate.images.image_pieces import SMALL_PIXELS, open_without_pixels
from curate.images.png_rows import CHANNELS, SIGNATURE
from curate.images.quiet_decoders import quiet_pillow

MAX_DECODED_PIXELS = 500_000_000
"""Largest picture that is decoded; a few bytes of PNG can claim far more."""

Pixels = AnyArray

_MOST_WHOLE_BYTES = 1_500_000_000  # where all pixels are needed at once, to write them anew
_STRIP_PIXELS = 1 << 20

GRAY, RGB, PALETTE, GRAY_ALPHA, RGBA = 0, 2, 3, 4, 6

BROKEN = (
    OSError,
    SyntaxError,  # what Pillow raises on a broken chunk
    ValueError,
    TypeError,
    KeyError,
    IndexError,
    EOFError,
    OverflowError,
    MemoryError,
    struct.error,
    zlib.error,
)
"""What decoding a broken picture raises."""

PICTURES = (".png", ".jpg", ".jpeg", ".tif", ".tiff", ".bmp", ".webp", ".gif", ".jp2", ".mpo")
"""How the names of pictures end."""


class PictureProblem(Exception):
    """A picture cannot be used.

    Attributes:
        status: A status word of the masks table.
        detail: What is wrong, as a clause.
    """

    def __init__(self, status: str, detail: str) -> None:
        self.status, self.detail = status, detail
        super().__init__(status, detail)


class PngHeader(NamedTuple):
    """Header chunk of a PNG.

    Attributes:
        height: In pixels.
        width: In pixels.
        depth: Bits a channel: 1, 2, 4, 8 or 16.
        color: :data:`GRAY`, :data:`RGB`, :data:`PALETTE`, :data:`GRAY_ALPHA` or :data:`RGBA`.
        interlaced: Whether pixels stand in the seven passes of Adam7.
    """

    height: int
    width: int
    depth: int
    color: int
    interlaced: bool

    @property
    def size(self) -> tuple[int, int]:
        """Height and width in pixels."""
        return self.height, self.width


def read_header(path: Path) -> PngHeader:
    """Read what a PNG says about itself, without decoding it.

    Raises:
        PictureProblem: It is missing (``no_segmentation``), cannot be read or is no PNG
            (``undecodable``), or has a size that no mask can have (``invalid_size``).
    """
    try:
        with files.open_to_read(path) as file:
            head = file.read(33)
    except FileNotFoundError:
        raise PictureProblem("no_segmentation", "the PNG is missing") from None
    except (OSError, ValueError) as error:
        raise PictureProblem("undecodable", f"the PNG cannot be read ({error})") from error
    if not head:
        raise PictureProblem("undecodable", "the PNG is an empty file")
    if not head.startswith(SIGNATURE) or len(head) < 33 or head[12:16] != b"IHDR":
        cut = SIGNATURE.startswith(head[:8]) or head.startswith(SIGNATURE)
        raise PictureProblem("undecodable", "the PNG is cut off" if cut else "it is not a PNG")
    width, height, depth, color, *methods = struct.unpack(">IIBBBBB", head[16:29])
    if not valid_size(height, width):
        raise PictureProblem("invalid_size", size_problem(height, width))
    if depth not in (1, 2, 4, 8, 16) or color not in (GRAY, RGB, PALETTE, GRAY_ALPHA, RGBA):
        raise PictureProblem("undecodable", "the PNG's header is broken")
    if methods not in ([0, 0, 0], [0, 0, 1]):  # decoders differ in what they make of others
        raise PictureProblem("undecodable", "the PNG's header is broken")
    return PngHeader(height, width, depth, color, methods[2] == 1)


def read_pixels(path: Path, header: PngHeader) -> tuple[Pixels, Any]:
    """Decode a PNG.

    Returns:
        The pixels, shape (height, width) or (height, width, channels), palette indexes where there
        is a palette; and the palette, shape (n, 3), or None.

    Raises:
        PictureProblem: It is broken, cut off or too large.
    """
    _check_size(header)
    if header.height * header.width > SMALL_PIXELS:
        with _decoding():
            kind = _kind(path)
            return _assemble(_pieces(path, header, kind), header, _MOST_WHOLE_BYTES), kind.colors
    # Image.open would refuse or warn by its own limit on the size; ours is checked above.
    with (
        _decoding(),
        quiet_pillow(),
        files.open_to_read(path) as file,
        PngImageFile(file) as picture,
    ):
        picture.load()
        palette = picture.getpalette("RGB") if picture.mode == "P" else None
        pixels = np.asarray(picture)
    if pixels.shape[:2] != header.size:
        raise PictureProblem("undecodable", "the PNG's pixels are not as many as it says")
    if pixels.ndim != (3 if CHANNELS[header.color] > 1 else 2):  # a second header, of another kind
        raise PictureProblem("undecodable", "the PNG's pixels are not of the kind that it says")
    colors = None if palette is None else np.array(palette, np.uint8).reshape(-1, 3)
    return pixels, colors


def read_strips(path: Path, header: PngHeader) -> tuple[Iterator[tuple[int, Pixels]], Any]:
    """Decode a PNG some rows at a time, so that a large one takes little memory.

    Returns:
        First row and pixels of each strip, as :func:`read_pixels` gives them; and the palette. The
        strips raise as this does.

    Raises:
        PictureProblem: It is broken, cut off or too large.
    """
    _check_size(header)
    if header.height * header.width <= SMALL_PIXELS:
        pixels, colors = read_pixels(path, header)
        return iter([(0, pixels)]), colors
    with _decoding():
        kind = _kind(path)
    return _strips(path, header, kind), kind.colors


def _strips(path: Path, header: PngHeader, kind: _PngMode) -> Iterator[tuple[int, Pixels]]:
    with _decoding():
        pieces = _pieces(path, header, kind)
        if not header.interlaced:
            yield from ((strip.y, pixels) for strip, pixels in pieces)
            return
        whole = _assemble(pieces, header, MAX_BYTES)
        rows = max(1, _STRIP_PIXELS // header.width)
        yield from ((top, whole[top : top + rows]) for top in range(0, header.height, rows))


def _check_size(header: PngHeader) -> None:
    if header.height * header.width > MAX_DECODED_PIXELS:
        size = f"{header.width} x {header.height}"
        raise PictureProblem("undecodable", f"a PNG of {size} pixels is too large to decode")


@contextmanager
def _decoding() -> Iterator[None]:
    try:
        yield
    except BROKEN as error:
        reason = str(error).strip() or type(error).__name__
        raise PictureProblem("undecodable", f"the PNG is broken or cut off ({reason})") from error


class _PngMode(NamedTuple):
    """Pillow's mode for the pixels of a PNG, and its palette."""

    mode: str
    rawmode: str
    colors: ByteArray | None


def _kind(path: Path) -> _PngMode:
    with quiet_pillow(), open_without_pixels(path) as bare:
        rawmode = str(bare.tile[0].args)
        bare.load()
        palette = bare.getpalette("RGB") if bare.mode == "P" else None
        colors = None if palette is None else np.array(palette, np.uint8).reshape(-1, 3)
        return _PngMode(bare.mode, rawmode, colors)


def _pieces(
    path: Path, header: PngHeader, kind: _PngMode
) -> Iterator[tuple[png_rows.Strip, Pixels]]:
    bits = header.depth * CHANNELS[header.color]
    for strip in png_rows.strips(path, _STRIP_PIXELS * bits // 8):
        size, data = (strip.width, len(strip.rows)), strip.rows.tobytes()
        yield strip, np.asarray(Image.frombytes(kind.mode, size, data, "raw", kind.rawmode))


def _assemble(
    pieces: Iterator[tuple[png_rows.Strip, Pixels]], header: PngHeader, most: int
) -> Pixels:
    """Put all pixels into one array of at most so many bytes."""
    whole: Pixels | None = None
    for strip, pixels in pieces:
        if whole is None:
            shape = (*header.size, *pixels.shape[2:])
            size = int(np.prod(shape)) * pixels.dtype.itemsize
            if size > most:
                what = f"the PNG's pixels take {size / 1e6:,.0f} MB in one piece"
                limit = f"over the limit of {most / 1e6:,.0f} MB"
                raise PictureProblem("undecodable", f"{what}, {limit}")
            whole = np.empty(shape, pixels.dtype)
        rows = slice(strip.y, strip.y + strip.dy * len(pixels), strip.dy)
        whole[rows, strip.x :: strip.dx] = pixels
    assert whole is not None, "a PNG has a pixel"
    return whole


def read_mask(path: Path, header: PngHeader) -> Segmentation:
    """Read a PNG that holds one mask: every pixel that is neither black nor transparent is in it.

    Returns:
        The mask, or with a status that says why there is none.
    """
    try:
        if header.height * header.width <= SMALL_PIXELS:
            pixels, colors = read_pixels(path, header)
            runs = rle.from_dense(_find_visible(pixels, colors))
        else:
            strips, colors = read_strips(path, header)
            ids, runs = label_runs(
                ((top, _find_visible(p, colors)) for top, p in strips), header.size
            )
            if not len(ids):
                runs = _no_runs(*header.size)
    except PictureProblem as problem:
        return Segmentation(None, problem.status, problem.detail)
    except TooManyRuns as problem:
        return Segmentation(None, "undecodable", str(problem))
    return Segmentation(cast(bytes, rle.encode_counts(runs)[0].as_py()))


def _no_runs(height: int, width: int) -> rle.Runs:
    none, sides = np.zeros(0, np.int32), (np.full(1, one, np.int32) for one in (height, width))
    return rle.Runs(np.zeros(2, np.int64), none, none, *sides)


def _find_visible(pixels: Pixels, colors: Any) -> BoolArray:
    """Return which pixels are neither black nor transparent."""
    if colors is not None:
        table = np.zeros(256, np.bool_)
        table[: len(colors)] = colors.any(axis=1)
        return np.asarray(table[pixels], np.bool_)
    if pixels.ndim == 2:
        return np.asarray(pixels != 0, np.bool_)
    alpha = pixels.shape[2] in (2, 4)
    shown = pixels[..., -1] != 0 if alpha else np.ones(pixels.shape[:2], np.bool_)
    return np.asarray(pixels[..., : pixels.shape[2] - alpha].any(axis=2) & shown, np.bool_)


class PngInfo(NamedTuple):
    """Header of a mask's picture.

    Attributes:
        size: Height and width in pixels as stored, before any rotation.
        rotated: Whether EXIF says that height and width change places when it is shown.
    """

    size: tuple[int, int]
    rotated: bool = False

    @property
    def upright(self) -> tuple[int, int]:
        """Height and width in pixels as it is shown."""
        return self.size[::-1] if self.rotated else self.size

    @property
    def finding(self) -> tuple[str, str]:
        """Status and detail of an image whose picture it is."""
        if not self.rotated:
            return "ok", ""
        height, width = self.upright
        return "exif_rotated", f"EXIF turns the picture to {width} x {height}"


def read_picture(path: Path) -> PngInfo:
    """Read the size of a picture of any kind from its header, without decoding it.

    Raises:
        PictureProblem: It is ``missing``, ``unreadable`` or of ``invalid_size``; these are words of
            the images table.
    """
    try:
        with quiet_pillow(), _no_limit(), Image.open(path) as picture:
            width, height = picture.size
            rotated = False
            # Other kinds would be decoded to look for EXIF; trainers look at JPEG only as well.
            if picture.format in ("JPEG", "MPO"):
                rotated = picture.getexif().get(0x0112) in (5, 6, 7, 8)
    except FileNotFoundError:
        raise PictureProblem("missing", "the picture is missing") from None
    except BROKEN as error:
        what = type(error).__name__ if "cannot identify" in str(error) else str(error)
        raise PictureProblem("unreadable", f"the picture cannot be read ({what})") from error
    if not valid_size(height, width):
        raise PictureProblem("invalid_size", size_problem(height, width))
    return PngInfo((height, width), rotated)


@contextmanager
def _no_limit() -> Iterator[None]:
    """Let Pillow open a picture of any size: only the header is read."""
    limit, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, None
    try:
        yield
    finally:
        Image.MAX_IMAGE_PIXELS = limit
