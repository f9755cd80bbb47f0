"""One process at a time compiles the kernels of a module; the others load what it has cached.

numba caches what it compiles but knows of no other process: workers that start together with an
empty cache would each compile everything, and write over each other's index of the cache. The lock
is the operating system's (``flock``) on the module's source, so nothing is left behind. Kernels
call those of lower modules only, so no two processes wait for each other; and a process that waited
too long compiles by itself.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

from numba.core.compiler_lock import global_compiler_lock

if sys.platform != "win32":
    import fcntl

LONGEST_WAIT_S = 300.0
_PAUSE_S = 0.02

_held: set[str] = set()
"""Sources that this process has locked; guarded by numba's lock of its compiler."""


def compile_once(dispatcher: Any) -> Any:
    """Let a numba dispatcher compile and cache under the lock of its source; return it."""
    alone = dispatcher.compile
    source = dispatcher.py_func.__code__.co_filename

    def compile_locked(signature: Any) -> Any:
        with global_compiler_lock, hold_source(source):
            return alone(signature)

    dispatcher.compile = compile_locked
    return dispatcher


@contextmanager
def hold_source(path: str, longest: float = LONGEST_WAIT_S) -> Iterator[bool]:
    """Lock a source file against other processes; yield whether it is locked.

    It is not where the file cannot be opened, where there are no locks, and where another process
    held it for longer than it is waited for.

    Args:
        path: The file.
        longest: Seconds.
    """
    if path in _held:  # a kernel that calls another one of its module
        yield True
        return
    opened = _open(path)
    try:
        is_locked = opened >= 0 and _wait(opened, time.monotonic() + longest)
        if is_locked:
            _held.add(path)
        yield is_locked
    finally:
        _held.discard(path)
        if opened >= 0:
            os.close(opened)


def _open(path: str) -> int:
    """Open a file to read; return -1 where that is not possible."""
    with suppress(OSError):
        return os.open(path, os.O_RDONLY)
    return -1


def _wait(opened: int, end: float) -> bool:
    """Lock an open file, or give up at a time of the monotonic clock."""
    if sys.platform == "win32":
        return False
    while True:
        try:
            fcntl.flock(opened, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return True
        except BlockingIOError:
            if time.monotonic() >= end:
                return False
            time.sleep(_PAUSE_S)
        except OSError:
            return False
