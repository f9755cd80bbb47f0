"""Prefilling of a round of stage 2: confident masks are found, and some drawn to be checked.

All proposals of the round, and those of the validation images, are audited as one, so that their
qualities compare: a label-free quality is relative to the masks it is fitted to. The proposals of
the validation images are matched with people's masks there, and give the three lines. Masks of the
round over all three are prefilled, but for a random share that is asked about among the others.

Ids of proposals say what is asked: those under ``asked_from`` are prefilled and stand, all others
go to people, checks too. So the policy of the round's audit is two rules, nothing in the audit
tells a check from other proposals, and the provenance tells prefilled masks (decided by the policy)
from those that people decided on.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np
import pandas as pd

from curate.api.auditing import audit as make_audit
from curate.common.arrays import BoolArray
from curate.common.own_records import read_record
from curate.common.progress import Progress
from curate.dataset.notes import count_noun
from curate.dataset.table import MaskTable, records
from curate.engine.accepted_iou import AcceptedIou, DecidedProposals, find_accepted_iou
from curate.engine.coco_writing import ListedImage, write_coco
from curate.engine.confident_masks import (
    LINE_SIGNALS,
    ConfidentLines,
    Strictness,
    choose_lines,
    next_strictness,
)
from curate.engine.people_work import PROPOSED, REVIEW_ALL
from curate.engine.prefill_checks import (
    PrefillPrecision,
    count_checks,
    draw_checks,
    measure_precision,
)
from curate.engine.proposal_truth import GOOD_IOU, compare_with_truth
from curate.engine.round_record import PrefillRecord, RoundRecord
from curate.formats.reading import read
from curate.people.reviews.current_plan import open_audit
from curate.people.reviews.recorded_draws import DrawSettings, RecordedDraw
from curate.policy.policy import Policy
from curate.store.audit_files import write_json
from curate.store.engine_folder import AUDIT, PREFILL, PREFILLED, PROPOSALS

SCHEMA_VERSION = 1

REASON = "prefilled: a detector sees an object in its place, and its quality is over the line"
"""Why a mask is accepted that nobody was asked about."""

TRUTH = "truth.json"
"""People's masks of the validation images, beside the proposals that are compared with them."""


@dataclass(frozen=True)
class PrefillPlan:
    """What the masks of a round are prefilled by.

    Attributes:
        folder: The round's folder; ``prefill/proposals.json`` in it has all proposals.
        pictures: Folder of the pictures.
        images: The round's images.
        validation: Validation images that people have searched.
        truth: People's masks of these, with :data:`curate.engine.coco_writing.MASK_COLUMNS`.
        classes: Names of the classes.
        first_id: Id of the round's first proposal.
        strictness: How strictly lines are chosen.
        decided: Proposals of the rounds before, by which it is told which are good.
        max_bad: Largest allowed share of bad masks among the prefilled.
        seed: Of the draw of checks.
    """

    folder: Path
    pictures: Path
    images: Sequence[ListedImage]
    validation: Sequence[ListedImage]
    truth: pd.DataFrame
    classes: Sequence[str]
    first_id: int
    strictness: Strictness
    decided: DecidedProposals
    max_bad: float
    seed: int

    @property
    def place(self) -> Path:
        """Folder of all that prefilling takes."""
        return self.folder / PREFILL


def prefill_round(
    plan: PrefillPlan,
    detector: Path | None,
    record: PrefillRecord,
    *,
    device: str | None,
    progress: Progress | None,
) -> PrefillRecord:
    """Choose the lines, prefill masks, draw checks; write ``prefilled.json`` and the proposals.

    Args:
        plan: What it is done by.
        detector: The round's; None: nothing is prefilled, and all proposals go to people.
        record: What is known so far.
        device: Where the detector runs.
        progress: Called with progress.

    Returns:
        The record, with lines and numbers.
    """
    candidates = read(plan.place / PROPOSALS, "coco")
    mine = candidates.masks["image_id"].isin([one.image_id for one in plan.images])
    own = candidates.masks[mine]
    confident, draw = own.iloc[:0].assign(**dict.fromkeys(LINE_SIGNALS, np.nan)), None
    if detector is not None and len(own):
        signals = measure_signals(plan, detector, device, progress)
        lines, accepted = _choose_lines(plan, candidates, signals)
        scored = signals.loc[own.index]
        confident = scored[lines.apply(scored)]
        decided = None if accepted.decided is None else asdict(accepted.decided)
        record = {
            **record,
            "lines": lines.as_dict(),
            "good_iou": accepted.iou,
            "good_by": decided,
        }
    elif detector is not None:
        record = {**record, "reason": "the segmenter proposed no mask"}
    if len(confident):
        count = count_checks(len(confident), max_bad=plan.max_bad)
        draw = draw_checks(confident, count, seed=plan.seed)
    checks = np.zeros(0, np.int64) if draw is None else draw.rows["mask_id"].to_numpy(np.int64)
    stands = own.index.isin(confident.index) & ~own.index.isin(checks)
    _write_round(plan, own, stands, (confident, draw))
    return {**record, "prefilled": len(confident), "checks": len(checks)}


