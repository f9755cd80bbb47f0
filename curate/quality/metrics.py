"""Metrics of probabilities: ranking, log loss, calibration, bootstrap certainty."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pandas as pd

from curate.common.arrays import BoolArray, FloatArray, IntArray
from curate.quality.model import expit


def log_losses(logit: FloatArray, bad: BoolArray) -> FloatArray:
    """Return the log loss of each row."""
    return np.asarray(np.logaddexp(0, np.where(bad, -logit, logit)), np.float64)


def average_precision(score: FloatArray, bad: BoolArray, weight: FloatArray) -> float:
    """Return the average precision of bad rows, high scores first; equal ones are one step.

    NaN where no row is bad.
    """
    order = np.argsort(-score, kind="stable")
    ends = np.flatnonzero(np.r_[score[order][1:] != score[order][:-1], True])
    seen = np.cumsum(weight[order])[ends]
    hits = np.cumsum((weight * bad)[order])[ends]
    if not hits[-1] > 0:
        return float("nan")
    gained = np.diff(hits, prepend=0.0)
    return float((gained * hits / np.maximum(seen, 1e-300)).sum() / hits[-1])


def share_over_zero(
    values: FloatArray, weight: FloatArray, groups: IntArray, seed: int, draws: int = 1000
) -> float:
    """Return in which share of resampled sets of groups the weighted mean of values is over 0.

    Whole groups are drawn with replacement, since rows of a group are not independent. For a mean
    that is normal, 0.84 is one standard error over 0; unlike that rule, this one is not shaken by
    a few groups that speak very strongly for it.

    Args:
        values: A value a row.
        weight: How much it counts.
        groups: Its group, numbered from 0.
        seed: Of the draws.
        draws: How many sets.
    """
    sums = np.bincount(groups, weights=weight * values)
    sums = sums[np.bincount(groups) > 0]
    random = np.random.default_rng([seed, 11])
    over = 0
    for _ in range(draws):
        over += bool(sums[random.integers(len(sums), size=len(sums))].sum() > 0)
    return over / draws


def share_in_order(score: FloatArray, bad: BoolArray, weight: FloatArray) -> float:
    """Return in which share of pairs of a bad and a good row the bad one has the lower score.

    Args:
        score: A score a row, shape (rows,), finite; equal ones count as half.
        bad: Which rows are bad.
        weight: How often each row counts, shape (rows,).

    Returns:
        The share, which is the area under the ROC curve; NaN where no row is bad, or all are.
    """
    worse, better = weight * bad, weight * ~bad
    pairs = worse.sum() * better.sum()
    if not pairs:
        return float("nan")
    at = np.unique(score, return_inverse=True)[1]
    good = np.bincount(at, weights=better)
    above = good[::-1].cumsum()[::-1] - good
    return float((worse * (above[at] + good[at] / 2)).sum() / pairs)


def interval_by_groups(
    groups: IntArray,
    seed: int,
    measure: Callable[[FloatArray], float],
    draws: int = 1000,
    confidence: float = 0.95,
) -> tuple[float, float]:
    """Return the interval of a measure by resampling whole groups (percentiles).

    Args:
        groups: Each row's group, numbered from 0 without a gap.
        seed: Of the draws, the same ones as of :func:`share_over_zero`.
        measure: Takes how often each row was drawn, shape (rows,); gives a number, NaN where there
            is none, which is left out.
        draws: How many sets.
        confidence: Share of the draws within the interval.

    Returns:
        The lower and upper end; NaN where no draw has a number.
    """
    count = int(groups.max()) + 1
    random = np.random.default_rng([seed, 11])
    found = np.empty(draws)
    for k in range(draws):
        often = np.bincount(random.integers(count, size=count), minlength=count)
        found[k] = measure(often[groups].astype(np.float64))
    found = found[~np.isnan(found)]
    if not len(found):
        return float("nan"), float("nan")
    rest = (1 - confidence) / 2
    low, high = np.quantile(found, [rest, 1 - rest])
    return float(low), float(high)


def reliability(
    probability: FloatArray, bad: BoolArray, weight: FloatArray, bins: int = 10
) -> pd.DataFrame:
    """Return the data of a reliability diagram.

    Args:
        probability: Of being good, a row a mask.
        bad: Which are bad.
        weight: How much each counts.
        bins: How many bins, of about equally many masks; equal probabilities stay together.

    Returns:
        A row a bin: ``low`` and ``high`` (lowest and highest probability), ``predicted`` (mean
        probability), ``good`` (share that is good), ``masks``, ``weight`` (share of all).
    """
    order = np.argsort(probability, kind="stable")
    ordered = probability[order]
    edges = np.linspace(0, len(ordered), min(bins, len(ordered)) + 1).round().astype(np.int64)
    starts = np.unique(np.searchsorted(ordered, ordered[edges[:-1]], side="left"))
    number = np.searchsorted(starts, np.arange(len(ordered)), side="right") - 1
    w, good = weight[order], ~bad[order]
    each = np.bincount(number, weights=w)
    each = np.maximum(each, 1e-300)
    ends = np.append(starts[1:], len(ordered)) - 1
    return pd.DataFrame(
        {
            "low": ordered[starts],
            "high": ordered[ends],
            "predicted": np.bincount(number, weights=w * ordered) / each,
            "good": np.bincount(number, weights=w * good) / each,
            "masks": np.bincount(number),
            "weight": each / w.sum(),
        }
    )


def calibration_error(diagram: pd.DataFrame) -> float:
    """Return the expected calibration error: the mean gap of a diagram's bins, by their weight."""
    gap = (diagram["predicted"] - diagram["good"]).abs()
    return float((gap * diagram["weight"]).sum())


def good(logit: FloatArray) -> FloatArray:
    """Return P(good) of logits of being bad."""
    return expit(-logit)
