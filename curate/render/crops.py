"""Crops of pictures as small data URIs."""

from __future__ import annotations

import base64
import io

import numpy as np
from PIL import Image

from curate.common.arrays import ByteArray
from curate.images import Box, ImageFolder

KEPT_PIXELS = 16_000_000
"""Pictures up to this size are kept decoded; of larger ones only the piece asked for is."""

SHOWN_BYTES = 120_000_000
"""Most memory that decoding a picture takes for the report, which is made beside a whole audit."""

_GLIMPSE_PX = 256  # longest side of what a large picture's brightness is judged by

QUALITIES = (76, 62, 48, 34)


class DatasetImages:
    """The pictures of a dataset, one in memory at a time.

    Args:
        folder: Where the file names of the dataset are looked up; None where there are no pictures.
    """

    def __init__(self, folder: ImageFolder | None) -> None:
        self._folder = folder
        self._asked: tuple[str, tuple[int, int]] | None = None
        self._why = ""
        self._pixels: ByteArray | None = None
        self._table: ByteArray | None = None

    def has(self, file_name: object) -> bool:
        """Whether there is a file of this name (it may turn out to be unreadable)."""
        return self._folder is not None and self._folder.find(file_name) is not None

    def crop(
        self, file_name: str | None, size: tuple[int, int], box: Box, longest: int
    ) -> tuple[Image.Image | None, str]:
        """Cut a window out of a picture.

        Args:
            file_name: As the dataset says it.
            size: The (width, height) that the masks were drawn on.
            box: The window, in those pixels.
            longest: Longest side of the result; a smaller window is not blown up.

        Returns:
            The piece in RGB, or None and a clause saying why there is none.
        """
        if self._folder is None:
            return None, "no pictures were given"
        if not self.has(file_name):
            return None, "the picture is not there"
        height, width = size[1], size[0]
        if self._asked != (str(file_name), size):
            self._pixels = self._table = None  # the last one goes before the next one comes
            if height * width <= KEPT_PIXELS:
                self._pixels = self._visible(self._folder.load_or_why(file_name, (height, width)))
            else:
                self._table = sample_brightening(self._folder, file_name, (height, width))
            self._asked = (str(file_name), size)
        piece = None
        if height * width > KEPT_PIXELS:
            found = self._folder.load_or_why(file_name, (height, width), box=box, longest=longest)
            if isinstance(found, str):
                return None, found
            piece = found if self._table is None else self._table[found]
        elif self._pixels is not None:
            piece = self._pixels[box.y : box.y + box.h, box.x : box.x + box.w]
        if piece is None:
            return None, self._why
        return shrink(Image.fromarray(np.ascontiguousarray(piece)), longest), ""

    def _visible(self, found: ByteArray | str) -> ByteArray | None:
        """Return a picture as people see it; note why there is none."""
        self._why = found if isinstance(found, str) else ""
        return None if isinstance(found, str) else brighten(found)


def brighten(pixels: ByteArray) -> ByteArray:
    """Brighten a picture that is nearly black on a screen, as microscopes make them.

    Args:
        pixels: Shape (height, width, 3).

    Returns:
        The same where one pixel in a thousand is over 110 of 255; else stretched until it is 235.
    """
    table = brightening(pixels)
    return pixels if table is None else table[pixels]


def brightening(pixels: ByteArray) -> ByteArray | None:
    """Return a lookup table that brightens a nearly black picture, None for any other.

    Args:
        pixels: Shape (height, width, 3).
    """
    step = max(1, int(np.sqrt(pixels.size / 1e6)))
    red, green, blue = np.moveaxis(pixels[::step, ::step], 2, 0)
    # Not by max(axis=2), which takes ten times as long.
    strongest = np.maximum(np.maximum(red, green), blue)
    bright = float(np.percentile(strongest, 99.9))
    if bright > 110 or bright == 0:
        return None
    table: ByteArray = np.clip(np.arange(256) * (235 / bright), 0, 255).astype(np.uint8)
    return table


def sample_brightening(
    folder: ImageFolder, file_name: object, size: tuple[int, int]
) -> ByteArray | None:
    """Return :func:`brightening` of a large picture, of which little is in memory."""
    pixels = folder.load(file_name, size, longest=_GLIMPSE_PX)
    return None if pixels is None else brightening(pixels)


def shrink(piece: Image.Image, longest: int) -> Image.Image:
    """Return a picture scaled down so that its longer side is ``longest``; never scaled up."""
    scale = longest / max(piece.size)
    if scale >= 1:
        return piece
    size = (max(1, round(piece.width * scale)), max(1, round(piece.height * scale)))
    return piece.resize(size, Image.Resampling.LANCZOS, reducing_gap=3)


def data_uri(piece: Image.Image, most_bytes: int) -> str:
    """Return a picture as a WebP data URI, as good as fits into ``most_bytes`` of file.

    The coarsest quality is taken where none fits, so the limit is a wish and not a promise.
    """
    packed = b""
    for quality in QUALITIES:
        out = io.BytesIO()
        piece.save(out, "WEBP", quality=quality, method=4)
        packed = out.getvalue()
        if len(packed) <= most_bytes:
            break
    return "data:image/webp;base64," + base64.b64encode(packed).decode("ascii")
