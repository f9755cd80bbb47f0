"""The IoU from which people take a proposal as it is, read from the proposals that they redrew."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from curate.common.arrays import FloatArray
from curate.engine.proposal_truth import GOOD_IOU
from curate.people.reviews.current_plan import open_audit
from curate.store.engine_folder import AUDIT

LEAST_REDRAWN = 20
"""Redrawn proposals under which nothing is read from them: one in twenty may be better."""

REDRAWN_SHARE = 0.95
"""Share of the redrawn proposals that are worse than what people take. Own choice."""

LOWEST_IOU = 0.75
"""However bad what people redrew was: the line of COCO's stricter average precision."""


@dataclass(frozen=True)
class AcceptedIou:
    """From which IoU with people's mask on a proposal counts as good.

    Attributes:
        iou: In [:data:`LOWEST_IOU`, :data:`curate.engine.proposal_truth.GOOD_IOU`].
        redrawn: Redrawn proposals that it rests on.
    """

    iou: float
    redrawn: int

    def text(self) -> str:
        """Return the IoU and its source, as a clause."""
        on = f"good is an IoU of {self.iou:.2f} with people's mask"
        if self.redrawn < LEAST_REDRAWN:
            few = f"people redrew {self.redrawn:,} of their proposals"
            return f"{on}, as {few}, too few to tell what they take"
        span = f"{LOWEST_IOU:g} to {GOOD_IOU:g}"
        return f"{on}, the 95th percentile of {self.redrawn:,} redrawn proposals, within {span}"


def find_accepted_iou(redrawn: FloatArray) -> AcceptedIou:
    """Return the IoU from which people take proposals as they are.

    Whoever redraws all that is worse than some IoU redraws hardly anything over it, so the 95th
    percentile of what was redrawn is about that IoU. It is kept between :data:`LOWEST_IOU` and
    :data:`curate.engine.proposal_truth.GOOD_IOU`, and is the latter with fewer than
    :data:`LEAST_REDRAWN` redrawn proposals.

    Args:
        redrawn: IoU of each redrawn proposal with what people made of it, shape (n,); NaN for one
            whose IoU is not known, which is passed over.
    """
    known = redrawn[np.isfinite(redrawn)]
    if len(known) < LEAST_REDRAWN:
        return AcceptedIou(GOOD_IOU, len(known))
    high = float(np.quantile(known, REDRAWN_SHARE, method="higher"))
    return AcceptedIou(min(max(high, LOWEST_IOU), GOOD_IOU), len(known))


def list_redrawn_ious(folders: Sequence[Path]) -> FloatArray:
    """Return the IoU of each proposal that people redrew with what they made of it.

    Args:
        folders: Of rounds and of the validation images; those without an audit are passed over.
    """
    found: list[FloatArray] = [np.zeros(0)]
    for folder in folders:
        if (folder / AUDIT).is_dir() and (audit := open_audit(folder / AUDIT)).has_people():
            rows = audit.query("select iou from people where change = 'redrawn' order by mask_id")
            found.append(rows["iou"].to_numpy(np.float64))
    return np.concatenate(found)