def measure_signals(
    plan: PrefillPlan, detector: Path, device: str | None, progress: Progress | None
) -> pd.DataFrame:
    """Audit all proposals of a round and of the validation images as one, once.

    Args:
        plan: What the round is prefilled by.
        detector: The round's.
        device: Where it runs.
        progress: Called with progress.

    Returns:
        Index ``mask_id``: ``image_id`` and :data:`curate.engine.confident_masks.LINE_SIGNALS`, NaN
        where not known.
    """
    done = make_audit(
        plan.place / PROPOSALS,
        plan.place / AUDIT,
        format="coco",
        images=plan.pictures,
        detector=str(detector),
        device=device,
        trust_joins=True,  # the detector saw these very pictures, however little it found
        policy=REVIEW_ALL,
        progress=progress,
    )
    return open_audit(done.path).masks(["image_id", *LINE_SIGNALS])


def _choose_lines(
    plan: PrefillPlan, candidates: MaskTable, signals: pd.DataFrame
) -> tuple[ConfidentLines, AcceptedIou]:
    """Choose lines on the validation images: certified where that can be had, else estimated.

    The second value is the IoU from which a proposal there counts as good.
    """
    compared = compare_with_truth(candidates, read_truth(plan))["truth_iou"]
    known = signals["image_id"].isin([one.image_id for one in plan.validation])
    held = signals[known].join(compared)
    accepted = find_accepted_iou(plan.decided, held["truth_iou"].to_numpy(np.float64))
    held["good"] = held["truth_iou"] >= accepted.iou
    certified = choose_lines(held, strictness=plan.strictness)
    if certified.lines is not None:
        return certified, accepted
    return choose_lines(held, strictness=plan.strictness, basis="estimated"), accepted


def read_truth(plan: PrefillPlan) -> MaskTable:
    """Write people's masks of the validation images beside the proposals, and read them.

    Args:
        plan: What a round is prefilled by.
    """
    write_coco(plan.place / TRUTH, plan.validation, plan.truth, plan.classes)
    return read(plan.place / TRUTH, "coco")


def _write_round(
    plan: PrefillPlan,
    own: pd.DataFrame,
    stands: BoolArray,
    found: tuple[pd.DataFrame, RecordedDraw | None],
) -> None:
    """Write ``prefilled.json`` and the round's proposals, those first that nobody is asked about.

    Args:
        plan: What it is done by.
        own: Proposals of the round's images, index: their ids among all.
        stands: Which of them are prefilled and not asked about.
        found: Prefilled masks with their signals, and the draw of checks; ids as in ``own``.
    """
    confident, draw = found
    order = np.argsort(~stands, kind="stable")
    ids = pd.Series(plan.first_id + np.arange(len(own)), own.index[order])
    masks = confident.assign(mask_id=ids.loc[confident.index].to_numpy(np.int64))
    content: dict[str, object] = {
        "schema_version": SCHEMA_VERSION,
        "asked_from": plan.first_id + int(stands.sum()),
        "draw": None,
        "masks": records(masks[["mask_id", "image_id", *LINE_SIGNALS]].reset_index(drop=True)),
    }
    if draw is not None:
        rows = draw.rows.assign(mask_id=ids.loc[draw.rows["mask_id"]].to_numpy(np.int64))
        content["draw"] = {"settings": dict(draw.settings), "rows": records(rows)}
    write_json(plan.place / PREFILLED, content)
    proposals = own.iloc[order].reset_index(drop=True)
    for name in ("predicted_iou", "stability_score"):
        if name not in proposals:
            proposals[name] = np.nan
    write_coco(plan.folder / PROPOSALS, plan.images, proposals, plan.classes, plan.first_id)


@dataclass(frozen=True)
class PrefilledMasks:
    """Prefilled masks of a round, from its ``prefilled.json``.

    Attributes:
        asked_from: Proposals from this id on go to people.
        masks: All prefilled masks, checks too, index ``mask_id``: ``image_id`` and
            :data:`curate.engine.confident_masks.LINE_SIGNALS`.
        draw: The checks; None where nothing is prefilled.
    """

    asked_from: int
    masks: pd.DataFrame
    draw: RecordedDraw | None


