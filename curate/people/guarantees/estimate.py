"""The quality of a dataset as its makers report it, with intervals, from random samples.

- share of good masks (accepted by people),
- share of masks whose IoU with their correction is over 0.90, and over 0.75: an accepted mask is
  its own correction, a rejected one has none, a fixed one has the IoU of the fix. Where that is not
  known, or nobody decided, both answers are possible; the interval then reaches from the lower end
  of the one to the upper end of the other;
- missing masks per image, from images that were drawn by chance and fully reviewed.

See :mod:`curate.people.guarantees.intervals` for how the intervals of shares are made.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.special import gammaincinv, stdtrit

from curate.common.arrays import BoolArray, FloatArray, IntArray
from curate.common.ranges import check_numbers
from curate.common.readable_result import ReadableResult
from curate.dataset.notes import finite_or_none
from curate.errors import CallError
from curate.people.guarantees import intervals
from curate.people.guarantees.draw_checks import WHERE
from curate.people.guarantees.reviewed_sample import Population, ReviewedSample
from curate.people.guarantees.tail_bounds import zero_failures
from curate.people.reviews.recorded_draws import RecordedDraw
from curate.store.audit_records import EstimateRecord, IntervalRecord

IOU_LINES = (0.90, 0.75)
"""What IoU with the correction is asked for: the lines of the Segment Anything paper."""

ZERO_FAILURE_BOUNDS = (0.10, 0.05, 0.03, 0.02, 0.01)
"""Shares of bad masks for which the smallest samples are told."""


INTERVAL_TITLES = {
    "good_share": "share of good masks",
    "iou_over_90_share": "share with IoU over 0.90 with their correction",
    "iou_over_75_share": "share with IoU over 0.75 with their correction",
    "missing_per_image": "missing masks per image",
    "missing_image_share": "share of images that lack a mask",
}
"""What the intervals of an estimate are of, by their names."""


@dataclass(frozen=True, repr=False)
class Interval(ReadableResult):
    """One quality measure of a dataset, with its interval.

    Attributes:
        name: "good_share", "iou_over_90_share", "iou_over_75_share", "missing_per_image",
            "missing_image_share" (images that lack any mask).
        value_low: The estimate if all that is not known speaks against it.
        value_high: If all speaks for it; the same where all is known.
        low: Lower end of the interval.
        high: Upper end.
        method: "exact", "reviews", "prediction-powered" or "gamma"; two where the ends differ.
        width_reviews: Width of the interval from reviews alone.
        width_predicted: Width with the quality score as prediction; NaN where it was not used.
        unknown: How many masks of the sample could count either way.
    """

    name: str
    value_low: float
    value_high: float
    low: float
    high: float
    method: str
    width_reviews: float
    width_predicted: float
    unknown: int = 0

    def as_record(self) -> IntervalRecord:
        """Return plain values."""
        return {
            "name": self.name,
            "value_low": self.value_low,
            "value_high": self.value_high,
            "low": self.low,
            "high": self.high,
            "method": self.method,
            "width_reviews": finite_or_none(self.width_reviews),
            "width_predicted": finite_or_none(self.width_predicted),
            "unknown": self.unknown,
        }

    def text(self) -> str:
        """Return the number with its interval and how it was found."""
        count = self.name == "missing_per_image"
        low, high = (f"{v:.3g}" if count else f"{v:.2%}" for v in (self.low, self.high))
        ends = (self.value_low, self.value_high)
        value = " to ".join(dict.fromkeys(f"{v:.3g}" if count else f"{v:.2%}" for v in ends))
        unknown = f", {self.unknown:,} masks unknown" if self.unknown else ""
        return f"{INTERVAL_TITLES[self.name]}: {value} [{low}, {high}] ({self.method}{unknown})"


@dataclass(frozen=True, repr=False)
class Estimate(ReadableResult):
    """The quality of a dataset.

    Attributes:
        confidence: Of each interval by itself.
        masks: In the dataset.
        reviewed: Of the sample, those that somebody decided on.
        unit: What was drawn: "mask" or "image".
        intervals: By name.
        zero_failures: How many masks of a random sample, all good, show that at most a share is
            bad, by that share.
        notes: What to know about the sample.
    """

    confidence: float
    masks: int
    reviewed: int
    unit: str
    intervals: dict[str, Interval]
    zero_failures: dict[float, int]
    notes: tuple[str, ...]

    def frame(self) -> pd.DataFrame:
        """Return the intervals as a table, a row each."""
        return pd.DataFrame([vars(found) for found in self.intervals.values()])

    def as_record(self) -> EstimateRecord:
        """Return plain values."""
        return {
            "confidence": self.confidence,
            "masks": self.masks,
            "reviewed": self.reviewed,
            "unit": self.unit,
            "intervals": {name: found.as_record() for name, found in self.intervals.items()},
            "zero_failures": {f"{share:g}": count for share, count in self.zero_failures.items()},
            "notes": list(self.notes),
        }

    def as_dict(self) -> dict[str, object]:
        """Return plain values."""
        return {**self.as_record()}

    def _tables(self) -> dict[str, pd.DataFrame]:
        return {"intervals": self.frame()}

    def text(self) -> str:
        """Return the estimate in a few lines."""
        lines = [
            f"{self.reviewed:,} of {self.masks:,} masks reviewed; "
            f"intervals at {self.confidence:.0%}"
        ]
        lines += [interval.text() for interval in self.intervals.values()]
        sizes = ", ".join(f"{share:.0%}: {n:,}" for share, n in self.zero_failures.items())
        lines.append(f"masks that must all be good to show that at most a share is bad: {sizes}")
        return "\n".join([*lines, *self.notes])


@dataclass(frozen=True)
class ReviewedImages:
    """Randomly drawn images that were fully reviewed.

    Attributes:
        missing: Masks that people added to each.
        images: Images they were drawn from.
        notes: What to know about them.
    """

    missing: IntArray
    images: int
    notes: tuple[str, ...] = ()


def estimate(
    sample: ReviewedSample,
    population: Population,
    *,
    confidence: float = 0.95,
    reviewed_images: ReviewedImages | None = None,
) -> Estimate:
    """Estimate the quality of a dataset.

    Args:
        sample: From :func:`curate.people.guarantees.reviewed_sample.gather_sample`.
        population: All masks; ``quality`` is used as prediction.
        confidence: Of each interval.
        reviewed_images: For missing masks.

    Raises:
        CallError: The confidence is out of range, or the sample does not fit the population.
    """
    check_numbers(confidence=confidence)
    if population.size != sample.population:
        what = f"the sample is of {sample.population:,} masks, and there are {population.size:,}"
        raise CallError(what, "estimate", "give the population that the sample was drawn from")
    found = [
        bound_share("good_share", sample, population, (~sample.bad, sample.decided), confidence)
    ]
    for line in IOU_LINES:
        known = ~np.isnan(sample.iou)
        name = f"iou_over_{round(100 * line)}_share"
        found.append(bound_share(name, sample, population, (sample.iou > line, known), confidence))
    if reviewed_images is not None:
        found += estimate_missing(reviewed_images, confidence=confidence)
    sizes = {
        share: zero_failures(share, confidence, population.size) for share in ZERO_FAILURE_BOUNDS
    }
    notes = sample.notes + (reviewed_images.notes if reviewed_images else ())
    named = {interval.name: interval for interval in found}
    about = (population.size, sample.reviewed, sample.unit)
    return Estimate(confidence, *about, named, sizes, notes)


def bound_share(
    name: str,
    sample: ReviewedSample,
    population: Population,
    said: tuple[BoolArray, BoolArray],
    confidence: float,
) -> Interval:
    """Return the interval of a share with undecided masks: from all bad to all good.

    Args:
        name: Of the interval.
        sample: A random sample.
        population: All masks.
        said: Of which masks of the sample it is true, and of which it is known.
        confidence: Of the interval.

    Raises:
        CallError: A stratum has no reviewed mask.
    """
    yes, known = said
    least = intervals.share_interval(sample, population, yes & known, confidence)
    most = least
    if not known.all():
        most = intervals.share_interval(sample, population, yes | ~known, confidence)
    return Interval(
        name,
        least.value,
        most.value,
        min(least.low, most.low),
        max(least.high, most.high),
        least.method if least.method == most.method else f"{least.method}, {most.method}",
        max(least.width_reviews, most.width_reviews),
        max(least.width_predicted, most.width_predicted),
        int((~known).sum()),
    )


def gather_images(
    draws: Sequence[RecordedDraw], reviewed_images: IntArray, missing: pd.Series[int]
) -> ReviewedImages:
    """Combine draws of images into a random sample, after checking that it is one.

    Args:
        draws: All draws, in the order in which they were made; those of images count.
        reviewed_images: Images that people fully reviewed.
        missing: How many masks they added, by ``image_id``; none where it is not there.

    Raises:
        CallError: No images were drawn by chance, or the first of them were not looked at.
    """
    drawn = [draw for draw in draws if draw.kind == "estimate" and draw.unit == "image"]
    do = "draw some with `curate queue --kind estimate --whole-images` and review them"
    if not drawn:
        count = len(np.unique(reviewed_images))
        what = f"the {count:,} fully reviewed images were not drawn at random"
        raise CallError(what if count else "no image is fully reviewed", WHERE, do)
    ids, notes = [], []
    for draw in drawn:
        planned = np.asarray(draw.settings["images"]["ids"], np.int64)
        gap = np.flatnonzero(~np.isin(planned, reviewed_images))
        begun = planned[: gap[0]] if len(gap) else planned
        ids.append(begun)
        if len(begun) < len(planned):
            notes.append(
                f"draw {draw.number}: the first {len(begun):,} of {len(planned):,} images count"
            )
    chosen = np.unique(np.concatenate(ids))
    if len(chosen) < 2:
        what = "fewer than 2 images are fully reviewed, from the first of the draw on"
        raise CallError(what, WHERE, do)
    first = drawn[0].settings
    images = int(first["images"]["population"]) + int(first.get("before", 0))
    counts = np.asarray(missing.reindex(chosen, fill_value=0), np.int64)
    return ReviewedImages(counts, images, tuple(notes))


def estimate_missing(
    reviewed_images: ReviewedImages, *, confidence: float = 0.95
) -> list[Interval]:
    """Estimate missing masks per image, and the share of images that lack any.

    The mean has the interval of a Poisson count with the same variance (gamma). Where few were
    found, that variance is taken to be no smaller than that of masks missing independently.

    Args:
        reviewed_images: A random sample of images.
        confidence: Of each interval.

    Raises:
        CallError: The confidence is out of range.
    """
    check_numbers(confidence=confidence)
    risk, n = 1 - confidence, len(reviewed_images.missing)
    counts = reviewed_images.missing.astype(np.float64)
    mean, fraction = float(counts.mean()), n / reviewed_images.images
    low, high = _gamma_interval(counts, fraction, risk)
    per_image = Interval("missing_per_image", mean, mean, low, high, "gamma", high - low, math.nan)
    lacking = int((counts > 0).sum())
    rare = min(lacking, n - lacking)
    least, most = intervals.count_interval(rare, reviewed_images.images, fraction, n, risk)
    if rare != lacking:
        least, most = 1 - most, 1 - least
    share = lacking / n
    lacks = ("missing_image_share", share, share, least, most, "exact", most - least, math.nan)
    return [per_image, Interval(*lacks)]


def _gamma_interval(counts: FloatArray, fraction: float, risk: float) -> tuple[float, float]:
    n, mean = len(counts), float(counts.mean())
    left = max(1 - fraction, 0.0)
    if left == 0:
        return mean, mean
    if mean == 0:
        return 0.0, -math.log(risk / 2) / n
    variance = float(counts.var(ddof=1)) / n
    if counts.sum() < intervals.MIN_UNITS:
        variance = max(variance, mean / n)
    spread = stdtrit(n - 1, 1 - risk / 2) / stdtrit(1e9, 1 - risk / 2)
    variance *= left * spread**2
    scale, events = variance / mean, mean**2 / variance
    low, high = gammaincinv(events, risk / 2), gammaincinv(events + 1, 1 - risk / 2)
    return float(scale * low), float(scale * high)
