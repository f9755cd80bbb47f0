"""Inter-annotator agreement beyond chance (kappa, alpha), and per-reviewer rates."""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from curate.common.arrays import AnyArray, IntArray
from curate.common.readable_result import ReadableResult
from curate.dataset.table import records
from curate.people.reviews.resolved_labels import ACTION_CODE, ACTION_NAMES, CURRENT
from curate.people.reviews.row_frames import fetch_frame

_CURRENT_SQL = (
    f"select mask_id, reviewer, {ACTION_CODE.format('action')}, seconds "
    f"from ({CURRENT.format(only='')})"
)

_HONEYPOTS_SQL = f"""
select d.mask_id, d.reviewer, {ACTION_CODE.format("d.action")}, {ACTION_CODE.format("h.honeypot")}
from (
  select d.*, row_number() over (
    partition by d.mask_id, d.reviewer, d.draw_id order by d.time desc, d.decision_id desc) as back
  from looks d where d.draw_id is not null
) d join (
  select draw_id, mask_id, min(honeypot) as honeypot from drawn
  where honeypot is not null group by 1, 2
) h on h.draw_id = d.draw_id and h.mask_id = d.mask_id where d.back = 1
"""


@dataclass(frozen=True, repr=False)
class Agreement(ReadableResult):
    """Inter-annotator agreement on the masks that several people judged.

    Masks with a known answer are left out, but in the reviewers' own columns for them.

    Attributes:
        masks: How many masks two people or more have judged.
        alpha: Krippendorff's alpha, nominal, over accept, fix and reject; NaN where it is not
            defined (no such mask, or everybody always says the same).
        kappa: Mean of the pairs' kappas (Light's); NaN where no pair has one.
        pairs: A row a pair of people: ``first``, ``second``, ``masks`` judged by both, ``agreed``
            (share) and ``kappa`` (Cohen's; NaN where both always say the same one thing).
        reviewers: Index ``reviewer``: ``decisions`` (masks judged), ``accept_rate``,
            ``reject_rate``, ``fix_rate``, ``honeypots``, ``honeypots_right``, ``median_seconds``.
            A person with no name has the name "".
    """

    masks: int
    alpha: float
    kappa: float
    pairs: pd.DataFrame
    reviewers: pd.DataFrame

    def as_dict(self) -> dict[str, object]:
        """Return plain values; undefined ones are None."""
        return {
            "masks": self.masks,
            "alpha": _number_or_none(self.alpha),
            "kappa": _number_or_none(self.kappa),
            "pairs": records(self.pairs),
            "reviewers": records(self.reviewers.reset_index()),
        }

    def _tables(self) -> dict[str, pd.DataFrame]:
        return {"reviewers": self.reviewers, "pairs of reviewers": self.pairs}

    def text(self) -> str:
        """Return the agreement as plain tables."""
        lines = [
            f"{'reviewer':<20}{'masks':>9}{'accept':>8}{'reject':>8}{'fix':>8}"
            f"{'known answers':>17}{'seconds':>9}"
        ]
        for name, row in self.reviewers.iterrows():
            right = f"{row['honeypots_right']:.0f} of {row['honeypots']:.0f} right"
            rates = "".join(
                f"{_format_share(row[f'{action}_rate']):>8}"
                for action in ("accept", "reject", "fix")
            )
            seconds = row["median_seconds"]
            shown = "-" if pd.isna(seconds) else f"{seconds:.1f}"
            lines.append(
                f"{_format_name(name):<20}{row['decisions']:>9,.0f}{rates}"
                f"{right if row['honeypots'] else '-':>17}{shown:>9}"
            )
        if not self.masks:
            return "\n".join([*lines, "", "no mask has been judged by two people"])
        lines += ["", f"{self.masks:,} masks were judged by two people or more"]
        lines += [
            f"{_format_name(p['first'])} and {_format_name(p['second'])}: {p['masks']:,} masks,"
            f" {_format_share(p['agreed'])} alike, Cohen's kappa {_format_number(p['kappa'])}"
            for p in self.pairs.to_dict("records")
        ]
        return "\n".join([*lines, f"Krippendorff's alpha {_format_number(self.alpha)}"])


def _number_or_none(value: float) -> float | None:
    return None if np.isnan(value) else float(value)


def _format_name(name: object) -> str:
    return " ".join(str(name).split())[:19] or "(no name)"


def _format_share(value: float) -> str:
    return "-" if np.isnan(value) else f"{value:.1%}"


def _format_number(value: float) -> str:
    return "is not defined" if np.isnan(value) else f"{value:.3f}"


