"""Tail bounds for the number of bad masks in a random sample, valid at any sample size.

A population holds at least ``null`` bad masks, a random sample takes each mask with probability
``fraction``, and ``found`` of the sampled are bad. Every function bounds P(found or fewer), the
p-value of "at least ``null`` are bad". None assumes that masks are independent: chance is in the
drawing alone, so masks of an image may go wrong together.

- :func:`count_tail`, for masks of equal probability in one draw, stratified or not: the number
  found is then distributed as a sum of independent Bernoulli variables (such samples are strongly
  Rayleigh, so its generating function has real roots only), and no such sum is more spread than
  the binomial of its mean, below that mean less one (Hoeffding 1956, theorem 4). There are no more
  variables than drawn masks, nor than bad ones, so two binomials bound it. The second one knows
  that a finite population runs out.
- :func:`weighted_tail`, for unequal probabilities and for several draws: a weighted sum is below
  that binomial in the convex order (negative association, Shao 2000), which bounds its tail by the
  mean of (h - X)+ / (h - found), for any h (Bentkus 2004).
- :func:`log_wealth` and :func:`betting_tail`, for units of any size (whole images): the product of
  1 + bet * gain has a mean of at most 1 if the gains' mean over the population is not positive,
  with replacement or without (Maclaurin's inequality), so 1 / product bounds the tail (Markov). A
  mixture of fixed bets is such a product too, so the bet need not be chosen in advance.

Invariants: every bound lies in [0, 1]; it does not rise with ``null``, as callers find the numbers
that a sample refutes by bisection. The first two take ``found`` as a real number, so that a sample
can be projected to another size.

Time: O(1) an element for :func:`count_tail`, 16 values of h for :func:`weighted_tail`, bets x
units x questions for :func:`winnings`; memory likewise.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from scipy.special import betaincc, gammaln

from curate.common.arrays import FloatArray

BETS = ((1.0, 0.4), (0.5, 0.3), (0.25, 0.2), (0.1, 0.1))
"""Shares of the largest bet that cannot ruin, and how much is put on each."""

_STEPS = 16
_ATOM = 1e-9


def binomial_cdf(found: Any, trials: Any, chance: Any) -> FloatArray:
    """Return P(X <= found) of a binomial; between whole numbers it is interpolated smoothly.

    Args:
        found: A number or an array.
        trials: The same; need not be whole.
        chance: The same; in [0, 1].
    """
    found, trials = np.asarray(found, np.float64), np.asarray(trials, np.float64)
    inside = betaincc(np.maximum(found, 0) + 1, np.maximum(trials - found, _ATOM), chance)
    return np.where(found < 0, 0.0, np.where(found >= trials, 1.0, inside))


def count_tail(found: Any, null: Any, fraction: float, drawn: float) -> FloatArray:
    """Bound P(found or fewer bad) for one draw of equal probabilities.

    Args:
        found: Bad masks found; a number or an array.
        null: Bad masks in the population, at least; the same shape.
        fraction: Probability with which each mask was drawn (the smallest, where they differ by
            rounding).
        drawn: Masks drawn.
    """
    found, mean = np.asarray(found, np.float64), np.asarray(null, np.float64) * fraction
    by_drawn = binomial_cdf(found, drawn, np.minimum(mean / drawn, 1.0))
    by_bad = binomial_cdf(found, null, fraction)
    return np.where(found > mean - 1 + _ATOM, 1.0, np.minimum(by_drawn, by_bad))


def weighted_tail(found: Any, null: Any, fraction: float) -> FloatArray:
    """Bound P(found or less) for a weighted sum of bad masks.

    Args:
        found: Sum over bad masks of ``fraction`` / their probability; a number or an array.
        null: Bad masks in the population, at least; the same shape.
        fraction: The smallest probability with which a mask was drawn.
    """
    found, null = np.broadcast_arrays(np.asarray(found, np.float64), np.asarray(null, np.float64))
    bound = np.ones(found.shape)
    # At or above the mean nothing is unlikely: the bound is 1 by Jensen's inequality.
    open_to = found < null * fraction - _ATOM
    if fraction >= 1 or not open_to.any():
        return np.where(open_to, 0.0, bound)
    seen, total = found[open_to][:, None], null[open_to][:, None]
    mean = total * fraction
    # Any h above what was found gives a bound; the best one is within a deviation of it.
    step = np.maximum(np.ceil((1.5 * np.sqrt(mean) + 3) / _STEPS), 1)
    h = np.minimum(np.floor(seen) + 1 + step * np.arange(_STEPS), total)
    log_chance = gammaln(total) - gammaln(h) - gammaln(total - h + 1)
    log_chance += (h - 1) * math.log(fraction) + (total - h) * math.log1p(-fraction)
    # E(h - X)+ = h F(h - 1) - mean F'(h - 2), where F' has a trial less than F.
    below = (h - mean) * binomial_cdf(h - 1, total, fraction)
    below += mean * (1 - fraction) * np.exp(log_chance)
    bound[open_to] = np.min(np.maximum(below, 0) / (h - seen), axis=1)
    return np.minimum(bound, 1.0)


def excess_tail(found: float, most: float, fraction: float, drawn: float | None = None) -> float:
    """Bound P(found or more), the other tail: for the lower end of an interval.

    Args:
        found: Bad masks found, each with its weight.
        most: Bad masks in the population, at most.
        fraction: The smallest probability with which a mask was drawn.
        drawn: Masks drawn, for one draw of equal probabilities; None for others.
    """
    mean = most * fraction
    if found <= mean:
        return 1.0
    bounds = [1.0]
    if drawn is not None and found >= mean + 1 - _ATOM:
        bounds.append(1 - float(binomial_cdf(found - 1, drawn, min(mean / drawn, 1.0))))
        bounds.append(1 - float(binomial_cdf(found - 1, most, fraction)))
    # The mean of (X - h)+ / (found - h); h = 0 is Markov's bound.
    h = np.arange(max(0, math.floor(mean) - 1), math.ceil(found))
    over = mean - h + h * binomial_cdf(h - 1, most, fraction)
    over -= mean * binomial_cdf(h - 2, most - 1, fraction)
    bounds.append(float(np.min(np.maximum(over, 0) / (found - h))))
    return min(bounds)


def log_wealth(gain: FloatArray, worst: FloatArray) -> FloatArray:
    """Return the logarithm of the wealth of each bet of :data:`BETS`.

    Args:
        gain: Shape (units drawn, questions); its mean over the population is not positive if the
            claim to refute is true.
        worst: Shape (questions,): the largest loss that any unit of the population can have.

    Returns:
        Shape (bets, questions).
    """
    logs = []
    for share, _ in BETS:
        bet = share / np.maximum(worst, _ATOM)
        # A loss of the worst at the largest bet is a ruin: log(0).
        with np.errstate(divide="ignore"):
            logs.append(np.log1p(np.maximum(bet * gain, -1)).sum(axis=0))
    return np.stack(logs)


def betting_tail(logs: FloatArray, growth: float = 1.0) -> FloatArray:
    """Bound the probability of such wealth if the claim is true.

    Args:
        logs: From :func:`log_wealth`.
        growth: Imagine so many times these units (to plan with; 1 is the bound).
    """
    weights = np.log([weight for _, weight in BETS])[:, None]
    total = np.logaddexp.reduce(weights + growth * logs, axis=0)
    return np.asarray(np.exp(-np.maximum(total, 0)), np.float64)


def zero_failures(max_bad: float, confidence: float, population: int | None = None) -> int:
    """Return the number of masks, all good, that proves a bound on the share of bad ones.

    59 for 5% at 95% confidence, 99 for 3%, 299 for 1%; fewer where there are few masks in all.

    Args:
        max_bad: The share.
        confidence: How sure to be.
        population: Masks in all; None for a very large number.
    """
    risk = 1 - confidence
    large = math.ceil(math.log(risk) / math.log1p(-max_bad) - _ATOM)
    if population is None:
        return large
    null = min(math.floor(max_bad * population + _ATOM) + 1, population)
    low, high = 0, min(large, population)
    while high - low > 1:
        middle = (low + high) // 2
        passes = count_tail(0.0, null, middle / population, middle) <= risk
        low, high = (low, middle) if passes else (middle, high)
    return high
