"""People and the quality model by turns, with the product as it is: queue, decisions, learn."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd

from curate import open_audit
from curate.common.arrays import FloatArray
from curate.common.ranges import ACTIONS
from curate.errors import CallError
from curate.people.learning import learn
from curate.people.queues.draw_queue import draw_queue
from curate.people.queues.population import PastReviews
from curate.people.reviews import open_reviews
from curate.store.audit import StoredAudit

Ids = npt.NDArray[np.int64]


@dataclass
class People:
    """Reviewers who know the truth, and whom nobody shows some of the masks.

    Attributes:
        bad: The wrong masks.
        twins: By either mask of a pair, the other one. Who sees one sees the pair, and rejects it.
        hidden: Masks that are not theirs to look at.
        order: What they saw, in order.
    """

    bad: frozenset[int]
    twins: Mapping[int, int] = field(default_factory=dict)
    hidden: Ids = field(default_factory=lambda: np.empty(0, np.int64))
    order: list[int] = field(default_factory=list)

    def done(self) -> PastReviews:
        """Return which masks need not be shown any more."""
        pairs = [self.twins[mask] for mask in self.order if mask in self.twins]
        return PastReviews(np.unique(np.r_[self.hidden, self.order, pairs]).astype(np.int64))

    def decide(self, masks: list[int]) -> pd.DataFrame:
        """Return decisions on masks."""
        self.order += masks
        wrong = [mask in self.bad or mask in self.twins for mask in masks]
        actions = np.where(wrong, "reject", "accept")
        return pd.DataFrame({"mask_id": masks, "action": actions, "reviewer": "people"})


def turns(
    source: Path, work: Path, people: People, *, batch: int, rounds: int, seed: int
) -> list[int]:
    """Let people review batch after batch of the errors queue, learning after each.

    Args:
        source: A finished audit; it is copied, not touched.
        work: Where the copy goes; removed afterwards.
        people: The reviewers.
        batch: Masks a round.
        rounds: How many rounds; after them all masks that are left follow in the last order.
        seed: Of what is learned.

    Returns:
        Masks in the order in which they were shown.
    """
    shutil.rmtree(work, ignore_errors=True)
    shutil.copytree(source, work)
    audit = open_audit(work)
    reviews = open_reviews(audit, create=True)
    for _ in range(rounds):
        masks = queued(audit, people, batch)
        reviews.add(people.decide(masks), origin="played")
        try:
            audit = learn(audit, reviews.resolve_labels(), seed=seed).audit
        except CallError:
            continue  # too few reviews, or all of one kind
    people.order += queued(audit, people, None)
    shutil.rmtree(work)
    return people.order


def queued(audit: StoredAudit, people: People, budget: int | None) -> list[int]:
    """Return the next masks of the errors queue, whatever the plan says of them."""
    drawn = draw_queue(audit, budget=budget, actions=ACTIONS, already=people.done())
    ids: list[int] = drawn.record["mask_id"].tolist()
    return ids


def suspicion(frame: pd.DataFrame, order: list[int], originals: Mapping[int, int]) -> FloatArray:
    """Return an order of a frame's masks, higher is sooner; a pair is seen with its first mask."""
    place = pd.Series(np.arange(len(order), dtype=float), order)
    first = place.reindex(frame.index)
    for copy, original in originals.items():
        if copy in first.index:
            first[copy] = place.reindex([copy, original]).min()
    return -first.to_numpy(np.float64)
