"""The threshold on ``quality_score`` above which masks are accepted with a bound that holds.

Learn then Test (Angelopoulos and others 2021). For each threshold t of a grid that was fixed
without looking at any label, the claim to refute is "more than ``max_bad`` of the masks with
quality of at least t are bad". The claims are tested in the order from strict to lenient by the
fallback procedure (Wiens 2003): the risk, 1 - confidence, is put on a few starting thresholds; a
claim that is refuted at the level it has passes all of it on to the next more lenient one; one that
is not refuted loses it. With probability of at least ``confidence`` no true claim is refuted,
whatever the shape of the curve: the share of bad masks need not fall with the threshold, nor the
score be any good, nor masks of one image be independent (chance is in the drawing alone; see
:mod:`curate.people.guarantees.tail_bounds` for the tests). A useless score costs acceptance, never
the bound.

Half of the risk is put where the quality score itself, read as P(good), promises the largest
acceptance that will pass nearly for sure; the rest on thresholds at which the sample holds so many
masks, twice that, and so on, for scores that are no probabilities.

The promise is about all masks of the population at that threshold, with those that people reviewed:
taking out the bad ones among these only makes it better. It is about one look. Who looks after each
batch and stops when it pleases has to say how often (``looks``); the risk is split among them.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from curate.common.arrays import FloatArray
from curate.common.ranges import check_numbers
from curate.common.readable_result import ReadableResult
from curate.dataset.notes import finite_or_none
from curate.errors import CallError
from curate.people.guarantees.acceptance_tests import ThresholdTests, count_by_threshold
from curate.people.guarantees.overrides import CertificateOverrides, describe_overrides
from curate.people.guarantees.reviewed_sample import Population, ReviewedSample
from curate.people.guarantees.tail_bounds import zero_failures
from curate.store.audit_records import CertificateRecord

PROMISED_RISK = 0.5
"""Share of the risk put on the threshold that the score promises; the score may be wrong."""

MIN_POWER = 0.95
"""How likely that threshold must be to pass, if the score is right."""

FIRST_FACTOR = 1.7
"""First of the other starts: this many times the smallest sample that can show anything."""


@dataclass(frozen=True, repr=False)
class Certificate(ReadableResult):
    """A certified acceptance: threshold, bound, confidence, and the tests behind it.

    Attributes:
        threshold: Masks of at least this quality; None where nothing can be certified.
        accepted: How many masks that is.
        share: Of all masks.
        max_bad: Share of bad masks among them, at most, ...
        confidence: ... with this confidence.
        reviewed: Masks of the sample that somebody decided on.
        bad_found: Bad ones among the accepted of the sample.
        bad_share: Estimated share of bad masks among the accepted; NaN where nothing is.
        reviews_for_next: How many more masks of a random sample are expected to certify a tenth of
            all masks more (or all that can be accepted, where less is left), if the shares of bad
            masks are what this sample says; None where that is out of reach, or nothing is left.
        reviews_needed: The same to certify anything; 0 where something is certified; None where
            no number of reviews would do, because even the best masks are too bad.
        test: "count", "weighted" or "betting"; see :mod:`curate.people.guarantees.tail_bounds`.
        tested: A row a threshold, from strict to lenient: ``threshold``, ``accepted``, ``share``,
            ``bad_share`` (estimated), ``p_value``, ``level`` (what it had), ``certified``.
        notes: What to know about the sample.
        overrides: How people's decisions stand to the bound; None where nobody has counted.
    """

    threshold: float | None
    accepted: int
    share: float
    max_bad: float
    confidence: float
    reviewed: int
    bad_found: int
    bad_share: float
    reviews_for_next: int | None
    reviews_needed: int | None
    test: str
    tested: pd.DataFrame
    notes: tuple[str, ...]
    overrides: CertificateOverrides | None = None

    def as_record(self) -> CertificateRecord:
        """Return the record of it in ``audit.json``; ``tested`` is a list, a dict a threshold."""
        return {
            "threshold": self.threshold,
            "accepted": self.accepted,
            "share": self.share,
            "max_bad": self.max_bad,
            "confidence": self.confidence,
            "reviewed": self.reviewed,
            "bad_found": self.bad_found,
            "bad_share": finite_or_none(self.bad_share),
            "reviews_for_next": self.reviews_for_next,
            "reviews_needed": self.reviews_needed,
            "test": self.test,
            "notes": list(self.notes),
            "tested": [
                {
                    "threshold": float(row["threshold"]),
                    "accepted": int(row["accepted"]),
                    "share": float(row["share"]),
                    "bad_share": finite_or_none(row["bad_share"]),
                    "p_value": finite_or_none(row["p_value"]),
                    "level": float(row["level"]),
                    "certified": bool(row["certified"]),
                }
                for row in self.tested.to_dict("records")
            ],
        }

    def as_dict(self) -> dict[str, object]:
        """Return plain values; ``standing`` is how people's decisions stand to the bound."""
        standing = {} if self.overrides is None else {"standing": self.overrides.as_dict()}
        return {**self.as_record(), **standing}

    def _tables(self) -> dict[str, pd.DataFrame]:
        return {"thresholds, from strict to lenient": self.tested}

    def text(self) -> str:
        """Return the certificate in a few lines."""
        sure = f"with {self.confidence:.0%} confidence at most {self.max_bad:.1%} of them are bad"
        if self.threshold is None:
            lines = [
                f"nothing can be certified: no threshold was found above which {sure}, from "
                f"{self.reviewed:,} reviewed masks"
            ]
            if self.reviews_needed:
                lines.append(
                    f"about {self.reviews_needed:,} more reviews of a random sample may do"
                )
            else:
                lines.append(
                    "even the best masks seem to be too bad for that: no number of reviews do"
                )
        else:
            lines = [
                f"certified: the {self.accepted:,} masks ({self.share:.1%}) of a quality of at "
                f"least {self.threshold:.4g}; {sure}",
                f"from {self.reviewed:,} reviewed masks; among the accepted about "
                f"{self.bad_share:.1%} are bad",
            ]
            if self.reviews_for_next is not None and self.share < 1:
                lines.append(
                    f"about {self.reviews_for_next:,} more reviews for the next tenth of the masks"
                )
        overrides = [] if self.overrides is None else describe_overrides(self.overrides)
        return "\n".join([*lines, *self.notes, " ".join(overrides)]).rstrip()


