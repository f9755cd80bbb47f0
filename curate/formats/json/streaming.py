"""Streaming JSON reader: elements of the top-level lists of a file of any size, in bounded memory.

A compiled state machine (:func:`_walk`) goes over the bytes once. It knows two levels only: the
keys of the outer object and the elements of their lists. What lies deeper is skipped by counting
brackets outside of strings. It emits events (key, whole value, list element, list opened), each
with its place in the file; elements side by side make a :class:`Batch`, which is parsed by orjson
at a time, and by the tolerant parser where that refuses.

Invariants:

- The state between two bytes is six integers, so a chunk may end anywhere: in an escape, a number
  or a name. Places count from the start of the file, never from the start of a chunk.
- The walk checks the outer grammar itself (commas, colons, what follows the end). It does not look
  for mistakes inside an element, which the parser finds: an element is only ever cut where its
  brackets balance, and so a mistake in one cannot hide that of another.
- Bytes are kept from the beginning of the unfinished token on, and only if its key is wanted.

Time is linear: each byte is walked over once. A token longer than a chunk doubles what is read
next, so that the copies of what is held add up to no more than twice its length. Memory is a chunk
and the largest wanted element, at most :data:`MAX_ELEMENT_BYTES`. Grammar: RFC 8259; NaN and
Infinity are taken too, as Python's own writer leaves them.
"""

# ruff: noqa: SIM109 - in compiled loops, `in` a tuple is a loop of its own

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from typing import Any, BinaryIO

import numpy as np
import orjson

from curate.common.arrays import ByteArray, IntArray
from curate.errors import SourceError
from curate.formats.json.invalid_json import cause_of, loads, looks_latin
from curate.rle.runs import kernel

TAB, NEWLINE, RETURN, SPACE = 9, 10, 13, 32
QUOTE, BACKSLASH, COMMA, COLON = 34, 92, 44, 58
OPEN_BRACKET, CLOSE_BRACKET, OPEN_BRACE, CLOSE_BRACE = 91, 93, 123, 125
MINUS, PLUS, POINT, ZERO, ONE, NINE = 45, 43, 46, 48, 49, 57
UPPER_E, LOWER_E = 69, 101
LAST_PLAIN = 126
"""The last printable character of ASCII; what is under :data:`SPACE` is a control character."""

EMPTY_KEY = '""'
"""The name in batches of a key without a character: "" is that of a file which is one list."""

CHUNK_BYTES = 1 << 22
"""How much is read at a time."""

MAX_ELEMENT_BYTES = 1 << 28
"""Largest single element that is held in memory."""

_EVENTS = 1 << 15
_BOM = b"\xef\xbb\xbf"

# The state between two bytes: what comes next, depth of brackets within the value at hand, whether
# a backslash came last, where the token began, whether we are in a list of the outer object, and
# whether the whole document is a list.
_MODE, _DEPTH, _ESCAPED, _TOKEN, _IN_LIST, _ROOT_LIST = range(6)
_STATE_CELLS = 6

# Modes.
_START, _FIRST_KEY, _NEXT_KEY, _IN_KEY, _BEFORE_COLON, _VALUE, _AFTER_VALUE = range(7)
_FIRST_ELEMENT, _NEXT_ELEMENT, _AFTER_ELEMENT, _NESTED, _NESTED_STRING = range(7, 12)
_STRING, _SCALAR, _END = range(12, 15)

# Events: columns, and kinds.
_KIND, _BEGIN, _STOP = range(3)
_EVENT_COLUMNS = 3
_KEY, _KEY_VALUE, _ELEMENT, _LIST = range(4)

_EXPECTED = {
    _START: "it is neither a JSON object nor a JSON list",
    _FIRST_KEY: "the JSON is broken: expected a key or } here",
    _NEXT_KEY: "the JSON is broken: expected a key here",
    _BEFORE_COLON: "the JSON is broken: expected a colon here",
    _VALUE: "the JSON is broken: expected a value here",
    _AFTER_VALUE: "the JSON is broken: expected a comma or } here",
    _FIRST_ELEMENT: "the JSON is broken: expected a value or ] here",
    _NEXT_ELEMENT: "the JSON is broken: expected a value here",
    _AFTER_ELEMENT: "the JSON is broken: expected a comma or ] here",
    _END: "something follows the end of the JSON",
}


