"""Small boosted trees as plain arrays, with each column's contribution to a prediction.

scikit-learn grows the trees; they are kept as numbers, so that a file of them can hold nothing that
runs, and stays readable whatever scikit-learn's insides become.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from curate.common.arrays import BoolArray, FloatArray, Int32Array
from curate.errors import CurateError
from curate.rle.runs import kernel

ROUNDS = 100
RATE = 0.05
LEAVES = 8
SMALLEST_LEAF = 5
SHRINKAGE = 5.0
ASKED = 0.4
"""Share of the columns that a split may ask about: trees that differ err less together."""


@dataclass(frozen=True)
class Trees:
    """Trees whose values are added up.

    Attributes:
        column: Per node, the column it asks about; -1 for a leaf.
        threshold: Values at or below it go left.
        left: The node on the left; it always stands behind its parent.
        right: The node on the right.
        missing_left: Whether a value that is not available goes left.
        value: What the node is worth: of an inner node, the mean of its leaves by their weight.
        roots: The first node of each tree.
        base: What the sum begins with: the sum of the roots and of what is the same for all.
    """

    column: Int32Array
    threshold: FloatArray
    left: Int32Array
    right: Int32Array
    missing_left: BoolArray
    value: FloatArray
    roots: Int32Array
    base: float

    def contributions(self, matrix: FloatArray) -> FloatArray:
        """Return each column's contribution to the sum, shape of ``matrix``.

        A tree begins with its mean over what it was grown on, and every step down changes that; the
        change goes to the column that was asked.
        """
        added = np.zeros(matrix.shape)
        nodes = (self.column, self.threshold, self.left, self.right, self.missing_left, self.value)
        _walk(np.ascontiguousarray(matrix, np.float64), *nodes, self.roots, added)
        return added

    def sum(self, matrix: FloatArray) -> FloatArray:
        """Return the sum for each row: a logit."""
        return np.asarray(self.base + self.contributions(matrix).sum(axis=1), np.float64)

    def scaled(self, weight: float, columns: Sequence[int]) -> Trees:
        """Return trees that count ``weight`` as much and find column k at ``columns[k]``."""
        places = np.append(np.asarray(columns, np.int32), np.int32(-1))
        value, base = weight * self.value, weight * self.base
        return replace(self, column=places[self.column], value=value, base=base)


@kernel
def _walk(
    matrix: FloatArray,
    column: Int32Array,
    threshold: FloatArray,
    left: Int32Array,
    right: Int32Array,
    missing_left: BoolArray,
    value: FloatArray,
    roots: Int32Array,
    added: FloatArray,
) -> None:
    for i in range(len(matrix)):
        for root in roots:
            node = root
            while column[node] >= 0:
                asked = column[node]
                x = matrix[i, asked]
                goes_left = missing_left[node] if np.isnan(x) else x <= threshold[node]
                below = left[node] if goes_left else right[node]
                added[i, asked] += value[below] - value[node]
                node = below


def empty_trees() -> Trees:
    """Return no trees: their sum is 0 for every row."""
    whole, number = np.empty(0, np.int32), np.empty(0)
    return Trees(whole, number, whole, whole, np.empty(0, np.bool_), number, whole, 0.0)


def concat_trees(first: Trees, second: Trees) -> Trees:
    """Return trees whose sum is the sum of both."""
    shift = np.int32(len(first.column))
    return Trees(
        np.concatenate([first.column, second.column]),
        np.concatenate([first.threshold, second.threshold]),
        np.concatenate([first.left, second.left + shift]),
        np.concatenate([first.right, second.right + shift]),
        np.concatenate([first.missing_left, second.missing_left]),
        np.concatenate([first.value, second.value]),
        np.concatenate([first.roots, second.roots + shift]),
        first.base + second.base,
    )


def grow(matrix: FloatArray, bad: BoolArray, directions: Sequence[int], seed: int) -> Trees:
    """Grow trees that tell bad rows from good ones.

    Args:
        matrix: Shape (rows, columns); NaN where a value is not available.
        bad: Which rows are bad; some are, and some are not.
        directions: For each column, 1 if more of it can only be worse, -1 if only better, 0 for
            either.
        seed: Of the columns that splits may ask about.

    Returns:
        Trees whose sum is the logit of being bad.

    Raises:
        CurateError: This version of scikit-learn keeps its trees in another way.
    """
    from sklearn.ensemble import HistGradientBoostingClassifier
    from threadpoolctl import threadpool_limits

    # What no row has cannot be asked about, and scikit-learn stumbles over it.
    known = np.flatnonzero(np.isfinite(matrix).any(axis=0))
    grower = HistGradientBoostingClassifier(
        learning_rate=RATE,
        max_iter=ROUNDS,
        max_leaf_nodes=LEAVES,
        min_samples_leaf=SMALLEST_LEAF,
        l2_regularization=SHRINKAGE,
        max_features=ASKED,
        monotonic_cst=np.asarray(directions)[known].tolist(),
        early_stopping=False,
        random_state=seed,
    )
    with threadpool_limits(1):  # a few thousand rows: waiting for other threads costs more
        grower.fit(matrix[:, known], bad)
        expected = grower.decision_function(matrix[:, known])
    trees = _export_trees(grower).scaled(1.0, known.tolist())
    if not np.allclose(trees.sum(matrix), expected, rtol=1e-6, atol=1e-6):
        raise CurateError("its trees cannot be read out", "scikit-learn", "use another version")
    return trees


def _export_trees(grower: Any) -> Trees:
    """Read the trees out of scikit-learn's grower; :func:`grow` checks that they say the same."""
    try:
        nodes = [predictors[0].nodes for predictors in grower._predictors]
        base = float(np.ravel(grower._baseline_prediction)[0])
        starts = np.cumsum([0, *map(len, nodes)])
        joined = np.concatenate(nodes)
        shift = np.repeat(starts[:-1], np.diff(starts))
        leaf = joined["is_leaf"].astype(bool)
        trees = Trees(
            np.where(leaf, -1, joined["feature_idx"].astype(np.int64)).astype(np.int32),
            joined["num_threshold"].astype(np.float64),
            (joined["left"] + shift).astype(np.int32),
            (joined["right"] + shift).astype(np.int32),
            joined["missing_go_to_left"].astype(bool),
            joined["value"].astype(np.float64),
            starts[:-1].astype(np.int32),
            base,
        )
        return _with_means(trees, joined["count"].astype(np.float64))
    except (AttributeError, ValueError, KeyError, IndexError) as error:
        raise CurateError("its trees cannot be read out", "scikit-learn", str(error)) from error


def _with_means(trees: Trees, weight: FloatArray) -> Trees:
    """Give every inner node the mean of its leaves, and add what the roots are worth to the base.

    Leaves of a pure node hold infinite thresholds, which no row is asked about.
    """
    value = trees.value.copy()
    for node in range(len(value) - 1, -1, -1):  # children stand behind their parent
        if trees.column[node] >= 0:
            below = [trees.left[node], trees.right[node]]
            value[node] = np.average(value[below], weights=weight[below])
    base = trees.base + float(value[trees.roots].sum())
    return replace(trees, value=value, base=base)
