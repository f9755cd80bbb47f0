"""Reading an SQLite file where nothing can be written beside it."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def readable(path: Path) -> Iterator[Path]:
    """Yield a file that SQLite can read: this one, or a copy where its folder cannot be written.

    SQLite writes beside a file even to read it, where that has a write-ahead log.
    """
    if os.access(path.parent, os.W_OK) or not path.is_file():
        yield path
        return
    with tempfile.TemporaryDirectory(prefix="curate-") as folder:
        copy = Path(shutil.copyfile(path, Path(folder) / path.name))
        log = path.with_name(f"{path.name}-wal")
        if log.is_file():
            shutil.copyfile(log, copy.with_name(log.name))
        yield copy
