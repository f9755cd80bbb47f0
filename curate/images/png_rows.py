"""Rows of a PNG, unpacked some at a time: a few bytes of PNG can claim gigabytes."""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, NamedTuple

import numpy as np

from curate.common.arrays import ByteArray
from curate.rle.runs import kernel

SIGNATURE = b"\x89PNG\r\n\x1a\n"
CHANNELS = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}
"""Samples a pixel by colour type: gray, RGB, palette, gray with alpha, RGB with alpha."""

_ADAM7 = ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2))
_PASSES = (*_ADAM7, (0, 1, 1, 2))  # first x, first y, step in x, step in y
_CHUNK = 1 << 16
_MOST_ASIDE = 1 << 24  # bytes of chunks without pixels that are looked at


class Pass(NamedTuple):
    """Pixels of a PNG that stand together: those from (x, y) on in steps of dx and dy."""

    x: int
    y: int
    dx: int
    dy: int
    height: int
    width: int
    stride: int  # bytes of a row without its filter byte


class Strip(NamedTuple):
    """Some rows of a pass.

    Attributes:
        x: Column of the first pixel on the picture.
        y: Row of the first pixel on the picture.
        dx: Step from a pixel to the next one in its row.
        dy: Step from a row to the next one.
        width: Pixels a row.
        rows: Shape (rows, bytes a row), samples packed as the file has them.
    """

    x: int
    y: int
    dx: int
    dy: int
    width: int
    rows: ByteArray


