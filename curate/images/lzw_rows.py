"""LZW strips of TIFFs, unpacked some bytes at a time.

Facts, from TIFF 6.0: codes of 9 to 12 bits, the highest bit first; 256 clears the table, 257 ends;
a code is one bit longer from one entry before the table needs it. The table holds 4,096 strings.
"""

from __future__ import annotations

from collections.abc import Generator
from pathlib import Path

import numpy as np

from curate.common.arrays import ByteArray, Int32Array, IntArray
from curate.rle.runs import kernel

_CLEAR, _END, _FIRST = 256, 257, 258
_TABLE = 4096
_BROKEN = -1


def is_old_lzw(path: Path, at: int) -> bool:
    """Whether a strip has the bit order of early versions of libtiff, which others lack."""
    with path.open("rb") as file:
        file.seek(at)
        head = file.read(2)
    return len(head) == 2 and head[0] == 0 and bool(head[1] & 1)


def unpack_lzw(path: Path, at: int, size: int) -> Generator[bytes, int, None]:
    """Give a generator that takes how many bytes are wanted, and yields them.

    Args:
        path: The file.
        at: Where the strip begins.
        size: Bytes of the strip, packed.

    Raises:
        OSError: The strip is cut off, or unpacks to fewer bytes.
        ValueError: It is no LZW.
    """
    if at + size > path.stat().st_size or size < 1:
        raise OSError("image file is truncated")
    data: ByteArray = np.memmap(path, np.uint8, "r", at, (size,))
    state = np.array([0, 9, _FIRST, -1], np.int64)
    prefix, suffix = np.zeros(_TABLE, np.int32), np.zeros(_TABLE, np.uint8)
    lengths = np.ones(_TABLE, np.int32)
    spare = b""
    wanted = yield b""
    while True:
        if len(spare) < wanted:
            out = np.empty(wanted - len(spare) + _TABLE + 1, np.uint8)
            n = int(_decode(data, state, prefix, suffix, lengths, out, wanted - len(spare)))
            if n == _BROKEN:
                raise ValueError("its LZW has a code that is not in the table")
            spare += out[:n].tobytes()
            if len(spare) < wanted:
                raise OSError("image file is truncated")
        made, spare = spare[:wanted], spare[wanted:]
        wanted = yield made


@kernel
def _decode(
    data: ByteArray,
    state: IntArray,
    prefix: Int32Array,
    suffix: ByteArray,
    lengths: Int32Array,
    out: ByteArray,
    wanted: int,
) -> int:
    """Unpack at least so many bytes, up to one string more; return how many.

    Args:
        data: The strip.
        state: Bit at which the next code begins, its bits, the next free entry, the code before.
        prefix: Of each entry the entry that it continues.
        suffix: Its last byte.
        lengths: Its bytes.
        out: Where to; has room for one string more than is wanted.
        wanted: How many.

    Returns:
        Fewer where the strip ends; -1 where it has a code that is not in the table.
    """
    bit, width = int(state[0]), int(state[1])
    following, before = int(state[2]), int(state[3])
    n, limit = 0, 8 * len(data)
    while n < wanted and bit + width <= limit:
        at, word = bit >> 3, 0
        for k in range(3):
            word = word << 8 | (int(data[at + k]) if at + k < len(data) else 0)
        code = word >> 24 - (bit & 7) - width & (1 << width) - 1
        bit += width
        if code == _END:
            bit = limit
            break
        if code == _CLEAR:
            width, following, before = 9, _FIRST, -1
            continue
        if code > following or (code == following and before < 0):
            return _BROKEN
        known = code if code < following else before  # else it is the string that begins here
        size = int(lengths[known]) if known >= _FIRST else 1
        place, one = n + size - 1, known
        while one >= _FIRST:
            out[place] = suffix[one]
            one = int(prefix[one])
            place -= 1
        if one > 255:
            return _BROKEN
        out[place] = one
        n += size
        if code == following:
            out[n] = one
            n += 1
        if before >= 0 and following < _TABLE:
            prefix[following], suffix[following] = before, one
            lengths[following] = (lengths[before] if before >= _FIRST else 1) + 1
            following += 1
            if following == (1 << width) - 1 and width < 12:
                width += 1
        before = code
    state[0], state[1], state[2], state[3] = bit, width, following, before
    return n
