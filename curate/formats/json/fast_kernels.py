"""Compiled JSON reader of COCO annotations: bytes straight to cells of arrays, or a refusal.

A recursive-descent parser without a tree and without allocations. It knows the fields of
:data:`KEYS`, finds a field name with one look into a perfect hash table (length, first and last
letter), and writes each value where the caller's arrays have its cell: numbers to ``floats`` and
``ints``, the text of ``counts`` to one byte buffer with ``bounds`` between masks. It is the fast
path only: whatever is legal but unusual (escapes, text outside ASCII, a field twice, polygons,
attributes, an exponent of three digits) makes it give up, and the caller reads the same bytes with
the tolerant parser. So it may refuse, but must never read a value that the tolerant parser would
read otherwise.

Invariants:

- Every function takes the bytes and a position and returns the position behind what it has read,
  :data:`GIVE_UP` for what it does not expect, or :data:`FULL` where an array has no room left. No
  byte is read at or beyond ``len(data)``, no cell written beyond an array's length.
- Rows under the one that is being read are complete. What a refused call has written lies behind
  ``used`` and ``bounds``, which the caller takes over only after a call that succeeded.
- A float is exact. Up to 18 digits with a mantissa of at most 2**53 and a power of ten within 22
  are one division of two exact doubles, rounded once (Clinger 1990, "How to read floating point
  numbers accurately"); every other number is put into ``hard`` as text, for a correctly rounded
  conversion of all of them at once.

Time is linear in the bytes, each of which is looked at once or twice; memory is the caller's.
"""

# ruff: noqa: SIM109 - in compiled loops, `in` a tuple is a loop of its own

from __future__ import annotations

from typing import Any

import numpy as np

from curate.common.arrays import ByteArray, FloatArray, IntArray
from curate.formats.json.streaming import (
    BACKSLASH,
    CLOSE_BRACE,
    CLOSE_BRACKET,
    COLON,
    COMMA,
    LAST_PLAIN,
    LOWER_E,
    MINUS,
    NEWLINE,
    NINE,
    ONE,
    OPEN_BRACE,
    OPEN_BRACKET,
    PLUS,
    POINT,
    QUOTE,
    RETURN,
    SPACE,
    TAB,
    UPPER_E,
    ZERO,
)
from curate.rle.runs import kernel

FLOATS = (
    *("predicted_iou", "stability_score", "score", "declared_area", "iscrowd"),
    *("declared_x", "declared_y", "declared_w", "declared_h"),
    *("crop_x", "crop_y", "crop_w", "crop_h", "prompt_x", "prompt_y"),
)
INTS = ("id", "category_id", "image_id", "height", "width", "present")
HEIGHT, WIDTH, PRESENT = 3, 4, 5
"""Columns of ``ints``; ``present`` has a bit for each of :data:`KEYS` that an annotation has."""

COUNTS_BYTES, HARD_NUMBERS, HARD_BYTES = range(3)
"""Cells of ``used``: how much is taken of ``counts``, of ``hard`` and of ``hard_text``. ``marks``
holds the last two as they were behind each row."""

HARD_CELL, HARD_END = range(2)
"""Columns of ``hard``: the cell of ``floats`` (flat) and where the number's text ends."""

IMAGE_START, IMAGE_END = range(2)
"""Cells of ``image``: where the image object stands in the document."""

KEYS = (
    *("predicted_iou", "stability_score", "score", "area", "iscrowd"),
    *("bbox", "crop_box", "point_coords", "id", "category_id", "image_id", "segmentation"),
    *("size", "counts", "attributes", "track_id", "image", "annotations"),
)
_CROWD, _BBOX, _POINT, ID = 4, 5, 7, 8
_SEGMENTATION, _SIZE, _COUNTS, _ATTRIBUTES, _TRACK = 11, 12, 13, 14, 15
_IMAGE, _ANNOTATIONS = 16, 17
# Of each field of numbers: how many there are, how many brackets stand around them, and the first
# of their columns in ``floats``.
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
_LONGEST = 400  # bytes of a number: a longer one is nonsense, or an attack
_BLOCK = 32
_LETTER_B, _APOSTROPHE = 98, 39
_POWERS = 10.0 ** np.arange(23)

