"""Queue of proposed missing masks, and its progress as people answer."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd

from curate.common.arrays import BoolArray, IntArray
from curate.people.queues.missing_proposals import (
    KIND,
    check_open,
    ids_of,
    proposal_states,
    read_proposals,
)
from curate.people.reviews import Reviews
from curate.people.reviews.proposal_answers import read_answers
from curate.people.webapp.queue_progress import Unsettled
from curate.store.audit import StoredAudit

_LAST = (
    "select (select coalesce(max(answer_id), 0) from proposals),"
    " (select coalesce(max(missing_id), 0) from missing)"
)


class Proposal(NamedTuple):
    """A place where a mask may be missing; see
    :func:`curate.people.queues.missing_proposals.read_proposals`. ``box`` is XYWH, pixels."""

    proposal_id: int
    image_id: int
    file_name: str
    category: str | None
    confidence: float
    best_iou: float
    box: tuple[float, float, float, float]
    height: int
    width: int
    seen_by: str


@dataclass(frozen=True)
class ProposalQueue:
    """Proposals in the order in which people see them, the surest first; answered ones as well.

    Attributes:
        proposals: A row each; see
            :func:`curate.people.queues.missing_proposals.read_proposals`.
    """

    proposals: pd.DataFrame

    name = KIND
    draw_id = None
    whole_images = False
    twice = False

    def __len__(self) -> int:
        return len(self.proposals)

    @cached_property
    def mask_ids(self) -> IntArray:
        """The proposal of each row."""
        return ids_of(self.proposals)

    @cached_property
    def image_ids(self) -> IntArray:
        """The image of each row."""
        return self.proposals["image_id"].to_numpy(np.int64)

    @cached_property
    def slots(self) -> npt.NDArray[np.int8]:
        """One person answers each."""
        return np.zeros(len(self), np.int8)

    @cached_property
    def _row_of(self) -> dict[int, int]:
        return {proposal_id: row for row, proposal_id in enumerate(self.mask_ids.tolist())}

    def rows_of(self, mask_id: int) -> list[int]:
        """Return the row of a proposal; none where the queue does not have it."""
        row = self._row_of.get(mask_id)
        return [] if row is None else [row]

    def takes(self, mask_id: int) -> bool:
        """Return whether the queue has a proposal."""
        return mask_id in self._row_of

    def shown_for(self, mask_id: int) -> tuple[str, int | None]:
        """Return that no mask is decided on here."""
        del mask_id
        return "none", None

    def row(self, row: int) -> Proposal:
        """Return the proposal of a row."""
        values = self.proposals.iloc[row]
        x, y, w, h = (float(values[f"bbox_{side}"]) for side in "xywh")
        return Proposal(
            int(values["proposal_id"]),
            int(values["image_id"]),
            str(values["file_name"] or ""),
            values["category"] if isinstance(values["category"], str) else None,
            float(values["confidence"]),
            float(values["best_iou"]),
            (x, y, w, h),
            int(values["height"]),
            int(values["width"]),
            str(values["seen_by"]),
        )


def make_proposal_queue(audit: StoredAudit) -> ProposalQueue:
    """Return an audit's proposals as a queue.

    Raises:
        AuditError: There is none, or none is left.
    """
    proposals = read_proposals(audit)
    check_open(audit, proposals)
    return ProposalQueue(proposals)


class ProposalProgress:
    """Which proposals are answered, or covered by a mask that people added, and by whom.

    Attributes:
        done: Shape (rows,).
        mine: How many each person has answered.
        unsettled: None: the last answer counts.
    """

    def __init__(self, queue: ProposalQueue, reviews: Reviews) -> None:
        self.queue, self.reviews = queue, reviews
        self.done: BoolArray = np.zeros(len(queue), np.bool_)
        self.mine: Counter[str] = Counter()
        self.unsettled: dict[int, Unsettled] = {}
        self._people: dict[int, frozenset[str]] = {}
        self._seen: tuple[int, int] | None = None
        self.refresh()

    def refresh(self) -> None:
        """Read the answers again where there are new ones."""
        with self.reviews.connect() as connection:
            first, second = connection.execute(_LAST).fetchone()
        if (first, second) == self._seen:
            return
        states = proposal_states(self.reviews.audit, self.queue.proposals)
        self.done = (states != "left").to_numpy(np.bool_)
        answers = read_answers(self.reviews)
        answers = answers[answers["proposal_id"].isin(self.queue.mask_ids)]
        self._people = {
            self.queue.rows_of(int(str(number)))[0]: frozenset(names)
            for number, names in answers.groupby("proposal_id")["reviewer"]
        }
        self.mine = Counter(answers["reviewer"].tolist())
        self._seen = (first, second)

    def resolve_by(self, rule: str) -> None:
        """Do nothing: one answer settles a proposal."""

    def awaits(self, row: int) -> None:
        """Return None: no answered proposal is open again."""

    def who(self, row: int) -> frozenset[str]:
        """Return the people who have answered a proposal."""
        return self._people.get(row, frozenset())

    def by(self, reviewer: str) -> BoolArray:
        """Return the rows that a person has answered."""
        found = np.zeros(len(self.queue), np.bool_)
        found[[row for row, people in self._people.items() if reviewer in people]] = True
        return found
