"""The tables of README.md, filled in from the results, so that text and numbers agree."""

from __future__ import annotations

import sys
from pathlib import Path

import pandas as pd

sys.path.append(str(Path(__file__).resolve().parents[1] / "_common"))
from filling import fill_page, table

RIVALS = (
    "curate",
    "naive plug-in",
    "conformal risk control",
    "fixed-sequence LTT",
    "Bonferroni LTT",
    "knows where to start",
)
ERRORS = ("2-5%", "5-10%", "10-20%", "20-30%")
SCORES = ("weak", "middling", "strong")


def percent(value: float, digits: int = 1) -> str:
    return "" if value != value else f"{100 * value:.{digits}f}%"


def plain(results: pd.DataFrame, what: str) -> pd.DataFrame:
    """Return what is not split by errors or score."""
    return results[
        (results["what"] == what) & results["errors"].isna() & results["strength"].isna()
    ]


def bound(results: pd.DataFrame) -> str:
    """Return how often more bad masks were accepted than promised, by kind of audit."""
    found = plain(results, "certify")
    found = found[found["method"] == "curate"]
    audits = list(dict.fromkeys(found["audit"]))
    rows = []
    for design, part in found.groupby("design", sort=False):
        part = part.set_index("audit")["wrong_share"]
        rows.append([str(design), *(percent(part.get(audit, float("nan"))) for audit in audits)])
    return table(["reviewed", *audits], rows)


def rivals(results: pd.DataFrame) -> str:
    """Return every way to choose a threshold from the same 1,000 masks."""
    found = plain(results, "certify")
    found = found[found["design"] == "1,000 masks"]
    usual = found[found["audit"] == "usual"].set_index("method")
    useless = found[found["audit"] == "useless score"].set_index("method")
    weak = results[(results["design"] == "1,000 masks") & (results["strength"] == "weak")]
    weak = weak[(weak["what"] == "certify") & weak["errors"].isna()].set_index("method")
    rows = [
        [
            method,
            percent(usual.loc[method, "wrong_share"]),
            percent(useless.loc[method, "wrong_share"]),
            *(percent(usual.loc[method, f"ratio_{k}"], 0) for k in ("total", "mean", "median")),
            percent(weak.loc[method, "ratio_mean"], 0),
        ]
        for method in RIVALS
    ]
    head = ["", "wrong, usual", "wrong, useless score", "accepted: total", "mean", "median"]
    head.append("mean, weak score")
    return table(head, rows)


def accepted(results: pd.DataFrame) -> str:
    """Return how much of the oracle's acceptance is certified, by errors and score."""
    found = results[(results["what"] == "certify") & (results["method"] == "curate")]
    found = found[(found["audit"] == "usual") & (found["design"] == "1,000 masks")]
    rows = []
    for score in (*SCORES, None):
        cells = []
        for errors in (*ERRORS, None):
            at = found["strength"].eq(score) if score else found["strength"].isna()
            at &= found["errors"].eq(errors) if errors else found["errors"].isna()
            row = found[at].iloc[0]
            numbers = " / ".join(percent(row[f"ratio_{k}"], 0) for k in ("mean", "median"))
            cells.append(f"{numbers} ({row['can_accept']:.0f})" if row["can_accept"] else "")
        rows.append([score or "all", *cells])
    return table(["score", *ERRORS, "all"], rows)


def designs(results: pd.DataFrame) -> str:
    """Return how much is accepted by what was reviewed."""
    found = plain(results, "certify")
    found = found[(found["method"] == "curate") & (found["audit"] == "usual")]
    rows = [
        [str(r["design"]), *(percent(r[f"ratio_{k}"], 0) for k in ("total", "mean", "median"))]
        for _, r in found.iterrows()
    ]
    return table(["reviewed", "total", "mean", "median"], rows)


def coverage(results: pd.DataFrame) -> str:
    """Return how often intervals miss the truth, and how wide they are."""
    found = plain(results, "estimate")
    found = found[(found["method"] == "any")]
    rows = []
    for design, part in found.groupby("design", sort=False):
        part = part.set_index("audit")
        first = part.iloc[0]
        hard = part[part.index != "usual"]["wrong_share"].max()
        widths = [f"{first['width']:.4f}", f"{first['width_reviews']:.4f}".replace("nan", "")]
        rows.append([str(design), percent(first["wrong_share"]), percent(hard), *widths])
    return table(["reviewed", "missed", "missed, worst kind", "width", "reviews alone"], rows)


def looks(results: pd.DataFrame) -> str:
    """Return what looking often does."""
    found = plain(results, "certify")
    found = found[found["design"].str.startswith("4 looks", na=False)]
    rows = [[str(r["method"]), percent(r["wrong_share"])] for _, r in found.iterrows()]
    return table(["4 looks, 250 masks more each time, useless score", "wrong"], rows)


TABLES = (bound, rivals, accepted, designs, coverage, looks)


def fill(page: Path, results: pd.DataFrame) -> None:
    """Fill in the tables of a page."""
    fill_page(page, results, TABLES)
