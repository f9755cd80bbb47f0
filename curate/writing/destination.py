"""Output place of a dataset: checks, a temporary folder beside it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from curate.common import files
from curate.common.fingerprint import fingerprint
from curate.errors import AuditError, CallError, SourceError, unwritable
from curate.formats.format import exists_error


def refuse_changed(source: Path, before: str | None) -> None:
    """Check that a source has not changed since its audit.

    Raises:
        SourceError: It is gone or has changed.
    """
    if not source.exists():
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
    empty = not out.exists() or (source.is_dir() and out.is_dir() and not any(out.iterdir()))
    if not empty or out.is_symlink():
        for path in find_left_beside(out):  # by a run that was killed when all was named
            files.remove_tree(path, quiet=True)
        raise exists_error(out)


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
