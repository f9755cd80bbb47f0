"""Writer of a PNG row by row, for pictures that are not held whole."""

from __future__ import annotations

import struct
import zlib
from typing import BinaryIO

import numpy as np

from curate.common.arrays import ByteArray
from curate.images.png_rows import SIGNATURE, chunk

_LEVEL = 3  # of zlib: a third of the time of 6, for a few percent more bytes


class PngRows:
    """Writes a PNG of 8-bit RGB.

    Args:
        file: Where it goes.
        height: In pixels.
        width: In pixels.
    """

    def __init__(self, file: BinaryIO, height: int, width: int) -> None:
        self._file, self._deflate = file, zlib.compressobj(_LEVEL)
        head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
        file.write(SIGNATURE + chunk(b"IHDR", head))

    def write(self, rows: ByteArray) -> None:
        """Write the next rows, shape (rows, width, 3)."""
        before = np.zeros_like(rows)
        before[:, 1:] = rows[:, :-1]
        filtered = np.empty((len(rows), 1 + 3 * rows.shape[1]), np.uint8)
        filtered[:, 0] = 1  # each byte less that of the pixel on its left
        filtered[:, 1:] = (rows - before).reshape(len(rows), -1)
        self._put(self._deflate.compress(filtered.tobytes()))

    def close(self) -> None:
        """Write the end; the file stays open."""
        self._put(self._deflate.flush())
        self._file.write(chunk(b"IEND", b""))

    def _put(self, packed: bytes) -> None:
        if packed:
            self._file.write(chunk(b"IDAT", packed))
