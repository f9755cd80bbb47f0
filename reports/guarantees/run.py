"""Do the bounds of `certify` and the intervals of `estimate` hold, and how much do they accept?

    python reports/guarantees/run.py [--runs 1000] [--workers 2]

Writes results.csv and the tables of README.md; takes some minutes.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from audits import (
    MASKS,
    STRENGTHS,
    World,
    as_world,
    draw_images,
    draw_masks,
    reviewed,
    shortcut,
    world,
)
from rivals import clairvoyant, thresholds
from tables import fill

from curate.errors import CallError
from curate.people.guarantees.acceptance_tests import ThresholdTests, count_by_threshold
from curate.people.guarantees.certify import allocate_levels, certify
from curate.people.guarantees.estimate import ReviewedImages, estimate_missing
from curate.people.guarantees.intervals import share_interval
from curate.people.guarantees.reviewed_sample import Population, RecordedDraw, ReviewedSample

HERE = Path(__file__).resolve().parent
MAX_BAD, RISK = 0.05, 0.05
DENSER = (1, 2, 3, 2, 1)
FEW_IMAGES = "images, 1,000 masks"
"""So few cannot certify anything, whatever is found: estimates only."""
SEED = 2026
Row = dict[str, Any]
Draws = Callable[[np.random.Generator, World], list[RecordedDraw]]


def two(random: np.random.Generator, found: World, first: int, second: int) -> list[RecordedDraw]:
    """Draw masks, and later more of what is left."""
    one = draw_masks(random, found, first)
    return [one, draw_masks(random, found, second, earlier=one.rows["mask_id"].to_numpy())]


DESIGNS: dict[str, Draws] = {
    "1,000 masks": lambda random, found: [draw_masks(random, found, 1000)],
    "300 masks": lambda random, found: [draw_masks(random, found, 300)],
    "300 masks, then 700": lambda random, found: two(random, found, 300, 700),
    "1,000 masks, unequal": lambda random, found: [draw_masks(random, found, 1000, rates=DENSER)],
    FEW_IMAGES: lambda random, found: [draw_images(random, found, 1000)],
    "images, 6,000 masks": lambda random, found: [draw_images(random, found, 6000)],
}


def usual(seed: int) -> list[Row]:
    """Audit once with errors of a common kind; every way to draw."""
    random = np.random.default_rng([SEED, seed])
    errors, strength = random.uniform(0.02, 0.30), str(random.choice(list(STRENGTHS)))
    found = world(random, errors, strength, together=random.uniform(0.5, 2))
    about = {"audit": "usual", "seed": seed, "share": errors, "strength": strength}
    about["oracle"] = found.oracle(MAX_BAD)
    return every_design(random, found, about) + missed(random, about)


def every_design(
    random: np.random.Generator, found: World, about: Row, leave: tuple[str, ...] = ()
) -> list[Row]:
    """Draw in every way, certify and estimate."""
    rows = []
    for name, draw in DESIGNS.items():
        if name in leave:
            continue
        sample = shortcut(found, draw(random, found))
        if name != FEW_IMAGES:
            told = {**about, "design": name}
            rows += certified(sample, found, told, rivals=name == "1,000 masks")
        rows += estimated(sample, found, {**about, "design": name})
    return rows


def certified(
    sample: ReviewedSample, found: World, about: Row, *, rivals: bool = False
) -> list[Row]:
    """Certify, and see what is truly accepted."""
    curve = count_by_threshold(sample, found.population, MAX_BAD)
    chosen = {"curate": threshold(curve)}
    if rivals:
        chosen |= thresholds(curve, RISK)
        truth = np.array([found.accepted(at)[1] for at in curve.threshold])
        chosen["knows where to start"] = clairvoyant(curve, truth, RISK)
    rows = []
    for method, at in chosen.items():
        accepted, bad = found.accepted(at)
        values = {"what": "certify", "method": method, "accepted": accepted}
        rows.append({**about, **values, "wrong": bad > MAX_BAD})
    return rows


def threshold(curve: ThresholdTests, looks: int = 1) -> float | None:
    """Return the certified threshold, as `certify` does, without its plans for more reviews."""
    p_value, level = allocate_levels(curve, RISK / looks)
    passed = np.flatnonzero((p_value <= level) & (level > 0))
    return float(curve.threshold[passed[-1]]) if len(passed) else None


def checked(seed: int) -> None:
    """See that the shortcuts of this study do what the product does."""
    random = np.random.default_rng([SEED, seed, 1])
    found = world(random, 0.1, "middling")
    for draw in DESIGNS.values():
        draws = draw(random, found)
        quick, full = shortcut(found, draws), reviewed(found, draws)
        curve = count_by_threshold(quick, found.population, MAX_BAD)
        try:
            given = certify(full, found.population, max_bad=MAX_BAD, confidence=1 - RISK)
        except CallError:
            assert threshold(curve) is None
            continue
        assert given.threshold == threshold(curve)


def estimated(sample: ReviewedSample, found: World, about: Row) -> list[Row]:
    """See whether the interval of the share of good masks holds it."""
    got = share_interval(sample, found.population, ~sample.bad, 1 - RISK)
    holds = got.low <= 1 - found.bad.mean() <= got.high
    values = {"what": "estimate", "method": got.method, "wrong": not holds}
    values |= {"width": got.high - got.low, "width_reviews": got.width_reviews}
    return [{**about, **values}]


def missed(random: np.random.Generator, about: Row) -> list[Row]:
    """See whether the intervals of missing masks an image hold the truth; counts are clustered."""
    mean, images = float(random.uniform(0.05, 2)), 2000
    counts = random.poisson(mean * random.gamma(0.7, 1 / 0.7, images))
    chosen = counts[random.choice(images, 100, replace=False)]
    rows = []
    for got in estimate_missing(ReviewedImages(chosen, images), confidence=1 - RISK):
        truth = counts.mean() if got.name == "missing_per_image" else (counts > 0).mean()
        values = {"what": "estimate", "design": f"100 images, {got.name}", "method": got.method}
        values |= {"wrong": not got.low <= truth <= got.high, "width": got.high - got.low}
        rows.append({**about, **values})
    return rows


# --- audits made to break the bound ---------------------------------------------------------------


def hardest(random: np.random.Generator, kind: str) -> World:
    """Make an audit in which accepting anything large is just wrong.

    Args:
        random: Source of chance.
        kind: "useless score": 5.05% bad everywhere. "best are worst": the same, but a tenth of the
            bad ones have the best scores. "whole images bad": 5.05% of the masks, in images that
            are bad as a whole, the largest among them.
    """
    base = world(random, 0.02, "weak", together=0)
    quality, bad = random.permutation(base.quality), np.zeros(MASKS, bool)
    count = int(1.01 * MAX_BAD * MASKS)
    if kind == "whole images bad":
        sizes = np.bincount(base.image)
        order = np.argsort(-(sizes + random.normal(scale=20, size=len(sizes))))
        held = np.cumsum(sizes[order])
        bad = np.isin(base.image, order[: np.searchsorted(held, count) + 1])
    else:
        bad[random.choice(MASKS, count, replace=False)] = True
    if kind == "best are worst":
        best = random.choice(np.flatnonzero(bad), count // 10, replace=False)
        quality[best] = random.uniform(0.999, 1, len(best))
    return as_world(float(bad.mean()), kind, base.image, bad, quality)


def hard(seed: int, kind: str) -> list[Row]:
    """Audit once where nothing much may be accepted."""
    random = np.random.default_rng([SEED, seed, len(kind)])
    found = hardest(random, kind)
    about = {"audit": kind, "seed": seed, "share": found.share, "oracle": found.oracle(MAX_BAD)}
    rows = every_design(random, found, about, leave=("300 masks", FEW_IMAGES))
    return rows + (peeking(random, found, about) if kind == "useless score" else [])


def peeking(random: np.random.Generator, found: World, about: Row) -> list[Row]:
    """Review 250 masks at a time, and stop as soon as anything is certified."""
    curves, draws, taken = [], [], np.empty(0, np.int64)
    for _ in range(4):
        draws.append(draw_masks(random, found, 250, earlier=taken if len(taken) else None))
        taken = np.concatenate([draw.rows["mask_id"] for draw in draws])
        curves.append(count_by_threshold(shortcut(found, draws), found.population, MAX_BAD))
    rows = []
    for looks in (1, 4):
        chosen = [at for curve in curves if (at := threshold(curve, looks)) is not None]
        accepted, bad = found.accepted(chosen[0] if chosen else None)
        told = {"what": "certify", "design": "4 looks at 250 masks each", "wrong": bad > MAX_BAD}
        rows.append({**about, **told, "method": f"curate, looks={looks}", "accepted": accepted})
    return rows


# --- all of it ------------------------------------------------------------------------------------


def summary(rows: pd.DataFrame) -> pd.DataFrame:
    """Put runs together by audit, way to draw and method; by error share and score as well."""
    bins = pd.cut(
        rows["share"], [0, 0.05, 0.1, 0.2, 0.31], labels=["2-5%", "5-10%", "10-20%", "20-30%"]
    )
    usual = rows["audit"] == "usual"
    rows = rows.assign(errors=bins.astype(object).where(usual, "5.05%"))
    kept = []
    for by in ([], ["errors"], ["strength"], ["errors", "strength"]):
        part = rows if not by else rows[usual]
        groups = part.groupby(["audit", "what", "design", "method", *by], sort=False)
        told = groups.apply(_row, include_groups=False).reset_index()
        kept.append(told)
    pooled = rows[rows["what"] == "estimate"].groupby(["audit", "what", "design"], sort=False)
    kept.append(pooled.apply(_row, include_groups=False).reset_index().assign(method="any"))
    return pd.concat(kept, ignore_index=True)


def _row(part: pd.DataFrame) -> pd.Series:
    """Count runs, wrong ones, and how much was accepted of what could be."""
    can = part[part["oracle"] >= 0.05] if "accepted" in part else part
    ratio = can["accepted"] / can["oracle"]
    told = {"runs": len(part), "wrong": int(part["wrong"].sum())}
    told |= {"wrong_share": part["wrong"].mean(), "accepted": part["accepted"].mean()}
    told |= {"can_accept": len(can), "ratio_mean": ratio.mean(), "ratio_median": ratio.median()}
    told["ratio_total"] = can["accepted"].sum() / max(can["oracle"].sum(), 1e-9)
    told |= {"width": part["width"].mean(), "width_reviews": part["width_reviews"].mean()}
    return pd.Series(told)


def speed() -> Row:
    """Certify a million masks with 10,000 reviews."""
    random, masks, n = np.random.default_rng(SEED), 1_000_000, 10_000
    quality = random.random(masks)
    ids = random.choice(masks, n, replace=False)
    bad = random.random(n) < 0.2 * (1 - quality[ids])
    everyone, one = np.ones(n, bool), np.zeros(n, np.int64)
    fraction = n / masks
    sample = ReviewedSample(
        "mask", masks, ids, ids // 10, quality[ids], bad, everyone, np.where(bad, 0.0, 1.0),
        np.full(n, fraction), one, np.array([masks]), fraction, True,
    )  # fmt: skip
    start = time.process_time()
    certify(sample, Population(quality), max_bad=MAX_BAD, confidence=1 - RISK)
    return {"what": "speed", "design": "1,000,000 masks", "seconds": time.process_time() - start}


def main() -> None:
    """Run everything and write the results."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=1000, help="audits of each kind")
    parser.add_argument("--workers", type=int, default=2, help="processes")
    given = parser.parse_args()
    kinds = ("useless score", "best are worst", "whole images bad")
    checked(0)
    jobs = [usual, *(partial(hard, kind=kind) for kind in kinds)]
    with ProcessPoolExecutor(given.workers) as pool:
        found = [rows for job in jobs for rows in pool.map(job, range(given.runs), chunksize=25)]
    rows = pd.DataFrame([row for part in found for row in part])
    results = pd.concat([summary(rows), pd.DataFrame([speed()])], ignore_index=True).round(4)
    results.to_csv(HERE / "results.csv", index=False)
    fill(HERE / "README.md", results)


if __name__ == "__main__":
    main()