@dataclass(frozen=True)
class Batch:
    """Values that stand next to each other in a file.

    Attributes:
        key: The top-level key under which they stand; empty for a file that is one list.
        is_list: Whether they are elements of the key's list; otherwise one whole value.
        data: Bytes that hold them.
        base: Position of ``data`` in the file; of the bracket where a list was only opened.
        starts: Position of each value in ``data``; none where a list was only opened.
        ends: End of each value in ``data``, exclusive.
    """

    key: str
    is_list: bool
    data: bytes
    base: int
    starts: IntArray
    ends: IntArray

    def __len__(self) -> int:
        return len(self.starts)

    def as_list(self) -> bytes:
        """Return the values as one JSON list; only commas stand between them in the file."""
        return b"[" + self.data[int(self.starts[0]) : int(self.ends[-1])] + b"]"

    def slices(self) -> list[bytes]:
        """Return the bytes of each value."""
        pairs = zip(self.starts.tolist(), self.ends.tolist(), strict=True)
        return [self.data[i:j] for i, j in pairs]

    def parse(self, where: str) -> list[Any]:
        """Return the values, parsed.

        Raises:
            SourceError: One of them is not JSON; says at which byte.
        """
        if not len(self):
            return []
        try:
            values = orjson.loads(self.as_list())
            if len(values) == len(self):
                return list(values)
        except orjson.JSONDecodeError:
            pass
        return parse_each(self.slices(), (self.starts + self.base).tolist(), where)


def parse_each(pieces: list[bytes], positions: list[int], where: str) -> list[Any]:
    """Parse values one by one, taking NaN and Infinity, as Python's own writer leaves them.

    Args:
        pieces: The bytes of each value.
        positions: Where each begins in the file, for the message.
        where: Name of the file, for the message.

    Raises:
        SourceError: One of them is not JSON; says at which byte.
    """
    return [parse_one(piece, at, where) for piece, at in zip(pieces, positions, strict=True)]


def parse_one(piece: bytes, at: int, where: str) -> Any:
    """Parse one value that begins at byte ``at`` of ``where``; see :func:`parse_each`."""
    try:
        return orjson.loads(piece)
    except orjson.JSONDecodeError:
        pass
    try:
        return loads(piece.decode("utf-8"))
    except UnicodeDecodeError as error:
        place = f"{where}, byte {at + error.start}"
        letter = looks_latin(piece[error.start])
        meant = f" (it looks like Latin-1: {letter})" if letter else ""
        raise SourceError(f"the text is not UTF-8{meant}", place, "save it as UTF-8") from error
    except RecursionError as error:
        raise SourceError("the JSON is nested too deeply", f"{where}, byte {at}") from error
    except json.JSONDecodeError as error:
        position = at + len(piece.decode("utf-8")[: error.pos].encode("utf-8"))
        if error.pos >= len(piece.decode("utf-8").rstrip()):
            raise cut_off(where, at + len(piece)) from error
        text = error.doc[max(0, error.pos - _NEAR) : error.pos + _NEAR].encode("utf-8")
        split = len(error.doc[max(0, error.pos - _NEAR) : error.pos].encode("utf-8"))
        what = f"the JSON is broken ({error.msg[:1].lower()}{error.msg[1:]})"
        what, do = cause_of(text[:split], text[split:], False) or (what, _MEND)
        raise SourceError(what, f"{where}, byte {position}", do) from error
    except ValueError as error:  # a whole number of thousands of digits
        raise SourceError("a number is too long", f"{where}, byte {at}") from error


