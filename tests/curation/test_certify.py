from __future__ import annotations

import time
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from scipy import stats

from curate.errors import CallError
from curate.people.guarantees.acceptance_tests import count_by_threshold
from curate.people.guarantees.certify import allocate_levels, certify, project_share
from curate.people.guarantees.reviewed_sample import Population, ReviewedSample


def sample_of(
    population: Population, ids: Any, bad: Any, image: Any = None, exact: bool = True
) -> ReviewedSample:
    ids = np.asarray(ids)
    n, size = len(ids), population.size
    bad = np.isin(ids, bad) if not isinstance(bad, np.ndarray) or bad.dtype != bool else bad
    unit = "mask" if image is None else "image"
    images = ids if image is None else image[ids]
    fraction = n / size
    if image is not None:
        fraction = len(np.unique(images)) / len(np.unique(image))
    return ReviewedSample(
        unit=unit,
        population=size,
        mask_id=ids,
        image_id=images,
        quality=population.quality[ids],
        bad=bad,
        decided=np.ones(n, bool),
        iou=np.where(bad, 0.0, 1.0),
        probability=np.full(n, fraction),
        stratum=np.zeros(n, np.int64),
        strata=np.array([size]),
        fraction=fraction,
        exact=exact,
    )


def audit(
    seed: int, n: int = 1000, size: int = 20_000, **other: Any
) -> tuple[ReviewedSample, Population, np.ndarray]:
    """A true score: the chance of being bad falls from 0.25 to 0; 8% are bad."""
    random = np.random.default_rng(seed)
    quality = 1 - 0.25 * (1 - random.random(size)) ** 2
    bad = random.random(size) > quality
    population = Population(quality)
    ids = random.choice(size, n, replace=False)
    return sample_of(population, ids, bad[ids], **other), population, bad


def test_59_good_masks_certify_everything_and_58_nothing() -> None:
    population = Population(np.linspace(0, 1, 100_000))
    found = certify(sample_of(population, np.arange(59) * 1000, []), population)
    assert found.share == 1
    assert found.threshold == 0
    assert found.bad_found == 0
    assert found.reviews_for_next is None
    assert found.reviews_needed == 0
    with pytest.raises(CallError, match=r"58 reviewed masks cannot show.*review 59 masks at least"):
        certify(sample_of(population, np.arange(58) * 1000, []), population)
    with pytest.raises(CallError, match="review 298 masks at least"):
        certify(sample_of(population, np.arange(59) * 1000, []), population, max_bad=0.01)
    one_bad = sample_of(population, np.arange(59) * 1000, [0])
    assert certify(one_bad, population).threshold is None


def test_the_threshold_accepts_what_it_says() -> None:
    sample, population, bad = audit(3)
    found = certify(sample, population)
    assert found.threshold is not None
    inside = population.quality >= found.threshold
    assert found.accepted == inside.sum()
    assert found.share == inside.mean() > 0.5
    assert bad[inside].mean() <= 0.05
    taken = sample.quality >= found.threshold
    assert found.bad_found == sample.bad[taken].sum()
    assert found.bad_share == pytest.approx(sample.bad[taken].mean())
    assert found.test == "count"
    assert list(found.tested.columns) == [
        *("threshold", "accepted", "share", "bad_share", "p_value", "level", "certified")
    ]
    assert found.tested["accepted"].is_monotonic_increasing


def test_p_values_against_scipy() -> None:
    sample, population, _ = audit(4, n=500)
    curve = count_by_threshold(sample, population, 0.05)
    for k in range(0, len(curve.accepted), 20):
        found = sample.bad[sample.quality >= curve.threshold[k]].sum()
        null = np.floor(0.05 * curve.accepted[k] + 1e-9) + 1
        mean = null * 500 / population.size
        either = [
            stats.binom.cdf(found, 500, mean / 500),
            stats.binom.cdf(found, null, 500 / 20_000),
        ]
        want = min(either) if found <= mean - 1 else 1
        assert curve.p_values()[k] == pytest.approx(want, rel=1e-6)


def test_levels_follow_the_fallback_procedure() -> None:
    sample, population, _ = audit(5)
    curve = count_by_threshold(sample, population, 0.05)
    p_value, level = allocate_levels(curve, 0.05)
    # What starts at each threshold is its level less what was passed on; it must be fixed by the
    # design alone, and be no more than the risk in all.
    passed = np.r_[0, np.where(p_value <= level, level, 0)[:-1]]
    start = level - passed
    assert start.min() >= -1e-12
    assert start.sum() == pytest.approx(0.05)
    other = replace(sample, bad=np.random.default_rng(0).random(len(sample)) < 0.5)
    p_other, level_other = allocate_levels(count_by_threshold(other, population, 0.05), 0.05)
    passed = np.r_[0, np.where(p_other <= level_other, level_other, 0)[:-1]]
    np.testing.assert_allclose(level_other - passed, start, atol=1e-12)


@pytest.mark.parametrize("exact", [True, False])
def test_the_bound_holds_where_it_is_hardest(exact: bool) -> None:
    """A score that says nothing, and a share of bad masks just above the bound."""
    random, runs, size = np.random.default_rng(6), 150, 3000
    wrong = 0
    for _ in range(runs):
        quality = random.random(size)
        bad = random.permutation(size) < 0.0502 * size
        population = Population(quality)
        ids = random.choice(size, 300, replace=False)
        curve = count_by_threshold(
            sample_of(population, ids, bad[ids], exact=exact), population, 0.05
        )
        p_value, level = allocate_levels(curve, 0.05)
        wrong += any(
            bad[quality >= t].mean() > 0.05
            for t in curve.threshold[(p_value <= level) & (level > 0)]
        )
    assert wrong <= stats.binom.ppf(0.999, runs, 0.05)


