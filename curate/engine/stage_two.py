"""Steps that a round of the semi-automatic stage has besides those of the first stage.

A detector is trained on all masks so far, masks are proposed for the round and for the validation
images, people are asked about objects that they may have missed there, and the confident masks of
the round are prefilled. Without a detector the round is an
ordinary one: people are asked about every proposal.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from curate.common import files
from curate.engine.accepted_iou import count_decided
from curate.engine.box_proposals import BoxProposals
from curate.engine.coco_writing import ListedImage
from curate.engine.gathered_masks import gather_masks
from curate.engine.missed_objects import begin_missed, list_validation_masks, settle_missed
from curate.engine.pictures import list_images, refuse_changed
from curate.engine.prefilling import (
    PrefillPlan,
    begin_record,
    choose_strictness,
    prefill_round,
)
from curate.engine.proposing import wants_proposals
from curate.engine.round_detector import check_detector, train_round_detector
from curate.engine.round_record import PrefillRecord, RoundRecord
from curate.engine.settings import RoundDetector
from curate.networks.runtime.hub import model_fingerprint
from curate.networks.runtime.trained_folder import RECORD
from curate.people.reviews import has_reviews, open_reviews
from curate.people.reviews.current_plan import open_audit
from curate.store.engine_folder import (
    AUDIT,
    DETECTOR,
    MASKS,
    NAMES,
    PREFILL,
    START,
    VALIDATION,
)

if TYPE_CHECKING:
    from curate.engine.rounds import EngineRounds, RunSettings


def prepare_prefilled(
    rounds: EngineRounds, folder: Path, record: RoundRecord, run: RunSettings
) -> None:
    """Do the steps between the choice of images and the audit: detect, propose, ask about objects
    that people may have missed on validation images, prefill. The last waits for people.

    Args:
        rounds: Of the engine.
        folder: The round's folder.
        record: Its record.
        run: Of this run.
    """
    place = folder / PREFILL
    files.mkdir(place, exist_ok=True)
    files.remove_temporaries(place)  # of runs that were killed
    if record.prefill is None:
        with record.step("detect", folder, run.clock):
            record.prefill = _train_detector(rounds, folder, record, run)
    prefill = record.prefill
    assert prefill is not None
    validation: list[ListedImage] = []
    if not prefill["reason"]:
        validation = list_searched_validation(rounds)
    listed = rounds.list_round(folder)
    if wants_proposals(place, record):
        with record.step("propose", folder, run.clock):
            boxes = None
            if not prefill["reason"]:
                seen_by = check_detector(folder, prefill["detector"])
                truth = _gather_truth(rounds, validation)
                known = frozenset(one.image_id for one in validation)
                boxes = BoxProposals(rounds.pictures, seen_by, record, truth, known, run)
            add = None if boxes is None else boxes.add
            rounds.propose(place, [*listed, *validation], record, run, first_id=1, add=add)
    if not settle_missed(rounds, run):
        return  # people come first
    if "prefill" not in record.steps:
        detector = None
        if not prefill["reason"]:
            detector = check_detector(folder, prefill["detector"])
            rows = rounds.images["image_id"].isin([one.image_id for one in (*listed, *validation)])
            refuse_changed(rounds.pictures, rounds.images[rows], "that masks are prefilled by")
        if detector is not None and "missed" not in record.steps:
            with record.step("missed", folder, run.clock):
                plan = _make_plan(rounds, folder, record, (listed, validation))
                record.missed = begin_missed(rounds, record, plan, detector, run)
            if not settle_missed(rounds, run):
                return
        with record.step("prefill", folder, run.clock):
            plan = _make_plan(rounds, folder, record, (listed, validation))
            record.prefill = prefill_round(
                plan, detector, prefill, device=run.device, progress=run.progress
            )


def list_searched_validation(rounds: EngineRounds) -> list[ListedImage]:
    """Return the validation images that people have searched, or that had masks before.

    Others may hold objects without a mask, in which a good proposal would count as bad.
    """
    held, images = rounds.project / VALIDATION, rounds.images
    ids: set[int] = set()
    if (held / START / NAMES).is_file():
        names = (held / START / NAMES).read_text(encoding="utf-8").splitlines()
        ids |= set(images.loc[images["file_name"].isin(names), "image_id"].tolist())
    if (held / AUDIT).is_dir() and has_reviews(audit := open_audit(held / AUDIT)):
        ids |= set(open_reviews(audit).reviewed_images()["image_id"].tolist())
    return list_images(images, sorted(ids))


def _train_detector(
    rounds: EngineRounds, folder: Path, record: RoundRecord, run: RunSettings
) -> PrefillRecord:
    """Train the detector of a round from the weights of the last one, where one can be trained."""
    strictness = choose_strictness(rounds.records[:-1], rounds.settings.max_bad)
    if record.segmenter is None:
        return begin_record(strictness, "there is no segmenter that proposes masks", None)
    if (taken := _take_over_detector(rounds, folder, record)) is not None:
        return begin_record(strictness, "", taken)
    if len(rounds.classes) > 1:
        reason = "there are several classes, and people have to say which a mask is of"
        return begin_record(strictness, reason, None)
    earlier = [one / MASKS for one in rounds.folders if one.name != VALIDATION and one != folder]
    masks = gather_masks([rounds.project / START / MASKS, *earlier], rounds.images)
    images = list_images(rounds.images, sorted(set(masks["image_id"].tolist())))
    rows = rounds.images["image_id"].isin([one.image_id for one in images])
    refuse_changed(rounds.pictures, rounds.images[rows], "with masks")
    reason = train_round_detector(
        folder,
        rounds.pictures,
        images,
        masks,
        _choose_start(rounds),
        seed=rounds.settings.seed,
        device=run.device,
        progress=run.progress,
    )
    fingerprint = None if reason else model_fingerprint(folder / DETECTOR)
    return begin_record(strictness, reason, fingerprint)


def _take_over_detector(rounds: EngineRounds, folder: Path, record: RoundRecord) -> str | None:
    """Copy the detector of the round that a round repeats: it has seen the same masks.

    Returns:
        Its fingerprint; None where there is none.

    Raises:
        AuditError: Its files have changed, or are gone.
    """
    for earlier, known in rounds.list_tries(record):
        if known.prefill is not None and known.prefill["detector"] is not None:
            source = check_detector(earlier, known.prefill["detector"])
            found = sorted(path for path in source.rglob("*") if path.is_file())
            # A run that is killed on the way copies all again: the record comes last.
            for path in sorted(found, key=lambda path: path == source / RECORD):
                place = folder / DETECTOR / path.relative_to(source)
                files.mkdir(place.parent, parents=True, exist_ok=True)
                files.copy_bytes(path, place)
            return known.prefill["detector"]
    return None


def _choose_start(rounds: EngineRounds) -> RoundDetector:
    """Return how a detector is trained: from the last one, else as the engine was set up."""
    settings = rounds.settings.detector
    start = find_last_detector(rounds)
    return settings if start is None else replace(settings, start=str(start[0]), size=None)


def find_last_detector(rounds: EngineRounds) -> tuple[Path, str] | None:
    """Return the last detector of an engine and its fingerprint; None where there is none.

    Raises:
        AuditError: Its files have changed, or are gone.
    """
    for folder, record in zip(reversed(rounds.folders), reversed(rounds.records), strict=True):
        if record.prefill is not None and record.prefill["detector"] is not None:
            found = record.prefill["detector"]
            return check_detector(folder, found), found
    return None


def _gather_truth(rounds: EngineRounds, validation: list[ListedImage]) -> pd.DataFrame:
    """Return people's masks of validation images."""
    truth = gather_masks(list_validation_masks(rounds.project), rounds.images)
    truth = truth[truth["image_id"].isin([one.image_id for one in validation])]
    return truth.reset_index(drop=True)


def _make_plan(
    rounds: EngineRounds,
    folder: Path,
    record: RoundRecord,
    images: tuple[list[ListedImage], list[ListedImage]],
) -> PrefillPlan:
    """Return the images, the truth and the settings that a round is prefilled by."""
    listed, validation = images
    settings = rounds.settings
    return PrefillPlan(
        folder,
        rounds.pictures,
        listed,
        validation,
        _gather_truth(rounds, validation),
        rounds.classes,
        rounds.first_id(record),
        choose_strictness(rounds.records[:-1], settings.max_bad),
        count_decided([one for one in rounds.folders if one != folder]),
        settings.max_bad,
        settings.seed + record.number,
    )
