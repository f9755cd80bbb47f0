"""Reading an SQLite file where nothing can be written beside it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from curate import files


@contextmanager
def readable(path: Path) -> Iterator[Path]:
    """Yield a file that SQLite can read: this one, or a copy where its folder cannot be written.

    SQLite writes beside a file even to read it, where that has a write-ahead log.
    """
    if os.access(path.parent, os.W_OK) or not path.is_file():
        yield path
        return
    with files.scratch() as folder:
        copy = files.copy_bytes(path, folder / path.name)
        log = path.with_name(f"{path.name}-wal")
        if log.is_file():
            files.copy_bytes(log, copy.with_name(log.name))
        yield copy
