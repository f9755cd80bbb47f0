"""One picture file to arrays: opened with guards, turned upright, brought to 8 bit."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from curate.pictures.quiet_tiff import silence_libtiff

if TYPE_CHECKING:
    from PIL import Image

Bytes = npt.NDArray[np.uint8]

MAX_PIXELS = 178_956_970
"""Largest picture that is decoded, in pixels; Pillow's own limit against decompression bombs."""

DECODERS = ("JPEG", "PNG", "TIFF", "WEBP", "BMP", "GIF", "PPM", "JPEG2000", "TGA")
"""Formats that are opened. A list, because Pillow would hand others to programs (EPS)."""

THUMBNAIL_PX = 32
"""Height and width of a thumbnail."""


@dataclass(frozen=True)
class Header:
    """What a picture's file says before anything is decoded.

    Attributes:
        height: Stored height in pixels.
        width: Stored width in pixels.
        orientation: EXIF orientation, 1 (upright) to 8.
    """

    height: int
    width: int
    orientation: int = 1

    @property
    def stored(self) -> tuple[int, int]:
        """Height and width of the pixels as they stand in the file."""
        return self.height, self.width

    @property
    def displayed(self) -> tuple[int, int]:
        """Height and width as a viewer that follows EXIF shows it."""
        return (self.width, self.height) if self.orientation >= 5 else (self.height, self.width)


@contextmanager
def opened(path: Path, max_pixels: int) -> Iterator[tuple[Image.Image, Header]]:
    """Open a picture, without decoding it yet.

    Args:
        path: An ordinary file.
        max_pixels: Largest size that its header may state.

    Raises:
        ValueError: It is larger.
        Exception: Whatever Pillow and its decoders raise on a broken file.
    """
    from PIL import Image

    silence_libtiff()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # odd metadata, and sizes that we judge ourselves
        with Image.open(path, formats=DECODERS) as image:
            header = _header(image)
            if header.height * header.width > max_pixels:
                size = f"{header.width} x {header.height} px"
                raise ValueError(f"it is {size}, over the limit of {max_pixels:,} pixels")
            yield image, header


def _header(image: Image.Image) -> Header:
    orientation = _orientation(image)
    size = (image.height, image.width)
    if image.format == "TIFF" and orientation >= 5:  # Pillow states a TIFF's size as displayed
        size = size[::-1]
    return Header(*size, orientation)


def _orientation(image: Image.Image) -> int:
    try:
        value = int(image.getexif().get(0x0112, 1))
    except Exception:  # metadata that does not parse means none
        return 1
    return value if 1 <= value <= 8 else 1


def upright(pixels: Bytes, orientation: int) -> Bytes:
    """Turn stored pixels, shape (height, width, ...), as a viewer that follows EXIF shows them."""
    turned: dict[int, Any] = {
        1: lambda p: p,
        2: lambda p: p[:, ::-1],
        3: lambda p: p[::-1, ::-1],
        4: lambda p: p[::-1],
        5: lambda p: p.swapaxes(0, 1),
        6: lambda p: p[::-1].swapaxes(0, 1),
        7: lambda p: p[::-1, ::-1].swapaxes(0, 1),
        8: lambda p: p[:, ::-1].swapaxes(0, 1),
    }
    return np.ascontiguousarray(turned[orientation](pixels))


def pixels_of(image: Image.Image, header: Header, *, gray: bool, displayed: bool = True) -> Bytes:
    """Decode an open picture to 8 bit.

    Args:
        image: The picture.
        header: Its header.
        gray: One channel, else RGB.
        displayed: Turned as its EXIF orientation asks, else as stored.

    Returns:
        Shape (height, width), or (height, width, 3) unless gray. Pictures of over 8 bit are
        stretched from their 0.1st to their 99.9th percentile, because microscopes and scanners use
        a part of their range only.
    """
    is_tiff = image.format == "TIFF"  # Pillow turns a TIFF itself, and drops its orientation
    if image.mode.startswith(("I", "F")):
        flat = stretch(np.asarray(image))
        pixels = flat if gray else np.repeat(flat[:, :, None], 3, axis=2)
    else:
        pixels = np.asarray(image.convert("L" if gray else "RGB"))
    if displayed:
        return upright(pixels, 1 if is_tiff else header.orientation)
    back = {6: 8, 8: 6}.get(header.orientation, header.orientation)
    return upright(pixels, back if is_tiff else 1)


def thumbnail_of(image: Image.Image, header: Header) -> Bytes:
    """Decode an open picture to its end and squeeze it, as displayed, into a square of gray.

    A JPEG is drawn at an eighth of its size at best, which takes a fraction of the time of drawing
    it whole, and still reads every byte.
    """
    from PIL import Image

    image.draft("L", (2 * THUMBNAIL_PX, 2 * THUMBNAIL_PX))
    square = (THUMBNAIL_PX, THUMBNAIL_PX)
    pixels = pixels_of(image, header, gray=True)
    return np.asarray(Image.fromarray(pixels).resize(square, Image.Resampling.BOX))


def stretch(values: npt.NDArray[Any]) -> Bytes:
    """Bring numbers of any range to 0..255, from the 0.1st to the 99.9th percentile.

    Args:
        values: Shape (height, width); what is not finite becomes 0.

    Returns:
        Same shape; zeros for a flat picture.
    """
    step = max(1, int(np.sqrt(values.size / 1e6)))
    sample = values[::step, ::step]
    sample = sample[np.isfinite(sample)]
    if not sample.size:
        return np.zeros(values.shape, np.uint8)
    low, high = np.percentile(sample, [0.1, 99.9])
    if high <= low:
        low, high = float(sample.min()), float(sample.max())
    if high <= low:
        return np.zeros(values.shape, np.uint8)
    scale = np.float32(255.0 / (high - low))
    scaled = (values.astype(np.float32) - np.float32(low)) * scale
    scaled = np.nan_to_num(scaled, nan=0.0, posinf=255.0, neginf=0.0)
    result: Bytes = np.clip(np.rint(scaled), 0, 255).astype(np.uint8)
    return result


def problem(path: Path, error: Exception) -> tuple[str, str]:
    """Return the status word and the clause for an error that a decoder raised."""
    from PIL import Image, UnidentifiedImageError

    try:
        size = path.stat().st_size
    except OSError:
        return "missing", "its file went away while it was read"
    if size == 0:
        return "unreadable", "its file is empty"
    if isinstance(error, Image.DecompressionBombError):
        return "unreadable", f"it is larger than the limit of {MAX_PIXELS:,} pixels"
    if isinstance(error, ValueError) and "over the limit" in str(error):
        return "unreadable", str(error)
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
