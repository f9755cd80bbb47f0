"""Active learning: doubtful masks that differ, by k-center greedy selection."""

from __future__ import annotations

import numpy as np
import pandas as pd

from curate.common.arrays import FloatArray, IntArray
from curate.people.queues.sampling import allocate_webster, make_ordered_draw

POOL_FACTOR = 5
"""The draw chooses among this many times as many doubtful masks as are wanted."""

GROUP_SIZE = 5_000
"""Masks among which the most different ones are looked for at once."""


def draw_learn(
    masks: pd.DataFrame, n: int, *, seed: int, line: float = 0.5, per_image: int = 5
) -> pd.DataFrame:
    """Draw masks for active learning: doubtful ones that differ.

    Doubtful are the masks whose quality is nearest to the line between good and bad, as many below
    it as above, as far as there are. Among :data:`POOL_FACTOR` times as many as are wanted, each
    next one is the mask that is most unlike those taken already (k-center greedy), by the ranks of
    its signals.

    Args:
        masks: Index ``mask_id``; ``image_id``, ``quality_score``, and signals as further columns.
        n: How many.
        seed: Of ties and of the order.
        line: The quality between good and bad.
        per_image: Most masks of one image. Where that leaves fewer than ``n``, there are fewer.

    Returns:
        A draw, in an order by chance.
    """
    random = np.random.default_rng([seed, 3])
    masks = masks.sort_index().iloc[random.permutation(len(masks))]
    masks = masks.iloc[
        _nearest_to_line(masks["quality_score"].to_numpy(np.float64), line, POOL_FACTOR * n)
    ]
    images = pd.factorize(masks["image_id"])[0].astype(np.int64)
    points = _rank_signals(masks.drop(columns=["image_id", "quality_score"]))
    group = images % max(1, -(-len(masks) // GROUP_SIZE))
    wanted = allocate_webster(np.bincount(group), n) if len(group) else np.empty(0, np.int64)
    taken = np.zeros(len(masks), np.bool_)
    for g, count in enumerate(wanted.tolist()):
        rows = np.flatnonzero(group == g)
        taken[rows[_k_center(points[rows], images[rows], count, per_image)]] = True
    return make_ordered_draw(masks.index.to_numpy()[random.permutation(np.flatnonzero(taken))])


def _nearest_to_line(quality: FloatArray, line: float, count: int) -> IntArray:
    """Return the rows nearest to the line, half of them from each side; the nearest is first."""
    away = np.abs(np.where(np.isnan(quality), line, quality) - line)
    nearest = np.argsort(away, kind="stable")
    below = quality[nearest] < line
    low, high = nearest[below], nearest[~below]
    lows = min(len(low), max(count // 2, count - len(high)))
    kept = np.concatenate([low[:lows], high[: count - lows]])
    return np.asarray(kept[np.argsort(away[kept], kind="stable")], np.int64)


def _rank_signals(signals: pd.DataFrame) -> FloatArray:
    """Return every signal as its rank in (0, 1]; missing values get the middle."""
    ranks = signals.astype(np.float64).rank(pct=True).fillna(0.5)
    return ranks.to_numpy(np.float64)


def _k_center(points: FloatArray, images: IntArray, n: int, per_image: int) -> list[int]:
    """Select the first point, then each time the one farthest from all selected ones."""
    away = np.full(len(points), np.inf)
    left = np.full(int(images.max(initial=-1)) + 1, per_image)
    taken: list[int] = []
    while len(taken) < n:
        k = int(np.argmax(away))
        if away[k] < 0:
            break
        taken.append(k)
        away = np.minimum(away, ((points - points[k]) ** 2).sum(axis=1))
        left[images[k]] -= 1
        away[k] = -1
        if left[images[k]] == 0:
            away[images == images[k]] = -1
    return taken
