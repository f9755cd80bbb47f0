"""Where a dataset is written: checked first, made beside its place, named at the end."""

from __future__ import annotations

import errno
import os
import shutil
import socket
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from curate.errors import AuditError, CallError, SourceError
from curate.fingerprint import fingerprint

_PARTIAL = ".partial"


def refuse_changed(source: Path, before: str | None) -> None:
    """See that a source is still what was audited.

    Raises:
        SourceError: It is gone or has changed.
    """
    if not source.exists():
        do = "put it back, name its new place with --source, or audit it where it is now"
        raise SourceError("the audited dataset is not there any more", str(source), do)
    if before is not None and fingerprint(source) != before:
        raise changed_since(source)


def changed_since(source: Path) -> SourceError:
    """Return the error that a source is not what was audited."""
    do = "audit it again: the decisions are about what it held then"
    return SourceError("it has changed since it was audited", str(source), do)


def refuse_place(source: Path, audit: Path, out: Path) -> None:
    """See that an output is free and overwrites nothing.

    Raises:
        CallError: It is taken, or lies in the source or the audit.
    """
    place, held = out.resolve(), source.resolve()
    if place == held:
        raise CallError("the output is the source itself", str(out), "choose another output")
    if source.is_dir() and place.is_relative_to(held):
        raise CallError("the output lies inside the source", str(out), "choose another output")
    if place.is_relative_to(audit.resolve()):
        raise CallError("the output lies inside the audit", str(out), "choose another output")
    empty = not out.exists() or (source.is_dir() and out.is_dir() and not any(out.iterdir()))
    if not empty or out.is_symlink():
        raise CallError("it exists already", str(out), "choose another output, or remove it")


@contextmanager
def beside(out: Path) -> Iterator[Path]:
    """Yield a new folder on the same disk as ``out``; it is removed with all that is left in it.

    What a killed run left behind is removed first.

    Raises:
        AuditError: The folder, or what is made in it, cannot be written.
    """
    prefix = f".{out.name[:40]}.{socket.gethostname()[:40]}-"
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        _remove_abandoned(out.parent, prefix)
        folder = Path(
            tempfile.mkdtemp(prefix=f"{prefix}{os.getpid()}-", suffix=_PARTIAL, dir=out.parent)
        )
    except OSError as error:
        raise _unwritable(error, out) from error
    try:
        yield folder
    except AuditError as error:
        if not error.where.startswith(str(folder)):
            raise
        raise AuditError(error.what, str(out), error.do) from error  # the folder is soon gone
    except OSError as error:
        raise _unwritable(error, out) from error
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def put(made: Path, place: Path) -> None:
    """Give a finished file its name, on whatever disk that is; all of it is there or nothing.

    Args:
        made: The file; it may be gone afterwards.
        place: Its place; a file there is replaced.

    Raises:
        AuditError: It cannot be written there.
    """
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        os.replace(made, place)
    except OSError as error:
        if error.errno != errno.EXDEV:
            raise _unwritable(error, place) from error
        with beside(place) as folder:  # another disk
            copy = Path(shutil.copyfile(made, folder / made.name))
            with copy.open("rb+") as file:
                os.fsync(file.fileno())
            os.replace(copy, place)


def _remove_abandoned(parent: Path, prefix: str) -> None:
    """Remove folders for the same output whose process, of this machine, was killed."""
    for path in parent.glob(f"{_escaped(prefix)}*{_PARTIAL}"):
        pid = path.name.removeprefix(prefix).partition("-")[0]
        if pid.isdecimal() and not _is_alive(int(pid)):
            shutil.rmtree(path, ignore_errors=True)


def _escaped(text: str) -> str:
    return "".join(f"[{c}]" if c in "*?[" else c for c in text)


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except (PermissionError, OverflowError):
        return True
    return True


def _unwritable(error: OSError, out: Path) -> AuditError:
    reason = (error.strerror or str(error)).lower()
    do = "make room on the disk, or choose another place"
    return AuditError(f"it cannot be written ({reason})", str(out), do)
