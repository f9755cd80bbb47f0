"""The tables of README.md, filled in from the results, so that text and numbers agree."""

from __future__ import annotations

import sys
from pathlib import Path

import pandas as pd
from measuring import middle

sys.path.append(str(Path(__file__).resolve().parents[1] / "_common"))
from filling import fill_page, table


def shown(values: pd.Series, digits: int = 3) -> str:
    """Return the mean of draws with their middle 95%; a dash where there are none."""
    if not values.notna().any():
        return "-"
    mean, low, high = middle(values.dropna())
    return f"{mean:.{digits}f} [{low:.{digits}f}, {high:.{digits}f}]"


def used(found: pd.DataFrame) -> str:
    """Return how often a model was put in force that orders better."""
    return f"{(found['outcome'] == 'learned').sum()} of {len(found)}"


def halves(results: pd.DataFrame) -> str:
    """Return the order of the half that nobody reviewed."""
    here = results[results["study"] == "halves"]
    rows = []
    for (taught, asked), found in here.groupby(["queue", "truth"], sort=False):
        gain = found["average_precision"] - found["label_free_precision"]
        rows.append(
            [
                f"{taught}; ranking the {asked}",
                shown(found["label_free_precision"]),
                shown(found["average_precision"]),
                shown(gain),
                used(found),
            ]
        )
    return table(["learned from", "label-free", "learned", "gain", "used"], rows)


def calibration(results: pd.DataFrame) -> str:
    """Return the calibration after 500 reviews."""
    here = results[results["study"] == "calibration"]
    rows = []
    for (name, queue), found in here.groupby(["set", "queue"], sort=False):
        told = found[found["calibration_error"].notna()]
        enough = f"{len(told)} of {len(found)}"
        rows.append(
            [
                f"{name}: {queue}",
                f"{told['bad_reviews'].mean():.0f}",
                shown(told["calibration_error"]),
                f"{told['chance_error'].mean():.3f}",
                shown(told["share_error"]),
                f"{told['label_free_error'].mean():.3f}",
                shown(told["average_precision"]),
                f"{told['label_free_precision'].mean():.3f}",
                used(told),
                enough,
            ]
        )
    head = ["500 reviews", "bad", "calibration error", "by chance", "error of the share"]
    head += ["label-free error", "precision", "label-free", "used", "enough"]
    return table(head, rows)


def start(results: pd.DataFrame) -> str:
    """Return what another audit's model is worth."""
    here = results[results["study"] == "start"]
    rows = []
    for reviews, found in here.groupby("budget"):
        cells = [f"{reviews:.0f}", f"{found['label_free_precision'].mean():.3f}"]
        for word in ("without", "with"):
            some = found[found["queue"] == word]
            cells += [shown(some["average_precision"]), shown(some["calibration_error"])]
        helped = found[found["queue"] == "with"]["helped"].astype(str)
        rows.append([*cells, f"{(helped == 'True').sum()} of {len(helped)}"])
    head = [
        "reviews",
        "label-free",
        "precision without",
        "error without",
        "precision with",
        "error with",
    ]
    return table([*head, "said to help"], rows)


def million(results: pd.DataFrame) -> str:
    """Return time and memory on a million masks."""
    here = results[results["study"] == "million"]
    columns = ("learning_s", "deciding_s", "total_s", "peak_mb")
    rows = [
        [f"{row['reviews']:,.0f} reviews", *(f"{row[name]:,.1f}" for name in columns)]
        for _, row in here.iterrows()
    ]
    return table(["", "learning, s", "deciding anew, s", "both, s", "peak, MB"], rows)


TABLES = (halves, calibration, start, million)


def fill(page: Path, results: pd.DataFrame) -> None:
    """Fill in the tables of a page."""
    fill_page(page, results, TABLES)
