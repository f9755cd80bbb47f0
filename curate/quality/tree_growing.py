"""Growing of boosted trees by scikit-learn, which only a training loads."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from importlib import import_module
from typing import Any

import numpy as np
from threadpoolctl import threadpool_limits

from curate.common.arrays import BoolArray, FloatArray
from curate.errors import CurateError
from curate.quality.trees import Trees

ROUNDS = 100
RATE = 0.05
LEAVES = 8
SMALLEST_LEAF = 5
SHRINKAGE = 5.0
ASKED = 0.4
"""Share of the columns that a split may ask about: trees that differ err less together."""


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
    # What no row has cannot be asked about, and scikit-learn stumbles over it.
    known = np.flatnonzero(np.isfinite(matrix).any(axis=0))
    # Loaded by its name: the engine learns too, and most of its verbs do not.
    ensemble = import_module("sklearn.ensemble")
    grower = ensemble.HistGradientBoostingClassifier(
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
    trees = _export_trees(grower).scale(1.0, known.tolist())
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
