"""A file whose decisions are taken back."""

from __future__ import annotations

from pathlib import Path

from curate.decisions.reviews import open_reviews
from curate.decisions.taking_back import TakenBack, imported_by, take_back
from curate.errors import CallError
from curate.fingerprint import fingerprint
from curate.store import Audit


def take_back_file(audit: Audit, path: Path, reviewer: str | None = None) -> TakenBack:
    """Take back what was imported from a file; see :func:`curate.decisions.taking_back.take_back`.

    Args:
        audit: The audit that it was imported into.
        path: The file, unchanged since; its name does not matter.
        reviewer: Only what counts as this person's; "" for no name; None: everybody's.

    Raises:
        CallError: Nothing of the file counts, or nothing of that person.
        AuditError: There are no decisions.
    """
    reviews = open_reviews(audit)
    content = fingerprint(path)[:16]
    wanted = None if reviewer is None else reviewer.strip()
    people = imported_by(reviews, content)
    if not people:
        what = "no decision of this file counts: it was not imported as it is now, or is taken back"
        raise CallError(what, str(path), f"audit: {audit.path.name}")
    if wanted is not None and wanted not in people:
        names = ", ".join(name or "(no name)" for name in people)
        what = f"it was not imported as the decisions of {wanted or '(no name)'}"
        raise CallError(what, str(path), f"it counts for {names}")
    return take_back(reviews, content, wanted)
