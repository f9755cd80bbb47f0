"""Paths that callers give, checked before anything is read."""

from __future__ import annotations

import os
from pathlib import Path
from typing import overload

from curate.common.archive_kinds import exists, is_folder
from curate.errors import CallError, SourceError, check_utf8

AnyPath = str | Path


@overload
def as_path(path: AnyPath) -> Path: ...


@overload
def as_path(path: None) -> None: ...


def as_path(path: AnyPath | None) -> Path | None:
    """Return a path, or None where none is given.

    Raises:
        CallError: It is an empty text, which would be the working folder, or no UTF-8.
    """
    if path == "":
        raise CallError("a path is empty", "", "give one, or None")
    check_utf8(path)
    return None if path is None else Path(path)


def is_folder_name(path: AnyPath | None) -> bool:
    """Return whether an output is named as a folder: it ends in a slash, or is one that is there.

    >>> is_folder_name("out/"), is_folder_name("out.json")
    (True, False)
    """
    if path is None:
        return False
    return str(path).endswith(("/", os.sep)) or Path(path).is_dir()


def check_exists(path: AnyPath | None) -> None:
    """Check that a file or folder exists; None passes.

    Raises:
        SourceError: It does not, is neither, or its name is no text.
    """
    if path is None:
        return
    if not exists(path := Path(path)):
        raise SourceError("there is no such file or folder", str(path), "check the path")
    if path.exists() and not (path.is_file() or path.is_dir()):
        raise SourceError("it is no file and no folder", str(path), "save it as a file first")
    check_utf8(path.resolve())


def check_folder(path: AnyPath | None, of: str = "images") -> None:
    """Check that a folder exists, or an archive that stands for one; None passes.

    Raises:
        SourceError: It is not, or is another file.
    """
    if path is not None and not is_folder(Path(path)):
        raise SourceError(f"there is no such folder of {of}", str(path), "check the path")
