"""Judgements in the label-free quality: probabilities that a mask is good."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from curate.errors import CallError
from curate.quality import label_free
from curate.quality.explanations import explain_columns
from curate.scorers.scorer import Column


def frame(scores):
    return pd.DataFrame({"area_px": 50, "verifier_score": scores, "hole_score": 1.0})


def test_a_judgement_counts_by_its_odds_though_it_is_spread_widely():
    scores = np.linspace(0.01, 0.99, 200)
    masks = frame(scores)
    reference = label_free.fit(masks)
    found = label_free.evidence(masks, reference)["verifier_score"].to_numpy()
    assert found[0] == pytest.approx(np.log(0.99 / 0.01), rel=1e-6)
    assert (np.diff(found[:100]) < 0).all()
    assert (found[scores >= 0.5] == 0).all()
    quality = label_free.apply(masks, reference)
    assert quality.iloc[0] == pytest.approx(1 / (1 + found[0]))
    assert quality.is_monotonic_increasing
    assert quality.iloc[-1] > 0.99


def test_odd_masks_come_later_where_they_look_right_and_before_others_where_they_look_wrong():
    scores = np.linspace(0.02, 0.98, 300)
    masks = frame(scores).assign(hole_score=np.where(np.arange(300) % 100 == 50, 0.3, 1.0))
    reference = label_free.fit(masks)
    found = label_free.evidence(masks, reference)
    quality = label_free.apply(masks, reference)
    holes, judged = found["hole_score"].to_numpy(), found["verifier_score"].to_numpy()
    both = ((holes[50] + judged[50]) ** 4 + (2 * holes[50]) ** 4) ** 0.25
    assert quality.iloc[50] == pytest.approx(1 / (1 + both))
    without = label_free.apply(masks.drop(columns="verifier_score"), reference)
    assert quality.iloc[50] < without.iloc[50]
    assert quality.iloc[50] < quality.iloc[150] < quality.iloc[250] < 1


def test_what_geometry_finds_surely_comes_before_what_a_verifier_doubts():
    """A verifier does not see small holes, say: that it takes such a mask for right is no proof."""
    scores = np.linspace(0.02, 0.98, 300)
    masks = frame(scores).assign(hole_score=np.where(np.arange(300) % 25 == 24, 0.3, 1.0))
    reference = label_free.fit(masks)
    found = label_free.evidence(masks, reference)
    hole, doubt = found["hole_score"].iloc[299], found["verifier_score"].iloc[3]
    assert hole - 3 < doubt < 2 * hole
    quality = label_free.apply(masks, reference)
    assert quality.iloc[299] < quality.iloc[3]


def test_what_other_masks_say_stands_apart_from_a_judgement():
    """A duplicate that looks right is one all the same, and what a judgement adds it adds once."""
    scores = np.linspace(0.02, 0.98, 300)
    twice = np.isin(np.arange(300), [20, 290])
    masks = frame(scores).assign(uniqueness_score=np.where(twice, 0.0, 1.0))
    reference = label_free.fit(masks)
    found = label_free.evidence(masks, reference)
    quality = label_free.apply(masks, reference)
    drawn, judged = found["uniqueness_score"].to_numpy(), found["verifier_score"].to_numpy()
    assert quality.iloc[290] == pytest.approx(1 / (1 + 2 * drawn[290]), rel=1e-3)
    both = ((2 * drawn[20]) ** 4 + judged[20] ** 4) ** 0.25
    assert quality.iloc[20] == pytest.approx(1 / (1 + both))
    without = label_free.apply(masks.drop(columns="verifier_score"), reference)
    assert without.iloc[290] == pytest.approx(1 / (1 + drawn[290]))


def test_what_is_learned_starts_from_the_order_without_labels():
    """The suspicion that `learn` reads is that of the quality, also beside a judgement."""
    random = np.random.default_rng(0)
    masks = frame(random.uniform(0.01, 0.99, 300)).assign(hole_score=random.uniform(0.2, 1, 300))
    reference = label_free.fit(masks)
    found = label_free.evidence(masks, reference)
    odds = label_free.suspicion(masks, found, reference)
    assert 1 / (1 + np.log1p(odds)) == pytest.approx(label_free.apply(masks, reference).to_numpy())
    alone = masks.drop(columns="verifier_score")
    plain = label_free.suspicion(alone, found[["hole_score"]], reference)
    assert 1 / (1 + plain) == pytest.approx(label_free.apply(alone, reference).to_numpy())


def test_a_judgement_counts_in_proportion_to_its_weight():
    masks = frame(np.linspace(0.01, 0.99, 200))
    full = label_free.evidence(masks, label_free.fit(masks))["verifier_score"]
    for weight in (0.0, 0.5):
        reference = label_free.fit(masks, {"verifier_score": weight})
        found = label_free.evidence(masks, reference)
        assert found["verifier_score"].to_numpy() == pytest.approx(weight * full.to_numpy())
        assert "weight" not in reference["hole_score"]


def test_a_reason_leaves_out_what_is_not_known():
    """Clauses of a statement stand behind it only where their columns have values."""
    masks = frame([0.1, 0.2, 0.3, 0.9]).assign(
        verifier_kind=pd.array(["holes", pd.NA, "holes", pd.NA], "string"),
        verifier_iou=[0.5, 0.4, np.nan, np.nan],
    )
    found = explain_columns(masks, ["verifier_score"] * 4, [False] * 4)
    assert found.stated == [
        "looks wrong in its picture, most like this error: holes (expected IoU 0.50)",
        "looks wrong in its picture (expected IoU 0.40)",
        "looks wrong in its picture, most like this error: holes",
        "looks wrong in its picture",
    ]


def test_a_mask_without_a_judgement_loses_nothing_by_it():
    masks = frame([0.2, 0.9, np.nan])
    reference = label_free.fit(masks)
    assert label_free.evidence(masks, reference)["verifier_score"].iloc[2] == 0
    assert label_free.apply(masks, reference).iloc[2] == 1


def test_other_values_than_those_it_was_fitted_to():
    reference = label_free.fit(frame(np.linspace(0.2, 0.9, 50)))
    found = label_free.evidence(frame([0.0, 0.1, 1.0]), reference)["verifier_score"]
    assert found[0] == pytest.approx(6 + np.log1p(np.log(1e6 - 1) - 6))  # of 1 in 10**6
    assert 0 < found[1] < found[0]
    assert found[2] == 0


def test_a_measure_is_no_judgement():
    with pytest.raises(CallError, match="only scores are a judgement"):
        Column("odd_px", "Odd", "measure", "px", evidence="judgement")
