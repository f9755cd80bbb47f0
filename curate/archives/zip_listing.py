"""Zip directories, checked before they are read: they may list millions of files."""

from __future__ import annotations

import zipfile
from pathlib import Path

MOST_LIST_BYTES = 16 << 20
"""Bytes of the list of files in a zip: some 200,000 names, of which Python makes 150 MB."""

_TAIL = 22 + 65_535  # the end record and the longest comment


_PARQUET = b"PAR1"


def damage_of(path: Path) -> str:
    """Return the finding that a file begins as a zip or Parquet and does not end so; "" for none.

    Both say at their end what is in them, so that nothing can be read of one that is cut short.

    Raises:
        OSError: It cannot be read.
    """
    with path.open("rb") as file:
        head = file.read(4)
        size = file.seek(0, 2)
        file.seek(max(0, size - 4))
        tail = file.read()
    if head == b"PK\3\4" and not zipfile.is_zipfile(path):
        return "the zip is damaged or cut short"
    if head == _PARQUET and (tail != _PARQUET or size < 12):
        return "the Parquet file is damaged or cut short"
    return ""


class TooManyFiles(zipfile.BadZipFile):
    """A zip lists more files than are read."""


def open_zip(path: Path, most: int | None = None) -> zipfile.ZipFile:
    """Open a zip.

    Args:
        path: The file.
        most: Bytes that its list of files may take; None: :data:`MOST_LIST_BYTES`.

    Raises:
        zipfile.BadZipFile: It is none, or lists too many files.
        OSError: It cannot be read.
    """
    size, most = list_bytes(path), MOST_LIST_BYTES if most is None else most
    if size > most:
        limit = f"over the limit of {most:,}"
        raise TooManyFiles(f"its list of files takes {size:,} bytes, {limit}")
    return zipfile.ZipFile(path)


def list_bytes(path: Path) -> int:
    """Return how long the list of files is by the end record; 0 where there is none."""
    with path.open("rb") as file:
        size = file.seek(0, 2)
        begin = max(0, size - _TAIL - 20)
        file.seek(begin)
        tail = file.read()
        longest = 0
        at = tail.find(b"PK\5\6")
        while at >= 0:  # whichever of them Python takes
            longest = max(longest, int.from_bytes(tail[at + 12 : at + 16], "little"))
            if tail[at - 20 : at - 16] == b"PK\6\7":  # zip64: its own record counts
                file.seek(int.from_bytes(tail[at - 12 : at - 4], "little"))
                record = file.read(56)
                if record.startswith(b"PK\6\6"):
                    longest = max(longest, int.from_bytes(record[40:48], "little"))
            at = tail.find(b"PK\5\6", at + 4)
    return min(longest, size)
