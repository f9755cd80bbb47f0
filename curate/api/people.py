"""Verbs of reviews: import, learn, certify, estimate, agreement."""

from __future__ import annotations

from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

from curate.api.auditing import renew_report
from curate.api.early_checks import AnyPath, check_audit, check_file, check_folder
from curate.common.ranges import check_numbers
from curate.errors import CallError
from curate.policy.grammar import check_choice

if TYPE_CHECKING:
    from curate.common.progress import Progress
    from curate.people.exchange import ImportResult
    from curate.people.guarantees.certify import Certificate
    from curate.people.guarantees.estimate import Estimate
    from curate.people.guarantees.overrides import CertificateOverrides
    from curate.people.learning import LearningResult
    from curate.people.reviews.undo_import import UndoneImport


def import_decisions(
    file: AnyPath,
    path: AnyPath | None = None,
    *,
    reviewer: str | None = None,
    format: str | None = None,
    exported: str | None = None,
    same_iou: float = 1.0,
    match: str | None = None,
    assume_reviewed: bool = False,
    images: AnyPath | None = None,
) -> ImportResult:
    """Import people's decisions from a file; see :func:`curate.people.exchange.import_file`.

    They are in the plan at once, and the audit's report is written again.

    Args:
        file: What came back from people.
        path: The audit; the only one in this folder if None.
        reviewer: Who decided, where the file does not say.
        format: The file's format, where its content does not tell.
        exported: For a corrected dataset of whole images, the subset that was exported: a file or
            a draw's number; None: of a queue the draws that it names or fits, else the whole
            source.
        same_iou: For a corrected dataset: IoU from which on a mask counts as not changed.
        match: "iou": masks whose id a tool lost are found by how they overlap.
        assume_reviewed: For a corrected dataset: people reviewed all of it, changed or not.
        images: Folder of the pictures for the report; where the audit had them if None.

    Raises:
        CurateError: A row is wrong (nothing is imported then), or there is no such audit.
    """
    check_numbers(same_iou=same_iou)
    path = only_audit() if path is None else path
    check_audit(path)
    check_file(file)
    check_choice(match, "--match", ("iou",))
    check_folder(images)

    from curate.people.exchange import import_file
    from curate.people.reviews.current_plan import open_audit

    opened = open_audit(path)
    part: Path | int | None = None if exported is None else Path(exported)
    if exported is not None and exported.isdecimal() and not Path(exported).exists():
        part = int(exported)
        check_numbers(exported=part)
    done = import_file(
        opened,
        Path(file),
        reviewer=reviewer,
        format=format,
        exported=part,
        same_iou=same_iou,
        match=match,
        assume_reviewed=assume_reviewed,
    )
    renew_report(opened.path, images)
    return done


def take_back(
    file: AnyPath,
    path: AnyPath | None = None,
    *,
    reviewer: str | None = None,
    images: AnyPath | None = None,
) -> UndoneImport:
    """Take back what was imported from a file: it counts for nothing any more; its rows stay.

    The same file can be imported again afterwards, by whomever it is of.

    Args:
        file: The file that was imported, unchanged; its name does not matter.
        path: The audit; the only one in this folder if None.
        reviewer: Only what counts as this person's, "" for no name; None: everybody's.
        images: Folder of the pictures for the report; where the audit had them if None.

    Raises:
        CurateError: Nothing of that file counts, or there is no such audit.
    """
    path = only_audit() if path is None else path
    check_audit(path)
    check_file(file)
    check_folder(images)

    from curate.people.exchange import take_back_file
    from curate.people.reviews.current_plan import open_audit

    opened = open_audit(path)
    done = take_back_file(opened, Path(file), reviewer)
    renew_report(opened.path, images)
    return done


def only_audit(folder: Path | None = None) -> Path:
    """Return the audit of a folder that holds exactly one.

    Raises:
        CallError: It holds none, or several.
    """
    found = sorted(p.parent for p in (folder or Path()).glob("*/audit.json"))
    if len(found) != 1:
        what = f"there are {len(found)} audits here" if found else "there is no audit here"
        raise CallError(what, str(folder or Path().resolve()), "name one with --audit DIR")
    return found[0]


