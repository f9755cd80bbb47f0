"""Order in which masks enter a training subset: good ones first, and among these different ones.

One order serves every size: a subset of N masks is its first N, so that a smaller subset is always
contained in a larger one. The order depends on the masks, not on the rows they come in, and chance
(the seed) only breaks ties.

**Gain.** A mask enters the earlier, the larger ``quality + 0.25 * novelty``.

- *Quality* is P(good) where a model was learned from people's decisions, and 1 for a mask that a
  person accepted. The label-free ``quality_score`` is no probability, so there it is the share of
  masks that are worse (ties share their mean rank).
- *Novelty* is ``1 / sqrt(j)`` for the j-th best mask of its cell. A cell is a category, a size (an
  octave of the square root of the area) and a look (below).

So within a cell better masks enter first, and a mask of a new kind is never preferred to one whose
quality is more than 0.25 higher. That bound is the threshold: errors are outliers, and a choice by
difference alone collects them.

The first N of this order maximise, exactly, the sum of quality plus a concave function of how many
masks each cell has: the marginal gains in a cell fall, so the greedy algorithm is one sort. It is
the diversity reward of Lin and Bilmes (2011, "A class of submodular functions for document
summarization"), with quality as the modular part. To leave out the worst first, and only then to
spread, is what Zheng et al. (2023, "Coverage-centric coreset selection for high pruning rates")
found to work at high rates. Plain k-center (Sener and Savarese, 2018, "Active learning for
convolutional neural networks: a core-set approach") has no such guard.

**Looks.** In each category, by farthest-first traversal (Gonzalez, 1985, "Clustering to minimize
the maximum intercluster distance"): up to ``sqrt(n)`` and at most 256 centres, drawn from the
better half only, so that no error founds a cell; every mask belongs to the nearest centre.
The distance is Euclidean over area, aspect, filling of the box and share of the image, each in
units of its spread in the category, and over the pictures' features (see
:mod:`curate.subsets.picture_features`), which together weigh as much as these.

**Floors.** The first masks of every category, by its own gains, come before all others: the first
of each, then the second of each, and so on. A subset that has room for all floors holds them.

That 0.25, the octaves and the number of centres are own choices.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from curate.common.arrays import BoolArray, FloatArray, IntArray, UInt64Array

NOVELTY = 0.25
"""Largest difference in quality that a new kind of mask makes up for."""

MAX_CENTRES = 256
_SAMPLE = 20_000
"""Masks of a category among which centres are looked for."""

_CHUNK = 50_000
_VARIANCE = 0.6
"""Variance of a bell curve whose inner 80% reach from -1 to 1."""


def order_masks(
    masks: pd.DataFrame, pictures: FloatArray | None = None, *, floor: int = 0, seed: int = 0
) -> pd.DataFrame:
    """Return the masks that can be in a subset, in the order in which they enter it.

    Args:
        masks: Index ``mask_id``; ``category`` (codes from 0), ``quality`` in [0, 1], ``eligible``,
            ``area_px``, ``bbox_w``, ``bbox_h``, ``height``, ``width``.
        pictures: Features of each mask's picture, shape (n, d), in the same order; NaN where there
            is none. None for none at all.
        floor: Masks of each category that come before all others.
        seed: Of the choice among equals.

    Returns:
        Index ``mask_id``, the first to enter first; ``gain`` in [0, 1.25], ``cell``, ``quality``.
    """
    eligible = masks["eligible"].to_numpy(np.bool_)
    order = np.argsort(masks.index.to_numpy(), kind="stable")
    order = order[eligible[order]]
    some = masks.iloc[order]
    chance = scramble_ids(some.index.to_numpy(np.int64), seed)
    quality = some["quality"].to_numpy(np.float64)
    category = some["category"].to_numpy(np.int64)
    cell = find_cells(some, None if pictures is None else pictures[order], chance)
    gain = quality + NOVELTY / np.sqrt(_rank_within(cell, quality, chance))
    rank = _rank_within(category, gain, chance)
    late = np.where(rank <= floor, rank, floor + 1)
    first = np.lexsort([chance, -gain, late])
    columns = {"gain": gain, "cell": cell, "quality": quality}
    return pd.DataFrame(columns, some.index).iloc[first]


def find_cells(masks: pd.DataFrame, pictures: FloatArray | None, chance: UInt64Array) -> IntArray:
    """Return the cell of each mask: its category, its size in octaves and its look, as a number.

    Args:
        masks: As for :func:`order_masks`, sorted by id.
        pictures: Features of each mask's picture.
        chance: A random number a mask; those with the lowest ones are the sample for centres.
    """
    category = masks["category"].to_numpy(np.int64)
    area = np.maximum(masks["area_px"].to_numpy(np.float64), 1)
    octave = np.floor(np.log2(area) / 2).astype(np.int64)
    points = _describe_shapes(masks)
    quality = masks["quality"].to_numpy(np.float64)
    look = np.zeros(len(masks), np.int64)
    by_category = np.argsort(category, kind="stable")
    ends = np.flatnonzero(np.diff(category[by_category], append=-1))
    start = 0
    for end in (ends + 1).tolist():
        rows = by_category[start:end]
        start = end
        count = min(MAX_CENTRES, int(np.sqrt(len(rows))))
        if count > 1:
            mine = None if pictures is None else pictures[rows]
            scaled = _join_features(points[rows], mine)
            look[rows] = _find_looks(scaled, quality[rows], chance[rows], count)
    keys = (category * 64 + octave) * MAX_CENTRES + look
    return np.asarray(np.unique(keys, return_inverse=True)[1], np.int64)


def _describe_shapes(masks: pd.DataFrame) -> FloatArray:
    """Return size, aspect, filling and share of each mask, as logarithms, shape (n, 4)."""
    area, w, h, height, width = (
        np.maximum(masks[name].to_numpy(np.float64), 1)
        for name in ("area_px", "bbox_w", "bbox_h", "height", "width")
    )
    columns = [np.log2(area) / 2, np.log2(w / h), area / (w * h), np.log2(area / (height * width))]
    return np.stack(columns, axis=1)


def _join_features(points: FloatArray, pictures: FloatArray | None) -> FloatArray:
    """Scale shapes by their spread, and give the pictures' features the same weight in all."""
    scaled = points - np.median(points, axis=0)
    low, high = np.quantile(scaled, [0.1, 0.9], axis=0)
    scaled = np.asarray(np.clip(scaled / np.maximum((high - low) / 2, 1e-6), -4, 4), np.float64)
    if pictures is None:
        return scaled
    known = np.asarray(np.isfinite(pictures).all(axis=1), np.bool_)
    if not known.any():
        return scaled
    seen = np.where(known[:, None], pictures, 0.0)
    seen = np.where(known[:, None], seen - seen[known].mean(axis=0), 0.0)
    spread = float(np.sqrt((seen[known] ** 2).sum(axis=1).mean()))
    weight = np.sqrt(scaled.shape[1] * _VARIANCE) / spread if spread > 1e-9 else 0.0
    return np.concatenate([scaled, seen * weight], axis=1)


