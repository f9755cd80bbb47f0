"""How many reviews an order needs, against a random one, and how sure that is."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

sys.path.append(str(Path(__file__).resolve().parents[1] / "_common"))
from ranking import FOUND, Order

from curate.common.arrays import BoolArray, FloatArray

Row = dict[str, Any]
RANDOM = "random order (expected)"


@dataclass
class Runs:
    """What an order needed in every repetition, and in the data sets drawn from each.

    Attributes:
        reviews: By order: a row a repetition, a column a share of :data:`FOUND`.
        drawn: By order: likewise, a row a resampled data set.
        ratios: By order: reviews over those of a random order, in the repetitions themselves.
        drawn_ratios: The same of resampled data sets.
        masks: How many masks there are.
        errors: How many of them are wrong.
    """

    reviews: dict[str, list[list[float]]] = field(default_factory=dict)
    drawn: dict[str, list[list[float]]] = field(default_factory=dict)
    ratios: dict[str, list[list[float]]] = field(default_factory=dict)
    drawn_ratios: dict[str, list[list[float]]] = field(default_factory=dict)
    masks: list[int] = field(default_factory=list)
    errors: list[int] = field(default_factory=list)

    def add(
        self,
        truth: BoolArray,
        orders: Mapping[str, FloatArray],
        images: npt.ArrayLike,
        draws: int,
        seed: int,
    ) -> None:
        """Measure orders in one repetition, and in data sets of as many images drawn from it."""
        self.masks.append(len(truth))
        self.errors.append(int(truth.sum()))
        made = {RANDOM: Order(truth, np.zeros(len(truth)))}
        made |= {name: Order(truth, suspicion) for name, suspicion in orders.items()}
        weights = [None, *resampled(images, draws, seed)]
        for k, weight in enumerate(weights):
            chance = needed(made[RANDOM], weight)
            for name, order in made.items():
                reviews = needed(order, weight)
                ratio = [a / b for a, b in zip(reviews, chance, strict=True)]
                (self.drawn if k else self.reviews).setdefault(name, []).append(reviews)
                (self.drawn_ratios if k else self.ratios).setdefault(name, []).append(ratio)

    def rows(self, about: Mapping[str, str]) -> Iterator[Row]:
        """Yield a row of the results an order: means, and the middle 95% of resampled data sets."""
        for name, reviews in self.reviews.items():
            row: Row = {**about, "order": name, "repetitions": len(reviews)}
            row |= {"masks": np.mean(self.masks), "errors": np.mean(self.errors)}
            for values, drawn, word in (
                (reviews, self.drawn[name], "reviews"),
                (self.ratios[name], self.drawn_ratios[name], "of_random"),
            ):
                low, high = np.nanpercentile(np.array(drawn), [2.5, 97.5], axis=0)
                for k, share in enumerate(FOUND):
                    key = f"{word}_{share:.0%}"
                    row[key] = float(np.mean(values, axis=0)[k])
                    row |= {f"{key}_low": float(low[k]), f"{key}_high": float(high[k])}
            yield row


def needed(order: Order, weights: FloatArray | None) -> list[float]:
    """Return the reviews that find each share of the errors."""
    return [order.reviews(share, weights) for share in FOUND]


def resampled(images: npt.ArrayLike, draws: int, seed: int) -> list[FloatArray]:
    """Return how often each mask stands in data sets of as many images, drawn with replacement."""
    names, of_mask = np.unique(np.asarray(images), return_inverse=True)
    random = np.random.default_rng([seed, 1])
    return [
        np.bincount(random.integers(len(names), size=len(names)), minlength=len(names))[
            of_mask
        ].astype(float)
        for _ in range(draws)
    ]


SIGNALS: dict[str, str] = {
    "approximation": "detail_score",
    "localisation": "outline_score",
    "scale": "edge_offset_score",
    "class": "detector_category_score",
    "duplicate": "uniqueness_score",
}
"""The column that asks what each kind of error is about."""


def label_free(frame: pd.DataFrame) -> dict[str, FloatArray]:
    """Return the orders of the product that need no review, and simple ones; higher is sooner."""
    orders = {
        "smallest first": -frame["area_px"].to_numpy(np.float64),
        "quality_score": -frame["quality_score"].to_numpy(np.float64),
        "priority": frame["priority"].to_numpy(np.float64),
    }
    if "detector_score" in frame:
        orders["detector_score"] = -frame["detector_score"].to_numpy(np.float64)
    return orders


def signals(frame: pd.DataFrame, kinds: Sequence[str]) -> dict[str, FloatArray]:
    """Return the order by the signal of each kind."""
    return {SIGNALS[kind]: -frame[SIGNALS[kind]].to_numpy(np.float64) for kind in kinds}
