"""Random samples of masks to estimate from, and what a draw of masks for people looks like.

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

from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

COLUMNS = ("mask_id", "inclusion_probability", "stratum", "place", "slot", "honeypot")
"""What is recorded of every mask that is drawn."""

STRATA = 5
NO_STRATUM = -1
IntArray = npt.NDArray[np.int64]
FloatArray = npt.NDArray[np.float64]


def as_draw(ids: IntArray, probability: Any, stratum: Any) -> pd.DataFrame:
    """Put masks together as a draw, in the order given."""
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


def in_order(ids: IntArray) -> pd.DataFrame:
    """Return masks as a draw in which chance had no part."""
    return as_draw(ids, np.nan, NO_STRATUM)


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
    stratum = _strata(masks["quality_score"].to_numpy(np.float64), min(strata, n), random)
    sizes = np.bincount(stratum)
    drawn = allocate(sizes, n)
    rows = [
        random.choice(np.flatnonzero(stratum == h), drawn[h], replace=False)
        for h in range(len(sizes))
    ]
    chosen = random.permutation(np.concatenate(rows)) if rows else np.empty(0, np.int64)
    at = stratum[chosen]
    return as_draw(masks.index.to_numpy()[chosen], drawn[at] / sizes[at], at)


def _strata(quality: FloatArray, strata: int, random: np.random.Generator) -> IntArray:
    """Split by quality into groups of equal size; masks of equal quality are split by chance."""
    shuffled = random.permutation(len(quality))
    known = np.where(np.isnan(quality), -np.inf, quality)[shuffled]
    stratum = np.empty(len(quality), np.int64)
    ranks = np.arange(len(quality))
    stratum[shuffled[np.argsort(known, kind="stable")]] = ranks * strata // max(len(quality), 1)
    return stratum


def allocate(sizes: IntArray, n: int) -> IntArray:
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
    return as_draw(inside.index.to_numpy()[order], len(chosen) / max(images, 1), 0)


def sizes_of(drawn: pd.DataFrame) -> list[dict[str, int]]:
    """Return each stratum of a draw by chance: how many masks it holds, and how many were drawn."""
    rows = []
    for stratum, part in drawn.groupby("stratum", sort=True):
        probability = float(part["inclusion_probability"].iloc[0])
        held = round(len(part) / probability)
        rows.append({"stratum": int(str(stratum)), "masks": held, "drawn": len(part)})
    return rows
