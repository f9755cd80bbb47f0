"""Likely corrections of masks cut too large or too small: the same outline, drawn in or out.

A verifier judges each of several distances; the one of which it expects the highest IoU is kept
where it takes that mask for right and expects clearly more of it than of the mask as it stands.
Measured in ``reports/corrections``.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from curate.common.arrays import ByteArray
from curate.networks.verifiers.crops import signed_distance
from curate.networks.verifiers.verifier import MaskJudge
from curate.networks.verifiers.verifier_worth import DOUBTED
from curate.rle import Runs, bbox, concat, from_dense, paste, to_dense

DIRECTIONS = {"too large": 1, "too small": -1}
"""Kinds of error that are corrected, and where the outline goes: 1 is inwards."""

SHARES = (0.03, 0.06, 0.1, 0.14, 0.18, 0.23, 0.28)
"""Distances that are tried, as shares of the side that the mask had as a square."""

FARTHEST = 0.18
"""A correction whose best distance is beyond this share is not kept: such an outline lies nowhere
near the object's, and most of them were wrong on the half of the images for choosing."""

LEAST_STEP = 1.0
"""Least distance, in pixels of the image."""

LEAST_PIXELS = 9
"""Pixels that a corrected mask has at least."""

LEAST_RISE = 0.2
"""By how much the predicted IoU rises at least, for a correction to be kept."""


@dataclass(frozen=True)
class SizeCorrection:
    """A mask with its outline drawn in or out.

    Attributes:
        mask: One mask.
        step_px: How far the outline moved, in pixels; above 0 it was drawn in.
        iou_before: IoU with the right mask that the verifier expects of the mask as it stands.
        iou_after: The same of this one.
    """

    mask: Runs
    step_px: float
    iou_before: float
    iou_after: float


def correct_size(
    judge: MaskJudge,
    picture: ByteArray,
    runs: Runs,
    which: int,
    kind: str,
    category: object = None,
) -> SizeCorrection | None:
    """Return the likely correction of a mask that a verifier takes for too large or too small.

    Args:
        judge: The verifier.
        picture: Shape (height, width, 3), uint8, RGB.
        runs: The masks of the picture.
        which: The mask among them; it has pixels.
        kind: What the verifier says is wrong with it, a key of :data:`DIRECTIONS`.
        category: The name of its category.

    Returns:
        None where no distance is clearly better, or where the verifier predicts no IoU.

    Raises:
        CurateError: As of :meth:`Verifier.judge`.
    """
    shares, steps, changed = _move_outline(runs, which, DIRECTIONS[kind])
    if not steps:
        return None
    found = judge.judge_changed(
        picture, runs, which, concat([runs[which : which + 1], changed]), category
    )
    before, ious = float(found.iou[0]), found.iou[1:]
    right = np.where(found.good[1:] >= DOUBTED, ious, np.nan)
    if np.isnan(right).all():
        return None
    best = int(np.nanargmax(ious))
    if not right[best] - before >= LEAST_RISE or shares[best] > FARTHEST:  # also where one is NaN
        return None
    return SizeCorrection(changed[best : best + 1], steps[best], before, float(ious[best]))


def _move_outline(runs: Runs, which: int, direction: int) -> tuple[list[float], list[float], Runs]:
    """Return distances as shares and in pixels, and a mask with its outline moved by each."""
    height, width = int(runs.heights[which]), int(runs.widths[which])
    x, y, w, h = (int(v) for v in bbox(runs[which : which + 1])[0])
    size = float(np.sqrt(to_dense(runs, which, (x, y, w, h)).sum()))
    reach = int(np.ceil(max(LEAST_STEP, SHARES[-1] * size))) + 1
    left, top = max(0, x - reach), max(0, y - reach)
    box = (left, top, min(width, x + w + reach) - left, min(height, y + h + reach) - top)
    # A mask that ends at the border of the image goes on behind it, so the window ends there too.
    distance = signed_distance(to_dense(runs, which, box))
    # Of a small mask several shares are the least step: the first of them stands for it.
    wanted = {max(LEAST_STEP, share * size): share for share in reversed(SHARES)}
    shares, steps, masks = [], [], []
    for step, share in sorted(wanted.items()):
        pixels = distance > direction * step
        if pixels.sum() >= LEAST_PIXELS:
            shares.append(share)
            steps.append(direction * step)
            masks.append(from_dense(pixels))
    if not masks:
        return [], [], runs[:0]
    corners, count = [(left, top)] * len(masks), len(masks)
    return shares, steps, paste(concat(masks), corners, [height] * count, [width] * count)
