"""YOLO datasets: label files line by line, lists of classes, and all other files."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from collections.abc import Set as AbstractSet
from functools import partial
from pathlib import Path

from curate.formats.edits import Change, Edits
from curate.formats.untouched.tree_check import FileCheck, TreeEdits, check_tree

_LINE = re.compile(rb"([^\r\n]*)(\r\n|\r|\n|\Z)")
_CLASSES = re.compile(r"(?:.*/)?[^/]*(?:classes|\.names|\.labels)[^/]*", re.IGNORECASE)
_LARGEST_LIST = 1 << 20
_LARGEST_YAML = 10_000_000
_COUNT = re.compile(rb"^(nc[ \t]*:[ \t]*)(\d+)", re.MULTILINE)


def check_yolo(source: Path, written: Path, edits: Edits) -> str:
    """Compare two YOLO datasets in all that no edit names."""
    drop: dict[str, set[int]] = {}
    change: dict[str, dict[int, Change]] = {}
    added: dict[str, int] = {}
    for key in edits.drop:
        name, _, number = key.rpartition(":")
        drop.setdefault(name, set()).add(int(number))
    for key, one in edits.change.items():
        name, _, number = key.rpartition(":")
        change.setdefault(name, {})[int(number)] = one
    for addition in edits.add:
        added[addition.image_key] = added.get(addition.image_key, 0) + 1
    edited: dict[str, FileCheck] = {
        name: partial(_check_lines, drop.get(name, set()), change.get(name, {}), added.get(name, 0))
        for name in {*drop, *change, *added}
    }
    if edits.categories:
        lists = (name for name in _lists(source) if name not in edited)
        edited |= {name: partial(_check_names, edits.categories) for name in lists}
        yaml = (name for name in _yaml(source) if name not in edited)
        edited |= {name: partial(_check_yaml, edits.categories) for name in yaml}
    new = {name for name in added if not os.path.lexists(source / name)}
    return check_tree(source, written, TreeEdits(edited, new=new))


def _lists(source: Path) -> Iterator[str]:
    """Yield the files of a source that may be lists of classes."""
    for folder, _, files in os.walk(source):
        for name in files:
            path = Path(folder) / name
            if _CLASSES.fullmatch(name) and path.stat().st_size <= _LARGEST_LIST:
                yield path.relative_to(source).as_posix()


def _yaml(source: Path) -> Iterator[str]:
    """Yield the YAML files of a source, in which classes may be declared."""
    for path in sorted(source.glob("*.y*ml")):
        if path.is_file() and path.stat().st_size <= _LARGEST_YAML:
            yield path.name


def _lines(data: bytes) -> list[bytes]:
    found = [one[1] for one in _LINE.finditer(data)]
    return found[:-1] if found and not found[-1] else found


def _check_lines(
    drop: set[int], change: dict[int, Change], added: int, source: Path, written: Path
) -> str:
    """Compare two label files; how the last line ends does not count."""
    old, new = (_lines(path.read_bytes()) for path in (source, written))
    kept = [(k, line) for k, line in enumerate(old, 1) if k not in drop]
    if len(new) != len(kept) + added:
        return f"it has {len(new)} lines instead of {len(kept) + added}"
    for (number, line), now in zip(kept, new, strict=False):
        if line == now:
            continue
        one = change.get(number)
        was, made = line.split(), now.split()
        if one is None or not was or not made:
            return f"line {number} is not as it was"
        if one.category is None and was[0] != made[0]:
            return f"line {number} has another class"
        if one.counts is None and was[1:] != made[1:]:
            return f"line {number} has other coordinates"
    return ""


def _check_names(names: AbstractSet[str], source: Path, written: Path) -> str:
    """Compare two lists of classes, of which one may have more."""
    old, new = (path.read_bytes().decode("utf-8", "replace") for path in (source, written))
    before, after = old.rstrip().splitlines(), new.rstrip().splitlines()
    more = {line.strip() for line in after[len(before) :]}
    same = after[: len(before)] == before
    return "" if same and more <= names else "the classes that were there are not as they were"


def _check_yaml(names: AbstractSet[str], source: Path, written: Path) -> str:
    """Compare two YAML files, of which one may have more names at one place, and a larger nc."""
    old, new = (path.read_bytes() for path in (source, written))
    if old == new:
        return ""
    wrong = "more than the names of its classes is not as it was"
    counts = [[int(one[2]) for one in _COUNT.finditer(data)] for data in (old, new)]
    if len(counts[0]) != len(counts[1]) or any(a > b for a, b in zip(*counts, strict=True)):
        return wrong
    old, new = (_COUNT.sub(rb"\1", data) for data in (old, new))
    begin = next((i for i, (a, b) in enumerate(zip(old, new, strict=False)) if a != b), len(old))
    if len(new) < len(old) or new[begin + len(new) - len(old) :] != old[begin:]:
        return wrong
    more = new[begin : begin + len(new) - len(old)].decode("utf-8", "replace")
    for name in sorted(names, key=len, reverse=True):
        more = more.replace(name.replace("'", "''"), "")
    return "" if re.fullmatch(r"[\s\d:,'-]*", more) else wrong
