"""Verifiers that learn from what people decided: used where it helps, out of fold, never else."""

from __future__ import annotations

import math
import shlex
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import tiny_exhaustivity
import torch
from shapes_dataset import write_shapes

import curate
from curate.cli.exit_codes import run
from curate.errors import AuditError
from curate.networks.training.accepted_masks import open_images
from curate.networks.verifier_training import (
    decided_masks,
    decision_tuning,
    train_on_dataset,
    verifier_fitting,
)
from curate.networks.verifier_training.decided_masks import (
    DecidedMask,
    deal_decided,
    read_decisions,
)
from curate.networks.verifier_training.decision_tuning import NumberedDecisions
from curate.networks.verifiers.verifier import load_verifier
from curate.networks.verifiers.verifier_network import VerifierShape
from curate.notebook.audit_value import Audit
from curate.people.reviews import open_reviews
from curate.reporting.next_steps import find_verifier_steps

SMALL: dict[str, Any] = {"rounds": 2, "batch": 4, "folds": 2, "device": "cpu"}
REVIEWED = 30
"""Images on whose masks people decided."""


@pytest.fixture(autouse=True, scope="module")
def _small_and_on_one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(verifier_fitting, "STEPS_PER_ROUND", 5)
        patch.setattr(train_on_dataset, "TRIED", 12)
        tiny_exhaustivity.shrink(patch)
        patch.setattr(
            train_on_dataset, "VerifierShape", lambda **sizes: VerifierShape(width=8, **sizes)
        )
        patch.setattr(decision_tuning, "TUNING_RATE", 4e-3)
        yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def scored(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a dataset of discs and boxes, and of its audit."""
    folder = tmp_path_factory.mktemp("decided")
    source = write_shapes(folder / "data", 70, seed=5)
    curate.audit(source, folder / "a.audit", images=source.parent / "images")
    return folder


def decide(
    scored: Path, folder: Path, bad: Callable[[pd.DataFrame], Any], images: int = REVIEWED
) -> Audit:
    """Return an audit on whose first images people decided, by a function of the masks' rows."""
    shutil.copytree(scored / "a.audit", folder / "a.audit")
    audit = curate.open_audit(folder / "a.audit")
    masks = audit.masks(["image_id", "category"]).sort_index().reset_index()
    masks = masks[masks["image_id"] < images]
    actions = np.where(bad(masks), "reject", "accept")
    table = pd.DataFrame({"mask_id": masks["mask_id"], "action": actions})
    table.to_csv(folder / "decisions.csv", index=False)
    curate.import_decisions(folder / "decisions.csv", audit, reviewer="ann")
    return curate.open_audit(audit.path)


def is_disc(masks: pd.DataFrame) -> pd.Series[bool]:
    """Nothing is wrong with a disc but that people do not want it."""
    return masks["category"] == "disc"


def test_what_people_reject_is_judged_to_be_bad_elsewhere(scored, tmp_path):
    audit = decide(scored, tmp_path, is_disc)
    done = curate.train_verifier(audit, tmp_path / "v", **SMALL)
    found = done.record["decisions"]
    assert found["used"]
    assert found["auc_before"] < 0.8 < 0.9 < found["auc_after"]
    assert 0 < found["gain"][0] < found["gain"][1] < found["gain"][2]
    assert found["gain"][1] == pytest.approx(found["auc_after"] - found["auc_before"])
    assert "are learned from: on images that a network was not tuned on" in done.text()
    images = scored / "data" / "images"
    (step,) = find_verifier_steps(audit.path, images, done.path)
    said = shlex.split(step.command)
    before = audit.decisions()
    assert run([*said[1:], "--device", "cpu"]) == 0
    again = curate.open_audit(audit.path)
    assert again.decisions().equals(before)
    unseen = again.masks(["image_id", "category", "verifier_score"])
    unseen = unseen[unseen["image_id"] >= REVIEWED]
    discs = unseen.loc[is_disc(unseen), "verifier_score"]
    assert discs.median() < unseen.loc[~is_disc(unseen), "verifier_score"].quantile(0.2)


def test_decisions_that_cannot_be_seen_are_not_used(scored, tmp_path):
    by_chance = np.random.default_rng(1)
    audit = decide(scored, tmp_path, lambda masks: by_chance.random(len(masks)) < 0.4)
    done = curate.train_verifier(audit, tmp_path / "v", **SMALL)
    found = done.record["decisions"]
    assert not found["used"]
    assert found["why_not"] == "luck may explain the gain"
    assert "are not used" in done.text()
    too_few = {**found, "gain": None, "why_not": "people decided on 3 bad masks"}
    said = replace(done, record={**done.record, "decisions": too_few}).text()
    assert "were not learned from: people decided on 3 bad masks" in said


def test_what_is_missing_to_learn_from_decisions_is_named():
    folds = np.arange(60) % 3
    few, enough = np.arange(60) < 19, np.arange(60) < 20
    assert decision_tuning.missing_decisions(few, folds, 3) == (
        "people decided on 19 bad and 41 good masks; 20 of each are needed"
    )
    assert decision_tuning.missing_decisions(enough, folds, 3) == ""
    assert "of one fold" in decision_tuning.missing_decisions(enough, (~enough).astype(int), 2)


def test_a_gain_has_to_be_more_than_what_is_lost_on_corruptions():
    masks = [
        DecidedMask(None, f"p{k}", None, None, k % 2 == 0, math.nan)  # type: ignore[arg-type]
        for k in range(60)
    ]
    decided = NumberedDecisions(masks, np.zeros(60, np.int64))
    better, worse = np.where(decided.bad, -1.0, 1.0), np.zeros(60)  # a gain of 0.5
    for corrupted, used in (((0.9, 0.6), True), ((0.9, 0.39), False)):
        record = decision_tuning.measure_tuning(worse, better, decided, corrupted, 0)
        assert record["used"] is used
    assert record["why_not"].endswith("what is lost on corrupted masks, an AUC of 0.51")
    assert record["auc_after"] == 1.0


def test_no_network_is_tuned_on_images_that_it_judges(scored, tmp_path, monkeypatch):
    seen: list[set[str]] = []
    rated: list[set[str]] = []

    def tune(network, decided, *_):
        seen.append({one.key for one in decided.masks})
        return network

    def rate(_, decided, __):
        rated.append({one.key for one in decided.masks})
        return np.zeros(len(decided.masks))

    monkeypatch.setattr(decision_tuning, "tune_network", tune)
    monkeypatch.setattr(decision_tuning, "rate_decided", rate)
    audit = decide(scored, tmp_path, is_disc)
    done = curate.train_verifier(audit, tmp_path / "v", **SMALL)
    judges = load_verifier(str(done.path), device="cpu")
    assert len(seen) == SMALL["folds"]
    for k, keys in enumerate(seen):
        assert keys
        assert not keys & rated[2 * k]
        assert not keys & judges.own[k]


def test_pictures_of_rejected_masks_alone_have_a_fold_of_their_own(scored, tmp_path):
    audit = decide(scored, tmp_path, lambda masks: masks["image_id"] == 3, images=5)
    decisions = read_decisions(audit, open_images(audit, None), 0)
    assert decisions is not None
    found = decisions.cut_out()
    assert (len(found), sum(one.bad for one in found)) == (15, 3)
    assert {one.iou for one in found if not one.bad} == {1.0}
    alone = next(one.key for one in found if one.bad)
    known = frozenset(one.key for one in found) - {alone}
    folds, own = deal_decided(found, [known, frozenset()])
    assert own[0] | own[1] == known | {alone}
    assert not own[0] & own[1]
    place = {key: k for k, keys in enumerate(own) for key in keys}
    assert folds.tolist() == [place[one.key] for one in found]


def test_decisions_for_an_estimate_are_not_learned_from(scored, tmp_path):
    audit = decide(scored, tmp_path, is_disc, images=4)
    before = read_decisions(audit, open_images(audit, None), 0)
    assert before is not None
    reviews = open_reviews(audit)
    labels = reviews.resolve_labels()
    drawn = labels.assign(queue_kind=["estimate"] * 5 + ["errors"] * (len(labels) - 5))
    settled = labels.assign(settled=[False] + [True] * (len(labels) - 1))
    for changed, less in ((drawn, 5), (settled, 1)):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(type(reviews), "resolve_labels", lambda *_, found=changed: found)
            after = read_decisions(audit, open_images(audit, None), 0)
        assert after is not None
        assert len(after.labels) == len(before.labels) - less
        assert after.fingerprint() != before.fingerprint()


def test_more_decisions_are_another_training(scored, tmp_path, monkeypatch):
    audit = decide(scored, tmp_path, is_disc, images=4)
    done = curate.train_verifier(audit, tmp_path / "v", **SMALL)

    def fail(*_: object) -> None:
        raise AssertionError("masks are cut out of pictures for a training that is over")

    monkeypatch.setattr(decided_masks, "_cut_out", fail)
    assert curate.train_verifier(audit, tmp_path / "v", **SMALL).record == done.record
    masks = audit.masks(["image_id"])
    more = masks.index[masks["image_id"] == 10].tolist()
    (tmp_path / "more.csv").write_text(f"mask_id,action\n{more[0]},accept\n")
    curate.import_decisions(tmp_path / "more.csv", audit, reviewer="ann")
    with pytest.raises(AuditError, match="another"):
        curate.train_verifier(audit, tmp_path / "v", **SMALL)


def test_a_folder_of_something_else_is_refused_before_pictures_are_read(scored, monkeypatch):
    def fail(*_: object) -> None:
        raise AssertionError("pictures are read")

    monkeypatch.setattr(train_on_dataset, "read_training_masks", fail)
    audit = scored / "a.audit"
    with pytest.raises(AuditError, match="it holds something else"):
        curate.train_verifier(audit, audit, **SMALL)
