"""Stacking regression: scores to calibrated logits, with slopes that never fall.

With one score this is Platt's scaling; with several it also says how much each of them counts.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from curate.common.arrays import BoolArray, FloatArray

SHRINKAGE = 2.0
"""How firmly slopes stay near an even mean of the scores: about as much as eight sure reviews."""


@dataclass(frozen=True)
class LogitModel:
    """A logit that is linear in some scores.

    Attributes:
        intercept: The logit where all scores are 0.
        slopes: What each score adds, at least 0.
    """

    intercept: float
    slopes: FloatArray

    def __call__(self, scores: FloatArray) -> FloatArray:
        """Return the logit of each row of ``scores``, (rows, scores)."""
        return np.asarray(self.intercept + scores @ self.slopes, np.float64)


def expit(logit: FloatArray) -> FloatArray:
    """Return the probabilities of logits."""
    with np.errstate(over="ignore"):
        return np.asarray(1 / (1 + np.exp(-logit)), np.float64)


def stack(scores: FloatArray, bad: BoolArray, weight: FloatArray) -> LogitModel:
    """Fit the slopes and the intercept that turn scores into one calibrated logit of being bad.

    Labels are softened as Platt does, by one imagined mask of either kind, so that a clean
    separation does not claim certainty.

    Args:
        scores: Shape (rows, scores); higher is worse, about a logit each.
        bad: Which rows are bad.
        weight: How much each row counts.
    """
    from scipy.optimize import minimize

    count = scores.shape[1]
    worst, best = weight[bad].sum(), weight[~bad].sum()
    wanted = np.where(bad, (worst + 1) / (worst + 2), 1 / (best + 2))
    even = np.full(count, 1 / count)
    share = (wanted @ weight) / weight.sum()
    middle = np.average(scores @ even, weights=weight)
    start = np.concatenate([[np.log(share / (1 - share)) - middle], even])

    def cost(at: FloatArray) -> tuple[float, FloatArray]:
        logit = at[0] + scores @ at[1:]
        loss = weight @ (np.logaddexp(0, logit) - wanted * logit)
        away = at[1:] - even
        gap = weight * (expit(logit) - wanted)
        slope = np.concatenate([[gap.sum()], scores.T @ gap + SHRINKAGE * away])
        return float(loss + SHRINKAGE / 2 * (away @ away)), slope

    bounds = [(None, None), *[(0.0, None)] * count]
    found = minimize(cost, start, jac=True, method="L-BFGS-B", bounds=bounds)
    return LogitModel(float(found.x[0]), np.asarray(found.x[1:], np.float64))
