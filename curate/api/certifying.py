"""Verbs that bound errors: certify, estimate."""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import replace

from curate.common.locks import hold_directory
from curate.common.paths import AnyPath, check_folder
from curate.common.ranges import check_numbers
from curate.people.guarantees.audit_guarantees import (
    certify_audit,
    estimate_audit,
    store_certificate,
    store_estimate,
)
from curate.people.guarantees.certify import Certificate
from curate.people.guarantees.estimate import Estimate
from curate.people.guarantees.overrides import CertificateOverrides, compare_with_certificate
from curate.people.reviews.current_plan import open_audit, read_added_masks
from curate.pipeline.deciding import finish_deciding
from curate.policy.certificate_in_force import NOTHING
from curate.reporting.report_file import renew_report
from curate.store.audit import AnyAudit, StoredAudit, path_of
from curate.store.audit_info import finished_info, scored_info


def certify(
    audit: AnyAudit,
    *,
    max_bad: float = 0.05,
    confidence: float = 0.95,
    looks: int = 1,
    unit: str | None = None,
    dry_run: bool = False,
    images: AnyPath | None = None,
) -> Certificate:
    """Find the largest acceptance with a bounded share of bad masks, and let the plan keep to it.

    Args:
        audit: The audit, or its directory, with a random sample that people have reviewed.
        max_bad: Largest share of bad masks among the accepted.
        confidence: Probability that this holds.
        looks: How often, at most, a certificate is asked for while people go on reviewing.
        unit: "mask" or "image", where random samples of both were drawn.
        dry_run: Leave the plan as it is.
        images: Folder of the pictures for the report; where the audit had them if None.

    Raises:
        CurateError: There is no random sample, it is too small, or a number is out of range.
    """
    check_numbers(max_bad=max_bad, confidence=confidence, looks=looks)
    check_folder(images)
    path = path_of(audit)
    (finished_info if dry_run else scored_info)(path)
    with nullcontext() if dry_run else hold_directory(path, "certify"):
        if not dry_run:
            finish_deciding(path)
        opened = open_audit(path)
        found = certify_audit(
            opened,
            max_bad=max_bad,
            confidence=confidence,
            looks=looks,
            unit=unit,
        )
        if not dry_run:
            store_certificate(opened, found)
    if not dry_run:
        renew_report(opened, images)
    return replace(found.certificate, overrides=_overrides(opened, found.certificate))


def _overrides(opened: StoredAudit, found: Certificate) -> CertificateOverrides:
    """Count how people's decisions stand to a certificate's bound, in force or not."""
    now = open_audit(opened).pin()
    line = NOTHING if found.threshold is None else found.threshold
    overrides = compare_with_certificate(now, line=line, added=len(read_added_masks(now)))
    assert overrides is not None, "the plan has all that this reads, or nothing was certified"
    return overrides


def estimate(
    audit: AnyAudit,
    *,
    confidence: float = 0.95,
    unit: str | None = None,
    images: AnyPath | None = None,
) -> Estimate:
    """Estimate a dataset's quality from a random sample that people have reviewed.

    Args:
        audit: The audit, or its directory.
        confidence: Of each interval.
        unit: "mask" or "image", where random samples of both were drawn.
        images: Folder of the pictures for the report; where the audit had them if None.

    Raises:
        CurateError: There is no random sample.
    """
    check_numbers(confidence=confidence)
    check_folder(images)
    path = path_of(audit)
    finished_info(path)
    with hold_directory(path, "estimate"):
        opened = open_audit(path)
        found = estimate_audit(opened, confidence=confidence, unit=unit)
        store_estimate(opened, found)
    renew_report(opened, images)
    return found
