"""Python's garbage collector: paused while much is parsed, seldom run in processes of our own."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager


def relax_collector() -> None:
    """Let the collector run seldom in this process; for processes that are curate's own.

    Loading libraries makes a million objects that stay, and the collector's usual steps walk over
    all of them again and again: a fifth of the processor's time of a small audit. Garbage in cycles
    is rare, and still collected.
    """
    gc.set_threshold(50_000, 20, 50)


@contextmanager
def pause_collector() -> Iterator[None]:
    """Keep Python's collector from walking over parsed JSON again and again: it has no cycles."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()
