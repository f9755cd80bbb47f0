"""What no input may make curate do: watched in the worker while an input is read."""

from __future__ import annotations

import os
import resource
import signal
import sys
import sysconfig
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

SECONDS = 20
"""Most that one input may take."""

MOST_BYTES = 1 << 30
"""Most memory that one input may take beside what the worker has."""

_STOP_BYTES = 6 << 30  # beyond it the system itself refuses memory

_FORBIDDEN = (
    *("subprocess.Popen", "os.exec", "os.posix_spawn", "os.spawn", "os.system", "os.fork"),
    *("socket.connect", "socket.bind", "socket.getaddrinfo", "pickle.find_class", "ctypes.dlopen"),
)
_WRITING = ("os.remove", "os.rename", "os.mkdir", "os.rmdir", "os.link", "os.symlink", "os.chmod")
_LISTING = ("os.listdir", "os.scandir", "os.truncate")
_WRITE_FLAGS = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
_QUIET = (DeprecationWarning, PendingDeprecationWarning, ImportWarning, ResourceWarning)


class TooSlowError(BaseException):
    """An input took longer than :data:`SECONDS`; nothing in the product catches it."""


class Watch:
    """What an input did that it may not: files outside, programs, warnings, output.

    Attributes:
        found: What was seen since :meth:`begin`, as sentences.
    """

    def __init__(self, scratch: Path) -> None:
        self.found: list[str] = []
        self._scratch = os.path.realpath(scratch)
        roots = {sys.prefix, sys.base_prefix, sysconfig.get_paths()["stdlib"], *sys.path}
        package = Path(__file__).resolve().parents[1]
        self._readable = tuple(
            os.path.realpath(str(root))
            for root in (*filter(None, roots), package, "/dev", "/proc", "/sys", "/usr", "/lib")
        )
        self._is_on = self._is_started = False
        self._stderr = os.fstat(2).st_size if _is_file(2) else 0

    def start(self) -> None:
        """Begin to listen, for the rest of the process."""
        self._is_started = True
        sys.addaudithook(self._hook)
        warnings.simplefilter("always")
        for kind in _QUIET:
            warnings.simplefilter("ignore", kind)
        warnings.showwarning = self._warned  # type: ignore[assignment]
        signal.signal(signal.SIGALRM, _too_slow)
        resource.setrlimit(resource.RLIMIT_DATA, (_STOP_BYTES, _STOP_BYTES))

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Watch one input."""
        self.found = []
        before = resident_bytes()
        peak = _peak_bytes()
        self._is_on = self._is_started
        if self._is_started:
            signal.setitimer(signal.ITIMER_REAL, SECONDS)
        try:
            yield
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
            self._is_on = False
        after = _peak_bytes()
        if after > peak and after - before > MOST_BYTES:
            self.found.append(f"it took over {MOST_BYTES >> 20} MB")
        if _is_file(2) and os.fstat(2).st_size != self._stderr:
            self._stderr = os.fstat(2).st_size
            self.found.append("something was written to standard error")

    def _warned(self, message: Any, category: type[Warning], name: str, line: int, *_: Any) -> None:
        if self._is_on and category.__name__ != "ReportWarning":
            place = "/".join(Path(name).parts[-2:])
            self.found.append(f"warning {category.__name__} at {place}:{line}: {str(message)[:80]}")

    def _hook(self, event: str, arguments: tuple[Any, ...]) -> None:
        if not self._is_on or event[0] not in "ocsp":
            return
        if event == "open":
            path, _, flags = arguments
            if isinstance(path, str | bytes):
                self._check(path, bool(flags & _WRITE_FLAGS), event)
        elif event in _WRITING:
            for path in _paths_of(event, arguments):
                self._check(path, True, event)
        elif event in _LISTING and isinstance(arguments[0], str | bytes):
            self._check(arguments[0], event == "os.truncate", event)
        elif event == "ctypes.dlopen" and _is_installed(arguments[0]):
            return  # a library of the environment: no input can have put it there
        elif event in _FORBIDDEN and not _is_of_numba():
            self.found.append(f"{event} {str(arguments)[:80]}")

    def _check(self, path: str | bytes, writes: bool, event: str) -> None:
        self._is_on = False  # what is asked here is no business of the hook
        try:
            real = os.path.realpath(os.fsdecode(path))
            if _is_in(real, self._scratch) or real == os.devnull or "__pycache__" in real:
                return  # the last is numba's cache of compiled kernels
            if not writes and any(_is_in(real, root) for root in self._readable):
                return
            self.found.append(f"{'writes' if writes else 'reads'} outside ({event} {real[:80]})")
        except (OSError, ValueError):
            return
        finally:
            self._is_on = True


def _is_installed(path: object) -> bool:
    """Return whether a library lies in the environment's folder of packages."""
    packages = os.path.realpath(sysconfig.get_paths()["platlib"])
    return isinstance(path, str) and _is_in(os.path.realpath(path), packages)


def _is_of_numba() -> bool:
    """Return whether numba is at work, which keeps compiled kernels as pickles of its own."""
    frame: FrameType | None = sys._getframe(2)
    while frame is not None:
        if "/numba/core/" in frame.f_code.co_filename:
            return True
        frame = frame.f_back
    return False


def _paths_of(event: str, arguments: tuple[Any, ...]) -> list[str | bytes]:
    """Return the paths that an event names; those relative to an open folder as whole ones."""
    if event == "os.symlink":
        arguments = arguments[1:]  # where it leads is not touched
    count = 2 if event in ("os.rename", "os.link") else 1
    found: list[str | bytes] = []
    for path, folder in zip(arguments[:count], arguments[-count:], strict=True):
        if not isinstance(path, str | bytes):
            continue
        if isinstance(folder, int) and folder >= 0 and event != "os.chmod":
            path = os.path.join(f"/proc/self/fd/{folder}", os.fsdecode(path))
        found.append(path)
    return found


def _is_in(path: str, root: str) -> bool:
    return path == root or path.startswith(root.rstrip("/") + "/")


def _is_file(handle: int) -> bool:
    import stat

    return stat.S_ISREG(os.fstat(handle).st_mode)


def _too_slow(number: int, frame: FrameType | None) -> None:
    del number, frame
    raise TooSlowError


def resident_bytes() -> int:
    """Return the memory that this process has now."""
    with open("/proc/self/statm", "rb") as file:
        return int(file.read().split()[1]) * resource.getpagesize()


def _peak_bytes() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss << 10
