"""Checks of prefilled masks: a random share of them is asked about unmarked, to see how many hold.

Masks are drawn by chance from all prefilled ones of a round, each with the same, recorded
probability. That is enough for an interval, though masks of an image go wrong together: chance is
in the drawing, not in the masks (see :mod:`curate.people.guarantees.tail_bounds`). People open each
image of a round anyway, so single masks cost little and say the most. Where opening images is what
costs, *whole images* are drawn, with all their prefilled masks; then images are the units, and as
many masks say less.

The precision is the share of masks that are good, among all prefilled masks of the round, with the
intervals of :mod:`curate.people.guarantees.intervals`: exact ones where few are bad. It is
about this round's prefilled masks, not about those of other rounds.

People who stop early leave a sample too: a draw is in an order by chance, so its first masks count,
as far as almost all are decided. They have to be asked about in that order for it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import pandas as pd

from curate.common.ranges import check_numbers
from curate.common.readable_result import ReadableResult
from curate.dataset.notes import count_noun, finite_or_none
from curate.errors import CallError
from curate.people.guarantees.estimate import bound_share
from curate.people.guarantees.reviewed_sample import Population, cut_reviewed, gather_sample
from curate.people.guarantees.tail_bounds import zero_failures
from curate.people.queues.sampling import count_strata, draw_estimate
from curate.people.reviews.recorded_draws import DrawSettings, RecordedDraw

SHARE = 0.1
"""Share of the prefilled masks that is asked about, if nothing else is said."""


@dataclass(frozen=True, repr=False)
class PrefillPrecision(ReadableResult):
    """Precision of a round's prefilled masks, as measured.

    Attributes:
        masks: Prefilled.
        asked: Drawn to be asked about.
        answered: Of these, those that count: decided on, from the first one on.
        bad: Of these, those that people rejected or corrected.
        unit: What was drawn: "mask" or "image".
        precision: Estimated share of good masks among the prefilled, in [0, 1]; NaN where nothing
            is known. Masks that count without a decision are taken as bad.
        low: Lower end of its interval; 0 where nothing is known.
        high: Upper end; 1 where nothing is known.
        confidence: Of the interval.
        method: How the interval was made, see :mod:`curate.people.guarantees.intervals`; "" where
            nothing is known.
        notes: What to know about the sample.
    """

    masks: int
    asked: int
    answered: int
    bad: int
    unit: str
    precision: float
    low: float
    high: float
    confidence: float
    method: str
    notes: tuple[str, ...] = ()

    @property
    def bad_share(self) -> float:
        """Estimated share of bad masks, NaN where nothing is known; for
        :func:`curate.engine.confident_masks.next_strictness`."""
        return 1 - self.precision

    def as_dict(self) -> dict[str, object]:
        """Return plain values, for JSON."""
        plain = {**vars(self), "notes": list(self.notes)}
        return {**plain, "precision": finite_or_none(self.precision)}

    def text(self) -> str:
        """Return the precision with its interval in a sentence."""
        of = f"{self.answered:,} of {count_noun(self.masks, 'prefilled mask')}"
        if math.isnan(self.precision):
            return f"nothing is known of the {count_noun(self.masks, 'prefilled mask')}"
        ends = f"[{self.low:.2%}, {self.high:.2%}]"
        return f"{self.precision:.2%} {ends} of the prefilled masks are good ({of} looked at)"


def count_checks(
    masks: int, *, max_bad: float, share: float = SHARE, confidence: float = 0.95
) -> int:
    """Return how many prefilled masks to ask about.

    A share of them, and at least as many as show, if all are good, that at most ``max_bad`` of all
    are bad: with 5% at 95% that is 59 of very many masks, and fewer of few.

    Args:
        masks: Prefilled.
        max_bad: What the engine asks for.
        share: In [0, 1].
        confidence: Of the interval.

    >>> count_checks(100_000, max_bad=0.05), count_checks(300, max_bad=0.05)
    (10000, 54)
    """
    check_numbers(max_bad=max_bad, confidence=confidence)
    if not 0 <= share <= 1:
        raise CallError(f"{share:g} is no share of the masks", "share", "give a number from 0 to 1")
    if masks < 1:
        return 0
    # An interval has two ends with half of the risk each.
    least = zero_failures(max_bad, 1 - (1 - confidence) / 2, masks)
    return min(masks, max(math.ceil(share * masks), least))


def draw_checks(
    prefilled: pd.DataFrame, count: int, *, seed: int, whole_images: bool = False, number: int = 1
) -> RecordedDraw:
    """Draw prefilled masks to be asked about.

    Args:
        prefilled: All prefilled masks of a round, index ``mask_id``: ``image_id``, and
            ``quality_score``, which only narrows intervals.
        count: How many masks, or for whole images as many on average; all where there are no more.
        seed: Of the draw.
        whole_images: Draw images, with all their prefilled masks.
        number: Of the draw.

    Returns:
        The draw, in an order by chance, with each mask's inclusion probability.

    Raises:
        CallError: Nothing is prefilled, or a number is out of its range.
    """
    check_numbers(count=count, seed=seed)
    if not len(prefilled):
        raise CallError("no mask is prefilled", "prefilled", "nothing is to be checked then")
    count = min(count, len(prefilled))
    # One stratum: with several, probabilities differ by rounding, and exact intervals widen.
    rows = draw_estimate(prefilled, count, seed=seed, strata=1, whole_images=whole_images)
    unit = "image" if whole_images else "mask"
    settings: DrawSettings = {
        "kind": "estimate",
        "seed": seed,
        "unit": unit,
        "population": len(prefilled),
        "of": "prefilled",
        "before": 0,
        "strata": count_strata(rows),
    }
    return RecordedDraw(number, "estimate", settings, rows)


def measure_precision(
    draw: RecordedDraw,
    answers: pd.DataFrame,
    prefilled: pd.DataFrame,
    *,
    confidence: float = 0.95,
) -> PrefillPrecision:
    """Estimate the precision of a round's prefilled masks from people's answers.

    Args:
        draw: From :func:`draw_checks`.
        answers: What people decided, index ``mask_id``: ``good``, ``action`` ("accept", "reject" or
            "fix"), ``iou`` of a fix with the mask, NaN where not known. Masks that were not drawn
            are left out, those that nobody decided on are absent.
        prefilled: As for :func:`draw_checks`.
        confidence: Of the interval.

    Raises:
        CallError: The draw is not one of these masks, or the confidence is out of its range.
    """
    check_numbers(confidence=confidence)
    rows = draw.sample().join(prefilled[["image_id"]], on="mask_id")
    answers = answers.assign(queue_kind="estimate")
    first = cut_reviewed(rows.sort_values("place", ignore_index=True), answers, draw.unit)
    asked, masks = len(rows), len(prefilled)
    if not len(first):
        nothing = (math.nan, 0.0, 1.0, confidence, "")
        return PrefillPrecision(masks, asked, 0, 0, draw.unit, *nothing)
    ordered = prefilled.sort_index()
    sample = gather_sample([draw], answers, ordered, masks)
    population = Population(
        ordered["quality_score"].to_numpy(np.float64), ordered["image_id"].to_numpy(np.int64)
    )
    known = (~sample.bad, sample.decided)
    found = bound_share("good_share", sample, population, known, confidence)
    return PrefillPrecision(
        masks,
        asked,
        sample.reviewed,
        int((sample.bad & sample.decided).sum()),
        draw.unit,
        found.value_low,
        found.low,
        found.high,
        confidence,
        found.method,
        sample.notes,
    )