def test_masks_without_quality_are_never_accepted() -> None:
    sample, population, _ = audit(7)
    quality = population.quality.copy()
    quality[:5000] = np.nan
    blind = Population(quality)
    found = certify(replace(sample, quality=quality[sample.mask_id]), blind)
    assert found.threshold is not None
    assert found.accepted == (quality >= found.threshold).sum()
    assert found.share <= 0.75
    nothing = Population(np.full(population.size, np.nan))
    with pytest.raises(CallError, match="no mask can be accepted"):
        certify(replace(sample, quality=np.full(len(sample), np.nan)), nothing)


def test_a_histogram_stands_for_the_population() -> None:
    sample, population, _ = audit(8)
    rounded = Population(population.quality.round(2))
    sample = replace(sample, quality=rounded.quality[sample.mask_id])
    values, counts = np.unique(rounded.quality, return_counts=True)
    whole = certify(sample, rounded)
    short = certify(sample, Population(values, counts=counts))
    assert whole.threshold == short.threshold
    assert whole.accepted == short.accepted
    np.testing.assert_allclose(whole.tested["p_value"], short.tested["p_value"])


def test_nothing_certified_says_what_it_would_take() -> None:
    random, size = np.random.default_rng(9), 100_000
    population = Population(random.random(size))
    ids = random.choice(size, 400, replace=False)
    found = certify(sample_of(population, ids, random.permutation(400) < 16), population)
    assert found.threshold is None
    assert found.accepted == 0
    assert found.reviews_needed is not None
    assert 100 < found.reviews_needed < 10_000
    hopeless = certify(sample_of(population, ids, np.arange(400) < 200), population)
    assert hopeless.threshold is None
    assert hopeless.reviews_needed is None


def test_what_the_next_tenth_costs_is_about_what_it_takes() -> None:
    sample, population, _ = audit(1, n=400)
    found = certify(sample, population)
    assert found.reviews_for_next is not None
    grown = project_share(sample, population, round(1.3 * found.reviews_for_next))
    assert grown >= found.share + 0.08
    assert project_share(sample, population, 0) == found.share
    less = project_share(sample, population, found.reviews_for_next // 4)
    assert less < found.share + 0.1


def test_looking_often_is_paid_for() -> None:
    sample, population, _ = audit(2)
    often = certify(sample, population, looks=2)
    surer = certify(sample, population, confidence=0.975)
    assert often.threshold == surer.threshold
    assert often.share <= certify(sample, population).share


def test_several_draws_use_the_weighted_test() -> None:
    sample, population, _ = audit(2)
    found = certify(replace(sample, exact=False), population)
    assert found.test == "weighted"
    one = certify(sample, population)
    assert found.threshold is not None
    assert one.share - 0.1 <= found.share <= one.share + 0.03


def test_whole_images_need_many() -> None:
    random = np.random.default_rng(11)
    image = np.repeat(np.arange(4000), 5)
    population = Population(random.random(len(image)), image)

    def of(images: int) -> ReviewedSample:
        return sample_of(population, np.arange(5 * images), [], image=image)

    with pytest.raises(CallError, match=r"50 reviewed whole images cannot.*whole images at least"):
        certify(of(50), population)
    found = certify(of(200), population)
    assert found.test == "betting"
    assert found.share == 1
    with pytest.raises(CallError, match="images of all masks are not given"):
        certify(of(200), Population(population.quality))


def test_images_that_are_bad_as_a_whole_do_not_slip_through() -> None:
    random, wrong, runs = np.random.default_rng(12), 0, 60
    image = np.repeat(np.arange(1000), 3)
    population = Population(random.random(len(image)), image)
    for _ in range(runs):
        bad = np.isin(image, random.choice(1000, 51, replace=False))
        ids = np.flatnonzero(np.isin(image, random.choice(1000, 100, replace=False)))
        found = certify(sample_of(population, ids, bad[ids], image=image), population)
        if found.threshold is not None:
            wrong += bad[population.quality >= found.threshold].mean() > 0.05
    assert wrong <= stats.binom.ppf(0.999, runs, 0.05)


def test_acceptance_under_other_bounds() -> None:
    sample, population, _ = audit(13, n=200)
    with pytest.raises(CallError, match="585 masks at least"):
        certify(sample, population, max_bad=0.005)
    shares = [certify(sample, population, max_bad=bound).share for bound in (0.05, 0.1, 0.3)]
    assert shares == sorted(shares)
    assert shares[-1] == 1


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"max_bad": 0}, "--max-bad is 0"),
        ({"max_bad": 1.0}, "--max-bad is 1.0"),
        ({"confidence": 1.0}, "confidence is 1.0"),
        ({"confidence": 0.3}, "confidence"),
        ({"looks": 0}, "--looks is 0"),
    ],
)
def test_numbers_out_of_range(change: dict[str, Any], message: str) -> None:
    sample, population, _ = audit(1, n=100)
    with pytest.raises(CallError, match=message):
        certify(sample, population, **change)


def test_another_population_is_refused() -> None:
    sample, population, _ = audit(1, n=100)
    with pytest.raises(CallError, match="sample is of 20,000 masks, and there are 10"):
        certify(sample, Population(population.quality[:10]))


@pytest.mark.parametrize("exact", [True, False])
def test_a_million_masks_take_less_than_a_second(exact: bool) -> None:
    sample, population, _ = audit(14, n=10_000, size=1_000_000, exact=exact)
    start = time.process_time()
    found = certify(sample, population)
    assert time.process_time() - start < 1
    assert found.share > 0.5
