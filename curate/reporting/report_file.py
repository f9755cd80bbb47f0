"""Verb that writes the report: report; and its renewal after other verbs."""

from __future__ import annotations

import warnings
from pathlib import Path
from shlex import quote

from curate.common.paths import AnyPath, check_folder
from curate.errors import AuditError, CurateError, ReportWarning
from curate.people.reviews.current_plan import open_audit
from curate.reporting.page import write_report
from curate.store.audit import REPORTS, AnyAudit, path_of


def report(audit: AnyAudit, out: AnyPath | None = None, *, images: AnyPath | None = None) -> Path:
    """Write an audit's report again and return where it is.

    Args:
        audit: The audit, or its directory.
        out: A file: ``.json`` for the report's values, ``.md`` for a summary in Markdown, any other
            for the page. If None, all three as ``report.*`` in the audit.
        images: Folder of the pictures, where they are not where they were.

    Returns:
        The file; of several, the page.

    Raises:
        CurateError: There is no finished audit, or no such folder.
    """
    check_folder(images)
    opened = open_audit(audit).pin()  # all of a report is of one moment
    # The page is last: its age is that of the report.
    targets = [Path(out)] if out else [opened.path / name for name in REPORTS]
    folder = images or opened.info.inputs.get("images")
    try:
        write_report(opened, targets, images=Path(folder) if folder else None)
    except AuditError as error:
        if out is not None or error.where not in map(str, targets):
            raise
        do = f"`curate report {quote(str(path_of(audit)))} --out FILE` writes it elsewhere"
        raise AuditError(error.what, error.where, do) from error
    return targets[-1]


def renew_report(audit: AnyAudit, images: AnyPath | None = None) -> None:
    """Write an audit's report again after something was saved in the audit.

    What was kept stays kept where that fails: it is a :class:`~curate.errors.ReportWarning` then.

    Args:
        audit: The audit, or its directory.
        images: Folder of the pictures, where they are not where they were.
    """
    try:
        report(audit, images=images)
    except (CurateError, OSError) as error:
        what = f"everything is saved, but the report was not updated: {error}"
        do = f"`curate report {path_of(audit)}` updates it once that is fixed"
        warnings.warn(f"{what}; {do}", ReportWarning, stacklevel=3)
