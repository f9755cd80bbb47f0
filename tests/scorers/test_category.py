"""Category signal: out-of-fold probabilities, their measured worth, and what gets no judgement."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from curate.images import ImageFolder
from curate.networks.encoders.encoder import HandcraftedEncoder
from curate.scorers import category, category_classifier
from curate.scorers.category import FEATURES, GROUP, apply, fit
from curate.scorers.category_classifier import MOST_WEIGHT, deal, pack
from curate.scorers.handcrafted_features import COUNT, handcrafted_features
from curate.testing.scene import Scene

IMAGES, EACH = 40, 6


def planted(seed: int = 0, wrong: float = 0.1, apart: float = 2.0) -> pd.DataFrame:
    """Three categories whose features differ, a share of them named wrongly."""
    rng = np.random.default_rng(seed)
    n = IMAGES * EACH
    truth = rng.integers(3, size=n)
    features = rng.standard_normal((n, 8))
    features[np.arange(n), truth] += apart
    swapped = rng.random(n) < wrong
    named = np.where(swapped, (truth + rng.integers(1, 3, n)) % 3, truth)
    return pd.DataFrame(
        {
            FEATURES: pack(features),
            "category": np.array(["ant", "bee", "cat"], object)[named],
            "image_id": np.repeat(np.arange(IMAGES), EACH) * 7 + 3,
            "truth": np.array(["ant", "bee", "cat"], object)[truth],
            "wrong": swapped,
        },
        index=pd.Index(np.arange(n) + 10, name="mask_id"),
    )


def test_wrong_categories_come_first_and_the_right_one_is_suggested() -> None:
    frame = planted()
    reference = fit(frame)
    found = apply(frame, reference)  # type: ignore[arg-type]
    score, wrong = found["category_score"].to_numpy(), frame["wrong"].to_numpy()
    assert score[wrong].mean() < 0.4 < 0.6 < score[~wrong].mean()
    assert (score[wrong][:, None] < score[~wrong]).mean() > 0.9
    told = found["category_suggested"].notna().to_numpy()
    assert (found["category_suggested"] == frame["truth"])[told & wrong].mean() > 0.8
    assert (score[told] < 0.5).all()
    held_out = reference["held_out"]
    assert held_out["weight"] == MOST_WEIGHT  # type: ignore[index]
    assert held_out["accuracy"] > 0.6 > held_out["most_frequent"]  # type: ignore[index]


def test_no_mask_is_judged_by_a_classifier_that_has_seen_its_image() -> None:
    """Each image has features of its own and a category by chance: only a leak can know it."""
    rng = np.random.default_rng(1)
    own = np.repeat(rng.standard_normal((IMAGES, 60)) * 3, EACH, 0)
    frame = planted().assign(
        **{FEATURES: pack(own), "category": np.repeat(rng.choice(["ant", "bee"], IMAGES), EACH)}
    )
    held_out = fit(frame)["held_out"]
    assert held_out["accuracy"] < 0.7  # type: ignore[index]
    assert held_out["weight"] == 0.0  # type: ignore[index]
    assert fit(frame)["least_suggested"] is None
    # The same, had every mask an image of its own: then those of one image stand on both sides.
    leaking = fit(frame.assign(image_id=np.arange(len(frame))))["held_out"]
    assert leaking["accuracy"] > 0.95  # type: ignore[index]


def test_near_duplicates_are_on_one_side() -> None:
    frame = planted()
    pairs = frame["image_id"] // 14  # two images each
    reference = fit(frame.assign(**{GROUP: pairs}))
    copies = {str(image): int(pair) for image, pair in zip(frame["image_id"], pairs, strict=True)}
    by_copies = apply(frame, {**reference, "copies": copies})  # type: ignore[typeddict-item]
    by_group = apply(frame.assign(**{GROUP: pairs}), reference)  # type: ignore[arg-type]
    pd.testing.assert_frame_equal(by_copies, by_group)
    assert not by_copies.equals(apply(frame, reference))  # type: ignore[arg-type]


def test_it_depends_on_no_order() -> None:
    frame = planted()
    mixed = frame.sample(frac=1, random_state=0)
    reference = fit(frame)
    assert fit(mixed) == reference
    found = apply(frame, reference)  # type: ignore[arg-type]
    pd.testing.assert_frame_equal(apply(mixed, reference).loc[found.index], found)  # type: ignore[arg-type]


def test_folds_are_balanced_and_fixed() -> None:
    groups = np.arange(30) * 3
    for salt in range(3):
        np.testing.assert_array_equal(deal(groups, salt), deal(groups.copy(), salt))
    salt = category_classifier._choose_salt(groups)
    assert np.bincount(deal(groups, salt), minlength=3).max() <= 12


@pytest.mark.parametrize("case", ["one category", "one image", "no features", "no masks"])
def test_without_two_categories_on_two_images_there_is_no_judgement(case: str) -> None:
    frame = planted()
    if case == "one category":
        frame = frame.assign(category="ant")
    elif case == "one image":
        frame = frame.assign(image_id=1)
    elif case == "no features":
        frame = frame.assign(**{FEATURES: None})
    else:
        frame = frame.iloc[:0]
    reference = fit(frame)
    assert reference == {}
    found = apply(frame, reference)  # type: ignore[arg-type]
    assert found.index.equals(frame.index)
    assert found.isna().all(axis=None)


def test_rare_categories_and_masks_without_a_name_or_picture_get_none() -> None:
    frame = planted()
    frame.iloc[0, frame.columns.get_loc("category")] = "okapi"
    frame.iloc[1, frame.columns.get_loc("category")] = None
    frame.iloc[2, frame.columns.get_loc(FEATURES)] = None
    frame.iloc[3, frame.columns.get_loc(FEATURES)] = b"\0\0"  # of another length
    found = apply(frame, fit(frame))  # type: ignore[arg-type]
    assert found.iloc[:4].isna().all(axis=None)
    assert found["category_score"].iloc[4:].notna().all()


def test_features_by_chance_count_for_nothing() -> None:
    reference = fit(planted(apart=0.0))
    assert reference["held_out"]["weight"] == 0.0  # type: ignore[index]
    assert apply(planted(apart=0.0), reference)["category_suggested"].isna().all()  # type: ignore[arg-type]


def test_probabilities_are_as_high_as_they_are_right() -> None:
    """Of many features and few masks a classifier says less or more than it knows."""
    frame = planted(wrong=0.2, apart=2.5)
    rng = np.random.default_rng(2)
    features, _ = category_classifier.unpack(frame[FEATURES].to_numpy(object))
    frame[FEATURES] = pack(np.append(features, rng.standard_normal((len(frame), 30)), 1))
    reference = fit(frame)
    held_out = reference["held_out"]
    assert isinstance(held_out, dict)
    before, after = held_out["calibration_error_before"], held_out["calibration_error"]
    assert after < 0.75 * before
    found = apply(frame, reference)  # type: ignore[arg-type]
    suggested = found["category_suggested_probability"].dropna()
    assert len(suggested)
    assert suggested.between(0.5, 0.9).all()
    assert 0 < held_out["suggestions_right"] < 0.2


def test_an_older_audit_without_calibration_is_judged_as_it_was() -> None:
    frame = planted()
    reference = fit(frame)
    folds = [{k: v for k, v in one.items() if k != "shares"} for one in reference["folds"]]  # type: ignore[union-attr]
    older = {k: v for k, v in reference.items() if k not in ("temperature", "usual")}
    found = apply(frame, {**older, "folds": folds})  # type: ignore[typeddict-item]
    as_it_was = apply(frame, {**reference, "temperature": 1.0, "usual": 0.0})  # type: ignore[typeddict-item]
    pd.testing.assert_frame_equal(found, as_it_was)
    calibrated = apply(frame, reference)  # type: ignore[arg-type]
    order = [one["category_score"].rank(method="first") for one in (found, calibrated)]
    assert order[0].corr(order[1]) > 0.9999


def test_handcrafted_features_are_finite(tmp_path) -> None:
    scene = Scene.sound()
    table, images = scene.table(), scene.inputs(tmp_path)["images"]
    assert isinstance(images, ImageFolder)
    found = category.encode_masks(table, images=images, encoder=HandcraftedEncoder())[FEATURES]
    assert {len(one) for one in found.iloc[:-2]} == {2 * COUNT}
    assert found.iloc[-2:].isna().all()
    flat = np.zeros((20, 30, 3), np.uint8)
    runs = table.runs[np.array([0])]
    flat = np.zeros((int(runs.heights[0]), int(runs.widths[0]), 3), np.uint8)
    values = handcrafted_features(flat, runs, np.array([800.0]), np.array([None], object))
    assert values.shape == (1, COUNT)
    assert np.isfinite(values).all()
