"""Verbs that bring people's decisions in: import_decisions, take_back."""

from __future__ import annotations

from pathlib import Path

from curate.api.early_checks import only_audit
from curate.api.missing_answers import (
    FORMAT,
    AnswersImport,
    import_answers,
    take_back_answers_of,
)
from curate.common.paths import AnyPath, check_exists, check_folder
from curate.common.ranges import check_numbers
from curate.errors import CallError
from curate.people.exchange import ImportResult, import_file, take_back_file
from curate.people.exchange.answer_table import is_answer_table
from curate.people.reviews.current_plan import open_audit
from curate.people.reviews.undo_import import UndoneImport
from curate.policy.grammar import check_choice
from curate.reporting.report_file import renew_report
from curate.store.audit import AnyAudit, StoredAudit
from curate.store.engine_folder import refuse_closed_round, resolve_audit


def _open(audit: AnyAudit | None) -> StoredAudit:
    """Open the audit to import into, which is not that of a closed round of the engine."""
    opened = open_audit(only_audit() if audit is None else resolve_audit(audit))
    refuse_closed_round(opened.path)
    return opened


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
) -> ImportResult | AnswersImport:
    """Import people's decisions from a file: rows, a corrected dataset, or a tool's export.

    A table that ``write_queue(kind="missing")`` wrote is one too, once people have filled it in:
    its answers to proposed missing masks.

    They are in the plan at once, and the audit's report is written again.

    Args:
        file: What came back from people.
        audit: The audit, or its directory, or an engine's: the round that is open there; the only
            one in this folder if None.
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
    opened = _open(audit)
    check_exists(file)
    check_folder(images)
    if is_answers(Path(file), format):
        check_unused(exported=exported, match=match, assume_reviewed=assume_reviewed)
        answered = import_answers(opened, Path(file), reviewer)
        renew_report(opened, images)
        return answered
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


def is_answers(file: Path, format: str | None) -> bool:
    """Whether a file answers proposals of missing masks, by its content or what it is said to be.

    Raises:
        CallError: It is said to be such a table, and is none.
    """
    found = format in (None, FORMAT) and is_answer_table(file)
    if format == FORMAT and not found:
        do = "give a table that `curate queue --kind missing` wrote"
        raise CallError("it has no column proposal_id", str(file), do)
    return found


def check_unused(**given: object) -> None:
    """Refuse options of corrected datasets for a table of answers.

    Raises:
        CallError: One is given.
    """
    for name, value in given.items():
        if value:
            what = "it is for corrected datasets, and this is a table of proposed missing masks"
            raise CallError(what, f"--{name.replace('_', '-')}", "leave it out")


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
        audit: The audit, or its directory, or an engine's: the round that is open there; the only
            one in this folder if None.
        reviewer: Only what counts as this person's, "" for no name; None: everybody's.
        images: Folder of the pictures for the report; where the audit had them if None.

    Raises:
        CurateError: Nothing of that file counts, or there is no such audit.
    """
    opened = _open(audit)
    check_exists(file)
    check_folder(images)
    is_table = is_answers(Path(file), None)
    undo = take_back_answers_of if is_table else take_back_file
    done = undo(opened, Path(file), reviewer)
    renew_report(opened, images)
    return done