def parse_document(data: bytes, where: str) -> Any:
    """Parse a whole JSON file that is held in memory.

    Args:
        data: Its bytes; may begin with a byte order mark.
        where: Its name, for the message.

    Raises:
        SourceError: It is empty, cut off or otherwise not JSON; says at which byte.
    """
    skip = len(_BOM) if data.startswith(_BOM) else 0
    if not data[skip:].strip():
        raise SourceError("the file is empty", where)
    _refuse_wide(data, where)
    try:
        return parse_one(data[skip:] if skip else data, skip, where)
    except SourceError:
        for _ in scan(io.BytesIO(data), where, frozenset()):  # knows a cut from a mistake
            pass
        raise


def cut_off(where: str, at: int) -> SourceError:
    """Return the error for JSON that ends before it is complete."""
    return SourceError("the JSON is cut off", f"{where}, byte {at}", "get the file again")


def scan(
    file: BinaryIO, where: str, wanted: AbstractSet[str] | None = None, chunk: int = CHUNK_BYTES
) -> Iterator[Batch]:
    """Walk over a JSON file and yield the values under its top-level keys, in file order.

    Memory is bounded by the chunk and by the largest wanted element, not by the file.

    Args:
        file: The file, open for reading bytes; read from where it stands, which counts as byte 0.
        where: Its name, for messages.
        wanted: Keys whose values are yielded (a file that is one list has the key ""); None for
            all. What stands under other keys is skipped and never held.
        chunk: How many bytes to read at a time.

    Yields:
        A batch for each wanted value; for lists one without values when it opens, then its
        elements, some at a time.

    Raises:
        SourceError: The JSON is empty, cut off or broken in its outer grammar, an element is larger
            than :data:`MAX_ELEMENT_BYTES`, or a wanted key occurs twice. Says at which byte.
    """
    walk = _Walk(where, wanted)
    held, base = b"", 0
    while True:
        fresh = file.read(max(chunk, len(held), 4))  # 4: a byte order mark must not be split
        if not fresh:
            break
        buffer = held + fresh if held else fresh
        if base == 0 and not held:
            _refuse_wide(buffer, where)
        yield from walk.over(buffer, base, base + len(held))
        keep = walk.keep_from(base + len(buffer))
        held, base = buffer[keep - base :], keep
        if len(held) > MAX_ELEMENT_BYTES:
            size = f"{MAX_ELEMENT_BYTES >> 20} MB"
            raise SourceError(f"one element is larger than {size}", f"{where}, byte {base}")
    walk.finish(base + len(held))


