"""Byte-exact edits of JSON: elements of a list and values of an object, all else as it was.

A file is read once, and only elements of the list that are asked for cost more than finding where
they end.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from functools import cached_property
from itertools import count
from typing import Any, BinaryIO, NamedTuple

import numpy as np

from curate.errors import CallError, SourceError
from curate.formats.json.streaming import Batch, parse_one

Piece = tuple[int, int, bytes]
"""Bytes [start, end) of a file, and what stands there instead."""

_MAX_SEPARATOR = 1000
_MAX_DIGITS = 18

_EMPTY = re.compile(r"\{[ \t\n\r]*\}")
_NAME = re.compile(r'[ \t\n\r]*("(?:[^"\\\x00-\x1f]|\\.)*")[ \t\n\r]*:[ \t\n\r]*')
_FOLLOWS = re.compile(r"[ \t\n\r]*([,}])")
_DECODER = json.JSONDecoder()
_LONGEST = 200


def ordinals(keys: Iterable[str], prefix: str, what: str = "mask") -> dict[int, str]:
    """Return the numbers behind ``prefix`` in source keys, each with its key.

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
        self, wanted: Iterable[int] = (), dropped: AbstractSet[int] = frozenset(), sample: int = 0
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
        """Check that the list has elements of these numbers, counted from 0.

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

    def append_elements(self, file: BinaryIO, made: Sequence[bytes]) -> list[Piece]:
        """Return the replacements that append elements to the list.

        What separates the last two elements separates the new ones too.
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


class JsonMember(NamedTuple):
    """A name and a value of an object.

    Attributes:
        key: Where the name begins in the text, with its quote.
        colon: Where the name ends.
        start: Where the value begins.
        end: Where the value ends.
        value: The value, parsed.
    """

    key: int
    colon: int
    start: int
    end: int
    value: Any


@dataclass(frozen=True)
class Style:
    """Punctuation and blanks between the names and values of an object.

    Attributes:
        lead: Between the brace and the first name.
        between: Between two members, with the comma.
        colon: Between a name and its value.
        tail: Between the last value and the brace.
    """

    lead: str = ""
    between: str = ", "
    colon: str = ": "
    tail: str = ""

    def value(self, value: Any) -> str:
        """Return a value as JSON on one line, as densely as its surroundings."""
        comma, colon = (", ", ": ") if self.colon[-1:].isspace() else (",", ":")
        return json.dumps(value, separators=(comma, colon))

    def member(self, name: str, literal: str) -> str:
        """Return a name and a value that is JSON already."""
        return json.dumps(name) + self.colon + literal

    def object(self, literals: Mapping[str, str]) -> str:
        """Return an object of values that are JSON already."""
        members = (self.member(name, literal) for name, literal in literals.items())
        return "{" + self.lead + self.between.join(members) + self.tail + "}"


class JsonObject:
    """An object's text and its members.

    Args:
        data: The object's bytes, without anything around it.
        at: Byte of the file at which it begins, for messages.
        where: Name of the file, for messages.

    Attributes:
        members: By name; of a name that occurs twice the last, which is what parsers return.

    Raises:
        SourceError: It is not a JSON object; says at which byte.
    """

    def __init__(self, data: bytes, at: int = 0, where: str = "") -> None:
        try:
            self._text = data.decode("utf-8")
            self._listed = _members(self._text)
        except (ValueError, RecursionError) as error:
            parse_one(data, at, where)  # says better what is wrong, and where
            raise SourceError("the JSON is no object", f"{where}, byte {at}") from error
        self.members = dict(self._listed)
        self._literals: dict[str, str] = {}

    @property
    def repeated(self) -> str | None:
        """The first name that occurs twice; None where none does."""
        seen: set[str] = set()
        for name, _ in self._listed:
            if name in seen:
                return name
            seen.add(name)
        return None

    @cached_property
    def style(self) -> Style:
        """Style in which the object is written."""
        if not self._listed:
            return Style()
        text, first, last = self._text, self._listed[0][1], self._listed[-1][1]
        colon = text[first.colon : first.start]
        between = ", " if colon[-1:].isspace() else ","
        if len(self._listed) > 1:
            between = text[first.end : self._listed[1][1].key]
        lead, tail = text[1 : first.key], text[last.end : -1]
        if max(map(len, (lead, between, colon, tail))) > _LONGEST:
            return Style()
        return Style(lead, between, colon, tail)

    def get(self, name: str) -> Any:
        """Return the value of a name as it was read; None where there is none."""
        member = self.members.get(name)
        return None if member is None else member.value

    def literal(self, name: str) -> str:
        """Return a value as it stands in the text, or as it was set.

        Raises:
            KeyError: There is no such name.
        """
        if name in self._literals:
            return self._literals[name]
        member = self.members[name]
        return self._text[member.start : member.end]

    def set(self, name: str, literal: str) -> None:
        """Replace the value of a name, or add the name at the end."""
        self._literals[name] = literal

    def text(self) -> str:
        """Return the object with what was set."""
        style, parts, at = self.style, [], 0
        replaced = [name for name in self._literals if name in self.members]
        for name in sorted(replaced, key=lambda name: self.members[name].start):
            member = self.members[name]
            parts += [self._text[at : member.start], self._literals[name]]
            at = member.end
        added = {name: text for name, text in self._literals.items() if name not in self.members}
        if added and not self._listed:
            return style.object(added)
        if added:
            end = self._listed[-1][1].end
            parts.append(self._text[at:end])
            at = end
            parts += [style.between + style.member(*pair) for pair in added.items()]
        return "".join((*parts, self._text[at:]))


def _members(text: str) -> list[tuple[str, JsonMember]]:
    """Return the members of an object in order.

    Raises:
        ValueError, RecursionError: The text is no object.
    """
    found: list[tuple[str, JsonMember]] = []
    if _EMPTY.fullmatch(text):
        return found
    at, mark = 1, "," if text.startswith("{") else ""
    while mark == ",":
        name = _NAME.match(text, at)
        if name is None:
            raise ValueError(f"no name at {at}")
        key, colon = name.span(1)
        start = name.end()
        value, end = _DECODER.raw_decode(text, start)
        plain = text[key + 1 : colon - 1]
        if "\\" in plain:
            plain = json.loads(name[1])
        found.append((plain, JsonMember(key, colon, start, end, value)))
        follows = _FOLLOWS.match(text, end)
        at, mark = (end, "") if follows is None else (follows.end(), follows[1])
    if mark != "}" or at != len(text):
        raise ValueError(f"no comma or brace at {at}")
    return found
