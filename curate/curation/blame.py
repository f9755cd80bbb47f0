"""Why a quality is low: the signal that speaks loudest against each mask, in words."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from curate.table import STRING


def blame(frame: pd.DataFrame, reference: Mapping[str, Any]) -> pd.Series[Any]:
    """Return what speaks most against each mask, for :func:`~curate.curation.plan.decide`.

    Args:
        frame: Masks with their scores.
        reference: What ``curate.scorers.quality.fit`` gave.

    Returns:
        Same index: a clause such as "it has holes", from the signal's own description; empty where
        nothing speaks against the mask.
    """
    from curate.scorers import columns
    from curate.scorers.quality import evidence

    found = evidence(frame, reference)
    told = columns("mask")
    clauses = [
        told[name].low_means if name in told and told[name].low_means else _plain(name)
        for name in found.columns
    ]
    loud = found.to_numpy(np.float64)
    words = np.full(len(frame), "", object)
    if loud.shape[1]:
        words = np.where(loud.max(axis=1) > 0, np.array(clauses, object)[loud.argmax(axis=1)], "")
    return pd.Series(words, frame.index, STRING)


def _plain(name: str) -> str:
    known = {"predicted_iou": "its predicted IoU", "stability_score": "its stability"}
    return f"{known.get(name, 'its ' + name.removesuffix('_score').replace('_', ' '))} is low"
