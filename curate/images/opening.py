"""Opener of picture files of any size: limits are the caller's."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from PIL import Image, ImageFile, UnidentifiedImageError

from curate.images.image_pieces import OpenedImage
from curate.images.tiff_blocks import read_blocks
from curate.images.tiff_samples import TiffSamples, read_samples

DECODERS = ("JPEG", "PNG", "TIFF", "WEBP", "BMP", "GIF", "PPM", "JPEG2000", "TGA")
"""Formats that are opened. A list, because Pillow would hand others to programs (EPS)."""

_PREFIX = 16  # bytes by which Pillow's plug-ins know their files


@contextmanager
def open_picture_file(path: Path) -> Iterator[OpenedImage]:
    """Open a picture by Pillow, or a TIFF that Pillow has no mode for by this package.

    Args:
        path: An ordinary file.

    Yields:
        The picture, not decoded yet.

    Raises:
        TooManyBlocks: A TIFF is cut into more pieces than are read.
        UnidentifiedImageError: It is none of :data:`DECODERS`.
        Exception: Whatever Pillow and its decoders raise on a broken file.
    """
    with path.open("rb") as file:
        samples = _read_samples(path, file.read(2))
        image: OpenedImage
        if samples is not None and _is_beyond_pillow(samples):
            image = samples
        else:
            try:
                image = _identify(file, path)
            except Exception:
                if samples is None:
                    raise
                image = samples
        if isinstance(image, TiffSamples):
            yield image
        else:
            with image:
                yield image


def _read_samples(path: Path, head: bytes) -> TiffSamples | None:
    if head not in (b"II", b"MM"):
        return None
    read_blocks(path)  # refuses what Pillow would take gigabytes for
    return read_samples(path)


def _is_beyond_pillow(samples: TiffSamples) -> bool:
    """Whether Pillow would drop bands without a word, or read numbers wrongly."""
    if samples.kind.itemsize == 1:
        return samples.colours > 3 or (samples.bands > 1 and not samples.is_rgb)
    # Numbers in the other order of bytes, packed: libtiff turns them, and Pillow once more.
    return samples.bands > 1 or (samples.packing != 1 and not samples.kind.isnative)


def _identify(file: BinaryIO, path: Path) -> ImageFile.ImageFile:
    """Open a picture as ``PIL.Image.open`` does, without its limit on the size.

    That limit is one for the whole process: to lift it for one picture would lift it for other
    threads too.
    """
    file.seek(0)
    prefix = file.read(_PREFIX)
    for name in DECODERS:
        if name not in Image.OPEN:
            Image.init()
        if name not in Image.OPEN:  # a Pillow without this decoder
            continue
        factory, accept = Image.OPEN[name]
        known = accept is None or accept(prefix)
        if isinstance(known, str) or not known:  # a text says what this Pillow lacks
            continue
        file.seek(0)
        try:
            return factory(file, str(path))
        except (SyntaxError, IndexError, TypeError, struct.error):  # another kind after all
            continue
    raise UnidentifiedImageError(f"cannot identify image file {path.name}")
