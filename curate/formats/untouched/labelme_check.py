"""labelme documents in all that no edit names."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path

from curate.formats.edits import Change, Edits
from curate.formats.untouched.json_list_check import Token, same_members, tokens
from curate.formats.untouched.tree_check import FileCheck, TreeEdits, as_key, check_tree

_MARK = "#/shapes/"
_OF_PIXELS = frozenset({"points", "shape_type", "mask", "group_id"})
_OF_LABEL = frozenset({"label", "group_id"})


def check_labelme(source: Path, written: Path, edits: Edits) -> str:
    """Compare two labelme datasets in all that no edit names."""
    drop: dict[str, set[int]] = {}
    change: dict[str, dict[int, Change]] = {}
    added: dict[str, int] = {}
    for key in edits.drop:
        name, _, number = key.rpartition(_MARK)
        drop.setdefault(name, set()).add(int(number))
    for key, one in edits.change.items():
        name, _, number = key.rpartition(_MARK)
        change.setdefault(name, {})[int(number)] = one
    for addition in edits.add:
        added[addition.image_key] = added.get(addition.image_key, 0) + 1
    edited: dict[str, FileCheck] = {
        as_key(name): partial(
            _check_document, drop.get(name, set()), change.get(name, {}), added.get(name, 0)
        )
        for name in {*drop, *change, *added}
    }
    return check_tree(source, written, TreeEdits(edited))


def _check_document(
    drop: set[int], change: dict[int, Change], added: int, source: Path, written: Path
) -> str:
    try:
        with source.open("rb") as old, written.open("rb") as new:
            before, after = list(tokens(old)), list(tokens(new))
    except ValueError as error:
        return f"the JSON cannot be read again ({error})"
    if _without_shapes(before) != _without_shapes(after):
        return "something beside its shapes is not as it was"
    return _check_shapes(_shapes(before), _shapes(after), drop, change, added)


def _without_shapes(found: list[Token]) -> list[Token]:
    return [one for one in found if one.kind != "element" or one.key != "shapes"]


def _shapes(found: list[Token]) -> list[bytes]:
    return [one.text for one in found if one.kind == "element" and one.key == "shapes"]


def _check_shapes(
    old: list[bytes], new: list[bytes], drop: set[int], change: dict[int, Change], added: int
) -> str:
    """Walk along the new shapes: all that stays is there in order, the others are meant."""
    firsts = _first_of_each(old)
    stays = [k for k, first in enumerate(firsts) if first not in drop and first not in change]
    meant = [(old[k], change[first]) for k, first in enumerate(firsts) if first in change]
    at = more = 0
    for text in new:
        if at < len(stays) and text == old[stays[at]]:
            at += 1
        elif not any(_is_changed(was, text, own) for was, own in meant):
            more += 1
            if at < len(stays):
                return f"shape {stays[at]} is not as it was"
    if at < len(stays):
        return f"shape {stays[at]} is not as it was"
    if len(new) < len(stays) + len(change) + added or (more and not added):
        return f"it has {len(new)} shapes, and {len(stays)} of them are as they were"
    return ""


def _first_of_each(shapes: list[bytes]) -> list[int]:
    """Return, for each shape, the first one of the mask that it belongs to."""
    seen: dict[object, int] = {}
    firsts = []
    for number, text in enumerate(shapes):
        one = json.loads(text)
        first = number
        kind = one.get("shape_type") if isinstance(one, dict) else one
        is_grouped = isinstance(one, dict) and one.get("group_id") is not None
        if is_grouped and kind in (None, "", "polygon", "mask"):
            label = one.get("label")
            key = ("" if label is None else str(label), _as_number(one["group_id"]))
            first = seen.setdefault(key, number)
        firsts.append(first)
    return firsts


def _as_number(group: object) -> str:
    """Return a group's id as text, in which 1, 1.0 and "1" are the same."""
    try:
        number = float(str(group))
        return str(int(number)) if number == int(number) else str(group)
    except (ValueError, OverflowError):
        return str(group)


def _is_changed(old: bytes, new: bytes, change: Change) -> bool:
    """Whether a shape is another one with what its change is about."""
    free = _OF_PIXELS if change.counts is not None else frozenset()
    free |= _OF_LABEL if change.category is not None else frozenset()
    inside = {"attributes": frozenset(change.attributes)} if change.attributes else {}
    return same_members(old, new, free, inside)
