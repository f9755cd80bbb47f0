"""Run lengths as Kaggle writes them: pairs of start and length, starts counted from 1."""

from __future__ import annotations

import re
from typing import NamedTuple

import numpy as np

from curate import rle
from curate.common.arrays import ByteArray, IntArray
from curate.formats.cvat.mask_shapes import turn_to_columns, turn_to_rows
from curate.formats.segmentation import Segmentation, encode_runs, size_problem, valid_size
from curate.rle.runs import kernel

_PAIRS = re.compile(rb"\s*[0-9]{1,18}(?:\s+[0-9]{1,18})+")
_LOOK = 400  # bytes that are looked at to tell run lengths


class _Parsed(NamedTuple):
    numbers: IntArray
    problem: str


def looks_like_runs(field: bytes) -> bool:
    """Return whether a field begins with whole numbers between blanks, two at least."""
    return _PAIRS.match(field[:_LOOK]) is not None


@kernel
def _read_numbers(data: ByteArray, out: IntArray) -> int:
    """Read whole numbers between blanks; return how many, or -1 - where there is something else."""
    count = at = 0
    while at < len(data):
        code = data[at]
        if code == 32 or 9 <= code <= 13:
            at += 1
            continue
        value = begin = at
        value = 0
        while at < len(data) and 48 <= data[at] <= 57 and at - begin < 18:
            value = 10 * value + data[at] - 48
            at += 1
        ends = at == len(data) or data[at] == 32 or 9 <= data[at] <= 13
        if begin == at or not ends:
            return -1 - begin
        out[count] = value
        count += 1
    return count


def _parse(field: bytes) -> _Parsed:
    data = np.frombuffer(field, np.uint8)
    out = np.empty(len(data) // 2 + 1, np.int64)
    count = int(_read_numbers(data, out))
    if count < 0:
        odd = field[-1 - count :].split()[0][:40].decode("utf-8", "replace")
        return _Parsed(out[:0], f"the run lengths hold {odd!r}, which is no whole number from 0")
    if count % 2:
        return _Parsed(out[:0], f"it has {count} numbers, so the last start has no length")
    return _Parsed(out[:count], "")


def read_pixels(field: bytes, height: int, width: int, by_row: bool) -> Segmentation:
    """Read the runs of one mask.

    Args:
        field: Start, length, start, length, ... between blanks.
        height: Image height in pixels.
        width: Image width in pixels.
        by_row: Whether starts count along the rows, else down the columns.

    Returns:
        The mask; ``undecodable`` or ``invalid_size`` with the reason.
    """
    if not valid_size(height, width):
        return Segmentation(None, "invalid_size", size_problem(height, width))
    numbers, problem = _parse(field)
    if problem:
        return Segmentation(None, "undecodable", problem)
    starts, lengths = numbers[::2] - 1, numbers[1::2]
    starts, lengths = starts[lengths > 0], lengths[lengths > 0]
    ends = starts + lengths
    problem = _find_problem(starts, ends, height * width)
    if problem:
        return Segmentation(None, "undecodable", problem)
    if not by_row:
        return Segmentation(encode_runs(starts, ends, height, width))
    edges = np.column_stack([starts, ends]).ravel()
    counts = np.diff(edges, prepend=0, append=height * width)
    return turn_to_columns(counts, (0, 0, width, height), height, width)


def _find_problem(starts: IntArray, ends: IntArray, pixels: int) -> str:
    """Return the fault of runs; "" where nothing is."""
    if not len(starts):
        return ""
    if starts.min() < 0:
        return "a run starts at pixel 0, but pixels are counted from 1"
    if ends.max() > pixels:
        return f"a run ends at pixel {ends.max()}, the image has {pixels}"
    early = np.flatnonzero(starts[1:] < ends[:-1])
    if len(early):
        k = int(early[0])
        what = f"run {k + 2} starts at pixel {starts[k + 1] + 1}, run {k + 1} ends at {ends[k]}"
        return f"{what}: starts are not those of the whole image, or not in order"
    return ""


def spell_pixels(mask: rle.Runs, by_row: bool) -> bytes:
    """Return one mask as :func:`read_pixels` reads it."""
    starts, ends = mask.starts.astype(np.int64), mask.ends.astype(np.int64)
    if by_row:
        box = (0, 0, int(mask.widths[0]), int(mask.heights[0]))
        starts, ends = turn_to_rows(mask, box)
    pairs = np.column_stack([starts + 1, ends - starts]).ravel()
    return " ".join(map(str, pairs.tolist())).encode("ascii")
