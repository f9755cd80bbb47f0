"""Why a quality is low, or what it is: the signals that speak loudest of a mask, in words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from curate.table import STRING

if TYPE_CHECKING:
    from curate.models.quality_model import Explained

_STORED = {"predicted_iou": "predicted IoU", "stability_score": "stability", "score": "score"}
"""Columns that come from the source, which no scorer describes."""


def blame(frame: pd.DataFrame, reference: Mapping[str, Any]) -> pd.Series[Any]:
    """Return what speaks most against each mask, for :func:`~curate.curation.plan.decide`.

    Args:
        frame: Masks with their scores.
        reference: What ``curate.scorers.quality.fit`` gave.

    Returns:
        Same index: a clause such as "it has holes", from the signal's own description; empty where
        nothing speaks against the mask.
    """
    from curate.scorers.quality import evidence

    found = evidence(frame, reference)
    clauses = [_clause(name, high=False) for name in found.columns]
    loud = found.to_numpy(np.float64)
    words = np.full(len(frame), "", object)
    if loud.shape[1]:
        words = np.where(loud.max(axis=1) > 0, np.array(clauses, object)[loud.argmax(axis=1)], "")
    return pd.Series(words, frame.index, STRING)


def moved(found: Explained, names: Sequence[str], index: pd.Index[Any]) -> pd.Series[Any]:
    """Return what moved each mask's probability most, in words.

    Args:
        found: What the quality model says.
        names: Its columns.
        index: Of the masks.

    Returns:
        A text each: "against it: it has holes; high hole area | for it: usual shape", the strongest
        first on either side.
    """
    # A mask's text depends on which columns moved it, which way, and on which side its values are.
    way = np.where(found.moved > 0, np.where(found.high, 4, 3), np.where(found.high, 2, 1))
    kinds = np.where(found.column < 0, 0, 4 * found.column + way)
    coded = np.zeros(len(kinds), np.int64)
    for place in range(kinds.shape[1]):
        coded = coded * (4 * len(names) + 1) + kinds[:, place]
    _, first, which = np.unique(coded, return_index=True, return_inverse=True)
    texts = [_sides(found, row, names) for row in first.tolist()]
    return pd.Series(np.array(texts, object)[which.ravel()], index, STRING)


def against(found: Explained, names: Sequence[str], index: pd.Index[Any]) -> pd.Series[Any]:
    """Return what speaks most against each mask; empty where none of the strongest does."""
    told = [_clause(name, high) for name in names for high in (False, True)]
    words = np.array([*told, ""], object)
    worse = (found.column >= 0) & (found.moved > 0)
    rows, place = np.arange(len(worse)), worse.argmax(axis=1)
    clause = 2 * found.column[rows, place] + np.where(found.high[rows, place], 1, 0)
    chosen = np.where(worse.any(axis=1), clause, len(told))
    return pd.Series(words[chosen], index, STRING)


def families(names: Sequence[str]) -> npt.NDArray[np.int64]:
    """Return, for each column, the place of the one that it is told as.

    A scorer's measures repeat what its score says: a mask with a hole has a hole area, too. Such a
    measure ("hole_area_px") is told as the score whose name it bears ("hole_score").
    """
    from curate.scorers import registered

    heads = np.arange(len(names))
    for scorer in registered():
        written = [column for column in (*scorer.columns, *scorer.applied) if column.name in names]
        scores = [column.name for column in written if column.kind == "score"]
        for column in written:
            stems = column.name.split("_")
            same = [score for score in scores if score.removesuffix("_score") in stems]
            if column.kind == "measure" and same:
                heads[names.index(column.name)] = names.index(same[0])
    return heads


def _sides(found: Explained, row: int, names: Sequence[str]) -> str:
    sides: dict[str, list[str]] = {"against it": [], "for it": []}
    columns: npt.NDArray[np.int64] = found.column[row]
    for place, column in enumerate(columns.tolist()):
        if column >= 0:
            high = bool(found.high[row, place])
            if found.moved[row, place] > 0:
                sides["against it"].append(_clause(names[column], high))
            else:
                sides["for it"].append(_praise(names[column], high))
    return " | ".join(f"{side}: {'; '.join(said)}" for side, said in sides.items() if said)


def _clause(name: str, high: bool) -> str:
    """Return what a column says against a mask."""
    from curate.scorers import columns

    told = columns("mask").get(name)
    if told is not None and told.kind == "score" and told.low_means:
        return told.low_means
    if told is not None and told.kind != "score":
        return _measured(name, high)
    return f"its {_STORED.get(name, name.removesuffix('_score').replace('_', ' '))} is low"


def _praise(name: str, high: bool) -> str:
    """Return what a column says for a mask."""
    from curate.scorers import columns

    told = columns("mask").get(name)
    if name in _STORED or (told is None and name.endswith("_score")):
        return f"its {_STORED.get(name, name.removesuffix('_score').replace('_', ' '))}"
    return title(name) if told is not None and told.kind == "score" else _measured(name, high)


def _measured(name: str, high: bool) -> str:
    return f"{'high' if high else 'low'} {title(name)}"


def title(name: str) -> str:
    """Return a column's title as it stands inside a sentence."""
    from curate.scorers import columns

    told = columns("mask").get(name)
    text = told.title if told else _STORED.get(name, name.removesuffix("_px").replace("_", " "))
    return text if text[1:2].isupper() else text[:1].lower() + text[1:]