GIVE_UP, FULL = -1, -2
"""What a function returns where it cannot go on."""


@kernel
def _skip_space(data: ByteArray, p: int) -> int:
    while p < len(data) and (
        data[p] == SPACE or data[p] == NEWLINE or data[p] == RETURN or data[p] == TAB
    ):
        p += 1
    return p


@kernel
def _behind(data: ByteArray, p: int, sign: int) -> int:
    """Return the position behind a sign and the space around it; one that is none is passed on."""
    if p < 0:
        return p
    p = _skip_space(data, p)
    if p >= len(data) or data[p] != sign:
        return GIVE_UP
    return _skip_space(data, p + 1)


@kernel
def _plain_string(data: ByteArray, p: int) -> int:
    """Return where a string of plain ASCII that begins at ``p`` ends, or give up."""
    if p >= len(data) or data[p] != QUOTE:
        return GIVE_UP
    p += 1
    while p < len(data):
        c = data[p]
        if c == QUOTE:
            return p + 1
        if c == BACKSLASH or c < SPACE or c > LAST_PLAIN:
            return GIVE_UP
        p += 1
    return GIVE_UP


@kernel
def _which_key(data: ByteArray, start: int, end: int) -> int:
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
def _field(data: ByteArray, p: int) -> tuple[int, int]:
    """Read a field's name and the colon: (its number or -1, where its value begins)."""
    if p < 0:
        return -1, p
    end = _plain_string(data, p)
    if end < 0:
        return -1, GIVE_UP
    return _which_key(data, p + 1, end - 1), _behind(data, end, COLON)


@kernel
def _number(data: ByteArray, p: int) -> tuple[int, Any, int, int, Any]:
    """Read a number: (its end or -1, digits as an integer, power of ten, digit count, minus)."""
    n = len(data)
    minus = p < n and data[p] == MINUS
    if minus:
        p += 1
    mantissa, power, digits = np.int64(0), 0, 0
    first = p
    while p < n and ZERO <= data[p] <= NINE:
        if digits < 18:  # 18 digits fit 64 bits; further ones are counted, for a refusal
            mantissa = mantissa * 10 + (data[p] - ZERO)
        digits += 1
        p += 1
    if p == first or (data[first] == ZERO and p - first > 1):
        return GIVE_UP, 0, 0, 0, False
    if mantissa == 0:  # zeros in front are no digits that could make a double inexact
        digits = 0
    if p < n and data[p] == POINT:
        p += 1
        first = p
        while p < n and ZERO <= data[p] <= NINE:
            if digits < 18:
                mantissa = mantissa * 10 + (data[p] - ZERO)
                power -= 1
            if mantissa > 0:
                digits += 1
            p += 1
        if p == first:
            return GIVE_UP, 0, 0, 0, False
    if p < n and (data[p] == LOWER_E or data[p] == UPPER_E):
        p += 1
        if p < n and (data[p] == PLUS or data[p] == MINUS):
            p += 1
        first = p
        while p < n and ZERO <= data[p] <= NINE:
            p += 1
        if not 0 < p - first < 3:  # beyond that lies infinity: not for this reader
            return GIVE_UP, 0, 0, 0, False
        digits = 99  # more than 18: its power is not worked out, so the number is a hard one
    return p, mantissa, power, digits, minus


@kernel
def _int_at(data: ByteArray, p: int, out: IntArray, row: int, column: int) -> int:
    """Read a whole number of up to 18 digits into a cell."""
    if p < 0:
        return p
    end, mantissa, power, digits, minus = _number(data, p)
    if end < 0 or power != 0 or digits > 18:
        return GIVE_UP
    out[row, column] = -mantissa if minus else mantissa
    return end


@kernel
def _copy_plain(data: ByteArray, p: Any, counts: ByteArray, out: Any) -> int:
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
            special |= np.uint8(c <= QUOTE) | np.uint8(c > LAST_PLAIN) | np.uint8(c == BACKSLASH)
            counts[out + copied + j] = c
        if special == 0:
            copied += block
    while p + copied < len(data) and out + copied < len(counts):
        c = data[p + copied]
        if c <= QUOTE or c > LAST_PLAIN or c == BACKSLASH:
            break
        counts[out + copied] = c
        copied += np.uint64(1)
    return int(copied)


