"""A short name for what a file or folder holds, without reading all of it."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

from curate.errors import SourceError

BLOCK = 1 << 16
BLOCKS = 64
WHOLE = 1 << 26


def _add_content(digest: hashlib.blake2b, path: Path, size: int) -> None:
    """Hash a file: whole up to 64 MB, else 64 blocks of 64 kB spread evenly, first and last too."""
    with path.open("rb") as file:
        if size <= WHOLE:
            while data := file.read(1 << 20):
                digest.update(data)
            return
        for k in range(BLOCKS):
            file.seek((size - BLOCK) * k // (BLOCKS - 1))
            digest.update(file.read(BLOCK))


def fingerprint(path: Path) -> str:
    """Return 32 hex digits that change when the content does.

    A file is hashed whole up to 64 MB and sampled above, with its size. A folder is the names and
    sizes of all its files and the first block of up to 1,000 of them: an edit that keeps every size
    and lies behind the first 64 kB of a file can go unseen, which is the price of starting at once
    on a folder of a million files.

    Raises:
        SourceError: ``path`` is not there or cannot be read.
    """
    digest = hashlib.blake2b(digest_size=16)
    try:
        if path.is_dir():
            _add_folder(digest, path)
        else:
            size = path.stat().st_size
            digest.update(b"file %d\n" % size)
            _add_content(digest, path, size)
    except FileNotFoundError as error:
        raise SourceError("there is no such file or folder", str(path), "check the path") from error
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise SourceError(f"it cannot be read: {reason}", str(path), "check its rights") from error
    return digest.hexdigest()


def _add_folder(digest: hashlib.blake2b, root: Path) -> None:
    sizes: list[tuple[str, int]] = []
    for folder, folders, files in os.walk(root):
        folders.sort()
        for file in sorted(files):
            found = os.path.join(folder, file)
            sizes.append((os.path.relpath(found, root), os.lstat(found).st_size))
    for name, size in sizes:
        digest.update(os.fsencode(name) + b"\0%d\n" % size)
    step = max(1, len(sizes) // 1000)
    for name, _ in sizes[::step]:
        path = root / name
        if path.is_file() and not path.is_symlink():
            with path.open("rb") as opened:
                digest.update(opened.read(BLOCK))
