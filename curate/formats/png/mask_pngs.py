"""Writer of PNGs that hold one mask each."""

from __future__ import annotations

import os
import re
from collections.abc import Collection
from pathlib import Path
from typing import BinaryIO

import numpy as np

from curate import rle
from curate.errors import CallError
from curate.formats.png.packing import pack_png
from curate.formats.png.png_reading import (
    GRAY,
    MAX_DECODED_PIXELS,
    PictureProblem,
    read_header,
    read_pixels,
)

_NUMBER = re.compile(r"[0-9]{1,18}")


def mask_png(mask: rle.Runs, where: str, foreground: int = 255) -> bytes:
    """Return a mask as an 8-bit gray PNG with a background of 0.

    Args:
        mask: One mask.
        where: The mask's source key, or that of its image, for the message.
        foreground: Value of the pixels in it, 1 to 255.

    Raises:
        CallError: The image is larger than any PNG that is read.
    """
    height, width = int(mask.heights[0]), int(mask.widths[0])
    if height * width > MAX_DECODED_PIXELS:
        what = f"a PNG of {width} x {height} pixels is too large to be read again"
        raise CallError(what, where, "write another format")
    pixels = rle.to_dense(mask, 0).astype(np.uint8) * np.uint8(foreground)
    return pack_png(pixels)


def redraw(source: Path, target: BinaryIO, mask: rle.Runs, where: str) -> None:
    """Write a PNG of one mask anew with other pixels.

    Args:
        source: The PNG as it was. Where it is 8-bit gray with one value in the mask, that value
            stays; any other kind becomes 8-bit gray of 0 and 255.
        target: Where to.
        mask: The new mask.
        where: Its source key, for the message.
    """
    target.write(mask_png(mask, where, _foreground(source)))


def _foreground(path: Path) -> int:
    try:
        header = read_header(path)
        if header.color != GRAY or header.depth != 8:
            return 255
        values = np.unique(read_pixels(path, header)[0]).tolist()
    except PictureProblem:  # the mask was broken: that is why it is drawn anew
        return 255
    inside = [int(value) for value in values if value]
    return inside[0] if len(inside) == 1 else 255


def next_names(
    masks: Collection[str], taken: Collection[str], count: int, ending: str = ".png"
) -> list[str]:
    """Return names for new files of masks: numbers where all others are numbers."""
    stems = [os.path.splitext(name)[0] for name in masks]
    stem, first, digits = "added_", 1, 4
    if stems and all(_NUMBER.fullmatch(one) for one in stems):
        padded = any(one[0] == "0" and len(one) > 1 for one in stems)
        stem, first = "", max(map(int, stems)) + 1
        digits = max(map(len, stems)) if padded else 1
    lowered = {
        name.lower() for name in taken
    }  # names that differ in case alone clash on some disks
    names: list[str] = []
    while len(names) < count:
        name = f"{stem}{first:0{digits}d}{ending}"
        first += 1
        if name.lower() not in lowered:
            names.append(name)
    return names
