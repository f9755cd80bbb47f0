"""JSON values of one field to arrays: vectorised where all have one type, tolerant elsewhere.

What is not of the right type becomes NaN (or "not given"); nothing here raises.
"""

from __future__ import annotations

import math
import re
from hashlib import blake2b
from itertools import chain
from typing import Any

import numpy as np
import orjson
import pandas as pd
import pyarrow as pa

from curate.common.arrays import BoolArray, FloatArray, IntArray

Columns = dict[str, Any]

_NONE = {type(None)}
_REAL = {int, float}
_LONGEST_NUMBER = 40
_NUMBER = re.compile(r"\s*[-+]?(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?\s*", re.ASCII)
_WHOLE = re.compile(r"0|-?[1-9]\d{0,18}", re.ASCII)


def is_usable_size(heights: IntArray, widths: IntArray) -> BoolArray:
    """Return, a size, whether an image of it can hold masks."""
    largest = 2**31 - 1
    fits = (heights >= 1) & (widths >= 1) & (heights <= largest) & (widths <= largest)
    inside = np.where(fits, heights, 1) * np.where(fits, widths, 1) <= largest
    return fits & inside


def to_floats(values: list[Any]) -> FloatArray | None:
    """Return JSON values as floats, NaN for what is no finite number; None if all are missing."""
    types = set(map(type, values))
    if types <= _NONE:
        return None
    if types <= _REAL | _NONE:
        try:
            array = np.array(values, np.float64)
        except OverflowError:
            return np.array([to_float(value) for value in values])
        array[~np.isfinite(array)] = np.nan
        return array
    return np.array([to_float(value) for value in values])


def to_float(value: Any) -> float:
    """Return a JSON value as a float; NaN for what is no finite number."""
    if type(value) is str:
        value = number_of_text(value)
    if type(value) not in _REAL:
        return math.nan
    try:
        real = float(value)
    except OverflowError:
        return math.nan
    return real if math.isfinite(real) else math.nan


def holds_text(values: list[Any]) -> bool:
    """Return whether some of the values, or of the numbers in lists, are text."""
    types = set(map(type, values))
    if list in types:
        types |= {type(one) for value in values if type(value) is list for one in value}
    return str in types


def to_box_columns(values: list[Any], size: int = 4) -> FloatArray | None:
    """Return lists of ``size`` numbers as ``size`` float arrays, NaN where a value is none.

    A list that is not such a list is NaN as a whole; all missing gives None.
    """
    types = set(map(type, values))
    if types <= _NONE:
        return None
    if types == {list} and set(map(len, values)) == {size}:
        flat = to_floats(list(chain.from_iterable(values)))
        if flat is None:
            return np.full((size, len(values)), np.nan)
        return np.ascontiguousarray(flat.reshape(-1, size).T)
    array = np.full((len(values), size), np.nan)
    for i, value in enumerate(values):
        if type(value) is list and len(value) == size:
            array[i] = [to_float(one) for one in value]
    return np.ascontiguousarray(array.T)


def to_box(value: Any) -> list[float]:
    """Return a JSON value as the four floats of a box; NaN for what is none."""
    if type(value) is list and len(value) == 4:
        return [to_float(one) for one in value]
    return [math.nan] * 4


def first_points(values: list[Any]) -> list[Any]:
    """Return the first of each list of points; a point that stands alone is taken as it is."""
    try:
        return [value[0] if type(value[0]) is list else value for value in values]
    except (TypeError, IndexError, KeyError):
        pass
    firsts: list[Any] = []
    for value in values:
        nested = type(value) is list and len(value) > 0 and type(value[0]) is list
        firsts.append(value[0] if nested else value)
    return firsts


def to_integers(values: list[Any]) -> tuple[IntArray, BoolArray]:
    """Return JSON values as whole numbers, and which are; 42.0 and "42" are, true is not."""
    if set(map(type, values)) == {int}:
        try:
            return np.array(values, np.int64), np.ones(len(values), bool)
        except OverflowError:
            pass
    whole = [whole_number(value) for value in values]
    given = np.array([one is not None for one in whole], bool)
    return np.array([0 if one is None else one for one in whole], np.int64), given


def number_of_text(value: Any) -> float | None:
    """Return the number that a text spells in JSON's way, None where it is no such text.

    >>> number_of_text(" 12.5"), number_of_text("0x1"), number_of_text("nan")
    (12.5, None, None)
    """
    if type(value) is not str or len(value) > _LONGEST_NUMBER or not _NUMBER.fullmatch(value):
        return None
    number = float(value)
    return number if math.isfinite(number) else None


def whole_number(value: Any) -> int | None:
    """Return a JSON value as an int of 64 bits, or None where it is no such number.

    A text is one if it is spelled just as the number is: "42", but not "0042", which may be another
    id than "42".
    """
    if type(value) is str:
        return int(value) if _WHOLE.fullmatch(value) and abs(int(value)) < 2**63 else None
    if type(value) is float and math.isfinite(value) and value == int(value):
        value = int(value)
    return value if type(value) is int and -(2**63) <= value < 2**63 else None


def id_key(value: Any) -> int:
    """Return an id as an int64; what is no whole number gets a stable negative stand-in."""
    number = whole_number(value)
    if number is not None:
        return number
    try:
        written = orjson.dumps(value, option=orjson.OPT_SORT_KEYS)
    except (TypeError, RecursionError):  # a number beyond 64 bits, half a character, deep nesting
        written = (
            repr(type(value)).encode() if isinstance(value, list | dict) else ascii(value).encode()
        )
    return int.from_bytes(blake2b(written, digest_size=8).digest(), "big") % 2**62 - 2**62


def to_small_integers(values: list[Any], limit: int) -> FloatArray | None:
    """Return whole numbers under a limit (booleans count) as floats; None if all are missing."""
    if set(map(type, values)) <= _NONE:
        return None
    whole, given = to_integers([int(v) if type(v) is bool else v for v in values])
    # Not by np.abs: of the lowest 64-bit integer it is that integer.
    return np.where(given & (-limit < whole) & (whole < limit), whole, np.nan)


def unique_ids(ids: IntArray, given: BoolArray, spare: IntArray | None) -> IntArray:
    """Return ids of which none occurs twice.

    Args:
        ids: The source's ids.
        given: Where the source gives one.
        spare: Ids for the others, one a mask; None to number all masks from 0 instead.
    """
    n = len(ids)
    if given.all() and (np.diff(ids) > 0).all():  # as most files have them: nothing to sort
        return ids
    order = np.flatnonzero(given)
    _, first = np.unique(ids[order], return_index=True)
    keeps = np.zeros(n, bool)
    keeps[order[first]] = True
    if keeps.all():
        return ids
    if spare is not None:
        mixed = np.where(keeps, ids, spare)
        if len(np.unique(mixed)) == n:
            return mixed
    return np.arange(n, dtype=np.int64)


def text(value: Any) -> str:
    """Return a JSON value as text that can be written anywhere; "" for null."""
    if value is None:
        return ""
    if type(value) is not str:
        value = str(value)
    return str(value).encode("utf-8", "replace").decode("utf-8")


def extension(array: pa.Array) -> Any:
    """Return an Arrow array as a pandas one, without a copy."""
    return pd.arrays.ArrowExtensionArray(array)


def strings(values: list[str]) -> Any:
    """Return text as a pandas array of the tables' string type."""
    return extension(pa.array(values, pa.large_string()))


def repeat(value: str | None, n: int) -> Any:
    """Return ``n`` times the same text as a pandas array."""
    return extension(pa.repeat(pa.scalar(value, pa.large_string()), n))
