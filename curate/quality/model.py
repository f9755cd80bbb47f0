"""Quality model: signals of a mask in, the probability that people find it good out.

Its logit is a sum: a number, the mask's suspicion times a slope, and small trees. A sum can be
taken apart, so every probability comes with what each column did to it. The parts are stacked by a
regression whose slopes never fall; with one score that is Platt's scaling.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import numpy as np

from curate.common.arrays import BoolArray, FloatArray, IntArray, UInt64Array
from curate.quality.features import FeatureColumns
from curate.quality.trees import Trees, concat_trees

SUREST = 14.0
"""No logit lies farther from 0: a probability of one in a million is as good as any smaller one."""

NAMED = 3
"""How many columns are named with a probability."""

ROWS = 65_536
"""Masks that are looked at in one go, so that memory stays small."""


@dataclass(frozen=True)
class LogitModel:
    """A logit that is linear in some scores.

    Attributes:
        intercept: The logit where all scores are 0.
        slopes: What each score adds, at least 0.
    """

    intercept: float
    slopes: FloatArray

    def __call__(self, scores: FloatArray) -> FloatArray:
        """Return the logit of each row of ``scores``, (rows, scores)."""
        return np.asarray(self.intercept + scores @ self.slopes, np.float64)


def expit(logit: FloatArray) -> FloatArray:
    """Return the probabilities of logits."""
    with np.errstate(over="ignore"):
        return np.asarray(1 / (1 + np.exp(-logit)), np.float64)


@dataclass(frozen=True)
class QualityModel:
    """A calibrated sum.

    Attributes:
        columns: Every column that it looks at.
        intercept: The logit of being *bad* before anything is added.
        slope: What one unit of suspicion adds, at least 0.
        trees: What is added beside, over ``columns`` (and the suspicion, which is column 0).
        usual: What each column adds to an average mask of the dataset (see :meth:`centred`).
        middle: The median of each column there, NaN where it is not known.
        seen: Numbers of the images whose reviews it has learned from, sorted.
    """

    columns: FeatureColumns
    intercept: float
    slope: float
    trees: Trees
    usual: FloatArray = field(default_factory=lambda: np.empty(0))
    middle: FloatArray = field(default_factory=lambda: np.empty(0))
    seen: UInt64Array = field(default_factory=lambda: np.empty(0, np.uint64))

    @property
    def base(self) -> float:
        """The logit that the contributions are added to."""
        return self.intercept + self.trees.base

    def contributions(self, matrix: FloatArray) -> FloatArray:
        """Return each column's contribution to the logit of being bad."""
        added = self.trees.contributions(matrix)
        added[:, 0] += self.slope * matrix[:, 0]
        return added

    def logit(self, matrix: FloatArray) -> FloatArray:
        """Return the logit of being bad of each row."""
        found = np.empty(len(matrix))
        for at in range(0, len(matrix), ROWS):
            found[at : at + ROWS] = self.contributions(matrix[at : at + ROWS]).sum(axis=1)
        return np.clip(self.base + found, -SUREST, SUREST)

    def probability(self, matrix: FloatArray) -> FloatArray:
        """Return P(good) of each row."""
        return expit(-self.logit(matrix))

    def center(self, matrix: FloatArray) -> QualityModel:
        """Return the model with what is usual in a dataset, taken from a sample of its masks."""
        known = np.isfinite(matrix).any(axis=0)
        middle = np.full(matrix.shape[1], np.nan)
        middle[known] = np.nanmedian(matrix[:, known], axis=0)
        return replace(self, usual=self.contributions(matrix).mean(axis=0), middle=middle)

    def scale(self, weight: float, columns: FeatureColumns) -> QualityModel:
        """Return a model over other columns, its own among them, whose logit is so much larger."""
        at = [0, *(1 + columns.names.index(name) for name in self.columns.names)]
        trees = self.trees.scale(weight, at)
        return QualityModel(columns, weight * self.intercept, weight * self.slope, trees)

    def plus(self, other: QualityModel) -> QualityModel:
        """Return the model whose logit is the sum of two over the same columns."""
        trees = concat_trees(self.trees, other.trees)
        intercept, slope = self.intercept + other.intercept, self.slope + other.slope
        return QualityModel(self.columns, intercept, slope, trees)


@dataclass(frozen=True)
class Explained:
    """Probabilities, and what moved them.

    Attributes:
        probability: P(good), a row a mask.
        column: Shape (masks, 3): the columns that moved it most, the strongest first, by their
            place in the model's columns; -1 where nothing (more) did.
        moved: What each did to the logit of being bad, against an average mask.
        high: Whether the mask's value in that column is above the dataset's median.
        overall: Per column, by how much it moves a mask, on average.
    """

    probability: FloatArray
    column: IntArray
    moved: FloatArray
    high: BoolArray
    overall: FloatArray


def explain(
    model: QualityModel, matrix: FloatArray, shares: Mapping[str, FloatArray], heads: IntArray
) -> Explained:
    """Return probabilities with the three columns that moved each most.

    Args:
        model: The model, centred.
        matrix: What ``model.columns.matrix`` gives.
        shares: By signal, its part in the evidence behind each row's suspicion: what the suspicion
            does is told as what these signals do.
        heads: For each column, the place of the one that it is told as, itself or a kindred one.
    """
    names, rows = model.columns.names, len(matrix)
    probability, overall = np.empty(rows), np.zeros(len(names))
    column, moved = np.full((rows, NAMED), -1), np.zeros((rows, NAMED))
    for at in range(0, rows, ROWS):
        here = slice(at, at + ROWS)
        added = model.contributions(matrix[here])
        logit = np.clip(model.base + added.sum(axis=1), -SUREST, SUREST)
        probability[here] = expit(-logit)
        added -= model.usual
        told = added[:, 1:]
        for name, share in shares.items():
            if name in names:
                told[:, names.index(name)] += added[:, 0] * share[here]
        for place, head in enumerate(heads.tolist()):
            if head != place:
                told[:, head] += told[:, place]
                told[:, place] = 0.0
        overall += np.abs(told).sum(axis=0)
        order = np.argsort(-np.abs(told), axis=1, kind="stable")[:, :NAMED]
        strongest = np.take_along_axis(told, order, axis=1)
        moved[here, : order.shape[1]] = strongest
        column[here, : order.shape[1]] = np.where(strongest != 0, order, -1)
    values = np.take_along_axis(matrix, column + 1, axis=1)
    return Explained(
        probability, column, moved, values > model.middle[column + 1], overall / max(rows, 1)
    )
