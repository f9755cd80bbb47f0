"""The report: `report.html`, one file with the findings of an audit."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from curate.store.audit import Audit

__all__ = ["write_report"]


def write_report(audit: Audit, path: Path, *, images: Path | None = None) -> None:
    """Write the report of an audit; see :func:`curate.reporting.page.write_report`.

    Args:
        audit: The audit.
        path: The file to write.
        images: Folder of the pictures that the masks are drawn on.

    Raises:
        AuditError: The file cannot be written.
    """
    # Imported here: others use this room's outlines and words, and need no templates.
    from curate.reporting.page import write_report as write

    write(audit, path, images=images)
