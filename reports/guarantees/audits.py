"""Audits with a known truth: masks in images that go wrong together, a score, random samples."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from curate.people.guarantees.draw_checks import EQUAL_RATIO
from curate.people.guarantees.reviewed_sample import (
    Population,
    RecordedDraw,
    ReviewedSample,
    gather_sample,
)

MASKS = 20_000
PER_IMAGE = 10
STRENGTHS = {"weak": 1.0, "middling": 2.0, "strong": 3.0}
"""Distance between good and bad masks' scores, in deviations: AUC 0.76, 0.92, 0.98."""


@dataclass(frozen=True)
class World:
    """A simulated audit: every array has a place for each mask."""

    share: float
    strength: str
    image: np.ndarray
    bad: np.ndarray
    quality: np.ndarray

    @property
    def population(self) -> Population:
        return Population(self.quality, self.image)

    def accepted(self, threshold: float | None) -> tuple[float, float]:
        """Return which share of the masks a threshold accepts, and which share of these is bad."""
        if threshold is None or not np.isfinite(threshold):
            return 0.0, 0.0
        inside = self.quality >= threshold
        return float(inside.mean()), float(self.bad[inside].mean()) if inside.any() else 0.0

    def oracle(self, max_bad: float) -> float:
        """Return the largest share of masks that a threshold can accept within the bound."""
        order = np.argsort(-self.quality)
        share = np.cumsum(self.bad[order]) / np.arange(1, len(order) + 1)
        within = np.flatnonzero(share <= max_bad)
        return float((within[-1] + 1) / len(order)) if len(within) else 0.0


def world(
    random: np.random.Generator, share: float, strength: str, *, together: float = 1.0
) -> World:
    """Make an audit.

    Args:
        random: Source of chance.
        share: Share of bad masks, met exactly.
        strength: A key of :data:`STRENGTHS`.
        together: Deviation of the images' random effect on the log-odds of being bad; at 1 it makes
            for an intraclass correlation of 0.23. A fifth of the score's variance is the image's.
    """
    sizes = random.geometric(1 / PER_IMAGE, size=MASKS)
    sizes = sizes[: np.searchsorted(np.cumsum(sizes), MASKS)]
    sizes = np.append(sizes, MASKS - sizes.sum())
    image = np.repeat(np.arange(len(sizes)), sizes)
    hardness = together * random.normal(size=len(sizes))[image] + random.logistic(size=MASKS)
    bad = np.zeros(MASKS, bool)
    bad[np.argsort(-hardness)[: round(share * MASKS)]] = True
    distance = STRENGTHS[strength]
    noise = np.sqrt(0.8) * random.normal(size=MASKS)
    noise += np.sqrt(0.2) * random.normal(size=len(sizes))[image]
    log_odds = np.log((1 - share) / share) + distance * (noise - distance * bad) + distance**2 / 2
    return as_world(share, strength, image, bad, 1 / (1 + np.exp(-log_odds)))


def as_world(
    share: float, strength: str, image: np.ndarray, bad: np.ndarray, quality: np.ndarray
) -> World:
    """Put arrays together as an audit."""
    return World(share, strength, image, bad, quality)


# --- drawing -------------------------------------------------------------------------------------


def reviewed(found: World, draws: list[RecordedDraw]) -> ReviewedSample:
    """Let people decide on some draws, without a mistake."""
    ids = np.unique(np.concatenate([draw.rows["mask_id"].to_numpy() for draw in draws]))
    bad = found.bad[ids]
    labels = pd.DataFrame({"good": ~bad, "iou": np.nan, "queue_kind": "estimate"}, index=ids)
    labels["action"] = np.where(bad, "reject", "accept")
    masks = pd.DataFrame({"image_id": found.image, "quality_score": found.quality})
    masks.index.name = "mask_id"
    return gather_sample(draws, labels, masks, MASKS)


def shortcut(found: World, draws: list[RecordedDraw]) -> ReviewedSample:
    """Do what :func:`reviewed` does for draws that are known to be random, and quickly."""
    frames = [draw.rows for draw in draws]
    ids = np.concatenate([rows["mask_id"].to_numpy() for rows in frames])
    bad, n, single = found.bad[ids], len(ids), len(draws) == 1
    chance = [rows["inclusion_probability"].to_numpy() for rows in frames]
    least = 1 - np.prod([1 - c.min() for c in chance])
    if single:
        probability, stratum = chance[0], frames[0]["stratum"].to_numpy()
        held = np.array([s["masks"] for s in draws[0].settings.get("strata", [])] or [MASKS])
    else:
        probability = np.full(n, 1 - np.prod([1 - len(c) / (1 / c).sum() for c in chance]))
        stratum, held = np.zeros(n, np.int64), np.array([MASKS])
    exact = single and bool(chance[0].max() <= EQUAL_RATIO * chance[0].min())
    return ReviewedSample(
        draws[0].unit, MASKS, ids, found.image[ids], found.quality[ids], bad, np.ones(n, bool),
        np.where(bad, 0.0, 1.0), probability, stratum, held, float(least), exact,
    )  # fmt: skip


def draw_masks(
    random: np.random.Generator,
    found: World,
    n: int,
    *,
    rates: tuple[float, ...] = (1, 1, 1, 1, 1),
    earlier: np.ndarray | None = None,
) -> RecordedDraw:
    """Draw masks in strata of equal size by quality.

    Args:
        random: Source of chance.
        found: The audit.
        n: How many.
        rates: How densely to draw each stratum, the lowest quality first.
        earlier: Masks drawn before, which are left out.
    """
    left = np.ones(MASKS, bool)
    left[[] if earlier is None else earlier] = False
    ids = np.flatnonzero(left)
    held = np.array_split(ids[np.argsort(found.quality[ids])], len(rates))
    ends = np.r_[0, np.cumsum(np.asarray(rates, float) / sum(rates) * n).round()]
    drawn = [
        random.choice(masks, int(count), replace=False)
        for masks, count in zip(held, np.diff(ends), strict=True)
    ]
    sizes, counts = (np.array([len(part) for part in parts]) for parts in (held, drawn))
    strata = [
        {"stratum": k, "masks": int(size), "drawn": int(count)}
        for k, (size, count) in enumerate(zip(sizes, counts, strict=True))
    ]
    rows = {
        "mask_id": np.concatenate(drawn),
        "inclusion_probability": np.repeat(counts / sizes, counts),
        "stratum": np.repeat(np.arange(len(rates)), counts),
        "place": random.permutation(counts.sum()) + 1,
    }
    before = 0 if earlier is None else len(earlier)
    settings = {"unit": "mask", "population": MASKS, "before": before, "strata": strata}
    return RecordedDraw(1, "estimate", settings, pd.DataFrame(rows))


def draw_images(random: np.random.Generator, found: World, n: int) -> RecordedDraw:
    """Draw as many whole images as hold about ``n`` masks."""
    images = int(found.image[-1]) + 1
    count = round(n * images / MASKS)
    chosen = random.choice(images, count, replace=False)
    masks = np.flatnonzero(np.isin(found.image, chosen))
    drawn = pd.DataFrame({"mask_id": masks, "inclusion_probability": count / images, "stratum": 0})
    drawn["place"] = np.argsort(np.argsort(found.image[masks], kind="stable")) + 1
    settings = {"unit": "image", "population": MASKS, "before": 0}
    settings["images"] = {"population": images, "drawn": count}
    return RecordedDraw(1, "estimate", settings, drawn)