def measure_agreement(connection: sqlite3.Connection) -> Agreement:
    """Measure the agreement; see :class:`Agreement`."""
    judged = fetch_frame(connection, _CURRENT_SQL, ("mask_id", "reviewer", "place", "seconds"))
    known = fetch_frame(connection, _HONEYPOTS_SQL, ("mask_id", "reviewer", "place", "slot"))
    person, names = pd.factorize(judged["reviewer"], sort=True)
    several = judged["mask_id"].duplicated(keep=False).to_numpy()
    units = judged["mask_id"].to_numpy(np.int64)[several]
    values = judged["place"].to_numpy(np.int64)[several]
    pairs = _compare_pairs(
        units, person[several].astype(np.int64), values, np.asarray(names, object)
    )
    kappas = pairs["kappa"].dropna()
    return Agreement(
        masks=len(np.unique(units)),
        alpha=krippendorff_alpha(units, values),
        kappa=float(kappas.mean()) if len(kappas) else float("nan"),
        pairs=pairs,
        reviewers=_summarise_reviewers(judged, known),
    )


def cohen_kappa(table: AnyArray) -> float:
    """Return Cohen's kappa of a table of counts: one person's answers down, the other's across.

    1 for full agreement, 0 for as much as by chance; NaN where chance alone agrees fully.
    """
    n = int(table.sum())
    agreed = n * int(np.trace(table))
    chance = int(table.sum(axis=1) @ table.sum(axis=0))
    return float("nan") if chance == n * n else (agreed - chance) / (n * n - chance)


def krippendorff_alpha(units: IntArray, values: IntArray) -> float:
    """Return Krippendorff's alpha for nominal values and any number of people.

    Args:
        units: What each value is said of.
        values: Whole numbers from 0, one a person and unit. A unit with one value does not count.

    Returns:
        1 for full agreement, 0 for none beyond chance; NaN where there are no two values to hold
        against each other, or all are alike.

    Source: K. Krippendorff, Computing Krippendorff's Alpha-Reliability (2011), section C.
    """
    _, unit = np.unique(units, return_inverse=True)
    size = 1 + int(values.max()) if len(values) else 1
    table = np.bincount(unit * size + values, minlength=(unit.max(initial=-1) + 1) * size)
    table = table.reshape(-1, size).astype(np.float64)
    votes = table.sum(axis=1)
    table, votes = table[votes > 1], votes[votes > 1]
    total = table.sum()
    # Pairs of a unit that differ: of all its pairs, those that do not match themselves.
    differ = ((votes**2 - (table**2).sum(axis=1)) / np.maximum(votes - 1, 1)).sum()
    expected = total**2 - (table.sum(axis=0) ** 2).sum()
    return float(1 - (total - 1) * differ / expected) if expected else float("nan")


def _compare_pairs(units: IntArray, person: IntArray, values: IntArray, names: Any) -> pd.DataFrame:
    votes = pd.DataFrame({"unit": units, "person": person, "value": values})
    both = votes.merge(votes, on="unit", suffixes=("", "_other"))
    both = both[both["person"] < both["person_other"]]
    size = len(ACTION_NAMES)
    cell = both["value"] * size + both["value_other"]
    pair = both["person"] * max(len(names), 1) + both["person_other"]
    number, which = np.unique(pair.to_numpy(np.int64), return_inverse=True)
    tables = np.bincount(which * size**2 + cell.to_numpy(), minlength=len(number) * size**2)
    tables = tables.reshape(-1, size, size)
    count = tables.sum(axis=(1, 2))
    return pd.DataFrame(
        {
            "first": [str(names[k]) for k in number // max(len(names), 1)],
            "second": [str(names[k]) for k in number % max(len(names), 1)],
            "masks": count,
            "agreed": np.trace(tables, axis1=1, axis2=2) / count,
            "kappa": np.array([cohen_kappa(table) for table in tables], np.float64),
        }
    )


def _summarise_reviewers(judged: pd.DataFrame, known: pd.DataFrame) -> pd.DataFrame:
    grouped = judged.groupby("reviewer")
    frame = pd.DataFrame({"decisions": grouped.size()})
    for code, word in ((0, "accept"), (2, "reject"), (1, "fix")):
        frame[f"{word}_rate"] = (judged["place"] == code).groupby(judged["reviewer"]).mean()
    frame["median_seconds"] = grouped["seconds"].median()
    # A mask known to be bad is told so by rejecting it and by fixing it.
    right = (known["place"] == 0) == (known["slot"] == 0)
    counts = pd.DataFrame({"honeypots": known.groupby("reviewer").size()})
    counts["honeypots_right"] = right.groupby(known["reviewer"]).sum()
    frame = frame.join(counts, how="outer").sort_index()
    whole = ["decisions", "honeypots", "honeypots_right"]
    frame[whole] = frame[whole].fillna(0).astype("int64")
    order = ("decisions", "accept_rate", "reject_rate", "fix_rate", "honeypots", "honeypots_right")
    return frame[[*order, "median_seconds"]].rename_axis("reviewer")
