"""Verbs that bring people's decisions in: import_decisions, take_back."""

from __future__ import annotations

from pathlib import Path

from curate.api.early_checks import only_audit
from curate.common.paths import AnyPath, check_exists, check_folder
from curate.common.ranges import check_numbers
from curate.people.exchange import ImportResult, import_file, take_back_file
from curate.people.reviews.current_plan import open_audit
from curate.people.reviews.undo_import import UndoneImport
from curate.policy.grammar import check_choice
from curate.reporting.report_file import renew_report
from curate.store.audit import AnyAudit


def import_decisions(
    file: AnyPath,
    audit: AnyAudit | None = None,
    *,
    reviewer: str | None = None,
    format: str | None = None,
    exported: str | None = None,
    same_iou: float = 1.0,
    match: str | None = None,
    assume_reviewed: bool = False,
    images: AnyPath | None = None,
) -> ImportResult:
    """Import people's decisions from a file: rows, a corrected dataset, or a tool's export.

    They are in the plan at once, and the audit's report is written again.

    Args:
        file: What came back from people.
        audit: The audit, or its directory; the only one in this folder if None.
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
    check_choice(match, "--match", ("iou",))
    opened = open_audit(only_audit() if audit is None else audit)
    check_exists(file)
    check_folder(images)
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
    renew_report(opened, images)
    return done


def take_back(
    file: AnyPath,
    audit: AnyAudit | None = None,
    *,
    reviewer: str | None = None,
    images: AnyPath | None = None,
) -> UndoneImport:
    """Take back what was imported from a file: it counts for nothing any more; its rows stay.

    The same file can be imported again afterwards, by whomever it is of.

    Args:
        file: The file that was imported, unchanged; its name does not matter.
        audit: The audit, or its directory; the only one in this folder if None.
        reviewer: Only what counts as this person's, "" for no name; None: everybody's.
        images: Folder of the pictures for the report; where the audit had them if None.

    Raises:
        CurateError: Nothing of that file counts, or there is no such audit.
    """
    opened = open_audit(only_audit() if audit is None else audit)
    check_exists(file)
    check_folder(images)
    done = take_back_file(opened, Path(file), reviewer)
    renew_report(opened, images)
    return done
