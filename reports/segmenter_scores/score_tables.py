"""The tables of README.md, filled in from the results, so that text and numbers agree."""

from __future__ import annotations

import re
from pathlib import Path

import pandas as pd


def span(row: pd.Series) -> str:
    """Return a value with its interval."""
    text = f"{row['value']:.3f}"
    return f"{text} [{row['low']:.2f}, {row['high']:.2f}]" if row["low"] == row["low"] else text


def table(head: list[str], rows: list[list[str]]) -> str:
    """Return a Markdown table; every column but the first is set to the right."""
    lines = [head, ["---", *["---:"] * (len(head) - 1)], *rows]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


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
    """Replace what stands between a table's two marks in a Markdown page."""
    text = page.read_text()
    for make in (correlation, found):
        name = make.__name__
        marks = f"<!-- {name} -->", f"<!-- end of {name} -->"
        inside = f"{marks[0]}\n\n{make(results)}\n\n{marks[1]}"
        pattern = f"{re.escape(marks[0])}.*?{re.escape(marks[1])}"
        text, count = re.subn(pattern, lambda _, new=inside: new, text, flags=re.DOTALL)
        if count != 1:
            raise ValueError(f"{page.name} must hold the marks of the table {name} once")
    page.write_text(text)
