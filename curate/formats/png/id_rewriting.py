"""Pixel edits of PNGs of instance ids; every other chunk and setting stays.

Pillow cannot do it: it writes no gray of 2 or 4 bits, and forgets chunks that it does not know. So
the rows are unpacked, changed, and packed again with the filters that they had; size, depth,
palette, interlacing and all other chunks stay byte for byte.
"""

from __future__ import annotations

import zlib
from collections.abc import Set as AbstractSet
from pathlib import Path
from typing import BinaryIO

import numpy as np

from curate.common.arrays import BoolArray, ByteArray, IntArray
from curate.errors import CallError, SourceError
from curate.formats.format import convert_read_errors
from curate.formats.ids.division import Paint
from curate.formats.png.png_reading import (
    BROKEN,
    MAX_DECODED_PIXELS,
    PALETTE,
    PictureProblem,
    PngHeader,
    read_header,
)
from curate.images.png_rows import CHANNELS, SIGNATURE, Pass, chunk, passes, predict_byte, unfilter
from curate.rle.runs import kernel

_WEIGHTS = np.array([1, 256, 65536], np.int64)

_AT_ONCE = 1 << 16  # packed bytes


def write_ids(
    source: Path, target: BinaryIO, blank: AbstractSet[int], paint: Paint | None = None
) -> None:
    """Write a PNG of instance ids with some ids gone and some pixels set.

    Args:
        source: The PNG.
        target: Where to.
        blank: Ids whose pixels become 0; of a colour picture R + 256 G + 65536 B.
        paint: What is set after that; None for nothing. The ids must fit the picture's depth.

    Raises:
        CallError: No pixel has an id to blank.
        SourceError: The PNG is broken, or too large to decode.
    """
    try:
        header = read_header(source)
        if header.height * header.width > MAX_DECODED_PIXELS:
            raise PictureProblem("undecodable", "the PNG is too large to decode")
        chunks, tail = _chunks(source.read_bytes())
        packed = b"".join(body for kind, body, _ in chunks if kind == b"IDAT")
        samples = _Samples(header, _inflate(header, packed))
    except PictureProblem as problem:
        raise SourceError(problem.detail, str(source), "mend it or leave it out") from problem
    except BROKEN as error:
        raise SourceError(f"the PNG is broken ({error})", str(source), "mend it") from error
    missing = blank - samples.edit(blank, paint)
    if missing:
        raise CallError(f"it has no mask with the id {min(missing)}", str(source))
    fresh: bytes | None = zlib.compress(samples.data.data, 6)
    target.write(SIGNATURE)
    for kind, _, raw in chunks:
        if kind != b"IDAT":
            target.write(raw)
        elif fresh is not None:
            target.write(chunk(kind, fresh))
            fresh = None
    target.write(tail)


