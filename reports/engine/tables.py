"""Tables of the page, from the results."""

from __future__ import annotations

import sys
from pathlib import Path

import pandas as pd

sys.path.append(str(Path(__file__).resolve().parents[1] / "_common"))
from filling import table
from verdicts import LINES, find_mean

NOT_RUN = "Not run yet."


def time_constants(results: pd.DataFrame) -> str:
    """Return the constants of the time model, with their sources."""
    rows = results[results["goal"] == "times"].drop_duplicates("constant")
    return table(
        ["Measured as", "Constant", "Value", "Source"],
        [
            [str(one.what), f"`{one.constant}`", f"{one.value:g}", str(one.source)]
            for one in rows.itertuples()
        ],
    )


def goals(results: pd.DataFrame) -> str:
    """Return means over seeds: with the constants as published, and the span of all variations."""
    means = results[(results["seed"] == "mean") & (results["set"] == "nuclei")]
    if means.empty:
        return NOT_RUN
    rows = []
    for (goal, what), some in means.groupby(["goal", "what"], sort=False, dropna=False):
        plain = some[some["factor"].isna() | (some["factor"] == 1)].iloc[0]
        values = some["value"]
        span = f"{values.min():.3g} to {values.max():.3g}" if len(some) > 1 else ""
        middle = f"{plain['value']:.3g} {_ends(plain['low'], plain['high'])}"
        rows.append([f"{goal}: {what}" if pd.notna(goal) and goal else str(what), middle, span])
    return table(["Goal", "Mean [95% interval]", "With half and double of each constant"], rows)


def verdicts(results: pd.DataFrame) -> str:
    """Return the goals on nuclei: the line, what came out, over how many runs, and whether met."""
    return _judge(results[results["set"] == "nuclei"])


def new_cuts(results: pd.DataFrame) -> str:
    """Return the first goals on nuclei with the cuts' rule that was changed after the study."""
    return _judge(results[results["set"] == "nuclei, new cuts"], ("1", "2"))


def stronger_start(results: pd.DataFrame) -> str:
    """Return the first goals on nuclei with a stronger first segmenter and longer trainings."""
    return _judge(results[results["set"] == "nuclei, stronger start"], ("1", "2"))


def larger_pool(results: pd.DataFrame) -> str:
    """Return the first goals on nuclei with the stronger start and a larger pool."""
    return _judge(results[results["set"] == "nuclei, larger pool"], ("1", "2"))


def second_set(results: pd.DataFrame) -> str:
    """Return the same on the second set."""
    return _judge(results[results["set"] == "brain_tumour"])


def drawn_scenes(results: pd.DataFrame) -> str:
    """Return the goals of the later stages on drawn scenes."""
    return _judge(results[results["set"] == "drawn"], ("3", "4"))


def one_in_ten_bad(results: pd.DataFrame) -> str:
    """Return the goals of the later stages where one mask in ten may be bad."""
    return _judge(results[results["set"] == "drawn, one in ten bad"], ("3", "4"))


def _judge(results: pd.DataFrame, only: tuple[str, ...] = ()) -> str:
    if results[results["seed"] == "mean"].empty:
        return NOT_RUN
    rows = []
    for line in (one for one in LINES if not only or one.goal in only):
        mean, low, high, seeds = find_mean(results, line.goal, line.what)
        found = "–" if pd.isna(mean) else f"{mean:.3g} {_ends(low, high)}"
        judged = line.judge(mean, low, high)
        rows.append([f"{line.goal}: {line.what}", line.text(), found, f"{seeds}", judged])
    return table(["Goal", "Line", "Mean [95% interval]", "Runs", ""], rows)


def _ends(low: float, high: float) -> str:
    """Return an interval in brackets; a dash where there is none."""
    return "[–]" if pd.isna(low) else f"[{low:.3g}, {high:.3g}]"
