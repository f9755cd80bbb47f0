"""Diversity of masks: effective numbers of categories, of sizes and of looks.

An effective number is the number of equally common kinds that would be as diverse: the exponential
of Shannon's entropy, which is the Hill number of order 1 (Hill, 1973, "Diversity and evenness: a
unifying notation and its consequences"; Jost, 2006, "Entropy and diversity"). Of k equally common
kinds it is k, and rare ones add little; doubling all counts changes nothing.

It is that of the masks at hand. Few masks cannot show many kinds, so numbers of rounds compare
fairly only where they hold about as many masks.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd

from curate.common.arrays import FloatArray, IntArray
from curate.dataset.notes import finite_or_none
from curate.errors import CallError
from curate.subsets.selection import scramble_ids, traverse_farthest_first

CLUSTERS = 64
"""Clusters of images at most, by which the diversity of looks is counted."""

_SAMPLE = 20_000
"""Images among which centres of clusters are looked for."""

_CHUNK = 4096


@dataclass(frozen=True)
class Diversity:
    """Effective numbers of kinds among some masks.

    Attributes:
        categories: Of categories; masks without one are a kind of their own.
        sizes: Of octaves of the area: 1 to under 2 px, 2 to under 4 px, and so on.
        clusters: Of clusters of images, by masks; NaN where no mask's image has features.

    All are 1 or more, and NaN where there is no mask.
    """

    categories: float
    sizes: float
    clusters: float

    def as_dict(self) -> dict[str, float | None]:
        """Return plain values, for JSON; None where there is no number."""
        return {name: finite_or_none(value) for name, value in vars(self).items()}


def effective_number(counts: npt.ArrayLike) -> float:
    """Return the effective number of kinds (Hill number of order 1).

    Args:
        counts: How often each kind occurs, or weights; none negative, any unit.

    Returns:
        From 1 to the number of kinds that occur; NaN where nothing does.

    Raises:
        CallError: A count is negative or not finite.

    >>> effective_number([5, 5, 5, 5])
    4.0
    >>> round(effective_number([98, 1, 1]), 2)
    1.12
    """
    values = np.asarray(counts, np.float64).ravel()
    if not np.all(np.isfinite(values) & (values >= 0)):
        raise CallError("a count is negative or not finite", "counts", "give counts from 0 on")
    values = values[values > 0]
    if not len(values):
        return float("nan")
    # By the largest first: a sum of the largest doubles would be infinite.
    share = values / values.max()
    share = share / share.sum()
    number = float(np.exp(-(share * np.log(share)).sum()))
    return min(max(number, 1.0), float(len(values)))


def measure_diversity(masks: pd.DataFrame) -> Diversity:
    """Return how diverse some masks are.

    Args:
        masks: A row a mask; ``area_px`` (pixels; masks without any are left out), ``category``
            (names or codes, NA for none; may be absent), ``cluster`` (see
            :func:`assign_clusters`, -1 for none; may be absent).
    """
    area = masks["area_px"].to_numpy(np.float64)
    some = masks[area >= 1]
    # frexp gives the exact octave; a logarithm rounds 2**k - 1 up where k is large.
    octave = np.frexp(area[area >= 1])[1]
    categories = pd.Series(0, some.index)
    if "category" in masks.columns:
        categories = pd.Series(pd.factorize(some["category"], use_na_sentinel=False)[0])
    clusters = np.full(len(some), -1)
    if "cluster" in masks.columns:
        clusters = some["cluster"].to_numpy(np.int64)
    kinds = (categories.to_numpy(), octave, clusters[clusters >= 0])
    return Diversity(*(effective_number(np.bincount(kind)) for kind in kinds))


def find_clusters(image_id: IntArray, features: FloatArray, *, seed: int = 0) -> FloatArray:
    """Return centres of clusters of images, to be found once for a project and kept.

    Farthest-first (Gonzalez, 1985) among at most 20,000 images by chance, so that kinds count that
    are apart, however few images show them. With other centres, numbers do not compare.

    Args:
        image_id: Shape (n,), each once.
        features: Shape (n, d), see :func:`curate.engine.image_features.describe_images`.
        seed: Of the sample, where there are more images.

    Returns:
        Shape (k, d), k up to :data:`CLUSTERS` and to the square root of n; none (k = 0) where no
        image has features.
    """
    known = np.isfinite(features).all(axis=1)
    rows = np.flatnonzero(known)[np.argsort(scramble_ids(image_id[known], seed), kind="stable")]
    sample = features[rows[:_SAMPLE]]
    count = min(CLUSTERS, int(np.ceil(np.sqrt(len(sample)))))
    return np.asarray(sample[traverse_farthest_first(sample, count)], np.float64)


def assign_clusters(features: FloatArray, centres: FloatArray) -> IntArray:
    """Return the nearest centre of each image, shape (n,); -1 for images without features.

    Args:
        features: Shape (n, d); NaN in rows without.
        centres: Shape (k, d), from :func:`find_clusters`.

    Raises:
        CallError: They differ in width.
    """
    found = np.full(len(features), -1, np.int64)
    rows = np.flatnonzero(np.isfinite(features).all(axis=1))
    if not len(centres) or not len(rows):
        return found
    if features.shape[1] != centres.shape[1]:
        what = f"features have {features.shape[1]} numbers and centres {centres.shape[1]}"
        raise CallError(what, "clusters", "describe images as when the clusters were found")
    half = (centres**2).sum(axis=1) / 2
    for at in range(0, len(rows), _CHUNK):
        part = rows[at : at + _CHUNK]
        found[part] = np.argmax(features[part] @ centres.T - half, axis=1)
    return found
