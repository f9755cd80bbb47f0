"""Values that plots draw: counts of an audit, small whatever its size."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from curate.common.arrays import FloatArray, IntArray

NO_CATEGORY = "(no category)"
"""Stands for masks without a category."""


@dataclass(frozen=True)
class CategoryCounts:
    """Masks by category and action.

    Attributes:
        by: "count" or "trouble": what the categories are ordered by.
        names: Of the categories, in order.
        actions: Masks of each category, by action; shape (categories,) each.
        others: Categories that are not listed; their masks are in none of the counts.
        masks: Masks in all.
    """

    by: str
    names: Sequence[str]
    actions: Mapping[str, IntArray]
    others: int
    masks: int


@dataclass(frozen=True)
class CrossTable:
    """Counts by two kinds of names.

    Attributes:
        rows: Names of the rows.
        columns: Names of the columns.
        counts: Shape (rows, columns).
        totals: What a row's counts are shares of, shape (rows,).
        total: Masks or images in all, those of rows and columns that are not listed too.
        keys: Of the columns, where their names are shortened: what they stand for.
    """

    rows: Sequence[str]
    columns: Sequence[str]
    counts: IntArray
    totals: IntArray
    total: int
    keys: Sequence[str] = ()

    @property
    def shares(self) -> FloatArray:
        """Counts as shares of their row's total; 0 where that is 0."""
        totals: FloatArray = self.totals[:, None].clip(1).astype("float64")
        return self.counts / totals


@dataclass(frozen=True)
class Positions:
    """Where in their images the middles of the masks' boxes lie.

    Attributes:
        counts: Masks by cell, shape (rows, columns); the first row is the top of the image.
        trouble: Those that are not accepted.
    """

    counts: IntArray
    trouble: IntArray


@dataclass(frozen=True)
class MeanMask:
    """Mean of a category's masks, each scaled to fill the square with its longer side.

    Attributes:
        category: Its name.
        mean: Share of the masks that cover each cell, in [0, 1]; square.
        sampled: Masks of which it is the mean.
        masks: Masks of the category.
    """

    category: str
    mean: FloatArray
    sampled: int
    masks: int


@dataclass(frozen=True)
class SizeQuality:
    """Masks by area and quality.

    Attributes:
        counts: Shape (quality bins, area bins).
        area_edges: In log10 of pixels.
        quality_edges: In the unit of the quality.
    """

    counts: IntArray
    area_edges: FloatArray
    quality_edges: FloatArray


@dataclass(frozen=True)
class Effort:
    """Errors found by looking at the first masks of the queue.

    Attributes:
        looked: Masks looked at, ascending, from 0 to all.
        found: Share of all errors found by then, in [0, 1].
        low: Lower end of the interval of each.
        high: Upper end.
        basis: "sample": a reviewed random sample; "known sample": one from which the order may have
            learned; "learned": probabilities of a model that learned from people; "policy": what
            the policy holds likely, a rule of thumb.
        errors: Bad masks in the sample; or how many are expected.
        reviewed: Masks of the sample; 0 without one.
        confidence: Of each interval.
    """

    looked: FloatArray
    found: FloatArray
    low: FloatArray
    high: FloatArray
    basis: str
    errors: float
    reviewed: int
    confidence: float = 0.95


@dataclass(frozen=True)
class ScoreCounts:
    """Histogram of one score.

    Attributes:
        column: Its name.
        edges: Of the bins, ascending.
        counts: Masks in each.
        missing: Masks without a value.
        lines: Thresholds of the policy: (value, action).
    """

    column: str
    edges: FloatArray
    counts: IntArray
    missing: int
    lines: Sequence[tuple[float, str]] = field(default=())

    @property
    def available(self) -> int:
        """Masks with a value."""
        return int(self.counts.sum())
