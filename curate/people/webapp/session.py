"""Review session of masks: cards, filters and pictures of one queue."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from concurrent.futures import Future
from functools import cached_property

import pyarrow as pa

from curate.common.arrays import IntArray
from curate.common.clock import SYSTEM, Clock
from curate.errors import CallError
from curate.people.reviews.review_settings import DecisionSettings as PeopleSettings
from curate.people.reviews.suggested_fixes import MERGED, REDRAWN
from curate.people.webapp.answers import (
    FilterLists,
    ImageCard,
    LastStep,
    LeasedCard,
    NextAnswer,
    QueueAnswer,
    RedrawnMask,
    WholeMask,
)
from curate.people.webapp.assignment import MaskRequest, best_order
from curate.people.webapp.cards import Cards, ImageCards, counts_of, read_mask, with_outline
from curate.people.webapp.decision_writer import EventWriter
from curate.people.webapp.events import Event
from curate.people.webapp.filtered_bulk import FilteredBulk
from curate.people.webapp.filters import Filters, read_usual
from curate.people.webapp.own_record import find_last_decision
from curate.people.webapp.picture_cache import ViewRequest
from curate.people.webapp.request_parsing import NextRequest, RequestError
from curate.people.webapp.served_queue import QueueSession
from curate.people.webapp.shown_queue import ShownQueue
from curate.people.webapp.startup import ReviewSettings, find_queue, name_queue
from curate.render.mask_drawing import box_of
from curate.store.audit import StoredAudit
from curate.store.mask_corrections import read_corrections

_FIRST_WAIT_S = 1.0
"""How long the page's first question waits for the filters of a small audit."""

_SMALL_QUEUE = 50_000
"""Masks of a small audit."""


