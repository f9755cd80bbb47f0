"""The tables of README.md and the figure, made from the results so that text and numbers agree."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from measuring import FOUND, RANDOM, SIGNALS

sys.path.append(str(Path(__file__).resolve().parents[1] / "_common"))
from drawing import Panel, draw
from filling import fill_page, table
from ranking import Order

from curate.common.arrays import FloatArray

KINDS = (*SIGNALS, "any kind")
ORDERS = (
    "smallest first",
    "detector_score",
    "ObjectLab: lower of both",
    "quality_score",
    "priority",
    "learn, by turns",
)
OWN = "the column that asks for it"
GOAL = 1 / 3


def ratio(row: pd.Series, share: float = 0.8, *, interval: bool = True) -> str:
    """Return reviews as a share of a random order's; bold where the goal is met."""
    key = f"of_random_{share:.0%}"
    text = f"{row[key]:.2f}"
    if share == 0.8 and row[key] <= GOAL:
        text = f"**{text}**"
    return f"{text} [{row[f'{key}_low']:.2f}, {row[f'{key}_high']:.2f}]" if interval else text


def pick(results: pd.DataFrame, **where: str) -> pd.DataFrame:
    """Return the rows of one study."""
    for column, value in where.items():
        results = results[results[column] == value]
    return results


def _level(results: pd.DataFrame, part: str, level: str = "medium") -> pd.DataFrame:
    return pick(results, set="coco", level=level, part=part)


def together(results: pd.DataFrame) -> str:
    """Return every order's reviews for 80% of each kind, all kinds in one list."""
    here = _level(results, "all kinds together").set_index(["order", "kind"])
    names = [name for name in ORDERS if (name, "any kind") in here.index]
    rows = [[name, *(ratio(here.loc[(name, kind)]) for kind in KINDS)] for name in names]
    return table(["80% found", *KINDS], rows)


def alone(results: pd.DataFrame) -> str:
    """Return the orders' reviews for 80% of each kind, where there is no other kind."""
    here = _level(results, "one kind at a time").set_index(["order", "kind"])
    kinds = list(SIGNALS)
    names = [name for name in ORDERS if (name, kinds[0]) in here.index]
    rows = [[name, *(ratio(here.loc[(name, kind)]) for kind in kinds)] for name in names]
    rows.append([OWN, *(ratio(here.loc[(SIGNALS[kind], kind)]) for kind in kinds)])
    return table(["80% found", *kinds], rows)


def shares(results: pd.DataFrame) -> str:
    """Return reviews for 50%, 80% and 95% of the errors of any kind, in COCO."""
    here = _level(results, "all kinds together")
    here = pick(here, kind="any kind").set_index("order")
    return _counts(here, [*(n for n in ORDERS if n in here.index), RANDOM])


def kinds_at_all_shares(results: pd.DataFrame) -> str:
    """Return each kind's reviews at 50%, 80% and 95%: random order, priority, own column, loop."""
    here = _level(results, "one kind at a time").set_index(["order", "kind"])
    rows = []
    for kind in SIGNALS:
        for name, order in ((OWN, SIGNALS[kind]), *((n, n) for n in ORDERS[-2:])):
            if (order, kind) in here.index:
                row = here.loc[(order, kind)]
                rows.append([f"{kind}: {name}", *(ratio(row, share) for share in FOUND)])
    return table(["found", *[f"{share:.0%}" for share in FOUND]], rows)


def missing(results: pd.DataFrame) -> str:
    """Return the looks that show missing masks."""
    here = pick(results, set="coco", level="medium", kind="missing").set_index("order")
    rows = [[name, *(ratio(row, share) for share in FOUND)] for name, row in here.iterrows()]
    return table(["found", *[f"{share:.0%}" for share in FOUND]], rows)


def levels(results: pd.DataFrame) -> str:
    """Return how the orders do on weaker and stronger noise."""
    rows = []
    for level in ("easy", "medium", "hard"):
        for name, part in (("priority", "all kinds together"), (OWN, "one kind at a time")):
            here = _level(results, part, level).set_index(["order", "kind"])
            cells = [
                ratio(here.loc[(SIGNALS[k] if name == OWN else name, k)], interval=False)
                for k in SIGNALS
            ]
            rows.append([f"{level}: {name}", *cells])
    return table(["80% found", *SIGNALS], rows)


def nuclei(results: pd.DataFrame) -> str:
    """Return the reviews of the nuclei."""
    parts = []
    for kind, word in (("any kind", "changed"), ("hard", "hard")):
        here = pick(results, set="nuclei", kind=kind).set_index("order")
        names = [n for n in ("hole_score", *ORDERS) if n in here.index]
        parts.append(_counts(here, [*names, RANDOM], f"{word} ({here['errors'].iloc[0]:.0f}): "))
    first, second = parts
    return "\n".join([first, *second.splitlines()[2:]])


def _counts(here: pd.DataFrame, names: Iterable[str], prefix: str = "") -> str:
    rows = []
    for name in names:
        row = here.loc[name]
        cells = []
        for share in FOUND:
            key = f"reviews_{share:.0%}"
            cells.append(f"{row[key]:,.0f} [{row[f'{key}_low']:,.0f}, {row[f'{key}_high']:,.0f}]")
        rows.append([f"{prefix}{name}", *cells])
    return table(["found", *[f"{share:.0%}" for share in FOUND]], rows)


TABLES = (together, alone, shares, kinds_at_all_shares, missing, levels, nuclei)


def fill(page: Path, results: pd.DataFrame) -> None:
    """Fill in the tables of a page."""
    fill_page(page, results, TABLES)


def figures(path: Path, panels: Mapping[str, Mapping[str, tuple[Any, FloatArray]]]) -> None:
    """Draw errors found against masks looked at."""
    drawn = []
    for title, orders in panels.items():
        lines = {}
        for name, (truth, suspicion) in orders.items():
            looks = np.arange(1, len(truth) + 1)
            seen, hits = Order(truth, suspicion).found()
            found = np.interp(looks, np.r_[0, seen], np.r_[0, hits])
            lines[name] = list(zip(looks, found / hits[-1], strict=True))
        count = int(truth.sum())
        head = f"{title}, {count} of {len(truth):,}"
        drawn.append(Panel(head, "masks looked at", "share found", lines, float(len(truth)), True))
    draw(path, drawn)
