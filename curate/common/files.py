"""File operations: every write to disk goes through here, one system call at a time.

Before each operation a hook is called. It is None but in tests, which kill the process, let the
operation fail or cut a write short at any of them (see ``tests/faults``). A library that would
write to a path itself is given a file of :func:`open_file` instead, and one that would write to its
descriptor (Pillow) writes into memory.
"""

from __future__ import annotations

import errno
import io
import os
import re
import shutil
import socket
import stat
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, Literal, cast

from curate.errors import AuditError, unwritable

if TYPE_CHECKING:
    import sqlite3

Hook = Callable[[str, Path], int | None]
"""(operation, path) to None, or for a write to the number of bytes that it writes at most.

Operations are the names of the system's: open, write, truncate, fsync, replace, link, symlink,
unlink, rmdir, mkdir, chmod, utime; and SQLite's open and commit.
"""

_hook: Hook | None = None

_SCRATCH = "curate."

PARTIAL = ".partial"
"""How the names end of what is made beside an output, and gets its name when it is whole."""

_NO_LINKS = (errno.EPERM, errno.ENOSYS, errno.EOPNOTSUPP, errno.EMLINK)
_BUFFER_BYTES = 1 << 18
_COPIED_BYTES = 1 << 20


def _before(operation: str, path: Path | str) -> int | None:
    return None if _hook is None else _hook(operation, Path(path))


class _Raw(io.FileIO):
    """A file of which each write is one call of the system."""

    def __init__(
        self, path: Path, mode: str, opener: Callable[[str, int], int] | None = None
    ) -> None:
        self._path = path
        _before("open", path)
        super().__init__(str(path), mode, opener=opener)

    def write(self, data: Any, /) -> int:
        most = _before("write", self._path)
        return super().write(data if most is None else memoryview(data).cast("B")[:most])

    def truncate(self, size: int | None = None, /) -> int:
        _before("truncate", self._path)
        return super().truncate(size)


def open_file(
    path: Path, mode: Literal["wb", "xb", "ab", "r+b"] = "wb", *, rights: int = 0o666
) -> BinaryIO:
    """Open a file for writing.

    Args:
        path: The file.
        mode: As :func:`open` takes it.
        rights: Of a file that is made, less the process's umask.
    """
    raw = _Raw(path, mode, lambda name, flags: os.open(name, flags, rights))
    if mode == "r+b":
        return cast(BinaryIO, io.BufferedRandom(raw, _BUFFER_BYTES))
    return cast(BinaryIO, io.BufferedWriter(raw, _BUFFER_BYTES))


def open_to_read(path: Path) -> BinaryIO:
    """Open a file for reading, if it is one.

    A pipe would be waited for without end, and a device such as ``/dev/zero`` read without end:
    whoever finds a name in a folder opens it by this.

    Raises:
        OSError: It is a pipe, a socket or a device, or a link to one; or it cannot be opened.
    """
    return open(path, "rb", opener=_open_ordinary)


def _open_ordinary(name: str, flags: int) -> int:
    opened = os.open(name, flags | getattr(os, "O_NONBLOCK", 0))  # a pipe opens at once
    kind = os.fstat(opened).st_mode
    if stat.S_ISREG(kind) or stat.S_ISDIR(kind):  # of a folder, open() says so itself
        return opened
    os.close(opened)
    raise OSError(errno.EINVAL, "it is a pipe or a device, not a file", name)


def open_shared(path: Path) -> int:
    """Open a file for reading and writing, made where it is not there; return its descriptor.

    What is written into it is of no lasting worth: it is a lock's file.
    """
    _before("open", path)
    return os.open(path, os.O_RDWR | os.O_CREAT, 0o666)


def rewrite_shared(opened: int, path: Path, data: bytes) -> None:
    """Replace what is in a file of :func:`open_shared`."""
    _before("truncate", path)
    os.ftruncate(opened, 0)
    most = _before("write", path)
    os.pwrite(opened, data if most is None else data[:most], 0)


@contextmanager
def convert_write_errors(place: Path) -> Iterator[None]:
    """Turn the operating system's errors in the block into an :class:`AuditError` on a place."""
    try:
        yield
    except OSError as error:
        if error.errno is None:  # not the operating system's: a library has so named its own
            raise
        raise unwritable(error, place) from error


def write_bytes(path: Path, data: bytes) -> None:
    """Write a file's whole content."""
    with open_file(path) as file:
        file.write(data)


def write_text(path: Path, text: str, *, errors: str = "strict") -> None:
    """Write a file's whole content as UTF-8."""
    write_bytes(path, text.encode("utf-8", errors))


