"""Order, calibration, and what chance alone would give."""

from __future__ import annotations

from typing import Any

import numpy as np

from curate.common.arrays import BoolArray, FloatArray

BINS = 10


def average_precision(suspicion: FloatArray, bad: BoolArray) -> float:
    """Return the average precision of bad masks, the most suspicious first; ties are one step."""
    order = np.argsort(-suspicion, kind="stable")
    ends = np.flatnonzero(np.r_[np.diff(suspicion[order]) != 0, True])
    hits = np.cumsum(bad[order])[ends]
    return float((np.diff(hits, prepend=0) * hits / (ends + 1)).sum() / hits[-1])


def calibration_error(probability: FloatArray, bad: BoolArray) -> float:
    """Return the mean gap between predicted and true shares in ten bins of equally many masks."""
    order = np.argsort(probability, kind="stable")
    pieces = np.array_split(order, BINS)
    gaps = [abs(probability[rows].mean() - (~bad[rows]).mean()) * len(rows) for rows in pieces]
    return float(np.sum(gaps) / len(bad))


def by_chance(probability: FloatArray, seed: int, draws: int = 100) -> float:
    """Return the calibration error of these very probabilities on masks for which they are true."""
    random = np.random.default_rng(seed)
    drawn = (random.uniform(size=len(probability)) >= probability for _ in range(draws))
    return float(np.mean([calibration_error(probability, bad) for bad in drawn]))


def describe(
    quality: FloatArray, label_free: FloatArray, bad: BoolArray, seed: int
) -> dict[str, Any]:
    """Return what is measured of probabilities on masks of images that nobody reviewed."""
    return {
        "masks": len(bad),
        "bad": int(bad.sum()),
        "average_precision": average_precision(-quality, bad),
        "label_free_precision": average_precision(-label_free, bad),
        "calibration_error": calibration_error(quality, bad),
        "label_free_error": calibration_error(label_free, bad),
        "chance_error": by_chance(quality, seed),
        "share_error": float(quality.mean() - (~bad).mean()),
    }


def middle(values: Any) -> tuple[float, float, float]:
    """Return the mean and the middle 95% of some draws."""
    array = np.asarray(values, np.float64)
    low, high = np.percentile(array, [2.5, 97.5])
    return float(array.mean()), float(low), float(high)
