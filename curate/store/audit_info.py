"""``audit.json``: the state and facts of an audit, read and checked.

Nothing heavy is loaded for it, so a directory that holds no audit is refused at once.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from curate.common.locks import refuse_locked
from curate.common.own_records import DamagedRecord, read_record
from curate.errors import AuditError
from curate.store.audit_shape import misfit

SCHEMA_VERSION = 2
"""Version of the audit directory's layout; a directory of another version is refused."""

INFO = "audit.json"

SCORING, DECIDING, COMPLETE = "scoring", "deciding", "complete"
"""States of an audit: parts are being scored; plans are being written; all is there."""

_AGAIN = "run the same `curate audit` command again"


def read_info(path: Path, *, any_version: bool = False) -> dict[str, Any] | None:
    """Return ``audit.json`` of a directory, None if there is none.

    Args:
        path: The directory.
        any_version: Whether it may be of another schema version, or damaged (then it is empty):
            what is thrown away need not be understood.

    Raises:
        AuditError: It is there but is not an audit's, is damaged, is of another schema version, or
            holds something else than curate writes; says where.
    """
    file = path / INFO
    if not file.is_file():
        return None
    try:
        info = read_record(file, "an audit's", "curate audit")
    except DamagedRecord:
        if any_version:
            return {}
        raise
    version = info["schema_version"]
    if version != SCHEMA_VERSION and not any_version:
        raise AuditError(
            f"it was written with schema version {version}, this curate reads {SCHEMA_VERSION}",
            str(file),
            "run the audit again with this version: into a new directory, or with --restart",
        )
    if not any_version and (what := misfit(info)):
        do = "restore it from a copy, or run the audit again with --restart"
        raise AuditError(f"it is not as curate writes it: {what}", str(file), do)
    return info


def is_undecided(info: Mapping[str, Any]) -> bool:
    """Return whether all is scored, and deciding on it was cut off: ``decide`` can finish it."""
    return info.get("state") == DECIDING and "references" in info


def scored_info(path: Path) -> dict[str, Any]:
    """Return ``audit.json`` of an audit that is finished, or needs only to be decided on.

    Raises:
        AuditError: There is none, it is of another version, or it was interrupted before.
    """
    info = read_info(path) if path.is_dir() else None
    if info and is_undecided(info):
        return info
    return finished_info(path)


def finished_info(path: Path) -> dict[str, Any]:
    """Return ``audit.json`` of a finished audit.

    Raises:
        AuditError: There is none, it is of another version, or it was interrupted.
    """
    info = read_info(path) if path.is_dir() else None
    if info is None:
        raise AuditError("there is no audit here", str(path), "run `curate audit SOURCE` first")
    if info.get("state") != COMPLETE:
        refuse_locked(path)
        do = f"`curate decide {path}` finishes it" if is_undecided(info) else _AGAIN
        raise AuditError("the audit was interrupted", str(path), do)
    return info
