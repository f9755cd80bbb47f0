"""Choice among recipes by their IoU on the same images, so that noise does not move it.

The best of many recipes looks better than it is. So the first recipe stays unless another is better
beyond chance: gains are paired by image, the signs of all images' gains are flipped at random, the
same for all recipes, and each recipe's standardised gain is compared with the largest of any recipe
that chance gives (Westfall and Young, 1993, "Resampling-based multiple testing"; valid where a gain
is as likely as an equal loss if recipes do not differ). With 95% confidence no recipe is then
preferred to the first that is no better, however many are tried. Of those that are better, the
first is taken that the one of the highest mean does not beat beyond chance. Four images or fewer
can show nothing.
"""

from __future__ import annotations

import numpy as np

from curate.common.arrays import FloatArray

_FLIPS = 4999
_AT_ONCE = 500


def choose_recipe(sums: FloatArray, *, risk: float, seed: int = 0) -> int:
    """Return which recipe to use: the first, unless others are better beyond chance.

    Args:
        sums: Shape (images, recipes): sums of IoU over each image's masks.
        risk: Chance that one is preferred to the first though none is better.
        seed: Of the flips.
    """
    gains = sums - sums[:, :1]
    better = np.flatnonzero((chance_of_gains(gains, seed=seed) <= risk) & (gains.sum(axis=0) > 0))
    if not len(better):
        return 0
    best = int(better[np.argmax(gains[:, better].sum(axis=0))])
    for k in better.tolist():
        ahead = sums[:, [best]] - sums[:, [k]]
        if k == best or chance_of_gains(ahead, seed=seed)[0] > risk:
            return int(k)
    return best


def chance_of_gains(gains: FloatArray, *, seed: int = 0) -> FloatArray:
    """Return the chance that any recipe has so large a gain if no recipe differs from the first.

    Args:
        gains: Shape (images, recipes): each image's gain over the first, in sum over its masks.
        seed: Of the flips.

    Returns:
        Shape (recipes,), in (0, 1]; 1 for a recipe that never differs.
    """
    size = np.sqrt((gains**2).sum(axis=0))
    unit = np.divide(gains, size, out=np.zeros_like(gains), where=size > 0)
    random = np.random.default_rng([seed, 8])
    at_least = np.ones(gains.shape[1])
    reached = unit.sum(axis=0)
    for start in range(0, _FLIPS, _AT_ONCE):
        many = min(_AT_ONCE, _FLIPS - start)
        signs = random.integers(0, 2, (many, len(gains))) * 2.0 - 1.0
        largest = (signs @ unit).max(axis=1, initial=0.0)
        # Equal up to rounding is equal: few images have few different sums.
        at_least += (largest[:, None] >= reached - 1e-9).sum(axis=0)
    return np.asarray(np.where(size > 0, at_least / (_FLIPS + 1), 1.0), np.float64)
