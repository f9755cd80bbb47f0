"""The tables of README.md, filled in from the results, so that text and numbers agree."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import pandas as pd

sys.path.append(str(Path(__file__).resolve().parents[1] / "_common"))
from filling import fill_page, table
from ranking import COMBINED

FULL = "pictures, deep"


def precision(row: pd.Series) -> str:
    """Return an average precision with its interval."""
    value = f"{row['average_precision']:.3f}"
    return f"{value} [{row['low']:.2f}, {row['high']:.2f}]" if row["low"] == row["low"] else value


def pick(results: pd.DataFrame, **where: str) -> pd.DataFrame:
    """Return the rows of one study by order."""
    for column, value in where.items():
        results = results[results[column] == value]
    return results.set_index("order")


def singles(rows: pd.DataFrame) -> pd.DataFrame:
    """Return the signals and baselines alone, the best first."""
    alone = rows[~rows.index.isin(COMBINED) & ~rows.index.str.contains(r"minus|\(expected\)")]
    return alone.sort_values("average_precision", ascending=False)


def nuclei_signals(results: pd.DataFrame) -> str:
    """Return every order of the nuclei by itself."""
    changed, hard = (
        pick(results, set="nuclei", given=FULL, part="all", truth=t) for t in ("changed", "hard")
    )
    order = [*COMBINED, *singles(changed).index, "random (expected)"]
    rows = [
        [f"`{n}`" if "_" in n else n, precision(changed.loc[n]), precision(hard.loc[n])]
        for n in order
    ]
    for found in (changed, hard):
        name = next(n for n in found.index if "minus" in n)
        cells = [precision(found.loc[name]), ""]
        rows.append([f"*{name}*", *(cells if found is changed else cells[::-1])])
    return table(["order", "changed", "hard"], rows)


def nuclei_parts(results: pd.DataFrame) -> str:
    """Return the quality by what was given and by half of the images."""
    here = results[(results["set"] == "nuclei") & (results["order"] == "quality_score")]
    rows = []
    for (given, part), found in here.groupby(["given", "part"], sort=False):
        by = found.set_index("truth")
        counts = [f"{by.loc[t, 'errors']:.0f}" for t in ("changed", "hard")]
        values = [precision(by.loc[t]) for t in ("changed", "hard")]
        rows.append([given, part, f"{by['masks'].iloc[0]:,.0f}", ", ".join(counts), *values])
    return table(["given", "images", "masks", "changed, hard", "changed", "hard"], rows)


def nuclei_reviews(results: pd.DataFrame) -> str:
    """Return how many masks are looked at until a share of the errors is found."""
    columns = [c for c in results if c.startswith("reviews_")]
    rows = []
    for truth in ("changed", "hard"):
        found = pick(results, set="nuclei", given=FULL, part="all", truth=truth)
        best = singles(found).index[0]
        for name in ("quality_score", best, "random (expected)"):
            cells = [f"{found.loc[name, c]:,.0f}" for c in columns]
            rows.append([f"{truth} ({found.loc[name, 'errors']:.0f}): {name}", *cells])
    return table(["found", *[c.removeprefix("reviews_") for c in columns]], rows)


def comparison(found: pd.DataFrame) -> list[str]:
    """Return random, quality, priority and the best single signal of one study."""
    best = singles(found).iloc[0]
    value = [f"{found.loc['random (expected)', 'average_precision']:.3f}"]
    value += [precision(found.loc["quality_score"])]
    value += [f"{found.loc['priority', 'average_precision']:.3f}"]
    return [*value, f"{best['average_precision']:.3f} {best.name.removesuffix('_score')}"]


HEAD = ["errors of masks", "random", "quality", "priority", "best single"]


def neurons(results: pd.DataFrame) -> str:
    """Return the neurons, by who drew them."""
    here = results[results["set"].str.startswith("neurons,") & (results["part"] == "all")]
    here = here[here["truth"] == "not in the consensus"]
    return _by_study(here, ["set", "given"], lambda key: f"{key[0][9:]}: {key[1]}")


def removed(results: pd.DataFrame) -> str:
    """Return COCO's own masks against the few that people removed."""
    return _by_study(results[results["set"] == "coco"], ["given"], lambda key: key[0])


def planted(results: pd.DataFrame) -> str:
    """Return all kinds of planted errors together, by set."""
    here = results[results["set"].str.endswith(", planted") & (results["truth"] == "any kind")]
    return _by_study(here, ["set", "given"], lambda key: f"{key[0].split(',')[0]}: {key[1]}")


def kinds(results: pd.DataFrame) -> str:
    """Return COCO's planted errors, kind by kind."""
    here = results[(results["set"] == "coco_val2017, planted") & (results["given"] == FULL)]
    return _by_study(here, ["truth"], lambda key: key[0])


def _by_study(here: pd.DataFrame, keys: list[str], title: Callable[[tuple[str, ...]], str]) -> str:
    rows = []
    for key, found in here.groupby(keys, sort=False):
        found = found.set_index("order")
        one = found.loc["quality_score"]
        counts = f"{one['errors']:.0f} of {one['masks']:,.0f}"
        rows.append([title(key), counts, *comparison(found)])
    return table(["", *HEAD], rows)


TABLES = (nuclei_signals, nuclei_parts, nuclei_reviews, neurons, removed, planted, kinds)


def fill(page: Path, results: pd.DataFrame) -> None:
    """Fill in the tables of a page."""
    fill_page(page, results, TABLES)
