"""FiftyOne's dataset folder in all that no edit names."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path
from typing import Any

from curate.formats.edits import Edits
from curate.formats.untouched.json_list_check import tokens
from curate.formats.untouched.json_tree_check import JsonPath, TreeChanges, check_json
from curate.formats.untouched.tree_check import TreeEdits, check_tree

_SAMPLES = "samples.json"
_PIXELS = ("mask", "mask_path", "bounding_box")


def check_fiftyone(source: Path, written: Path, edits: Edits) -> str:
    """Compare two folders in all that no edit names."""
    if edits.is_empty:
        return check_tree(source, written, TreeEdits())
    changes = TreeChanges()
    changes.drop = {_path(key) for key in edits.drop}
    for key, change in edits.change.items():
        names: list[str] = [*_PIXELS] if change.counts is not None else []
        names += ["label"] if change.category is not None else []
        changes.free |= {(*_path(key), name) for name in names}
    more: dict[int, int] = {}
    for one in edits.add:
        number = int(one.image_key.rpartition("/")[2])
        more[number] = more.get(number, 0) + 1
    return check_tree(source, written, TreeEdits({_SAMPLES: partial(_check, changes, more)}))


def _path(key: str) -> JsonPath:
    """Return the path of a detection: "samples", sample, field, "detections", detection."""
    samples, sample, field, detections, number = key.rpartition("#/")[2].split("/")
    return samples, int(sample), field, detections, int(number)


def _check(changes: TreeChanges, more: dict[int, int], source: Path, written: Path) -> str:
    try:
        before, after = (_samples(path, set(more)) for path in (source, written))
    except ValueError as error:
        return f"the JSON cannot be read again ({error})"
    for number, count in more.items():
        gone = sum(path[:2] == ("samples", number) for path in changes.drop)
        field = _grown(before.get(number), after.get(number), gone)
        if field is None:
            return f"sample {number} lacks what was added"
        place = ("samples", number, field)
        if isinstance((before[number].get(field) or {}).get("detections"), list):
            changes.more[*place, "detections"] = count
        elif len(after[number][field]["detections"]) == count:
            changes.free.add(place)
    return check_json(changes, source, written)


def _samples(path: Path, wanted: set[int]) -> dict[int, Any]:
    found: dict[int, Any] = {}
    with path.open("rb") as file:
        listed = (one for one in tokens(file) if one.kind == "element" and one.key == "samples")
        for number, token in enumerate(listed):
            if number in wanted:
                found[number] = json.loads(token.text)
    return found


def _grown(old: Any, new: Any, gone: int) -> str | None:
    """Return the field of a sample that has more detections than are meant to stay."""
    for name, value in new.items() if isinstance(new, dict) and isinstance(old, dict) else ():
        after = value.get("detections") if isinstance(value, dict) else None
        was = old.get(name)
        before = was.get("detections") if isinstance(was, dict) else None
        if isinstance(after, list):
            kept = len(before) if isinstance(before, list) else 0
            if len(after) > kept - gone:
                return str(name)
    return None
