"""Locks of entries in the cache: one process unpacks, any number read, none removes what is read.

The lock is the operating system's, on a file beside the entry. Where there are none, an entry still
is whole or absent, but may be unpacked twice, and is never removed.
"""

from __future__ import annotations

import errno
import os
import sys
from collections import OrderedDict
from pathlib import Path

from curate.common import files

if sys.platform != "win32":
    import fcntl

_NO_LOCKS = (errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOSYS, errno.EINVAL)
_MOST_HELD = 64

_held: OrderedDict[Path, int] = OrderedDict()
"""Descriptors of the entries that this process reads; it holds on to those of the last ones."""


def take(path: Path, *, wait: bool, shared: bool = False) -> int | None:
    """Lock an entry's file; return its descriptor, None where another process has it.

    Who reads an entry shares its lock with other readers, in this process too; who has it alone may
    make or remove the entry.

    Args:
        path: The file.
        wait: Whether to wait until it is free.
        shared: Whether others may read at the same time.

    Raises:
        OSError: The file cannot be made.
    """
    while True:
        opened = files.open_shared(path)
        try:
            if sys.platform == "win32":
                return opened
            how = fcntl.LOCK_SH if shared else fcntl.LOCK_EX
            fcntl.flock(opened, how | (0 if wait else fcntl.LOCK_NB))
            if _is_named(opened, path):
                return opened
        except BlockingIOError:
            os.close(opened)
            return None
        except OSError as error:
            if error.errno not in _NO_LOCKS:
                raise
            if wait:
                return opened
            os.close(opened)
            return None
        except BaseException:
            os.close(opened)
            raise
        os.close(opened)  # it was removed while this process waited


def keep(path: Path, opened: int) -> None:
    """Hold the lock of an entry that is read until this process ends, or has read many others."""
    before = _held.pop(path, None)
    _held[path] = opened
    if before is not None:
        os.close(before)
    while len(_held) > _MOST_HELD:
        os.close(_held.popitem(last=False)[1])


def _is_named(opened: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(opened), os.stat(path))
    except FileNotFoundError:
        return False
