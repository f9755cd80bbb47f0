"""Reviewed random samples: checks that they are random, partial draws, several draws combined.

:func:`gather_sample` is the only way to a :class:`ReviewedSample`; whatever was not random, or
cannot be shown to have been, is refused here, so that :mod:`curate.people.guarantees.certify` and
:mod:`curate.people.guarantees.estimate` need not check.

**Draws that are not finished.** A draw comes in an order by chance, so its first places are a
random sample too. Of each draw the longest beginning counts that has almost no gaps; the few masks
in it that nobody decided on count as bad (in estimates: as anything). What was decided out of turn
is left out.

**Several draws.** People draw 300 masks, later 700 more. If draw k takes the share f_k of the masks
that are left, each with the same chance, then a mask is in any of them with probability
1 - (1 - f_1)(1 - f_2)..., whatever the strata of each were, and the number of bad masks in all is
less spread than if each mask had been taken independently with that probability: given the draws
before, the next one is negatively associated, the mean of a convex function of its count is at
most that of a binomial of what is left, and that mean is itself convex in what was found before.
Whole images of several draws are simply a larger random sample of images. Draws of unequal
probabilities do not combine (the chance that a mask of one draw had in another is not recorded),
nor do masks with images; then one of them has to be chosen.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import pandas as pd

from curate.common.arrays import BoolArray, FloatArray, IntArray
from curate.errors import CallError
from curate.people.guarantees import draw_checks as check
from curate.people.guarantees.draw_checks import EQUAL_RATIO, WHERE
from curate.people.reviews.recorded_draws import RecordedDraw

MAX_GAPS = 0.02
"""Most masks without a decision in what counts of a draw, as a share of it."""


@dataclass(frozen=True)
class ReviewedSample:
    """A random sample of masks with people's decisions; every array has a row a mask.

    Attributes:
        unit: "mask": masks were drawn. "image": images were, with all their masks.
        population: Masks in all.
        mask_id: Shape (n,).
        image_id: Shape (n,).
        quality: The score to certify; NaN for masks that are not accepted whatever it is.
        bad: Rejected, corrected, or not decided.
        decided: Whether anybody decided.
        iou: With the mask's correction: 1 accepted, 0 rejected, NaN not known.
        probability: Of being in the sample.
        stratum: Row of ``strata`` that the mask was drawn from.
        strata: Masks in each stratum.
        fraction: The smallest probability of any mask of the population.
        exact: One draw of equal probabilities, so that exact counts can be used.
        notes: What a reader should know: draws left out, gaps.
    """

    unit: str
    population: int
    mask_id: IntArray
    image_id: IntArray
    quality: FloatArray
    bad: BoolArray
    decided: BoolArray
    iou: FloatArray
    probability: FloatArray
    stratum: IntArray
    strata: IntArray
    fraction: float
    exact: bool
    notes: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.mask_id)

    @property
    def reviewed(self) -> int:
        """Number of masks that somebody decided on; gaps are no reviews."""
        return int(self.decided.sum())

    @property
    def weight(self) -> FloatArray:
        """Weight of each mask relative to that of the smallest probability, in (0, 1]."""
        return np.minimum(self.fraction / self.probability, 1.0)


@dataclass(frozen=True)
class Population:
    """The population of a sample: quality and image of every mask.

    Attributes:
        quality: The score of every mask, as in :class:`ReviewedSample`; or its distinct values.
        image: The image of every mask; needed only for samples of whole images.
        counts: How many masks have each value of ``quality``; None for one each.
    """

    quality: FloatArray
    image: IntArray | None = None
    counts: IntArray | None = field(default=None)

    @property
    def size(self) -> int:
        """Number of masks."""
        return len(self.quality) if self.counts is None else int(self.counts.sum())

    def images(self) -> tuple[IntArray, int]:
        """Return the number of each mask's image, from 0, and how many images have masks.

        Raises:
            CallError: It was not given.
        """
        if self.image is None or self.counts is not None:
            raise CallError("images were drawn, and the images of all masks are not given", WHERE)
        codes, seen = pd.factorize(self.image)
        return codes.astype(np.int64), len(seen)


def gather_sample(
    draws: Sequence[RecordedDraw],
    labels: pd.DataFrame,
    masks: pd.DataFrame,
    size: int,
    *,
    unit: str | None = None,
) -> ReviewedSample:
    """Combine draws into a random sample, after checking that it is one.

    Args:
        draws: All draws, in the order in which they were made; those that nobody has begun too.
            Only those of the kind "estimate" are used.
        labels: What people decided, index ``mask_id``: ``good``, ``action``, ``iou``,
            ``queue_kind``. Decisions on masks that were not drawn are left out.
        masks: Index ``mask_id``: ``image_id`` and ``quality_score`` of all masks that were drawn at
            least.
        size: Masks in the population now.
        unit: "mask" or "image" where there are draws of both; None takes masks then.

    Raises:
        CallError: There is no random sample, or it cannot be used, and why.
    """
    chosen, notes = check.choose_draws(draws, labels, unit)
    frames: list[pd.DataFrame] = []
    parts: list[pd.DataFrame] = []
    for draw in chosen:
        rows = check.join_masks(draw, masks)
        check.check_matches_population(draw, frames, rows, size)
        frames.append(rows)
        parts.append(cut_reviewed(rows, labels, draw.unit))
        notes += check.describe_gaps(draw, rows, parts[-1])
    check.check_any_decided(parts, chosen)
    check.check_combinable(chosen, frames)
    taken = pd.concat(parts, ignore_index=True).drop_duplicates("mask_id")
    return _make_sample(chosen, frames, parts, taken, (size, tuple(notes)))


def cut_reviewed(rows: pd.DataFrame, labels: pd.DataFrame, unit: str) -> pd.DataFrame:
    """Cut a draw after the longest beginning that has almost no gaps, and add the decisions.

    Args:
        rows: The draw in its order: ``mask_id``, and ``image_id`` where images were drawn.
        labels: What people decided, as for :func:`gather_sample`.
        unit: "mask" or "image".

    Returns:
        The first rows, with ``good``, ``action``, ``iou`` and ``decided``; none where nothing was
        decided on from the first one on.
    """
    rows = rows.join(labels[["good", "action", "iou"]], on="mask_id")
    decided = rows["action"].notna().to_numpy(np.bool_)
    rows["decided"] = decided
    ends = np.cumsum(~decided) <= MAX_GAPS * np.arange(1, len(rows) + 1)
    if unit == "image":
        # Images count as a whole: a cut can only be where the next one begins.
        image = rows["image_id"].to_numpy(np.int64)
        ends &= np.append(image[1:] != image[:-1], True)
    else:
        ends &= decided
    return rows.iloc[: int(np.flatnonzero(ends)[-1]) + 1 if ends.any() else 0]


def _make_sample(
    draws: Sequence[RecordedDraw],
    frames: Sequence[pd.DataFrame],
    parts: Sequence[pd.DataFrame],
    taken: pd.DataFrame,
    rest: tuple[int, tuple[str, ...]],
) -> ReviewedSample:
    size, notes = rest
    chance = [f["inclusion_probability"].to_numpy(np.float64) for f in frames]
    done = [
        _count_units(p, d) / _count_units(f, d)
        for p, f, d in zip(parts, frames, draws, strict=True)
    ]
    single = len(draws) == 1
    least = _combine_shares(draws, [float(c.min()) for c in chance], done)
    if single:
        probability = taken["inclusion_probability"].to_numpy(np.float64) * done[0]
        stratum, held = _assign_strata(frames[0], taken)
    else:
        whole = _combine_shares(draws, [float(len(c) / (1 / c).sum()) for c in chance], done)
        probability = np.full(len(taken), whole)
        stratum, held = np.zeros(len(taken), np.int64), np.array([size], np.int64)
    good = taken["good"].eq(True).to_numpy(np.bool_)
    action = taken["action"]
    iou = action.map({"accept": 1.0, "reject": 0.0})
    return ReviewedSample(
        draws[0].unit,
        size,
        taken["mask_id"].to_numpy(np.int64),
        taken["image_id"].to_numpy(np.int64),
        taken["quality_score"].to_numpy(np.float64),
        ~good,
        taken["decided"].to_numpy(np.bool_),
        np.asarray(iou.where(action != "fix", taken["iou"]), np.float64),
        probability,
        stratum,
        held,
        least,
        single and bool(chance[0].max() <= EQUAL_RATIO * chance[0].min()),
        notes,
    )


def _count_units(rows: pd.DataFrame, draw: RecordedDraw) -> int:
    return int(rows["image_id"].nunique()) if draw.unit == "image" else len(rows)


def _assign_strata(drawn: pd.DataFrame, taken: pd.DataFrame) -> tuple[IntArray, IntArray]:
    """Return each mask's stratum, from 0, and how many masks each stratum holds."""
    groups = drawn.groupby("stratum", sort=True)["inclusion_probability"]
    held = (groups.size() / groups.first()).round()
    at = held.index.get_indexer(pd.Index(taken["stratum"]))
    return np.asarray(at, np.int64), held.to_numpy(np.int64)


def _combine_shares(
    draws: Sequence[RecordedDraw], shares: Sequence[float], done: Sequence[float]
) -> float:
    """Return the probability of being in any draw, given each one's share and progress, in [0, 1].

    The unreviewed rest of an earlier draw is out of reach of a later one all the same.
    """
    probability, left = 0.0, 1.0
    for draw, share, part in zip(draws, shares, done, strict=True):
        if draw.settings.get("before", 0):
            probability += left * share * part
        else:
            probability = 1 - (1 - probability) * (1 - share * part)
        left *= 1 - share
    return probability
