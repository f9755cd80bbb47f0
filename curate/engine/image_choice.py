"""Choice of the images that people get next: by difference, by the model's doubt, or by chance.

Four rules, each deterministic by its seed and independent of the order in which images are listed:

- **diverse**: images that stand for many others and are unlike each other and unlike those chosen
  before: greedy k-means++ (Arthur and Vassilvitskii, 2007, "k-means++: the advantages of careful
  seeding"; Bhattacharya et al., 2020, "Noisy, greedy and not so greedy k-means++"). Each next one
  is drawn with a chance in proportion to its squared distance from all chosen ones, and of some
  drawn the one is taken that leaves the others nearest. So a crowd of alike images gets its share,
  and a lone outlier rarely a place.
- **farthest**: k-center greedy (Gonzalez, 1985; Sener and Savarese, 2018, "Active learning for
  convolutional neural networks: a core-set approach"): each next image is the one farthest from all
  chosen ones. It covers the whole pool, its outliers first.
- **unsure**: images where the model is unsure and that are not alike: each next one has the
  largest ``doubt * min(1, d / r)``. *Doubt* is the share of the pool whose unsureness is lower
  (ties share their mean), so that only the order of unsureness counts; *d* is the distance to the
  nearest chosen image, *r* the radius at which as many centres cover the pool. A copy of a chosen
  image is thus worth nothing, and what is farther away than *r* loses nothing. Own definition; that
  doubt alone picks alike images, and that a spread mends it, is known (Zhdanov, 2019, arXiv
  1901.05954).
- **random**: every image as likely.

Distances are Euclidean on the principal components of the features, at most 32. An image without
features comes after all others (by doubt in "unsure", else by chance); where no image has any, the
first two rules are "random".

Time is linear in the images of the pool for each image chosen, and so is memory in all: distances
of all pairs are never held.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from curate.common.arrays import FloatArray, IntArray
from curate.common.ranges import check_numbers
from curate.errors import CallError
from curate.subsets.selection import scramble_ids

IMAGE_RULES = ("diverse", "farthest", "unsure", "random")
"""Rules by which images are chosen."""

SIGNALS = ("predicted_iou", "stability_score", "prompt_robustness_score", "quality_score")
"""Columns of proposals that say how sure the model is, low for unsure."""

_COMPONENTS = 32
_CHUNK = 4096
_CENTRES = 512
_SAME = 1e-9
"""Squared distance, in units of the pool's mean one from its middle, under which images are alike;
rounding makes as much of copies."""


@dataclass(frozen=True)
class ImagePool:
    """Images that can be chosen.

    Attributes:
        image_id: Shape (n,), each once.
        features: Shape (n, d), see :func:`curate.engine.image_features.describe_images`; rows with
            a NaN have none. None for none at all.
        unsureness: Shape (n,), higher is less sure, any unit; NaN where it is not known, which
            counts as the middle. None where no model has looked.
        chosen: Features of images chosen before, shape (m, d); None for none.
    """

    image_id: IntArray
    features: FloatArray | None = None
    unsureness: FloatArray | None = None
    chosen: FloatArray | None = None

    def __post_init__(self) -> None:
        n = len(self.image_id)
        if len(np.unique(self.image_id)) < n:
            raise CallError("an image is listed twice", "ImagePool", "give each image once")
        for values in (self.features, self.unsureness):
            if values is not None and len(values) != n:
                what = f"there are {n:,} images and {len(values):,} rows of what is known of them"
                raise CallError(what, "ImagePool", "give a row an image")
        if self.chosen is not None and (
            self.features is None or self.chosen.shape[1:] != self.features.shape[1:]
        ):
            what = "features of the images chosen before are unlike those of the pool"
            raise CallError(what, "ImagePool", "describe both in the same way")


def choose_images(pool: ImagePool, count: int, *, rule: str, seed: int = 0) -> IntArray:
    """Choose images of a pool.

    Args:
        pool: The images.
        count: How many; all of them where there are no more.
        rule: One of :data:`IMAGE_RULES`.
        seed: Of chance, and of ties.

    Returns:
        Their ids, shape (min(count, n),), the first to be shown first.

    Raises:
        CallError: The rule is none of these, "unsure" has no unsureness, or a number is out of its
            range.
    """
    check_numbers(count=count, seed=seed)
    if rule not in IMAGE_RULES:
        raise CallError(f"{rule!r:.40} is no rule", "rule", f"give one of {', '.join(IMAGE_RULES)}")
    if rule == "unsure" and pool.unsureness is None:
        do = "propose masks first, or choose by another rule"
        raise CallError("no model has looked at these images", "rule", do)
    chance = scramble_ids(pool.image_id, seed)
    # From here on rows stand in an order by chance: where values tie, the first one wins.
    order = np.argsort(chance, kind="stable")
    doubt = np.full(len(order), 0.5)
    if rule == "unsure" and pool.unsureness is not None:
        doubt = rank_doubt(pool.unsureness[order])
    points, centres, known = _lay_out(pool, order)
    wanted = min(count, len(order))
    if rule == "random" or not len(known):
        taken = np.empty(0, np.int64)
    elif rule == "unsure":
        taken = _choose_unsure(points, centres, doubt[known], wanted)
    elif rule == "farthest":
        taken = _choose_farthest(points, centres, wanted)[0]
    else:
        taken = _choose_diverse(points, centres, wanted, np.random.default_rng([seed, 6]))
    first = known[taken]
    # Alike to a chosen image, or without features: by doubt, then by chance; these come last.
    rest = np.setdiff1d(np.arange(len(order)), first)
    lacks = np.isin(rest, known, invert=True) if rule != "random" else np.zeros(len(rest), bool)
    rest = rest[np.lexsort([rest, -doubt[rest], lacks])]
    chosen: IntArray = pool.image_id[order[np.concatenate([first, rest])[:wanted]]]
    return chosen


def rank_doubt(unsureness: FloatArray) -> FloatArray:
    """Return the share of the others that are less unsure, in [0, 1]; ties share their mean.

    Args:
        unsureness: Shape (n,); NaN is the middle, 0.5.

    >>> rank_doubt(np.array([0.1, 0.9, np.nan, 0.1])).tolist()
    [0.25, 1.0, 0.5, 0.25]
    """
    ranks = pd.Series(unsureness).rank(method="average")
    most = max(int(ranks.notna().sum()) - 1, 1)
    share = (ranks - 1) / most if ranks.notna().sum() > 1 else ranks * np.nan
    return np.asarray(share.fillna(0.5), np.float64)


def measure_unsureness(proposals: pd.DataFrame, images: IntArray) -> pd.Series[float]:
    """Return how unsure a model is of its proposals in each image.

    A proposal's doubt is the mean over its signals of the share of all proposals that have a higher
    value of that signal, so that signals of any scale weigh the same, and only their order counts;
    an image's unsureness is the mean over its proposals. The mean, rather than the sum, as the sum
    prefers crowded images, which cost people as much more (both are compared by Brust et al., 2019,
    "Active learning for deep object detection"). Own definition.

    Args:
        proposals: A row a proposal: ``image_id`` and any of :data:`SIGNALS`, NaN where a signal is
            not known.
        images: Ids of the images wanted.

    Returns:
        Index ``image_id`` in that order; in [0, 1], NaN for images without proposals, or whose
        proposals have no signal.

    Raises:
        CallError: There is none of these columns.
    """
    names = [name for name in SIGNALS if name in proposals.columns]
    if not names:
        do = f"give one of {', '.join(SIGNALS)}"
        raise CallError("proposals have no signal of how sure the model is", "proposals", do)
    values = proposals[names].astype(np.float64)
    above = (-values).rank(method="average") - 1
    shares = above / np.maximum(values.notna().sum() - 1, 1)
    doubt = shares.mean(axis=1).groupby(proposals["image_id"].to_numpy(np.int64)).mean()
    index = pd.Index(images, name="image_id")
    unsureness: pd.Series[float] = doubt.reindex(index).rename("unsureness")
    return unsureness


def _lay_out(pool: ImagePool, order: IntArray) -> tuple[FloatArray, FloatArray, IntArray]:
    """Return points of the images that have features and of those chosen before, and which.

    Points are principal components in units of their root mean square distance from the middle.
    """
    none = np.empty((0, 1))
    if pool.features is None:
        return none, none, np.empty(0, np.int64)
    features = pool.features[order]
    known = np.flatnonzero(np.isfinite(features).all(axis=1))
    before = none if pool.chosen is None else pool.chosen
    before = before[np.isfinite(before).all(axis=1)]
    if not len(known):
        return none, none, known
    middle = features[known].mean(axis=0)
    points = features[known] - middle
    centres = before - middle if pool.chosen is not None else np.empty((0, points.shape[1]))
    if points.shape[1] > _COMPONENTS:
        axes = np.linalg.eigh(points.T @ points)[1][:, -_COMPONENTS:]
        points, centres = points @ axes, centres @ axes
    spread = float(np.sqrt((points**2).sum(axis=1).mean()))
    scale = 1 / spread if spread > 0 else 1.0
    return points * scale, centres * scale, known


def _distances(points: FloatArray, centre: FloatArray) -> FloatArray:
    """Return squared distances from one point, exactly 0 from itself."""
    apart = points - centre
    return np.asarray(np.einsum("ij,ij->i", apart, apart), np.float64)


def _distances_from_all(points: FloatArray, centres: FloatArray) -> FloatArray:
    """Return squared distances from the nearest of some centres, infinite where there is none."""
    away = np.full(len(points), np.inf)
    half = (points**2).sum(axis=1)
    for at in range(0, len(centres), _CENTRES):
        some = centres[at : at + _CENTRES]
        size = (some**2).sum(axis=1)
        for row in range(0, len(points), _CHUNK):
            part = slice(row, row + _CHUNK)
            found = (size - 2 * (points[part] @ some.T)).min(axis=1) + half[part]
            away[part] = np.minimum(away[part], np.maximum(found, 0))
    return away


def _begin(points: FloatArray, centres: FloatArray) -> tuple[FloatArray, list[int]]:
    """Return squared distances from images chosen before; with none, from the middlemost image.

    That one is then the first to be chosen.
    """
    if len(centres):
        return _distances_from_all(points, centres), []
    first = int(np.argmin(_distances(points, np.median(points, axis=0))))
    return _distances(points, points[first]), [first]


def _choose_farthest(points: FloatArray, centres: FloatArray, count: int) -> tuple[IntArray, float]:
    """Return rows each of which is farthest from all before, and how far the last one leaves all.

    Fewer rows where the others are alike to chosen ones.
    """
    away, taken = _begin(points, centres)
    while len(taken) < count and float(away.max()) > _SAME:
        taken.append(int(np.argmax(away)))
        away = np.minimum(away, _distances(points, points[taken[-1]]))
    return np.array(taken, np.int64), float(np.sqrt(away.max()))


def _choose_diverse(
    points: FloatArray, centres: FloatArray, count: int, random: np.random.Generator
) -> IntArray:
    """Return rows by greedy k-means++; fewer where the others are alike to chosen ones."""
    away, taken = _begin(points, centres)
    trials, squares = 2 + int(np.log(count)), (points**2).sum(axis=1)
    while len(taken) < count and float(away.max()) > _SAME:
        away = np.where(away > _SAME, away, 0.0)
        total = np.cumsum(away)
        drawn = np.searchsorted(total, random.random(trials) * total[-1], side="right")
        # Rounding can lead to a row at the end that is alike to a chosen one.
        drawn = np.unique(np.where(away[drawn.clip(max=len(away) - 1)] > 0, drawn, away.argmax()))
        # All at once, by products: exact enough to compare sums by.
        apart = squares[:, None] + squares[drawn] - 2 * (points @ points[drawn].T)
        left = np.minimum(away[:, None], np.maximum(apart, 0)).sum(axis=0)
        taken.append(int(drawn[np.argmin(left)]))
        away = np.minimum(away, _distances(points, points[taken[-1]]))
    return np.array(taken, np.int64)


def _choose_unsure(
    points: FloatArray, centres: FloatArray, doubt: FloatArray, count: int
) -> IntArray:
    """Return rows by doubt times novelty; fewer where the others are alike to chosen ones."""
    radius = _choose_farthest(points, centres, count)[1]
    away = _distances_from_all(points, centres)
    # Distances of copies are rounding, so the radius is not taken to be smaller than that.
    radius = max(radius, float(np.sqrt(_SAME)))
    taken: list[int] = []
    while len(taken) < count and float(away.max()) > _SAME:
        novelty = np.where(away > _SAME, np.minimum(np.sqrt(away) / radius, 1.0), -1.0)
        # The least unsure image has no doubt at all, and is still better than a copy.
        k = int(np.argmax((doubt + 1 / len(points)) * novelty))
        taken.append(k)
        away = np.minimum(away, _distances(points, points[k]))
    return np.array(taken, np.int64)
