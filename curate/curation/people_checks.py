"""Checks of people: masks that two of them see, and masks whose answer is known."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from curate.curation.sampling import in_order
from curate.errors import CallError
from curate.ranges import check_numbers

LAG = 0.1
"""The second person gets a mask at most this share of the queue after the first."""


def agreed(resolved: pd.DataFrame, people: int = 2) -> pd.Series[Any]:
    """Return the answers on which several people agree.

    Args:
        resolved: What was decided, index ``mask_id``: ``good``, ``reviewers``, ``disagree``.
        people: How many must have looked.

    Returns:
        "accept" or "reject" by ``mask_id``.
    """
    sure = resolved[(resolved["reviewers"] >= people) & ~resolved["disagree"].astype(bool)]
    return pd.Series(np.where(sure["good"].astype(bool), "accept", "reject"), sure.index)


def read_answers(path: Path) -> pd.Series[Any]:
    """Read known answers from a CSV file with the columns ``mask_id`` and ``action``.

    Raises:
        CallError: There is no such file, it is no such table, or a mask stands twice.
    """
    try:
        frame = pd.read_csv(path, usecols=["mask_id", "action"], dtype={"action": "string"})
        ids = pd.Index(frame["mask_id"].astype(np.int64), name="mask_id")
    except (OSError, ValueError) as error:
        do = "give a CSV file with the columns mask_id and action"
        raise CallError("it holds no known answers", str(path), do) from error
    if not ids.is_unique:
        raise CallError(f"mask {ids[ids.duplicated()][0]} stands twice", str(path))
    return pd.Series(frame["action"].to_numpy(object), ids)


def with_overlap(drawn: pd.DataFrame, share: float, seed: int) -> pd.DataFrame:
    """Show a share of the masks to a second person, slot 1, some places after the first.

    Raises:
        CallError: The share is not in [0, 1].
    """
    check_numbers(overlap=share)
    random = np.random.default_rng([seed, 4])
    twice = np.sort(random.choice(len(drawn), round(share * len(drawn)), replace=False))
    second = drawn.iloc[twice].assign(slot=1)
    lag = random.uniform(0, max(10.0, LAG * len(drawn)), len(second))
    both = pd.concat([drawn, second], ignore_index=True)
    at = np.concatenate([drawn["place"], second["place"] + 0.5 + lag])
    return _placed(both.iloc[np.argsort(at, kind="stable")])


def with_honeypots(
    drawn: pd.DataFrame, known: pd.Series[Any], share: float, seed: int
) -> pd.DataFrame:
    """Mix masks with a known answer in at places that nobody can tell.

    Args:
        drawn: A draw.
        known: "accept" or "reject" by ``mask_id``; those that are drawn already are left out.
        share: Which share of all rows they shall be; fewer where fewer are known. Both answers are
            given the same number, as far as there are.
        seed: Of the choice and the places.

    Raises:
        CallError: The share is not in [0, 0.5], or an answer is neither of the two.
    """
    check_numbers(honeypots=share)
    strange = set(known.unique()) - {"accept", "reject"}
    if strange:
        raise CallError(f"a known answer is {sorted(map(str, strange))[0]!r}", "honeypots")
    random = np.random.default_rng([seed, 5])
    known = known[~known.index.isin(drawn["mask_id"])].sort_index()
    good, bad = (known.index[(known == a).to_numpy()].to_numpy() for a in ("accept", "reject"))
    count = min(round(share / (1 - share) * len(drawn)), len(known))
    goods = min(len(good), max(count // 2, count - len(bad)))
    chosen = np.concatenate(
        [
            random.choice(good, goods, replace=False),
            random.choice(bad, count - goods, replace=False),
        ]
    )
    hidden = in_order(chosen.astype(np.int64))
    hidden["honeypot"] = known.reindex(chosen).to_numpy(object)
    at = np.r_[np.arange(1.0, len(drawn) + 1), random.uniform(0.5, len(drawn) + 0.5, count)]
    return _placed(
        pd.concat([drawn, hidden], ignore_index=True).iloc[np.argsort(at, kind="stable")]
    )


def _placed(rows: pd.DataFrame) -> pd.DataFrame:
    return rows.assign(place=np.arange(1, len(rows) + 1)).reset_index(drop=True)
