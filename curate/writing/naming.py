"""Places of outputs: checks, a temporary folder beside, atomic naming that overwrites nothing."""

from __future__ import annotations

import errno
import filecmp
import os
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from curate.common import files
from curate.common.archive_kinds import archive_above, exists
from curate.common.fingerprint import fingerprint
from curate.common.paths import AnyPath, as_path, is_folder_name
from curate.errors import AuditError, CallError, SourceError, unwritable
from curate.formats.format import exists_error

if sys.platform != "win32":
    import fcntl

DATASET, NOTE = "dataset", "provenance"
"""Where the two are made in the folder beside the output: a folder, and a file's name."""

_ARCHIVES = (".zip", ".tar", ".gz", ".tgz")
_ENDINGS = (*_ARCHIVES, ".json", ".xml", ".csv", ".parquet", ".yaml", ".txt", ".png", ".tif")
_SAME = {".tgz": ".gz"}

_TAKEN = (errno.EEXIST, errno.ENOTEMPTY, errno.ENOTDIR, errno.EISDIR)
_WAITS = 200  # of 0.05 s: as long as another run of this machine takes to copy a provenance


def name_dataset(made: Path, out: Path) -> None:
    """Give a finished dataset its name where nothing has that.

    Raises:
        CallError: Something has; it is left alone.
        AuditError: It cannot be named.
    """
    try:
        if made.is_dir():
            files.rename(made, out)  # over an empty folder at most
        else:
            files.name_new(made, out)
    except OSError as error:
        if error.errno in _TAKEN:
            raise exists_error(out) from error
        raise unwritable(error, out) from error


def name_both(made: Path, out: Path, note: Path, provenance: Path, *, renew: bool) -> None:
    """Give a dataset and its provenance their names: both or none.

    The provenance comes first, so what stands at ``out`` always has its own; a run of this machine
    that ends at the same moment waits for this one.

    Args:
        made: The dataset.
        out: Its place.
        note: The provenance. It stays where it is: while it is there and the dataset too, the file
            at ``provenance`` is known for one without its dataset (see :func:`remove_orphan`).
        provenance: Its place.
        renew: Whether a provenance may be replaced that is there without its dataset.

    Raises:
        CallError: One of the places is taken; what is there is left alone.
        AuditError: One of them cannot be written; then none is there.
    """
    try:
        files.mkdir(provenance.parent, parents=True, exist_ok=True)
    except OSError as error:
        raise unwritable(error, provenance) from error
    with _alone_in(out.parent, provenance.parent):
        is_empty = out.is_dir() and made.is_dir() and not any(out.iterdir())
        if os.path.lexists(out) and not is_empty:
            raise exists_error(out)
        named = _name_note(note, provenance, renew)
        try:
            name_dataset(made, out)
        except BaseException:
            if named:
                files.unlink(provenance, missing_ok=True)
            raise


def remove_orphan(out: Path, provenance: Path) -> None:
    """Remove the provenance that a killed run left at its place before it named the dataset."""
    for folder in find_left_beside(out):
        with suppress(OSError):
            unnamed = any((folder / DATASET).iterdir()) and not os.path.lexists(out)
            notes = folder.glob(f"{NOTE}.*")
            if unnamed and any(os.path.samefile(note, provenance) for note in notes):
                files.unlink(provenance)


def _name_note(note: Path, place: Path, renew: bool) -> bool:
    """Give a provenance its name; return whether it was not there already, byte for byte."""
    try:
        if os.path.lexists(place):
            if place.is_file() and filecmp.cmp(note, place, shallow=False):
                return False  # a killed run left it, or another run of the same writes it too
            if not renew:
                what = "it is the provenance of another write"
                do = "choose another place, or remove it: a write that was killed may have left it"
                raise CallError(what, str(place), do)
            files.unlink(place)
        _name_anywhere(note, place)
    except FileExistsError as error:
        raise exists_error(place) from error
    except OSError as error:
        raise unwritable(error, place) from error
    return True


def _name_anywhere(note: Path, place: Path) -> None:
    try:
        files.name_new(note, place)
    except OSError as error:
        if error.errno != errno.EXDEV:
            raise
        with beside(place) as folder:  # another disk
            copy = files.copy_bytes(note, folder / note.name)
            with files.open_file(copy, "r+b") as file:
                files.sync(file)
            files.name_new(copy, place)


@contextmanager
def _alone_in(*folders: Path) -> Iterator[None]:
    """Keep other runs of this machine from naming anything in some folders.

    Where a folder cannot be locked the names are still exclusive; only a provenance that is asked
    for at a place of its own may then be that of a run that came too late.
    """
    with ExitStack() as held:
        for folder in sorted({folder.resolve() for folder in folders}):
            with suppress(OSError):
                held.callback(os.close, _lock(folder))
        yield


