"""Likely corrections of merged masks: other masks taken out, or the mask split into its objects.

A verifier judges the parts of every candidate; the one whose worst part it likes best is kept where
it takes all parts for right and expects clearly more of each than of the mask as it stands.
Measured in ``reports/corrections``.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from curate.common.arrays import ByteArray
from curate.networks.verifiers.split_candidates import SplitCandidate, propose_splits
from curate.networks.verifiers.verifier import MaskJudge
from curate.rle import Runs, concat

MERGED = "merged"
"""Kind of error that is corrected so."""

SPLIT_KINDS = (MERGED, "drawn twice")
"""Kinds after which a mask is tried to be taken apart: one that holds another mask is named after
the second as often."""

SURE = 0.8
"""Least P(good) of each part."""

LEAST_RISE = 0.05
"""By how much the predicted IoU of every part lies over the mask's at least."""


@dataclass(frozen=True)
class SplitCorrection:
    """A mask taken apart.

    Attributes:
        masks: What the mask becomes, the largest first, and behind it those that are new.
        taken_out: Rows of other masks of the image whose pixels were taken out of it.
        rim_px: Pixels that went with them: rims and specks beside them.
        iou_before: IoU with the right mask that the verifier expects of the mask as it stands.
        ious_after: The same of each of ``masks``.
    """

    masks: Runs
    taken_out: tuple[int, ...]
    rim_px: int
    iou_before: float
    ious_after: tuple[float, ...]


@dataclass(frozen=True)
class JudgedSplit:
    """A candidate as a verifier judges it.

    Attributes:
        candidate: The parts.
        good: The lowest P(good) of its parts, in [0, 1]; NaN where one is too small to judge.
        ious: Predicted IoU of each part.
    """

    candidate: SplitCandidate
    good: float
    ious: tuple[float, ...]


def split_merged(
    judge: MaskJudge, picture: ByteArray, runs: Runs, which: int, category: object = None
) -> SplitCorrection | None:
    """Return the likely correction of a mask that a verifier takes for merged.

    Args:
        judge: The verifier.
        picture: Shape (height, width, 3), uint8, RGB.
        runs: The masks of the picture.
        which: The mask among them; it has pixels.
        category: The name of its category.

    Returns:
        None where no candidate is clearly better, or where the verifier predicts no IoU.

    Raises:
        CurateError: As of :meth:`Verifier.judge`.
    """
    before, judged = judge_splits(judge, picture, runs, which, category)
    fit = [
        one
        for one in judged
        if one.good >= SURE and min(one.ious) - before >= LEAST_RISE  # also where one is NaN
    ]
    if not fit:
        return None
    best = max(fit, key=lambda one: min(one.ious))
    way = best.candidate
    return SplitCorrection(way.masks, way.taken_out, way.rim_px, before, best.ious)


def judge_splits(
    judge: MaskJudge, picture: ByteArray, runs: Runs, which: int, category: object = None
) -> tuple[float, list[JudgedSplit]]:
    """Return the predicted IoU of a mask, and all ways to take it apart with their judgements.

    Raises:
        CurateError: As of :meth:`Verifier.judge`.
    """
    candidates = propose_splits(picture, runs, which)
    if not candidates:
        return float("nan"), []
    masks = concat([runs[which : which + 1], *(one.masks for one in candidates)])
    found = judge.judge_changed(picture, runs, which, masks, category)
    ends = 1 + np.cumsum([len(one.masks) for one in candidates])
    starts = [1, *ends[:-1].tolist()]
    return float(found.iou[0]), [
        JudgedSplit(one, float(found.good[a:b].min()), tuple(found.iou[a:b].tolist()))
        for one, a, b in zip(candidates, starts, ends.tolist(), strict=True)
    ]