@kernel
def _counts_into(data: ByteArray, p: int, counts: ByteArray, used: IntArray) -> int:
    """Copy a counts string; a doubled backslash is the one escape that these strings need."""
    n, out = len(data), used[COUNTS_BYTES]
    if p >= n or data[p] != QUOTE:
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
        if c == QUOTE:
            used[COUNTS_BYTES] = out
            return p + 1
        if c == BACKSLASH:
            p += 1
            if p >= n or data[p] != BACKSLASH:
                return GIVE_UP
        elif c < SPACE or c > LAST_PLAIN:
            return GIVE_UP
        if out >= room:
            return FULL
        counts[out] = c
        out += 1
        p += 1


@kernel
def _segmentation(
    data: ByteArray, p: int, ints: IntArray, row: int, counts: ByteArray, used: IntArray
) -> int:
    """Read an object of exactly ``size`` and ``counts``."""
    p = _behind(data, p, OPEN_BRACE)
    seen = 0
    for k in range(2):
        key, p = _field(data, p)
        if p < 0:
            return p
        if key == _SIZE:
            seen |= 1
            p = _int_at(data, _behind(data, p, OPEN_BRACKET), ints, row, HEIGHT)
            p = _int_at(data, _behind(data, p, COMMA), ints, row, WIDTH)
            p = _behind(data, p, CLOSE_BRACKET)
        elif key == _COUNTS:
            seen |= 2
            if p + 2 < len(data) and data[p + 1] == _LETTER_B and data[p + 2] == _APOSTROPHE:
                return GIVE_UP  # Python's print of bytes, b'...'
            p = _counts_into(data, p, counts, used)
        else:
            return GIVE_UP
        p = _behind(data, p, COMMA if k == 0 else CLOSE_BRACE)
    return p if seen == 3 or p < 0 else GIVE_UP


@kernel
def _plain_value(data: ByteArray, p: int) -> int:
    """Skip the value of an unknown field: a number or a plain string, nothing else."""
    if p < len(data) and data[p] == QUOTE:
        return _plain_string(data, p)
    return _number(data, p)[0]


@kernel
def _annotation(
    data: ByteArray,
    p: int,
    row: int,
    floats: FloatArray,
    ints: IntArray,
    counts: ByteArray,
    hard: IntArray,
    hard_text: ByteArray,
    used: IntArray,
) -> int:
    """Read one annotation object into a row; return its end.

    Numbers are stored here rather than in a function of their own: handing these arrays on costs
    several times what reading a number does.
    """
    p = _behind(data, p, OPEN_BRACE)
    for k in range(floats.shape[1]):
        floats[row, k] = np.nan
    for k in range(ints.shape[1]):
        ints[row, k] = 0
    present = 0
    more = True
    while more:
        key, p = _field(data, p)
        if p < 0:
            return p
        if key >= 0:
            if present >> key & 1:  # a field twice: which one counts is for the tolerant parser
                return GIVE_UP
            present |= 1 << key
        if 0 <= key < ID:
            for _ in range(DEPTHS[key]):
                p = _behind(data, p, OPEN_BRACKET)
            for k in range(WIDTHS[key]):
                if k > 0:
                    p = _behind(data, p, COMMA)
                if p < 0:
                    return GIVE_UP
                end, mantissa, power, digits, minus = _number(data, p)
                if end < 0 or (key == _CROWD and (end != p + 1 or data[p] > ONE)):
                    return GIVE_UP
                # Both sides of the division are exact doubles, so its one rounding is right.
                if digits <= 18 and mantissa <= _EXACT and power >= -22:
                    value = np.float64(mantissa) / _POWERS[-power]
                    floats[row, SLOTS[key] + k] = -value if minus else value
                else:
                    n = used[HARD_NUMBERS]
                    if end - p > _LONGEST:
                        return GIVE_UP
                    if n >= len(hard) or used[HARD_BYTES] + end - p > len(hard_text):
                        return FULL
                    for j in range(p, end):
                        hard_text[used[HARD_BYTES] + j - p] = data[j]
                    used[HARD_BYTES] += end - p
                    hard[n, HARD_CELL] = row * floats.shape[1] + SLOTS[key] + k
                    hard[n, HARD_END] = used[HARD_BYTES]
                    used[HARD_NUMBERS] = n + 1
                p = end
            for _ in range(DEPTHS[key]):
                p = _behind(data, p, CLOSE_BRACKET)
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
        more = p < len(data) and data[p] == COMMA
        p = _behind(data, p, COMMA if more else CLOSE_BRACE)
    ints[row, PRESENT] = present
    # Without a segmentation the mask's status is a matter of words: not for this reader.
    return p if p < 0 or present >> _SEGMENTATION & 1 else GIVE_UP


