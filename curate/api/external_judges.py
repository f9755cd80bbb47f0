"""Verb that asks a judge about masks: judge."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path

import pandas as pd

from curate.common.locks import hold_directory
from curate.common.paths import AnyPath, as_path, check_folder
from curate.common.pool import Pool
from curate.common.progress import Progress
from curate.common.ranges import JUDGE_ORDERS, check_numbers
from curate.errors import CallError
from curate.judges.connections import JudgeAddress, find_judge_address
from curate.judges.judge_choice import MaskChoice, choose_masks
from curate.judges.judge_requests import AskingRecord, AskingTerms, JudgeAsking
from curate.judges.judge_result import JudgeResult, ReplacedAnswers
from curate.judges.judge_worth import measure_worth
from curate.judges.protocol import MOST_BATCH
from curate.notebook.audit_value import open_audit
from curate.people.reviews import open_reviews
from curate.people.reviews.review_file import has_reviews
from curate.people.reviews.review_settings import DecisionSettings
from curate.pipeline.deciding import decide_audit, finish_deciding
from curate.policy.grammar import check_choice
from curate.policy.policy import Policy
from curate.quality.model_in_force import LABEL_FREE
from curate.reporting.report_file import renew_report
from curate.store.audit import AnyAudit, StoredAudit, path_of
from curate.store.audit_info import scored_info
from curate.store.audit_sql import column_types


def judge(
    audit: AnyAudit,
    judge: str | Sequence[str],
    *,
    budget: int,
    order: str = "random",
    images: AnyPath | None = None,
    remote: bool = False,
    batch: int = 8,
    timeout: float = 60.0,
    retries: int = 2,
    dry_run: bool = False,
    progress: Progress | None = None,
) -> JudgeResult:
    """Ask a program of your own about masks, and keep its answers in the audit.

    It gets the picture of each mask, the same with the mask drawn on it, and a window around it,
    by the protocol of :mod:`curate.judges.protocol`. Its answers become the columns
    ``judge_score``, ``judge_answer`` and ``judge_reason``. They count for nothing in
    ``quality_score`` until ``learn`` finds that they help; a policy may name them.

    Args:
        audit: The audit, or its directory.
        judge: An argument list, run without a shell, or an HTTP address.
        budget: How many masks of the audit are to have an answer of this judge, at most, those of
            all earlier calls among them, in whatever order: nothing is asked twice.
        order: "random": by a hash of the masks' ids; "rank": as the queue has them; "reviewed":
            only masks that people decided on, for measuring the judge.
        images: Folder of the pictures; where the audit had them if None.
        remote: Allow an address of another machine.
        batch: Masks in a request.
        timeout: Seconds that an answer to a batch may take.
        retries: How often a batch is asked about again after trouble.
        dry_run: Send nothing; only return what would be sent where.
        progress: Called with progress.

    Raises:
        CurateError: There is no such judge, there are no pictures, or the judge gave no answer to
            several batches in a row; what it answered before is kept.
    """
    check_numbers(budget=budget, batch=batch, timeout=timeout, retries=retries)
    if batch > MOST_BATCH:
        raise CallError(f"--batch is {batch}", "", f"give at most {MOST_BATCH}")
    check_choice(order, "--order", JUDGE_ORDERS)
    check_folder(images)
    address = find_judge_address(judge, remote=remote)
    path = path_of(audit)
    writes = scored_info(path).is_undecided or not dry_run
    with hold_directory(path, "judge") if writes else nullcontext():
        if writes:
            finish_deciding(path, progress)
        opened = open_audit(path)
        folder = _find_folder(opened, as_path(images))
        labels = _read_labels(opened)
        asking = JudgeAsking(opened, folder, address)
        answered = asking.find_answered()
        choice = choose_masks(opened, folder, budget, order, labels.index, answered)
        _check_any(choice, order)
        left = _find_replaced(opened, address)
        if dry_run:
            record = AskingRecord(known=asking.count_known(choice))
            return _make_result(opened, address, choice, record, labels, batch, left, dry_run=True)
        asking.bring_back(answered)
        record = asking.run(choice, AskingTerms(batch, timeout, retries), progress)
        done = _decide_by_answers(opened, address, progress)
    renew_report(done, images)
    stays = done.info.judge is None or done.info.judge["judge"] != address.fingerprint()
    replaced = None if stays else left
    return _make_result(open_audit(done), address, choice, record, labels, batch, replaced)


def _find_replaced(audit: StoredAudit, address: JudgeAddress) -> ReplacedAnswers | None:
    """Return the answers of another judge in an audit's columns; None where there are none."""
    before = audit.info.judge
    if before is None or before["judge"] == address.fingerprint() or not before["masks"]:
        return None
    return ReplacedAnswers(before["name"], before["masks"])


