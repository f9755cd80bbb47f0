"""Paths as callers give them."""

from __future__ import annotations

from pathlib import Path

AnyPath = str | Path


def as_path(path: AnyPath | None) -> Path | None:
    """Return a path, or None where none is given."""
    return None if path is None else Path(path)
