"""Unpacked archives: folders in the user's cache, named by content, whole or absent.

An archive that is read is unpacked once, into ``unpacked/ID/content`` in
:func:`~curate.common.cache_folder.cache_folder`; ID says what is in it, so that a copy of it
elsewhere needs no second one. A folder gets its name when all is in it. Those that nothing has read
for :data:`KEPT_DAYS` days are removed when another archive is unpacked, and the oldest of the
others where all together take over :data:`MOST_BYTES`; what a process reads is never removed.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path

import orjson

from curate.archives import entry_lock
from curate.archives.unpacking import unpack
from curate.archives.zip_listing import list_bytes
from curate.common import files
from curate.common.archive_kinds import GZIP, TAR, ZIP, archive_above, archive_kind, content_name
from curate.common.cache_folder import VARIABLE, cache_folder
from curate.common.fingerprint import fingerprint
from curate.errors import AuditError, CurateError, SourceError

KEPT_DAYS = 14
MOST_BYTES = 100 << 30

_FORM = 1  # of what is unpacked, and how: another number makes all entries anew
_CONTENT, _ABOUT, _LOCK = "content", "about.json", ".lock"
_DEEPEST = 4  # archives in archives
_END_RECORDS = 66_000


@dataclass(frozen=True)
class Unpacked:
    """An archive and where it is unpacked.

    Attributes:
        archive: The archive.
        kind: "zip", "tar" or "gzip".
        path: The folder of what is in it; of a gzip file, the one file.
    """

    archive: Path
    kind: str
    path: Path


_opened: dict[tuple[str, int, int, int], Unpacked] = {}
_by_folder: dict[str, Unpacked] = {}


def open_archive(path: Path) -> Unpacked:
    """Unpack an archive, if that is not done yet.

    Raises:
        SourceError: It is none, is damaged or not to be trusted, or there is no room for it.
        AuditError: The cache cannot be written.
    """
    kind = archive_kind(path)
    if not kind:
        raise SourceError("it is no zip, tar or gzip file", str(path), "check the path")
    path = path.absolute()
    about = path.stat()
    key = (str(path), about.st_mtime_ns, about.st_size, about.st_ino)
    known = _opened.get(key)
    if known is None or not known.path.exists():
        if _depth(path) >= _DEEPEST:
            what = f"it is an archive in {_DEEPEST} archives, one in the other"
            raise SourceError(what, show_paths(str(path)), "unpack it yourself")
        known = _opened[key] = _open_entry(path, kind)
        _by_folder[str(known.path)] = known
    return known


def _depth(path: Path) -> int:
    """Return in how many archives, one in the other, a path lies."""
    for folder, one in _by_folder.items():
        if str(path).startswith(folder):
            return 1 + _depth(one.archive)
    return 0


def _open_entry(path: Path, kind: str) -> Unpacked:
    home = cache_folder() / "unpacked"
    entry = home / _address(path, kind)
    try:
        files.mkdir(home, parents=True, exist_ok=True, rights=0o700)
        while not _is_there(entry):
            alone = entry_lock.take(_lock_of(entry), wait=True)
            assert alone is not None, "it was waited for"
            try:
                if not (entry / _CONTENT).is_dir():  # another process may have been faster
                    _make_entry(path, kind, entry)
            finally:
                os.close(alone)
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        what = f"an archive is unpacked into it, and it cannot be used ({reason})"
        raise AuditError(what, str(home), f"name another folder in {VARIABLE}") from error
    with suppress(OSError):  # a cache that is only read
        files.set_times(entry / _ABOUT, time.time_ns())
    inside = entry / _CONTENT
    return Unpacked(path, kind, inside / content_name(path.name) if kind == GZIP else inside)


def _is_there(entry: Path) -> bool:
    """Whether an entry is there; then it stays while this process reads it."""
    lock = _lock_of(entry)
    opened = entry_lock.take(lock, wait=True, shared=True)
    assert opened is not None, "it was waited for"
    if (entry / _CONTENT).is_dir():
        entry_lock.keep(lock, opened)
        return True
    os.close(opened)
    return False


def _lock_of(entry: Path) -> Path:
    return entry.with_name(f"{entry.name}{_LOCK}")


def _address(path: Path, kind: str) -> str:
    """Return a name for what is in an archive."""
    digest = blake2b(f"{_FORM} {kind} {fingerprint(path)}\n".encode(), digest_size=16)
    if kind == ZIP:  # its list of files has the checksums of all
        with path.open("rb") as file:
            size = file.seek(0, 2)
            file.seek(max(0, size - list_bytes(path) - _END_RECORDS))
            while data := file.read(1 << 20):
                digest.update(data)
    elif kind == TAR:  # it has no checksums
        digest.update(b"%d" % path.stat().st_mtime_ns)
    else:
        digest.update(content_name(path.name).encode("utf-8", "surrogateescape"))
    return digest.hexdigest()


def _make_entry(path: Path, kind: str, entry: Path) -> None:
    home = entry.parent
    with files.convert_write_errors(home):
        files.remove_abandoned(home, ".", files.PARTIAL)
        _remove_old(home)
        made = files.temporary_folder(home, f".{entry.name}.{files.process_tag()}-", files.PARTIAL)
        try:
            files.mkdir(made / _CONTENT)
            unpack(path, kind, made / _CONTENT)
            size = sum(one.stat().st_size for one in _files_of(made / _CONTENT))
            about = {"archive": path.name, "kind": kind, "bytes": size}
            files.write_bytes(made / _ABOUT, orjson.dumps(about, option=orjson.OPT_INDENT_2))
            with suppress(FileExistsError):  # another process, where there are no locks
                files.rename(made, entry)
        finally:
            files.remove_tree(made, quiet=True)


def _files_of(folder: Path) -> Iterator[os.DirEntry[str]]:
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.is_dir(follow_symlinks=False):
                yield from _files_of(Path(entry.path))
            else:
                yield entry


def _remove_old(home: Path) -> None:
    """Remove entries that were not read for long, and the oldest of too many."""
    found = []
    for about in home.glob(f"*/{_ABOUT}"):
        with suppress(OSError, ValueError, KeyError, TypeError):
            size = int(orjson.loads(about.read_bytes())["bytes"])
            found.append((about.stat().st_mtime, size, about.parent))
    total = sum(size for _, size, _ in found)
    for used, size, entry in sorted(found):
        if time.time() - used > KEPT_DAYS * 86_400 or total > MOST_BYTES:
            with suppress(OSError):
                total -= size * _remove_entry(entry)


def _remove_entry(entry: Path) -> bool:
    """Remove an entry, if no process reads it; return whether it is gone."""
    lock = _lock_of(entry)
    opened = entry_lock.take(lock, wait=False)
    if opened is None:
        return False
    try:
        gone = files.temporary_folder(
            entry.parent, f".{entry.name}.{files.process_tag()}-", files.PARTIAL
        )
        files.rename(entry, gone)
        files.remove_tree(gone, quiet=True)
        files.unlink(lock, missing_ok=True)
    finally:
        os.close(opened)
    return True


# --- paths that lead through archives ------------------------------------------------------------


def real_path(path: Path) -> Path:
    """Return where a path is that may lead through archives, as ``data.zip/images`` does.

    Returns:
        The path itself where it leads through none.

    Raises:
        SourceError: An archive cannot be unpacked.
        AuditError: The cache cannot be written.
    """
    archive = None if path.is_dir() else archive_above(path)
    if archive is None:
        return path
    inside = open_archive(archive).path / path.absolute().relative_to(archive)
    return real_path(inside) if archive_kind(archive) == GZIP or not inside.exists() else inside


def shown_path(path: Path) -> Path:
    """Return a path as people know it: through the archive in place of the cache."""
    return Path(show_paths(str(path)))


def show_paths(text: str) -> str:
    """Return a text with paths in the cache written as paths through the archives."""
    for folder, one in reversed(_by_folder.items()):
        if folder in text:
            text = show_paths(text.replace(folder, str(one.archive)))
    return text


@contextmanager
def show_archives() -> Iterator[None]:
    """Let errors of the block name archives, not the cache."""
    try:
        yield
    except CurateError as error:
        error.what, error.where, error.do = map(show_paths, (error.what, error.where, error.do))
        error.args = (error.what, error.where, error.do)
        raise
