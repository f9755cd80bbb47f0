"""Explanations of a quality: the signals that speak most against a mask, in words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from curate.common.arrays import IntArray
from curate.dataset.table import STRING, plain
from curate.quality.label_free import evidence, scores_of, signals_of
from curate.scorers import all_scorers, columns
from curate.scorers.reason_template import Wording
from curate.store.audit_records import TailReference

if TYPE_CHECKING:
    from curate.quality.model import Explained

_STORED = {"predicted_iou": "predicted IoU", "stability_score": "stability", "score": "score"}
"""Columns that come from the source, which no scorer describes."""

_READS_AS_ONE = 0.995
"""From here on a score reads as 1.00."""

LACK = "lack"
"""What a statement calls 1 - its score."""


@dataclass(frozen=True)
class Blame:
    """Strongest signals against some masks; texts in the order of the masks, "" for none.

    Attributes:
        stated: What was measured there, with its numbers: "it has holes (120 px in all)".
        weakest: The name and the value of that signal alone: "detector confirmation 0.86"; ""
            where it is not below what is usual in the dataset, or reads as 1.00 all the same.
    """

    stated: Sequence[str]
    weakest: Sequence[str]


def explain_low_quality(
    frame: pd.DataFrame,
    reference: Mapping[str, TailReference],
    limits: Mapping[str, float] | None = None,
) -> Blame:
    """Explain what speaks most against each mask, for :func:`~curate.policy.plan.decide`.

    Args:
        frame: Masks with their scores, and the columns of :func:`stated_columns`.
        reference: What ``curate.quality.label_free.fit`` gave.
        limits: By signal, the value from which on it is no sign of a fault; where any other signal
            speaks, these do not.
    """
    weakest = _strongest_column(evidence(frame, reference))
    gross = _strongest_column(evidence(frame, reference, limits)) if limits else weakest
    at_all = [name or other for name, other in zip(gross, weakest, strict=True)]
    high = {name for name, signal in signals_of(reference).items() if signal.high_is_worse}
    stated = explain_columns(frame, at_all, [name in high for name in at_all]).stated
    low = _only_low(frame, weakest, reference)
    return Blame(stated, explain_columns(frame, low, [name in high for name in low]).weakest)


def _only_low(
    frame: pd.DataFrame, names: Sequence[str], reference: Mapping[str, TailReference]
) -> list[str]:
    """Return each mask's column where its value is worse than what is usual, else "".

    Columns of which nothing says what is usual, as most measures, stay.
    """
    columns, signals = np.array(names, object), signals_of(reference)
    for name in dict.fromkeys(names):
        if name in signals and name in frame:
            value = scores_of(frame, signals[name])
            low = value < min(float(reference[name]["usual"]), _READS_AS_ONE)
            columns[(columns == name) & ~low] = ""
    return [str(name) for name in columns]


def _strongest_column(found: pd.DataFrame) -> list[str]:
    """Return for each row the column of the largest value, "" where none is over 0."""
    loud, names = found.to_numpy(np.float64), np.array([*found.columns, ""], object)
    which = np.full(len(found), len(names) - 1)
    if loud.shape[1]:
        which = np.where(loud.max(axis=1) > 0, loud.argmax(axis=1), which)
    return [str(name) for name in names[which]]


def explain_columns(frame: pd.DataFrame, names: Sequence[str], high: Sequence[bool]) -> Blame:
    """State the columns that speak against each mask.

    Args:
        frame: Masks with their scores.
        names: For each mask the column; "" for none.
        high: For each mask whether the column speaks by a high value.
    """
    stated, weakest = np.full(len(frame), "", object), np.full(len(frame), "", object)
    columns, ways = np.array(names, object), np.array(high, np.bool_)
    for name, way in dict.fromkeys(zip(names, high, strict=True)):
        if not name:
            continue
        rows = np.flatnonzero((columns == name) & (ways == way))
        part = frame.iloc[rows]
        stated[rows] = _statements(part, name, way)
        shown = Wording.parse(f"{title(name)} {{{name}:.2f}}")
        weakest[rows] = shown.fill(_values(part, (name,)), len(rows))
    return Blame(stated.tolist(), weakest.tolist())


def stated_columns() -> frozenset[str]:
    """Return every column that a statement shows, beside the scores themselves."""
    all_columns = columns("mask").values()
    texts = [text for c in all_columns for text in (c.full_statement, c.states_at_zero)]
    named = {name for text in texts for name in Wording.parse(text).columns}
    return frozenset(named - {LACK})


def _statements(frame: pd.DataFrame, name: str, high: bool) -> npt.NDArray[np.object_]:
    """State one column of some masks."""
    told = columns("mask").get(name)
    plain_text = f"{'higher' if high else 'lower'} {title(name)} than is usual ({{{name}:.3g}})"
    # What a measure states is true of its bad values only; a model may find the others odd, too.
    stating = told is not None and (told.kind == "score" or told.high_is_worse == high)
    text = (told.states if told and stating else "") or plain_text
    found = np.array(_fill_template(frame, name, text), object)
    for clause in told.states_known if told and text == told.states else ():
        shown = [one for one in Wording.parse(clause).columns if one != LACK]
        if all(one in frame for one in shown):
            known = frame[shown].notna().all(axis=1).to_numpy()
            more = _fill_template(frame[known], name, clause, strip=False)
            rows = np.flatnonzero(known).tolist()
            found[rows] = [found[row] + text for row, text in zip(rows, more, strict=True)]
    if told and told.states_at_zero and name in frame:
        zero = frame[name].to_numpy(np.float64) == 0
        found[zero] = _fill_template(frame[zero], name, told.states_at_zero)
    return found


def _fill_template(frame: pd.DataFrame, name: str, text: str, *, strip: bool = True) -> list[str]:
    wording = Wording.parse(text)
    values = _values(frame, [column for column in wording.columns if column != LACK])
    if LACK in wording.columns and name in frame:
        values[LACK] = (1 - frame[name].to_numpy(np.float64)).tolist()
    return wording.fill(values, len(frame), strip=strip)


def _values(frame: pd.DataFrame, names: Sequence[str]) -> dict[str, list[Any]]:
    return {name: plain(frame[name]) for name in names if name in frame}


def explain_probability(
    found: Explained, names: Sequence[str], index: pd.Index[Any]
) -> pd.Series[Any]:
    """Name the signals that moved each mask's probability most, in words.

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


