from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from curate.errors import CallError
from curate.people.guarantees import intervals
from curate.people.guarantees.estimate import (
    ReviewedImages,
    estimate,
    estimate_missing,
    gather_images,
)
from curate.people.guarantees.reviewed_sample import Population, RecordedDraw, ReviewedSample


def sample_of(
    population: Population, ids: Any, bad: Any, stratum: Any = None, **other: Any
) -> ReviewedSample:
    """A sample; ``stratum`` of every mask of the population, or None for one."""
    n, size = len(ids), population.size
    stratum = np.zeros(size, np.int64) if stratum is None else stratum
    held, drawn = np.bincount(stratum), np.bincount(stratum[ids])
    chance = drawn / held
    image = population.image
    values: dict[str, Any] = {
        "unit": "mask",
        "population": size,
        "mask_id": ids,
        "image_id": ids if image is None else image[ids],
        "quality": population.quality[ids],
        "bad": bad,
        "decided": np.ones(n, bool),
        "iou": np.where(bad, 0.0, 1.0),
        "probability": chance[stratum[ids]],
        "stratum": stratum[ids],
        "strata": held,
        "fraction": float(chance.min()),
        "exact": bool(chance.max() <= 1.1 * chance.min()),
    }
    return ReviewedSample(**{**values, **other})


def masks(seed: int, size: int = 20_000, image: Any = None) -> tuple[Population, np.ndarray]:
    random = np.random.default_rng(seed)
    good = random.beta(2, 0.4, size)
    return Population(good, image), random.random(size) > good


def srs(seed: int, n: int, size: int = 20_000) -> tuple[ReviewedSample, Population, np.ndarray]:
    population, bad = masks(seed, size)
    ids = np.random.default_rng(seed + 1).choice(size, n, replace=False)
    return sample_of(population, ids, bad[ids]), population, bad


def test_prediction_powered_as_the_paper_has_it() -> None:
    """Against the formulas of PPI++ for a mean, with the predictions of all masks known."""
    sample, population, _ = srs(1, 800, size=2_000_000)
    y, f = (~sample.bad).astype(float), sample.quality
    tune = np.cov(y, f)[0, 1] / np.var(f, ddof=1)
    value = y.mean() + tune * (population.quality.mean() - f.mean())
    variance = np.var(y - tune * f, ddof=1) / len(y)
    moments = intervals.estimate_moments(sample, y, f)
    powered = intervals.apply_predictions(moments, population.quality.mean())
    assert powered is not None
    assert powered[0] == pytest.approx(value, rel=1e-9)
    assert powered[1] == pytest.approx(variance, rel=0.02)
    found = intervals.share_interval(sample, population, ~sample.bad, 0.95)
    assert found.method == "prediction-powered"
    assert found.value == pytest.approx(value)
    normal = 2 * 1.959964 * np.sqrt(variance)
    assert normal < found.high - found.low < 1.1 * normal
    assert found.width_predicted == pytest.approx(found.high - found.low)
    assert found.width_predicted < 0.9 * found.width_reviews


def test_prediction_powered_as_its_authors_code_has_it() -> None:
    ppi = pytest.importorskip("ppi_py", reason="ppi-python is not installed")
    sample, population, _ = srs(2, 800, size=200_000)
    y, f = (~sample.bad).astype(float), sample.quality
    low, high = ppi.ppi_mean_ci(y, f, population.quality, alpha=0.05)
    middle = ppi.ppi_mean_pointestimate(y, f, population.quality)
    found = intervals.share_interval(sample, population, ~sample.bad, 0.95)
    width = float((high - low)[0])
    assert found.value == pytest.approx(float(middle[0]), abs=width / 50)
    assert width <= found.high - found.low <= 1.1 * width


def test_a_useless_score_is_not_used_to_narrow() -> None:
    sample, population, _ = srs(3, 500)
    noise = np.random.default_rng(0).random(population.size)
    found = intervals.share_interval(
        replace(sample, quality=noise[sample.mask_id]), Population(noise), ~sample.bad, 0.95
    )
    assert found.high - found.low == pytest.approx(found.width_reviews, rel=0.02)
    constant = Population(np.full(population.size, 0.5))
    same = replace(sample, quality=np.full(len(sample), 0.5))
    found = intervals.share_interval(same, constant, ~sample.bad, 0.95)
    assert found.method == "reviews"
    assert np.isnan(found.width_predicted)


