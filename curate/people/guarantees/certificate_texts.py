"""Certificates and estimates as text and as JSON values."""

from __future__ import annotations

import math

from curate.people.guarantees.certify import Certificate
from curate.people.guarantees.estimate import Estimate, Interval
from curate.store.audit_records import CertificateRecord, EstimateRecord, IntervalRecord

NAMES = {
    "good_share": "share of good masks",
    "iou_over_90_share": "share with IoU over 0.90 with their correction",
    "iou_over_75_share": "share with IoU over 0.75 with their correction",
    "missing_per_image": "missing masks per image",
    "missing_image_share": "share of images that lack a mask",
}


def _finite_or_none(value: float) -> float | None:
    return value if math.isfinite(value) else None


def certificate_dict(found: Certificate) -> CertificateRecord:
    """Return a certificate as plain values; ``tested`` is a list, a dict a threshold."""
    return {
        "threshold": found.threshold,
        "accepted": found.accepted,
        "share": found.share,
        "max_bad": found.max_bad,
        "confidence": found.confidence,
        "reviewed": found.reviewed,
        "bad_found": found.bad_found,
        "bad_share": _finite_or_none(found.bad_share),
        "reviews_for_next": found.reviews_for_next,
        "reviews_needed": found.reviews_needed,
        "test": found.test,
        "notes": list(found.notes),
        "tested": [
            {
                "threshold": float(row["threshold"]),
                "accepted": int(row["accepted"]),
                "share": float(row["share"]),
                "bad_share": _finite_or_none(row["bad_share"]),
                "p_value": _finite_or_none(row["p_value"]),
                "level": float(row["level"]),
                "certified": bool(row["certified"]),
            }
            for row in found.tested.to_dict("records")
        ],
    }


def format_certificate(found: Certificate) -> str:
    """Return a certificate in a few lines of text."""
    sure = f"with {found.confidence:.0%} confidence at most {found.max_bad:.1%} of them are bad"
    if found.threshold is None:
        lines = [
            f"nothing can be certified: no threshold was found above which {sure}, from "
            f"{found.reviewed:,} reviewed masks"
        ]
        if found.reviews_needed:
            lines.append(f"about {found.reviews_needed:,} more reviews of a random sample may do")
        else:
            lines.append("even the best masks seem to be too bad for that: no number of reviews do")
    else:
        lines = [
            f"certified: the {found.accepted:,} masks ({found.share:.1%}) of a quality of at least "
            f"{found.threshold:.4g}; {sure}",
            f"from {found.reviewed:,} reviewed masks; among the accepted about "
            f"{found.bad_share:.1%} are bad",
        ]
        if found.reviews_for_next is not None and found.share < 1:
            lines.append(
                f"about {found.reviews_for_next:,} more reviews for the next tenth of the masks"
            )
    return "\n".join([*lines, *found.notes])


def estimate_dict(found: Estimate) -> EstimateRecord:
    """Return an estimate as plain values."""
    return {
        "confidence": found.confidence,
        "masks": found.masks,
        "reviewed": found.reviewed,
        "unit": found.unit,
        "intervals": {name: _interval_dict(interval) for name, interval in found.intervals.items()},
        "zero_failures": {f"{share:g}": count for share, count in found.zero_failures.items()},
        "notes": list(found.notes),
    }


def _interval_dict(found: Interval) -> IntervalRecord:
    return {
        "name": found.name,
        "value_low": found.value_low,
        "value_high": found.value_high,
        "low": found.low,
        "high": found.high,
        "method": found.method,
        "width_reviews": _finite_or_none(found.width_reviews),
        "width_predicted": _finite_or_none(found.width_predicted),
        "unknown": found.unknown,
    }


def format_estimate(found: Estimate) -> str:
    """Return an estimate in a few lines."""
    lines = [
        f"{found.reviewed:,} of {found.masks:,} masks reviewed; intervals at {found.confidence:.0%}"
    ]
    lines += [format_interval(interval) for interval in found.intervals.values()]
    sizes = ", ".join(f"{share:.0%}: {n:,}" for share, n in found.zero_failures.items())
    lines.append(f"masks that must all be good to show that at most a share is bad: {sizes}")
    return "\n".join([*lines, *found.notes])


def format_interval(interval: Interval) -> str:
    """Return one number with its interval and how it was found."""
    count = interval.name == "missing_per_image"
    low, high = (f"{v:.3g}" if count else f"{v:.2%}" for v in (interval.low, interval.high))
    ends = (interval.value_low, interval.value_high)
    value = " to ".join(dict.fromkeys(f"{v:.3g}" if count else f"{v:.2%}" for v in ends))
    unknown = f", {interval.unknown:,} masks unknown" if interval.unknown else ""
    return f"{NAMES[interval.name]}: {value} [{low}, {high}] ({interval.method}{unknown})"
