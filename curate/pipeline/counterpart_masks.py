"""Masks of other sets that could stand in the place of a dataset's masks.

A mask's counterpart in another set is the one of the same image that it shares most with, where
that one shares most with it too, and where the two are of one category as far as both say. Two
counterparts that agree with each other much better than with the mask are its likely correction:
the lines were chosen on neurons that people and programs drew (``reports/corrections``).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd

from curate.common.arrays import BoolArray, FloatArray, IntArray
from curate.dataset.table import MaskTable
from curate.rle import Runs
from curate.scorers.counterparts import groups, mask_pairs
from curate.store.rows_by_id import pair_iou

AGREED_IOU = 0.9
"""IoU from which on two counterparts are the same mask."""

FAR_IOU = 0.7
"""IoU with the mask up to which a counterpart is another mask, and may correct it."""


@dataclass(frozen=True)
class Counterparts:
    """The counterparts of n masks in another set.

    Attributes:
        rows: Place of each one in ``runs``, shape (n,); -1 for none.
        iou: With the mask, shape (n,); 0 for none.
        runs: The other set's masks.
    """

    rows: IntArray
    iou: FloatArray
    runs: Runs


@dataclass(frozen=True)
class AgreedMask:
    """A mask of another set with which further sets agree.

    Attributes:
        drawn_by: Name of its set.
        mask: One mask.
        iou: Its IoU with the mask in whose place it could stand.
        others: How many further sets agree with it.
        others_iou: Their mean IoU with it.
    """

    drawn_by: str
    mask: Runs
    iou: float
    others: int
    others_iou: float


def find_counterparts(
    table: MaskTable, compare: Mapping[str, MaskTable]
) -> dict[str, Counterparts]:
    """Return the counterparts of a table's masks, by the name of the set.

    Args:
        table: Masks of whole images; rows in any order.
        compare: The other sets by name.
    """
    return {name: _match(table, other) for name, other in compare.items()}


def _match(table: MaskTable, other: MaskTable) -> Counterparts:
    rows, ious = np.full(len(table), -1, np.int64), np.zeros(len(table))
    pairs = mask_pairs(table, other, groups(table, other))
    order = np.lexsort((-pairs.second, -pairs.first, pairs.iou))  # the best is written last
    best_of_theirs = np.full(len(other), -1, np.int64)
    rows[pairs.first[order]] = pairs.second[order]
    ious[pairs.first[order]] = pairs.iou[order]
    best_of_theirs[pairs.second[order]] = pairs.first[order]
    found = np.flatnonzero(rows >= 0)
    kept = best_of_theirs[rows[found]] == found
    kept &= _same_category(table.masks.iloc[found], other.masks.iloc[rows[found]])
    rows[found[~kept]], ious[found[~kept]] = -1, 0.0
    return Counterparts(rows, ious, other.runs)


def _same_category(mine: pd.DataFrame, theirs: pd.DataFrame) -> BoolArray:
    """Return whether masks are of one category as far as both say: by names, else by ids."""
    same = np.ones(len(mine), np.bool_)
    unknown = np.ones(len(mine), np.bool_)
    for name in ("category", "category_id"):
        if name in mine and name in theirs:
            a, b = mine[name].to_numpy(object), theirs[name].to_numpy(object)
            both = unknown & ~pd.isna(a) & ~pd.isna(b)
            same[both] = a[both] == b[both]
            unknown &= ~both
    return same


def find_agreed(counterparts: Mapping[str, Counterparts]) -> dict[int, AgreedMask]:
    """Return masks on which other sets agree against a mask, by the row of that mask.

    Of several the one with which most sets agree, then the one with which they agree best.
    """
    found: dict[int, AgreedMask] = {}
    names = list(counterparts)
    for name in names:
        own = counterparts[name]
        far = np.flatnonzero((own.rows >= 0) & (own.iou <= FAR_IOU))
        number, total = np.zeros(len(far), np.int64), np.zeros(len(far))
        for other in (counterparts[one] for one in names if one != name):
            both = np.flatnonzero(other.rows[far] >= 0)
            rows = far[both]
            iou = pair_iou(own.runs[own.rows[rows]], other.runs[other.rows[rows]])
            agree = iou >= AGREED_IOU
            number[both[agree]] += 1
            total[both[agree]] += iou[agree]
        for k in np.flatnonzero(number).tolist():
            row = int(far[k])
            place = int(own.rows[row])
            one = AgreedMask(
                drawn_by=name,
                mask=own.runs[place : place + 1],
                iou=float(own.iou[row]),
                others=int(number[k]),
                others_iou=float(total[k] / number[k]),
            )
            known = found.get(row)
            if known is None or (one.others, one.others_iou) > (known.others, known.others_iou):
                found[row] = one
    return found
