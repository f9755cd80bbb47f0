"""Choice of the cuts of a recipe by what they save people, on images that people annotated.

A proposal that is as good as one of people's masks saves drawing it; one that must be corrected
costs about what it saves; one that matches none costs a look that should end in a rejection, and
sometimes does not. So a pair of cuts, on predicted IoU and on stability, is worth the masks that it
saves less the price of its false proposals, and of all pairs of a grid that of the highest worth is
chosen. What is chosen on these images looks a little better there than it is elsewhere.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np

from curate.common.arrays import BoolArray, FloatArray, IntArray
from curate.engine.proposal_truth import match_pairs

OPEN: dict[str, float] = {"pred_iou": -10.0, "stability": 0.0}
"""The lowest that a recipe allows: all finite masks with pixels pass."""

STEPS = tuple(round(0.05 * k, 2) for k in range(20))
"""Cuts that are tried, besides the lowest and the recipe's own: steps that a person would write,
and coarse enough that a few masks do not decide among many."""

MATCH_IOU = 0.5
"""IoU with people's mask from which a proposal is one of its object: the line of COCO's lowest
average precision."""

SAVING_IOU = 0.75
"""IoU from which a proposal saves drawing: the line of COCO's stricter average precision. Most of
the outline of a worse one has to be drawn again, by which it saves little: in the engine's study a
correction takes nearly as long as a drawing."""

ACCEPTED_SHARE = 0.05
"""Share of false proposals that people accept by mistake, an assumption. One that is accepted is
held as dear as a mask that is missing."""

LEAST_MASKS = 25
"""People's masks under which nothing is chosen. The share of n masks that a pair of cuts saves has
a standard error of up to 0.5 / sqrt(n): 0.1 of 25 masks, as much as pairs that matter differ by."""

JUDGE_S, LOCATE_S, DRAW_S_PER_PX = 1.6, 2.4, 0.205
"""Seconds of a look at a mask that ends in a rejection, and of drawing one: its first click, and a
screen pixel of its outline. Published times without a segmenter's help, the defaults of
:class:`curate.demo_dataset.annotation_times.AnnotationTimes`, which names their sources."""

VIEW_PX = 640.0
"""Longest side of an image as people see it, in screen pixels, as there."""


@dataclass(frozen=True)
class CutWorth:
    """What a pair of cuts comes to.

    Attributes:
        pred_iou: Proposals of a predicted IoU not over it are dropped.
        stability: Proposals of a stability under it are dropped.
        saved: People's masks that a proposal saves drawing.
        false: Proposals that match none.
    """

    pred_iou: float
    stability: float
    saved: int
    false: int

    def worth(self, price: float) -> float:
        """Return the masks saved less the false proposals, each at a price in masks."""
        return self.saved - price * self.false


@dataclass(frozen=True)
class OpenProposals:
    """Proposals that were made with the cuts open, and their overlaps with people's masks.

    Attributes:
        predicted_iou: Shape (n,); one that is NaN passes no cut.
        stability: Shape (n,), likewise.
        first: Row of the proposal, of each pair that shares pixels, shape (m,).
        second: Row of people's mask, shape (m,).
        iou: Of the pair, shape (m,), in (0, 1].
    """

    predicted_iou: FloatArray
    stability: FloatArray
    first: IntArray
    second: IntArray
    iou: FloatArray

    def measure(self, pred_iou: float, stability: float) -> CutWorth:
        """Match the proposals that pass a pair of cuts, and count.

        Masks whose best proposal is cut are matched with the next: it is no duplicate then.
        """
        passes = (self.predicted_iou > pred_iou) & (self.stability >= stability)
        saved, false = count_saved(passes, self.first, self.second, self.iou)
        return CutWorth(pred_iou, stability, saved, false)


def count_saved(
    passes: BoolArray, first: IntArray, second: IntArray, iou: FloatArray
) -> tuple[int, int]:
    """Return how many masks some proposals save drawing, and how many of these are false.

    Args:
        passes: Which of the n proposals count.
        first: Row of the proposal, of each pair that shares pixels.
        second: Row of people's mask.
        iou: Of the pair, in (0, 1].
    """
    use = passes[first] & (iou >= MATCH_IOU)
    matched, best = match_pairs(first[use], second[use], iou[use], len(passes))
    return int((best >= SAVING_IOU).sum()), int(passes.sum() - (matched >= 0).sum())


def choose_cuts(
    proposals: OpenProposals,
    price: float,
    pred_ious: Sequence[float],
    stabilities: Sequence[float],
) -> CutWorth:
    """Return the pair of cuts of the highest worth.

    Of equals it is the stricter: that of the highest predicted IoU, then of the highest stability.

    Args:
        proposals: With the cuts open.
        price: Of a false proposal, in masks; see :func:`find_price`.
        pred_ious: Cuts on predicted IoU to try, one or more.
        stabilities: Cuts on stability to try, one or more.
    """
    pairs = product(sorted(pred_ious, reverse=True), sorted(stabilities, reverse=True))
    found = (proposals.measure(*pair) for pair in pairs)
    return max(found, key=lambda one: one.worth(price))  # the first of equals


def list_cuts(name: str, own: float, *, is_set: bool) -> tuple[float, ...]:
    """Return the values of a cut to try: the steps, the lowest and the recipe's own.

    Args:
        name: One of :data:`curate.engine.settings.CUTS`.
        own: The recipe's own.
        is_set: Whether it was set by the user, and stays.
    """
    return (own,) if is_set else tuple(sorted({OPEN[name], *STEPS, own}))


def find_price(areas: FloatArray, longest_sides: FloatArray) -> float:
    """Return the cost of a false proposal in masks.

    It is a look's seconds over those of drawing one, and the share that is accepted by mistake.
    The outline of a mask is taken to be that of a circle of its area, the shortest there is, and
    the mask to be of the median outline: false proposals are rather held too dear.

    Args:
        areas: Of people's masks in pixels, shape (n,), one or more, over 0.
        longest_sides: Of their images in pixels, shape (n,), over 0.
    """
    outlines = 2 * np.sqrt(math.pi * areas) * VIEW_PX / longest_sides
    return JUDGE_S / (LOCATE_S + DRAW_S_PER_PX * float(np.median(outlines))) + ACCEPTED_SHARE
