"""Expectations of an engine: the work that stopping now would leave, and what an hour brings."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import scipy

from curate.common.arrays import FloatArray
from curate.dataset.notes import count_noun, plural
from curate.engine.round_numbers import (
    AUTOMATIC,
    LedgerRow,
    add_up_hours,
    is_timed,
    last_timed,
    name_row,
    number,
    seconds_per_mask,
    whole,
)

SAMPLES = 1000
"""Bootstrap samples of images."""

SEED = 0
"""Of these samples."""

MIN_TREND_ROUNDS = 4
"""Rounds with a validation IoU from which on a trend is fitted."""

_TAIL = 0.025

_PACES = 3
"""Rounds whose paces are compared."""


@dataclass(frozen=True)
class Expectation:
    """An expected number with its 95% interval.

    Attributes:
        value: The number.
        low: Lower end; None where it cannot be told.
        high: Upper end.
    """

    value: float
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True)
class WorkLeft:
    """Work that stopping now would leave undone.

    Attributes:
        images: Images that nobody has searched for masks.
        undecided: Proposals in images of rounds that nobody has decided on.
        searched: Images that people searched, on which the numbers rest.
        per_image: Masks an image of these; None where nobody searched any.
        validation_per_image: Of the validation images alone, which were drawn by chance; None
            where nobody searched any.
        masks: Expectation masks on the images that are left; None where it cannot be told.
        hours: People's hours for them, at the pace of a round; None where it is not known.
        pace: Name of that round; "" for none.
        text: All of it in sentences.
        automatic: Images of the automatic stage that nobody has searched for missing masks; they
            are not among ``images``.
    """

    images: int
    undecided: int
    searched: int
    per_image: Expectation | None
    validation_per_image: float | None
    masks: Expectation | None
    hours: Expectation | None
    pace: str
    text: tuple[str, ...]
    automatic: int = 0

    def with_automatic(self, images: int) -> WorkLeft:
        """Return it with the images of the automatic stage that nobody has searched."""
        if not images:
            return self
        said = f"Nobody has searched {count_noun(images, 'image')} of the automatic stage for "
        said += "missing masks; a certificate is about the masks that are there."
        return replace(self, automatic=images, text=(*self.text, said))


@dataclass(frozen=True)
class NextHour:
    """Expectations of the next hour of people's time.

    Attributes:
        masks: Masks at the pace of the last round; ``low`` and ``high`` are those at the slowest
            and the fastest pace of the last three rounds. None where no pace is known.
        pace: Name of the round; "" for none.
        iou: Gain in validation IoU; None where it cannot be told.
        rounds: Rounds that the trend of the validation IoU rests on.
        text: All of it in sentences.
    """

    masks: Expectation | None
    pace: str
    iou: Expectation | None
    rounds: int
    text: tuple[str, ...]


@dataclass(frozen=True)
class SearchedImages:
    """Masks of images that people searched.

    Attributes:
        counts: Masks of each, shape (n,).
        validation: Whether it is a validation image, shape (n,).
    """

    counts: npt.NDArray[np.int64]
    validation: npt.NDArray[np.bool_]


def expect_mean(counts: npt.NDArray[np.int64]) -> Expectation:
    """Return the mean of counts, with a bootstrap interval over images."""
    mean = float(counts.mean())
    if len(counts) < 2:
        return Expectation(mean)
    low, high = np.quantile(_bootstrap(counts)[0], [_TAIL, 1 - _TAIL])
    return Expectation(mean, float(low), float(high))


def expect_total(counts: npt.NDArray[np.int64], images: int) -> Expectation:
    """Return the total on further images that are like those that were counted.

    The interval holds both what is not known of the mean, and which images are left.

    Args:
        counts: Of the images that were counted, shape (n,).
        images: How many further ones.
    """
    mean = float(counts.mean())
    if len(counts) < 2:
        return Expectation(images * mean)
    means, deviations = _bootstrap(counts)
    chance = np.random.default_rng(SEED + 1).normal(size=SAMPLES)
    totals = np.maximum(images * means + math.sqrt(images) * deviations * chance, 0)
    low, high = np.quantile(totals, [_TAIL, 1 - _TAIL])
    return Expectation(images * mean, float(low), float(high))


def _bootstrap(counts: npt.NDArray[np.int64]) -> tuple[FloatArray, FloatArray]:
    """Return means and standard deviations of bootstrap samples of images."""
    # By how often each count is drawn, since images with the same count are the same here.
    values, times = np.unique(counts, return_counts=True)
    random = np.random.default_rng(SEED)
    drawn = random.multinomial(len(counts), times / len(counts), SAMPLES) / len(counts)
    means = drawn @ values
    return means, np.sqrt(np.maximum(drawn @ values**2 - means**2, 0))


def measure_work_left(
    rows: Sequence[LedgerRow], found: SearchedImages, images: int, undecided: int
) -> WorkLeft:
    """Return the work that stopping now would leave undone.

    Args:
        rows: Of the ledger, in order.
        found: Images that people searched.
        images: Images that nobody has searched.
        undecided: Proposals in images of rounds that nobody has decided on.
    """
    searched = len(found.counts)
    per_image = expect_mean(found.counts) if searched else None
    own = found.counts[found.validation]
    by_chance = float(own.mean()) if len(own) else None
    masks = expect_total(found.counts, images) if searched and images else None
    row = last_timed(rows)
    pace = None if row is None else seconds_per_mask(row)
    hours = None
    if masks is not None and pace is not None:
        ends = (None if end is None else end * pace / 3600 for end in (masks.low, masks.high))
        hours = Expectation(masks.value * pace / 3600, *ends)
    named = name_row(row) if row is not None and hours is not None else ""
    left = WorkLeft(images, undecided, searched, per_image, by_chance, masks, hours, named, ())
    return replace(left, text=tuple(_describe_left(left, pace)))


def _describe_left(left: WorkLeft, pace: float | None) -> list[str]:
    text = []
    if left.undecided:
        masks, has = count_noun(left.undecided, "proposal"), plural(left.undecided, "has", "have")
        text.append(f"{masks} in images of rounds {has} no decision, and count as no mask.")
    if not left.images:
        return [*text, "No image is left that nobody has searched for masks."]
    text.append(f"Nobody has searched {count_noun(left.images, 'image')} for masks.")
    if left.masks is None or left.per_image is None:
        return [*text, "How many masks are on them cannot be told before people searched some."]
    text.append(
        f"Expected on them: {_say(left.masks, ',.0f')} masks. It takes them to be like the "
        f"{count_noun(left.searched, 'image')} that people searched, with "
        f"{_say(left.per_image, '.1f')} masks an image ({SAMPLES:,} bootstrap samples of images, "
        f"seed {SEED})."
    )
    if left.validation_per_image is not None:
        text.append(
            "Images of rounds are chosen, so those that are left may have more or fewer masks; on "
            f"the validation images, drawn by chance, it is {left.validation_per_image:.1f}."
        )
    if left.hours is None or pace is None:
        return [*text, "How long people would take cannot be told: no round has its seconds."]
    text.append(
        f"At the pace of {left.pace} ({pace:.1f} s a mask) people would take "
        f"{_say(left.hours, ',.1f')} hours."
    )
    return text


def expect_next_hour(rows: Sequence[LedgerRow], images: int) -> NextHour:
    """Return expectations of the next hour of people's time.

    Args:
        rows: Of the ledger, in order.
        images: Images that nobody has searched.
    """
    iou, rounds, trend = expect_gain(rows)
    text: tuple[str, ...]
    if not images:
        text = ("No image is left to annotate, so an hour brings no further masks.",)
        return NextHour(None, "", None, rounds, text)
    row = last_timed(rows)
    pace = None if row is None else seconds_per_mask(row)
    if row is None or pace is None:
        text = ("How many masks it brings cannot be told: no round has people's seconds.", trend)
        return NextHour(None, "", iou, rounds, text)
    of = [row for row in rows if whole(row, "round")] if whole(row, "round") else rows
    paces = [one for row in of if (one := seconds_per_mask(row)) is not None][-_PACES:]
    masks = Expectation(3600 / pace, 3600 / max(paces), 3600 / min(paces))
    text = (f"At the pace of {name_row(row)}, {pace:.1f} s a mask: {masks.value:,.0f} masks.",)
    if len(paces) > 1:
        said = f"At the slowest and the fastest pace of the last {len(paces)} rounds: "
        text = (*text, f"{said}{masks.low:,.0f} and {masks.high:,.0f}.")
    return NextHour(masks, name_row(row), iou, rounds, (*text, trend))


def expect_gain(rows: Sequence[LedgerRow]) -> tuple[Expectation | None, int, str]:
    """Return the expected gain in validation IoU of the next hour, the rounds that it rests on, and
    all of it as a sentence.

    The IoU of what rounds trained is fitted by a straight line over the logarithm of people's hours
    in rounds (least squares); the interval is that of its slope, by Student's t.
    """
    trained = (row for row in rows if whole(row, "round") and whole(row, "stage") != AUTOMATIC)
    worked = [row for row in trained if whole(row, "images")]
    hours = add_up_hours(worked)
    known = [(h, number(row, "iou")) for h, row in zip(hours, worked, strict=True)]
    points = [(h, iou) for h, iou in known if iou is not None and h > 0]
    many = count_noun(len(points), "round")
    cannot = f"What it brings in validation IoU cannot be told from {many}"
    if len(points) < MIN_TREND_ROUNDS:
        return None, len(points), f"{cannot}: a trend takes {MIN_TREND_ROUNDS} at least."
    if any(not is_timed(row) for row in worked):
        return None, len(points), f"{cannot}: people's seconds are not known of all of them."
    if hours[-1] < 1:
        why = "people have spent less than an hour on rounds, and no trend reaches that far"
        return None, len(points), f"{cannot}: {why}."
    gain = _fit(points, math.log((hours[-1] + 1) / hours[-1]))
    how = (
        "(a straight line through the validation IoU over the logarithm of people's hours in "
        "rounds, as if rounds differed by chance alone)"
    )
    if gain.low is None or gain.low <= 0:
        said = f"{cannot}: the trend gives {_say(gain, '+.4f')}, so none at all is possible {how}."
        return None, len(points), said
    said = f"Expected gain in validation IoU: {_say(gain, '+.4f')}, by the trend of {many} {how}."
    return gain, len(points), said


def _fit(points: Sequence[tuple[float, float]], step: float) -> Expectation:
    """Return the rise of a line over a step of the logarithm of hours, with its 95% interval."""
    hours, iou = np.array(points).T
    line = scipy.stats.linregress(np.log(hours), iou)
    reach = float(scipy.stats.t.ppf(1 - _TAIL, len(points) - 2) * line.stderr)
    slope = float(line.slope)
    return Expectation(slope * step, (slope - reach) * step, (slope + reach) * step)


def _say(found: Expectation, form: str) -> str:
    """Return a number with its interval, in words."""
    if found.low is None or found.high is None:
        return f"{found.value:{form}}"
    return f"{found.value:{form}} (95% interval {found.low:{form}} to {found.high:{form}})"
