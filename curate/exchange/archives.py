"""Exports that are zips: their few files of masks, taken out one by one without trusting names."""

from __future__ import annotations

import tempfile
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath

from curate.errors import SourceError
from curate.formats.base import reading

MOST_BYTES = 16 << 30
"""Largest file that is taken out of a zip."""

FREE_BYTES = 64 << 20
"""Files up to this size are taken out however well they were packed."""

MOST_RATIO = 200
"""A file that unpacks to more than so many times its size is a bomb; run lengths pack 20 times."""

_HEAD = 1 << 16
_CHUNK = 1 << 20
_BROKEN = (zipfile.BadZipFile, EOFError, NotImplementedError, RuntimeError, ValueError, OSError)


def is_zip(path: Path) -> bool:
    """Return whether a file is a zip; never raises."""
    try:
        return path.is_file() and zipfile.is_zipfile(path)
    except OSError:
        return False


def names_in(path: Path) -> list[str]:
    """Return the names of the files in a zip or a folder, as plain relative paths; never raises.

    Of a folder only what lies in it, or one folder deeper, is told.
    """
    try:
        if path.is_dir():
            found = [*path.glob("*.*"), *path.glob("*/*.xml"), *path.glob("*/*.json")]
            return sorted(p.relative_to(path).as_posix() for p in found if p.is_file())
        with zipfile.ZipFile(path) as archive:
            return [one.filename for one in archive.infolist() if not one.is_dir()]
    except _BROKEN:
        return []


def head_of(path: Path, name: str) -> bytes:
    """Return the first bytes of a file in a zip or folder; nothing where it cannot be read."""
    try:
        if path.is_dir():
            with (path / name).open("rb") as file:
                return file.read(_HEAD)
        with zipfile.ZipFile(path) as archive, archive.open(name) as packed:
            return packed.read(_HEAD)
    except (*_BROKEN, KeyError):
        return b""


@contextmanager
def files_in(path: Path, wanted: Callable[[str], bool]) -> Iterator[list[tuple[str, Path]]]:
    """Give files of a zip or folder, with their names, for the time of the block.

    Args:
        path: The zip or folder.
        wanted: Which files, by their names.

    Raises:
        SourceError: The zip is broken or protected, or a file unpacks to far more than it is.
    """
    names = [name for name in names_in(path) if wanted(name)]
    if path.is_dir():
        yield [(name, path / name) for name in names]
        return
    with tempfile.TemporaryDirectory(prefix="curate-") as work:
        made = []
        for k, name in enumerate(names):
            # The name inside the archive is never used as a path.
            target = Path(work) / f"{k}{PurePosixPath(name).suffix.lower()[:8]}"
            _unpack(path, name, target)
            made.append((name, target))
        yield made


def _unpack(path: Path, name: str, target: Path) -> None:
    where = f"{path.name}, {name[:80]!r}"
    with reading(path):
        try:
            with zipfile.ZipFile(path) as archive:
                member = archive.getinfo(name)
                most = min(MOST_BYTES, max(FREE_BYTES, MOST_RATIO * member.compress_size))
                with archive.open(member) as packed, target.open("wb") as file:
                    size = 0
                    while data := packed.read(_CHUNK):
                        size += len(data)
                        if size > most:
                            what = f"it unpacks to over {most:,} bytes, which no export does"
                            raise SourceError(what, where, "do not open it")
                        file.write(data)
        except (zipfile.BadZipFile, EOFError, NotImplementedError, RuntimeError) as error:
            do = "get the file again, without a password"
            raise SourceError("the zip is broken or protected", where, do) from error
        except Exception as error:
            if isinstance(error, SourceError | OSError):
                raise
            raise SourceError("the zip is broken", where, "get the file again") from error
