"""Choice of proposals on validation images that may be of objects which people missed.

A good proposal of an object that people missed counts as a bad one, where they are all taken to
have been found. So proposals that match no mask of people's are asked about, the most confident
first. Which of them are asked about can be chosen in any way without harm to what is concluded from
the answers: a proposal that is not asked about stays a bad one. So what is counted as bad is always
all that would be if every proposal were asked about, and perhaps more.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import pandas as pd

from curate import rle
from curate.common.arrays import BoolArray, IntArray
from curate.dataset.table import MaskTable
from curate.engine.confident_masks import find_places
from curate.engine.proposal_cuts import MATCH_IOU
from curate.engine.proposal_truth import compare_with_truth
from curate.scorers.counterparts import groups, mask_pairs

MOST_COVERED = 0.5
"""Share of a proposal's pixels in people's masks, or of one of these in the proposal, from which it
is of an object that has a mask: a part of it, a duplicate, or several in one."""

LEAST_CONFIDENT = 0.25
"""Share of the proposals that match people's masks that may be less confident than one that is
asked about: lines that are laid lower let through much that is bad."""

MOST_ASKED, FEWEST_MOST = 0.1, 10
"""Proposals that a round asks about at most, as a share of people's masks, and the least of that:
twice as many as people miss if they miss one object in twenty."""


def find_possible_misses(
    proposals: MaskTable,
    truth: MaskTable,
    signals: pd.DataFrame,
    decided: Sequence[MaskTable] = (),
) -> list[int]:
    """Return proposals that may be of objects which people missed, the most confident first.

    They are as confident as most of those that match people's masks, hardly overlap any of these,
    and are of different objects.

    Args:
        proposals: A model's masks on images that people searched.
        truth: People's masks of those images.
        signals: Index ``mask_id``, the columns of
            :data:`curate.engine.confident_masks.LINE_SIGNALS` of the proposals, NaN where not
            known: then a proposal is not confident.
        decided: Proposals for such images that people decided on before: none of the same object
            is asked about again.

    Returns:
        Their ids, :data:`MOST_ASKED` times as many as people's masks at most, but
        :data:`FEWEST_MOST` of few.
    """
    ids = proposals.masks.index.to_numpy(np.int64)
    if not len(ids) or not len(truth):
        return []
    scored = signals.loc[ids]
    place = find_places(scored, scored)
    matched = compare_with_truth(proposals, truth)["truth_iou"].to_numpy() >= MATCH_IOU
    known = place[matched & np.isfinite(place)]
    if not len(known):
        return []
    confident = place >= np.quantile(known, LEAST_CONFIDENT)  # NaN is not
    wanted = confident & ~_find_covered(proposals, truth) & ~_find_decided(proposals, decided)
    rows = np.flatnonzero(wanted)
    rows = rows[np.lexsort((ids[rows], -place[rows]))]
    most = max(FEWEST_MOST, math.ceil(MOST_ASKED * len(truth)))
    return [int(ids[row]) for row in _keep_different(proposals, rows)[:most]]


def _find_covered(proposals: MaskTable, truth: MaskTable) -> BoolArray:
    """Return which proposals are of objects with a mask, shape (n,)."""
    over = mask_pairs(proposals, truth, groups(proposals, truth))
    back = mask_pairs(truth, proposals, groups(truth, proposals))
    share = np.bincount(back.second, back.covered, len(proposals))
    found: BoolArray = share >= MOST_COVERED
    found[over.first[over.covered >= MOST_COVERED]] = True
    return found


def _find_decided(proposals: MaskTable, decided: Sequence[MaskTable]) -> BoolArray:
    """Return which proposals are of objects that people were asked about, shape (n,)."""
    found = np.zeros(len(proposals), np.bool_)
    for table in decided:
        pairs = mask_pairs(proposals, table, groups(proposals, table))
        found[pairs.first[pairs.iou >= MATCH_IOU]] = True
    return found


def _keep_different(proposals: MaskTable, rows: IntArray) -> list[int]:
    """Return rows without those that mostly overlap an earlier one of the same image."""
    runs = proposals.runs[rows]
    images = proposals.masks["image_id"].to_numpy(np.int64)[rows]
    found = rle.cross_overlaps(runs, images, runs, images)
    areas = rle.area(runs)
    least = np.minimum(areas[found.first], areas[found.second])
    same = (found.intersection >= MOST_COVERED * least) & (found.first < found.second)
    kept = np.ones(len(rows), np.bool_)
    for first, second in sorted(
        zip(found.first[same].tolist(), found.second[same].tolist(), strict=True)
    ):
        if kept[first]:
            kept[second] = False
    return [int(row) for row in rows[kept]]