class _Walk:
    """The state machine with the names of the keys it has passed."""

    def __init__(self, where: str, wanted: AbstractSet[str] | None) -> None:
        self.where, self.wanted = where, wanted
        self.state = np.zeros(_STATE_CELLS, np.int64)
        self.events = np.empty((_EVENTS, _EVENT_COLUMNS), np.int64)
        self.key, self.seen = "", set[str]()

    def is_wanted(self) -> bool:
        """Return whether values under the present key are asked for."""
        return self.wanted is None or self.key in self.wanted

    def over(self, buffer: bytes, base: int, position: int) -> Iterator[Batch]:
        """Walk from ``position`` to the end of a buffer that begins at ``base`` of the file."""
        data = np.frombuffer(buffer, np.uint8)
        at = position - base
        if position == 0 and buffer.startswith(_BOM):
            at = len(_BOM)
        while at < len(data):
            at, count, ok = _walk(data, at, base, self.state, self.events)
            yield from self._batches(buffer, base, self.events[:count])
            if not ok:
                mode = int(self.state[_MODE])
                near = buffer[max(0, at - _NEAR) : at], buffer[at : at + _NEAR]
                what, do = cause_of(*near, mode == _END) or (_EXPECTED[mode], _MEND)
                raise SourceError(what, f"{self.where}, byte {base + at}", do)

    def keep_from(self, end: int) -> int:
        """Return from which byte of the file on the buffer is still needed."""
        mode = int(self.state[_MODE])
        inside = mode == _IN_KEY or (mode in _INSIDE and self.is_wanted())
        return int(self.state[_TOKEN]) if inside else end

    def finish(self, size: int) -> None:
        """Check that the file ended where its JSON did."""
        mode = int(self.state[_MODE])
        if mode == _END:
            return
        if mode == _START:
            raise SourceError("the file is empty", self.where)
        raise cut_off(self.where, size)

    def _batches(self, buffer: bytes, base: int, events: IntArray) -> Iterator[Batch]:
        kinds = events[:, _KIND]
        turns = np.flatnonzero(kinds != _ELEMENT)
        first = 0
        for turn in [*turns.tolist(), len(events)]:
            if turn > first and self.is_wanted():
                yield self._batch(buffer, base, events[first:turn], True)
            first = turn + 1
            if turn == len(events):
                return
            kind, start, end = (int(v) for v in events[turn])
            if kind == _KEY:
                self._enter(buffer[start - base : end - base], start)
            elif self.is_wanted() and kind == _LIST:
                nothing = np.zeros(0, np.int64)
                yield Batch(self.key, True, b"[", start, nothing, nothing)
            elif self.is_wanted():
                yield self._batch(buffer, base, events[turn : turn + 1], False)

    def _batch(self, buffer: bytes, base: int, rows: IntArray, is_list: bool) -> Batch:
        starts, ends = rows[:, _BEGIN] - base, rows[:, _STOP] - base
        return Batch(self.key, is_list, buffer, base, starts, ends)

    def _enter(self, name: bytes, at: int) -> None:
        key = parse_one(name, at, self.where)
        self.key = str(key) or EMPTY_KEY
        if self.key in self.seen and self.is_wanted():
            raise SourceError(f"the key {self.key} occurs twice", f"{self.where}, byte {at}")
        if self.is_wanted():
            self.seen.add(self.key)


def _refuse_wide(data: bytes, where: str) -> None:
    if data[:2] in (b"\xff\xfe", b"\xfe\xff") or b"\x00" in data[:4]:
        raise SourceError("the text is not UTF-8 (it looks like UTF-16)", where, "save it as UTF-8")


_MEND = "mend it or get the file again"
_NEAR = 40
"""How many bytes, or characters, around a fault are looked at for its cause."""
_INSIDE = (_NESTED, _NESTED_STRING, _STRING, _SCALAR)


