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
from curate.quality.training import JUDGED_TREES, TREES
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


def test_too_few_answers_are_not_tried(audit):
    bad = truth(audit)
    some = labels(bad).index[:12]
    found = learn(answer(audit, (~bad[some]).astype(float)), labels(bad))
    record = found.record["judge"]
    assert (record["helped"], record["reviews"]) == (False, 12)
    assert "was not tried" in record["why"]
    assert "--order reviewed" in found.text()


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
