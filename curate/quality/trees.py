"""Small boosted trees as plain arrays, with each column's contribution to a prediction.

scikit-learn grows the trees; they are kept as numbers, so that a file of them can hold nothing that
runs, and stays readable whatever scikit-learn's insides become.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from curate.common.arrays import BoolArray, FloatArray, Int32Array
from curate.rle.runs import kernel


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

    def scale(self, weight: float, columns: Sequence[int]) -> Trees:
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
