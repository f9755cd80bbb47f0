"""The IoU from which people take a proposal as it is, read from what they accepted and redrew.

Nobody says from which IoU on a mask is good enough, and what people accept has no other outline
that it could be compared with. But the share of proposals of an object that they redraw is known,
and on the validation images, whose masks people made, so is the IoU of proposals. So the line is
laid where as large a share of those lies under it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from curate.common.arrays import FloatArray
from curate.engine.proposal_cuts import MATCH_IOU
from curate.engine.proposal_truth import GOOD_IOU
from curate.people.reviews.current_plan import open_audit
from curate.store.engine_folder import AUDIT

LEAST_PROPOSALS = 20
"""Proposals, decided on or compared, under which nothing is read from them: a share of fewer has a
standard error of over 0.1."""

LOWEST_IOU = 0.75
"""However much people accept: the line of COCO's stricter average precision."""


@dataclass(frozen=True)
class DecidedProposals:
    """Proposals of an object that people decided on.

    Attributes:
        accepted: Those that they took as they were.
        redrawn: Those that they redrew to an IoU of
            :data:`curate.engine.proposal_cuts.MATCH_IOU` or more; what was changed by more was
            hardly a mask of its object.
    """

    accepted: int
    redrawn: int


@dataclass(frozen=True)
class AcceptedIou:
    """From which IoU with people's mask on a proposal counts as good.

    Attributes:
        iou: In [:data:`LOWEST_IOU`, :data:`curate.engine.proposal_truth.GOOD_IOU`].
        decided: What it was read from; None where that was too little.
    """

    iou: float
    decided: DecidedProposals | None

    def text(self) -> str:
        """Return the IoU and its source, as a clause."""
        on = f"good is an IoU of {self.iou:.2f} with people's mask"
        if self.decided is None:
            return f"{on}, as too few proposals were decided on to tell what people take"
        redrawn, count = self.decided.redrawn, self.decided.accepted + self.decided.redrawn
        return f"{on}, as of {count:,} proposals of an object people redrew {redrawn:,}"


def find_accepted_iou(decided: DecidedProposals, compared: FloatArray) -> AcceptedIou:
    """Return the IoU from which people take proposals as they are.

    It is the quantile of what was compared at the share of what was redrawn, kept between
    :data:`LOWEST_IOU` and :data:`curate.engine.proposal_truth.GOOD_IOU`; the latter where fewer
    than :data:`LEAST_PROPOSALS` were decided on, or compared. Own definition.

    Args:
        decided: In the rounds so far.
        compared: IoU with people's mask of each proposal of the validation images, shape (n,);
            those under :data:`curate.engine.proposal_cuts.MATCH_IOU` are of no object and are
            passed over.
    """
    count, known = decided.accepted + decided.redrawn, compared[compared >= MATCH_IOU]
    if min(count, len(known)) < LEAST_PROPOSALS:
        return AcceptedIou(GOOD_IOU, None)
    line = float(np.quantile(known, decided.redrawn / count, method="higher"))
    return AcceptedIou(min(max(line, LOWEST_IOU), GOOD_IOU), decided)


def count_decided(folders: Sequence[Path]) -> DecidedProposals:
    """Count the proposals of an object that people accepted and redrew.

    Args:
        folders: Of rounds and of the validation images; those without an audit are passed over.
    """
    accepted = redrawn = 0
    for folder in folders:
        if (folder / AUDIT).is_dir() and (audit := open_audit(folder / AUDIT)).has_people():
            found = audit.query(
                "select count(*) filter (change in ('kept', 'relabelled')) as accepted, "
                "count(*) filter (change = 'redrawn' and iou >= ?) as redrawn from people",
                [MATCH_IOU],
            )
            accepted += int(found["accepted"].iloc[0])
            redrawn += int(found["redrawn"].iloc[0])
    return DecidedProposals(accepted, redrawn)