def learn(
    path: AnyPath,
    *,
    start: AnyPath | None = None,
    seed: int = 0,
    images: AnyPath | None = None,
    progress: Progress | None = None,
) -> LearningResult:
    """Learn which masks people find good, and decide anew where that is better.

    Args:
        path: The audit, with people's decisions.
        start: Another audit or a model's file to start from; the model in force if None.
        seed: Of folds and trees.
        images: Folder of the pictures for the report; where the audit had them if None.
        progress: Called with progress.

    Raises:
        CurateError: There are no decisions, too few, or only of one kind.
    """
    check_numbers(seed=seed)
    check_audit(path, finishes=True)
    check_folder(images)

    from curate.common.locks import hold_directory
    from curate.people.learning import learn as run
    from curate.people.reviews import open_reviews
    from curate.people.reviews.current_plan import open_audit
    from curate.people.reviews.review_settings import DecisionSettings
    from curate.pipeline.deciding import finish_deciding

    with hold_directory(Path(path), "learn"):
        finish_deciding(Path(path), progress)
        opened = open_audit(path)
        settings = DecisionSettings.of(opened.info)
        labels = open_reviews(opened).resolve_labels(settings.rule, settings.good_iou)
        found = run(opened, labels, start=start, seed=seed, progress=progress)
    renew_report(opened.path, images)
    return found


def certify(
    path: AnyPath,
    *,
    max_bad: float = 0.05,
    confidence: float = 0.95,
    looks: int = 1,
    dry_run: bool = False,
    images: AnyPath | None = None,
    **question: Any,
) -> Certificate:
    """Find the largest acceptance with a bounded share of bad masks, and let the plan keep to it.

    Args:
        path: The audit, with a random sample that people have reviewed.
        max_bad: Largest share of bad masks among the accepted.
        confidence: Probability that this holds.
        looks: How often, at most, a certificate is asked for while people go on reviewing.
        dry_run: Leave the plan as it is.
        images: Folder of the pictures for the report; where the audit had them if None.

    Further keywords are fields of :class:`curate.people.guarantees.audit_guarantees.SampleOptions`.

    Raises:
        CurateError: There is no random sample, it is too small, or a number is out of range.
    """
    check_numbers(max_bad=max_bad, confidence=confidence, looks=looks)
    check_audit(path, finishes=not dry_run)
    check_folder(images)

    from curate.common.locks import hold_directory
    from curate.people.guarantees.audit_guarantees import (
        SampleOptions,
        certify_audit,
        store_certificate,
    )
    from curate.people.reviews.current_plan import open_audit
    from curate.pipeline.deciding import finish_deciding

    with nullcontext() if dry_run else hold_directory(Path(path), "certify"):
        if not dry_run:
            finish_deciding(Path(path))
        opened = open_audit(path)
        found = certify_audit(
            opened,
            max_bad=max_bad,
            confidence=confidence,
            looks=looks,
            question=SampleOptions(**question),
        )
        if not dry_run:
            store_certificate(opened, found)
    if not dry_run:
        renew_report(opened.path, images)
    return found.certificate


def certificate_standing(path: AnyPath, found: Certificate) -> CertificateOverrides:
    """Count how people's decisions stand to a certificate's bound.

    Args:
        path: The audit.
        found: What :func:`certify` found, whether the plan keeps to it or not.
    """
    from curate.people.guarantees.overrides import compare_with_certificate
    from curate.people.reviews.current_plan import open_audit, read_added_masks
    from curate.policy.certificate_in_force import NOTHING

    opened = open_audit(path).pinned()
    line = NOTHING if found.threshold is None else found.threshold
    stands = compare_with_certificate(opened, line=line, added=len(read_added_masks(opened)))
    assert stands is not None  # certify has seen that the plan has all that this reads
    return stands


def estimate(
    path: AnyPath, *, confidence: float = 0.95, images: AnyPath | None = None, **question: Any
) -> Estimate:
    """Estimate a dataset's quality from a random sample that people have reviewed.

    Args:
        path: The audit.
        confidence: Of each interval.
        images: Folder of the pictures for the report; where the audit had them if None.

    Further keywords are fields of :class:`curate.people.guarantees.audit_guarantees.SampleOptions`.

    Raises:
        CurateError: There is no random sample.
    """
    check_numbers(confidence=confidence)
    check_audit(path)
    check_folder(images)

    from curate.common.locks import hold_directory
    from curate.people.guarantees.audit_guarantees import (
        SampleOptions,
        estimate_audit,
        store_estimate,
    )
    from curate.people.reviews.current_plan import open_audit

    with hold_directory(Path(path), "estimate"):
        opened = open_audit(path)
        found = estimate_audit(opened, confidence=confidence, question=SampleOptions(**question))
        store_estimate(opened, found)
    renew_report(opened.path, images)
    return found


def agreement(path: AnyPath) -> Any:
    """Return how far people agree on an audit's masks; see ``Reviews.agreement``."""
    check_audit(path)

    from curate.people.reviews import open_reviews
    from curate.people.reviews.current_plan import open_audit

    return open_reviews(open_audit(path)).agreement()
