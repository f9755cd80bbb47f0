"""How well an order puts errors first: average precision, its intervals, reviews needed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from curate.common.arrays import BoolArray, FloatArray

Row = dict[str, Any]
FOUND = (0.5, 0.8, 0.95)
COMBINED = ("quality_score", "priority")


@dataclass(frozen=True)
class Order:
    """Masks sorted by suspicion, those of equal suspicion as one step.

    Args:
        truth: Per mask, whether it is an error.
        suspicion: Per mask, higher is looked at sooner; NaN comes last, as one step.
    """

    truth: BoolArray
    suspicion: FloatArray
    order: npt.NDArray[np.int64] = field(init=False)
    ends: npt.NDArray[np.int64] = field(init=False)

    def __post_init__(self) -> None:
        known = np.where(np.isnan(self.suspicion), -np.inf, self.suspicion)
        order = np.argsort(-known, kind="stable")
        ends = np.flatnonzero(np.r_[known[order][1:] != known[order][:-1], True])
        object.__setattr__(self, "order", order)
        object.__setattr__(self, "ends", ends)

    def found(self, weights: FloatArray | None = None) -> tuple[FloatArray, FloatArray]:
        """Return, after each step, the masks looked at and the errors among them."""
        each = np.ones(len(self.order)) if weights is None else weights[self.order]
        seen = np.cumsum(each)[self.ends]
        return seen, np.cumsum(each * self.truth[self.order])[self.ends]

    def average_precision(self, weights: FloatArray | None = None) -> float:
        """Return the precision at every step, weighted by the recall that the step adds."""
        seen, hits = self.found(weights)
        if hits[-1] == 0:
            return float("nan")
        gained = np.diff(hits, prepend=0.0)
        precision = np.divide(hits, seen, out=np.zeros_like(hits), where=seen > 0)
        return float((gained * precision).sum() / hits[-1])

    def reviews(self, share: float, weights: FloatArray | None = None) -> float:
        """Return how many masks a person looks at until they saw this share of the errors.

        Within a step the order is by chance, so the number is an expectation. NaN without errors.
        """
        seen, hits = self.found(weights)
        if hits[-1] == 0:
            return float("nan")
        wanted = np.ceil(share * hits[-1])
        step = int(np.searchsorted(hits, wanted))
        before, had = (seen[step - 1], hits[step - 1]) if step else (0.0, 0.0)
        size, inside = seen[step] - before, hits[step] - had
        return float(before + (wanted - had) * (size + 1) / (inside + 1))


def by_chance(truth: BoolArray) -> float:
    """Return the expected average precision of a random order without ties."""
    n, bad = len(truth), int(truth.sum())
    harmonic = (1 / np.arange(1, n + 1)).sum()
    pairs = (bad - 1) / (n - 1)
    return float(pairs + (1 - pairs) * harmonic / n)


def resampled(order: Order, images: npt.ArrayLike, draws: int, seed: int = 0) -> FloatArray:
    """Return the average precision in datasets of as many images, drawn with replacement.

    Equal images, draws and seed give the same datasets, so two orders can be compared in pairs.
    """
    names, of_mask = np.unique(np.asarray(images), return_inverse=True)
    random = np.random.default_rng(seed)
    result = np.empty(draws)
    for k in range(draws):
        drawn = np.bincount(random.integers(len(names), size=len(names)), minlength=len(names))
        result[k] = order.average_precision(drawn[of_mask].astype(float))
    return result


def interval(values: FloatArray) -> tuple[float, float]:
    """Return the middle 95% of resampled values; datasets without any error say nothing."""
    low, high = np.nanpercentile(values, [2.5, 97.5])
    return float(low), float(high)


def describe(
    truth: BoolArray, suspicion: FloatArray, images: npt.ArrayLike, draws: int
) -> tuple[dict[str, float], FloatArray]:
    """Return one order's numbers for the table, and its resampled average precision."""
    order = Order(truth, suspicion)
    values = resampled(order, images, draws)
    low, high = interval(values)
    numbers = {
        "masks": len(truth),
        "errors": int(truth.sum()),
        "average_precision": order.average_precision(),
        "low": low,
        "high": high,
    }
    return numbers | {f"reviews_{share:.0%}": order.reviews(share) for share in FOUND}, values


def random_order(truth: BoolArray) -> dict[str, float]:
    """Return what :func:`describe` would say of a random order, on average."""
    flat = Order(truth, np.zeros(len(truth)))
    numbers = {"masks": len(truth), "errors": int(truth.sum())}
    numbers |= {"average_precision": by_chance(truth), "low": np.nan, "high": np.nan}
    return numbers | {f"reviews_{share:.0%}": flat.reviews(share) for share in FOUND}


def suspicions(masks: pd.DataFrame) -> Iterator[tuple[str, FloatArray]]:
    """Yield every order in which masks could be looked at; higher is sooner."""
    for column in masks.columns:
        if column.endswith("_score") and masks[column].notna().any():
            yield column, -masks[column].to_numpy(np.float64)
    yield "priority", masks["priority"].to_numpy(np.float64)
    yield "hole area, largest first", masks["hole_area_px"].to_numpy(np.float64)
    yield "area, smallest first", -masks["area_px"].to_numpy(np.float64)


def rank(masks: pd.DataFrame, truth: BoolArray, about: Mapping[str, str], draws: int) -> list[Row]:
    """Measure every order against one truth; also quality minus the best single."""
    if not truth.any():
        return []
    rows, drawn = [], {}
    for name, suspicion in suspicions(masks):
        numbers, drawn[name] = describe(truth, suspicion, masks["image_id"], draws)
        rows.append({**about, "order": name, **numbers})
    rows.append({**about, "order": "random (expected)", **random_order(truth)})
    points = {row["order"]: row["average_precision"] for row in rows}
    single = max((n for n in drawn if n not in COMBINED), key=points.__getitem__)
    low, high = interval(drawn["quality_score"] - drawn[single])
    gain = points["quality_score"] - points[single]
    about = {**about, "order": f"quality_score minus {single}"}
    rows.append({**about, "average_precision": gain, "low": low, "high": high})
    return rows
