"""Kernels for CVAT's masks: run lengths in text, and rows of a box turned into columns."""

from __future__ import annotations

import numpy as np

from curate.common.arrays import ByteArray, Int32Array, IntArray
from curate.rle.runs import kernel

_COMMA, _ZERO, _NINE = 44, 48, 57
_SPACES = (9, 10, 13, 32)
_MOST_DIGITS = 9


@kernel
def parse_lengths(text: ByteArray, out: IntArray) -> int:
    """Read whole numbers that are joined by commas, with spaces around them or none.

    Args:
        text: ASCII; a comma may end it.
        out: Where they go: as many places as ``text`` has commas, and one more.

    Returns:
        How many there are; -1 where anything else stands there, or more than nine digits.
    """
    count, value, digits, closed = 0, 0, 0, False
    for k in range(len(text)):
        c = text[k]
        if _ZERO <= c <= _NINE:
            if closed or digits == _MOST_DIGITS:
                return -1
            value, digits = 10 * value + c - _ZERO, digits + 1
        elif c == _COMMA:
            if digits == 0:
                return -1
            out[count] = value
            count, value, digits, closed = count + 1, 0, 0, False
        elif c in _SPACES:
            closed = digits > 0
        else:
            return -1
    if digits:
        out[count] = value
        count += 1
    return count


@kernel
def turn_box(
    counts: IntArray,
    x: int,
    y: int,
    w: int,
    h: int,
    height: int,
    starts: Int32Array,
    ends: Int32Array,
) -> int:
    """Draw runs by row inside a box, and find the runs of the image's columns.

    Args:
        counts: Run lengths, the first of background; their sum is ``w * h``.
        x: First column of the box.
        y: First row of the box.
        w: Width of the box in pixels.
        h: Height of the box in pixels.
        height: Image height in pixels.
        starts: Where the first position of each run goes; ``w * ((h + 1) // 2)`` places.
        ends: Where the last position, exclusive, goes.

    Returns:
        How many runs there are; none touch.
    """
    pixels = np.zeros(w * h, np.uint8)  # column by column
    position = 0
    for k in range(len(counts)):
        stop = position + counts[k]
        if k % 2 and stop > position:
            row, column = position // w, position % w
            for _ in range(stop - position):
                pixels[column * h + row] = 1
                column += 1
                if column == w:
                    row, column = row + 1, 0
        position = stop
    runs = 0
    for column in range(w):
        first = (x + column) * height + y
        inside = False
        for row in range(h):
            if pixels[column * h + row] and not inside:
                inside = True
                # A run to the end of a column goes on in the next one.
                if runs and ends[runs - 1] == first + row:
                    runs -= 1
                else:
                    starts[runs] = first + row
            elif inside and not pixels[column * h + row]:
                inside = False
                ends[runs] = first + row
                runs += 1
        if inside:
            ends[runs] = first + h
            runs += 1
    return runs