def explain_evidence(
    found: Explained,
    names: Sequence[str],
    frame: pd.DataFrame,
    reference: Mapping[str, TailReference],
) -> Blame:
    """Explain what speaks most against each mask; nothing where none of the strongest does."""
    worse = (found.column >= 0) & (found.moved > 0)
    rows, place = np.arange(len(worse)), worse.argmax(axis=1)
    chosen = np.where(worse.any(axis=1), found.column[rows, place], len(names))
    columns = np.array([*names, ""], object)[chosen].tolist()
    high = found.high[rows, place].tolist()
    weakest = explain_columns(frame, _only_low(frame, columns, reference), high).weakest
    return Blame(explain_columns(frame, columns, high).stated, weakest)


def families(names: Sequence[str]) -> IntArray:
    """Return, for each column, the place of the one that it is told as.

    A scorer's measures repeat what its score says: a mask with a hole has a hole area, too. Such a
    measure ("hole_area_px") is told as the score whose name it bears ("hole_score").
    """
    heads = np.arange(len(names))
    for scorer in all_scorers():
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
    columns: IntArray = found.column[row]
    for place, column in enumerate(columns.tolist()):
        if column >= 0:
            high = bool(found.high[row, place])
            if found.moved[row, place] > 0:
                sides["against it"].append(_clause(names[column], high))
            else:
                sides["for it"].append(_praise(names[column], high))
    return " | ".join(f"{side}: {'; '.join(said)}" for side, said in sides.items() if said)


def _clause(name: str, high: bool) -> str:
    """Return the clause of a column that speaks against a mask."""
    told = columns("mask").get(name)
    if told is not None and told.kind == "score" and told.low_means:
        return told.low_means
    if told is not None and told.kind != "score":
        return _describe_measure(name, high)
    return f"its {_STORED.get(name, name.removesuffix('_score').replace('_', ' '))} is low"


def _praise(name: str, high: bool) -> str:
    """Return the clause of a column that speaks for a mask."""
    told = columns("mask").get(name)
    if name in _STORED or (told is None and name.endswith("_score")):
        return f"its {_STORED.get(name, name.removesuffix('_score').replace('_', ' '))}"
    return (
        title(name) if told is not None and told.kind == "score" else _describe_measure(name, high)
    )


def _describe_measure(name: str, high: bool) -> str:
    return f"{'high' if high else 'low'} {title(name)}"


def title(name: str) -> str:
    """Return a column's title as it stands inside a sentence."""
    told = columns("mask").get(name)
    text = told.title if told else _STORED.get(name, name.removesuffix("_px").replace("_", " "))
    return text if text[1:2].isupper() else text[:1].lower() + text[1:]
