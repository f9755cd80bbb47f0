"""Other ways to choose a threshold from the same sample, to compare with."""

from __future__ import annotations

import numpy as np

from curate.curation.acceptance import Acceptance
from curate.curation.tails import zero_failures


def thresholds(curve: Acceptance, risk: float) -> dict[str, float]:
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
        "fixed-sequence LTT": _sequence(p_value, curve, risk),
        # Every threshold by itself, with its share of the risk.
        "Bonferroni LTT": p_value <= risk / len(p_value),
    }
    found = {}
    for name, passed in passes.items():
        at = np.flatnonzero(passed)
        found[name] = float(curve.threshold[at[-1]]) if len(at) else np.nan
    return found


def _sequence(p_value: np.ndarray, curve: Acceptance, risk: float) -> np.ndarray:
    need = zero_failures(curve.max_bad, 1 - risk)
    start = int(np.searchsorted(curve.expected, need))
    passed = p_value <= risk
    passed[:start] = False
    stop = np.flatnonzero(~passed[start:])
    if len(stop):
        passed[start + stop[0] :] = False
    return passed
