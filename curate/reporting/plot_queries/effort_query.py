"""Share of all errors among the first masks of the queue: measured, else expected.

**Measured.** A reviewed random sample holds k bad masks; each is a random one of all bad masks
(with its weight), so the share of them that ranks among the first N estimates the share of all
errors found by looking at N. Its interval is Clopper's and Pearson's, with k lowered to what
unequal weights and bad masks of the same images leave of it, as Korn and Graubard (1998) do for
samples of clusters: share (1 - share) / variance over images, corrected for few images.

**Expected.** Without a sample, each mask is bad with the probability that its priority holds, by
the learned model or by the policy. The interval is that of independent errors: it says how far
chance alone moves the share, and nothing of whether the probabilities are right.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from scipy.special import betaincinv, ndtri, stdtrit

from curate.common.arrays import FloatArray
from curate.common.json_values import is_finite_number
from curate.errors import CurateError
from curate.people.guarantees.reviewed_sample import gather_sample
from curate.people.reviews import has_reviews, open_reviews
from curate.people.reviews.recorded_draws import read_recorded_draws
from curate.people.reviews.review_settings import DecisionSettings
from curate.plots.plot_values import Effort
from curate.reporting.queries import ReportSource
from curate.store.audit_sql import population_sql, quote_text
from curate.store.rows_by_id import rows_of

POINTS = 200
"""Points of a curve."""

CONFIDENCE = 0.95


def effort(source: ReportSource) -> Effort | None:
    """Return the share of all errors found by looking at the first masks of the queue.

    From the reviewed random samples where there are some, else from the plan; the value says which.

    Returns:
        None where the audit has no masks or no plan.
    """
    if not {"rank", "priority"} <= source.masks.keys() or not source.count:
        return None
    return _measured(source) or _expected(source)


def _measured(source: ReportSource) -> Effort | None:
    """Return the curve of the reviewed random samples; None where none has a bad mask."""
    sample = _read_bad(source)
    if sample is None:
        return None
    bad, reviewed = sample
    looked = np.linspace(0, source.count, POINTS + 1)
    found = bad.sort_values("rank")
    steps = np.concatenate([[0.0], np.cumsum(found["weight"].to_numpy(np.float64))])
    at = np.searchsorted(found["rank"].to_numpy(np.float64), looked, side="right")
    share = steps[at] / steps[-1]
    low, high = binomial_interval(share, effective_sizes(bad, looked))
    basis = "sample" if source.info.judged_by is None else "known sample"
    return Effort(looked, share, low, high, basis, len(bad), reviewed, CONFIDENCE)


def _read_bad(source: ReportSource) -> tuple[pd.DataFrame, int] | None:
    """Return the bad masks of the random samples (image, rank, weight), and how many masks were
    reviewed; None where there is no sample that can be used, or no bad mask in it."""
    audit = source.audit
    if not has_reviews(audit):
        return None
    try:
        reviews = open_reviews(audit)
        draws = read_recorded_draws(reviews)
        settings = DecisionSettings.of(audit.info)
        labels = reviews.resolve_labels(settings.rule, settings.good_iou)
        ids = [draw.rows["mask_id"] for draw in draws if draw.kind == "estimate"]
        if not ids:
            return None
        drawn = pd.concat(ids).to_numpy(np.int64)
        columns = ["image_id", "quality_score", "rank"]
        masks = rows_of(audit, "masks", "mask_id", drawn, columns).set_index("mask_id")
        size = source.row(f"select count(*) n from masks where {population_sql(source.masks)}")
        sample = gather_sample(draws, labels, masks, int(size["n"]))
    except CurateError:
        return None
    bad = sample.bad & sample.decided
    if not bad.any():
        return None
    ranks = masks["rank"].reindex(sample.mask_id[bad]).to_numpy(np.float64)
    image, weight = sample.image_id[bad], sample.weight[bad]
    frame = pd.DataFrame({"image_id": image, "rank": ranks, "weight": weight})
    return frame, sample.reviewed


def effective_sizes(bad: pd.DataFrame, looked: FloatArray) -> FloatArray:
    """Return how many independent bad masks are worth as much as those of a sample.

    Args:
        bad: Bad masks: ``image_id``, ``rank``, ``weight``.
        looked: Numbers of masks looked at, shape (n,).

    Returns:
        Shape (n,), each in [1, masks]; fewer where bad masks of one image are found together.
    """
    weight, rank = bad["weight"].to_numpy(np.float64), bad["rank"].to_numpy(np.float64)
    image, images = pd.factorize(bad["image_id"])
    masks, groups = len(bad), len(images)
    if groups < 2:
        return np.ones(len(looked))
    total = np.bincount(image, weight)
    few = float((stdtrit(masks - 1, 0.975) / stdtrit(groups - 1, 0.975)) ** 2)
    sizes = np.full(len(looked), np.nan)
    for k, n in enumerate(looked):
        part = np.bincount(image, weight * (rank <= n), minlength=groups)
        share = part.sum() / total.sum()
        variance = ((part - share * total) ** 2).sum() / total.sum() ** 2
        if 0 < share < 1:
            sizes[k] = few * share * (1 - share) / variance if variance > 0 else masks
    usual = float(np.nanmedian(sizes)) if not np.isnan(sizes).all() else 1.0
    return np.clip(np.where(np.isnan(sizes), usual, sizes), 1, masks)


def binomial_interval(share: FloatArray, size: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Return Clopper's and Pearson's interval of shares of an effective number of trials.

    Args:
        share: In [0, 1], shape (n,).
        size: Trials, over 0, shape (n,); need not be whole.

    Returns:
        Lower and upper ends, each of shape (n,).
    """
    risk, hits = (1 - CONFIDENCE) / 2, share * size
    low = np.zeros(len(share))
    high = np.ones(len(share))
    some, rest = hits > 0, hits < size
    low[some] = betaincinv(hits[some], (size - hits)[some] + 1, risk)
    high[rest] = betaincinv(hits[rest] + 1, (size - hits)[rest], 1 - risk)
    return low, high


