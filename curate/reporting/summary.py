"""Summary of an audit: numbers for machines and gates, a few lines for people."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from curate.dataset.notes import (
    OF_MODELS,
    NoteRecord,
    count_noun,
    count_text,
    printable,
    short_version,
)
from curate.people.guarantees.overrides import compare_with_certificate, describe_certificate
from curate.people.queues.missing_proposals import count_proposals
from curate.people.reviews.current_plan import read_added_masks
from curate.pipeline.join_facts import join_lines
from curate.policy.certificate_in_force import void_text
from curate.reporting.gates import check, fails, metrics, names
from curate.reporting.methods import signals
from curate.reporting.queries import ReportSource, lowest_share, reasons
from curate.scorers import all_scorers
from curate.store.audit import StoredAudit

_PICTURES = {
    "image_missing_count": "without a picture",
    "image_unreadable_count": "whose picture cannot be read",
    "image_truncated_count": "whose picture is truncated",
    "image_size_mismatch_count": "whose picture has another size than declared",
    "image_exif_rotated_count": "whose picture is stored turned (EXIF)",
    "image_invalid_size_count": "of an invalid size",
    "image_duplicate_id_count": "with a duplicate id",
}

_CHANGES = {
    "accept": "accepted",
    "reject": "rejected",
    "redrawn": "redrawn",
    "relabelled": "relabelled",
}


def summary(audit: StoredAudit) -> dict[str, float | None]:
    """Return an audit's numbers by name, for people, machines and gates.

    Those of :func:`curate.reporting.gates.metrics`, and ``person_added_count``: masks that people
    added.
    """
    return metrics(audit) | {"person_added_count": len(read_added_masks(audit))}


def facts(audit: StoredAudit, numbers: Mapping[str, Any]) -> dict[str, object]:
    """Return facts about an audit beyond its numbers, for machines.

    Returns:
        ``version`` (the content id of the dataset, None where the audit does not have it),
        ``certificate_void`` (which certificate does not hold any more and why, None for none) and
        ``certificate_standing`` (how people's decisions stand to the one in force, None for none;
        see :class:`curate.people.guarantees.overrides.CertificateOverrides`), ``notes`` (what holds
        for the file as a whole; see :mod:`curate.dataset.notes`) and ``joins`` (what of the inputs
        was joined to which images and how; see :mod:`curate.pipeline.join_facts`).
    """
    found = compare_with_certificate(audit, added=numbers["person_added_count"])
    return {
        "version": audit.info.version,
        "certificate_void": void_text(audit.info) or None,
        "certificate_standing": found.as_dict() if found else None,
        "notes": audit.info.notes,
        "joins": audit.info.joins,
    }


def summary_text(audit: StoredAudit, numbers: Mapping[str, Any]) -> str:
    """Say in a few lines what an audit found, and where to look."""
    masks = numbers["mask_count"] or 0
    shares = ", ".join(
        f"{numbers[f'{action}_count']:,} {words}"
        for action, words in (
            ("accept", "accepted"),
            ("review", "to review"),
            ("reject", "rejected"),
        )
    )
    lines = [
        f"{count_noun(masks, 'mask')} in {count_noun(numbers['image_count'], 'image')}: {shares}"
    ]
    lines += _people_lines(numbers)
    lines += _flagged_lines(audit, numbers)
    lines += join_lines(audit.info.joins)
    lines += _note_lines(audit.info.notes, numbers)
    found, rarer = reasons(ReportSource(audit))
    flagged = [reason for reason in found if not (reason.note or reason.weak)]
    lines += [f"  {reason.masks:>9,}  {reason.text}" for reason in flagged[:8]]
    if len(flagged) + rarer > 8:
        lines.append(f"             and {count_noun(len(flagged) + rarer - 8, 'other reason')}")
    lines += [
        f"  {numbers[name]:>9,}  image{'s' * (numbers[name] != 1)} {words}"
        for name, words in _PICTURES.items()
        if numbers.get(name)
    ]
    missing = numbers.get("missing_detection_count")
    if missing:
        found_missing = count_proposals(audit)
        answered = found_missing.left < found_missing.total
        what = found_missing.clause() if answered else "masks may be missing"
        lines.append(f"  {missing:>9,}  objects seen without a matching mask: {what}")
    lines += _unmatched_lines(audit, numbers)
    for kind, model in audit.info.models.items():
        named = kind if model["name"] == kind else f"{kind} {model['name']}"
        lines.append(f"{named} on {model['device']}, {model['precision']}")
    lines += _signal_lines(audit, numbers)
    lines += _certificate_lines(audit, numbers)
    if version := audit.info.version:
        lines.append(f"version {short_version(version)}")
    lines.append(f"report: {audit.path / 'report.html'}")
    return "\n".join(lines)


def flagged_text(numbers: Mapping[str, Any], lowest_share: float) -> str:
    """Count masks that break a rule, have too low a quality, or only the lowest; "" for none.

    Args:
        numbers: What :func:`summary` gave.
        lowest_share: Of masks of lowest quality that the policy sends to review.
    """
    if "rule_count" not in numbers or not numbers["mask_count"]:
        return ""
    rule, odd, lowest = (numbers[f"{name}_count"] or 0 for name in ("rule", "odd", "lowest"))
    text = f"{rule:,} break{'s' if rule == 1 else ''} a rule, "
    text += f"{odd:,} {'is' if odd == 1 else 'are'} below the quality limit"
    if lowest:
        text += f", {lowest:,} {'is' if lowest == 1 else 'are'} only in the lowest "
        text += f"{100 * lowest_share:.3g}% by quality"
    return text


def _flagged_lines(audit: StoredAudit, numbers: Mapping[str, Any]) -> list[str]:
    text = flagged_text(numbers, lowest_share(audit.info.policy))
    return [text] if text else []


def people_text(numbers: Mapping[str, Any]) -> str:
    """Say what people decided; "" where they decided nothing."""
    decided, unsettled = numbers["person_count"], numbers["person_unsettled_count"]
    added = numbers["person_added_count"]
    if not decided + unsettled + added:
        return ""
    changes = [
        f"{number:,} {words}"
        for name, words in _CHANGES.items()
        if (number := numbers[f"person_{name}_count"])
    ]
    clauses = [f"people decided on {count_noun(decided, 'mask')}"]
    clauses[0] += f": {', '.join(changes)}" if changes else ""
    clauses += [f"{unsettled:,} not settled"] if unsettled else []
    clauses += [f"{count_noun(added, 'mask')} added"] if added else []
    return "; ".join(clauses)


def _people_lines(numbers: Mapping[str, Any]) -> list[str]:
    text = people_text(numbers)
    return [text] if text else []


def _note_lines(notes: Sequence[NoteRecord], numbers: Mapping[str, Any]) -> list[str]:
    """Say what holds for the file as a whole, a line each, commonest first; then of models."""
    totals = {"masks": numbers["mask_count"], "images": numbers["image_count"]}
    lines = []
    of_data = [note for note in notes if note["of"] != OF_MODELS]
    for note in sorted(of_data, key=lambda note: -(note.get("share") or 1)):
        examples = ", ".join(printable(place) for place in note.get("examples", []))
        places = f" (for example {examples})" if examples else ""
        how_many = count_text(note, totals.get(note["of"]))
        lines.append(f"note: {note['text']}: {how_many}{places}")
    return lines + [f"note: {note['text']}" for note in notes if note["of"] == OF_MODELS]


def _signal_lines(audit: StoredAudit, numbers: Mapping[str, Any]) -> list[str]:
    """Return which signals were not available, counted as the report counts them."""
    if not audit.info.signals:
        return []
    source = ReportSource(audit)
    present = {
        column
        for column in source.score_columns()
        if numbers.get(f"{column.removesuffix('_score')}_median") is not None
    }
    found = signals(source, present)
    absent = [signal for signal in found if not signal.available]
    if not absent:
        return []
    were = "was" if len(absent) == 1 else "were"
    needs = "; ".join(dict.fromkeys(signal.why for signal in absent))
    return [f"{len(absent)} of {len(found)} signals {were} not available: {needs}"]


def _certificate_lines(audit: StoredAudit, numbers: Mapping[str, Any]) -> list[str]:
    """Say what certificate holds, or holds no more, and how people's decisions stand to it."""
    bound, *others = describe_certificate(audit, numbers["person_added_count"]) or [""]
    lines = [bound, *(f"  {line}" for line in others), void_text(audit.info)]
    return [line for line in lines if line]


