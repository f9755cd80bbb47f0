"""Post-stratification weights, so that reviewed masks represent the dataset.

Queues show what is prominent: masks of low quality, and masks of high priority, which rules have
flagged too. A mask's *prominence* is the higher of its two ranks, so what a queue picked for either
reason stands for what is as conspicuous, and not for the quiet rest.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from curate.common.arrays import BoolArray, FloatArray, IntArray

STRATA = 13
FEWEST = 8
"""Reviews that a stratum needs; one with fewer is joined to the next, less prominent one."""

LEFT = 0.5
"""Weights are softened until they leave this share of the reviews' worth."""

SOFTER = (1.0, 0.75, 0.5, 0.25, 0.0)


def prominence(
    reviewed: Sequence[FloatArray], dataset: Sequence[FloatArray]
) -> tuple[FloatArray, FloatArray]:
    """Return how prominent reviewed masks and the dataset's are.

    Args:
        reviewed: What masks are looked for by (suspicion, priority), an array each; NaN is low.
        dataset: The same of the dataset's masks, or of a sample of them.

    Returns:
        The largest share of the dataset that each mask stands above in any of them.
    """
    ranks: list[tuple[FloatArray, FloatArray]] = []
    for here, there in zip(reviewed, dataset, strict=True):
        low, high = (np.nan_to_num(x, nan=-np.inf) for x in (here, there))
        ordered = np.sort(high)
        ranks.append((_above(low, ordered), _above(high, ordered)))
    return np.max([r for r, _ in ranks], axis=0), np.max([d for _, d in ranks], axis=0)


def _above(values: FloatArray, ordered: FloatArray) -> FloatArray:
    """Return the share of ordered values that each value is above, half of its equals included."""
    sides = [np.searchsorted(ordered, values, side=side) for side in ("left", "right")]
    return np.asarray(sum(sides) / (2 * len(ordered)), np.float64)


def poststratify(reviewed: FloatArray, dataset: FloatArray) -> FloatArray:
    """Weight reviewed masks by how common their prominence is in the dataset.

    Strata are cut by the dataset's prominence, finely where it is high, since that is where queues
    look. Where some reviews would count so much that the others say nothing any more, all weights
    are raised to a power under 1.

    Args:
        reviewed: Prominence of each reviewed mask.
        dataset: Prominence of the dataset's masks, or of a sample of them.

    Returns:
        A weight a reviewed mask; mean 1.
    """
    ordered = np.sort(dataset)[::-1]
    shares = np.geomspace(1e-3, 1, STRATA)
    # Strata are half open, so masks of equal prominence are always in one.
    lines = np.unique(ordered[np.minimum((shares * len(ordered)).astype(int), len(ordered) - 1)])
    of_reviewed = np.searchsorted(-lines[::-1], -reviewed, side="left")
    of_dataset = np.searchsorted(-lines[::-1], -ordered, side="left")
    count = len(lines) + 1
    have = np.bincount(of_reviewed, minlength=count).astype(np.float64)
    there = np.bincount(of_dataset, minlength=count) / len(ordered)
    joined = _join(have)
    weight = np.bincount(joined, there) / np.maximum(np.bincount(joined, have), 1)
    weights = weight[joined][of_reviewed]
    for power in SOFTER:
        soft = np.maximum(weights, 1e-12) ** power
        if soft.sum() ** 2 >= LEFT * len(soft) * (soft**2).sum():
            break
    return np.asarray(soft / soft.mean(), np.float64)


def _join(have: FloatArray) -> IntArray:
    """Number strata so that every number has enough reviews, joining those beside each other."""
    number, inside = 0, 0.0
    numbers = np.zeros(len(have), np.int64)
    for k, count in enumerate(have.tolist()):
        if inside >= FEWEST:
            number, inside = number + 1, 0.0
        numbers[k] = number
        inside += count
    if inside < FEWEST and number:
        numbers[numbers == number] = number - 1
    return numbers


def find_unreviewed(reviewed: FloatArray, dataset: FloatArray) -> BoolArray:
    """Return which of a dataset's masks are less prominent than nearly all reviewed ones.

    Of such masks people have seen fewer than :data:`FEWEST`: what is said of them is extrapolated.
    """
    if len(reviewed) < FEWEST:
        return np.ones(len(dataset), np.bool_)
    return np.asarray(dataset < np.sort(reviewed)[FEWEST - 1], np.bool_)


def choose_pseudo_good(reviewed: FloatArray, dataset: FloatArray) -> IntArray:
    """Choose rows of a dataset that are taken as good, for want of anybody who looked.

    They are evenly spaced among those beyond what was reviewed; none where that is less than half.
    """
    there = np.flatnonzero(find_unreviewed(reviewed, dataset))
    if 2 * len(there) < len(dataset):
        return np.empty(0, np.int64)
    ordered = there[np.argsort(dataset[there], kind="stable")]
    middles = (np.arange(FEWEST) + 0.5) / FEWEST * len(ordered)
    return np.asarray(ordered[middles.astype(np.int64)], np.int64)