def _expected(source: ReportSource) -> Effort | None:
    """Return the curve that the plan's probabilities expect."""
    p = f"least(1, greatest(0, priority / {_cost_sql(source)}))"
    points = min(POINTS, source.count)
    slot = f"least({points - 1}, floor((rank - 1) * {points} / {source.count}))::int"
    sums = np.zeros((2, points))
    for row in source.rows(
        f"select slot, sum(p) as p, sum(p * (1 - p)) as spread from "
        f"(select {slot} as slot, {p} as p from masks where priority is not null) group by slot"
    ):
        sums[:, row["slot"]] = row["p"], row["spread"]
    (found, spread), total = np.cumsum(sums, axis=1), sums[0].sum()
    learned = source.info.judged_by is not None
    share = np.concatenate([[0.0], found / max(total, 1e-300)])
    before = np.concatenate([[0.0], spread])
    # Of found / (found + rest): what is found and what is not vary independently.
    variance = (1 - share) ** 2 * before + share**2 * (before[-1] - before)
    half = ndtri(0.5 + CONFIDENCE / 2) * np.sqrt(variance) / max(total, 1e-300)
    low, high = np.clip(share - half, 0, 1), np.clip(share + half, 0, 1)
    looked = np.ceil(np.arange(points + 1) * source.count / points)  # whole ranks of each slot
    basis = "learned" if learned else "policy"
    return Effort(looked, share, low, high, basis, float(total), 0, CONFIDENCE)


def _cost_sql(source: ReportSource) -> str:
    """Return SQL of what a bad mask costs under the policy: priorities are probability times it."""
    stated: Any = (source.info.policy or {}).get("cost")
    stated = stated if isinstance(stated, Mapping) else {}
    usual = stated.get("default", 1)
    usual = float(usual) if is_finite_number(usual) and usual > 0 else 1.0
    costs = stated.get("category")
    cases = "".join(
        f" when {quote_text(name)} then {float(cost)!r}"
        for name, cost in (costs.items() if isinstance(costs, Mapping) else ())
        if is_finite_number(cost) and cost > 0
    )
    return f"(case category{cases} else {usual!r} end)" if cases else repr(usual)