@pytest.mark.parametrize("bad", [0, 1, 5])
def test_few_bad_masks_get_the_exact_interval(bad: int) -> None:
    sample, population, _ = srs(4, 300)
    many = 10**9
    sample = replace(sample, bad=np.arange(300) < bad, population=many, fraction=300 / many)
    found = intervals.share_interval(sample, population, ~sample.bad, 0.95)
    want = stats.binomtest(300 - bad, 300).proportion_ci(0.95, "exact")
    # Below one bad mask in a sample, on average, the binomial is no bound; Markov's takes over.
    slack = {0: 1e-6, 1: 2e-6, 5: 1e-6}[bad]
    assert found.method == "exact"
    assert found.low == pytest.approx(want.low, abs=1e-6)
    assert want.high - 1e-9 <= found.high <= want.high + slack
    assert found.width_reviews == found.high - found.low > 0
    # The cautious bound of the rule of three.
    assert found.low < 1 - bad / 300


def test_all_masks_reviewed_leaves_nothing_open() -> None:
    population, bad = masks(5, 200)
    bad = np.arange(200) < 3
    sample = sample_of(population, np.arange(200), bad)
    found = estimate(sample, population).intervals["good_share"]
    assert (found.low, found.value_low, found.high) == pytest.approx((0.985, 0.985, 0.985))


def test_strata_of_unequal_probability() -> None:
    population, bad = masks(6)
    stratum = (population.quality > np.quantile(population.quality, 0.7)).astype(np.int64)
    random = np.random.default_rng(1)
    parts = [
        random.choice(np.flatnonzero(stratum == k), n, replace=False)
        for k, n in ((0, 400), (1, 80))
    ]
    sample = sample_of(population, np.concatenate(parts), bad[np.concatenate(parts)], stratum)
    assert not sample.exact
    y = (~sample.bad).astype(float)
    weight = np.bincount(stratum) / len(stratum)
    each = [y[sample.stratum == k] for k in range(2)]
    value = sum(w * e.mean() for w, e in zip(weight, each, strict=True))
    variance = sum(
        w**2 * e.var(ddof=1) / len(e) * (1 - len(e) / size)
        for w, e, size in zip(weight, each, np.bincount(stratum), strict=True)
    )
    moments = intervals.estimate_moments(sample, y, sample.quality)
    assert moments.mean == pytest.approx(value)
    assert moments.spread(0.0)[0] == pytest.approx(variance)
    few = replace(sample, bad=np.arange(480) == 479)
    found = intervals.share_interval(few, population, ~few.bad, 0.95)
    assert found.method == "exact"
    # The one bad mask stands for 75 others, and the interval knows.
    assert found.low < found.value < found.high
    assert found.value == pytest.approx(1 - weight[1] / 80)
    missing_one = replace(sample, strata=np.array([14_000, 6_000, 10]))
    with pytest.raises(CallError, match="stratum 2 of the draw has no reviewed mask"):
        intervals.share_interval(missing_one, population, ~sample.bad, 0.95)


def test_whole_images_vary_as_images() -> None:
    random = np.random.default_rng(7)
    sizes = random.integers(1, 20, 1000)
    image = np.repeat(np.arange(1000), sizes)
    population, _ = masks(8, len(image), image)
    bad = random.random(1000)[image] < 0.2
    ids = np.flatnonzero(np.isin(image, random.choice(1000, 150, replace=False)))
    sample = sample_of(population, ids, bad[ids], unit="image", fraction=0.15, exact=False)
    found = intervals.share_interval(sample, population, ~sample.bad, 0.95)
    y = (~sample.bad).astype(float)
    # The jackknife over images, an independent way to the same variance.
    kept = [y[sample.image_id != k].mean() for k in np.unique(sample.image_id)]
    jackknife = 149 / 150 * ((kept - np.mean(kept)) ** 2).sum() * 0.85
    assert intervals.estimate_moments(sample, y, sample.quality).spread(0.0)[0] == pytest.approx(
        jackknife, rel=0.02
    )
    assert found.value == pytest.approx(y.mean(), abs=0.02)
    as_masks = intervals.share_interval(replace(sample, unit="mask"), population, ~sample.bad, 0.95)
    assert found.width_reviews > 2 * as_masks.width_reviews
    clean = replace(sample, bad=np.zeros(len(ids), bool))
    exact = intervals.share_interval(clean, population, ~clean.bad, 0.95)
    assert exact.method == "exact"
    assert exact.high == 1
    # 150 images cannot say more than 150 masks would.
    assert exact.low < stats.binomtest(150, 150).proportion_ci(0.95, "exact").low


