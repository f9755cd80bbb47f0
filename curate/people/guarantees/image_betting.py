"""Betting test on whole images: upper bounds on the share of bad masks from a sample of images.

Masks of an image may all go wrong together, so an image says at most as much as one mask, and large
ones decide. The test is a bet against "more than ``max_bad`` of the accepted masks are bad"
(Waudby-Smith and Ramdas 2024, here with fixed bets; the bound is in
:mod:`curate.people.guarantees.tail_bounds`):

1. Of an image with a accepted masks, b of them bad, only min(a, cap) and min(b, cap) count; all
   that images hold above the cap is taken as bad.
2. An image gains ``price`` for each mask that counts and loses 1 for each bad one. The price is set
   so that the gains' mean over all images is not positive if more than ``max_bad`` are bad.
3. The cap is the one that would win most if no mask were bad, of up to 12 that spread over the
   sizes of images.

Invariants: cap and price depend on the sizes of the population's images alone, never on what people
decided, so the test stays valid though they are chosen. No image can lose more than (1 - price) x
cap, which bounds the bets. Thresholds go from strict to lenient, so accepted masks only
grow in number.

Time is (masks + thresholds x images) for a grid of thresholds; memory images of the sample x
thresholds.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from curate.common.arrays import AnyArray, BoolArray, FloatArray, IntArray
from curate.people.guarantees.reviewed_sample import Population, ReviewedSample
from curate.people.guarantees.tail_bounds import log_wealth

_MAX_CAPS = 12
_ATOM = 1e-9


@dataclass(frozen=True)
class Gains:
    """Images of a sample as bets against "more than ``max_bad`` are bad".

    Attributes:
        logs: What the bets have won, shape (bets, thresholds).
        clean: What they would have won if all masks were good.
        expected: How many masks, each drawn by itself, would show as much if all were good.
    """

    logs: FloatArray
    clean: FloatArray
    expected: FloatArray


def image_gains(
    sample: ReviewedSample, at: AnyArray, population: Population, grid: tuple[Any, Any, float]
) -> tuple[Gains, int]:
    """Return the images of a sample as bets, and how many were drawn.

    Args:
        sample: A sample of whole images.
        at: The first threshold that accepts each of its masks.
        population: All masks.
        grid: The thresholds, how many masks each accepts, and the bound.
    """
    threshold, accepted, max_bad = grid
    codes, images = population.images()
    entry = np.full(len(codes), len(threshold))
    inside = ~np.isnan(population.quality)
    entry[inside] = np.searchsorted(-threshold, -population.quality[inside])
    drawn, ids = pd.factorize(sample.image_id)
    shape = (len(ids), len(threshold))
    held, wrong = (
        _count_by_image(drawn, at, shape),
        _count_by_image(drawn[sample.bad], at[sample.bad], shape),
    )
    order = np.argsort(entry, kind="stable")
    cuts = np.searchsorted(entry[order], np.arange(len(threshold) + 1))
    holds = np.zeros(images, np.int64)
    cap, price, rate = (np.zeros(len(threshold)) for _ in range(3))
    for k in range(len(threshold)):
        holds += np.bincount(codes[order[cuts[k] : cuts[k + 1]]], minlength=images)
        cap[k], price[k], rate[k] = _choose_cap(np.bincount(holds), int(accepted[k]), max_bad)
    gained, worst = price * np.minimum(held, cap), (1 - price) * cap
    logs = log_wealth(gained - np.minimum(wrong, cap), worst)
    expected = rate * len(ids) / -math.log1p(-max_bad)
    return Gains(logs, log_wealth(gained, worst), expected), len(ids)


def _count_by_image(drawn: AnyArray, at: AnyArray, shape: tuple[int, int]) -> FloatArray:
    """Return the masks of each image accepted at each threshold, shape (images, thresholds)."""
    flat = drawn * (shape[1] + 1) + at
    counts = np.bincount(flat, minlength=shape[0] * (shape[1] + 1))
    return np.cumsum(counts.reshape(shape[0], -1)[:, :-1], axis=1).astype(np.float64)


def _choose_cap(sizes: IntArray, accepted: int, max_bad: float) -> tuple[float, float, float]:
    """Choose the cap that shows most if all masks are good; by the sizes of images alone.

    Returns:
        The cap, what each accepted mask up to it is worth, and the logarithmic growth an image.
    """
    size = np.arange(len(sizes))
    best = (1.0, 0.0, 0.0)
    filled = np.flatnonzero(sizes[1:]) + 1
    for cap in np.unique(filled[np.linspace(0, len(filled) - 1, _MAX_CAPS).astype(np.int64)]):
        kept = np.minimum(size, cap)
        total = float((sizes * kept).sum())
        price = (max_bad * accepted - (accepted - total)) / total
        if price <= 0:
            continue
        grown = sizes * np.log1p(price * kept / max((1 - price) * cap, _ATOM))
        rate = float(grown.sum() / sizes.sum())
        if rate > best[2]:
            best = (float(cap), price, rate)
    return best


@dataclass(frozen=True)
class ImageBets:
    """A sample of images with all masks accepted, for tests of many bounds.

    Attributes:
        sizes: How many images of the population hold 0, 1, 2... masks.
        held: Masks of each image drawn.
        wrong: Those that count as bad.
    """

    sizes: IntArray
    held: FloatArray
    wrong: FloatArray

    @staticmethod
    def of(sample: ReviewedSample, population: Population, bad: BoolArray) -> ImageBets:
        """Count masks by image."""
        codes, _ = population.images()
        drawn, _ = pd.factorize(sample.image_id)
        held = np.bincount(drawn).astype(np.float64)
        return ImageBets(
            np.bincount(np.bincount(codes)), held, np.bincount(drawn, bad).astype(np.float64)
        )

    def logs(self, max_bad: float) -> FloatArray:
        """Return the log wealth of the bets against a larger share of bad masks, shape (bets,
        1)."""
        total = int((np.arange(len(self.sizes)) * self.sizes).sum())
        cap, price, _ = _choose_cap(self.sizes, total, max_bad)
        gain = price * np.minimum(self.held, cap) - np.minimum(self.wrong, cap)
        return log_wealth(gain[:, None], np.array([(1 - price) * cap]))