@kernel
def _walk(
    data: ByteArray, at: int, base: int, state: IntArray, events: IntArray
) -> tuple[int, int, bool]:
    """Walk on until the data or the room for events ends, or the grammar breaks.

    One function, with the state in local variables: kept in an array, it would be loaded and stored
    for every byte. The modes that most bytes are spent in (nested values, strings) come first and
    have loops of their own.

    Args:
        data: Shape (n,): the bytes at hand.
        at: Where in ``data`` to go on.
        base: Position of ``data`` in the file.
        state: Shape (6,), changed in place; see ``_MODE`` and what follows it.
        events: Shape (room, 3), filled from its front: kind, begin and end (exclusive) in the file.

    Returns:
        Where the walk stands in ``data``, how many events there are, and whether the grammar holds
        so far.
    """
    mode, depth, escaped, token = state[_MODE], state[_DEPTH], state[_ESCAPED], state[_TOKEN]
    in_list, root_list = state[_IN_LIST], state[_ROOT_LIST]
    n, room = len(data), len(events)
    count = 0
    ok = True
    p = at
    while p < n and count < room:
        if mode == _NESTED:
            while p < n:
                c = data[p]
                p += 1
                if c == QUOTE:
                    mode = _NESTED_STRING
                    break
                if c >= OPEN_BRACKET:  # the four brackets are beyond most of what stands here
                    if c == OPEN_BRACE or c == OPEN_BRACKET:
                        depth += 1
                    elif c == CLOSE_BRACE or c == CLOSE_BRACKET:
                        depth -= 1
                        if depth == 0:
                            events[count, _KIND] = _ELEMENT if in_list else _KEY_VALUE
                            events[count, _BEGIN] = token
                            events[count, _STOP] = base + p
                            count += 1
                            mode = _AFTER_ELEMENT if in_list else _AFTER_VALUE
                            break
            continue
        if mode in (_NESTED_STRING, _STRING, _IN_KEY):
            if escaped:  # whatever follows a backslash ends no string; \uXXXX holds no quote
                escaped = 0
                p += 1
            while p < n and data[p] != QUOTE and data[p] != BACKSLASH:
                p += 1
            if p == n:
                continue
            if data[p] == BACKSLASH:
                escaped = 1
                p += 1
                continue
            p += 1
            if mode == _NESTED_STRING:
                mode = _NESTED
                continue
            if mode == _IN_KEY:
                events[count, _KIND] = _KEY
                mode = _BEFORE_COLON
            elif in_list:
                events[count, _KIND] = _ELEMENT
                mode = _AFTER_ELEMENT
            else:
                events[count, _KIND] = _KEY_VALUE
                mode = _AFTER_VALUE
            events[count, _BEGIN] = token
            events[count, _STOP] = base + p
            count += 1
            continue
        c = data[p]
        space = c == SPACE or c == NEWLINE or c == RETURN or c == TAB
        if mode == _SCALAR:
            if not (space or c == COMMA or c == CLOSE_BRACKET or c == CLOSE_BRACE):
                p += 1
                continue
            # A number has no end of its own: the byte behind it stays, for the next mode.
            events[count, _KIND] = _ELEMENT if in_list else _KEY_VALUE
            events[count, _BEGIN] = token
            events[count, _STOP] = base + p
            count += 1
            mode = _AFTER_ELEMENT if in_list else _AFTER_VALUE
            continue
        if space:
            p += 1
            continue
        if mode in (_VALUE, _FIRST_ELEMENT, _NEXT_ELEMENT):
            token = base + p
            if c == OPEN_BRACKET and mode == _VALUE:
                events[count, _KIND] = _LIST
                events[count, _BEGIN] = token
                events[count, _STOP] = token
                count += 1
                in_list = 1
                mode = _FIRST_ELEMENT
            elif c == CLOSE_BRACKET and mode == _FIRST_ELEMENT:
                in_list = 0
                mode = _END if root_list else _AFTER_VALUE
            elif c == OPEN_BRACE or c == OPEN_BRACKET:
                depth = 1
                mode = _NESTED
            elif c == QUOTE:
                mode = _STRING
            elif c == COMMA or c == COLON or c == CLOSE_BRACKET or c == CLOSE_BRACE:
                ok = False
                break
            else:
                mode = _SCALAR
        elif mode == _AFTER_ELEMENT:
            if c == COMMA:
                mode = _NEXT_ELEMENT
            elif c == CLOSE_BRACKET:
                in_list = 0
                mode = _END if root_list else _AFTER_VALUE
            else:
                ok = False
                break
        elif mode == _AFTER_VALUE:
            if c == COMMA:
                mode = _NEXT_KEY
            elif c == CLOSE_BRACE:
                mode = _END
            else:
                ok = False
                break
        elif mode in (_FIRST_KEY, _NEXT_KEY):
            if c == QUOTE:
                token = base + p
                mode = _IN_KEY
            elif c == CLOSE_BRACE and mode == _FIRST_KEY:
                mode = _END
            else:
                ok = False
                break
        elif mode == _BEFORE_COLON:
            if c != COLON:
                ok = False
                break
            mode = _VALUE
        elif mode == _START:
            if c == OPEN_BRACE:
                mode = _FIRST_KEY
            elif c == OPEN_BRACKET:
                events[count, _KIND] = _LIST
                events[count, _BEGIN] = base + p
                events[count, _STOP] = base + p
                count += 1
                in_list = 1
                root_list = 1
                mode = _FIRST_ELEMENT
            else:
                ok = False
                break
        else:
            ok = False
            break
        p += 1
    state[_MODE], state[_DEPTH], state[_ESCAPED], state[_TOKEN] = mode, depth, escaped, token
    state[_IN_LIST], state[_ROOT_LIST] = in_list, root_list
    return p, count, ok
