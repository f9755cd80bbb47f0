"""Label Studio's brush masks: bit-packed run lengths of a picture's red, green, blue and alpha.

The bytes begin with the number of values (32 bits: four a pixel), the bits of a value less one (5
bits) and four sizes of run lengths in bits less one (4 bits each). Then come chunks: a bit that
says whether one value is repeated, two bits that choose the size, the length less one, and the
value, or each of the values. Rows come first, and a pixel belongs to the mask by its alpha.
"""

from __future__ import annotations

import numpy as np

from curate.common.arrays import ByteArray, IntArray
from curate.rle import Runs, bbox, from_dense, paste, to_dense
from curate.rle.runs import kernel

OPAQUE = 128
"""Least alpha that counts as mask: a brush leaves soft edges, and half covered is covered."""

MAX_PIXELS = (1 << 30) - 1
"""Most pixels of a picture: its values, four a pixel, are counted in 32 bits."""

HEADER_BITS = 53
SIZES = (3, 4, 8, 16)
"""Bits of run lengths, as Label Studio's own page writes them."""

_WORD = 8
_CHUNK_BITS = 1 + 2 + 16 + _WORD
_MAX_RUN = 1 << 16
_ENDS_EARLY, _TOO_LONG = -1, -2
_PROBLEMS = {
    _ENDS_EARLY: "its bytes end before the picture does",
    _TOO_LONG: "its runs are longer than the picture",
}


@kernel
def _put_bits(out: ByteArray, position: int, value: int, bits: int) -> int:
    """Write a number at a bit position; return the position after it."""
    for k in range(bits - 1, -1, -1):
        if (value >> k) & 1:
            out[position >> 3] |= np.uint8(128 >> (position & 7))
        position += 1
    return position


@kernel
def _put_run(out: ByteArray, position: int, length: int, value: int) -> int:
    """Write one value ``length`` times."""
    while length > 0:
        count = min(length, _MAX_RUN)
        kind = 0 if count <= 8 else 1 if count <= 16 else 2 if count <= 256 else 3
        bits = 3 if kind == 0 else 4 if kind == 1 else 8 if kind == 2 else 16
        position = _put_bits(out, position, 4 | kind, 3)
        position = _put_bits(out, position, count - 1, bits)
        position = _put_bits(out, position, value, _WORD)
        length -= count
    return position


@kernel
def _pack(edges: IntArray, pixels: int, out: ByteArray) -> int:
    """Write a mask behind a header; return the number of bits."""
    position = _put_bits(out, 0, 4 * pixels, 32)
    position = _put_bits(out, position, _WORD - 1, 5)
    for size in SIZES:
        position = _put_bits(out, position, size - 1, 4)
    before = 0
    for k in range(len(edges)):
        position = _put_run(out, position, 4 * (int(edges[k]) - before), 255 * (k & 1))
        before = int(edges[k])
    return _put_run(out, position, 4 * (pixels - before), 0)


@kernel
def _get_bits(data: ByteArray, position: int, bits: int) -> int:
    """Return the number at a bit position."""
    value = 0
    for k in range(position, position + bits):
        value = int((value << 1) | ((np.int64(data[k >> 3]) >> (7 - (k & 7))) & 1))
    return value


@kernel
def _add_edges(edges: IntArray, n: int, begin: int, end: int) -> int:
    """Append the edges of pixels whose alpha value lies between ``begin`` and ``end``."""
    first, last = begin // 4, end // 4
    if last <= first:
        return n
    if n > 0 and edges[n - 1] == first:
        edges[n - 1] = last
        return n
    edges[n], edges[n + 1] = first, last
    return n + 2


@kernel
def _unpack(data: ByteArray, sizes: IntArray, total: int, edges: IntArray) -> int:
    """Decode the edges of a mask; return their number, or a negative error code."""
    limit = 8 * len(data)
    position, n, i = HEADER_BITS, 0, 0
    while i < total:
        if position + 3 > limit:
            return _ENDS_EARLY
        head = _get_bits(data, position, 3)
        position += 3
        bits = sizes[head & 3]
        values = 1
        if position + bits > limit:
            return _ENDS_EARLY
        count = _get_bits(data, position, bits) + 1
        position += bits
        if i + count > total:
            return _TOO_LONG
        length = count
        if not head & 4:
            values, length = count, 1
        if position + _WORD * values > limit:
            return _ENDS_EARLY
        for _ in range(values):
            if _get_bits(data, position, _WORD) >= OPAQUE:
                n = _add_edges(edges, n, i, i + length)
            position += _WORD
            i += length
    return n


def encode_brush(runs: Runs, index: int) -> ByteArray:
    """Return one mask in Label Studio's encoding: opaque on the mask, else transparent.

    Args:
        runs: The batch.
        index: Which mask.

    Raises:
        ValueError: The picture has more pixels than such bytes can tell.
    """
    height, width = int(runs.heights[index]), int(runs.widths[index])
    pixels = height * width
    if pixels > MAX_PIXELS:
        raise ValueError(f"a picture of {width} x {height} pixels is too large for Label Studio")
    by_row = _transpose(runs[index : index + 1])
    edges = np.column_stack([by_row.starts, by_row.ends]).astype(np.int64).ravel()
    chunks = 2 * (len(edges) + 1) + 4 * pixels // _MAX_RUN
    out = np.zeros((HEADER_BITS + _CHUNK_BITS * chunks) // 8 + 1, np.uint8)
    used = _pack(edges, pixels, out)
    return out[: -(-used // 8)]


def decode_brush(data: ByteArray, height: int, width: int) -> Runs:
    """Read one mask.

    Args:
        data: The bytes.
        height: Of the picture that it must be of, in pixels.
        width: Likewise.

    Returns:
        A batch of one mask. Memory depends on the bytes given and the size of the picture, never on
        what the bytes say of themselves.

    Raises:
        ValueError: The bytes are no mask of such a picture; says why.
    """
    data = np.ascontiguousarray(data, np.uint8)
    if 8 * len(data) < HEADER_BITS:
        raise ValueError("its bytes end before the picture does")
    total, word = _get_bits(data, 0, 32), _get_bits(data, 32, 5) + 1
    if total != 4 * height * width:
        held = f"{total:,} values, and a picture of {width} x {height} pixels has"
        raise ValueError(f"it says that it holds {held} {4 * height * width:,}")
    if word != _WORD:
        raise ValueError(f"its values have {word} bits, not {_WORD}")
    sizes = np.array([_get_bits(data, 37 + 4 * k, 4) + 1 for k in range(4)], np.int64)
    most = min(2 * (8 * len(data) // _WORD + 1), 2 * (height * width + 1))
    edges = np.empty(most, np.int64)
    n = int(_unpack(data, sizes, total, edges))
    if n < 0:
        raise ValueError(_PROBLEMS[n])
    starts, ends = edges[:n].astype(np.int32).reshape(-1, 2).T
    size = np.array([width], np.int32), np.array([height], np.int32)
    return _transpose(Runs(np.array([0, n // 2], np.int64), starts.copy(), ends.copy(), *size))


def _transpose(runs: Runs) -> Runs:
    """Return one mask with rows and columns exchanged, which turns runs down columns into runs
    along rows; only its bounding box is drawn."""
    height, width = int(runs.heights[0]), int(runs.widths[0])
    x, y, w, h = bbox(runs)[0].tolist()
    piece = to_dense(runs, 0, (x, y, w, h)) if w and h else np.zeros((1, 1), np.bool_)
    return paste(from_dense(np.ascontiguousarray(piece.T)), [(y, x)], [width], [height])
