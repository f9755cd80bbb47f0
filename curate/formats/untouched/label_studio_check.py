"""Label Studio's export in all that no edit names."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path
from typing import Any

from curate.formats.edits import Edits
from curate.formats.untouched.json_list_check import tokens
from curate.formats.untouched.json_tree_check import JsonPath, TreeChanges, check_json
from curate.formats.untouched.tree_check import TreeEdits, as_key, check_tree

_TASKS = "tasks.json"
_FORM = ("type", "from_name")


def check_label_studio(source: Path, written: Path, edits: Edits) -> str:
    """Compare two exports in all that no edit names."""
    if edits.is_empty:
        return check_tree(source, written, TreeEdits())
    path = source / _TASKS if source.is_dir() else source
    tasks = {int(_path(key)[0]) for key in (*edits.drop, *edits.change)}
    tasks |= {int(one.image_key.rpartition("#/")[2]) for one in edits.add}
    try:
        values = _tasks(path, tasks)
    except ValueError as error:
        return f"the JSON cannot be read again ({error})"
    changes = TreeChanges()
    for key in edits.drop:
        changes.drop |= {(*_path(key)[:4], n) for n in _companions(values, _path(key))}
    for key, change in edits.change.items():
        for number in _companions(values, _path(key)):
            place = (*_path(key)[:4], number)
            # A polygon that becomes a brush mask has other names throughout.
            names = (*_FORM, "value") if change.counts is not None else ("value",)
            if _may_differ(values, place, change.counts is None):
                changes.free |= {(*place, name) for name in names}
    check = partial(_check_added, changes, values, edits)
    return check_tree(source, written, TreeEdits({as_key(path.name): check}))


def _path(key: str) -> JsonPath:
    """Return the path of a mask: task, list, annotation, "result", result."""
    task, kind, annotation, result, number = key.rpartition("#/")[2].split("/")
    return int(task), kind, int(annotation), result, int(number)


def _tasks(source: Path, wanted: set[int]) -> dict[int, Any]:
    found: dict[int, Any] = {}
    with source.open("rb") as file:
        listed = (one for one in tokens(file) if one.kind == "element")
        for number, token in enumerate(listed):
            if number in wanted:
                found[number] = json.loads(token.text)
    return found


def _companions(values: dict[int, Any], path: JsonPath) -> set[int]:
    """Return which results belong to a region: all with its id, and its relations."""
    results = _results(values, path)
    number = int(path[4])
    name = results[number].get("id")
    if not isinstance(name, str) or not name:
        return {number}
    same = {i for i, one in enumerate(results) if isinstance(one, dict) and one.get("id") == name}
    ends = ("from_id", "to_id")
    related = {
        i
        for i, one in enumerate(results)
        if isinstance(one, dict)
        and one.get("type") == "relation"
        and name in [one.get(end) for end in ends]
    }
    return same | related


def _results(values: dict[int, Any], path: JsonPath) -> list[Any]:
    task, kind, annotation, result, *_ = path
    found: list[Any] = values[int(task)][kind][annotation][result]
    return found


def _may_differ(values: dict[int, Any], place: JsonPath, is_label: bool) -> bool:
    """Whether a change can reach a result: new pixels those that draw, a label those with one."""
    value = _results(values, place)[int(place[4])].get("value")
    if not isinstance(value, dict):
        return False
    if is_label:
        return any(str(name).endswith("labels") for name in value)
    return any(name in value for name in ("rle", "points", "imageDataURL")) or "labels" in value


def _check_added(
    changes: TreeChanges, values: dict[int, Any], edits: Edits, source: Path, written: Path
) -> str:
    """Compare two files; new regions are looked for where their task keeps annotations."""
    more: dict[int, int] = {}
    for one in edits.add:
        number = int(one.image_key.rpartition("#/")[2])
        more[number] = more.get(number, 0) + 1
    try:
        after = _tasks(written, set(more))
    except ValueError as error:
        return f"the JSON cannot be read again ({error})"
    gone: dict[JsonPath, int] = {}
    for path in changes.drop:
        gone[path[:4]] = gone.get(path[:4], 0) + 1
    for task, count in more.items():
        place = _grown(values[task], after.get(task), task, gone)
        if place is None:
            return f"task {task} lacks what was added"
        if len(place) == 4:
            changes.more[place] = count
            continue
        changes.more[place] = 1
        made = after[task][place[1]][-1].get("result")
        if not isinstance(made, list) or len(made) != count:
            return f"task {task} lacks what was added"
    return check_json(changes, source, written)


def _grown(old: Any, new: Any, task: int, gone: dict[JsonPath, int]) -> JsonPath | None:
    """Return the one list of a task that has more elements than are meant to stay."""
    for kind in ("annotations", "completions", "predictions"):
        before, after = (one.get(kind) if isinstance(one, dict) else None for one in (old, new))
        if not isinstance(after, list):
            continue
        before = before if isinstance(before, list) else []
        if len(after) > len(before):
            return task, kind
        for k, (was, now) in enumerate(zip(before, after, strict=False)):
            lists = [one.get("result") if isinstance(one, dict) else None for one in (was, now)]
            counts = [len(one) if isinstance(one, list) else -1 for one in lists]
            place = task, kind, k, "result"
            if min(counts) >= 0 and counts[1] > counts[0] - gone.get(place, 0):
                return place
    return None