class _Sink:
    """Only what NumPy needs: into a file of the system's it writes behind Python's back."""

    def __init__(self, file: BinaryIO) -> None:
        self.write = file.write


def save_array(file: BinaryIO, array: Any) -> None:
    """Write an array as ``.npy`` into an open file."""
    import numpy as np

    np.save(cast(Any, _Sink(file)), array, allow_pickle=False)


def announce_library_write(path: Path) -> None:
    """Announce that a library writes a file or folder next, which it takes by its path."""
    _before("write", path)


def open_null() -> BinaryIO:
    """Open a file that keeps nothing of what is written into it."""
    return open(os.devnull, "wb")


def sync(file: BinaryIO) -> None:
    """Flush what was written into a file to the disk itself."""
    file.flush()
    _before("fsync", str(file.name))
    os.fsync(file.fileno())


def replace(source: Path, target: Path) -> None:
    """Give a file or folder another name, in place of the file that has it."""
    _before("replace", target)
    os.replace(source, target)


def rename(source: Path, target: Path) -> None:
    """Give a file or folder another name; a folder only in place of an empty one."""
    _before("replace", target)
    os.rename(source, target)


def link(source: Path, target: Path) -> None:
    """Give a file a second name, which nothing may have."""
    _before("link", target)
    os.link(source, target)


def name_new(made: Path, place: Path) -> None:
    """Give a file another name, if nothing has that; it may keep the one that it has.

    Raises:
        FileExistsError: Something has it.
        OSError: It cannot be named.
    """
    try:
        link(made, place)
    except OSError as error:
        if error.errno not in _NO_LINKS:
            raise
        open_file(place, "xb").close()
        try:
            replace(made, place)
        except BaseException:
            unlink(place, missing_ok=True)
            raise


def symlink(points_to: str, target: Path) -> None:
    """Make a symbolic link."""
    _before("symlink", target)
    os.symlink(points_to, target)


def unlink(path: Path, *, missing_ok: bool = False) -> None:
    """Remove a file or link."""
    if missing_ok and not os.path.lexists(path):
        return  # nothing is changed, so no test need disturb it
    _before("unlink", path)
    path.unlink(missing_ok=missing_ok)


def rmdir(path: Path) -> None:
    """Remove an empty folder."""
    _before("rmdir", path)
    path.rmdir()


def mkdir(
    path: Path, *, parents: bool = False, exist_ok: bool = False, rights: int = 0o777
) -> None:
    """Make a folder."""
    if exist_ok and path.is_dir():
        return
    if parents and not os.path.lexists(path.parent):
        mkdir(path.parent, parents=True, exist_ok=True)
    _before("mkdir", path)
    path.mkdir(rights, exist_ok=exist_ok)


def remove_tree(path: Path, *, quiet: bool = False) -> None:
    """Remove a folder with all that is in it; links are removed, not followed.

    Args:
        path: The folder.
        quiet: Leave what cannot be removed, or is not there.
    """
    with suppress(*(OSError,) if quiet else ()):
        if path.is_symlink():
            unlink(path)
            return
        with os.scandir(path) as listed:
            entries = sorted((entry.name, entry.is_dir(follow_symlinks=False)) for entry in listed)
        for name, is_folder in entries:
            if is_folder:
                remove_tree(path / name, quiet=quiet)
            else:
                with suppress(*(OSError,) if quiet else ()):
                    unlink(path / name)
        rmdir(path)


def copy_bytes(source: Path, target: Path) -> Path:
    """Copy a file's content; return the target."""
    with open_to_read(source) as old, open_file(target) as new:
        shutil.copyfileobj(old, new, _COPIED_BYTES)
    return target


def copy_attributes(source: Path, target: Path, *, times: bool = True) -> None:
    """Give a file another one's rights and, unless they are to stay, its times."""
    _before("chmod", target)
    (shutil.copystat if times else shutil.copymode)(source, target)


def chmod(path: Path, rights: int) -> None:
    """Set the rights of a file or folder."""
    _before("chmod", path)
    path.chmod(rights)


def set_times(path: Path, ns: int) -> None:
    """Set when a file was last used and changed, in nanoseconds since 1970."""
    _before("utime", path)
    os.utime(path, ns=(ns, ns))


def open_temporary(folder: Path, prefix: str, suffix: str = "") -> tuple[BinaryIO, Path]:
    """Make a file of a new name that only this user may read, and open it for writing."""
    made: list[str] = []

    def opener(_name: str, _flags: int) -> int:
        handle, name = tempfile.mkstemp(prefix=prefix, suffix=suffix, dir=folder)
        made.append(name)
        return handle

    raw = _Raw(folder / f"{prefix}{suffix}", "wb", opener)
    return cast(BinaryIO, io.BufferedWriter(raw, _BUFFER_BYTES)), Path(made[0])


