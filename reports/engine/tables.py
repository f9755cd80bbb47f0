"""Tables of the page, from the results."""

from __future__ import annotations

import sys
from pathlib import Path

import pandas as pd

sys.path.append(str(Path(__file__).resolve().parents[1] / "_common"))
from filling import table

NOT_RUN = "Not run yet."


def time_constants(results: pd.DataFrame) -> str:
    """Return the constants of the time model, with their sources."""
    rows = results[results["goal"] == "times"]
    return table(
        ["Measured as", "Constant", "Value", "Source"],
        [
            [str(one.what), f"`{one.constant}`", f"{one.value:g}", str(one.source)]
            for one in rows.itertuples()
        ],
    )


def goals(results: pd.DataFrame) -> str:
    """Return means over seeds: with the constants as published, and the span of all variations."""
    means = results[(results["seed"] == "mean")]
    if means.empty:
        return NOT_RUN
    rows = []
    for (goal, what), some in means.groupby(["goal", "what"], sort=False, dropna=False):
        plain = some[some["factor"].isna() | (some["factor"] == 1)].iloc[0]
        values = some["value"]
        span = f"{values.min():.3g} to {values.max():.3g}" if len(some) > 1 else ""
        middle = f"{plain['value']:.3g} [{plain['low']:.3g}, {plain['high']:.3g}]"
        rows.append([f"{goal}: {what}" if goal else str(what), middle, span])
    return table(["Goal", "Mean [95% interval]", "With half and double of each constant"], rows)
