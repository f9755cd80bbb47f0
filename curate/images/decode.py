"""Decoder of one picture file: guarded opening, upright orientation, 8-bit arrays."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image, UnidentifiedImageError

from curate.common.arrays import ByteArray
from curate.images import image_pieces as pieces
from curate.images.canvas import (
    Box,
    Canvas,
    Levels,
    ValueRange,
    inverse_orientation,
    levels_of,
    value_range,
)
from curate.images.image_pieces import (
    SMALL_PIXELS,
    ImagePiece,
    OpenedImage,
    check_every_pixel,
    source_of,
)
from curate.images.limits import OverLimit, TooManyPixels, TooMuchMemory
from curate.images.opening import open_picture_file
from curate.images.quiet_decoders import quiet_pillow
from curate.images.tiff_samples import TiffSamples

if TYPE_CHECKING:
    from PIL import ImageFile

THUMBNAIL_PX = 32
"""Height and width of a thumbnail."""

_REDUCED_BYTES = 24_000_000  # windows up to this size are not reduced while they are decoded


@dataclass(frozen=True)
class ImageHeader:
    """Header of a picture's file, read before anything is decoded.

    Attributes:
        height: Stored height in pixels.
        width: Stored width in pixels.
        orientation: EXIF orientation, 1 (upright) to 8.
        deep: Whether it has more than 8 bit a sample: it is shown stretched.
        bands: Which of its bands are shown, as a clause; empty where all are.
    """

    height: int
    width: int
    orientation: int = 1
    deep: bool = False
    bands: str = ""

    @property
    def stored(self) -> tuple[int, int]:
        """Height and width of the pixels as they stand in the file."""
        return self.height, self.width

    @property
    def displayed(self) -> tuple[int, int]:
        """Height and width as a viewer that follows EXIF shows it."""
        return (self.width, self.height) if self.orientation >= 5 else (self.height, self.width)


@contextmanager
def open_picture(path: Path, max_pixels: int) -> Iterator[tuple[OpenedImage, ImageHeader]]:
    """Open a picture, without decoding it yet.

    Args:
        path: An ordinary file.
        max_pixels: Largest size that its header may state.

    Raises:
        OverLimit: It is larger, or a TIFF in more pieces than are read.
        Exception: Whatever Pillow and its decoders raise on a broken file.
    """
    with quiet_pillow(), open_picture_file(path) as image:
        if image.height * image.width > max_pixels:
            raise TooManyPixels(image.width, image.height, max_pixels)
        yield image, _header(path, image)


def _header(path: Path, image: OpenedImage) -> ImageHeader:
    size = (image.height, image.width)
    if isinstance(image, TiffSamples):
        deep = image.kind.itemsize > 1
        return ImageHeader(*size, image.orientation, deep, image.describe())
    orientation = _orientation(path, image)
    if image.format == "TIFF" and orientation >= 5:  # Pillow states a TIFF's size as displayed
        size = size[::-1]
    return ImageHeader(*size, orientation, _is_deep(image))


def _is_deep(image: ImageFile.ImageFile) -> bool:
    raw = str(image.tile[0][3]) if len(image.tile) == 1 else ""
    return image.mode.startswith(("I", "F")) or ";16" in raw


def _orientation(path: Path, image: ImageFile.ImageFile) -> int:
    try:
        if image.format == "PNG":  # of which Pillow would decode all to look for EXIF
            with pieces.open_without_pixels(path) as bare:
                value = int(bare.getexif().get(0x0112, 1))
        else:
            value = int(image.getexif().get(0x0112, 1))
    except Exception:  # metadata that does not parse means none
        return 1
    return value if 1 <= value <= 8 else 1


@dataclass(frozen=True)
class Wanted:
    """Request for a picture's pixels.

    Attributes:
        gray: One channel, else RGB.
        displayed: Turned as its EXIF orientation asks, else as stored.
        box: The window, in that frame; None for all of it.
        longest: Longest side of what is shown in the end: a much larger window comes reduced, its
            longer side no shorter than this. None to have every pixel.
        levels: From which to which value a picture of over 8 bit is stretched; None: from its own
            0.1st to its 99.9th percentile.
    """

    gray: bool = False
    displayed: bool = True
    box: Box | None = None
    longest: int | None = None
    levels: tuple[float, float] | None = None


@dataclass(frozen=True)
class Band:
    """Some rows of a picture.

    Attributes:
        low: Its first own row.
        high: Where its own rows end, exclusive.
        top: The row of its first pixel: there may be rows around its own.
        pixels: Shape (height, width, 3), or (height, width).
    """

    low: int
    high: int
    top: int
    pixels: ByteArray


class Pixels:
    """An open picture whose windows can be read one after another.

    Args:
        path: The file.
        image: It, opened.
        header: Its header.
        wanted: What of it.
        max_bytes: Most memory that this may take, what is read included.

    Raises:
        OverLimit: It cannot be had in so much memory.
        Exception: Whatever Pillow and its decoders raise on a broken file.
    """

    def __init__(
        self,
        path: Path,
        image: OpenedImage,
        header: ImageHeader,
        wanted: Wanted,
        max_bytes: int,
    ) -> None:
        self._wanted = wanted
        self.deep = header.deep
        self.size = header.displayed if wanted.displayed else header.stored
        box = wanted.box or Box(0, 0, self.size[1], self.size[0])
        depth = 1 if wanted.gray else 3
        self._step = 1
        if wanted.longest is not None and box.w * box.h * depth > _REDUCED_BYTES:
            self._step = max(1, box.longest // wanted.longest)
        taken = box.w * box.h * depth // self._step**2 * (1 if self._step == 1 else 5)
        if taken > max_bytes:
            raise TooMuchMemory(f"a piece of {box.w} x {box.h} px", taken, max_bytes)
        least = None
        if wanted.longest is not None:
            least = -(-header.height // self._step), -(-header.width // self._step)
        left = max_bytes - taken
        try:
            self._source = source_of(
                path, image, header.stored, left, gray=wanted.gray, least=least
            )
        except TooMuchMemory as error:  # the limit is told as it is set
            raise error.beside(taken) from error
        self._turn = header.orientation if wanted.displayed else 1
        if self._source.turned:
            self._turn = 1 if wanted.displayed else inverse_orientation(header.orientation)
        self._levels: Levels = wanted.levels or levels_of(self._source)

    def value_range(self) -> ValueRange | None:
        """Return the values of a picture of over 8 bit; None for others.

        Raises:
            Exception: Whatever Pillow and its decoders raise on a broken file.
        """
        return value_range(self._source)

    def read(self, box: Box | None = None) -> ByteArray:
        """Return a window, shape (height, width), or (height, width, 3) unless gray.

        Pictures of over 8 bit are stretched between the levels that are wanted, else from their
        0.1st to their 99.9th percentile, because microscopes and scanners use a part of their range
        only.

        Args:
            box: The window; the one that is wanted if None.

        Raises:
            Exception: Whatever Pillow and its decoders raise on a broken file.
        """
        box = box or self._wanted.box or Box(0, 0, self.size[1], self.size[0])
        shape = -(-box.h // self._step), -(-box.w // self._step)
        drawn_size = self._source.height, self._source.width
        size = drawn_size if self._turn < 5 else drawn_size[::-1]
        inner = box if size == self.size else _scale_box(box, self.size, size)
        bins = (min(shape[0], inner.h), min(shape[1], inner.w))
        canvas = Canvas(bins, inner, self._turn, size, gray=self._wanted.gray)
        drawn = canvas.draw(self._source, self._levels)
        return drawn if bins == shape else _resize(drawn, shape)

    def bands(self, pixels: int, margin: int) -> Iterator[Band]:
        """Yield the whole picture, from its first row to its last, some rows at a time.

        Args:
            pixels: About how many a band has; one row at least.
            margin: How many rows above and below a band has besides its own, where there are any.

        Raises:
            Exception: Whatever Pillow and its decoders raise on a broken file.
        """
        height, width = self.size
        # What does not come row by row is gone through again for each band.
        rows = max(1, pixels * (1 if self._ordered else 4) // width)
        waiting: list[ImagePiece] = []
        pieces = self._source.pieces(0, height) if self._ordered else None
        for low in range(0, height, rows):
            high = min(height, low + rows)
            top, bottom = max(0, low - margin), min(height, high + margin)
            box = Box(0, top, width, bottom - top)
            if pieces is None:
                yield Band(low, high, top, self.read(box))
                continue
            waiting = [one for one in waiting if one.y + one.image.height > top]
            while not waiting or waiting[-1].y < bottom:
                piece = next(pieces, None)
                if piece is None:
                    break
                waiting.append(piece)
            canvas = Canvas((box.h, box.w), box, 1, self.size, gray=self._wanted.gray)
            yield Band(low, high, top, canvas.draw_pieces(waiting, self._levels))

    @property
    def _ordered(self) -> bool:
        """Whether pieces come row by row as they are wanted."""
        drawn = self._source.height, self._source.width
        return self._turn == 1 and self._source.ordered and drawn == self.size


def _scale_box(box: Box, size: tuple[int, int], drawn: tuple[int, int]) -> Box:
    """Return a window on a picture as one on the same picture drawn at another scale."""
    x, y = box.x * drawn[1] // size[1], box.y * drawn[0] // size[0]
    right = min(drawn[1], -(-(box.x + box.w) * drawn[1] // size[1]))
    bottom = min(drawn[0], -(-(box.y + box.h) * drawn[0] // size[0]))
    return Box(x, y, max(1, right - x), max(1, bottom - y))


def _resize(pixels: ByteArray, shape: tuple[int, int]) -> ByteArray:
    made = Image.fromarray(pixels).resize(shape[::-1], Image.Resampling.BILINEAR)
    return np.asarray(made)


def thumbnail_of(path: Path, image: OpenedImage, header: ImageHeader, max_bytes: int) -> ByteArray:
    """Decode an open picture to its end and squeeze it, as displayed, into a square of gray.

    A JPEG is drawn at an eighth of its size at best, which takes a fraction of the time of drawing
    it whole, and still reads every byte.

    Args:
        path: The file.
        image: It, opened.
        header: Its header.
        max_bytes: Most memory that this may take.

    Raises:
        OverLimit: It cannot be decoded in so much memory.
        Exception: Whatever Pillow and its decoders raise on a broken file.
    """
    check_every_pixel(path, image, max_bytes)
    square = (THUMBNAIL_PX, THUMBNAIL_PX)
    least = (2 * THUMBNAIL_PX, 2 * THUMBNAIL_PX)
    source = source_of(path, image, header.stored, max_bytes, gray=True, least=least)
    turn = 1 if source.turned else header.orientation
    size = (source.height, source.width) if turn < 5 else (source.width, source.height)
    whole, levels = Box(0, 0, size[1], size[0]), levels_of(source)
    if size[0] * size[1] > SMALL_PIXELS and min(size) >= THUMBNAIL_PX:
        return Canvas(square, whole, turn, size, gray=True).draw(source, levels)
    pixels = Canvas(size, whole, turn, size, gray=True).draw(source, levels)
    return np.asarray(Image.fromarray(pixels).resize(square, Image.Resampling.BOX))


def problem(path: Path, error: Exception) -> tuple[str, str]:
    """Return the status word and the clause for an error that a decoder raised."""
    try:
        size = path.stat().st_size
    except OSError:
        return "missing", "its file went away while it was read"
    if size == 0:
        return "unreadable", "its file is empty"
    if isinstance(error, OverLimit):
        return "too_large", str(error)
    if isinstance(error, Image.DecompressionBombError):  # a decoder that has the limit in itself
        return "too_large", "Pillow decodes no picture of its kind as large: save it as PNG or TIFF"
    if _cut_off(path, size):
        return "truncated", f"its file ends too early, after {size:,} bytes"
    if isinstance(error, UnidentifiedImageError):
        return "unreadable", "its file is no picture of a known format"
    text = " ".join(str(error).split())[:200] or type(error).__name__
    if "truncat" in text.lower():
        return "truncated", f"its file ends too early, after {size:,} bytes"
    return "unreadable", f"its file cannot be decoded ({text})"


def _cut_off(path: Path, size: int) -> bool:
    """Tell whether a JPEG or PNG lacks its end mark; called only where decoding failed."""
    try:
        with path.open("rb") as file:
            head = file.read(8)
            file.seek(max(0, size - 4096))
            tail = file.read()
    except OSError:
        return False
    if head.startswith(b"\xff\xd8\xff"):
        return b"\xff\xd9" not in tail
    return head.startswith(b"\x89PNG") and b"IEND" not in tail
