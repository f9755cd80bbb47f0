"""JSON files in whose lists records go, change and come: COCO, LVIS, results, SA-1B, amg.py."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

from curate.formats.edits import Change, Edits
from curate.formats.untouched.json_tokens import Token, members, tokens
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
    """Compare two JSON documents in memory.

    Args:
        old: The one of the source.
        new: The one that was written.
        key: What it is called, for the answer.
        lists: What may differ, by the key of the list.
    """
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
    return "" if next(new, None) is None else "something stands behind its end"


def _check_end(token: Token, new: Iterator[Token], edits: ListEdits) -> str:
    """Check that a list ends as it did, but for new elements."""
    count, found = 0, next(new, None)
    while found is not None and found.kind == "element":
        count += 1
        name = json.loads(dict(members(found.text)).get("name", b"null"))
        if edits.names is not None and name not in edits.names:
            return f"{token.key} names {name!r}, which nobody asked for"
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
    inside = {"attributes": frozenset(change.attributes)} if change.attributes else {}
    return _same_members(token.text, found.text, free, inside)


def _same_members(
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
        if name not in inside or not _same_members(was, now, inside[name], {}):
            return False
    return all(name in free or name in inside for name, _ in after[len(before) :])
