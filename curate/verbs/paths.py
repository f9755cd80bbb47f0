"""Paths as callers give them."""

from __future__ import annotations

from pathlib import Path
from typing import overload

from curate.errors import CallError, check_utf8

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
