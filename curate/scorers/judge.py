"""Judge signal: the answer of another program that was asked about a picture and its mask."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pandas as pd

from curate.dataset.table import STRING, MaskTable
from curate.scorers.scorer import Column, Scorer, has_pixels

JUDGE_COLUMNS = ("judge_score", "judge_answer", "judge_reason")
"""Columns of a judge's answers: a number, "accept" or "reject", and its reason in words."""

AskJudge = Callable[[MaskTable], pd.DataFrame]
"""Takes masks; gives :data:`JUDGE_COLUMNS` of those that it has an answer for, by ``mask_id``."""


def judge_masks(table: MaskTable, *, judge: AskJudge) -> pd.DataFrame:
    """Ask a judge about every mask.

    An audit asks none: `curate judge` does afterwards, about some masks, since each answer of a
    large model costs time or money.

    Args:
        table: n masks.
        judge: The judge.

    Returns:
        ``judge_score`` in [0, 1]: the probability that the mask is good, as the judge states it;
        where it states none, 1 for an accepted mask and 0 for a rejected one. ``judge_answer``:
        "accept" or "reject". ``judge_reason``: its reason, in its own words. NaN and missing where
        it was not asked, or the mask has no pixel. Own definition.
    """
    asked = table[has_pixels(table)]
    return complete_answers(judge(asked).reindex(asked.masks.index), table.masks.index)


def complete_answers(answers: pd.DataFrame, index: pd.Index[int]) -> pd.DataFrame:
    """Return answers as columns of an audit: a row for each mask of an index, typed.

    Args:
        answers: Index ``mask_id``; :data:`JUDGE_COLUMNS`.
        index: The masks.
    """
    found = answers.reindex(index)
    columns = {"judge_score": found["judge_score"].to_numpy(np.float64, na_value=np.nan)}
    words = {name: found[name].astype(STRING) for name in JUDGE_COLUMNS[1:]}
    return pd.DataFrame({**columns, **words}, index=index)


SCORERS = (
    Scorer(
        name="judge",
        question="what does another program say that is asked about it?",
        function=judge_masks,
        columns=(
            Column(
                "judge_score",
                "Judge's score",
                low_means="a judge that was asked about it finds it bad",
                states="the judge gives it {judge_score:.2f}",
            ),
            Column("judge_answer", "Judge's answer", "word", low_means="accept or reject"),
            Column("judge_reason", "Judge's reason", "word", low_means="in the judge's words"),
        ),
        needs=("judge",),
    ),
)
