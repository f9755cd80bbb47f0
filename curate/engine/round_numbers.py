"""Numbers of an engine's rounds, read from the ledger by name; None where one is not known.

A row may lack columns, of a ledger that was written before, or have more.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from itertools import accumulate

from curate.dataset.notes import count_noun
from curate.plots.round_plots import IouCurve, IouPoint

LedgerRow = Mapping[str, object]
"""A row of the ledger, as plain values by column."""

AUTOMATIC = 3
"""The stage in which the machine searches the images."""

MOST_UNTIMED = 0.05
"""Share of a round's actions without a time over which its seconds are left out."""


def number(row: LedgerRow, name: str) -> float | None:
    """Return a number of a row; None where the column is missing, null, NaN or no number."""
    value = row.get(name)
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        return None
    return float(value)


def whole(row: LedgerRow, name: str) -> int:
    """Return a count of a row; 0 where it is not known."""
    return int(number(row, name) or 0)


def count_actions(row: LedgerRow) -> int:
    """Return people's actions in a round: decisions, also on validation images, additions, and
    searches of images, of which the automatic stage asks for none."""
    searches = 0 if whole(row, "stage") == AUTOMATIC else whole(row, "images")
    names = ("accepted", "fixed", "rejected", "added", "missed_asked")
    return searches + sum(whole(row, name) for name in names)


def count_standing(row: LedgerRow) -> int:
    """Return the masks of a round that stand though people were not asked about them: prefilled or
    certified ones."""
    people = sum(whole(row, name) for name in ("accepted", "fixed", "added"))
    return max(whole(row, "masks") - people, 0)


def is_timed(row: LedgerRow) -> bool:
    """Return whether people's seconds in a round are known, but for at most
    :data:`MOST_UNTIMED` of their actions."""
    if not number(row, "people_s"):
        return False
    return whole(row, "untimed") <= MOST_UNTIMED * count_actions(row)


def seconds_per_mask(row: LedgerRow) -> float | None:
    """Return people's seconds a mask of a round; None without masks or where they are not known."""
    masks, spent = whole(row, "masks"), number(row, "people_s")
    return spent / masks if masks and spent and is_timed(row) else None


def add_up_hours(rows: Sequence[LedgerRow]) -> list[float]:
    """Return people's hours up to and with each row; those that are known."""
    return list(accumulate((number(row, "people_s") or 0.0) / 3600 for row in rows))


def name_untimed(rows: Sequence[LedgerRow]) -> list[str]:
    """Return the rounds in which people worked and their seconds are not known, in words."""
    return [
        f"{name_row(row)} ({whole(row, 'untimed'):,} of "
        f"{count_noun(count_actions(row), 'action')} without a time)"
        for row in rows
        if count_actions(row) and not is_timed(row)
    ]


def name_row(row: LedgerRow) -> str:
    """Return the name of a round in a sentence."""
    return f"round {whole(row, 'round')}" if whole(row, "round") else "the validation images"


def join_words(words: Sequence[str]) -> str:
    """Return words as a sentence lists them.

    >>> join_words(["a", "b", "c"])
    'a, b and c'
    """
    return " and ".join([", ".join(words[:-1]), words[-1]] if len(words) > 1 else words)


def last_timed(rows: Sequence[LedgerRow]) -> LedgerRow | None:
    """Return the last round with masks whose seconds are known; the validation images only where
    there is no other."""
    timed = [row for row in rows if seconds_per_mask(row) is not None]
    rounds = [row for row in timed if whole(row, "round")] or timed
    return rounds[-1] if rounds else None


def find_iou_curve(rows: Sequence[LedgerRow], title: str) -> IouCurve:
    """Return the validation IoU over people's hours.

    The segmenter before the first one that was trained has its IoU from the gain over it; it stands
    where people had annotated the validation images.
    """
    hours = add_up_hours(rows)
    points: list[IouPoint] = []
    start: tuple[float, float] | None = None
    for row, spent in zip(rows, hours, strict=True):
        iou, gain = number(row, "iou"), number(row, "gain")
        if iou is None or not spent:
            continue
        if not points and gain is not None:
            before = [h for one, h in zip(rows, hours, strict=True) if not whole(one, "round")]
            start = (before[0] if before else 0.0, iou - gain)
        ends = number(row, "iou_low"), number(row, "iou_high")
        points.append(IouPoint(whole(row, "round"), spent, iou, *ends, row.get("kept") is True))
    return IouCurve(title, start, points)
