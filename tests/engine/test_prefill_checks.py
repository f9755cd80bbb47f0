"""Checks of prefilled masks: draws, partial answers, and intervals that cover the truth."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from curate.engine.prefill_checks import (
    PrefillPrecision,
    count_checks,
    draw_checks,
    measure_precision,
)
from curate.errors import CallError
from curate.people.reviews.recorded_draws import RecordedDraw


def prefilled(seed: int, images: int, bad: float, together: float = 0.0) -> pd.DataFrame:
    """Return prefilled masks, 1 to 30 an image, and which are good."""
    random = np.random.default_rng(seed)
    image = np.repeat(np.arange(images), random.integers(1, 31, images))
    n = len(image)
    fate = np.where(random.random(n) < together, random.random(images)[image], random.random(n))
    columns = {
        "image_id": image,
        "good": fate > bad,
        "quality_score": np.clip(0.8 + 0.2 * fate + random.normal(0, 0.05, n), 0, 1),
    }
    return pd.DataFrame(columns, pd.RangeIndex(100, 100 + n, name="mask_id"))


def answer(draw: RecordedDraw, masks: pd.DataFrame, first: int | None = None) -> pd.DataFrame:
    """Return true answers to the first masks of a draw."""
    ids = draw.rows.sort_values("place")["mask_id"].to_numpy()[:first]
    good = masks["good"].loc[ids]
    return pd.DataFrame(
        {"good": good, "action": np.where(good, "accept", "reject"), "iou": np.nan}, good.index
    )


@given(st.integers(0, 99), st.integers(1, 500), st.booleans())
def test_each_mask_has_the_recorded_chance(seed: int, count: int, whole: bool) -> None:
    masks = prefilled(seed, 20, 0.1)
    draw = draw_checks(masks, count, seed=seed, whole_images=whole)
    rows = draw.rows
    assert rows["mask_id"].is_unique
    assert rows["mask_id"].isin(masks.index).all()
    chance = rows["inclusion_probability"].unique()
    assert len(chance) == 1
    of = masks.loc[rows["mask_id"], "image_id"]
    if whole:
        assert chance[0] == pytest.approx(of.nunique() / masks["image_id"].nunique())
        assert masks["image_id"].isin(of).sum() == len(rows)
    else:
        assert chance[0] == pytest.approx(min(count, len(masks)) / len(masks))
    again = draw_checks(masks.sample(frac=1), count, seed=seed, whole_images=whole)
    pd.testing.assert_frame_equal(again.rows, rows)


def test_the_chance_is_what_it_says() -> None:
    masks = prefilled(1, 4, 0.1)
    drawn = np.zeros(len(masks))
    for seed in range(100):
        drawn[draw_checks(masks, 10, seed=seed).rows["mask_id"] - 100] += 1
    share = 10 / len(masks)
    assert (np.abs(drawn - 100 * share) < 5 * math.sqrt(100 * share * (1 - share))).all()


def test_how_many_are_asked_about() -> None:
    assert count_checks(1_000_000, max_bad=0.05, share=0.0) == 72  # 0.95**72 < 2.5%
    assert count_checks(1_000_000, max_bad=0.05, share=0.2) == 200_000
    assert count_checks(7, max_bad=0.05) == 7
    assert count_checks(0, max_bad=0.05) == 0
    # The number is enough: if all are good, the interval shows the bound.
    for masks in (60, 400, 5000):
        frame = prefilled(1, 400, 0.0)[:masks].assign(good=True)
        draw = draw_checks(frame, count_checks(masks, max_bad=0.05, share=0.0), seed=1)
        assert measure_precision(draw, answer(draw, frame), frame).low >= 0.95
    with pytest.raises(CallError, match="2 is no share"):
        count_checks(10, max_bad=0.05, share=2)
    with pytest.raises(CallError, match="--max-bad is 0"):
        count_checks(10, max_bad=0)


def test_precision_by_hand() -> None:
    """Four bad of 80 in a large population: the exact binomial interval."""
    masks = prefilled(2, 8000, 0.0).assign(good=True)
    draw = draw_checks(masks, 80, seed=3)
    masks.loc[draw.rows["mask_id"][[3, 30, 50, 79]], "good"] = False
    found = measure_precision(draw, answer(draw, masks), masks)
    want = stats.binomtest(76, 80).proportion_ci(0.95, "exact")
    assert (found.asked, found.answered, found.bad) == (80, 80, 4)
    assert (found.precision, found.bad_share) == pytest.approx((0.95, 0.05))
    assert (found.low, found.high) == pytest.approx((want.low, want.high), abs=2e-3)
    assert found.text().startswith("95.00% [87.")
    assert found.as_dict()["method"] == "exact"


def test_all_masks_asked_about_leave_nothing_open() -> None:
    masks = prefilled(3, 10, 0.1)
    draw = draw_checks(masks, 10_000, seed=0)
    found = measure_precision(draw, answer(draw, masks), masks)
    truth = masks["good"].mean()
    assert (found.low, found.precision, found.high) == pytest.approx((truth, truth, truth))


@pytest.mark.parametrize("whole", [False, True])
def test_people_who_stop_early_leave_a_sample(whole: bool) -> None:
    masks = prefilled(4, 60, 0.1)
    draw = draw_checks(masks, 300, seed=0, whole_images=whole)
    full = measure_precision(draw, answer(draw, masks), masks)
    half = measure_precision(draw, answer(draw, masks, 150), masks)
    assert 100 < half.answered <= 150
    assert half.asked == full.answered == len(draw.rows)
    assert half.high - half.low > full.high - full.low
    # Out of turn is not by chance: the first masks are undecided, so nothing counts.
    late = answer(draw, masks).iloc[50:]
    none = measure_precision(draw, late, masks)
    assert (none.answered, none.low, none.high) == (0, 0, 1)
    assert math.isnan(none.precision)
    assert math.isnan(none.bad_share)
    assert none.as_dict()["precision"] is None
    assert "nothing is known of the" in none.text()
    nobody = measure_precision(draw, answer(draw, masks, 0), masks)
    assert math.isnan(nobody.precision)


def test_a_fix_is_no_good_mask_and_a_gap_counts_as_bad() -> None:
    masks = prefilled(5, 30, 0.0).assign(good=True)
    draw = draw_checks(masks, 200, seed=0)
    answers = answer(draw, masks)
    answers.loc[draw.rows["mask_id"][5], ["good", "action", "iou"]] = [False, "fix", 0.97]
    answers = answers.drop(draw.rows["mask_id"][100])
    found = measure_precision(draw, answers, masks)
    assert (found.answered, found.bad) == (199, 1)
    assert found.precision == pytest.approx(0.99)
    assert "1 masks without a decision count as bad" in found.notes[0]


def test_what_cannot_be_measured() -> None:
    masks = prefilled(6, 10, 0.0)
    with pytest.raises(CallError, match="no mask is prefilled"):
        draw_checks(masks[:0], 5, seed=0)
    draw = draw_checks(masks, 20, seed=0)
    with pytest.raises(CallError, match="it was drawn from"):
        measure_precision(draw, answer(draw, masks), prefilled(6, 12, 0.0))


def misses(runs: range, masks: pd.DataFrame, count: int, *, whole: bool) -> tuple[int, float]:
    """Count the draws whose interval misses the truth, and the mean width."""
    missed, widths = 0, []
    truth = masks["good"].mean()
    for seed in runs:
        draw = draw_checks(masks, count, seed=seed, whole_images=whole)
        found = measure_precision(draw, answer(draw, masks), masks)
        missed += not found.low <= truth <= found.high
        widths.append(found.high - found.low)
    return missed, float(np.mean(widths))


@pytest.mark.parametrize("whole", [False, True])
def test_intervals_cover_though_masks_of_an_image_go_wrong_together(whole: bool) -> None:
    missed, width = misses(range(20), prefilled(7, 150, 0.06, 0.8), 300, whole=whole)
    assert missed <= 4  # 1 is expected at most
    assert width < 0.6  # and an interval of everything would cover too


@pytest.mark.slow
@pytest.mark.parametrize("whole", [False, True])
@pytest.mark.parametrize("together", [0.0, 1.0])
@pytest.mark.parametrize(("bad", "count"), [(0.02, 60), (0.05, 300), (0.3, 300)])
def test_intervals_cover_in_many_draws(
    bad: float, count: int, together: float, whole: bool
) -> None:
    runs = 150
    masks = prefilled(8, 150, bad, together)
    missed, _ = misses(range(runs), masks, count, whole=whole)
    # Where many are bad, the interval is asymptotic, and images are few.
    nominal = 0.05 if not whole or count < 300 or bad < 0.1 else 0.07
    assert missed <= nominal * runs + 3 * math.sqrt(runs * nominal * (1 - nominal))


def test_single_masks_say_more_than_whole_images() -> None:
    masks = prefilled(9, 200, 0.05, 1.0)
    assert (
        misses(range(4), masks, 200, whole=False)[1] < misses(range(4), masks, 200, whole=True)[1]
    )


def test_a_result_says_what_it_is() -> None:
    found = PrefillPrecision(900, 90, 90, 2, "mask", 0.978, 0.92, 0.99, 0.95, "exact")
    assert repr(found) == (
        "97.80% [92.00%, 99.00%] of the prefilled masks are good "
        "(90 of 900 prefilled masks looked at)"
    )
