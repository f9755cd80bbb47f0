"""What two judges answered, by kind of reason."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path

import pandas as pd


def read_answers(path: Path) -> dict[int, str]:
    """Read lines ``number,answer``; the answer is y, n or u."""
    with path.open(newline="") as file:
        rows = [row for row in csv.reader(file) if row and row[0].strip().isdigit()]
    return {int(row[0]): row[1].strip() for row in rows}


def count_answers(sheets: Path, answers: Sequence[Path]) -> pd.DataFrame:
    """Count reasons, and how many each judge and both upheld, by kind, and whose masks they are of.

    Args:
        sheets: ``judge.csv`` as the sheets came with.
        answers: Two judges' files.
    """
    rows = pd.read_csv(sheets).set_index("number")
    for name, path in zip("ab", answers, strict=True):
        rows[name] = rows.index.map(read_answers(path))
    if rows[["a", "b"]].isna().any(axis=None):
        raise SystemExit("a judge left a number out")
    rows["of"] = rows["audit"].str.startswith("official").map({True: "COCO", False: "YOLOv8n"})
    names = rows["reason"].str.replace(r"“[^”]*”", "…", regex=True)
    rows["kind"] = names.str.replace(r"[\d.,]*\d%?", "…", regex=True).str.partition(" (")[0]
    every = rows.assign(kind="all")
    both = every.assign(of="all")
    grouped = pd.concat([rows, every, both]).groupby(["of", "kind"], sort=False)
    counts = {"reasons": grouped.size()}
    for name in "ab":
        for answer, word in (("y", "upheld"), ("n", "denied"), ("u", "unseen")):
            found = grouped[name].agg(lambda values, answer=answer: int((values == answer).sum()))
            counts[f"{name} {word}"] = found
    counts["both upheld"] = grouped[["a", "b"]].apply(lambda g: int((g == "y").all(axis=1).sum()))
    return pd.DataFrame(counts).reset_index()
