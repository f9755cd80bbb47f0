"""Masks that were moved, split or merged from one dataset to another."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from curate.common.arrays import BoolArray, FloatArray, IntArray
from curate.dataset.pairing import (
    BATCH,
    Both,
    MaskPairs,
    Rows,
    by_image,
    iou_of_each,
    runs_of,
)
from curate.dataset.snapshot import Snapshot
from curate.rle import Runs, area, crop, cross_overlaps, measure, overlaps

SAME_SHAPE = 0.95
"""IoU from which two masks have one shape, once one is put where the other lies."""

COVERED = 0.8
"""Share of a part that lies in the whole, and of the whole that its parts hold together."""

_LEFT_BY_MOVING = 0.5
_COVERED_TWICE = 0.5


@dataclass(frozen=True)
class Links:
    """Masks of A and of B of which several belong to one.

    Attributes:
        rows: Their positions among A's masks and among B's, a link each.
        iou: Shape (n,).
    """

    rows: Rows
    iou: FloatArray


def find_moves(a: Snapshot, b: Snapshot, pairs: MaskPairs) -> IntArray:
    """Find which masks have kept their shape and lie elsewhere in their image.

    A mask is moved where the other, put at its place by the corner of its box, has an IoU of
    :data:`SAME_SHAPE` with it and at most half of the difference is left; else it is redrawn.

    Args:
        a: One dataset.
        b: The other.
        pairs: Their masks.

    Returns:
        Shape (n, 2), for each pair: how far B's mask lies to the right of A's and below it, in
        pixels; (0, 0) for one that was not moved.
    """
    moved = np.zeros((len(pairs.iou), 2), np.int64)
    asked = np.flatnonzero(~pairs.equal & ~np.isnan(pairs.iou))
    for first in range(0, len(asked), BATCH):
        some = asked[first : first + BATCH]
        runs = runs_of(a, pairs.rows[0][some]), runs_of(b, pairs.rows[1][some])
        old, new = (measure(one)[1] for one in runs)
        shift = new[:, :2] - old[:, :2]
        fits = (old[:, 2:] == new[:, 2:]).all(axis=1) & (old[:, 2] > 0) & (shift != 0).any(axis=1)
        some, shift = some[fits], shift[fits]
        cut = (crop(one[fits], boxes[fits]) for one, boxes in zip(runs, (old, new), strict=True))
        aligned = iou_of_each(*cut)
        kept = 1 - aligned <= _LEFT_BY_MOVING * (1 - pairs.iou[some])
        kept &= aligned >= SAME_SHAPE
        moved[some[kept]] = shift[kept]
    return moved


def find_splits(a: Snapshot, b: Snapshot, every: Both, pairs: MaskPairs) -> Links:
    """Find masks of A of which B has two or more parts; with A and B exchanged, merged masks.

    A part lies in the whole with :data:`COVERED` of its pixels and at most half of it in the other
    parts, all parts together hold that share of the whole, and one of them at most is the mask that
    the whole was paired with: without the others that one would be a redraw, and they new masks.

    Args:
        a: One dataset.
        b: The other.
        every: Their masks, as :func:`curate.dataset.pairing.comparable` gives them.
        pairs: Those that are one mask.

    Returns:
        Each whole with each of its parts.
    """
    partner = np.full(len(a.masks), -1)
    partner[pairs.rows[0]] = pairs.rows[1]
    unchanged = np.zeros(len(a.masks), np.bool_)
    unchanged[pairs.rows[0][pairs.equal]] = True
    is_new = np.ones(len(b.masks), np.bool_)
    is_new[pairs.rows[1]] = False
    is_part = is_new.copy()
    is_part[pairs.rows[1][~pairs.equal]] = True
    wholes = every[0][~unchanged[every[0].index]]
    parts = every[1][is_part[every[1].index]]
    found = [
        _held_parts(a, b, some, others, partner, is_new)
        for some, others in by_image((wholes, parts))
        if is_new[others.index].any()
    ]
    links = pd.concat(found) if found else _held_parts(a, b, wholes[:0], parts[:0], partner, is_new)
    # A new mask is part of one whole, the one that is most alike of those that hold it.
    links = links.sort_values(["iou", "whole"], ascending=[False, True], kind="stable")
    links = links[~links["is_new"] | ~links.duplicated("part")]
    by_whole = links.groupby("whole")
    held = by_whole["shared"].transform("sum") / links["area"]
    is_split = (by_whole["part"].transform("size") > 1) & by_whole["is_new"].transform("any")
    links = links[is_split & (held >= COVERED)].sort_values(["whole", "part"])
    rows = links["whole"].to_numpy(np.int64), links["part"].to_numpy(np.int64)
    return Links(rows, links["iou"].to_numpy(np.float64))


def _held_parts(
    a: Snapshot,
    b: Snapshot,
    wholes: pd.DataFrame,
    parts: pd.DataFrame,
    partner: IntArray,
    is_new: BoolArray,
) -> pd.DataFrame:
    """Return which masks of B lie in which of A: those that are new there, and A's own partner."""
    old, new = runs_of(a, wholes.index), runs_of(b, parts.index)
    shared = cross_overlaps(old, wholes["image"], new, parts["image"])
    areas, part_areas = area(old)[shared.first], area(new)[shared.second]
    whole = wholes.index.to_numpy(np.int64)[shared.first]
    part = parts.index.to_numpy(np.int64)[shared.second]
    links = pd.DataFrame(
        {
            "whole": whole,
            "part": part,
            "shared": shared.intersection,
            "area": areas,
            "iou": shared.intersection / (areas + part_areas - shared.intersection),
            "is_new": is_new[part],
        }
    )
    own = is_new[part] | (partner[whole] == part)
    links = links[own & (shared.intersection >= COVERED * part_areas)]
    held: pd.DataFrame = links[~_covered_twice(links, new, parts)]
    return held


def _covered_twice(links: pd.DataFrame, new: Runs, parts: pd.DataFrame) -> pd.Series[bool]:
    """Return which parts that are new lie in the other parts of their whole for the most."""
    both = overlaps(new, parts["image"].to_numpy(np.int64))
    rows = parts.index.to_numpy(np.int64)
    sides = rows[both.first], rows[both.second]
    meeting = pd.DataFrame(
        {
            "part": np.concatenate(sides),
            "other": np.concatenate(sides[::-1]),
            "doubled": np.concatenate([both.intersection, both.intersection]),
        }
    )
    own = links[["whole", "part"]].assign(link=links.index)
    found = own.merge(meeting, on="part")
    found = found.merge(
        own[["whole", "part"]], left_on=["whole", "other"], right_on=["whole", "part"]
    )
    doubled = found.groupby("link")["doubled"].sum().reindex(links.index, fill_value=0)
    sizes = pd.Series(area(new), rows)[links["part"]].to_numpy()
    twice: pd.Series[bool] = links["is_new"] & (doubled > _COVERED_TWICE * sizes)
    return twice
