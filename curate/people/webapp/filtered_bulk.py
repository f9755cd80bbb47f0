"""Decisions in bulk on all masks of a queue that fit the page's filter: preview, decision, undo."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from curate.common.arrays import BoolArray, IntArray
from curate.errors import CallError
from curate.people.reviews import Reviews
from curate.people.reviews.bulk import add_bulk, list_bulk, read_decided, undo_bulk
from curate.people.webapp.answers import BulkAnswer, BulkDone
from curate.people.webapp.cards import Cards
from curate.people.webapp.filters import Filter, Filters
from curate.people.webapp.request_parsing import BulkRequest, RequestError
from curate.people.webapp.shown_queue import ShownQueue
from curate.render.formatting import score

SHOWN = 24
"""Masks that a preview shows, from the first to the last of those that fit."""

_KEPT = {"accept": ("accept", "fix"), "reject": ("reject",)}
"""By action: last actions in bulk that it would not change, or would take back."""


@dataclass(frozen=True)
class _Fitting:
    """Masks that fit a filter: rows to decide on, each mask once; and how many others."""

    rows: IntArray
    looked: int
    already: int


@dataclass(frozen=True)
class FilteredBulk:
    """Decides on all masks of a queue that fit a filter.

    Attributes:
        reviews: The decisions.
        queue: The queue.
        filters: Its filters.
        cards: Makes the cards of a preview.
    """

    reviews: Reviews
    queue: ShownQueue
    filters: Filters
    cards: Cards

    @property
    def allowed(self) -> bool:
        """Whether masks of this queue may be decided on without a look at each."""
        return self.queue.kind == "errors" and not self.queue.checks

    def preview(self, asked: BulkRequest) -> BulkAnswer:
        """Return how many masks a decision would be made on, and some of them.

        Raises:
            Refused: The queue needs a look at each mask, or nothing is filtered.
        """
        found = self._find(asked)
        places = np.linspace(0, len(found.rows) - 1, SHOWN) if len(found.rows) else np.zeros(0)
        shown = found.rows[np.unique(places.astype(np.int64))]
        return {
            "masks": len(found.rows),
            "images": len(np.unique(self.queue.image_ids[found.rows])),
            "looked": found.looked,
            "already": found.already,
            "condition": self.describe(asked.filter),
            "cards": [self.cards.card(int(row)) for row in shown],
        }

    def decide(self, asked: BulkRequest) -> BulkDone:
        """Decide on all masks that fit, if they are as many as the person has confirmed.

        Raises:
            Refused: As :meth:`preview`; or they are another number by now, or nobody is named.
        """
        found = self._find(asked)
        if not asked.reviewer:
            raise RequestError(400, "a decision needs the name of a person")
        if len(found.rows) != asked.count:
            what = f"the filter fits {len(found.rows):,} masks by now, not {asked.count:,}"
            raise RequestError(409, f"{what}; nothing was decided")
        ids = self.queue.mask_ids[found.rows]
        rows = pd.DataFrame({"mask_id": ids, "action": asked.action})
        made = add_bulk(self.reviews, rows, self.describe(asked.filter), asked.reviewer)
        return {"number": made.number, "masks": made.masks}

    def undo(self, number: int, reviewer: str) -> BulkDone:
        """Undo a decision in bulk of the same person.

        Raises:
            Refused: There is none that stands, or somebody else made it.
        """
        listed = list_bulk(self.reviews)
        if not 1 <= number <= len(listed) or listed[number - 1].reviewer != reviewer:
            raise RequestError(400, "there is no such decision in bulk of that person")
        try:
            undone = undo_bulk(self.reviews, number)
        except CallError as error:
            raise RequestError(400, error.what) from error
        return {"number": undone.number, "masks": undone.masks}

    def describe(self, wanted: Filter) -> str:
        """Return a filter in words, as a condition."""
        parts = []
        if wanted.category is not None:
            parts.append(f"the category is “{wanted.category}”")
        if wanted.reason is not None:
            parts.append(f"a reason is “{self.filters.reason_words(wanted.reason)}”")
        if wanted.kind is not None:
            parts.append(f"the verifier's kind of error is “{wanted.kind}”")
        if wanted.score is not None:
            column, low, high = wanted.score
            ends = [f"from {score(low)}"] if np.isfinite(low) else []
            ends += [f"to {score(high)}"] if np.isfinite(high) else []
            parts.append(f"{column} is {' '.join(ends) or 'known'}")
        return " and ".join(parts) + " (filter of the review page)"

    def _find(self, asked: BulkRequest) -> _Fitting:
        if not self.allowed:
            raise RequestError(400, "this queue needs a look at each mask")
        fits: BoolArray | None = self.filters.rows(asked.filter)
        if fits is None:
            raise RequestError(400, "filter first: a decision in bulk is about what fits a filter")
        rows = np.flatnonzero(fits & (self.queue.slots == 0))
        ids = self.queue.mask_ids[rows]
        looked, bulk = read_decided(self.reviews)
        seen = np.isin(ids, looked)
        kept = bulk.index[bulk.isin(_KEPT[asked.action])].to_numpy(np.int64)
        same = ~seen & np.isin(ids, kept)
        return _Fitting(rows[~seen & ~same], int(seen.sum()), int(same.sum()))
