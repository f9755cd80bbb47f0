"""What an audit found, in numbers for machines and gates and in a few lines for people."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from curate.store import Audit

_PICTURES = {
    "image_missing_count": "images without a picture in the folder given",
    "image_unreadable_count": "images whose picture cannot be read",
    "image_truncated_count": "images whose picture is cut off",
    "image_size_mismatch_count": "images whose picture has another size than declared",
    "image_exif_rotated_count": "images whose picture is stored turned (EXIF)",
    "image_invalid_size_count": "images of a size that cannot be",
    "image_duplicate_id_count": "images whose id stands twice",
}


def summary(audit: Audit) -> dict[str, Any]:
    """Return an audit's numbers by name, for people, machines and gates."""
    from curate.curation.gate import metrics

    return metrics(audit)


def summary_text(audit: Audit, numbers: Mapping[str, Any]) -> str:
    """Say in a few lines what an audit found, and where to look."""
    from curate.report.collect import Source, reasons

    masks = numbers["mask_count"] or 0
    shares = ", ".join(
        f"{numbers[f'{action}_count']:,} {words}"
        for action, words in (
            ("accept", "accepted"),
            ("review", "to review"),
            ("reject", "rejected"),
        )
    )
    lines = [f"{_count(masks, 'mask')} in {_count(numbers['image_count'], 'image')}: {shares}"]
    found, rarer = reasons(Source(audit))
    flagged = [reason for reason in found if reason.review + reason.reject]
    lines += [f"  {reason.masks:>9,}  {_plain(reason.text)}" for reason in flagged[:8]]
    if len(flagged) + rarer > 8:
        lines.append(f"             and {_count(len(flagged) + rarer - 8, 'other reason')}")
    lines += [
        f"  {numbers[name]:>9,}  {words}" for name, words in _PICTURES.items() if numbers.get(name)
    ]
    missing = numbers.get("missing_detection_count")
    if missing:
        lines.append(f"  {missing:>9,}  detections that no mask explains: masks may be missing")
    lines += _unmatched(audit, numbers)
    for kind, model in audit.info.get("models", {}).items():
        lines.append(f"{kind} {model['name']} on {model['device']}, {model['precision']}")
    absent = [signal for signal in audit.info["signals"] if not signal["available"]]
    if absent:
        needs = dict.fromkeys(signal["why"].removeprefix("needs ") for signal in absent)
        lines.append(f"more signals with: {'; '.join(needs)}")
    lines.append(f"report: {audit.path / 'report.html'}")
    return "\n".join(lines)


def _unmatched(audit: Audit, numbers: Mapping[str, Any]) -> list[str]:
    """Say which inputs have nothing to do with the dataset, as the wrong file has."""
    lines = []
    given = list(audit.info["inputs"])
    if "detections" in given and numbers.get("detector_median") is None:
        lines.append("the detections name none of these images: do their image ids match?")
    others = any(name.startswith("compare ") for name in given)
    if others and numbers.get("agreement_median") is None:
        lines.append("the other annotations have none of these images: do their names match?")
    return lines


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"


def _plain(reason: str) -> str:
    """Take the numbers in which masks differ out of a reason that stands for many masks."""
    reason = re.sub(r" \([^()]*…[^()]*\)", "", reason)
    return re.sub(r":[^:…]{0,20}…$", "", reason).replace("mask …", "another mask")


def check_gates(conditions: Sequence[str]) -> None:
    """See that conditions can be read, before hours of work stand before them.

    Raises:
        CallError: One is malformed.
    """
    from curate.curation.gate import check

    for condition in conditions:
        check(condition)


def failed_gates(numbers: Mapping[str, Any], conditions: Sequence[str]) -> list[str]:
    """Return the gates whose condition holds.

    Raises:
        CallError: A condition is malformed or names a number that is not there.
    """
    from curate.curation.gate import fails

    return [condition for condition in conditions if fails(condition, dict(numbers))]
