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
            changes.drop.add(_path(key, images))
        for key, change in edits.change.items():
            place = _path(key, images)
            if change.counts is not None:
                changes.free |= {(*place, "shape_attributes", name) for name in _POINTS}
            if change.category is not None:
                changes.free.add((*place, "region_attributes"))
        for one in edits.add:
            path, text = images[int(one.image_key.rpartition("#/")[2])]
            regions = dict(members(text)).get("regions", b"")
            if elements(regions) is None:
                changes.free.add((*path, "regions"))
            else:
                place = (*path, "regions")
                changes.more[place] = changes.more.get(place, 0) + 1
    except ValueError as error:
        return f"the JSON cannot be read again ({error})"
    return check_json(changes, source, written)


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