def largest_id(path: Path, header: PngHeader) -> int:
    """Return the largest id that a PNG of this kind can hold.

    Args:
        path: The file; its palette is looked at where it has one.
        header: What :func:`read_header` gave for it.

    Raises:
        SourceError: It cannot be read.
    """
    if CHANNELS[header.color] >= 3:
        return 2**24 - 1
    largest = int(2**header.depth - 1)
    if header.color != PALETTE:
        return largest
    with convert_read_errors(path):
        chunks, _ = _chunks(path.read_bytes())
    colors = [len(body) // 3 for kind, body, _ in chunks if kind == b"PLTE"]
    return min(largest, colors[0] - 1 if colors else 0)


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


def _passes(header: PngHeader) -> list[Pass]:
    depth, color = header.depth, header.color
    return passes(header.height, header.width, depth, color, interlaced=header.interlaced)


def _inflate(header: PngHeader, packed: bytes) -> ByteArray:
    size = sum(one.height * (one.stride + 1) for one in _passes(header))
    data, inflate, at = np.empty(size, np.uint8), zlib.decompressobj(), 0
    waiting, rest = b"", memoryview(packed)
    while at < size:
        if not waiting:
            waiting, rest = bytes(rest[:_AT_ONCE]), rest[_AT_ONCE:]
        piece = inflate.decompress(waiting, size - at)
        ended = inflate.eof or (not waiting and not rest)
        waiting = inflate.unconsumed_tail
        if not piece and ended:
            raise ValueError("its pixels end early")
        data[at : at + len(piece)] = np.frombuffer(piece, np.uint8)
        at += len(piece)
    return data


class _Samples:
    """The unpacked rows of a PNG, changed in place; their filters stay.

    Attributes:
        data: The filtered rows of all passes.
    """

    def __init__(self, header: PngHeader, data: ByteArray) -> None:
        self.data = data
        self._header = header
        self._depth, self._channels = header.depth, CHANNELS[header.color]

    def edit(self, blank: AbstractSet[int], paint: Paint | None) -> set[int]:
        """Set samples with one of the ids to 0, then paint; return which ids there were."""
        ids = np.array(sorted(blank), np.int64)
        found = set[int]()
        step = max(1, self._depth * self._channels // 8)
        at = 0
        for one in _passes(self._header):
            rows = self.data[at : at + one.height * (one.stride + 1)]
            rows = rows.reshape(one.height, one.stride + 1)
            at += rows.size
            unfilter(rows, step, np.zeros(one.stride, np.uint8))
            for number, row in enumerate(rows[:, 1:]):  # one at a time: memory stays small
                width = -(-(self._header.width - one.x) // one.dx)
                values = self._ids(row)[:width]
                there = np.isin(values, ids)
                found.update(np.unique(values[there]).tolist())
                values = np.where(there, 0, values)
                there |= _paint_row(values, one, number, paint)
                if there.any():
                    self._set(row, there, values)
            _filter(rows, step)
        return found

    def _ids(self, row: ByteArray) -> IntArray:
        """Return the ids of a row, and of the padding at its end."""
        if self._channels >= 3:
            pixels = row.reshape(-1, self._channels)
            return np.asarray(pixels[:, :3] @ _WEIGHTS, np.int64)
        if self._depth == 16:
            return row.view(">u2").reshape(-1, self._channels)[:, 0].astype(np.int64)
        if self._depth == 8:
            return row.reshape(-1, self._channels)[:, 0].astype(np.int64)
        bits = np.unpackbits(row).reshape(-1, self._depth)
        return np.asarray(bits @ (1 << np.arange(self._depth - 1, -1, -1)), np.int64)

    def _set(self, row: ByteArray, where: BoolArray, ids: IntArray) -> None:
        """Set the ids of some pixels of a row, in place."""
        new = ids[where]
        if self._channels >= 3:
            row.reshape(-1, self._channels)[where, :3] = new[:, None] // _WEIGHTS % 256
        elif self._depth == 16:
            row.view(">u2").reshape(-1, self._channels)[where, 0] = new
        elif self._depth == 8:
            row.reshape(-1, self._channels)[where, 0] = new
        else:
            bits = np.unpackbits(row).reshape(-1, self._depth)
            bits[np.flatnonzero(where)] = new[:, None] >> np.arange(self._depth - 1, -1, -1) & 1
            row[:] = np.packbits(bits)


def _paint_row(ids: IntArray, one: Pass, number: int, paint: Paint | None) -> BoolArray:
    """Paint one row of a pass in place; return which pixels are set."""
    there = np.zeros(len(ids), np.bool_)
    y = one.y + number * one.dy
    if paint is None or not paint.y <= y < paint.y + paint.ids.shape[0]:
        return there
    first = max(0, -(-(paint.x - one.x) // one.dx))  # the first column of the pass in the window
    line = paint.ids[y - paint.y, one.x + first * one.dx - paint.x :: one.dx]
    line = line[: max(0, len(ids) - first)]
    there[first : first + len(line)] = line != 0
    ids[there] = np.maximum(line[line != 0], 0)
    return there


@kernel
def _filter(rows: ByteArray, step: int) -> None:
    """Apply each row's filter again, in place: from the last byte on, as it looks backwards."""
    for y in range(rows.shape[0] - 1, -1, -1):
        kind = int(rows[y, 0])
        for x in range(rows.shape[1] - 1, 0, -1):
            left = int(rows[y, x - step]) if x > step else 0
            above = int(rows[y - 1, x]) if y > 0 else 0
            corner = int(rows[y - 1, x - step]) if x > step and y > 0 else 0
            rows[y, x] = (int(rows[y, x]) - predict_byte(kind, left, above, corner)) & 255
