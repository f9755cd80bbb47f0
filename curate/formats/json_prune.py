"""Take elements out of a list in a JSON file and leave every other byte as it is."""

from __future__ import annotations

from collections.abc import Set as AbstractSet
from typing import BinaryIO

from curate.errors import CallError
from curate.formats.json_stream import scan

_COPY_BYTES = 1 << 20

Cut = tuple[int, int]


def ordinals(keys: AbstractSet[str], prefix: str) -> set[int]:
    """Return the numbers behind ``prefix`` in source keys.

    Raises:
        CallError: A key is not of this source.
    """
    numbers = set[int]()
    for key in keys:
        number = key.removeprefix(prefix)
        if not key.startswith(prefix) or not (number.isascii() and number.isdigit()):
            raise CallError(f"{key} names no mask of it", prefix.partition("#")[0])
        numbers.add(int(number))
    return numbers


def cuts(file: BinaryIO, where: str, key: str, drop: AbstractSet[int]) -> list[Cut]:
    """Find which bytes to leave out so that some elements of a list, and their commas, are gone.

    Args:
        file: The JSON file, at its beginning.
        where: Its name, for messages.
        key: The top-level key of the list; "" where the file itself is the list.
        drop: Numbers of the elements to leave out, counted from 0.

    Returns:
        Stretches [start, end) of the file, in order, apart from each other.

    Raises:
        CallError: The list has no such element.
        SourceError: The file is not sound JSON.
    """
    found: list[Cut] = []
    number, left, last_end, kept = 0, len(drop), -1, False
    leading = -1  # where the dropped elements before the first kept one begin
    for batch in scan(file, where, frozenset({key})) if drop else ():
        if not batch.is_list:
            break
        starts, ends = (batch.starts + batch.base).tolist(), (batch.ends + batch.base).tolist()
        for start, end in zip(starts, ends, strict=True):
            dropped = number in drop
            left -= dropped
            if dropped and kept:
                found.append((last_end, end))
            elif dropped and leading < 0:
                leading = start
            elif not dropped and not kept:
                kept = True
                if leading >= 0:
                    found.append((leading, start))
            number, last_end = number + 1, end
    if left:
        missing = sorted(drop)[-1]
        raise CallError(f"it has {number} masks, and none with the number {missing}", where)
    if leading >= 0 and not kept:
        found.append((leading, last_end))
    return found


def copy_without(source: BinaryIO, target: BinaryIO, left_out: list[Cut]) -> None:
    """Copy a file from where it stands, without some stretches of it."""
    position = 0
    for start, end in left_out:
        if start > position:
            source.seek(position)
            _copy(source, target, start - position)
        position = end
    source.seek(position)
    _copy(source, target, None)


def _copy(source: BinaryIO, target: BinaryIO, size: int | None) -> None:
    while size is None or size > 0:
        data = source.read(_COPY_BYTES if size is None else min(size, _COPY_BYTES))
        if not data:
            return
        target.write(data)
        size = None if size is None else size - len(data)