def _find_folder(audit: StoredAudit, images: Path | None) -> Path:
    """Return the folder of the pictures.

    Raises:
        CallError: There is none.
    """
    stated = audit.info.inputs.get("images")
    folder = images or (Path(stated) if stated else None)
    if folder is None or not folder.exists():
        what = "a judge looks at pictures, and there are none"
        raise CallError(what, str(folder or audit.path), "give --images DIR")
    return folder


def _read_labels(audit: StoredAudit) -> pd.DataFrame:
    """Return the masks that people decided on, with whether they found each good."""
    if not has_reviews(audit):
        return pd.DataFrame({"good": pd.Series(dtype=bool)}, index=pd.Index([], name="mask_id"))
    settings = DecisionSettings.of(audit.info)
    labels = open_reviews(audit).resolve_labels(settings.rule, settings.good_iou)
    return labels.loc[labels["settled"], ["good"]]


def _check_any(choice: MaskChoice, order: str) -> None:
    """Check that there is a mask to ask about.

    Raises:
        CallError: There is none; says why.
    """
    if choice.candidates:
        return
    if choice.without_picture:
        what = f"none of {choice.without_picture:,} masks has a picture there"
        raise CallError(what, "--images", "give the folder of the pictures: --images DIR")
    what = "there is no mask to ask about"
    do = "review some first, or give another order" if order == "reviewed" else ""
    raise CallError(what, f"--order {order}", do)


def _decide_by_answers(
    audit: StoredAudit, address: JudgeAddress, progress: Progress | None
) -> StoredAudit:
    """Put a judge's answers into the plan."""
    fingerprint = address.fingerprint()
    info = audit.info
    if info.judge is None or info.judge["judge"] != fingerprint:
        other = {"judge": fingerprint, "name": address.name, "masks": 0, "answers": ""}
        info = replace(info, judge=other)  # type: ignore[arg-type]
    with Pool(1) as pool:
        return decide_audit(audit.path, info, Policy.from_dict(info.policy or {}), pool, progress)


def _make_result(
    audit: StoredAudit,
    address: JudgeAddress,
    choice: MaskChoice,
    record: AskingRecord,
    labels: pd.DataFrame,
    batch: int,
    replaced: ReplacedAnswers | None,
    *,
    dry_run: bool = False,
) -> JudgeResult:
    types = column_types(audit)
    answered = pd.DataFrame()
    worth, lacking = None, ""
    if "judge_answer" in types and not dry_run:
        quality = LABEL_FREE if LABEL_FREE in types else "quality_score"
        answered = audit.query(
            f"select mask_id, image_id, judge_answer, judge_score, {quality} as quality "
            "from masks where judge_answer is not null"
        ).set_index("mask_id")
        worth, lacking = measure_worth(answered.join(labels, how="inner"))
    answers = answered["judge_answer"] if len(answered) else pd.Series(dtype=object)
    return JudgeResult(
        audit=audit,
        judge=address.name,
        place=address.place,
        chosen=len(choice.ids) + choice.answered,
        candidates=choice.candidates,
        known=record.known + choice.answered,
        asked=record.asked,
        without_picture=choice.without_picture,
        unreadable=record.unreadable,
        failed=tuple(record.failed),
        accepted=int((answers == "accept").sum()),
        rejected=int((answers == "reject").sum()),
        batch=batch,
        worth=worth,
        lacking=lacking,
        budget=choice.budget,
        replaced=replaced,
        dry_run=dry_run,
    )