class ReviewSession(QueueSession):
    """One queue of masks served to people.

    Raises:
        CurateError: There is nothing to show, or a file cannot be used.
    """

    queue: ShownQueue

    def __init__(self, audit: StoredAudit, settings: ReviewSettings, clock: Clock = SYSTEM) -> None:
        super().__init__(audit, settings, clock)
        self.decided = find_queue(self.reviews, settings)
        queue = self.decided.queue
        self.filters = Filters(queue)
        usual = read_usual(audit.info.references)
        version = f"{name_queue(audit, queue.name)} {self.folder}"
        self.cards = Cards(
            queue,
            version,
            pictures=bool(self.views),
            usual=usual,
            corrections=read_corrections(audit.path),
            accuracy=_accuracy_of_categories(audit),
        )
        writer = EventWriter(self.reviews, queue, self._take_suggestion)
        self.attach(queue, self.decided, writer, queue.kind)
        self._bulk = FilteredBulk(self.reviews, queue, self.filters, self.cards)
        self.images = ImageCards(self.queue, self.cards, self.views, self.reviews)
        self._listed: Future[tuple[FilterLists, list[str]]] = Future()
        self._listing = threading.Lock()

    @cached_property
    def _best(self) -> IntArray | None:
        return best_order(self.queue)

    def about(self) -> QueueAnswer:
        """Return the page's description of the queue; filters follow once they are read."""
        small = len(self.queue.files.ids) <= _SMALL_QUEUE
        if small:
            self._read_filters()
        try:
            filters, names = self._listed.result(_FIRST_WAIT_S if small else 0)
        except TimeoutError:
            filters, names = {"categories": [], "reasons": [], "kinds": [], "scores": []}, []
        offered = self.queue.settings.get("categories", [])
        return {
            **self.describe(),
            "draw_id": self.queue.draw_id,
            "blind": self.queue.blind,
            "bulk": self._bulk.allowed,
            "whole_images": self.queue.whole_images,
            "categories": list(dict.fromkeys([*offered, *names])),
            "must_name": len(offered) > 1,
            "tags": list(PeopleSettings.of(self.audit.info).tags),
            "filters": filters,
            "filters_ready": self._listed.done(),
        }

    def _take_suggestion(self, event: Event) -> tuple[str | None, str]:
        """Return the mask of the suggested fix that a decision takes, and the fix in words."""
        assert event.mask_id is not None
        if event.suggested == "segmenter":
            return event.counts, REDRAWN
        place = int(self.queue.files.find([event.mask_id])[0])
        if event.suggested == "merge":
            merged, twin = self.cards.merge_with_twin(place)
            return counts_of(merged), f"{MERGED} {twin}"
        found = self.cards.suggest(place)
        if found is None or found.source != event.suggested:
            raise CallError("no fix is suggested of this mask any more")
        return counts_of(found.mask), found.words

    def _read_filters(self) -> None:
        if self._listing.acquire(blocking=False):
            threading.Thread(target=self._list, name="filters", daemon=True).start()

    def _list(self) -> None:
        try:
            listed = self.filters.list_filters(), self.filters.names()
            pa.default_memory_pool().release_unused()
            self._listed.set_result(listed)
        except BaseException as error:  # whoever asks for the filters gets it
            self._listed.set_exception(error)

    def next(self, asked: NextRequest) -> NextAnswer:
        """Lease the next masks to a page and return their cards."""
        order = self._best if asked.best else None
        fits = self.filters.rows(asked.filter)
        wish = MaskRequest(
            asked.client, asked.reviewer, asked.count, asked.holding, fits, order, asked.arrived
        )
        rows, left, gone = self.assigner.deal(wish)
        cards = self._cards(rows)
        self._prefetch(rows)
        self._read_filters()  # of a large queue not sooner: the first mask comes first
        return {
            "cards": cards,
            "left": left,
            "gone": [f"{mask_id}.0" for mask_id in gone],
            "images": [] if cards or left else self.images.unchecked(self.decided.done),
            "progress": self.progress(asked.reviewer),
        }

    def progress(self, reviewer: str) -> dict[str, int]:
        """Return the progress of the queue; where nothing is proposed also that of the search.

        Returns:
            As :meth:`Assigner.progress`; of a queue of images without masks also ``images`` and how
            many of them were ``searched``.
        """
        found = super().progress(reviewer)
        if not found["total"]:
            drawn = set(self.queue.drawn_images)
            seen = set(self.reviews.reviewed_images()["image_id"].tolist())
            found |= {"images": len(drawn), "searched": len(drawn & seen)}
        return found

    def _cards(self, rows: Sequence[int]) -> list[LeasedCard]:
        """Return cards with the policy's measures, and the reason why a mask is unsettled.

        Nobody sees the decisions of others before deciding: at most that people did not settle a
        mask, and not even that where each is to judge alone (a random sample, masks of an overlap,
        known answers).
        """
        decided, queue = self.decided, self.queue
        alone = queue.blind or queue.checks or queue.twice
        ids = queue.mask_ids[rows].tolist() if rows else []
        cards = []
        for row, mask_id in zip(rows, ids, strict=True):
            card: LeasedCard = {
                **self.cards.card(row),
                "lease_s": int(self.leases.seconds),
                "unsettled": None,
                "proposed": None,
            }
            why = decided.awaits(row) if alone else decided.unsettled.get(mask_id)
            if why is not None and not queue.blind:
                card["unsettled"] = f"not settled: {why.words}"
            cards.append(card)
        return cards

    def _prefetch(self, rows: Sequence[int]) -> None:
        if self.views:
            for row in rows:
                self.views.ask(self.cards.view(int(self.queue.places[row]), "card")[0])

    def view(self, mask_id: int, name: str) -> tuple[ViewRequest, str]:
        """Return a view of the picture around a mask, and the tag of its card's window."""
        return self.cards.view(self._place(mask_id), name)

    @property
    def draw_id(self) -> int | None:
        """The draw that is served; None for the ranking."""
        return self.queue.draw_id

    def last(self, reviewer: str) -> LastStep:
        """Return a person's last decision on the queue, to be taken back after a reload."""
        queue = self.queue

        def draw_of(mask_id: int) -> int | None:
            return queue.shown_for(mask_id)[1] if queue.rows_of(mask_id) else -1

        found = find_last_decision(self.reviews, reviewer, draw_of, self.clock)
        if found is None:
            return super().last(reviewer)
        (card,) = self._cards([queue.rows_of(found.mask_id)[0]])
        suggested = card["suggested"]
        taken = suggested is not None and suggested["words"] == found.suggestion
        added = suggested["added"] if suggested is not None and taken else []
        return {"key": found.key, "action": found.action, "card": card, "added": added}

    def mask(self, mask_id: int) -> WholeMask:
        """Return a whole mask."""
        return read_mask(self.queue, self._place(mask_id))

    def image(self, image_id: int) -> ImageCard:
        """Return an image with the outlines of its masks."""
        return self.images.image(image_id)

    def find_scene(self, image_id: int) -> ViewRequest:
        """Return the whole picture of an image without masks."""
        return self.images.find_scene(image_id)

    def redraw(self, mask_id: int) -> RedrawnMask:
        """Return the mask that the segmenter draws when it is prompted from a mask."""
        place = self._place(mask_id)
        part, at = self.queue.files.part(place)
        row, mask = part.row(at), part.runs([at])
        if box_of(row) is None:
            raise RequestError(404, "the mask has no pixel")
        drawn = self.redrawing.redraw(self.load_picture(mask_id), mask, row.get("category"))
        return with_outline(drawn, self.cards.view(place, "card")[0], mask)

    def bulk(self) -> FilteredBulk:
        """Return the bulk decisions of the queue."""
        return self._bulk

    def words(self) -> str:
        """Return a name of the queue, for the terminal."""
        queue = self.queue
        return "the ranking" if queue.draw_id is None else f"draw {queue.draw_id} ({queue.kind})"

    def _place(self, mask_id: int) -> int:
        place = int(self.queue.files.find([mask_id])[0])
        if place < 0:
            raise RequestError(404, "there is no such mask")
        return place


def _accuracy_of_categories(audit: StoredAudit) -> float | None:
    """Return the share of masks that the classifier of categories is right for, if it is known."""
    references = audit.info.references
    classifiers = references.get("category") if references else None
    if classifiers is None or "categories" not in classifiers:
        return None
    held_out = classifiers.get("held_out")
    return held_out["accuracy"] if held_out else None
