"""Limits of unpacking: bytes that come out, and free space of the disk, counted as they come."""

from __future__ import annotations

import shutil
from pathlib import Path

from curate.common.cache_folder import VARIABLE, cache_folder
from curate.errors import SourceError

UNCHECKED_BYTES = 1 << 30
"""Up to this size an archive is unpacked however well it was packed."""

MAX_RATIO = 200
"""What unpacks to more than so many times its size is taken for a bomb. Plain masks in TIFF pack
some hundred times, PNG, JPEG and JSON at most twenty."""

RESERVE_BYTES = 256 << 20
"""Space that unpacking leaves free on the disk."""

_LOOK_BYTES = 32 << 20  # as much is written between two looks at the disk


class Limits:
    """What may still come out of one archive.

    Args:
        archive: The archive; its real size counts.
        folder: Where it is unpacked.
        declared: What its files take by its own account: no more than a reason to refuse early.

    Raises:
        SourceError: The disk has no room for what is declared.
    """

    def __init__(self, archive: Path, folder: Path, declared: int = 0) -> None:
        self.archive, self.folder = archive, folder
        self.most = max(UNCHECKED_BYTES, MAX_RATIO * archive.stat().st_size)
        self.size = self._looked = 0
        if declared > self.most:
            raise self._bomb()
        self._look(declared)

    def count(self, size: int) -> None:
        """Count bytes that are about to be written.

        Raises:
            SourceError: They are too many for the archive or for the disk.
        """
        self.size += size
        if self.size > self.most:
            raise self._bomb()
        if self.size - self._looked > _LOOK_BYTES:
            self._looked = self.size
            self._look(size)

    def _look(self, needed: int) -> None:
        free = shutil.disk_usage(self.folder).free
        if needed + RESERVE_BYTES > free:
            need = f"at least {needed / 1e9:,.1f} GB" if needed > 1e8 else "more space"
            what = f"unpacking it takes {need}, and {free / 1e9:,.1f} GB are free"
            do = f"make room, or name a folder on another disk in {VARIABLE}"
            raise SourceError(f"{what} in {cache_folder()}", str(self.archive), do)

    def _bomb(self) -> SourceError:
        what = f"it unpacks to over {self.most:,} bytes, {MAX_RATIO} times what it takes"
        do = "if you trust it, unpack it yourself and name the folder"
        return SourceError(what, str(self.archive), do)
