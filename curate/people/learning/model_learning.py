"""Training of a quality model on people's decisions, and its use where it is better.

It starts from the model of the last round, or from another audit's.
"""

from __future__ import annotations

import hashlib
import os
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import cast

import numpy as np
import pandas as pd

from curate.common import files
from curate.common.arrays import BoolArray, UInt64Array
from curate.common.pool import Pool
from curate.common.progress import Progress
from curate.errors import AuditError, SourceError
from curate.people.learning.learn_result import CALIBRATED, KEPT, USED, LearningResult
from curate.people.learning.reviewed_masks import (
    MaskFeatures,
    ReviewedMasks,
    check_finished,
    gather_reviewed,
    hash_images,
)
from curate.pipeline.deciding import GRID, decide_audit
from curate.policy.certificate_in_force import void_certificate
from curate.policy.policy import Policy
from curate.quality.explanations import families, title
from curate.quality.features import evidence_shares
from curate.quality.judge_trial import try_judge
from curate.quality.metrics import average_precision, calibration_error, reliability
from curate.quality.model import QualityModel, explain
from curate.quality.model_file import LARGEST, from_bytes, to_bytes
from curate.quality.model_in_force import FOLDER, model_in_force
from curate.quality.sample_weights import choose_pseudo_good, find_unreviewed, poststratify
from curate.quality.training import (
    FEWEST_FOR_JUDGE,
    JUDGED_TREES,
    START,
    SUSPICION,
    TREES,
    CrossValidated,
    OutOfFoldScores,
    TrainingSet,
    fit,
    is_better,
    score_out_of_fold,
    stack_and_evaluate,
)
from curate.store.audit import StoredAudit
from curate.store.audit_files import write_info, writing
from curate.store.audit_info import DECIDING, read_info
from curate.store.audit_records import (
    ContinuedLearning,
    Empty,
    FitRecord,
    ImportanceRecord,
    JudgeRecord,
    JudgeTrialRecord,
    LearningRecord,
    MetricsRecord,
    QualityModelRecord,
    ReliabilityRecord,
    SampleCheckRecord,
    StartRecord,
)

MIN_UNSEEN = 5
"""Bad masks, good masks and images that a start must be new to, so that it can be tried on them."""

MIN_CHECKED = 20


@dataclass(frozen=True)
class _ModelChoice:
    """The model chosen by cross-validation.

    Attributes:
        label_free: The calibrated suspicion alone.
        model: The chosen model.
        start: Record of the starting model; None without one.
        judge: Record of the judge; None where none was asked.
    """

    label_free: CrossValidated
    model: CrossValidated
    start: StartRecord | None = None
    judge: JudgeTrialRecord | None = None


def learn(
    audit: StoredAudit,
    labels: pd.DataFrame,
    *,
    start: str | os.PathLike[str] | None = None,
    seed: int = 0,
    progress: Progress | None = None,
) -> LearningResult:
    """Train a quality model on people's decisions; where it is better, the audit is decided by it.

    Args:
        audit: A finished audit.
        labels: One label a mask, as ``Reviews.resolve_labels`` gives them: index ``mask_id``;
            ``good``, ``queue_kind`` and ``inclusion_probability``. Where the model in force was
            learned from the same ones, with the same start and seed, nothing is learned anew.
        start: A model to start from: another audit, or a model's file. The model in force if None.
        seed: Of folds and trees.
        progress: Called with progress.

    Returns:
        What came of it. ``audit.json`` holds it too; the model is in force only where the outcome
        is "learned" or "calibrated".

    Raises:
        CallError: There are too few reviews, all of one kind, or of unknown masks.
        AuditError: The model to start from cannot be used, or the audit cannot be written.
    """
    began = time.monotonic()
    check_finished(audit)
    asked = _hash_inputs(audit, labels, start, seed)
    in_force, learned = audit.info.quality_model, audit.info.learning
    if in_force and in_force.get("asked") == asked and learned:
        return LearningResult(audit, learned)
    given = find_start(audit, None if start is None else Path(start))
    also = given.model.columns.names if given else ()
    reviewed = gather_reviewed(audit, labels, also)
    lessons = _make_training_set(reviewed, given, seed)
    if progress:
        progress("learning", 0, 1, 0)
    said = score_out_of_fold(lessons)
    choice = _choose_model(lessons, said, given, audit.info.judge)
    model = fit(choice.model, said, reviewed.columns, given.model if given else None)
    model = model.center(reviewed.dataset.matrix(model.columns))
    seen = np.union1d(hash_images(reviewed.masks.frame), _images_seen(choice, given))
    model = replace(model, seen=seen.astype(np.uint64))
    if progress:
        progress("learning", 1, 1, len(lessons))
    outcome, why = _decide_outcome(choice, lessons, in_force)
    record: LearningRecord = {
        "outcome": outcome,
        "why": why,
        "seed": seed,
        **_measure_model(reviewed, lessons, choice, model),
        "seconds": round(time.monotonic() - began, 3),
    }
    if outcome == KEPT:
        return _keep_model(audit, record)
    return store_model(audit, model, reviewed.dataset, record, asked, progress)


