"""Features of the quality model: signals, measures, and their label-free evidence.

A mask's *suspicion* is the logarithm of the evidence that the label-free quality is made of, so a
model that learns nothing else still ranks as well as before. A lower *signal* never makes a mask
better. *Measures* (areas, counts, lengths) may speak either way, unless they are evidence.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd

from curate.common.arrays import FloatArray
from curate.quality.label_free import signals

OWN = frozenset({"quality_score", "unlearned_quality_score"})
"""Scores that are made of the signals, or of this model, and are no signals themselves."""

PLACES = frozenset({"centre_x", "centre_y"})
"""Measures by which a model could learn images by heart: where a mask stands."""

LEAST_EVIDENCE = 0.05
"""Added before the logarithm is taken, in nats: evidence under this is as good as none."""


@dataclass(frozen=True)
class FeatureColumns:
    """The columns of a model; in its matrices they stand behind the suspicion.

    Attributes:
        signals: Low is worse.
        measures: Either way.
    """

    signals: tuple[str, ...]
    measures: tuple[str, ...]

    @property
    def names(self) -> tuple[str, ...]:
        """All of them, in order."""
        return (*self.signals, *self.measures)

    def directions(self) -> list[int]:
        """Return, for the suspicion and each column, whether more can only be worse (1), only
        better (-1), or either (0): a measure has a direction where its column states one."""
        stated = {name: 1 if one.high_is_worse else -1 for name, one in signals().items()}
        return [1, *[-1] * len(self.signals), *(stated.get(name, 0) for name in self.measures)]

    def union(self, other: FeatureColumns) -> FeatureColumns:
        """Return these columns and those of another that are not among them."""
        signals = dict.fromkeys((*self.signals, *other.signals))
        measures = dict.fromkeys((*self.measures, *other.measures))
        return FeatureColumns(
            tuple(signals), tuple(name for name in measures if name not in signals)
        )

    def without(self, name: str) -> FeatureColumns:
        """Return these columns but one."""
        return FeatureColumns(
            tuple(one for one in self.signals if one != name),
            tuple(one for one in self.measures if one != name),
        )

    def with_signal(self, name: str) -> FeatureColumns:
        """Return these columns and a signal, where it is not among them."""
        return self if name in self.names else FeatureColumns((*self.signals, name), self.measures)

    def matrix(self, frame: pd.DataFrame, evidence: FloatArray) -> FloatArray:
        """Return the features as a matrix.

        Args:
            frame: A row a mask; a column that is not there is not available.
            evidence: How strongly all signals together speak against each mask, in nats.

        Returns:
            Shape (masks, 1 + columns), the suspicion first; NaN where something is not available.
        """
        matrix = np.full((len(frame), 1 + len(self.names)), np.nan)
        matrix[:, 0] = np.log(evidence + LEAST_EVIDENCE)
        for k, name in enumerate(self.names, 1):
            if name in frame:
                values = frame[name].to_numpy(np.float64, na_value=np.nan)
                matrix[:, k] = np.where(np.isfinite(values), values, np.nan)
        return matrix


def choose_columns(frame: pd.DataFrame, measures: Iterable[str]) -> FeatureColumns:
    """Return the columns that can tell the masks of a dataset apart.

    Args:
        frame: A sample of the dataset's masks.
        measures: Columns that are measures, whether or not they are there.
    """
    scores = [
        name
        for name in frame.columns
        if (name.endswith("_score") or name in ("predicted_iou", "score")) and name not in OWN
    ]
    others = [
        name
        for name in dict.fromkeys(measures)
        if name in frame and name not in PLACES and name not in scores
    ]
    return FeatureColumns(
        tuple(name for name in scores if _varies(frame[name])),
        tuple(name for name in others if _varies(frame[name])),
    )


def _varies(column: pd.Series[float]) -> bool:
    values = column.to_numpy(np.float64, na_value=np.nan)
    values = values[np.isfinite(values)]
    return len(values) > 0 and bool(values.min() < values.max())


def evidence_shares(evidence: pd.DataFrame) -> Mapping[str, FloatArray]:
    """Return each signal's part in the evidence of each mask; 0 where nothing speaks against it."""
    squares = np.square(evidence.to_numpy(np.float64))
    total = squares.sum(axis=1)
    return {
        str(name): np.divide(squares[:, k], total, out=np.zeros(len(total)), where=total > 0)
        for k, name in enumerate(evidence.columns)
    }
