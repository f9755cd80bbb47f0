"""Kinds of archives, told by their first bytes."""

from __future__ import annotations

import os
from pathlib import Path

from curate.common import files

ZIP, TAR, GZIP = "zip", "tar", "gzip"

TAR_BLOCK = 512
"""Bytes of a tar's header."""


def archive_kind(path: Path) -> str:
    """Return a file's kind by its content: "zip", "tar", "gzip", or "" for none; never raises."""
    try:
        if not path.is_file():
            return ""
        with files.open_to_read(path) as file:
            head = file.read(TAR_BLOCK)
    except (OSError, ValueError):
        return ""
    if head.startswith(b"\x1f\x8b\x08"):
        return GZIP
    if head.startswith((b"PK\3\4", b"PK\5\6")):
        return ZIP
    return TAR if looks_like_tar(head) else ""


def archive_above(path: Path) -> Path | None:
    """Return the archive that a path is or leads through, absolute; None where there is none."""
    path = path.absolute()
    found = next((one for one in (path, *path.parents) if os.path.lexists(one)), path)
    return found if archive_kind(found) else None


def exists(path: Path) -> bool:
    """Whether a path is there, as far as that can be told: what is in archives is not looked at."""
    return path.exists() or archive_above(path) is not None


def content_name(name: str) -> str:
    """Return the name of what a gzip file of a name holds."""
    if name.lower().endswith(".tgz"):
        return f"{name[:-4]}.tar"
    return (name[:-3] if name.lower().endswith(".gz") else name) or "content"


def is_folder(path: Path) -> bool:
    """Whether a path is a folder, an archive of files, or leads into one; it is not unpacked."""
    if path.is_dir():
        return True
    archive = archive_above(path)
    if archive is None or archive_kind(archive) != GZIP:
        return archive is not None
    return content_name(archive.name).endswith(".tar")


def looks_like_tar(head: bytes) -> bool:
    """Return whether the first block of a file is a tar header."""
    return len(head) >= TAR_BLOCK and header_checksum(head[:TAR_BLOCK]) == read_octal(head[148:156])


def header_checksum(block: bytes) -> int:
    """Return the sum that a tar's header states of itself."""
    return sum(block[:148]) + 8 * 32 + sum(block[156:TAR_BLOCK])


def read_octal(text: bytes) -> int:
    """Return a number of a tar's header; 0 where it has none, -1 where it is no number.

    A zero byte ends it, as it does for Python's ``tarfile``.
    """
    digits = text.partition(b"\0")[0].strip()
    try:
        return int(digits, 8) if digits else 0
    except ValueError:
        return -1
