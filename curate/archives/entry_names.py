"""Names in archives: checked, so that each is a file below one folder, and no two are one file."""

from __future__ import annotations

import re

from curate.errors import SourceError

_DRIVE = re.compile(r"[A-Za-z]:")
_NEVER_READ = ("__MACOSX",)
_NEVER_FILES = (".DS_Store", "Thumbs.db", "desktop.ini")
_LONGEST = 255  # bytes of a name, on all usual disks


class EntryNames:
    """The names of an archive, one by one.

    Args:
        archive: The archive's name, for messages.
    """

    def __init__(self, archive: str) -> None:
        self.archive = archive
        self._files: set[str] = set()
        self._folders: set[str] = set()

    def path_of(self, name: str, *, is_folder: bool = False) -> str:
        """Return the path of a name below the folder that the archive is unpacked into.

        Args:
            name: The name as it stands in the archive.
            is_folder: Whether it is that of a folder.

        Returns:
            The path with ``/``; "" for the folder itself.

        Raises:
            SourceError: It leads elsewhere, or another file has it.
        """
        if reason := _fault_of(name):
            raise self.refuse(name, reason)
        parts = [part for part in name.split("/") if part not in ("", ".")]
        path = "/".join(parts)
        above = {"/".join(parts[:depth]) for depth in range(1, len(parts))}
        if is_folder:
            above.add(path)
        elif path in self._files or path in self._folders or not path:
            raise self.refuse(name, "its name stands twice in it")
        else:
            self._files.add(path)
        if above & self._files:
            raise self.refuse(name, "its folder stands there as a file too")
        self._folders |= above - {""}
        return path

    def refuse(self, name: str, reason: str) -> SourceError:
        """Return the error on a file of the archive."""
        do = "do not trust the archive: look into it, and unpack it yourself"
        return SourceError(f"its file {name[:120]!r} is refused: {reason}", self.archive, do)


def _fault_of(name: str) -> str:
    if "\0" in name:
        return "its name holds a zero byte"
    if name.startswith(("/", "\\")) or _DRIVE.match(name):
        return "its name is an absolute path"
    parts = name.replace("\\", "/").split("/")
    if ".." in parts:
        return "its name leads out of the archive"
    if any(len(part.encode("utf-8", "surrogatepass")) > _LONGEST for part in parts):
        return f"its name is over {_LONGEST} bytes long"
    if not name.isprintable() and any(ord(letter) < 32 for letter in name):
        return "its name holds control characters"
    return ""


def is_clutter(path: str) -> bool:
    """Whether a file is what systems put beside others': it is not unpacked, but stays."""
    parts = path.split("/")
    return parts[0] in _NEVER_READ or parts[-1] in _NEVER_FILES
