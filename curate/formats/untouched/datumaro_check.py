"""Datumaro's JSON in all that no edit names."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from curate.formats.edits import Edits
from curate.formats.untouched.json_list_check import tokens
from curate.formats.untouched.json_tree_check import TreeChanges, check_json
from curate.formats.untouched.tree_check import FileCheck, TreeEdits, as_key, check_tree

_SHAPES = ("mask", "polygon")
_PIXELS = ("type", "points", "rle")
_MARK = "#/items/"


def check_datumaro(source: Path, written: Path, edits: Edits) -> str:
    """Compare two files, or folders of them, in all that no edit names."""
    if edits.is_empty:
        return check_tree(source, written, TreeEdits())
    names = {key.rpartition(_MARK)[0] for key in (*edits.drop, *edits.change)}
    names |= {one.image_key.rpartition(_MARK)[0] for one in edits.add}
    if edits.categories and source.is_dir():
        files = sorted((source / "annotations").glob("*.[jJ][sS][oO][nN]"))
        names |= {as_key(f"annotations/{path.name}") for path in files}
    edited: dict[str, FileCheck] = {name: partial(_check, edits, name) for name in names}
    return check_tree(source, written, TreeEdits(edited))


def _check(edits: Edits, name: str, source: Path, written: Path) -> str:
    of_file: Callable[[str], bool] = lambda key: key.rpartition(_MARK)[0] == name  # noqa: E731
    drop = [_place(key) for key in edits.drop if of_file(key)]
    change = {_place(key): one for key, one in edits.change.items() if of_file(key)}
    more: dict[int, int] = {}
    for key in (new.image_key for new in edits.add):
        if of_file(key):
            number = int(key.rpartition(_MARK)[2])
            more[number] = more.get(number, 0) + 1
    try:
        items, categories = _read(source, {*more, *(n for n, _ in (*drop, *change))})
    except ValueError as error:
        return f"the JSON cannot be read again ({error})"
    changes = TreeChanges()
    for number, first in drop:
        path = ("items", number, "annotations")
        own, rest = _object(items[number], first)
        changes.drop |= {(*path, n) for n in (*own, *rest)}
    for (number, first), one in change.items():
        path = ("items", number, "annotations")
        own, rest = _object(items[number], first)
        if one.counts is not None:
            changes.drop |= {(*path, n) for n in own[1:]}
            changes.free |= {(*path, first, field) for field in _PIXELS}
            changes.free |= {(*path, n, "bbox") for n in rest}
        if one.category is not None:
            changes.free |= {(*path, n, "label_id") for n in (*own, *rest)}
    for number, count in more.items():
        path = ("items", number, "annotations")
        if isinstance(items[number].get("annotations"), list):
            changes.more[path] = count
        else:
            changes.free.add(path)
    unknown = edits.categories - _labels(categories)
    if unknown:
        changes.more["categories", "label", "labels"] = len(unknown)
    return check_json(changes, source, written)


def _place(key: str) -> tuple[int, int]:
    """Return the item of a mask and the position of its first shape."""
    item, _, number = key.rpartition(_MARK)[2].split("/")
    return int(item), int(number)


def _read(path: Path, wanted: set[int]) -> tuple[dict[int, Any], Any]:
    items: dict[int, Any] = {}
    categories, number = None, -1
    with path.open("rb") as file:
        for token in tokens(file):
            if token.kind == "element" and token.key == "items":
                number += 1
                if number in wanted:
                    items[number] = json.loads(token.text)
            elif token.kind == "value" and token.key == "categories":
                categories = json.loads(b"{" + token.text + b"}")["categories"]
    return items, categories


def _labels(categories: Any) -> set[str]:
    try:
        return {str(one["name"]) for one in categories["label"]["labels"]}
    except (KeyError, TypeError):
        return set()


def _object(item: Any, first: int) -> tuple[list[int], list[int]]:
    """Return the shapes of an object, and what else its group holds if it is alone there."""
    listed = item["annotations"]
    group, label = listed[first].get("group") or 0, listed[first].get("label_id")
    if not group:
        return [first], []
    same = [(i, one) for i, one in enumerate(listed) if isinstance(one, dict)]
    same = [(i, one) for i, one in same if (one.get("group") or 0) == group]
    shapes = [(i, one) for i, one in same if one.get("type") in _SHAPES]
    own = [i for i, one in shapes if one.get("label_id") == label]
    rest = [i for i, one in same if one.get("type") not in _SHAPES]
    return own, rest if len(own) == len(shapes) else []
