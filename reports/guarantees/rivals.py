"""Other ways to choose a threshold from the same sample, to compare with."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from curate.people.guarantees.acceptance_tests import ThresholdTests
from curate.people.guarantees.tail_bounds import zero_failures


def thresholds(curve: ThresholdTests, risk: float) -> dict[str, float]:
    """Return the threshold of each way; NaN where it accepts nothing.

    Args:
        curve: What the sample found at each threshold.
        risk: 1 - confidence.
    """
    p_value = curve.p_values()
    seen = np.maximum(curve.expected, 1e-9)
    passes = {
        # Accept as long as the share of bad masks in the sample is within the bound.
        "naive plug-in": np.nan_to_num(curve.bad_share, nan=1) <= curve.max_bad,
        # The same with one more bad mask (Angelopoulos and others 2022), which bounds a mean loss
        # that falls with the threshold; the share of bad masks does not.
        "conformal risk control": (curve.found + 1) / (seen + 1) <= curve.max_bad,
        # All of the risk on the strictest threshold at which the sample can show anything.
        "fixed-sequence LTT": _sequence(p_value, risk, _first(curve, risk)),
        # Every threshold by itself, with its share of the risk.
        "Bonferroni LTT": p_value <= risk / len(p_value),
    }
    return {name: _last(curve, passed) for name, passed in passes.items()}


def clairvoyant(curve: ThresholdTests, truth: np.ndarray, risk: float) -> float:
    """Return the threshold of a test that knows where to start: about the best that tests can do.

    All of the risk stands where acceptance times the chance to pass is largest, with the true share
    of bad masks known; from there on it goes on to more lenient thresholds.

    Args:
        curve: What the sample found at each threshold.
        truth: The true share of bad masks at each.
        risk: 1 - confidence.
    """
    power = replace(curve, promised=truth).predicted_power(risk)
    start = int(np.argmax(power * curve.accepted))
    return _last(curve, _sequence(curve.p_values(), risk, start))


def _last(curve: ThresholdTests, passed: np.ndarray) -> float:
    at = np.flatnonzero(passed)
    return float(curve.threshold[at[-1]]) if len(at) else np.nan


def _first(curve: ThresholdTests, risk: float) -> int:
    need = zero_failures(curve.max_bad, 1 - risk)
    return int(np.searchsorted(curve.expected, need))


def _sequence(p_value: np.ndarray, risk: float, start: int) -> np.ndarray:
    passed = p_value <= risk
    passed[:start] = False
    stop = np.flatnonzero(~passed[start:])
    if len(stop):
        passed[start + stop[0] :] = False
    return passed
