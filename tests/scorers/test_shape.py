import json

import numpy as np
import pandas as pd
import pytest

from curate.scorers.shape import FEATURES, apply, fit, measure_shape
from curate.testing.scene import disc, table_of


def cells(n: int = 400, seed: int = 0, images: int = 20) -> pd.DataFrame:
    """Return measures of many usual masks of two categories: small round ones, large long ones."""
    rng = np.random.default_rng(seed)
    long = np.arange(n) % 4 == 0
    return pd.DataFrame(
        {
            "category": np.where(long, "rod", "cell"),
            "image_id": np.arange(n) % images,
            "relative_area": np.where(long, 0.05, 0.005) * np.exp(rng.normal(0, 0.3, n)),
            "elongation": np.where(long, 5.0, 1.1) * np.exp(rng.normal(0, 0.08, n)),
            "ellipse_fill": np.exp(-rng.exponential(0.02, n)),
        }
    )


def test_measures():
    rectangle = np.zeros((100, 200), bool)
    rectangle[20:30, 40:80] = True
    frame = measure_shape(table_of([rectangle, disc(80, 60, 30), rectangle[:0] is None or None]))
    row = frame.iloc[0]
    assert row["relative_area"] == 0.02
    assert row["elongation"] == pytest.approx(4)
    assert row["ellipse_fill"] == pytest.approx(np.pi / 3, rel=0.1)
    assert (row["centre_x"], row["centre_y"]) == (0.3, 0.25)
    assert frame["elongation"].iloc[1] == pytest.approx(1, abs=0.01)
    assert frame["ellipse_fill"].iloc[1] == pytest.approx(1, abs=0.01)


def test_usual_masks_score_high_and_odd_ones_low():
    frame = cells()
    reference = json.loads(json.dumps(fit(frame)))
    usual = apply(frame, reference)["shape_score"]
    assert usual.median() > 0.8
    odd = frame.copy()
    odd.loc[7, "relative_area"] = 0.4
    odd.loc[9, "elongation"] = 9.0
    odd.loc[11, "ellipse_fill"] = 0.4
    score = apply(odd, reference)["shape_score"]
    assert (score[[7, 9, 11]] < 0.1).all()
    assert (score[[7, 9, 11]] < usual[[7, 9, 11]]).all()


def test_a_category_is_held_against_its_own():
    frame = cells()
    frame.loc[0, "category"] = "cell"  # a rod among the cells
    assert apply(frame, fit(frame))["shape_score"][0] < 0.1


def test_a_rare_category_leans_on_all():
    frame = cells()
    frame.loc[5, "category"] = "rare"
    reference = fit(frame)
    k = reference["category"].index("rare")
    near = np.array(reference["category_median"][k]) - np.array(reference["median"])
    own = np.log(frame.loc[5, list(FEATURES)].to_numpy(float)) - np.array(reference["median"])
    assert near == pytest.approx(own / 21)


def test_an_image_of_its_own_kind():
    frame = cells()
    frame.loc[frame["image_id"] == 3, "relative_area"] = 0.02  # an image taken from nearer
    before = apply(frame, fit(frame))["shape_score"]
    row = frame.index[(frame["image_id"] == 3) & (frame["category"] == "cell")][0]
    frame.loc[row, "relative_area"] = 0.005  # usual for a cell, not in this image
    after = apply(frame, fit(frame))["shape_score"]
    assert after[row] < 0.1 < before.median()


def test_the_whole_and_a_sample_agree():
    frame = cells(20_000)
    part = frame.sample(4000, random_state=1)
    whole, sample = (apply(frame, fit(f))["shape_score"] for f in (frame, part))
    assert np.abs(whole - sample).max() < 0.1


def test_nothing_to_learn_from():
    frame = cells(10)
    for empty in (frame.iloc[:0], frame.assign(relative_area=np.nan)):
        assert fit(empty) == {}
        assert apply(empty, fit(empty))["shape_score"].isna().all()
    frame["category"] = None
    frame["category"] = frame["category"].astype("str")
    assert apply(frame, fit(cells()))["shape_score"].notna().all()


def test_masks_without_a_category():
    frame = cells().assign(category=pd.array([None] * 400, "str"))
    reference = fit(frame)
    assert reference["category"] == []
    assert apply(frame, reference)["shape_score"].notna().all()
