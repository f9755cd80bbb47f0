"""Threshold tests: masks accepted, bad ones in the sample, and p-values at each threshold.

Thresholds are qualities at equal steps of the population, so they depend on no label.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import pandas as pd

from curate.common.arrays import FloatArray, IntArray
from curate.people.guarantees.image_betting import Gains, image_gains
from curate.people.guarantees.reviewed_sample import Population, ReviewedSample
from curate.people.guarantees.tail_bounds import (
    betting_tail,
    binomial_cdf,
    count_tail,
    weighted_tail,
)

MASK_THRESHOLDS = 200
IMAGE_THRESHOLDS = 40
_ATOM = 1e-9


@dataclass(frozen=True)
class ThresholdTests:
    """Thresholds from strict to lenient; every array has a place for each.

    Attributes:
        threshold: Masks of at least this quality are accepted.
        accepted: How many masks of the population that is.
        share: Of all masks.
        found: Bad masks of the sample among them.
        weighed: The same, each with its weight.
        bad_share: Estimated share of bad ones among them; NaN where the sample has none.
        promised: Share of bad ones if the quality is P(good).
        max_bad: The bound.
        units: Masks or images drawn.
        reviewed: Masks in the sample.
        fraction: Smallest inclusion probability.
        test: "count", "weighted" or "betting".
        gains: For samples of whole images.
        growth: How much larger a sample of the same kind is imagined.
    """

    threshold: FloatArray
    accepted: IntArray
    share: FloatArray
    found: IntArray
    weighed: FloatArray
    bad_share: FloatArray
    promised: FloatArray
    max_bad: float
    units: int
    reviewed: int
    fraction: float
    test: str
    gains: Gains | None
    growth: float = 1.0

    @property
    def null(self) -> FloatArray:
        """The smallest number of bad masks that breaks the bound."""
        return np.asarray(np.floor(self.max_bad * self.accepted + _ATOM) + 1, np.float64)

    @property
    def expected(self) -> FloatArray:
        """Number of sampled masks that each threshold is expected to accept, shape
        (thresholds,)."""
        if self.gains is not None:
            return self.gains.expected * self.growth
        return self.reviewed * self.share * self.growth

    @property
    def population_growth(self) -> float:
        """Size of the population as a multiple of the sample."""
        return 1 / self.fraction

    def table(self) -> pd.DataFrame:
        """Return a table of the thresholds: masks accepted, estimated share of bad ones."""
        names = ("threshold", "accepted", "share", "bad_share")
        return pd.DataFrame({name: getattr(self, name) for name in names})

    def p_values(self) -> FloatArray:
        """p-value of each threshold: the chance of so few bad masks if the bound is broken.

        Of a sample that is imagined larger, it is what is expected: half a bad mask more is put in,
        so that none found is not none to come.
        """
        if self.gains is not None:
            return betting_tail(self.gains.logs, self.growth)
        return self._tail(self.growth * (self.weighed + 0.5) - 0.5, self.growth)

    def p_values_without_errors(self, growth: float = 1.0) -> FloatArray:
        """p-value per threshold, shape (thresholds,), had no sampled mask been bad and the
        sample been ``growth`` times as large."""
        if self.gains is not None:
            return betting_tail(self.gains.clean, growth)
        return self._tail(np.zeros(len(self.weighed)), growth)

    def _tail(self, found: FloatArray, growth: float) -> FloatArray:
        fraction = min(1.0, self.fraction * growth)
        if self.test == "weighted":
            return weighted_tail(found, self.null, fraction)
        return count_tail(found, self.null, fraction, self.reviewed * growth)

    def predicted_power(self, level: float) -> FloatArray:
        """Power of each threshold, shape (thresholds,), if the quality is P(good); 0 for images.

        For weighted samples it is as if their probabilities were equal: good enough to choose by.
        """
        if self.gains is not None:
            return np.zeros(len(self.accepted))
        fraction, drawn = min(1.0, self.fraction * self.growth), self.reviewed * self.growth
        low = np.full(len(self.accepted), -1.0)
        high = np.ceil(self.null * fraction) + 1
        while np.any(high - low > 1):
            middle = np.floor((low + high) / 2)
            passes = count_tail(middle, self.null, fraction, drawn) <= level
            low, high = np.where(passes, middle, low), np.where(passes, high, middle)
        mean = self.promised * self.accepted * fraction
        return binomial_cdf(low, drawn, np.clip(mean / drawn, 0, 1))

    def smallest_expected(self, risk: float) -> float:
        """Number of masks, all good, that proves the bound in a large population."""
        return math.log(risk) / math.log1p(-self.max_bad)

    def smallest(self, risk: float) -> int | None:
        """Number of units that proves the bound if all are good; None where no number does."""
        low, high = self.units, max(self.units + 1, math.ceil(1 / risk / self.max_bad) * 100)
        if self.gains is None:
            high = min(high, math.ceil(self.units / self.fraction))
        if not self._shows(high, risk):
            return None
        while high - low > 1:
            middle = (low + high) // 2
            low, high = (low, middle) if self._shows(middle, risk) else (middle, high)
        return high

    def _shows(self, units: int, risk: float) -> bool:
        p_value = self.p_values_without_errors(units / self.units)
        return bool(p_value.min() <= risk)


def count_by_threshold(
    sample: ReviewedSample, population: Population, max_bad: float
) -> ThresholdTests:
    """Count accepted and bad masks of a sample at each threshold."""
    steps = MASK_THRESHOLDS if sample.unit == "mask" else IMAGE_THRESHOLDS
    threshold, accepted, promised = _make_thresholds(population, steps)
    inside = ~np.isnan(sample.quality)
    # Row k of the sample is accepted from threshold at[k] on.
    at = np.full(len(sample), len(threshold))
    at[inside] = np.searchsorted(-threshold, -sample.quality[inside])
    bad = sample.bad.astype(np.float64)

    def among(weight: FloatArray) -> FloatArray:
        return np.cumsum(np.bincount(at, weight, len(threshold) + 1)[:-1])

    inverse = 1 / sample.probability
    seen = among(inverse)
    with np.errstate(invalid="ignore", divide="ignore"):
        bad_share = np.where(seen > 0, among(bad * inverse) / seen, np.nan)
    gains, units = None, len(sample)
    if sample.unit == "image":
        gains, units = image_gains(sample, at, population, (threshold, accepted, max_bad))
    found = among(bad)
    return ThresholdTests(
        threshold,
        accepted,
        accepted / population.size,
        found.astype(np.int64),
        found if sample.exact else among(bad * sample.weight),
        bad_share,
        promised,
        max_bad,
        units,
        len(sample),
        sample.fraction,
        "betting" if gains is not None else "count" if sample.exact else "weighted",
        gains,
    )


def _make_thresholds(population: Population, steps: int) -> tuple[FloatArray, IntArray, FloatArray]:
    """Return thresholds, masks accepted by each, and the share of bad ones expected of P(good)."""
    usable = ~np.isnan(population.quality)
    counts = None if population.counts is None else population.counts[usable]
    order = np.argsort(-population.quality[usable], kind="stable")
    quality = population.quality[usable][order]
    if not len(quality):
        return np.empty(0), np.empty(0, np.int64), np.empty(0)
    many = np.arange(1, len(quality) + 1) if counts is None else np.cumsum(counts[order])
    doubt = np.clip(1 - quality, 0, 1) * (1 if counts is None else counts[order])
    ends = np.searchsorted(many, np.arange(1, steps + 1) / steps * many[-1] - _ATOM)
    threshold = np.unique(quality[ends])[::-1]
    last = np.searchsorted(-quality, -threshold, side="right") - 1
    accepted = many[last].astype(np.int64)
    return threshold, accepted, np.cumsum(doubt)[last] / accepted
