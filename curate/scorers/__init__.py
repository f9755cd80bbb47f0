"""Signals: each measures one property of a mask; none decides.

A module of :data:`MODULES` holds a tuple ``SCORERS`` of :class:`~curate.scorers.scorer.Scorer`;
other packages add theirs through the entry-point group ``curate.scorers`` (an entry point names a
``Scorer`` or a tuple of them). All are loaded on first use.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import cache
from importlib import import_module

import pandas as pd

from curate.common.json_values import JsonObject
from curate.common.plugins import load_plugins
from curate.dataset.table import MaskTable
from curate.errors import CallError, CurateError
from curate.scorers.scorer import NEEDS, Column, Scorer

MODULES: tuple[str, ...] = (
    "integrity",
    "duplicates",
    "declaration",
    "prompt",
    "split",
    "shape",
    "detail",
    "stability",
    "detector",
    "agreement",
    "edge",
    "reprompt",
    "embedding",
    "verifier",
    "category",
    "unmasked_objects",
    "judge",
    "pictures",
)
"""The built-in modules, in the order in which their columns appear."""

ENTRY_POINTS = "curate.scorers"
"""Entry-point group through which other packages add scorers."""


@cache
def all_scorers() -> tuple[Scorer, ...]:
    """Return every scorer: the built-in ones in order, then those of other packages by name.

    Raises:
        CallError: Two scorers have the same name or write the same column.
    """
    found: list[Scorer] = []
    for module in MODULES:
        found.extend(import_module(f"{__name__}.{module}").SCORERS)
    for loaded in load_plugins(ENTRY_POINTS):
        found.extend(loaded if isinstance(loaded, tuple) else (loaded,))
    _refuse_twins(found)
    return tuple(found)


def _refuse_twins(scorers: Iterable[Scorer]) -> None:
    names: set[str] = set()
    columns: set[tuple[str, str]] = set()
    for scorer in scorers:
        if scorer.name in names:
            raise CallError("two scorers have this name", f"scorer {scorer.name}")
        names.add(scorer.name)
        for column in (*scorer.columns, *scorer.applied):
            if (scorer.level, column.name) in columns:
                raise CallError(f"{column.name} is another's column", f"scorer {scorer.name}")
            columns.add((scorer.level, column.name))


def columns(level: str = "mask") -> dict[str, Column]:
    """Return the columns of all scorers of a level ("mask" or "image"), by name."""
    return {
        column.name: column
        for scorer in all_scorers()
        if scorer.level == level
        for column in (*scorer.columns, *scorer.applied)
    }


def score(
    table: MaskTable,
    *,
    inputs: Mapping[str, object] | None = None,
    parameters: Mapping[str, Mapping[str, object]] | None = None,
    only: Iterable[str] | None = None,
    level: str = "mask",
    references: Mapping[str, object] | None = None,
    two_step: bool = True,
) -> pd.DataFrame:
    """Run every scorer that can run, and put their columns side by side.

    Args:
        table: Masks; rows of one image together or not, in any order.
        inputs: What is there beside the masks, by the words of :data:`curate.scorers.scorer.NEEDS`:
            ``images``, ``detections``, ``compare``, ``soft_masks``. A scorer whose needs are not
            there is left out.
        parameters: Keyword parameters by scorer name: ``{"duplicates": {"contained": 0.9}}``.
        only: Names of the scorers to run; all if None.
        level: "mask", or "image" for the scorers that speak of images.
        references: What :func:`fit` gave for a larger dataset that this table is part of; where a
            scorer of two steps is not in it, it is fitted on this table.
        two_step: False leaves the second steps (:func:`fit`, :func:`apply`) to the caller, who has
            more masks than this table.

    Returns:
        Index of ``table.masks`` (or ``table.images``), a column a score or measure.

    Raises:
        CallError: A name in ``only``, ``inputs`` or ``parameters`` is unknown.
        Exception: Whatever a scorer raised, with the scorer's name and the mask noted on it.
    """
    inputs = {word: value for word, value in (inputs or {}).items() if value is not None}
    chosen = _choose(only, inputs, parameters or {})
    frame = table.masks if level == "mask" else table.images
    parts: list[pd.DataFrame] = [pd.DataFrame(index=frame.index)]
    for scorer in chosen:
        if scorer.level == level and all(need in inputs for need in scorer.needs):
            keywords = {need: inputs[need] for need in scorer.needs if need != "deep"}
            parts.append(
                _run(scorer, table, keywords | dict((parameters or {}).get(scorer.name, {})))
            )
    scores = pd.concat(parts, axis=1)
    if two_step and level == "mask":
        stored = table.masks[[c for c in table.masks.columns if c not in scores.columns]]
        joined = pd.concat([stored, scores], axis=1)
        known = dict(references or {})
        names = [scorer.name for scorer in chosen if scorer.name not in known]
        scores = pd.concat([scores, apply(joined, fit(joined, only=names) | known)], axis=1)
    return scores


def _choose(
    only: Iterable[str] | None, inputs: Mapping[str, object], parameters: Mapping[str, object]
) -> tuple[Scorer, ...]:
    scorers = {scorer.name: scorer for scorer in all_scorers()}
    wanted = list(scorers) if only is None else list(only)
    for name in (*wanted, *parameters):
        if name not in scorers:
            raise CallError(f"there is no scorer {name}", "score", f"choose from {list(scorers)}")
    for word in inputs:
        if word not in NEEDS:
            raise CallError(f"there is no input {word}", "score", f"choose from {list(NEEDS)}")
    return tuple(scorer for name, scorer in scorers.items() if name in wanted)


def _run(scorer: Scorer, table: MaskTable, keywords: Mapping[str, object]) -> pd.DataFrame:
    """Call a scorer; if it raises, find the mask that made it raise and note both."""
    try:
        return scorer(table, **keywords)
    except CurateError:
        raise
    except Exception as error:
        low, high = 0, len(table)
        while high - low > 1:
            middle = (low + high) // 2
            if _raises(scorer, table[low:middle], keywords):
                high = middle
            elif _raises(scorer, table[middle:high], keywords):
                low = middle
            else:
                break
        ids = table.masks.index[low:high]
        which = f"mask {ids[0]}" if len(ids) == 1 else f"{len(ids)} masks taken together"
        error.add_note(f"raised by the scorer {scorer.name} on {which}")
        raise


def _raises(scorer: Scorer, table: MaskTable, keywords: Mapping[str, object]) -> bool:
    try:
        scorer(table, **keywords)
    except Exception:
        return True
    return False


def fit(frame: pd.DataFrame, only: Iterable[str] | None = None) -> dict[str, JsonObject]:
    """Do the first half of the second steps: learn references from masks and their measures.

    Args:
        frame: Columns of ``masks`` and of :func:`score`; a random sample of 200,000 masks of a
            large dataset is enough.
        only: Names of the scorers to fit; all if None.

    Returns:
        JSON-able references by scorer name, for the scorers whose columns are in ``frame``.
    """
    names = None if only is None else set(only)
    return {
        scorer.name: scorer.fit(frame)
        for scorer in all_scorers()
        if scorer.fit and (names is None or scorer.name in names) and _readable(scorer, frame)
    }


def apply(frame: pd.DataFrame, references: Mapping[str, object]) -> pd.DataFrame:
    """Do the other half: score masks against references; same index as ``frame``."""
    parts: list[pd.DataFrame] = [pd.DataFrame(index=frame.index)]
    for scorer in all_scorers():
        if scorer.apply and scorer.name in references and _readable(scorer, frame):
            parts.append(scorer.apply(frame, references[scorer.name]))
    return pd.concat(parts, axis=1)


def _readable(scorer: Scorer, frame: pd.DataFrame) -> bool:
    return all(column in frame.columns for column in scorer.reads)
