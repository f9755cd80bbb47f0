"""Supervisely's projects in all that no edit names."""

from __future__ import annotations

import json
from collections.abc import Iterator
from functools import partial
from itertools import zip_longest
from pathlib import Path

from curate.formats.edits import Change, Edits
from curate.formats.untouched.json_list_check import (
    ListEdits,
    add_to,
    edits_by_list,
    members,
    same_members,
    tokens,
)
from curate.formats.untouched.tree_check import FileCheck, TreeEdits, as_key, check_tree

_OF_PIXELS = frozenset({"bitmap", "points", "geometryType", "shape"})
_OF_CLASS = frozenset({"classTitle", "classId", *_OF_PIXELS})
_META = "meta.json"


def check_supervisely(source: Path, written: Path, edits: Edits) -> str:
    """Compare two Supervisely projects in all that no edit names."""
    documents = edits_by_list(edits, "#/objects/")
    for one in edits.add:
        add_to(documents, one.image_key)
    edited: dict[str, FileCheck] = {
        as_key(name): partial(_check_list, "objects", mine) for name, mine in documents.items()
    }
    if edits.categories and source.is_dir():
        classes = ListEdits(most=len(edits.categories), names=edits.categories)
        for path in sorted(source.rglob(_META)):
            name = as_key(path.relative_to(source).as_posix())
            edited.setdefault(name, partial(_check_list, "classes", classes))
    return check_tree(source, written, TreeEdits(edited))


def _check_list(key: str, edits: ListEdits, source: Path, written: Path) -> str:
    """Compare two documents of which one list may differ; blanks between values do not count."""
    try:
        with source.open("rb") as old, written.open("rb") as new:
            before, after = list(tokens(old)), list(tokens(new))
    except ValueError as error:
        return f"the JSON cannot be read again ({error})"
    lists = [
        [one.text for one in found if one.kind == "element" and one.key == key]
        for found in (before, after)
    ]
    rest = [
        [one for one in found if one.kind != "element" or one.key != key]
        for found in (before, after)
    ]
    if rest[0] != rest[1]:
        return f"something beside its {key} is not as it was"
    return next(_faults(key, edits, *lists), "")


def _faults(key: str, edits: ListEdits, old: list[bytes], new: list[bytes]) -> Iterator[str]:
    stays = [number for number in range(len(old)) if number not in edits.drop]
    more = len(new) - len(stays)
    if not edits.least <= more <= edits.most:
        yield f"{key} has {more} elements more than are meant to stay"
    for number, now in zip_longest(stays, new[: len(stays)]):
        change = edits.change.get(number)
        same = old[number] == now
        if not same and (change is None or not _is_meant(old[number], now, change)):
            yield f"element {number} of {key} is not as it was"
    for text in new[len(stays) :]:
        title = json.loads(dict(members(text)).get("title", b"null"))
        if edits.names is not None and title not in edits.names:
            yield f"{key} names {title!r}, which was not to be added"


def _is_meant(old: bytes, new: bytes, change: Change) -> bool:
    free = _OF_PIXELS if change.counts is not None else frozenset()
    free |= _OF_CLASS if change.category is not None else frozenset()
    return same_members(old, new, free, {})
