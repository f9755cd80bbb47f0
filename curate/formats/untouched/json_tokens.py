"""JSON cut into its members and elements as raw bytes, by regular expressions, as a stream."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import BinaryIO, NamedTuple

_BLOCK = 1 << 20
_STRING = rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"'
_BOM = b"\xef\xbb\xbf"


def _nested_pattern(depth: int) -> bytes:
    inner = rb"" if depth == 0 else b"|" + _nested_pattern(depth - 1)
    return rb'[\[{](?:[^\[\]{}"]++|' + _STRING + inner + rb")*+[\]}]"


_VALUE = re.compile(
    rb"(?:" + _nested_pattern(4) + b"|" + _STRING + rb'|[^\s,:\[\]{}"]++)', re.DOTALL
)
_MARKS = re.compile(_STRING + rb'|[\[\]{}"]', re.DOTALL)  # what can open or close something
_BLANK = re.compile(rb"[ \t\r\n]*+")


class Token(NamedTuple):
    """A piece of a document.

    Attributes:
        kind: "value" of a key, "list" where the value of a key is a list, each "element" of it, and
            its "end".
        key: The key of the outermost object, unescaped; "" where the document is a list.
        text: The bytes of a value or an element; of a list those of its key.
    """

    kind: str
    key: str
    text: bytes


class _Window:
    """A file of which only what is needed is in memory.

    Attributes:
        data: Some bytes of the file.
        at: Where in them the next piece begins.
    """

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self.data, self.at, self.is_whole = b"", 0, False
        self.more()
        self.has_bom = self.data.startswith(_BOM)
        self.at = len(_BOM) if self.has_bom else 0

    def more(self) -> None:
        """Read on, and forget what is done."""
        left = self.data[self.at :]
        block = self._file.read(max(_BLOCK, len(left)))
        self.data, self.at, self.is_whole = left + block, 0, not block

    def peek(self) -> bytes:
        """Return the next character that is no blank, b"" at the end of the file."""
        while True:
            found = _BLANK.match(self.data, self.at)
            self.at = found.end() if found else self.at
            if self.at < len(self.data) or self.is_whole:
                return self.data[self.at : self.at + 1]
            self.more()

    def take(self) -> bytes:
        """Take one character, or a value as a whole.

        Raises:
            ValueError: There is no value.
        """
        if self.peek() in (b",", b":", b"]", b"}", b""):
            raise ValueError("no value stands there")
        found = _VALUE.match(self.data, self.at)
        while found and found.end() == len(self.data) and not self.is_whole:  # it may go on
            self.more()
            found = _VALUE.match(self.data, self.at)
        end = found.end() if found else self._end_of_deep()
        text = self.data[self.at : end]
        self.at = end
        return text

    def skip(self, mark: bytes) -> bool:
        """Go over a character if it comes next; say whether it did."""
        if self.peek() != mark:
            return False
        self.at += 1
        return True

    def _end_of_deep(self) -> int:
        """Return where a value ends that is cut off in the window, or nested deeply."""
        depth, place = 0, 0
        while True:
            for found in _MARKS.finditer(self.data, self.at + place):
                mark = found[0]
                if mark == b'"':  # a string that ends further on
                    break
                place = found.end() - self.at
                depth += (mark in (b"[", b"{")) - (mark in (b"]", b"}"))
                if depth == 0:
                    return self.at + place
            else:
                place = len(self.data) - self.at
            if self.is_whole:
                raise ValueError("a value does not end")
            self.more()


def tokens(file: BinaryIO) -> Iterator[Token]:
    """Yield the pieces of a document in order: members of an object, elements of lists in it.

    Args:
        file: A JSON file that another parser has found to be sound.

    Raises:
        ValueError: It is not.
    """
    window = _Window(file)
    if window.has_bom:
        yield Token("value", "", _BOM)
    if window.peek() == b"[":
        yield from _elements(window, "", b"")
        return
    if not window.skip(b"{"):
        raise ValueError("it is neither an object nor a list")
    while not window.skip(b"}"):
        name = window.take()
        key = str(json.loads(name))
        if not window.skip(b":"):
            raise ValueError("a key has no value")
        if window.peek() == b"[":
            yield from _elements(window, key, name)
        else:
            yield Token("value", key, name + b":" + window.take())
        window.skip(b",")


def _elements(window: _Window, key: str, name: bytes) -> Iterator[Token]:
    yield Token("list", key, name)
    window.skip(b"[")
    while not window.skip(b"]"):
        yield Token("element", key, window.take())
        window.skip(b",")
    yield Token("end", key, b"")


def members(text: bytes) -> list[tuple[str, bytes]]:
    """Return the names and the raw values of an object's text, in order; none of anything else."""
    window = _Piece(text)
    found: list[tuple[str, bytes]] = []
    if not window.skip(b"{"):
        return found
    while not window.skip(b"}"):
        name = str(json.loads(window.take()))
        window.skip(b":")
        found.append((name, window.take()))
        window.skip(b",")
    return found


def elements(text: bytes) -> list[bytes] | None:
    """Return the raw elements of a list's text; None where it is no list."""
    window = _Piece(text)
    if not window.skip(b"["):
        return None
    found: list[bytes] = []
    while not window.skip(b"]"):
        found.append(window.take())
        window.skip(b",")
    return found


class _Piece(_Window):
    """Text that is in memory as a whole."""

    def __init__(self, text: bytes) -> None:
        self.data, self.at, self.is_whole, self.has_bom = text, 0, True, False