def certify(
    sample: ReviewedSample,
    population: Population,
    *,
    max_bad: float = 0.05,
    confidence: float = 0.95,
    looks: int = 1,
) -> Certificate:
    """Find the largest acceptance whose share of bad masks is bounded.

    Args:
        sample: From :func:`curate.people.guarantees.reviewed_sample.gather_sample`.
        population: All masks; NaN quality for those that are not accepted whatever their quality.
        max_bad: Largest share of bad masks among the accepted.
        confidence: Probability that the bound holds.
        looks: How many times, at most, a certificate is asked for before people stop reviewing.

    Raises:
        CallError: A number is out of range, or the sample is too small to certify anything: the
            number needed is said.
    """
    risk = _check_risk(max_bad, confidence, looks)
    if population.size != sample.population:
        what = f"the sample is of {sample.population:,} masks, and there are {population.size:,}"
        raise CallError(what, "certify", "give the population that the sample was drawn from")
    curve = count_by_threshold(sample, population, max_bad)
    _check_sample_size(sample, curve, risk)
    p_value, level = allocate_levels(curve, risk)
    passed = (p_value <= level) & (level > 0)
    last = int(np.flatnonzero(passed)[-1]) if passed.any() else -1
    tested = curve.table().assign(p_value=p_value, level=level, certified=passed)
    best = tested.iloc[last] if last >= 0 else None
    share, top = 0.0 if best is None else float(best["share"]), float(curve.share[-1])
    return Certificate(
        None if best is None else float(best["threshold"]),
        0 if best is None else int(best["accepted"]),
        share,
        max_bad,
        confidence,
        sample.reviewed,
        0 if best is None else int(curve.found[last]),
        math.nan if best is None else float(best["bad_share"]),
        None if last == len(passed) - 1 else _reviews_needed(curve, risk, min(share + 0.1, top)),
        0 if best is not None else _reviews_needed(curve, risk, float(curve.share[0])),
        curve.test,
        tested,
        sample.notes,
    )


