"""Expected seconds of a look at a mask and of its correction, for an order by finds per second."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from curate.common.arrays import FloatArray
from curate.people.reviews import has_reviews, open_reviews
from curate.store.audit import StoredAudit
from curate.store.mask_corrections import read_corrections

LEAST_TIMED = 30
"""Timed decisions of a sort from which on their own median counts."""

VIEW_PX = 640.0
"""Longest side of an image as people see it, in screen pixels: that of COCO's images."""

UNKNOWN_BAD = 0.5
"""Chance of being bad of a mask without a quality."""


@dataclass(frozen=True)
class LookTimes:
    """Seconds that people take, published ones where nothing else is given.

    Attributes:
        judge_s: A mask is looked at and accepted, rejected, or corrected by one key. 1.6 s: yes or
            no to a box (Papadopoulos et al. 2016, arXiv 1602.08405).
        start_s: Before an outline is drawn. 2.4 s: the median first click on an object (Bearman et
            al. 2016, arXiv 1506.02106).
        draw_s_per_px: Drawing, a screen pixel of outline. 0.205 s: from 79.2 s a mask of COCO (Lin
            et al. 2014, arXiv 1405.0312), the outlines of which are 375 px long on average.
    """

    judge_s: float = 1.6
    start_s: float = 2.4
    draw_s_per_px: float = 0.205


def outline_length(masks: pd.DataFrame) -> FloatArray:
    """Return about how long the outlines of masks are on the screen, in pixels, shape (n,).

    Args:
        masks: Columns ``bbox_w``, ``bbox_h``, ``height`` and ``width``; the outline is taken to be
            as long as that of the box.
    """
    longest = masks[["height", "width"]].max(axis=1).clip(lower=1)
    length = 2 * (masks["bbox_w"] + masks["bbox_h"]) * VIEW_PX / longest
    return np.asarray(length.fillna(0.0), np.float64)


def measure_times(audit: StoredAudit) -> LookTimes:
    """Return the times of an audit's people, as far as enough decisions were timed.

    The median of accepted and rejected masks, and the median of fixes less that, by their outline;
    published ones for what fewer than :data:`LEAST_TIMED` decisions tell.
    """
    usual = LookTimes()
    if not has_reviews(audit):
        return usual
    decided = open_reviews(audit).decisions()
    decided = decided[decided["seconds"].notna() & (decided["seconds"] > 0)]
    looks = decided.loc[decided["action"].isin(["accept", "reject"]), "seconds"]
    judge_s = float(looks.median()) if len(looks) >= LEAST_TIMED else usual.judge_s
    drawn = decided[(decided["action"] == "fix") & decided["segmentation"].notna()]
    if len(drawn) < LEAST_TIMED:
        return LookTimes(judge_s)
    ids = ", ".join(str(int(i)) for i in drawn["mask_id"].unique())
    masks = audit.query(
        f"select mask_id, bbox_w, bbox_h, height, width from masks where mask_id in ({ids})"
    ).set_index("mask_id")
    length = pd.Series(outline_length(masks), masks.index)
    each = drawn["mask_id"].map(length)
    drawing = (drawn["seconds"] - judge_s - usual.start_s).clip(lower=0)
    known = each > 0
    if known.sum() < LEAST_TIMED:
        return LookTimes(judge_s)
    return LookTimes(judge_s, usual.start_s, float((drawing[known] / each[known]).median()))


def finds_per_second(audit: StoredAudit, masks: pd.DataFrame, times: LookTimes) -> FloatArray:
    """Return the expected value of a look at each mask by the seconds that it takes, shape (n,).

    The value is the plan's priority, P(bad) times the cost of a bad mask. The seconds are those of
    a look, and of drawing its outline with the chance that it is bad; one key corrects a copy of
    another mask, and one of which the audit has the likely correction.

    Args:
        audit: The audit.
        masks: Columns ``mask_id``, ``priority``, ``bbox_w``, ``bbox_h``, ``height``, ``width``,
            and, where the audit has them, ``quality_score`` and ``duplicate_of``.
        times: What people take.

    Returns:
        NaN where the plan gives no priority.
    """
    bad = np.full(len(masks), UNKNOWN_BAD)
    if "quality_score" in masks:
        quality = masks["quality_score"].to_numpy(np.float64, na_value=np.nan)
        bad = np.where(np.isnan(quality), UNKNOWN_BAD, np.clip(1 - quality, 0, 1))
    quick = masks["mask_id"].isin(list(read_corrections(audit.path)))
    if "duplicate_of" in masks:
        quick = quick | masks["duplicate_of"].notna()
    drawing = times.start_s + times.draw_s_per_px * outline_length(masks)
    seconds = times.judge_s + bad * np.where(quick.to_numpy(np.bool_), 0.0, drawing)
    value = masks["priority"].to_numpy(np.float64, na_value=np.nan)
    return np.asarray(value / seconds, np.float64)
