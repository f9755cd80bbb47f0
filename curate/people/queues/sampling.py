"""Draws of masks for people: random samples to estimate from, doubtful masks to learn from.

All of it is pure: frames in, frames out, equal seeds give equal draws. A draw has a row for each
time a mask is shown, in order of ``place`` (from 1): ``mask_id``, ``inclusion_probability`` (NaN
where chance had no part), ``stratum`` (0 is the lowest quality; -1 for none), ``place``, ``slot``
(1 for the second person of an overlap), ``honeypot`` (None, or the known answer).

Masks are split by quality into strata of equal size, and each stratum gives its share of the
sample, so that every mask has the same chance up to rounding; what is recorded is exact: how many
masks were drawn of how many. A later draw leaves out the masks drawn before and does the same with
the rest. Each draw gives every mask that is left the same chance, so a mask's chance of being in
any of them is ``1 - (1 - f1) (1 - f2) ...``, though the strata change between draws, as quality
does when it learns.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from curate.common.arrays import FloatArray, IntArray
from curate.common.ranges import check_numbers
from curate.errors import CallError
from curate.people.reviews.recorded_draws import StratumRecord

COLUMNS = ("mask_id", "inclusion_probability", "stratum", "place", "slot", "honeypot")
"""What is recorded of every mask that is drawn."""

STRATA = 5
NO_STRATUM = -1

MAX_LAG = 0.1
"""The second person gets a mask at most this share of the queue after the first."""

POOL_FACTOR = 5
"""The draw chooses among this many times as many doubtful masks as are wanted."""

GROUP_SIZE = 5_000
"""Masks among which the most different ones are looked for at once."""


def agreed_answers(resolved: pd.DataFrame, people: int = 2) -> pd.Series[Any]:
    """Return the answers on which several people agree.

    Args:
        resolved: What was decided, index ``mask_id``: ``good``, ``reviewers``, ``disagree``.
        people: How many must have looked.

    Returns:
        "accept" or "reject" by ``mask_id``.
    """
    sure = resolved[(resolved["reviewers"] >= people) & ~resolved["disagree"].astype(bool)]
    return pd.Series(np.where(sure["good"].astype(bool), "accept", "reject"), sure.index)


def read_answers(path: Path) -> pd.Series[Any]:
    """Read known answers from a CSV file with the columns ``mask_id`` and ``action``.

    Raises:
        CallError: There is no such file, it is no such table, or a mask occurs twice.
    """
    try:
        frame = pd.read_csv(path, usecols=["mask_id", "action"], dtype={"action": "string"})
        ids = pd.Index(frame["mask_id"].astype(np.int64), name="mask_id")
    except (OSError, ValueError) as error:
        do = "give a CSV file with the columns mask_id and action"
        raise CallError("it holds no known answers", str(path), do) from error
    if not ids.is_unique:
        raise CallError(f"mask {ids[ids.duplicated()][0]} occurs twice", str(path))
    return pd.Series(frame["action"].to_numpy(object), ids)


def add_overlap(drawn: pd.DataFrame, share: float, seed: int) -> pd.DataFrame:
    """Add a share of the masks again for a second person, slot 1, some places after the first.

    Raises:
        CallError: The share is not in [0, 1].
    """
    check_numbers(overlap=share)
    random = np.random.default_rng([seed, 4])
    twice = np.sort(random.choice(len(drawn), round(share * len(drawn)), replace=False))
    second = drawn.iloc[twice].assign(slot=1)
    lag = random.uniform(0, max(10.0, MAX_LAG * len(drawn)), len(second))
    both = pd.concat([drawn, second], ignore_index=True)
    at = np.concatenate([drawn["place"], second["place"] + 0.5 + lag])
    return _number_places(both.iloc[np.argsort(at, kind="stable")])


def add_honeypots(
    drawn: pd.DataFrame, known: pd.Series[Any], share: float, seed: int
) -> pd.DataFrame:
    """Mix masks with a known answer in, at random places.

    Args:
        drawn: A draw.
        known: "accept" or "reject" by ``mask_id``; those that are drawn already are left out.
        share: Which share of all rows they shall be; fewer where fewer are known. Both answers are
            given the same number, as far as there are.
        seed: Of the choice and the places.

    Raises:
        CallError: The share is not in [0, 0.5], or an answer is neither of the two.
    """
    check_numbers(honeypots=share)
    strange = set(known.unique()) - {"accept", "reject"}
    if strange:
        raise CallError(f"a known answer is {sorted(map(str, strange))[0]!r}", "honeypots")
    random = np.random.default_rng([seed, 5])
    known = known[~known.index.isin(drawn["mask_id"])].sort_index()
    good, bad = (known.index[(known == a).to_numpy()].to_numpy() for a in ("accept", "reject"))
    count = min(round(share / (1 - share) * len(drawn)), len(known))
    goods = min(len(good), max(count // 2, count - len(bad)))
    chosen = np.concatenate(
        [
            random.choice(good, goods, replace=False),
            random.choice(bad, count - goods, replace=False),
        ]
    )
    hidden = make_ordered_draw(chosen.astype(np.int64))
    hidden["honeypot"] = known.reindex(chosen).to_numpy(object)
    at = np.r_[np.arange(1.0, len(drawn) + 1), random.uniform(0.5, len(drawn) + 0.5, count)]
    return _number_places(
        pd.concat([drawn, hidden], ignore_index=True).iloc[np.argsort(at, kind="stable")]
    )


def _number_places(rows: pd.DataFrame) -> pd.DataFrame:
    return rows.assign(place=np.arange(1, len(rows) + 1)).reset_index(drop=True)


def make_draw(ids: IntArray, probability: Any, stratum: Any) -> pd.DataFrame:
    """Return masks as a draw, in the order given."""
    n = len(ids)
    return pd.DataFrame(
        {
            "mask_id": ids.astype(np.int64),
            "inclusion_probability": np.broadcast_to(probability, n).astype(np.float64),
            "stratum": np.broadcast_to(stratum, n).astype(np.int64),
            "place": np.arange(1, n + 1),
            "slot": np.zeros(n, np.int64),
            "honeypot": pd.Series(np.full(n, None, object), dtype=object),
        }
    )


def make_ordered_draw(ids: IntArray) -> pd.DataFrame:
    """Return masks as a draw in which chance had no part."""
    return make_draw(ids, np.nan, NO_STRATUM)


def draw_estimate(
    masks: pd.DataFrame, n: int, *, seed: int, strata: int = STRATA, whole_images: bool = False
) -> pd.DataFrame:
    """Draw a random sample of masks, or of whole images, to estimate from.

    Args:
        masks: Every mask that can be drawn, index ``mask_id``, with ``image_id`` and
            ``quality_score``.
        n: How many masks. Whole images: as many images as hold ``n`` masks on average, fixed before
            chance decides which; so their masks are ``n`` more or less.
        seed: Of the draw.
        strata: Into how many groups of equal size masks are split by quality. A mask without a
            quality is in the lowest.
        whole_images: Draw images, with all their masks; see :func:`draw_images` for images without
            any.

    Returns:
        A draw, in an order by chance (masks of an image together, where images are drawn).
    """
    if whole_images:
        images = np.unique(masks["image_id"].to_numpy())
        return draw_images(
            masks, choose_images(images, len(masks), n, seed=seed), len(images), seed
        )
    masks = masks.sort_index()
    random = np.random.default_rng([seed, 0])
    stratum = _split_strata(masks["quality_score"].to_numpy(np.float64), min(strata, n), random)
    sizes = np.bincount(stratum)
    drawn = allocate_webster(sizes, n)
    rows = [
        random.choice(np.flatnonzero(stratum == h), drawn[h], replace=False)
        for h in range(len(sizes))
    ]
    chosen = random.permutation(np.concatenate(rows)) if rows else np.empty(0, np.int64)
    at = stratum[chosen]
    return make_draw(masks.index.to_numpy()[chosen], drawn[at] / sizes[at], at)


def _split_strata(quality: FloatArray, strata: int, random: np.random.Generator) -> IntArray:
    """Split by quality into groups of equal size; masks of equal quality are split by chance."""
    shuffled = random.permutation(len(quality))
    known = np.where(np.isnan(quality), -np.inf, quality)[shuffled]
    stratum = np.empty(len(quality), np.int64)
    ranks = np.arange(len(quality))
    stratum[shuffled[np.argsort(known, kind="stable")]] = ranks * strata // max(len(quality), 1)
    return stratum


def allocate_webster(sizes: IntArray, n: int) -> IntArray:
    """Share ``n`` among groups in proportion to their sizes (Webster's method).

    With one more to share, no group gets fewer than before, and none gets more than it holds.
    """
    if n >= sizes.sum():
        return sizes.astype(np.int64)
    least = np.maximum(n * sizes // sizes.sum() - len(sizes), 0)
    steps = least[:, None] + np.arange(2 * len(sizes) + 2)
    claim = sizes[:, None] / (2 * steps + 1)
    order = np.argsort(-claim, axis=None, kind="stable")[: n - least.sum()]
    return np.asarray(least + np.bincount(order // steps.shape[1], minlength=len(sizes)), np.int64)


def choose_images(images: IntArray, masks: int, n: int, *, seed: int) -> IntArray:
    """Draw as many images as hold ``n`` masks on average (one at least), in an order by chance."""
    count = min(len(images), max(1, round(n * len(images) / max(masks, 1))))
    random = np.random.default_rng([seed, 1])
    return np.asarray(random.choice(np.sort(images), count, replace=False), np.int64)


def draw_images(masks: pd.DataFrame, chosen: IntArray, images: int, seed: int) -> pd.DataFrame:
    """Draw all masks of some images.

    Args:
        masks: As for :func:`draw_estimate`.
        chosen: The images drawn, in order.
        images: How many they were drawn from.
        seed: Of the order of the masks within an image.

    Returns:
        A draw; each mask's inclusion probability is that of its image.
    """
    inside = masks[masks["image_id"].isin(chosen)].sort_index()
    place = pd.Index(chosen).get_indexer(pd.Index(inside["image_id"]))
    by_chance = np.random.default_rng([seed, 2]).permutation(len(inside))
    order = np.lexsort([by_chance, place])
    return make_draw(inside.index.to_numpy()[order], len(chosen) / max(images, 1), 0)


def count_strata(drawn: pd.DataFrame) -> list[StratumRecord]:
    """Return each stratum of a draw by chance: how many masks it holds, and how many were drawn."""
    rows: list[StratumRecord] = []
    for stratum, part in drawn.groupby("stratum", sort=True):
        probability = float(part["inclusion_probability"].iloc[0])
        held = round(len(part) / probability)
        rows.append({"stratum": int(str(stratum)), "masks": held, "drawn": len(part)})
    return rows


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
