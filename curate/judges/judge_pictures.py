"""Pictures of a mask for a judge: the whole picture, the mask on it, and a window around it."""

from __future__ import annotations

import io
from dataclasses import dataclass

import numpy as np
from PIL import Image

from curate.common.arrays import BoolArray
from curate.images import Box, Rectangle, window
from curate.render.crops import DatasetImages
from curate.render.outline_path import sample
from curate.rle import Runs

PICTURE_PX = 768
"""Longest side of the whole picture, as it is sent."""

ZOOM_PX = 512
"""Longest side of the window around a mask, as it is sent."""

ENLARGED_PX = 256
"""A smaller window is enlarged by a whole factor, up to this side: in one of thirty pixels the
outline would hide a small mask."""

_COLOUR = (255, 0, 200)
_TINT = 0.35


@dataclass(frozen=True)
class MaskPngs:
    """Three PNG files of a mask.

    Attributes:
        picture: The whole picture, its longer side at most :data:`PICTURE_PX`.
        overlay: The same, the mask tinted and outlined.
        zoom: A window around the mask, its longer side at most :data:`ZOOM_PX`, outlined; a small
            one enlarged.
    """

    picture: bytes
    overlay: bytes
    zoom: bytes


class MaskPainter:
    """Draws masks for judges.

    Args:
        pictures: The pictures.
    """

    def __init__(self, pictures: DatasetImages) -> None:
        self._pictures = pictures

    def draw(
        self, file_name: str, runs: Runs, index: int, bbox: Rectangle
    ) -> tuple[MaskPngs | None, str]:
        """Draw a mask.

        Args:
            file_name: Of its picture, as the dataset says it.
            runs: A batch of masks.
            index: Which of them.
            bbox: Its box, XYWH in pixels.

        Returns:
            The pictures, or None and a clause saying why there are none.
        """
        size = (int(runs.widths[index]), int(runs.heights[index]))
        everything = Box(0, 0, *size)
        around = window(size, [bbox])
        if around is None:
            return None, "the image has no size"
        picture, why = self._pictures.crop(file_name, size, everything, PICTURE_PX)
        if picture is None:
            return None, why
        zoom, why = self._pictures.crop(file_name, size, around, ZOOM_PX)
        if zoom is None:
            return None, why
        zoom = _enlarge(zoom)
        overlay = paint_mask(picture, _fit_mask(runs, index, everything, picture), _TINT)
        outlined = paint_mask(zoom, _fit_mask(runs, index, around, zoom), 0.0)
        return MaskPngs(_png(picture), _png(overlay), _png(outlined)), ""


def _fit_mask(runs: Runs, index: int, box: Box, piece: Image.Image) -> BoolArray:
    """Return a window on a mask in the pixels of a picture of it, shape (height, width)."""
    step = max(1, box.longest // max(piece.size))
    cells = Image.fromarray(sample(runs, index, box, step))
    return np.asarray(cells.resize(piece.size, Image.Resampling.NEAREST), np.bool_)


def _enlarge(piece: Image.Image) -> Image.Image:
    factor = max(1, ENLARGED_PX // max(piece.size))
    size = (factor * piece.width, factor * piece.height)
    return piece.resize(size, Image.Resampling.BICUBIC) if factor > 1 else piece


def paint_mask(piece: Image.Image, mask: BoolArray, tint: float) -> Image.Image:
    """Return a picture with a mask's outline on it, a pixel to either side of its border.

    Args:
        piece: The picture, RGB.
        mask: Shape (height, width).
        tint: How far the inside is coloured, in [0, 1].
    """
    pixels = np.array(piece.convert("RGB"), np.float64)
    colour = np.array(_COLOUR, np.float64)
    pixels[mask] += tint * (colour - pixels[mask])
    border = np.zeros_like(mask)
    for axis in (0, 1):
        change = np.diff(mask, axis=axis)
        after, before = [[(0, 0), (0, 0)] for _ in range(2)]
        after[axis], before[axis] = (1, 0), (0, 1)
        border |= np.pad(change, after) | np.pad(change, before)
    pixels[border] = colour
    return Image.fromarray(pixels.round().astype(np.uint8))


def _png(piece: Image.Image) -> bytes:
    packed = io.BytesIO()
    piece.save(packed, "PNG", compress_level=3)
    return packed.getvalue()
