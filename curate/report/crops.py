"""Pieces of pictures, small enough to stand inside a page."""

from __future__ import annotations

import base64
import io
import warnings
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

import numpy as np

from curate.report.outline import Box

if TYPE_CHECKING:
    from PIL import Image

MOST_PIXELS = 120_000_000
"""Pictures larger than this are not opened: one alone would take hundreds of megabytes."""

QUALITIES = (76, 62, 48, 34)


class Pictures:
    """The pictures of a dataset, one in memory at a time.

    Args:
        folder: Where the file names of the dataset are looked up; None where there are no pictures.
    """

    def __init__(self, folder: Path | None) -> None:
        self.folder = folder
        self._opened: tuple[str, Image.Image | None, str] = ("", None, "")

    def find(self, file_name: str | None) -> Path | None:
        """Return the file of a picture, or None where it is absent or outside the folder."""
        if self.folder is None or not file_name or "\0" in file_name:
            return None
        named = PurePosixPath(str(file_name).replace("\\", "/"))
        for candidate in (self.folder / named, self.folder / named.name):
            try:
                inside = candidate.resolve().is_relative_to(self.folder.resolve())
                if inside and candidate.is_file():
                    return candidate
            except (OSError, ValueError, RuntimeError):
                continue
        return None

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
            The piece in RGB or grey, or None and a sentence saying why there is none.
        """
        picture, why = self._open(str(file_name or ""))
        if picture is None:
            return None, why
        if picture.size != size:
            width, height = picture.size
            return None, f"the picture is {width} × {height}, the masks {size[0]} × {size[1]}"
        try:
            piece = picture.crop((box.x, box.y, box.x + box.w, box.y + box.h))
        except (OSError, ValueError, SyntaxError) as error:
            self._opened = (self._opened[0], None, f"the picture cannot be read ({error})")
            return None, self._opened[2]
        return reduced(_eight_bit(piece), longest), ""

    def _open(self, file_name: str) -> tuple[Image.Image | None, str]:
        if self._opened[0] != file_name:
            self._opened = (file_name, *self._read(file_name))
        return self._opened[1:]

    def _read(self, file_name: str) -> tuple[Image.Image | None, str]:
        if self.folder is None:
            return None, "no pictures were given"
        path = self.find(file_name)
        if path is None:
            return None, "the picture is not there"
        from PIL import Image

        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                picture = Image.open(path)
                if picture.width * picture.height > MOST_PIXELS:
                    return None, "the picture is too large to open"
                picture.load()
            except (OSError, ValueError, SyntaxError, Image.DecompressionBombError):
                return None, "the picture cannot be read"
        return picture, ""


def _eight_bit(piece: Image.Image) -> Image.Image:
    """Return a piece as 8-bit grey or RGB; deeper pixels are stretched to what they span."""
    from PIL import Image

    if piece.mode in ("I", "F") or piece.mode.startswith("I;16"):
        values = np.nan_to_num(np.asarray(piece, np.float64))
        low, high = float(values.min()), float(values.max())
        stretched = (values - low) * (255 / (high - low) if high > low else 0)
        return Image.fromarray(stretched.astype(np.uint8))
    if piece.mode in ("RGBA", "LA", "PA") or "transparency" in piece.info:
        ground = Image.new("RGBA", piece.size, (128, 128, 128, 255))
        return Image.alpha_composite(ground, piece.convert("RGBA")).convert("RGB")
    return piece if piece.mode in ("L", "RGB") else piece.convert("RGB")


def reduced(piece: Image.Image, longest: int) -> Image.Image:
    """Return a picture scaled down so that its longer side is ``longest``; never scaled up."""
    scale = longest / max(piece.size)
    if scale >= 1:
        return piece
    from PIL import Image

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
