"""Setting pixels of a PNG to 0 with every other byte of meaning left as it is.

Pillow cannot do it: it writes no gray of 2 or 4 bits, and forgets chunks that it does not know. So
the rows are unpacked, changed, and packed again with the filters that they had; size, depth,
palette, interlacing and all other chunks stay byte for byte.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from collections.abc import Set as AbstractSet
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt

from curate.errors import SourceError
from curate.formats.png import (
    BROKEN,
    GRAY,
    GRAY_ALPHA,
    MAX_DECODED_PIXELS,
    PALETTE,
    RGB,
    RGBA,
    SIGNATURE,
    Header,
    PictureProblem,
    read_header,
)
from curate.rle import kernel

Bytes = npt.NDArray[np.uint8]

CHANNELS = {GRAY: 1, RGB: 3, PALETTE: 1, GRAY_ALPHA: 2, RGBA: 4}

_ADAM7 = ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2))
_PASSES = (*_ADAM7, (0, 1, 1, 2))  # first x, first y, step in x, step in y


def blank_ids(ids: AbstractSet[int], source: Path, target: BinaryIO) -> None:
    """Write a PNG of instance ids with the pixels of some ids set to 0.

    Args:
        ids: Which; of a colour picture R + 256 G + 65536 B.
        source: The PNG.
        target: Where to.

    Raises:
        SourceError: The PNG is broken, or too large to decode.
    """
    try:
        header = read_header(source)
        if header.height * header.width > MAX_DECODED_PIXELS:
            raise PictureProblem("undecodable", "the PNG is too large to decode")
        chunks, tail = _chunks(source.read_bytes())
        packed = b"".join(body for kind, body, _ in chunks if kind == b"IDAT")
        data = _blanked(header, _inflated(header, packed), np.array(sorted(ids), np.int64))
    except PictureProblem as problem:
        raise SourceError(problem.detail, str(source), "mend it or leave it out") from problem
    except BROKEN as error:
        raise SourceError(f"the PNG is broken ({error})", str(source), "mend it") from error
    fresh: bytes | None = zlib.compress(data, 6)
    target.write(SIGNATURE)
    for kind, _, raw in chunks:
        if kind != b"IDAT":
            target.write(raw)
        elif fresh is not None:
            target.write(_chunk(kind, fresh))
            fresh = None
    target.write(tail)


def _chunks(data: bytes) -> tuple[list[tuple[bytes, bytes, bytes]], bytes]:
    """Return the chunks as (kind, body, all its bytes), and what follows the last one."""
    found, at = [], len(SIGNATURE)
    while at + 12 <= len(data):
        length = int.from_bytes(data[at : at + 4], "big")
        end = at + 12 + length
        if end > len(data):
            break
        kind = data[at + 4 : at + 8]
        found.append((kind, data[at + 8 : end - 4], data[at:end]))
        at = end
        if kind == b"IEND":
            break
    return found, data[at:]


def _chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def _passes(header: Header) -> Iterator[tuple[int, int]]:
    """Return (rows, bytes of a row without its filter byte) of each pass over the picture."""
    bits = header.depth * CHANNELS[header.color]
    for x, y, dx, dy in _PASSES if header.interlaced else ((0, 0, 1, 1),):
        width, height = -(-(header.width - x) // dx), -(-(header.height - y) // dy)
        if width > 0 and height > 0:
            yield height, -(-width * bits // 8)


def _inflated(header: Header, packed: bytes) -> Bytes:
    size = sum(height * (stride + 1) for height, stride in _passes(header))
    data = zlib.decompressobj().decompress(packed, size)
    if len(data) < size:
        raise ValueError("its pixels end early")
    return np.frombuffer(bytearray(data), np.uint8)


def _blanked(header: Header, data: Bytes, ids: npt.NDArray[np.int64]) -> bytes:
    """Return the filtered rows of all passes with the ids' samples set to 0."""
    step = max(1, header.depth * CHANNELS[header.color] // 8)
    at = 0
    for height, stride in _passes(header):
        rows = data[at : at + height * (stride + 1)].reshape(height, stride + 1)
        at += rows.size
        _unfilter(rows, step)
        _blank(header, rows[:, 1:], ids)
        _filter(rows, step)
    return data.tobytes()


def _blank(header: Header, rows: Bytes, ids: npt.NDArray[np.int64]) -> None:
    """Set samples with one of the ids to 0, in place; padding bits at a row's end do not matter."""
    depth, channels = header.depth, CHANNELS[header.color]
    for row in rows:  # one at a time: memory stays small whatever the picture's size
        if channels >= 3:
            pixels = row.reshape(-1, channels)
            weights = np.array([1, 256, 65536], np.int64)
            pixels[np.isin(pixels[:, :3] @ weights, ids), :3] = 0
        elif depth == 16:
            samples = row.view(">u2").reshape(-1, channels)
            samples[np.isin(samples[:, 0], ids), 0] = 0
        elif depth == 8:
            samples = row.reshape(-1, channels)
            samples[np.isin(samples[:, 0], ids), 0] = 0
        else:
            row[:] = _blank_bits(row, depth, ids)


def _blank_bits(row: Bytes, depth: int, ids: npt.NDArray[np.int64]) -> Any:
    bits = np.unpackbits(row).reshape(-1, depth)
    values = bits @ (1 << np.arange(depth - 1, -1, -1))
    bits[np.isin(values, ids)] = 0
    return np.packbits(bits)


@kernel
def _predicted(kind: int, left: int, above: int, corner: int) -> int:
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
def _unfilter(rows: Bytes, step: int) -> None:
    """Undo each row's filter, named by its first byte, in place; ``step`` is a pixel's bytes."""
    for y in range(rows.shape[0]):
        kind = int(rows[y, 0])
        for x in range(1, rows.shape[1]):
            left = int(rows[y, x - step]) if x > step else 0
            above = int(rows[y - 1, x]) if y > 0 else 0
            corner = int(rows[y - 1, x - step]) if x > step and y > 0 else 0
            rows[y, x] = (int(rows[y, x]) + _predicted(kind, left, above, corner)) & 255


@kernel
def _filter(rows: Bytes, step: int) -> None:
    """Apply each row's filter again, in place: from the last byte on, as it looks backwards."""
    for y in range(rows.shape[0] - 1, -1, -1):
        kind = int(rows[y, 0])
        for x in range(rows.shape[1] - 1, 0, -1):
            left = int(rows[y, x - step]) if x > step else 0
            above = int(rows[y - 1, x]) if y > 0 else 0
            corner = int(rows[y - 1, x - step]) if x > step and y > 0 else 0
            rows[y, x] = (int(rows[y, x]) - _predicted(kind, left, above, corner)) & 255