def read_prefilled(folder: Path) -> PrefilledMasks | None:
    """Return the prefilled masks of a round; None for one in which nothing could be.

    Args:
        folder: The round's folder.

    Raises:
        AuditError: The file is damaged.
    """
    path = folder / PREFILL / PREFILLED
    if not path.is_file():
        return None
    found = cast(Any, read_record(path, "a round's", "curate engine next"))
    columns = ["mask_id", "image_id", *LINE_SIGNALS]
    types = dict.fromkeys(("mask_id", "image_id"), "int64") | dict.fromkeys(LINE_SIGNALS, "float64")
    masks = pd.DataFrame(found["masks"], columns=columns).astype(types).set_index("mask_id")
    draw = None
    if found["draw"] is not None:
        rows = pd.DataFrame(found["draw"]["rows"])
        rows = rows.astype({"mask_id": "int64", "stratum": "int64", "place": "int64"})
        draw = RecordedDraw(1, "estimate", cast(DrawSettings, found["draw"]["settings"]), rows)
    return PrefilledMasks(int(found["asked_from"]), masks, draw)


def choose_policy(folder: Path) -> Policy:
    """Return the policy of a round's audit: proposals go to people, but for the prefilled.

    Args:
        folder: The round's folder.
    """
    found = read_prefilled(folder)
    if found is None:
        return REVIEW_ALL
    accept = {"when": f"mask_id < {found.asked_from}", "action": "accept", "reason": REASON}
    asked = {"when": f"mask_id >= {found.asked_from}", "action": "review", "always": True}
    return Policy.from_dict(
        {
            "name": "prefilled",
            "description": "Accepts the prefilled masks, and sends all other proposals to people.",
            "rule": [accept, asked | {"reason": PROPOSED}],
        }
    )


def measure_prefilled(folder: Path) -> PrefillPrecision | None:
    """Return the precision of a round's prefilled masks, by what people made of the checks.

    A mask that was accepted is good, and so is one that was redrawn to the same at an IoU of
    :data:`curate.engine.proposal_truth.GOOD_IOU`, or only given another class.

    Args:
        folder: The round's folder.

    Returns:
        None where nothing is prefilled.
    """
    found = read_prefilled(folder)
    if found is None or found.draw is None:
        return None
    audit = open_audit(folder / AUDIT)
    answers = pd.DataFrame({"mask_id": [], "change": [], "iou": []})
    if audit.has_people():
        answers = audit.query(
            "select mask_id, change, iou from people where change != 'unsettled' "
            "and mask_id >= ? order by mask_id",
            [found.asked_from],
        )
    answers = answers.astype({"mask_id": "int64", "iou": "float64"}).set_index("mask_id")
    kept = answers["change"].isin(("kept", "relabelled"))
    redrawn = answers["change"] == "redrawn"
    answers["good"] = kept | (redrawn & (answers["iou"] >= GOOD_IOU))
    answers["action"] = np.where(kept, "accept", np.where(redrawn, "fix", "reject"))
    return measure_precision(found.draw, answers[["good", "action", "iou"]], found.masks)


def choose_strictness(earlier: Sequence[RoundRecord], max_bad: float) -> Strictness:
    """Return how strictly the lines of the next round are chosen, by how bad the last masks were.

    Args:
        earlier: Records of all rounds before, in order.
        max_bad: Largest allowed share of bad masks among the prefilled.
    """
    for record in reversed(earlier):
        prefill = record.prefill
        if prefill is not None and prefill["lines"] is not None:
            measured = prefill["precision"]
            known = measured is not None and measured["precision"] is not None
            bad = 1 - measured["precision"] if measured is not None and known else math.nan
            lines = ConfidentLines.from_dict(prefill["lines"])
            return next_strictness(lines, bad, max_bad=max_bad)
    return Strictness(max_bad)


def begin_record(strictness: Strictness, reason: str, detector: str | None) -> PrefillRecord:
    """Return the record of a round whose detector was trained, or could not be.

    Args:
        strictness: How strictly lines are to be chosen.
        reason: Why there is no detector; "" where there is one.
        detector: Its fingerprint.
    """
    return {
        "strictness": asdict(strictness),
        "lines": None,
        "reason": reason,
        "detector": detector,
        "prefilled": 0,
        "checks": 0,
        "precision": None,
    }


def describe_prefill(record: PrefillRecord) -> str:
    """Return the number of prefilled masks and their lines, or why there are none, in words."""
    if record["lines"] is None:
        return f"no masks are prefilled: {record['reason']}"
    text = ConfidentLines.from_dict(record["lines"]).text()
    if "good_iou" in record:
        by = record["good_by"]
        decided = None if by is None else DecidedProposals(**by)
        text += f"; {AcceptedIou(record['good_iou'], decided).text()}"
    if not record["prefilled"]:
        over = "; none of this round's is over them" if record["lines"]["lines"] else ""
        return f"{text}{over}"
    some = count_noun(record["prefilled"], "mask is", "masks are")
    asked = f"{record['checks']:,} of them asked about unmarked, as a check"
    return f"{some} prefilled, {asked}; {text}"