def _find_looks(
    points: FloatArray, quality: FloatArray, chance: UInt64Array, count: int
) -> IntArray:
    """Return the nearest of some centres for each mask of a category."""
    better = np.flatnonzero(quality >= np.median(quality))
    sample = better[np.argsort(chance[better], kind="stable")[:_SAMPLE]]
    centres = points[sample[traverse_farthest_first(points[sample], count)]]
    nearest = np.empty(len(points), np.int64)
    half = (centres**2).sum(axis=1) / 2
    for at in range(0, len(points), _CHUNK):
        part = points[at : at + _CHUNK]
        nearest[at : at + _CHUNK] = np.argmax(part @ centres.T - half, axis=1)
    return nearest


def traverse_farthest_first(points: FloatArray, count: int) -> IntArray:
    """Return rows such that each is the one farthest from all before it; the middlemost is first.

    Fewer than ``count`` where fewer points differ. Of equals the first row is taken.
    """
    if not len(points) or count < 1:
        return np.empty(0, np.int64)
    away = ((points - np.median(points, axis=0)) ** 2).sum(axis=1)
    taken = [int(np.argmin(away))]
    away = ((points - points[taken[0]]) ** 2).sum(axis=1)
    while len(taken) < count:
        farthest = int(np.argmax(away))
        if away[farthest] <= 0:
            break
        taken.append(farthest)
        away = np.minimum(away, ((points - points[farthest]) ** 2).sum(axis=1))
    return np.array(taken, np.int64)


def _rank_within(group: IntArray, value: FloatArray, chance: UInt64Array) -> FloatArray:
    """Return the place of each row in its group, from 1 for the highest value."""
    order = np.lexsort([chance, -value, group])
    begins = np.ones(len(order), np.bool_)
    begins[1:] = np.diff(group[order]) != 0
    starts = np.flatnonzero(begins)
    places = np.arange(len(order)) - np.repeat(starts, np.diff(starts, append=len(order)))
    rank = np.empty(len(order), np.float64)
    rank[order] = places + 1
    return rank


def rank_quality(quality: FloatArray, counted: BoolArray) -> FloatArray:
    """Return the share of counted masks that are worse than each, ties at their mean; NaN is 0."""
    known = counted & np.isfinite(quality)
    ordered = np.sort(quality[known])
    shares = np.zeros(len(quality))
    if len(ordered):
        below = np.searchsorted(ordered, quality[known], side="left")
        upto = np.searchsorted(ordered, quality[known], side="right")
        shares[known] = (below + upto) / (2 * len(ordered))
    return shares


def scramble_ids(ids: IntArray, seed: int) -> UInt64Array:
    """Return a random number for each id (splitmix64): the same whatever stands beside it."""
    with np.errstate(over="ignore"):
        z = ids.astype(np.uint64) + np.uint64(seed) * np.uint64(0x9E3779B97F4A7C15)
        z += np.uint64(0x9E3779B97F4A7C15)
        z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return z ^ (z >> np.uint64(31))
