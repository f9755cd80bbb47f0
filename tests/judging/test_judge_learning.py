"""Learning with a judge's answers: they are used where they help, and only there."""

from __future__ import annotations

import math
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from test_pipeline import write_sa1b

import curate
from curate.people.learning import learn
from curate.quality.features import FeatureColumns
from curate.quality.judge_trial import try_judge
from curate.quality.model import LogitModel
from curate.quality.training import JUDGED_TREES, TREES, CrossValidated, TrainingSet
from curate.reporting.people_section import model_sentences
from curate.store.audit import StoredAudit, open_audit
from curate.store.judgements import Judgement, add_judgements


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("judge learning")
    write_sa1b(folder / "in", 80)
    curate.audit(folder / "in", folder / "audit")
    return folder / "audit"


@pytest.fixture
def audit(made: Path, tmp_path: Path) -> StoredAudit:
    shutil.copytree(made, tmp_path / "audit")
    return open_audit(tmp_path / "audit")


def truth(audit: StoredAudit) -> pd.Series:
    """Masks with holes are bad, and so is every fifth, which nothing but the picture shows."""
    masks = audit.masks(["hole_area_px"]).sort_index()
    unseen = np.random.default_rng(1).uniform(size=len(masks)) < 0.2
    return ((masks["hole_area_px"] > 0) | unseen).rename("bad")


def labels(bad: pd.Series, share: float = 0.5) -> pd.DataFrame:
    chosen = bad[np.random.default_rng(2).uniform(size=len(bad)) < share]
    return pd.DataFrame(
        {
            "good": ~chosen,
            "action": np.where(chosen, "reject", "accept"),
            "queue_kind": "none",
            "inclusion_probability": np.nan,
        },
        index=chosen.index,
    )


def answer(audit: StoredAudit, score: pd.Series, name: str = "eyes") -> StoredAudit:
    """Keep a judge's scores, and decide anew."""
    rows = [
        Judgement(f"k{mask_id}", int(mask_id), value >= 0.5, float(value), "", 0.1, 0)
        for mask_id, value in score.items()
    ]
    add_judgements(audit.path, audit.info, name, name, rows)
    return curate.decide(audit)


def test_a_judge_that_knows_the_truth_helps(audit):
    bad = truth(audit)
    random = np.random.default_rng(3)
    noise = pd.Series(random.uniform(0, 0.4, len(bad)), bad.index)
    asked = answer(audit, noise.where(bad, 1 - noise))
    found = learn(asked, labels(bad))
    record = found.record["judge"]
    assert record["helped"]
    assert record["log_loss"] < record["without"] - 0.1
    assert record["reviews"] == found.record["reviews"]["masks"]
    assert found.record["experts"] == ["suspicion", JUDGED_TREES]
    assert found.record["importance"][0]["column"] == "judge_score"
    assert "the judge eyes helped" in found.text()
    assert 0 < record["gain"][0] < record["gain"][1] < record["gain"][2]
    assert record["gain"][1] == pytest.approx(record["without"] - record["log_loss"])
    assert record["order"][0] > 0.95
    assert model_sentences(found.record)[-1].startswith("The judge eyes helped: on ")
    quality = found.audit.masks(["quality_score"]).sort_index()["quality_score"]
    rest = ~bad.index.isin(labels(bad).index)
    assert quality[rest & bad].mean() < 0.3 < 0.8 < quality[rest & ~bad].mean()
    again = learn(found.audit, labels(bad))
    assert again.record == found.record  # the same answers are learned from once


def test_masks_that_it_was_not_asked_about_are_judged_as_without_it(audit):
    bad = truth(audit)
    asked = bad.index[np.random.default_rng(4).uniform(size=len(bad)) < 0.5]
    seen = answer(audit, (~bad[asked]).astype(float))
    found = learn(seen, labels(bad))
    assert found.record["judge"]["helped"]
    quality = found.audit.masks(["quality_score", "hole_area_px"]).sort_index()
    plain = quality[~quality.index.isin(asked) & (quality["hole_area_px"] == 0)]
    share = (~bad[plain.index]).mean()
    assert plain["quality_score"].mean() == pytest.approx(share, abs=0.08)


def test_a_judge_that_guesses_is_not_used(audit):
    bad = truth(audit)
    guesses = pd.Series(np.random.default_rng(5).uniform(size=len(bad)), bad.index)
    found = learn(answer(audit, guesses), labels(bad))
    record = found.record["judge"]
    assert not record["helped"]
    assert "did not help" in record["why"]
    assert not math.isnan(record["log_loss"])
    assert found.record["experts"] == ["suspicion", TREES]
    assert "judge_score" not in [one["column"] for one in found.record["importance"]]


def test_too_few_answers_are_not_tried_and_the_missing_ones_are_counted(audit):
    bad = truth(audit)
    seen = labels(bad)
    some = [*seen.index[~seen["good"]][:15], *seen.index[seen["good"]][:22]]
    found = learn(answer(audit, (~bad[some]).astype(float)), seen)
    record = found.record["judge"]
    assert (record["helped"], record["reviews"]) == (False, 37)
    assert "was not tried: it was asked about 15 bad and 22 good" in record["why"]
    assert "and 5 more bad ones are needed to tell it from luck" in record["why"]
    assert "--order reviewed" in found.text()


def lessons_of(score: np.ndarray, bad: np.ndarray) -> TrainingSet:
    """Return reviewed masks of which nothing is known but a judge's score, two an image."""
    columns = FeatureColumns(("judge_score",), ())
    matrix = np.column_stack([np.zeros(len(bad)), score])
    return TrainingSet(columns, matrix, bad, np.ones(len(bad)), np.arange(len(bad)) // 2)


def predicted(logit: np.ndarray, precision: float) -> CrossValidated:
    return CrossValidated((), logit[None], 0.0, precision, LogitModel(0.0, np.ones(1)))


def test_a_judge_is_used_only_if_luck_explains_neither_its_gain_nor_its_order():
    random = np.random.default_rng(6)
    bad = np.arange(80) % 3 == 0
    sure, unsure = np.where(bad, 1.0, -1.0), np.zeros(80)
    few = unsure + np.where(np.arange(80) < 4, sure, 0)
    right, guess = np.where(bad, 0.2, 0.8), random.uniform(size=80)
    for score, logit, precision, helped, why in (
        (right, sure, 0.9, True, "lower in 100% of pairs (100% to 100%; 50% by chance)"),
        (guess, sure, 0.9, False, "its own order may be chance"),
        (1 - right, sure, 0.9, False, "its own order may be chance"),
        (np.full(80, 0.5), sure, 0.9, False, "lower in 50% of pairs"),
        (right, few - 0.3 * sure * (few == 0), 0.9, False, "luck may explain the gain"),
        (right, sure, 0.3, False, "average precision of bad masks is not higher"),
    ):
        trial = try_judge(
            predicted(logit, precision), predicted(unsure, 0.4), lessons_of(score, bad)
        )
        assert trial.helped is helped, why
        assert why in trial.text()
        assert trial.gain.low <= trial.gain.value <= trial.gain.high
    assert trial.gain.value == pytest.approx(np.log(2) - np.log1p(np.exp(-1)))


def test_new_answers_are_learned_from(audit):
    bad = truth(audit)
    guesses = pd.Series(np.random.default_rng(5).uniform(size=len(bad)), bad.index)
    first = learn(answer(audit, guesses), labels(bad))
    better = answer(first.audit, (~bad).astype(float))
    second = learn(better, labels(bad))
    assert second.record["judge"]["helped"]
    info = second.audit.info
    assert info.judge is not None
    assert info.learning == second.record