def _unmatched_lines(audit: StoredAudit, numbers: Mapping[str, Any]) -> list[str]:
    """Say which inputs have nothing to do with the dataset, as the wrong file has."""
    lines = []
    given = list(audit.info.inputs)
    if "detections" in given and numbers.get("detector_median") is None:
        lines.append("the detections are of none of these images: check their image ids")
    others = any(name.startswith("compare ") for name in given)
    if others and numbers.get("agreement_median") is None:
        lines.append("the other annotations are of none of these images: check their image names")
    return lines


def check_gate_names(conditions: Sequence[str], columns: Iterable[str] = ()) -> None:
    """Check that conditions name numbers that an audit has, before it is computed.

    Args:
        conditions: The conditions.
        columns: Columns that the audit has beside those that every audit can have.

    Raises:
        CallError: One names what is none.
    """
    scorers = all_scorers() if conditions else ()
    written = [column.name for one in scorers for column in (*one.columns, *one.applied)]
    stored = ("quality_score", "stability_score", "predicted_iou", "score")
    known = names([*written, *stored, *columns]) | {"person_added_count"}
    for condition in conditions:
        check(condition, known)


def failed_gates(numbers: Mapping[str, Any], conditions: Sequence[str]) -> list[str]:
    """Return the gates whose condition holds.

    Raises:
        CallError: A condition is malformed or names a number that is not there.
    """
    return [condition for condition in conditions if fails(condition, dict(numbers))]
