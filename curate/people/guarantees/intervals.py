"""Two-sided confidence intervals for a share of all masks, from a random sample.

Three ways, from cautious to narrow:

- **exact**: all shares that the tests of :mod:`curate.people.guarantees.tail_bounds` do not refute;
  valid for any sample size, and the only way where fewer than :data:`MIN_UNITS` masks (images,
  where these were drawn) speak for one of the two sides: a normal interval is too narrow there, of
  width 0 in the end.
- **reviews**: the variance of the design (strata, finite population, whole images as units), turned
  into an interval as that of a binomial with the same variance (Korn and Graubard 1998), which
  stays in [0, 1] and is a little wider than the normal one.
- **prediction-powered** (PPI++, Angelopoulos and others 2023): the same for the decisions less
  ``tune`` times what the quality score predicts, whose mean over all masks is known. ``tune``
  minimises the variance; 0 would be the interval of reviews alone, so with growing samples it is
  never wider. Whether the score is a good prediction, or any, matters to the width only.

:func:`share` takes the exact interval where counts are small, else the narrower of the two others.
Their variances come with degrees of freedom (Satterthwaite 1946), since a variance that few
surprises make up is itself badly known.

Invariants: 0 <= low <= value <= high <= 1. Exact intervals hold for any population; the two others
are asymptotic, and treat a stratum of one reviewed mask by its distance from the mean of all. Each
side has half of the risk.

Time is linear in the sample, with log2(population) tail bounds for an exact interval; of whole
images, 20 halvings, each linear in the images drawn and the sizes of images.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
from scipy.special import betaincinv, stdtrit

from curate.common.arrays import BoolArray, FloatArray, IntArray
from curate.errors import CallError
from curate.people.guarantees.draw_checks import WHERE
from curate.people.guarantees.image_betting import ImageBets
from curate.people.guarantees.reviewed_sample import Population, ReviewedSample
from curate.people.guarantees.tail_bounds import (
    betting_tail,
    count_tail,
    excess_tail,
    weighted_tail,
)

MIN_UNITS = 10

_HALVINGS = 20

ROUNDING = 1e-9
"""Share of the variance under which what a prediction leaves is no more than rounding."""


@dataclass(frozen=True)
class ShareInterval:
    """An interval for a share.

    Attributes:
        value: The estimate.
        low: Lower end.
        high: Upper end.
        method: "exact", "reviews" or "prediction-powered".
        width_reviews: Width from reviews alone.
        width_predicted: Width with predictions; NaN where they were not used.
    """

    value: float
    low: float
    high: float
    method: str
    width_reviews: float
    width_predicted: float


@dataclass(frozen=True)
class Moments:
    """Estimates of two means from one sample, and what each unit adds to their errors.

    Attributes:
        mean: Of what people say.
        predicted: Of the prediction, over the same sample.
        parts: Shape (units, 2): the squares of a column sum up to the variance of its mean.
        group: The stratum of each unit.
    """

    mean: float
    predicted: float
    parts: FloatArray
    group: IntArray

    def spread(self, tune: float) -> tuple[float, float]:
        """Return the variance of ``mean - tune * predicted``, and its degrees of freedom.

        The freedom is that of Satterthwaite with the kurtosis of what is left: where few surprises
        make up the variance, it is itself known as badly as their number.
        """
        said, score = self.parts.T
        left = said - tune * score
        if tune:
            # A unit that has much to say in the choice of ``tune`` hides its own error.
            left = left / (1 - np.minimum(score**2 / (score**2).sum(), 0.5))
        square = left**2
        variance, count = float(square.sum()), np.bincount(self.group)
        within = np.bincount(self.group, square) ** 2 / np.maximum(count, 1)
        noise = float((square**2).sum() - within.sum())
        most = max(len(left) - len(count), 1)
        return variance, min(2 * variance**2 / noise, most) if noise > 0 else most


def share_interval(
    sample: ReviewedSample, population: Population, yes: BoolArray, confidence: float
) -> ShareInterval:
    """Return the interval of the share of all masks for which ``yes`` holds.

    Args:
        sample: A random sample.
        population: All masks.
        yes: Of which masks of the sample it is true.
        confidence: Probability that the interval holds the share.

    Raises:
        CallError: A stratum has no reviewed mask, so that nothing is known of it.
    """
    risk = 1 - confidence
    score, everywhere = _read_predictions(sample, population)
    found = estimate_moments(sample, yes.astype(np.float64), score)
    value = min(max(found.mean, 0.0), 1.0)
    if min(_count_rarer(sample, yes), _count_rarer(sample, ~yes)) < MIN_UNITS:
        low, high = exact_interval(sample, population, yes, risk)
        value = min(max(value, low), high)
        return ShareInterval(value, low, high, "exact", high - low, np.nan)
    low, high = binomial_interval(value, *found.spread(0.0), len(found.parts), risk)
    alone = ShareInterval(value, low, high, "reviews", high - low, np.nan)
    better = apply_predictions(found, everywhere)
    if better is None:
        return alone
    low, high = binomial_interval(*better, len(found.parts), risk)
    if high - low >= alone.width_reviews:
        return replace(alone, width_predicted=high - low)
    return ShareInterval(
        better[0], low, high, "prediction-powered", alone.width_reviews, high - low
    )


def _count_rarer(sample: ReviewedSample, yes: BoolArray) -> int:
    """Count the units on the rarer side."""
    return len(np.unique(sample.image_id[yes])) if sample.unit == "image" else int(yes.sum())


def _read_predictions(sample: ReviewedSample, population: Population) -> tuple[FloatArray, float]:
    """Return the score of each mask of a sample, and its mean over all masks.

    Masks without a score get the mean of the others: as good a prediction as any.
    """
    known = ~np.isnan(population.quality)
    if not known.any():
        return np.zeros(len(sample)), 0.0
    counts = None if population.counts is None else population.counts[known]
    mean = float(np.average(population.quality[known], weights=counts))
    return np.where(np.isnan(sample.quality), mean, sample.quality), mean


def estimate_moments(sample: ReviewedSample, said: FloatArray, predicted: FloatArray) -> Moments:
    """Estimate the means of two values over all masks, by the design of the sample.

    Raises:
        CallError: A stratum has no reviewed mask.
    """
    both = np.column_stack([said, predicted])
    return _image_moments(sample, both) if sample.unit == "image" else _mask_moments(sample, both)


def _mask_moments(sample: ReviewedSample, both: FloatArray) -> Moments:
    stratum, held = sample.stratum, sample.strata
    count = np.bincount(stratum, minlength=len(held))
    if sample.exact and count.min() < 2:
        # Equal probabilities: strata are a refinement that can be done without.
        stratum, held = np.zeros(len(both), np.int64), np.array([sample.population], np.int64)
        count = np.array([len(both)])
    if count.min() == 0:
        what = f"stratum {int(np.argmin(count))} of the draw has no reviewed mask"
        raise CallError(what, WHERE, "review more of the draw, in its order")
    sums = np.column_stack([np.bincount(stratum, column, len(held)) for column in both.T])
    within = sums / count[:, None]
    weight = held / held.sum()
    # A stratum of one mask has no spread of its own: it is measured against the mean of all.
    centre = np.where(count[:, None] > 1, within, both.mean(axis=0))
    scale = weight / count * np.sqrt(count / np.maximum(count - 1, 1) * (1 - count / held))
    parts = scale[stratum, None] * (both - centre[stratum])
    mean = weight @ within
    return Moments(float(mean[0]), float(mean[1]), parts, stratum)


def _image_moments(sample: ReviewedSample, both: FloatArray) -> Moments:
    """Return ratio estimates: totals of images over their numbers of masks."""
    codes, ids = pd.factorize(sample.image_id)
    size = np.bincount(codes).astype(np.float64)
    total = np.column_stack([np.bincount(codes, column) for column in both.T])
    mean = total.sum(axis=0) / size.sum()
    # A large image draws the mean to itself; without it, it would be further off.
    residual = (total - size[:, None] * mean) / (1 - np.minimum(size / size.sum(), 0.5))[:, None]
    n, left = len(ids), max(1 - sample.fraction, 0.0)
    parts = residual / size.sum() * np.sqrt(left * n / max(n - 1, 1))
    return Moments(float(mean[0]), float(mean[1]), parts, np.zeros(n, np.int64))


def apply_predictions(found: Moments, everywhere: float) -> tuple[float, float, float] | None:
    """Return estimate, variance and its freedom with predictions; None where they cannot help."""
    said, score = found.parts.T
    if not (score**2).sum() > 0:
        return None
    tune = float(said @ score / (score**2).sum())
    value = found.mean + tune * (everywhere - found.predicted)
    variance, freedom = found.spread(tune)
    # What is left of a prediction without any surprise in the sample is rounding, not knowledge.
    known = variance > ROUNDING * found.spread(0.0)[0]
    return (value, variance, freedom) if 0 < value < 1 and known else None


def binomial_interval(
    value: float, variance: float, freedom: float, units: int, risk: float
) -> tuple[float, float]:
    """Return the interval of a binomial share that has the same variance.

    Args:
        value: The estimate, inside (0, 1).
        variance: Of the estimate.
        freedom: Degrees of freedom of the variance.
        units: Masks or images in the sample.
        risk: 1 - confidence.
    """
    if variance <= 0:
        return value, value
    spread = stdtrit(max(units - 1, 1), 1 - risk / 2) / stdtrit(freedom, 1 - risk / 2)
    trials = value * (1 - value) / variance * spread**2
    yes, no = value * trials, (1 - value) * trials
    low, high = betaincinv(yes, no + 1, risk / 2), betaincinv(yes + 1, no, 1 - risk / 2)
    return float(low), float(high)


def exact_interval(
    sample: ReviewedSample, population: Population, yes: BoolArray, risk: float
) -> tuple[float, float]:
    """Return the shares that no test refutes, each side at half of the risk.

    Args:
        sample: A random sample.
        population: All masks; needed for whole images.
        yes: Of which masks it is true.
        risk: 1 - confidence.
    """
    rare = yes if 2 * yes.sum() <= len(yes) else ~yes
    if sample.unit == "image":
        most = _upper_by_images(sample, population, rare, risk / 2)
        least = 1 - _upper_by_images(sample, population, ~rare, risk / 2)
    else:
        found = float(sample.weight[rare].sum())
        drawn = len(sample) if sample.exact else None
        if drawn is not None:
            found = float(rare.sum())
        least, most = count_interval(found, sample.population, sample.fraction, drawn, risk)
    return (least, most) if rare is yes else (1 - most, 1 - least)


def count_interval(
    found: float, total: int, fraction: float, drawn: int | None, risk: float
) -> tuple[float, float]:
    """Return the shares of a population that a count in a sample does not refute.

    Args:
        found: The count, each with its weight; best of the rarer side.
        total: The population.
        fraction: The smallest inclusion probability.
        drawn: Size of the sample, for one draw of equal probabilities; None for others.
        risk: 1 - confidence.
    """

    def too_many(null: int) -> bool:
        if drawn is None:
            return bool(weighted_tail(found, null, fraction) <= risk / 2)
        return bool(count_tail(found, null, fraction, drawn) <= risk / 2)

    def too_few(most: int) -> bool:
        return excess_tail(found, most, fraction, drawn) <= risk / 2

    high = total if not too_many(total) else _last_true(lambda null: not too_many(null), total)
    low = 0 if not too_few(0) else _last_true(too_few, total) + 1
    return low / total, high / total


def _last_true(holds: Callable[[int], bool], total: int) -> int:
    """Return the last number at which something holds that holds from 0 up to some point."""
    low, high = 0, total
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if holds(middle) else (low, middle)
    return low


def _upper_by_images(
    sample: ReviewedSample, population: Population, yes: BoolArray, risk: float
) -> float:
    whole = ImageBets.of(sample, population, yes)
    low, high = float(yes.mean()), 1.0
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        unlikely = float(betting_tail(whole.logs(middle))[0]) <= risk
        low, high = (low, middle) if unlikely else (middle, high)
    return high
