"""Codec of COCO's compressed counts."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from curate.common.arrays import ByteArray, Int32Array, IntArray
from curate.rle.runs import MAX_PIXELS, Runs, kernel

OK, NO_SEGMENTATION, INVALID_SIZE, BAD_CHARACTER, NEGATIVE_COUNT, TOO_LONG, TOO_SHORT = range(7)

PROBLEMS: tuple[str, ...] = (
    "",
    "there is no segmentation",
    "the declared image size is not usable",
    "the counts string holds a character that no run length has, or ends inside a number",
    "a run length is negative",
    "its runs are longer than the image",
    "its runs end before the image does",
)
"""What each code of :func:`decode_counts` means, in words; index it with the code."""


@kernel
def _decode(
    data: ByteArray,
    begins: IntArray,
    stops: IntArray,
    pixels: IntArray,
    starts: Int32Array,
    ends: Int32Array,
    offsets: IntArray,
    codes: ByteArray,
) -> int:
    """Read counts strings into runs; return the number of runs.

    Indexes are unsigned: a signed one is checked for being negative each time it is used.
    """
    out, one = np.uint64(0), np.uint64(1)
    for i in range(len(begins)):
        offsets[i] = out
        if codes[i] != 0:
            continue
        first = out
        p, stop = np.uint64(begins[i]), np.uint64(stops[i])
        before_last, last = np.int64(0), np.int64(0)
        position = np.int64(0)
        index = 0
        code = 0
        while p < stop:
            c = np.int64(data[p]) - 48
            value = c & 31
            shift = 5
            while 32 <= c <= 63 and p + one < stop and shift <= 30:
                p += one
                c = np.int64(data[p]) - 48
                value |= (c & 31) << shift
                shift += 5
            if c < 0 or c > 31:  # no such character, or the string ends inside a number
                code = 3
                break
            p += one
            value -= (c & 16) << (shift - 4)  # the sign bit of the last five
            if index > 2:
                value += before_last
            before_last = last
            last = value
            if value < 0:
                code = 4
                break
            end = position + value
            if end > pixels[i]:
                code = 5
                break
            if index & 1 and value > 0:
                if out > first and ends[out - one] == position:
                    ends[out - one] = end
                else:
                    starts[out] = position
                    ends[out] = end
                    out += one
            position = end
            index += 1
        if code == 0 and position != pixels[i]:
            code = 6
        if code != 0:
            out = first
            codes[i] = code
    offsets[len(begins)] = out
    return int(out)


def as_large_binary(counts: Any) -> pa.LargeBinaryArray:
    """Return counts as one Arrow array: from Arrow, an Arrow-backed Series, or a list of bytes."""
    array = counts.array if hasattr(counts, "array") else counts
    if hasattr(array, "__arrow_array__"):
        array = array.__arrow_array__()
    if not isinstance(array, pa.Array | pa.ChunkedArray):
        array = pa.array(array, pa.large_binary())
    if isinstance(array, pa.ChunkedArray):
        array = array.combine_chunks() if array.num_chunks != 1 else array.chunk(0)
    return array if array.type == pa.large_binary() else array.cast(pa.large_binary())


def decode_counts(
    counts: Any, heights: npt.ArrayLike, widths: npt.ArrayLike
) -> tuple[Runs, ByteArray]:
    """Read COCO compressed counts.

    Args:
        counts: n counts strings as an Arrow (large) binary array, an Arrow-backed Series, or a list
            of bytes; null or None where a mask has none.
        heights: Image heights in pixels, shape (n,).
        widths: Image widths in pixels, shape (n,).

    Returns:
        The runs, and one code a mask: 0, or an index into :data:`PROBLEMS`. A mask with a problem
        has no runs. Memory depends on the bytes given, never on the declared sizes.

    Example:
        >>> runs, codes = decode_counts([b"013000", b"9"], heights=[3, 2], widths=[3, 2])
        >>> len(runs), [PROBLEMS[code] for code in codes]
        (2, ['', 'its runs are longer than the image'])
    """
    array = as_large_binary(counts)
    n = len(array)
    rows, columns = np.asarray(heights, np.int64), np.asarray(widths, np.int64)
    usable = (rows >= 1) & (columns >= 1) & (rows <= MAX_PIXELS) & (columns <= MAX_PIXELS)
    rows, columns = np.where(usable, rows, 1), np.where(usable, columns, 1)
    usable &= rows * columns <= MAX_PIXELS
    codes = np.where(usable, OK, INVALID_SIZE).astype(np.uint8)
    if array.null_count:
        codes[np.asarray(array.is_null())] = NO_SEGMENTATION
    _, offset_buffer, data_buffer = array.buffers()
    bounds = np.frombuffer(offset_buffer, np.int64)[array.offset : array.offset + n + 1]
    if n == 0:
        bounds = np.zeros(1, np.int64)
    data = np.frombuffer(data_buffer, np.uint8) if data_buffer else _NO_BYTES
    capacity = int(bounds[-1] - bounds[0]) // 2 + n + 1
    starts, ends = np.empty(capacity, np.int32), np.empty(capacity, np.int32)
    offsets = np.empty(n + 1, np.int64)
    used = _decode(data, bounds[:-1], bounds[1:], rows * columns, starts, ends, offsets, codes)
    rows, columns = np.where(usable, rows, 0), np.where(usable, columns, 0)
    return (
        Runs(offsets, starts[:used], ends[:used], rows.astype(np.int32), columns.astype(np.int32)),
        codes,
    )


_NO_BYTES = np.frombuffer(b"", np.uint8)


@kernel
def _encode(
    starts: Int32Array,
    ends: Int32Array,
    offsets: IntArray,
    pixels: IntArray,
    out: ByteArray,
    bounds: IntArray,
) -> None:
    """Write counts strings behind each other; with an empty ``out`` only measure ``bounds``."""
    write = len(out) > 0
    p = 0
    for i in range(len(pixels)):
        bounds[i] = p
        first, stop = offsets[i], offsets[i + 1]
        n_counts = 2 * (stop - first) + 1
        if stop > first and ends[stop - 1] == pixels[i]:
            n_counts -= 1
        before_last = 0
        last = 0
        position = 0
        for k in range(n_counts):
            run = first + k // 2
            if k & 1:
                edge = int(ends[run])
            elif run < stop:
                edge = int(starts[run])
            else:
                edge = int(pixels[i])
            count = edge - position
            position = edge
            x = count - before_last if k > 2 else count
            before_last = last
            last = count
            more = True
            while more:
                c = x & 31
                x >>= 5
                more = x != -1 if c & 16 else x != 0
                if more:
                    c |= 32
                if write:
                    out[p] = c + 48
                p += 1
    bounds[len(pixels)] = p


def encode_counts(runs: Runs) -> pa.LargeBinaryArray:
    """Write runs as COCO compressed counts, byte for byte as pycocotools does.

    Args:
        runs: n masks.

    Returns:
        An Arrow large binary array of n counts strings.

    Example:
        >>> from curate.rle import from_dense
        >>> encode_counts(from_dense(np.eye(3))).to_pylist()
        [b'013000']
    """
    pixels = runs.heights.astype(np.int64) * runs.widths
    bounds = np.empty(len(runs) + 1, np.int64)
    _encode(runs.starts, runs.ends, runs.offsets, pixels, np.empty(0, np.uint8), bounds)
    out = np.empty(max(int(bounds[-1]), 1), np.uint8)
    _encode(runs.starts, runs.ends, runs.offsets, pixels, out, bounds)
    return pa.LargeBinaryArray.from_buffers(
        pa.large_binary(), len(runs), [None, pa.py_buffer(bounds), pa.py_buffer(out)]
    )


def are_kernels_cached() -> bool:
    """Return whether an earlier run has compiled kernels here and kept them on disk.

    Numba has an index file beside the module (or in its own folder) for each kernel.
    """
    folder = Path(_decode.stats.cache_path)  # type: ignore[attr-defined]
    return any(folder.glob("codec._decode-*.nbi"))