def _hash_inputs(
    audit: StoredAudit, labels: pd.DataFrame, start: str | os.PathLike[str] | None, seed: int
) -> str:
    """Return a digest of all inputs of learning: equal inputs are learned once.

    So a run that was killed when its model was in force is not taken for another one to start from.
    """
    frame = labels.sort_index().reset_index().astype(str)
    rows = [list(frame.columns), *frame.to_numpy().tolist()]
    other = f"{audit.info.identity} {audit.info.version} {start} {seed}"
    if audit.info.judge:
        other += f" {audit.info.judge['answers']}"
    return hashlib.sha256(f"{other}\n{rows}".encode()).hexdigest()


def _images_seen(choice: _ModelChoice, given: StartingModel | None) -> UInt64Array:
    """Return the images that the starting model was trained on, where it is part of the model."""
    used = given is not None and START in choice.model.experts
    return given.model.seen if given and used else np.empty(0, np.uint64)


def _make_training_set(
    reviewed: ReviewedMasks, given: StartingModel | None, seed: int
) -> TrainingSet:
    matrix = reviewed.masks.matrix(reviewed.columns)
    everything = reviewed.dataset.matrix(reviewed.columns)
    images = reviewed.masks.frame["image_id"].to_numpy()
    here, there = reviewed.prominence()
    believed = choose_pseudo_good(here, there)
    lessons = TrainingSet(
        reviewed.columns,
        matrix,
        reviewed.bad,
        poststratify(here, there),
        np.unique(images, return_inverse=True)[1],
        pseudo_good=everything[believed],
        seed=seed,
    )
    if given is None:
        return lessons
    of = given.model.columns
    return replace(
        lessons,
        start=given.model.logit(reviewed.masks.matrix(of)),
        unseen=~np.isin(reviewed.image_keys(), given.model.seen),
        pseudo_good_start=given.model.logit(reviewed.dataset.matrix(of)[believed]),
    )


def _choose_model(
    lessons: TrainingSet,
    said: OutOfFoldScores,
    given: StartingModel | None,
    asked: JudgeRecord | None,
) -> _ModelChoice:
    """Choose experts: the suspicion alone unless others with it are better than luck explains."""
    everything = np.ones(len(lessons), np.bool_)
    label_free = stack_and_evaluate(said, (SUSPICION,), lessons, everything)
    chosen = label_free
    if TREES in said.logits:
        together = stack_and_evaluate(said, (SUSPICION, TREES), lessons, everything)
        if is_better(together, label_free, lessons, everything):
            chosen = together
    judge = None
    if asked is not None:
        chosen, judge = _try_judge(lessons, said, chosen, asked["name"])
    if given is None or lessons.unseen is None:
        return _ModelChoice(label_free, chosen, None, judge)
    name, new = given.name, lessons.unseen
    reviews = int(new.sum())
    if given.too_long or not _has_enough(lessons, new):
        why = "it has grown too long" if given.too_long else "it has seen these images"
        not_used: StartRecord = {
            "name": name,
            "reviews": reviews,
            "helped": False,
            "why": f"{name} was not started from: {why}",
        }
        return _ModelChoice(label_free, chosen, not_used, judge)
    without = stack_and_evaluate(said, chosen.experts, lessons, new)
    warm = stack_and_evaluate(said, (*chosen.experts, START), lessons, new)
    helped = is_better(warm, without, lessons, new)
    tried: StartRecord = {
        "name": name,
        "reviews": reviews,
        "helped": helped,
        "log_loss": warm.loss,
        "without": without.loss,
        "why": (
            f"starting from {name} {'helped' if helped else 'did not help'}: on {reviews:,} "
            f"reviews that it had not seen, log loss {warm.loss:.4f} with it and "
            f"{without.loss:.4f} without"
        ),
    }
    return _ModelChoice(label_free, warm if helped else chosen, tried, judge)