def _lock(folder: Path) -> int:
    if sys.platform == "win32":
        raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS))
    opened = os.open(folder, os.O_RDONLY)
    for wait in range(_WAITS + 1):
        try:
            fcntl.flock(opened, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            time.sleep(0.05 if wait < _WAITS else 0)
        except OSError:
            break  # a disk without locks
        else:
            break
    return opened


def refuse_changed(source: Path, before: str | None) -> None:
    """Check that a source has not changed since its audit.

    Raises:
        SourceError: It is gone or has changed.
    """
    if not exists(source):
        do = "put it back, name its new place with --source, or audit it where it is now"
        raise SourceError("the audited dataset is not there any more", str(source), do)
    if before is not None and fingerprint(source) != before:
        raise source_changed_error(source)


def source_changed_error(source: Path) -> SourceError:
    """Return the error that a source is not what was audited."""
    do = "audit it again: the decisions are about what it held then"
    return SourceError("it has changed since it was audited", str(source), do)


def refuse_place(source: Path, audit: Path, out: Path) -> None:
    """Check that an output is free and overwrites nothing.

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
    empty = not out.exists() or (out.is_dir() and not any(out.iterdir()))
    if not empty or out.is_symlink():
        for path in find_left_beside(out):  # by a run that was killed when all was named
            files.remove_tree(path, quiet=True)
        raise exists_error(out)


def place_output(out: AnyPath | None, source: Path, name: str = "") -> Path | None:
    """Return the place of an output of the same kind as its source.

    Args:
        out: What is asked for; a folder where it ends in a slash or is one. None for a dry run.
        source: The file or folder that it is made of.
        name: The path that a file has in a folder; "" for the source's name.
    """
    place = as_path(out)
    if place is None or not is_folder_name(out) or source.is_dir():
        return place
    return place / (name or (archive_above(source) or source).name)


def keeps_archive(source: Path, out: Path | None) -> bool:
    """Return whether an output is meant as an archive of its source's kind, by its name."""
    archive = archive_above(source)
    if archive is None or out is None:
        return False
    has, wanted = out.suffix.lower(), archive.suffix.lower()
    return _SAME.get(has, has) == _SAME.get(wanted, wanted)


def refuse_other_archive(source: Path, out: Path) -> None:
    """Check that an output in its source's own format is called an archive where that is one.

    Raises:
        CallError: Its name has the ending of another kind of file.
    """
    archive = archive_above(source)
    if archive is not None:
        refuse_ending(out, archive.suffix.lower())
    elif out.suffix.lower() in _ARCHIVES:
        refuse_ending(out, "" if source.is_dir() else source.suffix.lower())


def refuse_ending(out: Path, ending: str) -> None:
    """Check that an output's name has no ending of another kind of file.

    Args:
        out: The output.
        ending: The ending that it should have, in lower case; "" for a folder.

    Raises:
        CallError: It has.
    """
    has = out.suffix.lower()
    if has not in _ENDINGS or _SAME.get(has, has) == _SAME.get(ending, ending):
        return
    if ending:
        what = f"what is written is one file of the kind {ending}, and --out ends in {has}"
        raise CallError(what, str(out), f"end it in {ending}")
    do = "leave the ending out"
    if has in _ARCHIVES:
        do += f"; `python -m zipfile -c {out.stem}.zip {out.stem}/.` packs the folder then"
    raise CallError(f"what is written is a folder, and --out ends in {has}", str(out), do)


@contextmanager
def beside(out: Path) -> Iterator[Path]:
    """Yield a new folder on the same disk as ``out``; it is removed with all that is left in it.

    What a killed run left behind is removed first.

    Raises:
        AuditError: The folder, or what is made in it, cannot be written.
    """
    prefix = files.partial_prefix(out)
    try:
        files.mkdir(out.parent, parents=True, exist_ok=True)
        files.remove_abandoned(out.parent, prefix, files.PARTIAL)
        folder = files.temporary_folder(
            out.parent, f"{prefix}{files.process_tag()}-", files.PARTIAL
        )
    except OSError as error:
        raise unwritable(error, out) from error
    try:
        yield folder
    except (AuditError, SourceError) as error:
        if not error.where.startswith(str(folder)):
            raise
        raise AuditError(error.what, str(out), error.do) from error  # the folder is soon gone
    except OSError as error:
        raise unwritable(error, out) from error
    finally:
        files.remove_tree(folder, quiet=True)


def find_left_beside(out: Path) -> list[Path]:
    """Return the folders of :func:`beside` that processes of this machine left when killed."""
    try:
        return files.find_abandoned(out.parent, files.partial_prefix(out), files.PARTIAL)
    except OSError:  # nothing is there, or nobody may look: writing says so
        return []
