"""Plug-ins: objects that other packages offer through entry points."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any


def load_plugins(group: str) -> Iterator[Any]:
    """Load what installed packages offer under an entry-point group, by name of the entry point."""
    # Loaded here: it takes longer than a refusal of a wrong path, and no such path needs it.
    from importlib.metadata import entry_points

    for point in sorted(entry_points(group=group), key=lambda found: found.name):
        yield point.load()
