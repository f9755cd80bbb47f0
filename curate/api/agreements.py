"""Verb that compares reviewers: agreement."""

from __future__ import annotations

from curate.people.reviews import Agreement, open_reviews
from curate.people.reviews.current_plan import open_audit
from curate.store.audit import AnyAudit


def agreement(audit: AnyAudit) -> Agreement:
    """Measure how far reviewers agree beyond chance, and how each of them decides.

    Args:
        audit: The audit, or its directory.

    Raises:
        AuditError: There is no finished audit, or nobody has decided on its masks.
    """
    return open_reviews(open_audit(audit)).agreement()