def test_corrections_and_what_is_not_known_of_them() -> None:
    sample, population, _ = srs(9, 400)
    iou = np.ones(400)
    iou[:40], iou[40:70], iou[70:80], iou[80:90] = 0.0, 0.8, 0.95, np.nan
    bad = iou != 1
    decided = np.arange(400) != 89
    found = estimate(replace(sample, bad=bad, iou=iou, decided=decided), population)
    good, over_90, over_75 = (
        found.intervals[name] for name in ("good_share", "iou_over_90_share", "iou_over_75_share")
    )
    assert (good.unknown, over_90.unknown, over_75.unknown) == (1, 10, 10)
    assert over_90.value_high - over_90.value_low == pytest.approx(10 / 400, abs=0.01)
    assert over_75.value_low > over_90.value_high
    assert over_90.low < over_90.value_low < over_90.value_high < over_90.high
    known = iou.copy()
    for value, end in ((0.0, "low"), (1.0, "high")):
        known[80:90] = value
        one = estimate(replace(sample, bad=bad, iou=known, decided=decided), population)
        assert getattr(one.intervals["iou_over_90_share"], end) == getattr(over_90, end)
    assert list(found.frame()["name"]) == ["good_share", "iou_over_90_share", "iou_over_75_share"]
    assert found.zero_failures[0.05] == 59


def test_intervals_hold() -> None:
    random, runs, missed = np.random.default_rng(10), 300, 0
    for seed in range(runs):
        population, bad = masks(1000 + seed, 4000)
        stratum = np.argsort(np.argsort(population.quality)) * 4 // 4000
        parts = [random.choice(np.flatnonzero(stratum == k), 50, replace=False) for k in range(4)]
        ids = np.concatenate(parts)
        found = intervals.share_interval(
            sample_of(population, ids, bad[ids], stratum), population, ~bad[ids], 0.9
        )
        missed += not found.low <= 1 - bad.mean() <= found.high
    assert missed <= stats.binom.ppf(0.999, runs, 0.1)


def test_missing_masks() -> None:
    counts = np.r_[np.zeros(60, np.int64), np.ones(30, np.int64), np.full(10, 3)]
    mean, lacking = estimate_missing(ReviewedImages(counts, 10_000_000))
    assert mean.value_low == mean.value_high == 0.6
    variance = counts.var(ddof=1) / 100
    scale = variance / 0.6
    want = scale * stats.chi2.ppf([0.025, 0.975], 2 * np.array([0.6 / scale, 0.6 / scale + 1])) / 2
    # The spread of 100 counts is itself known by 99 degrees of freedom: a little wider.
    assert want[0] * 0.97 < mean.low < want[0]
    assert want[1] < mean.high < want[1] * 1.03
    exact = stats.binomtest(40, 100).proportion_ci(0.95, "exact")
    assert (lacking.low, lacking.high) == pytest.approx((exact.low, exact.high), abs=1e-5)


def test_no_missing_mask_is_not_none_to_come() -> None:
    mean, lacking = estimate_missing(ReviewedImages(np.zeros(60, np.int64), 10_000))
    assert mean.value_low == 0
    assert mean.high == pytest.approx(-np.log(0.025) / 60)
    assert 0.05 < lacking.high < 0.07
    all_seen = estimate_missing(ReviewedImages(np.array([0, 2, 1]), 3))[0]
    assert all_seen.low == all_seen.high == 1


def image_draw(ids: list[int], number: int = 1, left: int = 50, before: int = 0) -> RecordedDraw:
    settings = {"unit": "image", "population": 500, "before": before}
    settings["images"] = {"population": left, "drawn": len(ids), "ids": ids}
    return RecordedDraw(number, "estimate", settings, pd.DataFrame({"mask_id": []}))


def test_images_looked_at_in_the_order_of_the_draw() -> None:
    added = pd.Series({7: 2, 30: 1}, dtype=np.int64)
    found = gather_images([image_draw([7, 3, 9, 4])], np.array([7, 3, 9, 4, 30]), added)
    assert sorted(found.missing.tolist()) == [0, 0, 0, 2]
    assert found.images == 50
    begun = gather_images([image_draw([7, 3, 9, 4])], np.array([7, 3, 4]), added)
    assert len(begun.missing) == 2
    assert "first 2 of 4 images" in begun.notes[0]
    second = image_draw([30, 12], 2, left=46, before=4)
    both = gather_images([image_draw([7, 3, 9, 4]), second], np.array([7, 3, 9, 4, 30, 12]), added)
    assert (len(both.missing), both.missing.sum(), both.images) == (6, 3, 50)


def test_images_that_were_not_drawn_by_chance_are_refused() -> None:
    none = pd.Series(dtype=np.int64)
    with pytest.raises(CallError, match="the 3 fully reviewed images were not drawn"):
        gather_images([], np.array([1, 2, 3]), none)
    with pytest.raises(CallError, match="no image is fully reviewed"):
        gather_images([], np.array([], np.int64), none)
    with pytest.raises(CallError, match="fewer than 2 images"):
        gather_images([image_draw([7, 3, 9])], np.array([3, 9]), none)


def test_calls_that_make_no_sense() -> None:
    sample, population, _ = srs(1, 100)
    with pytest.raises(CallError, match="--confidence is 95"):
        estimate(sample, population, confidence=95)
    with pytest.raises(CallError, match="and there are 5"):
        estimate(sample, Population(population.quality[:5]))
