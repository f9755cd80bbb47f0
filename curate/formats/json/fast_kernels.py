"""The compiled part of :mod:`curate.formats.json.fast_reader`: JSON bytes to cells of arrays.

Every function takes the bytes and a position and returns the position behind what it has read,
:data:`GIVE_UP` for what it does not expect, or :data:`FULL` where an array has no room left.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from curate.formats.json.json_columns import IntArray
from curate.rle import kernel

FLOATS = (
    *("predicted_iou", "stability_score", "score", "declared_area", "iscrowd"),
    *("declared_x", "declared_y", "declared_w", "declared_h"),
    *("crop_x", "crop_y", "crop_w", "crop_h", "prompt_x", "prompt_y"),
)
INTS = ("id", "category_id", "image_id", "height", "width", "present")
KEYS = (
    *("predicted_iou", "stability_score", "score", "area", "iscrowd"),
    *("bbox", "crop_box", "point_coords", "id", "category_id", "image_id", "segmentation"),
    *("size", "counts", "attributes", "track_id", "image", "annotations"),
)
_CROWD, _BBOX, _POINT, ID = 4, 5, 7, 8
_SEGMENTATION, _SIZE, _COUNTS, _ATTRIBUTES, _TRACK = 11, 12, 13, 14, 15
_IMAGE, _ANNOTATIONS = 16, 17
WIDTHS = np.array([1, 1, 1, 1, 1, 4, 4, 2], np.int64)
DEPTHS = np.array([0, 0, 0, 0, 0, 1, 1, 2], np.int64)
SLOTS = np.array([0, 1, 2, 3, 4, 5, 9, 13], np.int64)

_NAMES = np.frombuffer("".join(KEYS).encode(), np.uint8)
_NAME_ENDS = np.cumsum([0, *(len(key) for key in KEYS)])
_BY_LENGTH, _BY_FIRST = 1, 4  # with these no two names share a slot
_SLOT_KEYS = np.full(256, -1, np.int64)
for _k, _key in enumerate(KEYS):
    _SLOT_KEYS[(len(_key) * _BY_LENGTH + ord(_key[0]) * _BY_FIRST + ord(_key[-1])) % 256] = _k
_EXACT = 2**53  # up to here a double holds every whole number
_LONGEST = 400
_BLOCK = 32
_POWERS = 10.0 ** np.arange(23)

GIVE_UP, FULL = -1, -2
"""What a function returns where it cannot go on."""


@kernel
def _skip_space(data: npt.NDArray[np.uint8], p: int) -> int:
    while p < len(data) and (data[p] == 32 or data[p] == 10 or data[p] == 13 or data[p] == 9):
        p += 1
    return p


@kernel
def _plain_string(data: npt.NDArray[np.uint8], p: int) -> int:
    """Return where a string of plain ASCII that begins at ``p`` ends, or give up."""
    if p >= len(data) or data[p] != 34:
        return GIVE_UP
    p += 1
    while p < len(data):
        c = data[p]
        if c == 34:
            return p + 1
        if c == 92 or c < 32 or c > 126:
            return GIVE_UP
        p += 1
    return GIVE_UP


@kernel
def _which_key(data: npt.NDArray[np.uint8], start: int, end: int) -> int:
    """Return the number of a field name, or -1 for one that is not known."""
    if start == end:
        return -1
    slot = (end - start) * _BY_LENGTH + data[start] * _BY_FIRST + data[end - 1]
    k: int = _SLOT_KEYS[slot % len(_SLOT_KEYS)]
    if k < 0 or _NAME_ENDS[k + 1] - _NAME_ENDS[k] != end - start:
        return -1
    first = _NAME_ENDS[k]
    for j in range(end - start):
        if _NAMES[first + j] != data[start + j]:
            return -1
    return k


@kernel
def _number(data: npt.NDArray[np.uint8], p: int) -> tuple[int, Any, int, int, Any]:
    """Read a number: (its end or -1, digits as an integer, power of ten, digit count, minus)."""
    n = len(data)
    minus = p < n and data[p] == 45
    if minus:
        p += 1
    mantissa, power, digits = np.int64(0), 0, 0
    first = p
    while p < n and 48 <= data[p] <= 57:
        if digits < 18:
            mantissa = mantissa * 10 + (data[p] - 48)
        digits += 1
        p += 1
    if p == first or (data[first] == 48 and p - first > 1):
        return GIVE_UP, 0, 0, 0, False
    if mantissa == 0:
        digits = 0
    if p < n and data[p] == 46:
        p += 1
        first = p
        while p < n and 48 <= data[p] <= 57:
            if digits < 18:
                mantissa = mantissa * 10 + (data[p] - 48)
                power -= 1
            if mantissa > 0:
                digits += 1
            p += 1
        if p == first:
            return GIVE_UP, 0, 0, 0, False
    if p < n and (data[p] == 101 or data[p] == 69):
        p += 1
        if p < n and (data[p] == 43 or data[p] == 45):
            p += 1
        first = p
        while p < n and 48 <= data[p] <= 57:
            p += 1
        if not 0 < p - first < 3:  # beyond that lies infinity: not for this reader
            return GIVE_UP, 0, 0, 0, False
        digits = 99  # never exact with one division
    return p, mantissa, power, digits, minus


@kernel
def _int_at(data: npt.NDArray[np.uint8], p: int, out: IntArray, row: int, column: int) -> int:
    """Read a whole number of up to 18 digits into a cell."""
    end, mantissa, power, digits, minus = _number(data, p)
    if end < 0 or power != 0 or digits > 18:
        return GIVE_UP
    out[row, column] = -mantissa if minus else mantissa
    return end


@kernel
def _copy_plain(
    data: npt.NDArray[np.uint8], p: Any, counts: npt.NDArray[np.uint8], out: Any
) -> int:
    """Copy bytes up to one that needs a look; return how many.

    A loop of fixed length without a way out, over indexes that cannot be negative, compiles to
    vector instructions; so whole blocks come first.
    """
    block = np.uint64(_BLOCK)
    copied = np.uint64(0)
    special = np.uint8(0)
    while special == 0 and p + copied + block <= len(data) and out + copied + block <= len(counts):
        for j in range(block):
            c = data[p + copied + j]
            special |= np.uint8(c < 35) | np.uint8(c > 126) | np.uint8(c == 92)
            counts[out + copied + j] = c
        if special == 0:
            copied += block
    while p + copied < len(data) and out + copied < len(counts):
        c = data[p + copied]
        if c < 35 or c > 126 or c == 92:
            break
        counts[out + copied] = c
        copied += np.uint64(1)
    return int(copied)


@kernel
def _counts_into(
    data: npt.NDArray[np.uint8],
    p: int,
    counts: npt.NDArray[np.uint8],
    used: IntArray,
) -> int:
    """Copy a counts string; a doubled backslash is the one escape that these strings need."""
    n, out = len(data), used[0]
    if p >= n or data[p] != 34:
        return GIVE_UP
    room = len(counts)
    p += 1
    while True:
        plain = _copy_plain(data, np.uint64(p), counts, np.uint64(out))
        p += plain
        out += plain
        if p >= n:
            return GIVE_UP
        c = data[p]
        if c == 34:
            used[0] = out
            return p + 1
        if c == 92:
            p += 1
            if p >= n or data[p] != 92:
                return GIVE_UP
        elif c < 32 or c > 126:
            return GIVE_UP
        if out >= room:
            return FULL
        counts[out] = c
        out += 1
        p += 1


@kernel
def _segmentation(
    data: npt.NDArray[np.uint8],
    p: int,
    ints: IntArray,
    row: int,
    counts: npt.NDArray[np.uint8],
    used: IntArray,
) -> int:
    """Read an object of exactly ``size`` and ``counts``."""
    if p >= len(data) or data[p] != 123:
        return GIVE_UP
    p += 1
    seen = 0
    for k in range(2):
        p = _skip_space(data, p)
        start = p + 1
        p = _plain_string(data, p)
        if p < 0:
            return GIVE_UP
        key = _which_key(data, start, p - 1)
        p = _skip_space(data, p)
        if p >= len(data) or data[p] != 58:
            return GIVE_UP
        p = _skip_space(data, p + 1)
        if key == _SIZE:
            seen |= 1
            if p >= len(data) or data[p] != 91:
                return GIVE_UP
            p = _int_at(data, _skip_space(data, p + 1), ints, row, 3)
            if p < 0:
                return GIVE_UP
            p = _skip_space(data, p)
            if p >= len(data) or data[p] != 44:
                return GIVE_UP
            p = _int_at(data, _skip_space(data, p + 1), ints, row, 4)
            if p < 0:
                return GIVE_UP
            p = _skip_space(data, p)
            if p >= len(data) or data[p] != 93:
                return GIVE_UP
            p += 1
        elif key == _COUNTS:
            seen |= 2
            if p + 2 < len(data) and data[p + 1] == 98 and data[p + 2] == 39:
                return GIVE_UP  # Python's print of bytes, b'...'
            p = _counts_into(data, p, counts, used)
            if p < 0:
                return p
        else:
            return GIVE_UP
        p = _skip_space(data, p)
        if p >= len(data) or data[p] != (44 if k == 0 else 125):
            return GIVE_UP
        p += 1
    return p if seen == 3 else GIVE_UP


@kernel
def _plain_value(data: npt.NDArray[np.uint8], p: int) -> int:
    """Skip the value of an unknown field: a number or a plain string, nothing else."""
    if p < len(data) and data[p] == 34:
        return _plain_string(data, p)
    return _number(data, p)[0]


@kernel
def _brackets(data: npt.NDArray[np.uint8], p: int, sign: int, count: int) -> int:
    """Skip ``count`` times a bracket (91 or 93) with space around it."""
    for _ in range(count):
        if p >= len(data) or data[p] != sign:
            return GIVE_UP
        p = _skip_space(data, p + 1)
    return p


@kernel
def _annotation(
    data: npt.NDArray[np.uint8],
    p: int,
    row: int,
    floats: npt.NDArray[np.float64],
    ints: IntArray,
    counts: npt.NDArray[np.uint8],
    hard: IntArray,
    hard_text: npt.NDArray[np.uint8],
    used: IntArray,
) -> int:
    """Read one annotation object into a row; return its end.

    Numbers are stored here rather than in a function of their own: handing these arrays on costs
    several times what reading a number does.
    """
    if p >= len(data) or data[p] != 123:
        return GIVE_UP
    for k in range(floats.shape[1]):
        floats[row, k] = np.nan
    for k in range(ints.shape[1]):
        ints[row, k] = 0
    present = 0
    more = True
    while more:
        start = _skip_space(data, p + 1) + 1
        p = _plain_string(data, start - 1)
        if p < 0:
            return GIVE_UP
        key = _which_key(data, start, p - 1)
        p = _skip_space(data, p)
        if p >= len(data) or data[p] != 58:
            return GIVE_UP
        p = _skip_space(data, p + 1)
        if key >= 0:
            if present >> key & 1:
                return GIVE_UP
            present |= 1 << key
        if 0 <= key < ID:
            p = _brackets(data, p, 91, DEPTHS[key])
            for k in range(WIDTHS[key]):
                if k > 0:
                    if p >= len(data) or data[p] != 44:
                        return GIVE_UP
                    p = _skip_space(data, p + 1)
                if p < 0:
                    return GIVE_UP
                end, mantissa, power, digits, minus = _number(data, p)
                if end < 0 or (key == _CROWD and (end != p + 1 or data[p] > 49)):
                    return GIVE_UP
                if digits <= 18 and mantissa <= _EXACT and power >= -22:
                    value = np.float64(mantissa) / _POWERS[-power]
                    floats[row, SLOTS[key] + k] = -value if minus else value
                else:
                    n = used[1]
                    if end - p > _LONGEST:
                        return GIVE_UP
                    if n >= len(hard) or used[2] + end - p > len(hard_text):
                        return FULL
                    for j in range(p, end):
                        hard_text[used[2] + j - p] = data[j]
                    used[2] += end - p
                    hard[n, 0] = row * floats.shape[1] + SLOTS[key] + k
                    hard[n, 1] = used[2]
                    used[1] = n + 1
                p = _skip_space(data, end)
            p = _brackets(data, p, 93, DEPTHS[key])
        elif ID <= key < _SEGMENTATION:
            p = _int_at(data, p, ints, row, key - ID)
        elif key == _SEGMENTATION:
            p = _segmentation(data, p, ints, row, counts, used)
        elif key in (_ATTRIBUTES, _TRACK):
            return GIVE_UP
        else:
            p = _plain_value(data, p)
        if p < 0:
            return p
        p = _skip_space(data, p)
        if p >= len(data):
            return GIVE_UP
        more = data[p] == 44
        if not more and data[p] != 125:
            return GIVE_UP
    ints[row, 5] = present
    return p + 1 if present >> _SEGMENTATION & 1 else GIVE_UP


@kernel
def _annotations(
    data: npt.NDArray[np.uint8],
    p: int,
    row: int,
    floats: npt.NDArray[np.float64],
    ints: IntArray,
    counts: npt.NDArray[np.uint8],
    bounds: IntArray,
    hard: IntArray,
    hard_text: npt.NDArray[np.uint8],
    marks: IntArray,
    used: IntArray,
) -> tuple[int, int]:
    """Read a list of annotations from its bracket; return (its end, the row after the last)."""
    if p >= len(data) or data[p] != 91:
        return GIVE_UP, row
    p = _skip_space(data, p + 1)
    if p < len(data) and data[p] == 93:
        return p + 1, row
    while True:
        if row >= len(ints):
            return FULL, row
        p = _annotation(
            data, _skip_space(data, p), row, floats, ints, counts, hard, hard_text, used
        )
        if p < 0:
            return p, row
        row += 1
        bounds[row] = used[0]
        marks[row, 0] = used[1]
        marks[row, 1] = used[2]
        p = _skip_space(data, p)
        if p >= len(data):
            return GIVE_UP, row
        if data[p] == 93:
            return p + 1, row
        if data[p] != 44:
            return GIVE_UP, row
        p += 1


@kernel
def read_list(
    data: npt.NDArray[np.uint8],
    row: int,
    floats: npt.NDArray[np.float64],
    ints: IntArray,
    counts: npt.NDArray[np.uint8],
    bounds: IntArray,
    hard: IntArray,
    hard_text: npt.NDArray[np.uint8],
    marks: IntArray,
    used: IntArray,
    image: IntArray,
) -> int:
    """Read a list; return the row after its last annotation, or why not."""
    p, row = _annotations(
        data, _skip_space(data, 0), row, floats, ints, counts, bounds, hard, hard_text, marks, used
    )
    if p < 0:
        return p
    return row if _skip_space(data, p) == len(data) else GIVE_UP


@kernel
def _skip_object(data: npt.NDArray[np.uint8], p: int) -> int:
    """Return where an object ends; its inside is for the parser to check."""
    depth = 0
    if p >= len(data) or data[p] != 123:
        return GIVE_UP
    while p < len(data):
        c = data[p]
        if c == 34:
            p += 1
            while p < len(data) and data[p] != 34:
                p += 2 if data[p] == 92 else 1
        elif c == 123 or c == 91:
            depth += 1
        elif c == 125 or c == 93:
            depth -= 1
            if depth == 0:
                return p + 1
        p += 1
    return GIVE_UP


@kernel
def read_document(
    data: npt.NDArray[np.uint8],
    row: int,
    floats: npt.NDArray[np.float64],
    ints: IntArray,
    counts: npt.NDArray[np.uint8],
    bounds: IntArray,
    hard: IntArray,
    hard_text: npt.NDArray[np.uint8],
    marks: IntArray,
    used: IntArray,
    image: IntArray,
) -> int:
    """Read an object of exactly ``image`` and ``annotations``; see :func:`read_list`."""
    p = _skip_space(data, 0)
    if p >= len(data) or data[p] != 123:
        return GIVE_UP
    p += 1
    seen = 0
    for k in range(2):
        p = _skip_space(data, p)
        start = p + 1
        p = _plain_string(data, p)
        if p < 0:
            return GIVE_UP
        key = _which_key(data, start, p - 1)
        p = _skip_space(data, p)
        if p >= len(data) or data[p] != 58:
            return GIVE_UP
        p = _skip_space(data, p + 1)
        if key == _IMAGE:
            seen |= 1
            image[0] = p
            p = _skip_object(data, p)
            image[1] = p
        elif key == _ANNOTATIONS:
            seen |= 2
            p, row = _annotations(
                data, p, row, floats, ints, counts, bounds, hard, hard_text, marks, used
            )
        else:
            return GIVE_UP
        if p < 0:
            return p
        p = _skip_space(data, p)
        if p >= len(data) or data[p] != (44 if k == 0 else 125):
            return GIVE_UP
        p += 1
    return row if seen == 3 and _skip_space(data, p) == len(data) else GIVE_UP
