from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from random_cases import draws

from curate.people.guarantees.tail_bounds import (
    BETS,
    betting_tail,
    binomial_cdf,
    count_tail,
    excess_tail,
    log_wealth,
    weighted_tail,
    zero_failures,
)


def test_binomial_against_its_definition() -> None:
    for n, p in ((1, 0.3), (7, 0.05), (20, 0.5)):
        terms = [math.comb(n, k) * p**k * (1 - p) ** (n - k) for k in range(n + 1)]
        found = binomial_cdf(np.arange(-1, n + 1), n, p)
        np.testing.assert_allclose(found, np.r_[0, np.cumsum(terms)], atol=1e-12)


def test_zero_failures_are_the_ones_that_everybody_knows() -> None:
    assert [zero_failures(share, 0.95) for share in (0.05, 0.03, 0.01)] == [59, 99, 299]
    assert zero_failures(0.01, 0.99) == 459
    assert zero_failures(0.05, 0.95, 10**9) == 59


@pytest.mark.parametrize("masks", [1, 10, 40, 100, 1000])
def test_zero_failures_in_a_small_population(masks: int) -> None:
    n = zero_failures(0.05, 0.95, masks)
    bad = math.floor(0.05 * masks) + 1
    # All good in a sample of n, though one more than 5% is bad: the exact chance.
    assert math.comb(masks - bad, n) / math.comb(masks, n) <= 0.05
    assert n <= min(masks, 59)


def of_strata(sizes: list[int], bad: list[int], drawn: list[int]) -> np.ndarray:
    """Return the exact distribution of bad masks found: a convolution of hypergeometric ones."""
    total = np.ones(1)
    for size, k, n in zip(sizes, bad, drawn, strict=True):
        ways = [
            math.comb(k, x) * math.comb(size - k, n - x) if n - x <= size - k else 0
            for x in range(min(k, n) + 1)
        ]
        total = np.convolve(total, np.array(ways) / math.comb(size, n))
    return total


STRATUM = st.tuples(st.integers(4, 30), st.floats(0, 1))


@draws(80)
@given(st.lists(STRATUM, min_size=1, max_size=4), st.sampled_from([0.25, 0.5, 0.75]))
def test_count_tail_is_no_smaller_than_the_exact_tail(
    strata: list[tuple[int, float]], fraction: float
) -> None:
    sizes = [4 * (size // 4) for size, _ in strata]
    bad = [round(size * share) for size, (_, share) in zip(sizes, strata, strict=True)]
    drawn = [round(fraction * size) for size in sizes]
    exact = np.cumsum(of_strata(sizes, bad, drawn))
    found = np.arange(len(exact))
    null = np.full(len(exact), sum(bad))
    assert np.all(count_tail(found, null, fraction, sum(drawn)) >= exact - 1e-9)
    assert np.all(weighted_tail(found, null, fraction) >= exact - 1e-9)
    above = 1 - np.r_[0, exact[:-1]]
    for k in found.tolist():
        for drawn_or_none in (sum(drawn), None):
            assert excess_tail(k, sum(bad), fraction, drawn_or_none) >= above[k] - 1e-9


@draws(50)
@given(st.lists(st.tuples(STRATUM, st.floats(0.1, 0.9)), min_size=2, max_size=3))
def test_weighted_tail_is_no_smaller_than_the_exact_tail(
    strata: list[tuple[tuple[int, float], float]],
) -> None:
    sizes = [size for (size, _), _ in strata]
    bad = [round(size * share) for (size, share), _ in strata]
    drawn = [max(1, round(size * rate)) for (size, _), rate in strata]
    chance = [n / size for n, size in zip(drawn, sizes, strict=True)]
    each = [of_strata([a], [b], [c]) for a, b, c in zip(sizes, bad, drawn, strict=True)]
    least = min(chance)
    outcomes: dict[float, float] = {}
    for counts in itertools.product(*(range(len(p)) for p in each)):
        value = round(sum(k * least / c for k, c in zip(counts, chance, strict=True)), 9)
        weight = math.prod(float(p[k]) for p, k in zip(each, counts, strict=True))
        outcomes[value] = outcomes.get(value, 0) + weight
    values = np.array(sorted(outcomes))
    exact = np.cumsum([outcomes[v] for v in values])
    bound = weighted_tail(values, np.full(len(values), sum(bad)), least)
    assert np.all(bound >= exact - 1e-9)
    above = 1 - np.r_[0, exact[:-1]]
    for value, tail in zip(values.tolist(), above.tolist(), strict=True):
        assert excess_tail(value, sum(bad), least) >= tail - 1e-9


@pytest.mark.parametrize("bad", [{0, 1, 2, 5}, {0, 7}, {0, 2, 4, 6}, {1, 2, 3, 4, 5}])
def test_two_draws_with_other_strata_stay_below_the_bound(bad: set[int]) -> None:
    outcomes = np.zeros(5)
    # One of each half of 8 masks; then one of each half of the 6 that are left, by another order.
    for first in itertools.product(range(4), range(4, 8)):
        left = sorted((k for k in range(8) if k not in first), key=lambda k: (k % 3, k))
        for second in itertools.product(left[:3], left[3:]):
            outcomes[len(bad & {*first, *second})] += 1 / 16 / 9
    exact = np.cumsum(outcomes)
    chance = 1 - (1 - 1 / 4) * (1 - 1 / 3)
    bound = weighted_tail(np.arange(5), np.full(5, len(bad)), chance)
    assert np.all(bound >= exact - 1e-9)


def test_bets_do_not_win_on_average_where_the_claim_is_true() -> None:
    gains = np.array([0.05, 0.05, 0.05, -0.95, 0.1, 0.5, 0.2])
    assert gains.sum() <= 1e-12
    # Without replacement: all samples of 3 images.
    won = [
        np.exp(log_wealth(gains[list(some)][:, None], np.array([0.95]))[:, 0])
        for some in itertools.combinations(range(7), 3)
    ]
    assert np.all(np.mean(won, axis=0) <= 1 + 1e-9)
    assert sum(weight for _, weight in BETS) == pytest.approx(1)
    assert all(0 < share <= 1 for share, _ in BETS)


def test_a_ruined_bet_shows_nothing() -> None:
    alone = betting_tail(log_wealth(np.array([[-0.95], [0.05]]), np.array([0.95])))
    assert alone[0] == 1
    many = betting_tail(log_wealth(np.full((400, 1), 0.05), np.array([0.95])))
    assert many[0] < 1e-6


def test_a_census_knows_everything() -> None:
    assert count_tail([2, 3], [3, 3], 1.0, 50).tolist() == [0, 1]
    assert weighted_tail([2, 3], [3, 3], 1.0).tolist() == [0, 1]
