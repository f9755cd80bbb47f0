"""Byte-exact edits of a list in a JSON file: elements removed, changed, appended.

All other bytes stay. The file is read once, and only elements that are asked for cost more than
finding where they end.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from collections.abc import Set as AbstractSet
from itertools import count
from typing import BinaryIO

import numpy as np

from curate.errors import CallError
from curate.formats.json.streaming import Batch

Piece = tuple[int, int, bytes]
"""Bytes [start, end) of a file, and what stands there instead."""

_MAX_SEPARATOR = 1000
_MAX_DIGITS = 18


def ordinals(keys: Iterable[str], prefix: str, what: str = "mask") -> dict[int, str]:
    """Return the numbers behind ``prefix`` in source keys, each with its key.

    Args:
        keys: The source keys.
        prefix: What each of them begins with.
        what: What they name, for the message.

    Raises:
        CallError: A key is not of this source.
    """
    numbers: dict[int, str] = {}
    for key in keys:
        digits = key.removeprefix(prefix)
        plain = digits.isascii() and digits.isdigit() and len(digits) <= _MAX_DIGITS
        if not key.startswith(prefix) or not plain or str(int(digits)) != digits:
            raise CallError(f"{key} names no {what} of it", prefix.partition("#")[0])
        numbers[int(digits)] = key
    return numbers


class Elements:
    """Byte ranges of a list's elements, gathered while the file is scanned.

    Only the elements that are asked for are kept, so that a list of any length costs nothing more.

    Args:
        wanted: Numbers of the elements to find, counted from 0.
        dropped: Numbers of the elements to leave out, which are found as well.
        sample: How many of the first elements to keep.

    Attributes:
        count: How many elements the list has.
        opened: Byte of the list's bracket; -1 as long as there is no list.
        first: Byte at which the first element begins.
        last: Where the last element but one ends, and where the last begins and ends.
        sample: The first elements: where each begins, and its bytes.
    """

    def __init__(
        self,
        wanted: Iterable[int] = (),
        dropped: AbstractSet[int] = frozenset(),
        sample: int = 0,
    ) -> None:
        self.dropped = dropped
        self._first_kept = next(number for number in count() if number not in dropped)
        numbers = {*wanted, *dropped, self._first_kept}
        self._numbers = np.array(sorted(numbers), np.int64)
        self._spans = np.full((len(numbers), 3), -1, np.int64)  # end of the one before, start, end
        self.count, self.opened, self.first = 0, -1, -1
        self.last = (-1, -1, -1)
        self.sample: list[tuple[int, bytes]] = []
        self._sample = sample

    def take(self, batch: Batch) -> None:
        """Take in a batch of the list, in order."""
        n = len(batch)
        if not n:
            self.opened = batch.base
            return
        for start, end in zip(batch.starts, batch.ends, strict=True):
            if len(self.sample) >= self._sample:
                break
            self.sample.append((batch.base + int(start), batch.data[start:end]))
        low, high = np.searchsorted(self._numbers, [self.count, self.count + n])
        rows = self._numbers[low:high] - self.count
        self._spans[low:high, 1] = batch.starts[rows] + batch.base
        self._spans[low:high, 2] = batch.ends[rows] + batch.base
        self._spans[low:high, 0] = batch.ends[rows - 1] + batch.base
        if len(rows) and rows[0] == 0:
            self._spans[low, 0] = self.last[2]
        if not self.count:
            self.first = batch.base + int(batch.starts[0])
        before = batch.base + int(batch.ends[-2]) if n > 1 else self.last[2]
        start, end = (batch.base + int(at[-1]) for at in (batch.starts, batch.ends))
        self.last = (before, start, end)
        self.count += n

    def check(self, numbers: Iterable[int], where: str, what: str = "masks") -> None:
        """Check that the list has elements of these numbers.

        Args:
            numbers: Counted from 0.
            where: Name of the file, for the message.
            what: What the elements are, for the message.

        Raises:
            CallError: It has not.
        """
        missing = max(numbers, default=-1)
        if missing >= self.count:
            what = f"it has {self.count} {what}, and none with the number {missing}"
            raise CallError(what, where)

    def span(self, number: int) -> tuple[int, int]:
        """Return where an element that was asked for begins and ends."""
        row = int(np.searchsorted(self._numbers, number))
        return int(self._spans[row, 1]), int(self._spans[row, 2])

    def cuts(self) -> list[Piece]:
        """Return which bytes to leave out so that the dropped elements and their commas are gone.

        An element goes with the comma before it; those before the first that stays go with the
        comma after them.
        """
        if not self.dropped or not self.count:
            return []
        found: list[Piece] = []
        if self._all_dropped:
            return [(self.first, self.last[2], b"")]
        if self._first_kept:
            found.append((self.first, self.span(self._first_kept)[0], b""))
        later = self._numbers > self._first_kept
        later &= np.isin(self._numbers, np.fromiter(self.dropped, np.int64, len(self.dropped)))
        found += [(before, end, b"") for before, _, end in self._spans[later].tolist()]
        return found

    def appended(self, file: BinaryIO, made: Sequence[bytes]) -> list[Piece]:
        """Return the replacements that append elements to the list.

        What separates the last two elements separates the new ones too.

        Args:
            file: The file that was scanned, open for reading and seeking.
            made: The new elements.
        """
        if not made:
            return []
        separator = b", "
        if self.count > 1:
            separator = read_span(file, *self.last[:2])
        elif self.count:
            separator = b"," + read_span(file, self.opened + 1, self.first)
        if len(separator) > _MAX_SEPARATOR:
            separator = b", "
        text = separator.join(made)
        if not self.count:
            return [(self.opened + 1, self.opened + 1, text)]
        end = self.last[2]
        return [(end, end, text if self._all_dropped else separator + text)]

    @property
    def _all_dropped(self) -> bool:
        return self._first_kept >= self.count


def read_span(file: BinaryIO, start: int, end: int) -> bytes:
    """Return the bytes from ``start`` to ``end`` of a file."""
    file.seek(start)
    return file.read(end - start)


def splice_bytes(data: bytes, pieces: Iterable[Piece]) -> bytes:
    """Return bytes with some of them replaced.

    Args:
        data: The bytes.
        pieces: What stands where instead, in order, not overlapping.
    """
    kept: list[bytes] = []
    at = 0
    for start, end, instead in pieces:
        kept += (data[at:start], instead)
        at = end
    return b"".join((*kept, data[at:]))
