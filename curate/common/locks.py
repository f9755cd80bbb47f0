"""Directory locks: one writer at a time, the holder by name, none left by a killed process.

The lock is the operating system's (``flock``) on a hidden file in the directory, in which its owner
is named. A process that ends, however it ends, lets go of it; the file that a killed one leaves is
taken over by the next. On a disk without such locks, or a system without them, the file itself is
the lock: then the named owner is asked for on this machine, and believed on another.
"""

from __future__ import annotations

import errno
import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import orjson

from curate.common import files
from curate.errors import AuditError, unwritable

if sys.platform != "win32":
    import fcntl

LOCK = ".curate.lock"
"""The hidden file of a directory that something is being written into."""

_NO_LOCKS = (errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOSYS, errno.EINVAL)
_LONGEST = 4096  # bytes read of the file: its size is not believed


@dataclass(frozen=True)
class Owner:
    """Who holds a directory.

    Attributes:
        host: The machine's name.
        pid: The process's number there.
        doing: The command.
        since: When it began, in seconds since 1970.
    """

    host: str = ""
    pid: int = 0
    doing: str = ""
    since: int = 0

    def __str__(self) -> str:
        if not self.pid:
            return "another process"
        begun = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(self.since))
        return f"`curate {self.doing}`, process {self.pid} on {self.host}, begun at {begun}"


@contextmanager
def hold_directory(folder: Path, doing: str) -> Iterator[None]:
    """Hold a directory, so that nobody else writes into it during the block.

    The directory is made where it is not there, and removed again where the block leaves it empty.
    Temporary files that killed runs have left in it are removed first.

    Args:
        folder: The directory.
        doing: The command, for the sentence that others get: "audit".

    Raises:
        AuditError: Another process holds it, or it cannot be written.
    """
    made = not folder.exists()
    path = folder / LOCK
    try:
        files.mkdir(folder, parents=True, exist_ok=True)
        held = _open_locked(path)
    except FileExistsError as error:
        raise AuditError("it is a file", str(folder), "choose a directory") from error
    except OSError as error:
        raise unwritable(error, folder) from error
    try:
        try:
            _sign(held, path, doing)
            files.remove_temporaries(folder)
        except OSError as error:
            raise unwritable(error, folder) from error
        yield
    finally:
        # Unlinked while held: whoever opened it meanwhile sees that it is not the file there now.
        with suppress(OSError):
            files.unlink(path, missing_ok=True)
        os.close(held)
        if made:
            with suppress(OSError):
                files.rmdir(folder)


def refuse_locked(folder: Path) -> None:
    """Check that nobody is writing into a directory.

    Raises:
        AuditError: Somebody is.
    """
    owner = find_holder(folder)
    if owner is not None:
        raise AuditError(f"{owner} is writing here", str(folder), "wait until it has ended")


def find_holder(folder: Path) -> Owner | None:
    """Return the owner of a directory's lock, None where it is free."""
    try:
        with open(folder / LOCK, "rb") as file:
            try:
                return None if _lock(file.fileno(), shared=True) else _read(file.fileno())
            except OSError:  # no locks here
                found = _read(file.fileno())
                return found if _is_there(found) else None
    except OSError:
        return None


def _open_locked(path: Path) -> int:
    """Open the lock's file and lock it.

    Raises:
        AuditError: Somebody else has it.
        OSError: It cannot be opened.
    """
    while True:
        opened = files.open_shared(path)
        try:
            if not _try_take(opened):
                raise _refusal(path, _read(opened))
            if _is_named(opened, path):
                return opened
        except BaseException:
            os.close(opened)
            raise
        os.close(opened)  # its owner has just let go of it, and removed it


def _try_take(opened: int) -> bool:
    """Take the lock of an open file; return whether that worked."""
    try:
        return _lock(opened)
    except OSError:
        return not _is_there(_read(opened))  # no locks here: what the file says counts


def _lock(opened: int, *, shared: bool = False) -> bool:
    """Lock an open file without waiting; return whether that worked.

    Raises:
        OSError: There are no locks on this disk or system.
    """
    if sys.platform == "win32":
        raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS))
    try:
        fcntl.flock(opened, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError as error:
        if error.errno not in _NO_LOCKS:
            return False
        raise
    return True


def _sign(opened: int, path: Path, doing: str) -> None:
    """Write into the locked file who holds it."""
    host, _, pid = files.process_tag().rpartition("-")
    said = orjson.dumps(asdict(Owner(host, int(pid), doing, int(time.time()))))
    files.rewrite_shared(opened, path, said)


def _read(opened: int) -> Owner:
    """Return who is named in a lock's file; nobody where that cannot be read."""
    try:
        said: Any = orjson.loads(os.pread(opened, _LONGEST, 0))
        return Owner(
            str(said["host"])[:40], int(said["pid"]), str(said["doing"])[:40], int(said["since"])
        )
    except (orjson.JSONDecodeError, KeyError, TypeError, ValueError, OSError):
        return Owner()


def _is_there(owner: Owner) -> bool:
    """Whether a named owner is at work still: on another machine that is believed."""
    host, _, pid = files.process_tag().rpartition("-")
    if not owner.pid or (owner.host == host and owner.pid == int(pid)):
        return False
    return owner.host != host or files.is_alive(owner.pid)


def _is_named(opened: int, path: Path) -> bool:
    """Whether an open file is the one that stands at a path."""
    try:
        return os.path.samestat(os.fstat(opened), os.stat(path))
    except FileNotFoundError:
        return False


def _refusal(path: Path, owner: Owner) -> AuditError:
    what = f"{owner} is writing here"
    return AuditError(what, str(path.parent), "wait until it has ended, or choose another place")
