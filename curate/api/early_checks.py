"""Early argument checks: all that needs no mask read and no heavy library loaded.

What computes (numba, pandas, DuckDB, ...) takes longer to load than a wrong path should take to be
refused. So every verb asks these first; what they miss is found by what does the work.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import overload

from curate.common.ranges import PRESETS
from curate.errors import CallError, SourceError, check_utf8
from curate.formats import check_source
from curate.store.audit_info import INFO, finished_info, scored_info

AnyPath = str | Path


@overload
def as_path(path: AnyPath) -> Path: ...


@overload
def as_path(path: None) -> None: ...


def as_path(path: AnyPath | None) -> Path | None:
    """Return a path, or None where none is given.

    Raises:
        CallError: It is an empty text, which would be the working folder, or no UTF-8.
    """
    if path == "":
        raise CallError("a path is empty", "", "give one, or None")
    check_utf8(path)
    return None if path is None else Path(path)


def check_audit(path: object, *, finishes: bool = False) -> None:
    """Check that a directory holds a finished audit.

    Args:
        path: The directory; anything but a path is an open audit and is sound.
        finishes: Whether the verb finishes one that was cut off while its masks were decided on.

    Raises:
        AuditError: There is none, it is of another version, or it was interrupted.
    """
    if isinstance(path, str | Path):
        (scored_info if finishes else finished_info)(Path(path))


def check_dataset(path: AnyPath | None, format: str | None = None) -> None:
    """Check that a dataset, or an audit that stands for one, exists; None passes.

    Raises:
        CurateError: It is not, the audit is not finished, or there is no such format.
    """
    if path is None:
        return
    check_source(Path(path), format)
    if (Path(path) / INFO).is_file():
        finished_info(Path(path))


def check_file(path: AnyPath | None) -> None:
    """Check that a file or folder exists; None passes.

    Raises:
        SourceError: It is not.
    """
    if path is not None:
        check_source(Path(path))


def check_folder(path: AnyPath | None, of: str = "images") -> None:
    """Check that a folder exists; None passes.

    Args:
        path: The folder.
        of: What it holds.

    Raises:
        SourceError: It is not, or is a file.
    """
    if path is not None and not Path(path).is_dir():
        raise SourceError(f"there is no such folder of {of}", str(path), "check the path")


def check_policy(policy: object) -> None:
    """Check that a policy is named by a preset or by an existing TOML file.

    Args:
        policy: A name or a path; anything else is a policy and is looked at later.

    Raises:
        CallError: It is neither.
    """
    from curate.policy.settings_file import policy_file

    if isinstance(policy, str | Path) and str(policy) not in PRESETS:
        policy_file(policy)


def check_inputs(
    images: AnyPath | None,
    soft_masks: AnyPath | None,
    files: Mapping[str, AnyPath | None],
) -> None:
    """Check that the inputs of an audit beside the masks exist.

    Args:
        images: Folder of the pictures.
        soft_masks: Folder of soft masks.
        files: Detections and other annotations, by the name of each.

    Raises:
        CurateError: Something is not.
    """
    check_folder(images)
    check_folder(soft_masks, "soft masks")
    for file in files.values():
        check_file(file)
