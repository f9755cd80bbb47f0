"""The tables of README.md, filled in from the results, so that text and numbers agree."""

from __future__ import annotations

import sys
from pathlib import Path

import pandas as pd

sys.path.append(str(Path(__file__).resolve().parents[1] / "_common"))
from filling import fill_page, table


def span(row: pd.Series) -> str:
    """Return a value with its interval."""
    text = f"{row['value']:.3f}"
    return f"{text} [{row['low']:.2f}, {row['high']:.2f}]" if row["low"] == row["low"] else text


def correlation(results: pd.DataFrame) -> str:
    """Return each signal's correlation with the true IoU, and with the area."""
    rows = []
    for _, row in results[results["study"] == "correlation"].iterrows():
        others = ["" if row[c] != row[c] else f"{row[c]:.3f}" for c in ("spearman", "with_area")]
        rows.append([f"`{row['signal']}`", span(row), *others])
    head = ["signal", "Pearson with true IoU", "Spearman", "Spearman with the mask's area"]
    return table(head, rows)


def found(results: pd.DataFrame) -> str:
    """Return how well each order puts the errors among stored masks first."""
    here = results[results["study"] == "ranking"]
    by = {word: rows.set_index("signal") for word, rows in here.groupby("truth")}
    rows = [
        [f"`{name}`", *(span(by[word].loc[name]) for word in ("changed", "hard"))]
        for name in by["hard"].index
    ]
    return table(["order", "changed", "hard"], rows)


def fill(page: Path, results: pd.DataFrame) -> None:
    """Fill in the tables of a page."""
    fill_page(page, results, (correlation, found))