def allocate_levels(
    curve: ThresholdTests, risk: float, starts: FloatArray | None = None
) -> tuple[FloatArray, FloatArray]:
    """Return the p-value of each threshold, and the level at which it is tested; 0 for not at all.

    The level is what starts there, and what the threshold before passes on.

    Args:
        curve: What the sample found at each threshold.
        risk: 1 - confidence.
        starts: What starts at each threshold, ``risk`` in sum, by no label; None for what
            :func:`certify` does.
    """
    p_value, level, carried = curve.p_values(), np.empty(len(curve.accepted)), 0.0
    starts = _allocate_risk(curve, risk) if starts is None else starts
    for k, (p, own) in enumerate(zip(p_value.tolist(), starts.tolist(), strict=True)):
        level[k] = carried + own
        carried = level[k] if p <= level[k] else 0.0
    return p_value, level


def project_share(
    sample: ReviewedSample,
    population: Population,
    more: int,
    *,
    max_bad: float = 0.05,
    confidence: float = 0.95,
) -> float:
    """Return the share of all masks expected to be certified after more reviews, in [0, 1].

    The sample is scaled up: as many bad masks for each mask as were found so far.

    Raises:
        CallError: A number is out of range.
    """
    risk = _check_risk(max_bad, confidence, 1)
    curve = count_by_threshold(sample, population, max_bad)
    grown = replace(curve, growth=1 + more / len(sample))
    return _certified_share(grown, risk)


def _check_risk(max_bad: float, confidence: float, looks: int) -> float:
    check_numbers(max_bad=max_bad, confidence=confidence, looks=looks)
    return (1 - confidence) / looks


def _check_sample_size(sample: ReviewedSample, curve: ThresholdTests, risk: float) -> None:
    """Check that the sample could certify anything if all of its masks were good.

    Raises:
        CallError: It could not; the error names the size needed.
    """
    if not len(curve.accepted):
        raise CallError("no mask can be accepted", "certify", "the policy rejects all of them")
    if curve.p_values_without_errors().min() <= risk:
        return
    need = curve.smallest(risk)
    least = zero_failures(curve.max_bad, 1 - risk)
    unit = "masks" if sample.unit == "mask" else "whole images"
    what = f"{curve.units:,} reviewed {unit} cannot show that at most {curve.max_bad:.2%} are bad"
    do = f"review {need:,} {unit} at least" if need else f"review more than {least:,} {unit}"
    raise CallError(what, "certify", f"{do}: so many are needed even if all are good")


def _allocate_risk(curve: ThresholdTests, risk: float) -> FloatArray:
    """Allocate the risk to the starting thresholds, by sizes and quality alone (no label)."""
    weight = np.zeros(len(curve.accepted))
    power = curve.predicted_power(PROMISED_RISK * risk)
    promising = power.max() >= 0.5
    if promising:
        weight[np.flatnonzero(power >= min(MIN_POWER, power.max()))[-1]] = PROMISED_RISK
    least = FIRST_FACTOR * curve.smallest_expected(risk)
    ends = [float(curve.expected[-1])]
    while least < 0.8 * ends[0]:
        ends.append(least)
        least *= 2
    at = np.unique(np.minimum(np.searchsorted(curve.expected, ends), len(weight) - 1))
    weight[at] += (1 - weight.sum()) / len(at)
    return risk * weight


def _reviews_needed(curve: ThresholdTests, risk: float, target: float) -> int | None:
    """Return the number of further masks expected to certify a share; None for never.

    The sample is imagined larger, with as many bad masks for each mask as were found so far, until
    the procedure accepts that much.
    """
    most = curve.population_growth

    def enough(growth: float) -> bool:
        return _certified_share(replace(curve, growth=growth), risk) >= target - 1e-9

    high = 1.0
    while not enough(high):
        if high >= most:
            return None
        high = min(high * 1.5, most)
    low = max(high / 1.5, 1.0)
    for _ in range(8):
        middle = math.sqrt(low * high)
        low, high = (low, middle) if enough(middle) else (middle, high)
    return max(1, math.ceil((high - 1) * curve.reviewed))


def _certified_share(curve: ThresholdTests, risk: float) -> float:
    """Return the certified share of all masks, in [0, 1]."""
    p_value, level = allocate_levels(curve, risk)
    passed = np.flatnonzero((p_value <= level) & (level > 0))
    return float(curve.share[passed[-1]]) if len(passed) else 0.0
