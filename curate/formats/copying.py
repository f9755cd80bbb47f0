"""Folder copies with some files changed, dropped or added."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import BinaryIO

from curate.common import files
from curate.errors import CallError, SourceError
from curate.formats.format import convert_read_errors, copy_file, new_file, new_folder
from curate.formats.table_builder import plain

Edit = Callable[[Path, BinaryIO], None]
"""Writes the changed content of a file (first argument) to an open one."""

_BLOCK = 1 << 20
_NOTHING: Mapping[str, bytes] = MappingProxyType({})


def list_entries(folder: Path) -> list[os.DirEntry[str]]:
    """Return a folder's entries, sorted by name."""
    with convert_read_errors(folder), os.scandir(folder) as found:
        return sorted(found, key=lambda entry: entry.name)


def files_under(
    root: Path, suffix: str | tuple[str, ...], below: str = ""
) -> Iterator[tuple[str, int]]:
    """Walk a folder for files, not following links to folders.

    Args:
        root: The folder.
        suffix: How the names end (one of several ways), in lower case; upper case in names counts
            as well.
        below: Where under the root to begin.

    Yields:
        The path under the root with ``/``, and the size in bytes; in order of names.
    """
    for entry in list_entries(root / below):
        name = f"{below}/{entry.name}" if below else entry.name
        if entry.is_dir(follow_symlinks=False):
            yield from files_under(root, suffix, name)
        elif entry.name.lower().endswith(suffix) and entry.is_file():
            yield name, entry.stat().st_size


def copy_with_edits(
    source: Path,
    out: Path | None,
    edits: Mapping[str, Edit | None],
    new: Mapping[str, bytes] = _NOTHING,
) -> None:
    """Copy a file or a folder byte for byte, but for some files.

    Links are copied as links and never followed, so nothing from outside the source gets in.

    Args:
        source: A file, or a folder.
        out: The file or the folder to make; must not exist, or be empty. None makes nothing, but
            runs the edits, so that they refuse what they would.
        edits: From a path under the source (a single file: its name), as :func:`plain` writes it,
            to what writes its new content, or to None to leave the file out.
        new: Contents of files that the source, a folder, does not have, by the path under it
            (not as :func:`plain` writes it).

    Raises:
        CallError: ``out`` holds something already, or lies inside the source; or a file to change
            is not there, or a new one is.
        SourceError: A file to change is a link that leaves the source, or a new one would lie
            behind a link.
        AuditError: ``out`` cannot be written.
    """
    if out is None:
        _try_edits(source, edits)
        return
    left = set(edits)
    if source.is_file():
        left.discard(plain(source.name))
        _check_found(source, left)
        with new_file(out) as target:
            edit = edits.get(plain(source.name)) or copy_bytes
            edit(source, target)
        return
    if out.resolve().is_relative_to(source.resolve()):
        raise CallError("the output lies inside the source", str(out), "choose another output")
    with new_folder(out) as made:
        _copy_folder(source, "", made, edits, left)
        _check_found(source, left)
        for name, content in new.items():
            _add(made, name, content)


def _try_edits(source: Path, edits: Mapping[str, Edit | None]) -> None:
    with files.open_null() as target:
        for name, edit in edits.items():
            path = source if source.is_file() else source / name
            if edit is not None and path.is_file():
                edit(path, target)


def _check_found(source: Path, left: set[str]) -> None:
    if left:
        raise CallError(f"{min(left)} is to be changed, but is not in it", str(source))


def _add(made: Path, name: str, content: bytes) -> None:
    """Add a file to the copy, but never through a link: that could lead anywhere."""
    target = made / name
    for folder in target.relative_to(made).parents:
        if (made / folder).is_symlink():
            do = "replace the link by the folder that it points to"
            raise SourceError("it is a link, so nothing is added behind it", str(folder), do)
    if ".." in target.parts or os.path.lexists(target):
        raise CallError("it is to be added, but is there already", name)
    files.mkdir(target.parent, parents=True, exist_ok=True)
    files.write_bytes(target, content)


def _copy_folder(
    root: Path, below: str, made: Path, edits: Mapping[str, Edit | None], left: set[str]
) -> None:
    for entry in list_entries(root / below):
        name = f"{below}/{entry.name}" if below else entry.name
        origin, target = Path(entry.path), made / name
        key = plain(name)
        if key in edits and not entry.is_dir(follow_symlinks=False):
            left.discard(key)
            edit = edits[key]
            if edit is not None:
                _check_inside(root, origin)
                with files.open_file(target) as file:
                    edit(origin, file)
                files.copy_attributes(origin, target, times=False)
        elif entry.is_symlink():
            files.symlink(os.readlink(origin), target)
        elif entry.is_dir():
            files.mkdir(target)
            _copy_folder(root, name, made, edits, left)
        elif entry.is_file():
            copy_file(origin, target)


def _check_inside(root: Path, path: Path) -> None:
    if path.is_symlink() and not path.resolve().is_relative_to(root.resolve()):
        do = "replace the link by the file that it points to"
        raise SourceError(
            "it is a link that leaves the source, so it is not changed", str(path), do
        )


def copy_bytes(source: Path, target: BinaryIO) -> None:
    """Write a file's bytes to ``target``."""
    with files.open_to_read(source) as file:
        shutil.copyfileobj(file, target, _BLOCK)


def splice(source: Path, target: BinaryIO, pieces: Iterable[tuple[int, int, bytes]]) -> None:
    """Write a file to ``target`` with byte ranges replaced.

    Args:
        source: The file.
        target: Where to.
        pieces: (start, end, what stands there instead), in order of start, not overlapping.
    """
    with files.open_to_read(source) as file:
        at = 0
        for start, end, instead in pieces:
            _copy_range(file, target, start - at)
            target.write(instead)
            file.seek(end)
            at = end
        shutil.copyfileobj(file, target, _BLOCK)


def _copy_range(file: BinaryIO, target: BinaryIO, length: int) -> None:
    while length > 0:
        block = file.read(min(length, _BLOCK))
        if not block:
            return
        target.write(block)
        length -= len(block)


def find_cuts(
    spans: Iterable[tuple[int, int]], drop: Callable[[int], bool]
) -> Iterator[tuple[int, int, bytes]]:
    """Yield the cuts that remove elements of a separated list, with their separators.

    Args:
        spans: (start, end) of every element in order, without the separators between them.
        drop: Whether the element at a position goes.

    Yields:
        Pieces for :func:`splice`. An element goes with the separator before it; those before the
        first that stays go with the separator after them.
    """
    lead: tuple[int, int] | None = None  # what has been dropped before the first that stays
    kept = False
    before = 0
    for position, (start, end) in enumerate(spans):
        if drop(position):
            if kept:
                yield before, end, b""
            else:
                lead = (lead[0] if lead else start, end)
        elif not kept:
            kept = True
            if lead:
                yield lead[0], start, b""
        before = end
    if lead and not kept:
        yield lead[0], lead[1], b""
