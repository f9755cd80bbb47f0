"""Certificate in force: its quality threshold, and the changes that void it.

A certificate is about the masks of one dataset, as one quality score orders them and one policy's
rules let them through. Once any of the three changes, its bound is about something else: then it is
kept aside as void, with the reason, and the policy's own lines are back.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

import orjson

CERTIFICATE = "certificate"
"""Key of ``audit.json`` for the certificate in force."""

VOID = "void_certificate"
"""Key of ``audit.json`` for the last voided certificate, with ``void_because``."""

NOTHING = 2.0
"""A line that no quality reaches: JSON has no infinity."""


def certified_line(info: Mapping[str, Any]) -> float | None:
    """Return the quality from which on masks are certified: over 1 for none, None for no word."""
    certificate = info.get(CERTIFICATE)
    if certificate is None:
        return None
    threshold = certificate["threshold"]
    return NOTHING if threshold is None else float(threshold)


def certificate_basis(info: Mapping[str, Any]) -> dict[str, Any]:
    """Return fingerprints of what a certificate made now depends on: policy, model, dataset."""
    policy = orjson.dumps(info.get("policy"), option=orjson.OPT_SORT_KEYS)
    return {
        "policy": hashlib.blake2b(policy, digest_size=8).hexdigest(),
        "model": info.get("judged_by"),
        "version": info.get("version"),
        "masks": info.get("counts", {}).get("masks"),
    }


def with_certificate(info: Mapping[str, Any], certificate: Mapping[str, Any]) -> dict[str, Any]:
    """Return ``audit.json`` with a new certificate, and what it depends on, in force."""
    kept = {name: value for name, value in info.items() if name != VOID}
    return kept | {CERTIFICATE: dict(certificate) | {"basis": certificate_basis(info)}}


def void_certificate(info: Mapping[str, Any], because: str) -> dict[str, Any]:
    """Return ``audit.json`` with its certificate, if it has one, set aside as void.

    Args:
        info: The content of ``audit.json``.
        because: What changed, as a clause.
    """
    kept = {name: value for name, value in info.items() if name != CERTIFICATE}
    if CERTIFICATE in info:
        kept[VOID] = dict(info[CERTIFICATE]) | {"void_because": because}
    return kept


def drop_void_certificate(info: Mapping[str, Any], before: Mapping[str, Any]) -> dict[str, Any]:
    """Return ``audit.json`` without a certificate that does not hold any more.

    Args:
        info: The content of ``audit.json`` as it is to be.
        before: As it was when the certificate was made or last checked.
    """
    if info.get("policy") != before.get("policy"):
        return void_certificate(info, "the policy changed")
    if info.get("judged_by") != before.get("judged_by"):
        return void_certificate(info, "the quality model changed")
    stated = info.get(CERTIFICATE, {}).get("basis", {})
    now = certificate_basis(info)
    if any(stated.get(name) not in (None, now[name]) for name in ("version", "masks")):
        return void_certificate(info, "the masks that it is about changed")
    return dict(info)


def void_text(info: Mapping[str, Any]) -> str:
    """Say which certificate does not hold any more, and why; "" where there is none."""
    void = info.get(VOID)
    if not void:
        return ""
    return (
        f"the certificate (at most {void['max_bad']:.1%} bad, {void['confidence']:.0%} confidence) "
        f"is void: {void['void_because']}; `curate certify` makes a new one"
    )
