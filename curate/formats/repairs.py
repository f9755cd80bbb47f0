"""Harmless repairs of segmentations as other programs write them.

A repair changes how a mask is spelled and never which pixels it has. Each kind is said once for a
file, with its count (see :mod:`curate.dataset.notes`); what is left after it is read as any other
value.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable
from typing import Any

from curate.formats.json.json_columns import number_of_text, whole_number

REPAIRS: dict[str, str] = {
    "flat_polygon": "polygons that are no list of rings ([x, y, ...], [[x, y], ...] or "
    "[[[x, y], ...]]) are read as the polygons that they are",
    "stray_ring": "rings of fewer than three points beside good ones are left out",
    "half_point": "rings with an odd count of numbers are read without the last one",
    "empty_last_point": "rings that end in an empty point are read without it",
    "text_numbers": "numbers that are written as text are read as numbers",
    "float_counts": "run lengths and sizes that are written as 3.0 are read as 3",
    "bytes_counts": "run lengths that are Python's print of bytes (\"b'...'\") are read without it",
    "listed_rle": "run lengths inside a list are read as one mask",
    "no_rle_size": "run lengths that state no size have that of their image",
    "text_segmentation": "segmentations that are JSON in a text are read as JSON",
}
"""Kinds of repairs of one segmentation, and what a note says of them."""

FIELD_NOTES: dict[str, str] = {
    "no_id": "annotations without an id are numbered by curate",
    "text_ids": "ids that are text are read: whole numbers as such, others as names",
    "odd_ids": "ids that are neither whole numbers nor text are replaced by numbers of curate",
    "not_finite": "numbers that are NaN or infinite are read as not given",
    "text_numbers": REPAIRS["text_numbers"],
    "float_sizes": "image sizes that are written as 120.0 are read as 120",
    "no_segmentation": "objects that have no segmentation, as files of boxes have them, are for "
    "review",
}
"""Kinds of notes on the fields beside a segmentation, and what a note says of them."""

_DEEPEST = 4
_LONGEST_TEXT = 1 << 22
_SCALARS = {int, float, str, bool, type(None)}
_EMPTY: tuple[Any, ...] = (None, "", [])


def mend(value: object) -> tuple[Any, tuple[str, ...]]:
    """Return a segmentation as it should be spelled, and which repairs that took.

    Returns:
        A list of rings or an RLE object, and kinds of :data:`REPAIRS`; the value itself and none
        where it cannot be mended.
    """
    kinds: dict[str, None] = {}
    made: Any = value
    if type(made) is str:
        made = _try_parse(made)
        if made is None:
            return value, ()
        kinds["text_segmentation"] = None
    if type(made) is list and made and all(type(one) is dict and "counts" in one for one in made):
        if len(made) > 1:
            return value, ()
        made = made[0]
        kinds["listed_rle"] = None
    if type(made) is dict:
        made = _mend_rle(made, kinds)
    elif type(made) is list:
        made = _mend_polygons(made, kinds)
    else:
        made = None
    return (made, tuple(kinds)) if kinds and made is not None else (value, ())


def bytes_of_text(counts: str) -> str | None:
    """Return the counts that Python printed as bytes, or None where it is no such text."""
    found = re.fullmatch(r"b(['\"])([\x30-\x6f]*)\1", counts)
    return None if found is None else found[2].replace("\\\\", "\\")


def _try_parse(text: str) -> Any:
    """Return the JSON in a text, None where there is none."""
    if len(text) > _LONGEST_TEXT or text.lstrip()[:1] not in ("[", "{"):
        return None
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None


def _mend_rle(value: dict[str, object], kinds: dict[str, None]) -> dict[str, object] | None:
    counts, size = value.get("counts"), value.get("size")
    if type(counts) is str:
        plain = bytes_of_text(counts)
        if plain is not None:
            kinds["bytes_counts"] = None
            counts = plain
    elif type(counts) is list:
        counts = _to_whole_numbers(counts, kinds)
    if isinstance(size, list | tuple):
        size = _to_whole_numbers(size, kinds)
    elif size is None:
        kinds["no_rle_size"] = None
    if counts is None or (size is None and "no_rle_size" not in kinds):
        return None
    return {"size": size, "counts": counts}


def _to_whole_numbers(values: Iterable[Any], kinds: dict[str, None]) -> list[int] | None:
    """Return whole numbers, None where some are none."""
    made = []
    for value in values:
        number = whole_number(value)
        if number is None:
            return None
        if type(value) is not int:
            kinds["text_numbers" if type(value) is str else "float_counts"] = None
        made.append(number)
    return made


def _mend_polygons(value: list[Any], kinds: dict[str, None]) -> list[list[float]] | None:
    rings = _rings(value, kinds, 0)
    if rings is None:
        return None
    made: list[list[float]] = []
    for ring in rings:
        numbers = _mend_ring(ring, kinds)
        if numbers is None:
            return None
        made.append(numbers)
    good = [ring for ring in made if len(ring) >= 6]
    if len(good) < len(made):
        kinds["stray_ring"] = None
    return good or None


def _rings(value: list[Any], kinds: dict[str, None], depth: int) -> list[list[Any]] | None:
    """Return the rings in lists however deep, each as a list of numbers, not looked at yet."""
    types = set(map(type, value))
    if types <= _SCALARS:
        kinds |= {"flat_polygon": None} if depth == 0 else {}
        return [value]
    if _are_points(value):
        kinds["flat_polygon"] = None
        return [_join_points(value, kinds)]
    if depth == _DEEPEST:
        return None
    found: list[list[Any]] = []
    for one in value:
        if one is None or one == "":
            found.append([])
            continue
        if type(one) is not list:
            return None
        inner = _rings(one, kinds, depth + 1)
        if inner is None:
            return None
        if set(map(type, one)) - _SCALARS:
            kinds["flat_polygon"] = None
        found += inner
    return found


def _are_points(value: list[Any]) -> bool:
    """Return whether a list is one ring of points, [x, y] or {"x", "y"} each."""
    if set(map(type, value)) <= {dict}:
        return all("x" in one and "y" in one for one in value)
    while value and value[-1] in _EMPTY:
        value = value[:-1]
    return len(value) >= 3 and all(
        type(one) is list and len(one) == 2 and set(map(type, one)) <= _SCALARS for one in value
    )


def _join_points(points: list[Any], kinds: dict[str, None]) -> list[Any]:
    flat: list[Any] = []
    for point in points:
        if point in _EMPTY:
            kinds["empty_last_point"] = None
        else:
            flat += [point["x"], point["y"]] if type(point) is dict else point
    return flat


def _mend_ring(ring: list[Any], kinds: dict[str, None]) -> list[float] | None:
    """Return a ring's numbers in pairs, None where some are none."""
    while ring and (ring[-1] in _EMPTY or (type(ring[-1]) is float and math.isnan(ring[-1]))):
        kinds["empty_last_point"] = None
        ring = ring[:-1]
    made: list[float] = []
    for one in ring:
        number = one if type(one) in (int, float) else number_of_text(one)
        if number is None:
            return None
        if type(one) is str:
            kinds["text_numbers"] = None
        made.append(number)
    if len(made) % 2:
        if len(made) > 6:
            kinds["half_point"] = None
        made = made[:-1]
    return made