def _try_judge(
    lessons: TrainingSet, said: OutOfFoldScores, chosen: CrossValidated, name: str
) -> tuple[CrossValidated, JudgeTrialRecord]:
    """Choose between a model and one that also sees a judge's score; return it and the record."""
    reviews = int(lessons.answered.sum())
    if JUDGED_TREES not in said.logits:
        bad = int((lessons.bad & lessons.answered).sum())
        have = {"bad": bad, "good": reviews - bad}
        missing = [
            f"{FEWEST_FOR_JUDGE - n:,} more {kind}"
            for kind, n in have.items()
            if n < FEWEST_FOR_JUDGE
        ]
        why = (
            f"the judge {name} was not tried: it was asked about {bad:,} bad and "
            f"{reviews - bad:,} good of the reviewed masks, and {' and '.join(missing)} ones are "
            "needed to tell it from luck (review more, and `curate judge --order reviewed` asks "
            "about those)"
        )
        return chosen, {"name": name, "reviews": reviews, "helped": False, "why": why}
    everything = np.ones(len(lessons), np.bool_)
    judged = stack_and_evaluate(said, (SUSPICION, JUDGED_TREES), lessons, everything)
    trial = try_judge(judged, chosen, lessons)
    helped, gain, order = trial.helped, trial.gain, trial.order
    record: JudgeTrialRecord = {
        "name": name,
        "reviews": reviews,
        "helped": helped,
        "log_loss": judged.loss,
        "without": chosen.loss,
        "gain": [gain.low, gain.value, gain.high],
        "order": [order.low, order.value, order.high],
        "why": (
            f"the judge {name} {'helped' if helped else 'did not help'}: on {len(lessons):,} "
            f"reviews, {reviews:,} of them with its answer, log loss {judged.loss:.4f} with it and "
            f"{chosen.loss:.4f} without, {trial.text()}"
        ),
    }
    return judged if helped else chosen, record


def _has_enough(lessons: TrainingSet, rows: BoolArray) -> bool:
    bad = lessons.bad[rows]
    images = len(np.unique(lessons.groups[rows]))
    return min(int(bad.sum()), int((~bad).sum()), images) >= MIN_UNSEEN


def _decide_outcome(
    choice: _ModelChoice, lessons: TrainingSet, before: QualityModelRecord | None
) -> tuple[str, str]:
    """Return the outcome ("learned", "calibrated", "kept") and its reason, a sentence."""
    if choice.model.experts != (SUSPICION,):
        return USED, "learned: the quality is now the probability that people find a mask good"
    not_better = (
        "what was learned does not order masks better than the label-free score, as far as so few "
        "reviews can tell"
    )
    if before and before["outcome"] == USED:
        return KEPT, f"{not_better}; the model before stays in force"
    share = np.clip(np.average(lessons.bad, weights=lessons.weight), 1e-9, 1 - 1e-9)
    constant = -share * np.log(share) - (1 - share) * np.log(1 - share)
    if choice.label_free.loss >= constant:
        return (
            KEPT,
            f"{not_better}; that score, which cannot rank these masks, stays as it is",
        )
    return CALIBRATED, f"{not_better}; its order is kept, and it is now a probability"


def _measure_model(
    reviewed: ReviewedMasks, lessons: TrainingSet, choice: _ModelChoice, model: QualityModel
) -> MetricsRecord:
    """Return the metrics of a model for its record."""
    rows = np.ones(len(lessons), np.bool_)
    if START in choice.model.experts and lessons.unseen is not None:
        rows = lessons.unseen
    bad, weight = lessons.bad[rows], lessons.weight[rows]
    diagram = reliability(choice.model.probability(), bad, weight)
    before = reliability(choice.label_free.probability(), lessons.bad, lessons.weight)
    return {
        "reviews": {
            "masks": len(lessons),
            "bad": int(lessons.bad.sum()),
            "images": int(lessons.groups.max()) + 1,
        },
        "left_out": reviewed.left_out,
        "label_free": _summarise(choice.label_free, before),
        "model": _summarise(choice.model, diagram),
        "experts": list(choice.model.experts),
        "reliability": cast(ReliabilityRecord, diagram.to_dict("list")),
        "importance": _rank_columns(reviewed, model),
        "start": choice.start or {},
        "judge": choice.judge or {},
        "extrapolated": float(find_unreviewed(*reviewed.prominence()).mean()),
        "check": _check_on_sample(reviewed, model),
    }


def _summarise(tried: CrossValidated, diagram: pd.DataFrame) -> FitRecord:
    return {
        "log_loss": tried.loss,
        "average_precision": tried.precision,
        "calibration_error": calibration_error(diagram),
    }


