"""JSON files in whose lists records go, change and come: COCO, LVIS, results, SA-1B, amg.py."""

from __future__ import annotations

import io
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO, NamedTuple

from curate.formats.edits import Change, Edits
from curate.formats.untouched.tree_check import as_key

_FOLLOWS_PIXELS = frozenset({"segmentation", "bbox", "area"})


@dataclass
class ListEdits:
    """Differences that are allowed in one list.

    Attributes:
        drop: Numbers of elements that go, from 0.
        change: Changes of elements by number.
        most: How many elements come at the end at most.
        least: How many come at least.
        names: Names that new elements may have; None for any.
    """

    drop: set[int] = field(default_factory=set)
    change: dict[int, Change] = field(default_factory=dict)
    most: int = 0
    least: int = 0
    names: frozenset[str] | None = None


def edits_by_list(edits: Edits, mark: str) -> dict[str, ListEdits]:
    """Group edits by the list in which a mask stands: what its key has before a mark and a number.

    Args:
        edits: All edits; keys without such a mark and what is added are passed over.
        mark: What stands between the list and the number.
    """
    found: dict[str, ListEdits] = {}
    for key in edits.drop:
        name, inside, number = key.rpartition(mark)
        if inside and number.isdecimal():
            found.setdefault(name, ListEdits()).drop.add(int(number))
    for key, change in edits.change.items():
        name, inside, number = key.rpartition(mark)
        if inside and number.isdecimal():
            found.setdefault(name, ListEdits()).change[int(number)] = change
    return found


def add_to(lists: dict[str, ListEdits], name: str) -> None:
    """Note that one mask is added to a list."""
    mine = lists.setdefault(name, ListEdits())
    mine.most = mine.least = mine.most + 1


def check_coco(source: Path, written: Path, edits: Edits) -> str:
    """Compare two COCO files, or results lists, in all that no edit names."""
    name = as_key(source.name)
    lists = {
        "": edits_by_list(edits, "#/").get(name, ListEdits()),
        "annotations": edits_by_list(edits, "#/annotations/").get(name, ListEdits()),
        "categories": ListEdits(most=len(edits.categories), names=edits.categories),
    }
    for records in (lists[""], lists["annotations"]):
        records.most = records.least = len(edits.add)
    return check_list_file(lists, source, written)


def check_list_file(lists: Mapping[str, ListEdits], source: Path, written: Path) -> str:
    """Compare two JSON files; see :func:`check_lists`."""
    with source.open("rb") as old, written.open("rb") as new:
        return check_lists(old, new, lists)


def check_document(old: bytes, new: bytes, key: str, lists: Mapping[str, ListEdits]) -> str:
    """Compare two JSON documents in memory."""
    problem = check_lists(io.BytesIO(old), io.BytesIO(new), lists)
    return problem and f"{key}: {problem}"


def check_lists(old: BinaryIO, new: BinaryIO, lists: Mapping[str, ListEdits]) -> str:
    """Compare two JSON files; blanks between values do not count.

    Args:
        old: The one of the source.
        new: The one that was written.
        lists: What may differ, by the key of the list; "" where the file is a list itself.
    """
    try:
        return _check(tokens(old), tokens(new), lists)
    except ValueError as error:
        return f"the JSON cannot be read again ({error})"


def _check(old: Iterator[Token], new: Iterator[Token], lists: Mapping[str, ListEdits]) -> str:
    edits, number = ListEdits(), -1
    for token in old:
        if token.kind == "list":
            edits, number = lists.get(token.key, ListEdits()), -1
        elif token.kind == "element":
            number += 1
            if number in edits.drop:
                continue
        elif token.kind == "end":
            problem = _check_end(token, new, edits)
            if problem:
                return problem
            continue
        found = next(new, None)
        if token != found and not _is_meant(token, found, edits.change.get(number)):
            where = f"element {number} of " if token.kind == "element" else ""
            return f"{where}{token.key or 'the list'} is not as it was"
    return "" if next(new, None) is None else "there is data after its end"


def _check_end(token: Token, new: Iterator[Token], edits: ListEdits) -> str:
    """Check that a list ends as it did, but for new elements."""
    count, found = 0, next(new, None)
    while found is not None and found.kind == "element":
        count += 1
        name = json.loads(dict(members(found.text)).get("name", b"null"))
        if edits.names is not None and name not in edits.names:
            return f"{token.key} names {name!r}, which was not to be added"
        found = next(new, None)
    if found != token or not edits.least <= count <= edits.most:
        return f"{token.key or 'the list'} has {count} elements more than are meant to stay"
    return ""


def _is_meant(token: Token, found: Token | None, change: Change | None) -> bool:
    """Whether an element differs only in what follows from its change."""
    if change is None or found is None or (found.kind, found.key) != (token.kind, token.key):
        return False
    free = _FOLLOWS_PIXELS if change.counts is not None else frozenset()
    free |= {"category_id"} if change.category is not None else frozenset()
    if change.ignore is not None:
        if dict(members(found.text)).get("iscrowd") != (b"1" if change.ignore else b"0"):
            return False
        free |= {"iscrowd"}
    inside = {"attributes": frozenset(change.attributes)} if change.attributes else {}
    return same_members(token.text, found.text, free, inside)


def same_members(
    old: bytes, new: bytes, free: frozenset[str], inside: Mapping[str, frozenset[str]]
) -> bool:
    """Whether two objects have the same members in the same order, but for some.

    Args:
        old: Text of one object.
        new: Text of the other.
        free: Names whose values may differ, and which the other may have at its end.
        inside: Names whose values are objects in which some names are free.
    """
    before, after = members(old), members(new)
    if len(after) < len(before):
        return False
    for (name, was), (other, now) in zip(before, after, strict=False):
        if name != other:
            return False
        if was == now or name in free:
            continue
        if name not in inside or not same_members(was, now, inside[name], {}):
            return False
    return all(name in free or name in inside for name, _ in after[len(before) :])


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
