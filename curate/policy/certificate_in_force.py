"""Certificate in force: its quality threshold, and the changes that void it.

A certificate is about the masks of one dataset, as one quality score orders them and one policy's
rules let them through. Once any of the three changes, its bound is about something else: then it is
kept aside as void, with the reason, and the policy's own lines are back.
"""

from __future__ import annotations

import hashlib
from dataclasses import replace
from typing import cast

import orjson

from curate.store.audit_info import AuditInfo
from curate.store.audit_records import CertificateBasis, CertificateRecord, VoidCertificate

NOTHING = 2.0
"""A line that no quality reaches: JSON has no infinity."""


def certified_line(certificate: CertificateRecord | None) -> float | None:
    """Return the quality from which on masks are certified: over 1 for none, None for no word."""
    if certificate is None:
        return None
    threshold = certificate["threshold"]
    return NOTHING if threshold is None else float(threshold)


def certificate_basis(info: AuditInfo) -> CertificateBasis:
    """Return fingerprints of what a certificate made now depends on: policy, model, dataset."""
    policy = orjson.dumps(info.policy, option=orjson.OPT_SORT_KEYS)
    return {
        "policy": hashlib.blake2b(policy, digest_size=8).hexdigest(),
        "model": info.judged_by,
        "version": info.version,
        "masks": info.mask_count,
    }


def with_certificate(info: AuditInfo, certificate: CertificateRecord) -> AuditInfo:
    """Return ``audit.json`` with a new certificate, and what it depends on, in force."""
    made: CertificateRecord = {**certificate, "basis": certificate_basis(info)}
    return replace(info, certificate=made, void_certificate=None)


def void_certificate(info: AuditInfo, because: str) -> AuditInfo:
    """Return ``audit.json`` with its certificate, if it has one, set aside as void."""
    if info.certificate is None:
        return info
    void = {**info.certificate, "void_because": because}
    return replace(info, certificate=None, void_certificate=cast(VoidCertificate, void))


def drop_void_certificate(info: AuditInfo, before: AuditInfo) -> AuditInfo:
    """Return ``audit.json`` without a certificate that does not hold any more.

    Args:
        info: The content of ``audit.json`` as it is to be.
        before: As it was when the certificate was made or last checked.
    """
    if info.policy != before.policy:
        return void_certificate(info, "the policy changed")
    if info.judged_by != before.judged_by:
        return void_certificate(info, "the quality model changed")
    stated = info.certificate.get("basis", {}) if info.certificate else {}
    now = certificate_basis(info)
    same_version = stated.get("version") in (None, now["version"])
    same_masks = stated.get("masks") in (None, now["masks"])
    if not (same_version and same_masks):
        return void_certificate(info, "the masks that it is about changed")
    return info


def void_text(info: AuditInfo) -> str:
    """Say which certificate does not hold any more, and why; "" where there is none."""
    void = info.void_certificate
    if not void:
        return ""
    return (
        f"the certificate (at most {void['max_bad']:.1%} bad, {void['confidence']:.0%} confidence) "
        f"is void: {void['void_because']}; `curate certify` makes a new one"
    )
