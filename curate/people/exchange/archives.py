"""Zip archives of tool exports: listing, size checks, safe extraction of single files."""

from __future__ import annotations

import zipfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path, PurePosixPath

from curate.archives.zip_listing import TooManyFiles, open_zip
from curate.common import files
from curate.errors import SourceError
from curate.formats.format import convert_read_errors

MAX_BYTES = 16 << 30
"""Most that is taken out of a zip, all of its files together."""

UNCHECKED_BYTES = 64 << 20
"""Up to this size files are taken out however well they were packed."""

MAX_RATIO = 200
"""What unpacks to more than so many times its size is a bomb; run lengths pack 20 times. It holds
for each file and for the zip: files may share what they are packed in."""

_HEAD = 1 << 16
_CHUNK = 1 << 20
_BROKEN = (zipfile.BadZipFile, EOFError, NotImplementedError, RuntimeError)


def is_zip(path: Path) -> bool:
    """Return whether a file is a zip; never raises."""
    try:
        return path.is_file() and zipfile.is_zipfile(path)
    except OSError:
        return False


def list_names(path: Path) -> list[str]:
    """Return the names of the files in a zip or a folder, as plain relative paths; never raises.

    A folder is listed two levels deep: its own files and those of its direct subfolders.
    """
    try:
        if path.is_dir():
            found = [*path.glob("*.*"), *path.glob("*/*.xml"), *path.glob("*/*.json")]
            return sorted(p.relative_to(path).as_posix() for p in found if p.is_file())
        with open_zip(path) as archive:
            return [one.filename for one in archive.infolist() if not one.is_dir()]
    except Exception:  # zipfile raises whatever it stumbles over in a damaged one
        return []


def read_head(path: Path, name: str) -> bytes:
    """Return the first bytes of a file in a zip or folder; empty where it cannot be read."""
    try:
        if path.is_dir():
            with (path / name).open("rb") as file:
                return file.read(_HEAD)
        with open_zip(path) as archive, archive.open(name) as packed:
            return packed.read(_HEAD)
    except Exception:  # as above
        return b""


@contextmanager
def open_files(path: Path, wanted: Callable[[str], bool]) -> Iterator[Iterable[tuple[str, Path]]]:
    """Open selected files of a zip or folder, with their names, for the duration of the block.

    Those of a zip are taken out one by one: each is there until the next one is asked for.

    Args:
        path: The zip or folder.
        wanted: Which files, by their names.

    Raises:
        SourceError: The zip is broken or protected, or a file of it, or all of them together,
            unpack to far more than they are.
    """
    names = [name for name in list_names(path) if wanted(name)]
    if path.is_file() and not names:
        _check_members(path)
    if path.is_dir():
        yield [(name, path / name) for name in names]
        return
    with files.scratch() as work:
        yield _extract(path, names, work)


def _check_members(path: Path) -> None:
    with convert_read_errors(path), suppress(ValueError, *_BROKEN):
        try:
            open_zip(path).close()
        except TooManyFiles as error:
            raise SourceError(str(error), path.name, "do not open it") from error


def _extract(path: Path, names: list[str], work: Path) -> Iterator[tuple[str, Path]]:
    with convert_read_errors(path):
        left = min(MAX_BYTES, max(UNCHECKED_BYTES, MAX_RATIO * path.stat().st_size))
    for name in names:
        # The name inside the archive is never used as a path.
        target = work / f"file{PurePosixPath(name).suffix.lower()[:8]}"
        left -= _unpack(path, name, target, left)
        yield name, target
        files.unlink(target)


def _unpack(path: Path, name: str, target: Path, left: int) -> int:
    """Extract a file and return its size in bytes; ``left`` is the budget of all that follow."""
    where = f"{path.name}, {name[:80]!r}"
    size = 0
    with convert_read_errors(path):
        try:
            with open_zip(path) as archive:
                member = archive.getinfo(name)
                most = min(left, max(UNCHECKED_BYTES, MAX_RATIO * member.compress_size))
                with archive.open(member) as packed, files.open_file(target) as file:
                    while data := packed.read(_CHUNK):
                        size += len(data)
                        if size > most:
                            raise _too_large_error(most, left, where)
                        file.write(data)
        except _BROKEN as error:
            do = "get the file again, without a password"
            raise SourceError("the zip is broken or protected", where, do) from error
        except Exception as error:
            if isinstance(error, SourceError | OSError):
                raise
            raise SourceError("the zip is broken", where, "get the file again") from error
    return size


def _too_large_error(most: int, left: int, where: str) -> SourceError:
    what = f"it unpacks to over {most:,} bytes, which no export does"
    if most == left:
        what = "the files of the zip unpack to far more than it is, which those of no export do"
    return SourceError(what, where, "do not open it")
