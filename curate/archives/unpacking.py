"""Unpacking of zips, tars and gzip files into an empty folder; every byte that comes is counted."""

from __future__ import annotations

import gzip
import stat
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, NamedTuple, Protocol

from curate.archives import tar_stream
from curate.archives.entry_names import EntryNames, is_clutter
from curate.archives.limits import Limits
from curate.archives.zip_listing import TooManyFiles, open_zip
from curate.common import files
from curate.common.archive_kinds import GZIP, TAR, ZIP, content_name
from curate.errors import CurateError, SourceError

MOST_LIST_BYTES = 32 << 20
"""Bytes of the list of files in a zip that is unpacked: some 300,000 names."""

_CHUNK = 1 << 20
_ENCRYPTED = 0x1
_UTF8 = 0x800
_ADVICE = "get the file again"


class _Readable(Protocol):
    def read(self, size: int, /) -> bytes: ...


class ZipEntry(NamedTuple):
    """A file or folder in a zip.

    Attributes:
        info: What the list of the zip says of it.
        path: Its path below the folder that the zip is unpacked into; "" for what is not unpacked.
    """

    info: zipfile.ZipInfo
    path: str


def unpack(path: Path, kind: str, folder: Path) -> None:
    """Unpack an archive.

    Args:
        path: The archive.
        kind: What it is, by :func:`~curate.common.archive_kinds.archive_kind`.
        folder: Where to; empty.

    Raises:
        SourceError: It is damaged or not to be trusted, or there is no room for it.
        OSError: The folder cannot be written.
    """
    how: dict[str, Callable[[Path, Path], None]] = {
        ZIP: _unpack_zip,
        TAR: _unpack_tar,
        GZIP: _unpack_gzip,
    }
    with _convert_damage(path, kind):
        how[kind](path, folder)


@contextmanager
def _convert_damage(path: Path, kind: str) -> Iterator[None]:
    """Turn whatever a reader of archives raises into an error on the archive."""
    try:
        yield
    except (CurateError, OSError) as error:
        if isinstance(error, gzip.BadGzipFile):
            raise SourceError(f"the {kind} file is damaged", str(path), _ADVICE) from error
        raise
    except TooManyFiles as error:
        do = "unpack it yourself and name the folder"
        raise SourceError(str(error), str(path), do) from error
    except NotImplementedError as error:
        do = "pack it again in the usual way (deflate)"
        what = f"the {kind} is packed in a way that is not read"
        raise SourceError(what, str(path), do) from error
    except Exception as error:  # zipfile, zlib, lzma and bz2 each have their own
        what = f"the {kind} is damaged or cut short"
        raise SourceError(what, str(path), _ADVICE) from error


def _copy(source: _Readable, target: Path, limits: Limits) -> int:
    """Write a file; return its size."""
    before = limits.size
    files.mkdir(target.parent, parents=True, exist_ok=True)
    with files.open_file(target, "xb") as file:
        while data := source.read(_CHUNK):
            limits.count(len(data))
            file.write(data)
    return limits.size - before


# --- zip -----------------------------------------------------------------------------------------


def list_zip(archive: zipfile.ZipFile, where: str) -> list[ZipEntry]:
    """Return all that a zip lists, checked.

    Raises:
        SourceError: A name leads elsewhere or stands twice, or a file is a link, a device or
            encrypted.
    """
    names, entries = EntryNames(where), []
    listed = archive.infolist()
    told = [_text_name(info) for info in listed]
    if not any("/" in name for name in told):  # as some tools of Windows write it
        told = [name.replace("\\", "/") for name in told]
    for info, name in zip(listed, told, strict=True):
        is_folder = name.endswith("/")
        path = names.path_of(name, is_folder=is_folder)
        kind = stat.S_IFMT(info.external_attr >> 16)
        if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
            raise names.refuse(name, "it is a link or a device")
        if info.flag_bits & _ENCRYPTED:
            what = f"its file {name[:120]!r} is encrypted"
            raise SourceError(what, where, "get the archive without a password")
        entries.append(ZipEntry(info, "" if is_folder or is_clutter(path) else path))
    _check_apart(listed, where)
    return entries


def _text_name(info: zipfile.ZipInfo) -> str:
    """Return a name as text: macOS writes UTF-8 and does not say so."""
    name = info.orig_filename
    if info.flag_bits & _UTF8:
        return name
    try:
        return name.encode("cp437").decode("utf-8")
    except UnicodeError:
        return name


def _check_apart(listed: list[zipfile.ZipInfo], where: str) -> None:
    """Check that no two files share bytes: a small zip could hold any number of the same."""
    end = 0
    for info in sorted(listed, key=lambda info: info.header_offset):
        if info.header_offset < end:
            what = f"its files lie over each other at {info.filename[:120]!r}"
            raise SourceError(what, where, "do not open it")
        end = info.header_offset + 30 + info.compress_size


def _unpack_zip(path: Path, folder: Path) -> None:
    with open_zip(path, MOST_LIST_BYTES) as archive:
        entries = [one for one in list_zip(archive, str(path)) if one.path]
        limits = Limits(path, folder, sum(one.info.file_size for one in entries))
        for info, name in entries:
            with archive.open(info) as packed:
                if _copy(packed, folder / name, limits) != info.file_size:
                    raise zipfile.BadZipFile("a size is not the one that is stated")


# --- tar -----------------------------------------------------------------------------------------


def list_tar(file: BinaryIO, where: str) -> Iterator[tuple[tar_stream.TarMember, str]]:
    """Yield the members of a tar, checked, and their paths as in :class:`ZipEntry`.

    Raises:
        SourceError: As :func:`list_zip` does; or the tar is broken.
    """
    names = EntryNames(where)
    for member in tar_stream.members(file, where):
        path = names.path_of(member.name, is_folder=member.is_folder)
        if not (member.regular or member.is_folder):
            raise names.refuse(member.name, "it is a link or a device")
        yield member, "" if member.is_folder or is_clutter(path) else path


def _unpack_tar(path: Path, folder: Path) -> None:
    limits = Limits(path, folder, path.stat().st_size)
    with files.open_to_read(path) as file:
        for member, name in list_tar(file, str(path)):
            if name:
                file.seek(member.data)
                _copy(_Section(file, member.size), folder / name, limits)


class _Section:
    """The next bytes of a file, as a file."""

    def __init__(self, file: BinaryIO, size: int) -> None:
        self._file, self._left = file, size

    def read(self, size: int, /) -> bytes:
        data = self._file.read(min(size, self._left))
        self._left -= len(data)
        return data


# --- gzip ----------------------------------------------------------------------------------------


def _unpack_gzip(path: Path, folder: Path) -> None:
    with gzip.open(path, "rb") as packed:
        _copy(packed, folder / content_name(path.name), Limits(path, folder))
