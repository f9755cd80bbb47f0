"""VIA's file in all that no edit names."""

from __future__ import annotations

from functools import partial
from pathlib import Path

from curate.formats.edits import Edits
from curate.formats.untouched.json_list_check import elements, members, tokens
from curate.formats.untouched.json_tree_check import JsonPath, TreeChanges, check_json
from curate.formats.untouched.tree_check import TreeEdits, check_tree

_PROJECT = "_via_img_metadata"
_POINTS = ("all_points_x", "all_points_y")


def check_via(source: Path, written: Path, edits: Edits) -> str:
    """Compare two files in all that no edit names."""
    keys = [*edits.drop, *edits.change, *(one.image_key for one in edits.add)]
    check = {key.rpartition("#/")[0]: partial(_check, edits) for key in keys}
    return check_tree(source, written, TreeEdits(check))


def _check(edits: Edits, source: Path, written: Path) -> str:
    try:
        images = _images(source)
        changes = TreeChanges()
        for key in edits.drop:
            place = _path(key, images)
            _, text = images[int(key.rpartition("#/")[2].split("/")[0])]
            (changes.drop if _is_listed(text) else changes.free).add(place)
        for key, change in edits.change.items():
            place = _path(key, images)
            if change.counts is not None:
                changes.free |= {(*place, "shape_attributes", name) for name in _POINTS}
            if change.category is not None:
                changes.free.add((*place, "region_attributes"))
        for one in edits.add:
            path, text = images[int(one.image_key.rpartition("#/")[2])]
            place = (*path, "regions")
            regions = dict(members(text)).get("regions", b"")
            if _is_listed(text):
                changes.more[place] = changes.more.get(place, 0) + 1
            elif regions.lstrip()[:1] == b"{":
                changes.free.add((*place, _next_name(place, regions, changes)))
            else:
                changes.free.add(place)
    except ValueError as error:
        return f"the JSON cannot be read again ({error})"
    return check_json(changes, source, written)


def _is_listed(image: bytes) -> bool:
    """Whether an image's regions are a list; in VIA 1 they are an object."""
    return elements(dict(members(image)).get("regions", b"")) is not None


def _next_name(place: JsonPath, regions: bytes, changes: TreeChanges) -> str:
    """Return the number that a new region of an object has for a name."""
    names = [int(name) for name, _ in members(regions) if name.isdecimal()]
    added = sum(path[:-1] == place and type(path[-1]) is str for path in changes.free)
    return str(max(names, default=-1) + 1 + added)


def _path(key: str, images: list[tuple[JsonPath, bytes]]) -> JsonPath:
    """Return the path of a region: that of its image, "regions", its position."""
    image, regions, number = key.rpartition("#/")[2].split("/")
    return *images[int(image)][0], regions, int(number)


def _images(path: Path) -> list[tuple[JsonPath, bytes]]:
    """Return where the images of a file stand, and their text."""
    with path.open("rb") as file:
        listed = [token for token in tokens(file) if token.kind == "value" and token.key]
    whole: list[tuple[str, bytes]] = [members(b"{" + one.text + b"}")[0] for one in listed]
    for name, text in whole:
        if name == _PROJECT:
            return [((name, i), one) for i, (_, one) in enumerate(members(text))]
    return [((i,), one) for i, (name, one) in enumerate(whole) if not name.startswith("_via_")]
