"""Fingerprint of a file or folder: a short name for its content, without reading all of it."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from pathlib import Path

from curate.common.archive_kinds import archive_above
from curate.errors import SourceError

BLOCK = 1 << 16
BLOCKS = 64
WHOLE = 1 << 26
EDGE = 1 << 12
SAMPLED = 1000


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
    sizes of all its files and both ends, 4 kB each, of some 1,000 of them: an edit that keeps every
    size and lies elsewhere can go unseen, which is the price of starting at once on a folder of a
    million files. A file in an archive is the archive and its path there.

    Raises:
        SourceError: ``path`` is not there or cannot be read.
    """
    digest = hashlib.blake2b(digest_size=16)
    archive = archive_above(path)
    if archive is not None and archive != path.absolute():
        within = path.absolute().relative_to(archive).as_posix()
        digest.update(f"{within} in {fingerprint(archive)}".encode("utf-8", "surrogateescape"))
        return digest.hexdigest()
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
    found = list(_files(str(root), ""))
    for name, size, _ in found:
        digest.update(b"%s\0%d\n" % (os.fsencode(name), size))
    for name, size, plain in found[:: max(1, len(found) // SAMPLED)]:
        if plain:
            with open(os.path.join(root, name), "rb", buffering=0) as opened:
                digest.update(opened.read(EDGE) or b"")
                if size > EDGE:
                    opened.seek(max(EDGE, size - EDGE))
                    digest.update(opened.read(EDGE) or b"")


def _files(root: str, folder: str) -> Iterator[tuple[str, int, bool]]:
    """Yield name, size and whether it is a plain file, of all below a folder, in stable order."""
    with os.scandir(os.path.join(root, folder)) as entries:
        listed = sorted(entries, key=lambda entry: entry.name)
    for entry in listed:
        name = os.path.join(folder, entry.name)
        if entry.is_dir(follow_symlinks=False):
            yield from _files(root, name)
        else:
            size = entry.stat(follow_symlinks=False).st_size
            yield name, size, entry.is_file(follow_symlinks=False)