def passes(
    height: int, width: int, depth: int, color: int, *, interlaced: bool = False
) -> list[Pass]:
    """Return in what order the pixels of a PNG stand; what has no pixel is left out.

    Args:
        height: In pixels.
        width: In pixels.
        depth: Bits a sample.
        color: A key of :data:`CHANNELS`.
        interlaced: Whether they stand in the seven passes of Adam7.
    """
    bits = depth * CHANNELS[color]
    made = []
    for x, y, dx, dy in _PASSES if interlaced else ((0, 0, 1, 1),):
        columns, rows = -(-(width - x) // dx), -(-(height - y) // dy)
        if columns > 0 and rows > 0:
            made.append(Pass(x, y, dx, dy, rows, columns, -(-columns * bits // 8)))
    return made


def strips(path: Path, bytes_at_once: int) -> Iterator[Strip]:
    """Yield the rows of a PNG from first to last, pass by pass.

    Args:
        path: The file. What lies behind its pixels is not looked at.
        bytes_at_once: About how many unpacked bytes a strip has; one row at least.

    Raises:
        OSError: The file cannot be read, or ends too early.
        ValueError: It is no PNG, or its pixels do not unpack.
    """
    with path.open("rb") as file:
        width, height, depth, color, interlaced = _header(file)
        data = _Unpacked(file)
        for one in passes(height, width, depth, color, interlaced=interlaced):
            above = np.zeros(one.stride, np.uint8)
            step = max(1, depth * CHANNELS[color] // 8)
            count = max(1, bytes_at_once // (one.stride + 1))
            for first in range(0, one.height, count):
                n = min(count, one.height - first)
                rows = data.read(n * (one.stride + 1)).reshape(n, one.stride + 1)
                if rows[:, 0].max() > 4:
                    raise ValueError("a row has a filter that PNG does not have")
                unfilter(rows, step, above)
                above = rows[-1, 1:].copy()
                y = one.y + first * one.dy
                yield Strip(one.x, y, one.dx, one.dy, one.width, rows[:, 1:])


def _header(file: BinaryIO) -> tuple[int, int, int, int, bool]:
    head = file.read(33)
    if len(head) < 33 or not head.startswith(SIGNATURE) or head[12:16] != b"IHDR":
        raise ValueError("it has no header of a PNG")
    width, height, depth, color, *methods = struct.unpack(">IIBBBBB", head[16:29])
    known = methods in ([0, 0, 0], [0, 0, 1])
    if color not in CHANNELS or depth not in (1, 2, 4, 8, 16) or not known:
        raise ValueError("its header is none of a PNG")
    return width, height, depth, color, methods[2] == 1


class _Unpacked:
    """The unpacked bytes of all IDAT chunks; no more is unpacked than is asked for."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._left = 0  # bytes of the present chunk
        self._begun = False
        self._inflate = zlib.decompressobj()
        self._waiting = b""

    def read(self, size: int) -> ByteArray:
        """Return the next ``size`` bytes, writable."""
        found = np.empty(size, np.uint8)
        at = 0
        while at < size:
            if not self._waiting and not self._inflate.eof:
                self._waiting = self._read_packed()
            try:
                piece = self._inflate.decompress(self._waiting, size - at)
            except zlib.error as error:
                raise ValueError(f"its pixels do not unpack: {error}") from error
            self._waiting = self._inflate.unconsumed_tail
            if not piece and self._inflate.eof:
                raise ValueError("its pixels end early")
            found[at : at + len(piece)] = np.frombuffer(piece, np.uint8)
            at += len(piece)
        return found

    def _read_packed(self) -> bytes:
        while self._left == 0:
            if self._begun:
                self._file.seek(4, io.SEEK_CUR)  # the checksum of the chunk before
            head = self._file.read(8)
            if len(head) < 8 or head[4:] == b"IEND":
                raise OSError("image file is truncated")
            length = int.from_bytes(head[:4], "big")
            if head[4:] == b"IDAT":
                self._left, self._begun = length, True
            elif self._begun:
                raise ValueError("its pixels end early")
            else:
                self._file.seek(length + 4, io.SEEK_CUR)
        data = self._file.read(min(self._left, _CHUNK))
        if not data:
            raise OSError("image file is truncated")
        self._left -= len(data)
        return data


def without_pixels(path: Path) -> bytes:
    """Return a PNG of one pixel that has all other chunks of a file, as palette and metadata.

    So Pillow reads what they say and unpacks nothing.

    Raises:
        OSError: The file cannot be read.
        ValueError: It is no PNG.
    """
    with path.open("rb") as file:
        _, _, depth, color, _ = _header(file)
        made = [SIGNATURE, chunk(b"IHDR", struct.pack(">IIBBBBB", 1, 1, depth, color, 0, 0, 0))]
        aside, pixel = 0, bytes(1 + -(-depth * CHANNELS[color] // 8))
        while len(head := file.read(8)) == 8 and head[4:] != b"IEND":
            length = int.from_bytes(head[:4], "big")
            if head[4:] == b"IDAT" and pixel:
                made.append(chunk(b"IDAT", zlib.compress(pixel)))
                pixel = b""
            aside += 0 if head[4:] == b"IDAT" else length
            if head[4:] == b"IDAT" or aside > _MOST_ASIDE:
                file.seek(length + 4, io.SEEK_CUR)
            else:
                made.append(head + file.read(length + 4))
    return b"".join(made) + chunk(b"IEND", b"")


def chunk(kind: bytes, body: bytes) -> bytes:
    """Return a chunk of a PNG: its length, kind, body and checksum."""
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


@kernel
def predict_byte(kind: int, left: int, above: int, corner: int) -> int:
    """Return the byte that a PNG's filter predicts from three before it."""
    if kind == 1:
        return left
    if kind == 2:
        return above
    if kind == 3:
        return (left + above) // 2
    if kind == 4:
        guess = left + above - corner
        a, b, c = abs(guess - left), abs(guess - above), abs(guess - corner)
        if a <= b and a <= c:
            return left
        return above if b <= c else corner
    return 0


@kernel
def unfilter(rows: ByteArray, step: int, before: ByteArray) -> None:
    """Undo each row's filter, named by its first byte, in place.

    Args:
        rows: Shape (rows, 1 + bytes a row).
        step: ByteArray a pixel, at least 1.
        before: The row above the first one, without its filter byte; zeros where there is none.
    """
    width = rows.shape[1] - 1
    above = before
    for y in range(rows.shape[0]):
        kind, row = int(rows[y, 0]), rows[y, 1:]
        if kind == 1:
            for x in range(step, width):
                row[x] = (int(row[x]) + int(row[x - step])) & 255
        elif kind == 2:
            for x in range(width):
                row[x] = (int(row[x]) + int(above[x])) & 255
        elif kind > 2:
            for x in range(width):
                left = int(row[x - step]) if x >= step else 0
                corner = int(above[x - step]) if x >= step else 0
                row[x] = (int(row[x]) + predict_byte(kind, left, int(above[x]), corner)) & 255
        above = row
