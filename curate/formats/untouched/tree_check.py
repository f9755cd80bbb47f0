"""Files and folders compared name by name: links, folders and contents that no edit names."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from pathlib import Path

from curate.formats.edits import Edits

_BLOCK = 1 << 20

FileCheck = Callable[[Path, Path], str]
"""Compares a file of the source with the one that was written."""


@dataclass
class TreeEdits:
    """Differences that are allowed, by paths under the source as keys write them.

    Attributes:
        edited: How files that change are compared.
        gone: Files that go.
        new: Files that come.
        more: How many further files come, by folder ("" for the source itself).
    """

    edited: Mapping[str, FileCheck] = field(default_factory=dict)
    gone: AbstractSet[str] = frozenset()
    new: AbstractSet[str] = frozenset()
    more: Mapping[str, int] = field(default_factory=dict)


def as_key(name: str) -> str:
    """Return a file name as source keys write it."""
    return name.encode("utf-8", "backslashreplace").decode("utf-8")


def check_tree(source: Path, written: Path, edits: TreeEdits) -> str:
    """Compare two files or folders in all that no edit names."""
    if source.is_file():
        return edits.edited.get(as_key(source.name), check_bytes)(source, written)
    tree = _Tree(source, written, edits)
    problem = tree.check("")
    if not problem:
        missing = (edits.new - tree.new) or {name for name in edits.more if tree.more[name]}
        problem = f"{min(missing)} lacks what was added" if missing else ""
    return problem


def check_untouched(source: Path, written: Path, edits: Edits) -> str:
    """Compare two datasets of which nothing more is known: without edits they are equal."""
    return check_tree(source, written, TreeEdits()) if edits.is_empty else ""


def check_bytes(source: Path, written: Path) -> str:
    """Compare two files byte by byte."""
    with source.open("rb") as old, written.open("rb") as new:
        while True:
            block = old.read(_BLOCK)
            if block != new.read(_BLOCK):
                return "it is not as it was"
            if not block:
                return ""


class _Tree:
    def __init__(self, source: Path, written: Path, edits: TreeEdits) -> None:
        self.source, self.written, self.edits = source, written, edits
        self.new: set[str] = set()
        self.more = Counter(edits.more)

    def check(self, below: str) -> str:
        """Compare what a folder holds."""
        old, new = (_list_tree(root / below) for root in (self.source, self.written))
        for name in sorted({*old, *new}):
            path = f"{below}/{name}" if below else name
            if name in old and name in new:
                problem = self._pair(path, old[name], new[name])
            elif name in old:
                is_copied = old[name] or (self.source / path).is_file()
                meant = as_key(path) in self.edits.gone or not is_copied
                problem = "" if meant else f"{path} is missing"
            else:
                problem = "" if self._is_new(path, below) else f"{path} was not there before"
            if problem:
                return problem
        return ""

    def _pair(self, path: str, was: str, now: str) -> str:
        source, written = self.source / path, self.written / path
        key = as_key(path)
        if key in self.edits.gone:
            return f"{path} is still there"
        if was == now == "folder":
            return self.check(path)
        # Behind a link that leads nowhere there is nothing that could be edited.
        if was == now == "link" and (key not in self.edits.edited or not source.is_file()):
            same = os.readlink(source) == os.readlink(written)
            return "" if same else f"{path} leads elsewhere"
        if now != "file" or not source.is_file():
            return f"{path} is no {was} any more"
        problem = self.edits.edited.get(key, check_bytes)(source, written)
        return problem and f"{path}: {problem}"

    def _is_new(self, path: str, below: str) -> bool:
        key, folder = as_key(path), as_key(below)
        if key in self.edits.new:
            self.new.add(key)
            return True
        if (self.written / path).is_dir():  # made for what comes into it
            inside = (*self.edits.new, *(f"{name}/" for name in self.edits.more))
            named = any(name.startswith(f"{key}/") for name in inside)
            return named and not self.check(path)
        self.more[folder] -= 1
        return self.more[folder] >= 0 and path.lower().endswith((".png", ".tif", ".tiff"))


def _list_tree(folder: Path) -> dict[str, str]:
    """Return the kind of each entry of a folder by name: link, folder, file, or ""."""
    if not folder.is_dir():
        return {}
    found = {}
    with os.scandir(folder) as entries:
        for entry in entries:
            is_folder = entry.is_dir(follow_symlinks=False)
            kind = "folder" if is_folder else "file" if entry.is_file(follow_symlinks=False) else ""
            found[entry.name] = "link" if entry.is_symlink() else kind
    return found