def _rank_columns(reviewed: ReviewedMasks, model: QualityModel) -> list[ImportanceRecord]:
    """Return the columns by their effect on the dataset's masks, the strongest first."""
    shares = evidence_shares(reviewed.dataset.evidence)
    names = model.columns.names
    matrix = reviewed.dataset.matrix(model.columns)
    found = explain(model, matrix, shares, families(names)).overall
    total = found.sum()
    order = np.argsort(-found, kind="stable")
    return [
        {"column": names[k], "title": title(names[k]), "share": float(found[k] / total)}
        for k in order.tolist()
        if found[k] > 0
    ]


def _check_on_sample(reviewed: ReviewedMasks, model: QualityModel) -> SampleCheckRecord | Empty:
    """Evaluate the finished model on the held-out random sample."""
    if len(reviewed.check) < MIN_CHECKED:
        return {}
    probability = model.probability(reviewed.check.matrix(model.columns))
    bad, weight = reviewed.check_bad, reviewed.check_weight
    diagram = reliability(probability, bad, weight)
    return {
        "masks": len(reviewed.check),
        "bad": int(bad.sum()),
        "average_precision": average_precision(-probability, bad, weight) if bad.any() else None,
        "calibration_error": calibration_error(diagram),
        "reliability": cast(ReliabilityRecord, diagram.to_dict("list")),
    }


def _keep_model(audit: StoredAudit, record: LearningRecord) -> LearningResult:
    """Write a result that changes nothing, behind that of the model in force, if there is one."""
    info = audit.info
    kept = record
    if info.quality_model and info.learning:
        continued: ContinuedLearning = {**info.learning, "later": record}
        kept = continued
    info = replace(info, learning=kept)
    write_info(audit.path, info)
    return LearningResult(StoredAudit(audit.path, info), record)


def store_model(
    audit: StoredAudit,
    model: QualityModel,
    dataset: MaskFeatures,
    record: LearningRecord,
    asked: str,
    progress: Progress | None,
) -> LearningResult:
    """Write a new model, and decide by it; it is in force once ``audit.json`` names it.

    Args:
        audit: The audit.
        model: The model.
        dataset: A sample of the audit's masks.
        record: What came of the learning.
        asked: A digest of all that it was learned from.
        progress: Called with progress.
    """
    out = audit.path
    data = to_bytes(model)
    checksum = hashlib.sha256(data).hexdigest()
    name = f"quality-{checksum[:12]}.skops"
    with writing(out / FOLDER / name) as temporary:
        files.write_bytes(temporary, data)
    probability = model.probability(dataset.matrix(model.columns))
    grid = np.quantile(probability, np.linspace(0, 1, GRID + 1)).tolist()
    info = replace(
        audit.info,
        state=DECIDING,
        quality_model={
            "file": name,
            "sha256": checksum,
            "outcome": record["outcome"],
            "asked": asked,
            "quality_quantiles": {"values": grid},
        },
        learning=record,
    )
    info = void_certificate(info, "the quality model changed")
    write_info(out, info)
    for other in (out / FOLDER).glob("quality-*.skops"):
        if other.name != name:
            files.unlink(other)
    with Pool(1) as pool:
        done = decide_audit(out, info, Policy.from_dict(info.policy or {}), pool, progress)
    return LearningResult(done, record)


MAX_TREES = 1_000
"""A model that has grown over so many rounds is not carried on: it would only get slower."""


@dataclass(frozen=True)
class StartingModel:
    """A model to start from.

    Attributes:
        model: The model.
        name: Where it comes from, for people.
    """

    model: QualityModel
    name: str

    @property
    def too_long(self) -> bool:
        """Whether it has too many trees to be carried on."""
        return len(self.model.trees.roots) >= MAX_TREES


def find_start(audit: StoredAudit, path: Path | None) -> StartingModel | None:
    """Return the given model, else the one in force, else None.

    Raises:
        AuditError: There is no model, it is of another version, or tampered with.
        SourceError: The file cannot be read.
    """
    if path is None:
        model = model_in_force(audit.path, audit.info.quality_model)
        return None if model is None else StartingModel(model, "the model before")
    if path.is_dir():
        info = read_info(path)
        found = model_in_force(path, info.quality_model) if info else None
        if found is None:
            raise AuditError(
                "there is no quality model", str(path), "run `curate learn` on it first"
            )
        return StartingModel(found, str(path))
    try:
        if path.stat().st_size > LARGEST:
            raise AuditError("it is too large for a quality model", str(path))
        data = path.read_bytes()
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise SourceError(f"it cannot be read ({reason})", str(path)) from error
    return StartingModel(from_bytes(data, str(path)), str(path))
