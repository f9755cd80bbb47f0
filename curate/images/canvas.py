"""Crop windows, and pieces of a picture drawn onto 8-bit arrays: whole, a window, or reduced."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image as Images

from curate.common.arrays import AnyArray, ByteArray, IntArray
from curate.images.deep_pixels import DeepPixels, values_of
from curate.images.image_pieces import ImagePiece, PixelSource

if TYPE_CHECKING:
    from PIL import Image

LEAST_SIDE = 24
"""Smallest window in pixels: a mask of three pixels needs surroundings to be understood."""

Rectangle = tuple[float, float, float, float]
"""XYWH in pixels."""


@dataclass(frozen=True)
class Box:
    """A window on an image: whole pixels, inside the image."""

    x: int
    y: int
    w: int
    h: int

    @property
    def longest(self) -> int:
        """The longer side in pixels."""
        return max(self.w, self.h)


def window(
    size: tuple[int, int],
    parts: Sequence[Rectangle],
    context: float = 0.45,
    least: int = LEAST_SIDE,
) -> Box | None:
    """Choose the square piece of an image that shows some boxes with what surrounds them.

    Args:
        size: Width and height of the image.
        parts: XYWH of what must be seen; parts outside the image are cut off.
        context: Room on each side, as a share of the longer side of what must be seen.
        least: Smallest side of the window, in pixels, where the image has as many.

    Returns:
        A window inside the image (not square where the image ends), or None for an image or a list
        without anything in it.
    """
    width, height = size
    if width < 1 or height < 1 or not parts:
        return None
    left = min(max(min(p[0] for p in parts), 0), width - 1)
    top = min(max(min(p[1] for p in parts), 0), height - 1)
    right = max(left + 1, min(max(p[0] + p[2] for p in parts), width))
    bottom = max(top + 1, min(max(p[1] + p[3] for p in parts), height))
    side = max(least, math.ceil((1 + 2 * context) * max(right - left, bottom - top)))
    x, w = _span((left + right) / 2, side, width)
    y, h = _span((top + bottom) / 2, side, height)
    return Box(x, y, w, h)


def _span(middle: float, side: int, limit: int) -> tuple[int, int]:
    side = min(side, limit)
    return max(0, min(round(middle - side / 2), limit - side)), side


Levels = tuple[float, float] | None

_SAMPLE = 1e6  # values from which the range of a picture of over 8 bit is found

TURNS: dict[int, Any] = {
    1: lambda p: p,
    2: lambda p: p[:, ::-1],
    3: lambda p: p[::-1, ::-1],
    4: lambda p: p[::-1],
    5: lambda p: p.swapaxes(0, 1),
    6: lambda p: p[::-1].swapaxes(0, 1),
    7: lambda p: p[::-1, ::-1].swapaxes(0, 1),
    8: lambda p: p[:, ::-1].swapaxes(0, 1),
}
"""How a viewer turns stored pixels, shape (height, width, ...), by EXIF orientation; views."""


def inverse_orientation(orientation: int) -> int:
    """Return the orientation that undoes another."""
    return {6: 8, 8: 6}.get(orientation, orientation)


def turn_box(box: Box, turn: int, height: int, width: int) -> Box:
    """Return where a window on a turned picture lies on the picture as it was.

    Args:
        box: The window.
        turn: EXIF orientation by which the picture was turned.
        height: Of the picture as it was, in pixels.
        width: Of the picture as it was, in pixels.
    """
    x, y, w, h = box.x, box.y, box.w, box.h
    if turn >= 5:
        x, y, w, h = y, x, h, w
    if turn in (2, 3, 7, 8):
        x = width - x - w
    if turn in (3, 4, 6, 7):
        y = height - y - h
    return Box(x, y, w, h)


class Canvas:
    """Draws a window of a picture.

    Args:
        shape: Height and width of the result. A larger window is averaged into it.
        box: The window on the turned picture.
        turn: EXIF orientation by which the picture is turned.
        size: Height and width of the turned picture.
        gray: One channel, else RGB.
    """

    def __init__(
        self, shape: tuple[int, int], box: Box, turn: int, size: tuple[int, int], *, gray: bool
    ) -> None:
        depth = () if gray else (3,)
        self._gray, self._turn = gray, turn
        height, width = size if turn < 5 else size[::-1]
        self._box = turn_box(box, turn, height, width)
        self._exact = shape == (box.h, box.w)
        kind: Any = np.uint8 if self._exact else np.uint32
        self._made = np.zeros((*shape, *depth), kind)
        self._view = TURNS[inverse_orientation(turn)](self._made)  # as the pieces lie

    def draw(self, source: PixelSource, levels: Levels) -> ByteArray:
        """Return the window of a picture.

        Raises:
            Exception: Whatever Pillow and its decoders raise on a broken file.
        """
        return self.draw_pieces(source.pieces(self._box.y, self._box.y + self._box.h), levels)

    def draw_pieces(self, pieces: Iterable[ImagePiece], levels: Levels) -> ByteArray:
        """Return the window, made of pieces of a picture; see :meth:`draw`."""
        for piece in pieces:
            self._add(piece, levels)
        if self._exact:
            return self._made
        rows, columns = (
            np.bincount(_bins(np.arange(side), side, n), minlength=n)
            for side, n in zip((self._box.h, self._box.w), self._view.shape, strict=False)
        )
        result = np.empty(self._made.shape, np.uint8)
        drawn = TURNS[inverse_orientation(self._turn)](result)
        for y in range(len(rows)):
            count = (rows[y] * columns).astype(np.uint32)
            count = count if self._gray else count[:, None]
            drawn[y] = (self._view[y] + count // 2) // count
        return result

    def _add(self, piece: ImagePiece, levels: Levels) -> None:
        box = self._box
        rows = _within(piece.y, piece.dy, piece.image.height, box.y, box.h)
        columns = _within(piece.x, piece.dx, piece.image.width, box.x, box.w)
        if rows[0] >= rows[1] or columns[0] >= columns[1]:
            return
        part = (columns[0], rows[0], columns[1], rows[1])
        image = piece.image
        if part != (0, 0, *image.size):
            image = image.crop(part)
        pixels = _eight_bit(image, levels, gray=self._gray)
        y = piece.y + rows[0] * piece.dy - box.y
        x = piece.x + columns[0] * piece.dx - box.x
        if self._exact:
            self._view[y : y + piece.dy * len(pixels) : piece.dy][
                :, x : x + piece.dx * pixels.shape[1] : piece.dx
            ] = pixels
            return
        ys = _bins(y + piece.dy * np.arange(len(pixels)), box.h, self._view.shape[0])
        xs = _bins(x + piece.dx * np.arange(pixels.shape[1]), box.w, self._view.shape[1])
        sums = _sum_bins(
            _sum_bins(pixels, ys, 0), xs, 1
        )  # rows first: whole rows are quickly added
        self._view[np.ix_(np.unique(ys), np.unique(xs))] += sums


def _within(first: int, step: int, count: int, low: int, size: int) -> tuple[int, int]:
    """Return which of ``count`` places, from ``first`` on in steps, are in a range."""
    start = max(0, -(-(low - first) // step))
    return start, min(count, max(start, -(-(low + size - first) // step)))


def _bins(places: AnyArray, size: int, count: int) -> IntArray:
    """Return in which of ``count`` bins of equal size each place is; each has one at least."""
    edges = (np.arange(1, count + 1) * size + count // 2) // count
    return np.searchsorted(edges, places, side="right").astype(np.int64)


def _sum_bins(values: AnyArray, bins: IntArray, axis: int) -> AnyArray:
    starts = np.flatnonzero(np.diff(bins, prepend=-1))
    return np.add.reduceat(values, starts, axis=axis, dtype=np.uint32)


def _is_deep(mode: str) -> bool:
    return mode.startswith(("I", "F"))


def _eight_bit(image: Image.Image | DeepPixels, levels: Levels, *, gray: bool) -> ByteArray:
    if not isinstance(image, DeepPixels) and not _is_deep(image.mode):
        return np.asarray(image.convert("L" if gray else "RGB"))
    values = values_of(image)
    flat = np.zeros(values.shape, np.uint8) if levels is None else stretch_levels(values, *levels)
    if flat.ndim == 3:
        return np.asarray(Images.fromarray(flat).convert("L")) if gray else flat
    return flat if gray else np.repeat(flat[:, :, None], 3, axis=2)


@dataclass(frozen=True)
class ValueRange:
    """Values of a picture of over 8 bit, as far as a sample of its pixels shows them.

    Attributes:
        low: What is shown black: its 0.1st percentile.
        high: What is shown white: its 99.9th percentile.
        least: Its least finite value.
        most: Its largest finite value.
    """

    low: float
    high: float
    least: float
    most: float


def levels_of(source: PixelSource) -> Levels:
    """Return the range of a picture of over 8 bit; None for others, and where it is flat.

    Raises:
        Exception: Whatever Pillow and its decoders raise on a broken file.
    """
    sample = _sample_deep(source)
    return None if sample is None else range_of(sample)


def value_range(source: PixelSource) -> ValueRange | None:
    """Return the values of a picture of over 8 bit; None for others, and where it is flat.

    Raises:
        Exception: Whatever Pillow and its decoders raise on a broken file.
    """
    sample = _sample_deep(source)
    levels = None if sample is None else range_of(sample)
    if sample is None or levels is None:
        return None
    finite = sample[np.isfinite(sample)]
    return ValueRange(*levels, float(finite.min()), float(finite.max()))


def _sample_deep(source: PixelSource) -> AnyArray | None:
    """Return some values of a picture of over 8 bit, None for others."""
    step = max(1, int(np.sqrt(source.height * source.width / _SAMPLE)))
    samples = []
    for piece in source.pieces(0, source.height):
        if not _is_deep(piece.image.mode):
            return None
        values = values_of(piece.image)
        ys = piece.y + piece.dy * np.arange(values.shape[0])
        xs = piece.x + piece.dx * np.arange(values.shape[1])
        samples.append(values[np.ix_(ys % step == 0, xs % step == 0)].ravel())
    return np.concatenate(samples) if samples else None


def range_of(sample: AnyArray) -> Levels:
    """Return from which to which value numbers are stretched: 0.1st to 99.9th percentile.

    Args:
        sample: Some of them, any shape; what is not finite does not count.

    Returns:
        None where they are all the same.
    """
    sample = sample[np.isfinite(sample)]
    if not sample.size:
        return None
    low, high = np.percentile(sample, [0.1, 99.9])
    if high <= low:
        low, high = float(sample.min()), float(sample.max())
    return None if high <= low else (float(low), float(high))


def stretch_levels(values: AnyArray, low: float, high: float) -> ByteArray:
    """Bring numbers from ``low`` to ``high`` to 0..255; what is not finite becomes 0 or 255."""
    scale = np.float32(255.0 / (high - low))
    scaled = (values.astype(np.float32) - np.float32(low)) * scale
    scaled = np.nan_to_num(scaled, nan=0.0, posinf=255.0, neginf=0.0)
    result: ByteArray = np.clip(np.rint(scaled), 0, 255).astype(np.uint8)
    return result