def temporary_folder(folder: Path, prefix: str, suffix: str = "") -> Path:
    """Make a folder of a new name that only this user may read."""
    _before("mkdir", folder / f"{prefix}{suffix}")
    return Path(tempfile.mkdtemp(prefix=prefix, suffix=suffix, dir=folder))


@contextmanager
def scratch() -> Iterator[Path]:
    """Yield a folder in the system's place for temporary files, which is removed at the end.

    Those that killed processes of this machine have left are removed first.

    Raises:
        AuditError: None can be made.
    """
    try:
        _sweep_scratch()
        _before("mkdir", Path(tempfile.gettempdir()) / _SCRATCH)
        made = tempfile.TemporaryDirectory(
            prefix=f"{_SCRATCH}{process_tag()}-", ignore_cleanup_errors=True
        )
    except OSError as error:
        what = (
            f"no folder for temporary files can be made ({(error.strerror or str(error)).lower()})"
        )
        do = "name another place in the environment variable TMPDIR"
        raise AuditError(what, str(tempfile.tempdir or ""), do) from error
    with made as folder:
        yield Path(folder)


@cache
def _sweep_scratch() -> None:
    with suppress(OSError):  # others' are not ours to remove
        remove_abandoned(Path(tempfile.gettempdir()), _SCRATCH, "")


def partial_prefix(out: Path) -> str:
    """Return how the names begin of what becomes an output; they end in :data:`PARTIAL`."""
    return f".{out.name[:40]}."


def umask() -> int:
    """Return the process's file mode mask; reading it means setting it for a moment."""
    mask = os.umask(0o022)
    os.umask(mask)
    return mask


def open_database(
    path: Path, timeout: float, *, mode: str = "rwc", any_thread: bool = False
) -> sqlite3.Connection:
    """Open an SQLite file, which may write beside it even to read.

    Args:
        path: The file.
        timeout: Seconds to wait for another process that writes.
        mode: As in SQLite's URIs: rwc, rw or ro.
        any_thread: Whether others than this thread use it too.
    """
    import sqlite3

    _before("open", path)
    uri = f"{path.resolve().as_uri()}?mode={mode}"
    return sqlite3.connect(
        uri,
        uri=True,
        timeout=timeout,
        isolation_level=None,  # transactions begin and end where it is said
        check_same_thread=not any_thread,
    )


def commit(connection: sqlite3.Connection) -> None:
    """End an SQLite transaction with all that was written in it."""
    if _hook is not None:
        _before("commit", connection.execute("pragma database_list").fetchone()[2])
    connection.execute("commit")


def process_tag() -> str:
    """Return this process's tag in names of temporary files: its machine and its number."""
    return f"{_host()}-{os.getpid()}"


def find_abandoned(folder: Path, prefix: str, suffix: str) -> list[Path]:
    """Find what killed processes of this machine have left, named by :func:`process_tag`."""
    owned = re.compile(rf"\.{re.escape(_host())}-([0-9]+)(?:-[^.]*)?$")
    found = []
    for entry in os.scandir(folder):
        if entry.name.startswith(prefix) and entry.name.endswith(suffix):
            process = owned.search(entry.name.removesuffix(suffix))
            if process and not is_alive(int(process[1])):
                found.append(Path(entry.path))
    return found


def remove_abandoned(folder: Path, prefix: str = ".", suffix: str = ".tmp") -> None:
    """Remove the temporary files and folders of processes of this machine that were killed.

    Args:
        folder: Where to look; not in folders below it.
        prefix: How their names begin, before the machine and the process.
        suffix: How they end.
    """
    for path in find_abandoned(folder, prefix, suffix):
        if path.is_dir() and not path.is_symlink():
            remove_tree(path, quiet=True)
        else:
            unlink(path, missing_ok=True)


def remove_temporaries(folder: Path) -> None:
    """Remove the temporary files that any run has left, on whatever machine it was killed.

    Those of another process of this machine that is at work stay. Only for folders into which one
    run at a time writes.
    """
    own = re.compile(rf"\.{re.escape(_host())}-([0-9]+)\.tmp$")
    names = os.listdir(folder) if folder.is_dir() else []
    for name in sorted(names):
        if name.startswith(".") and name.endswith(".tmp"):
            process = own.search(name)
            pid = int(process[1]) if process else 0
            if pid in (0, os.getpid()) or not is_alive(pid):
                unlink(folder / name, missing_ok=True)


def _host() -> str:
    return socket.gethostname()[:40]


def is_alive(pid: int) -> bool:
    """Return whether this machine has a process of that number."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except (PermissionError, OverflowError):
        return True
    return True
