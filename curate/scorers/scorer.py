"""Scorer interface: a function from masks to numbers, and the description of its columns."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, Literal, get_args

import numpy as np
import pandas as pd

from curate.common.arrays import BoolArray, FloatArray, IntArray
from curate.common.json_values import JsonObject
from curate.dataset.table import MaskTable
from curate.errors import CallError

Evidence = Literal["", "contradiction", "form", "annotation", "judgement", "category"]
"""How a column counts in ``quality_score``; see :class:`Column`."""

NEEDS: tuple[str, ...] = (
    "images",
    "detections",
    "compare",
    "soft_masks",
    "segmenter",
    "encoder",
    "verifier",
    "judge",
    "deep",
)
"""What a scorer can ask for beside the masks; each is the keyword it is passed under, except
``deep``, which only asks for leave to be slow."""


@dataclass(frozen=True)
class Column:
    """One column that a scorer writes, described for people.

    Attributes:
        name: Column name. Scores end in ``_score``; measures carry their unit (``hole_area_px``).
        title: A short title for a table head or a plot: "Hole area".
        kind: "score" is float64 in [0, 1], low is worse, NaN where it does not apply; "measure" is
            any other number, NaN where it does not apply; "id" is a nullable Int64, for masks the
            ``mask_id`` of another one; "word" is text.
        unit: "px", "px^2", "share", "" for a plain number or count.
        low_means: For scores: what a low value says about the mask, as a clause that goes on after
            "because": "it falls into several pieces". For others: what the value is.
        states: For scores: the reason that a mask of low value gets. It states what was measured,
            with ``{column}`` for a number, ``{lack}`` for 1 - the score, and is true of every value
            under 1: "it has holes ({hole_area_px} px in all)".
        states_known: Clauses that go on behind ``states``, each where all of its columns have a
            value: ", most like this error: {verifier_kind}".
        states_at_zero: The same as ``states`` for a value of 0, where that is another matter.
        evidence: For scores and measures of masks: how the column counts in ``quality_score`` (see
            :mod:`curate.quality.label_free`). "" for not at all; "contradiction" where something
            else speaks against the mask, a model, a picture, a person, a neighbour: at any size;
            "form" where the mask alone is odd, which is not yet wrong: only a gross oddity;
            "annotation" where others who annotated the same images disagree: in full for the
            lowest quarter of the masks, and once for each of them; "judgement" where the score is
            a model's probability that the mask is good: by its odds, against the mask under one
            half, for it above; "category" where the score doubts the category and not the mask: by
            how rare it is, under one half.
        count: For an "annotation": the measure that says how many others there are; one where the
            masks do not have it.
        best: For measures that count: the value that speaks against no mask.
        worst: The value than which none is worse; under ``best`` where low is bad, above it where
            high is. What lies between counts as the score ``(worst - value) / (worst - best)``.
    """

    name: str
    title: str
    kind: Literal["score", "measure", "id", "word"] = "score"
    unit: str = ""
    low_means: str = ""
    states: str = ""
    states_known: tuple[str, ...] = ()
    states_at_zero: str = ""
    evidence: Evidence = ""
    count: str = ""
    best: float = 1.0
    worst: float = 0.0

    def __post_init__(self) -> None:
        place = f"Column {self.name}"
        if (self.kind == "score") != self.name.endswith("_score"):
            raise CallError("scores, and only scores, end in _score", place)
        if self.evidence not in get_args(Evidence):
            raise CallError(f"there is no evidence {self.evidence!r}", place)
        if self.evidence and self.kind not in ("score", "measure"):
            raise CallError("only scores and measures are evidence", place)
        if self.evidence in ("judgement", "category") and self.kind != "score":
            raise CallError(f"only scores are a {self.evidence}", place)
        if self.count and self.evidence != "annotation":
            raise CallError("only an annotation has a count", place)
        span = (self.best, self.worst)
        if span != (1.0, 0.0) and (self.kind == "score" or not self.evidence):
            raise CallError("best and worst are for measures that are evidence", place)
        if not (np.isfinite(span).all() and self.best != self.worst):
            raise CallError("best and worst must be two finite numbers", place)
        if self.kind != "score" and (self.states_at_zero or "{lack" in self.states):
            raise CallError("{lack} and states_at_zero are for scores", place)

    @property
    def full_statement(self) -> str:
        """The reason that a mask of low value gets where all that it shows is known."""
        return self.states + "".join(self.states_known)

    @property
    def high_is_worse(self) -> bool:
        """Whether a high value speaks against a mask."""
        return self.worst > self.best

    def as_score(self, values: FloatArray) -> FloatArray:
        """Return values on the scale of scores: 1 for the best, 0 for the worst and beyond.

        Args:
            values: Any shape; NaN stays NaN. Scores come back as they are.
        """
        if (self.best, self.worst) == (1.0, 0.0):
            return values
        return np.maximum((self.worst - values) / (self.worst - self.best), 0.0)


@dataclass(frozen=True)
class Scorer:
    """A named function from masks to columns, with what it needs and what it gives.

    Attributes:
        name: One word, also the key of its parameters.
        function: ``(table, *, <needs>, <parameters>) -> DataFrame`` with the index of
            ``table.masks`` (level "mask") or ``table.images`` (level "image") and exactly
            ``columns``. Pure: same table, same numbers, whatever the order of the rows; a part of
            whole images gives what the whole table gives.
        columns: What ``function`` writes.
        question: What it asks of a mask: "is it in one piece?"
        needs: Words of :data:`NEEDS` without which it cannot run; passed as keywords.
        level: Whether it speaks of masks or of images.
        reads: Columns that ``fit`` and ``apply`` read: the scorer's own, or those of ``masks``.
        may_read: Columns that they read where the masks have them.
        fit: Second step, for what only the whole dataset can say: takes a frame with ``reads`` (a
            random sample of masks is enough) and gives a JSON-able reference.
        apply: Takes a frame with ``reads`` (whole images) and the reference, gives ``applied``.
        applied: Columns that ``apply`` writes.
    """

    name: str
    function: Callable[..., pd.DataFrame]
    columns: tuple[Column, ...]
    question: str = ""
    needs: tuple[str, ...] = ()
    level: Literal["mask", "image"] = "mask"
    reads: tuple[str, ...] = ()
    may_read: tuple[str, ...] = ()
    fit: Callable[[pd.DataFrame], JsonObject] | None = None
    apply: Callable[[pd.DataFrame, Any], pd.DataFrame] | None = None
    applied: tuple[Column, ...] = field(default=())

    def __post_init__(self) -> None:
        unknown = [need for need in self.needs if need not in NEEDS]
        if unknown:
            raise CallError(f"unknown need {unknown[0]}", f"Scorer {self.name}")

    def __call__(self, table: MaskTable, **keywords: Any) -> pd.DataFrame:
        """Run ``function`` and check that index and columns are what was promised.

        Raises:
            CallError: The function gave another index or other columns.
        """
        result = self.function(table, **keywords)
        index = (table.masks if self.level == "mask" else table.images).index
        if not result.index.equals(index):
            raise CallError("it gave another index than its table's", f"scorer {self.name}")
        names = [column.name for column in self.columns]
        if list(result.columns) != names:
            raise CallError(
                f"it gave the columns {list(result.columns)}, not {names}", f"scorer {self.name}"
            )
        return result


def has_pixels(table: MaskTable) -> BoolArray:
    """Return which masks have at least one pixel, shape (n,): only those get numbers."""
    return table.masks["area_px"].to_numpy() > 0


def rows_by_image(table: MaskTable) -> Iterator[tuple[int, IntArray]]:
    """Yield each image with the rows of its masks, for scorers that ask a picture about them all.

    Masks without a pixel are left out, and those of another size than the image's first one.
    """
    rows = np.flatnonzero(has_pixels(table))
    image_of = table.masks["image_id"].to_numpy()
    for same in pd.Series(rows).groupby(image_of[rows], sort=False).indices.values():
        these = rows[same]
        heights, widths = table.runs.heights[these], table.runs.widths[these]
        fits = (heights == heights[0]) & (widths == widths[0])
        yield int(image_of[these[0]]), these[fits]


FARTHEST_PX = 1e12
"""Farther than any pixel of any image; squares of it are still far from overflow."""


def clip_coordinates(coordinates: FloatArray) -> FloatArray:
    """Return coordinates of any shape, in pixels, within what can be computed with.

    What a file states can be any number. Infinite ones are bounded too; NaN stays NaN.
    """
    return np.clip(coordinates, -FARTHEST_PX, FARTHEST_PX)
