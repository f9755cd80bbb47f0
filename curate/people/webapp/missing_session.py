"""Review session of proposed missing masks: one key adds, one edits, one refuses."""

from __future__ import annotations

from collections import Counter

import numpy as np

from curate.common.arrays import BoolArray
from curate.common.clock import Clock
from curate.people.queues.missing_proposals import KIND
from curate.people.webapp.answers import (
    CategoryFilter,
    ImageCard,
    NextAnswer,
    QueueAnswer,
    RedrawnMask,
    WholeMask,
)
from curate.people.webapp.assignment import MaskRequest
from curate.people.webapp.cards import with_outline
from curate.people.webapp.filters import Filter, list_categories
from curate.people.webapp.mask_files import MaskFiles
from curate.people.webapp.picture_cache import ViewRequest
from curate.people.webapp.proposal_cards import ProposalCards
from curate.people.webapp.proposal_queue import ProposalProgress, make_proposal_queue
from curate.people.webapp.proposal_writer import ProposalWriter
from curate.people.webapp.request_parsing import NextRequest, RequestError
from curate.people.webapp.served_queue import QueueSession
from curate.people.webapp.startup import ReviewSettings
from curate.store.audit import StoredAudit

NO_CATEGORY = ""
"""Name in a filter of proposals without a category; no proposal's category is empty."""


class MissingSession(QueueSession):
    """The proposals of an audit, served to people.

    Raises:
        CurateError: Nothing is proposed, or a file cannot be used.
    """

    def __init__(self, audit: StoredAudit, settings: ReviewSettings, clock: Clock) -> None:
        super().__init__(audit, settings, clock)
        queue = make_proposal_queue(audit)
        files = MaskFiles(audit)
        self._names = list_categories(files)
        version = f"{KIND} {audit.info.source.get('fingerprint', '')} {self.folder}"
        self.cards = ProposalCards(audit, queue, files, self.views, self._names, version)
        said = queue.proposals["category"]
        self._names_said = said.where(said.notna(), NO_CATEGORY).to_numpy(object)
        self._progress = ProposalProgress(queue, self.reviews)
        self.attach(queue, self._progress, ProposalWriter(self.reviews, self.cards), KIND)

    def about(self) -> QueueAnswer:
        """Return the page's description of the queue."""
        self._progress.refresh()
        counts = Counter(self._names_said[~self._progress.done].tolist())
        categories: list[CategoryFilter] = [
            {"name": name, "masks": number} for name, number in counts.most_common()
        ]
        return {
            **self.describe(),
            "draw_id": None,
            "blind": False,
            "bulk": False,
            "whole_images": False,
            "categories": self._names,
            "must_name": bool(self._names),
            "tags": [],
            "filters": {"categories": categories, "reasons": [], "kinds": [], "scores": []},
            "filters_ready": True,
        }

    def next(self, asked: NextRequest) -> NextAnswer:
        """Lease the next proposals to a page and return their cards."""
        fits = self._fitting(asked.filter)
        wish = MaskRequest(
            asked.client, asked.reviewer, asked.count, asked.holding, fits, arrived=asked.arrived
        )
        rows, left, gone = self.assigner.deal(wish)
        cards = [self.cards.card(row, int(self.leases.seconds)) for row in rows]
        if self.views:
            for row in rows:
                self.views.ask(self.cards.view(row, "card")[0])
        return {
            "cards": cards,
            "left": left,
            "gone": [f"{proposal_id}.0" for proposal_id in gone],
            "images": [],
            "progress": self.progress(asked.reviewer),
        }

    def _fitting(self, wanted: Filter) -> BoolArray | None:
        if not wanted:
            return None
        if wanted.reason is not None or wanted.kind is not None or wanted.score is not None:
            return np.zeros(len(self.queue), np.bool_)  # proposals have none of these
        return np.asarray(self._names_said == wanted.category, np.bool_)

    def view(self, mask_id: int, name: str) -> tuple[ViewRequest, str]:
        """Return a view of the picture around a proposal, and the tag of its window."""
        return self.cards.view(self._row(mask_id), name)

    def mask(self, mask_id: int) -> WholeMask:
        """Return the pixels of a proposed mask."""
        return self.cards.mask(self._row(mask_id))

    def image(self, image_id: int) -> ImageCard:
        """Return an image with the outlines of its masks."""
        return self.cards.image(image_id)

    def find_scene(self, image_id: int) -> ViewRequest:
        """Return the whole picture of an image."""
        return self.cards.find_scene(image_id)

    def redraw(self, mask_id: int) -> RedrawnMask:
        """Return the mask that the segmenter draws in a proposal's box."""
        row = self._row(mask_id)
        box = self.cards.queue.row(row).box
        drawn = self.redrawing.draw_box(self.load_picture(mask_id), box)
        return with_outline(drawn, self.cards.view(row, "card")[0])

    def words(self) -> str:
        """Return a name of the queue, for the terminal."""
        return "proposed missing masks"

    def _row(self, mask_id: int) -> int:
        rows = self.queue.rows_of(mask_id)
        if not rows:
            raise RequestError(404, "there is no such proposal")
        return rows[0]