@kernel
def _annotations(
    data: ByteArray,
    p: int,
    row: int,
    floats: FloatArray,
    ints: IntArray,
    counts: ByteArray,
    bounds: IntArray,
    hard: IntArray,
    hard_text: ByteArray,
    marks: IntArray,
    used: IntArray,
) -> tuple[int, int]:
    """Read a list of annotations from its bracket; return (its end, the row after the last)."""
    p = _behind(data, p, OPEN_BRACKET)
    if p < 0:
        return p, row
    more = p >= len(data) or data[p] != CLOSE_BRACKET
    while more:
        if row >= len(ints):
            return FULL, row
        p = _annotation(data, p, row, floats, ints, counts, hard, hard_text, used)
        if p < 0:
            return p, row
        row += 1
        bounds[row] = used[COUNTS_BYTES]
        marks[row, HARD_NUMBERS - 1] = used[HARD_NUMBERS]
        marks[row, HARD_BYTES - 1] = used[HARD_BYTES]
        more = p < len(data) and data[p] == COMMA
        if more:
            p = _behind(data, p, COMMA)
    return _behind(data, p, CLOSE_BRACKET), row


@kernel
def read_list(
    data: ByteArray,
    row: int,
    floats: FloatArray,
    ints: IntArray,
    counts: ByteArray,
    bounds: IntArray,
    hard: IntArray,
    hard_text: ByteArray,
    marks: IntArray,
    used: IntArray,
    image: IntArray,
) -> int:
    """Read a list; return the row after its last annotation, or why not."""
    p, row = _annotations(data, 0, row, floats, ints, counts, bounds, hard, hard_text, marks, used)
    if p < 0:
        return p
    return row if p == len(data) else GIVE_UP


@kernel
def _skip_object(data: ByteArray, p: int) -> int:
    """Return where an object ends; its inside is for the parser to check."""
    depth = 0
    if p >= len(data) or data[p] != OPEN_BRACE:
        return GIVE_UP
    while p < len(data):
        c = data[p]
        if c == QUOTE:
            p += 1
            while p < len(data) and data[p] != QUOTE:
                p += 2 if data[p] == BACKSLASH else 1
        elif c == OPEN_BRACE or c == OPEN_BRACKET:
            depth += 1
        elif c == CLOSE_BRACE or c == CLOSE_BRACKET:
            depth -= 1
            if depth == 0:
                return p + 1
        p += 1
    return GIVE_UP


@kernel
def read_document(
    data: ByteArray,
    row: int,
    floats: FloatArray,
    ints: IntArray,
    counts: ByteArray,
    bounds: IntArray,
    hard: IntArray,
    hard_text: ByteArray,
    marks: IntArray,
    used: IntArray,
    image: IntArray,
) -> int:
    """Read an object of exactly ``image`` and ``annotations``; see :func:`read_list`."""
    p = _behind(data, 0, OPEN_BRACE)
    seen = 0
    for k in range(2):
        key, p = _field(data, p)
        if p < 0:
            return p
        if key == _IMAGE:
            seen |= 1
            image[IMAGE_START] = p
            p = _skip_object(data, p)
            image[IMAGE_END] = p
        elif key == _ANNOTATIONS:
            seen |= 2
            p, row = _annotations(
                data, p, row, floats, ints, counts, bounds, hard, hard_text, marks, used
            )
        else:
            return GIVE_UP
        p = _behind(data, p, COMMA if k == 0 else CLOSE_BRACE)
    if p < 0:
        return p
    return row if seen == 3 and p == len(data) else GIVE_UP
