"""Review session: one queue with its cards, views, leases, writer and segmenter."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from concurrent.futures import Future
from functools import cached_property
from pathlib import PurePath

import pyarrow as pa

from curate.common.arrays import IntArray
from curate.common.clock import SYSTEM, Clock
from curate.common.json_values import JsonObject
from curate.people.reviews import has_reviews, open_reviews
from curate.people.reviews.review_settings import DecisionSettings as PeopleSettings
from curate.people.webapp.answers import (
    DrawnMask,
    FilterLists,
    LeasedCard,
    NextAnswer,
    QueueAnswer,
    RecordedAnswer,
    WholeMask,
)
from curate.people.webapp.assignment import Assigner, MaskRequest, best_order
from curate.people.webapp.cards import Cards, ImageCards, load_kernels, read_mask
from curate.people.webapp.click_prompts import ClickSegmenter
from curate.people.webapp.decision_writer import EventWriter
from curate.people.webapp.events import EventBatch
from curate.people.webapp.filters import Filters, read_usual
from curate.people.webapp.leases import Leases
from curate.people.webapp.picture_cache import MAX_DECODE_BYTES, VIEWS, ViewCache
from curate.people.webapp.request_parsing import ClickRequest, NextRequest, RequestError
from curate.people.webapp.shown_queue import ShownQueue
from curate.people.webapp.startup import (
    AttachedReviews,
    ReviewSettings,
    ShownAudit,
    find_images,
    find_queue,
    name_queue,
)
from curate.render.formatting import display_text
from curate.store.audit import StoredAudit
from curate.store.known_pictures import open_pictures

_FIRST_WAIT_S = 1.0
"""How long the page's first question waits for the filters of a small audit."""

_SMALL_QUEUE = 50_000
"""Masks of a small audit."""


class ReviewSession:
    """One queue served to people.

    Raises:
        CurateError: There is nothing to show, or a file cannot be used.
    """

    def __init__(self, audit: StoredAudit, settings: ReviewSettings, clock: Clock = SYSTEM) -> None:
        self.audit, self.settings, self.clock = audit, settings, clock
        self._shown = ShownAudit(audit)
        threading.Thread(target=load_kernels, name="kernels", daemon=True).start()
        if not has_reviews(audit):
            open_reviews(audit, create=True)
        reviews = AttachedReviews(audit, clock)
        folder = find_images(audit, settings)
        opened = None if folder is None else open_pictures(audit, folder, MAX_DECODE_BYTES)
        self.views = ViewCache(opened)
        decided = find_queue(reviews, settings)
        self.queue: ShownQueue = decided.queue
        self.leases = Leases(audit.path, clock=clock)
        self.assigner = Assigner(self.queue, decided, self.leases)
        self.filters = Filters(self.queue)
        self.name = name_queue(audit, self.queue)
        usual = read_usual(audit.info.references)
        version = f"{self.name} {folder}"
        self.cards = Cards(self.queue, version, pictures=bool(self.views), usual=usual)
        self.writer = EventWriter(reviews, self.queue)
        self.images = ImageCards(self.queue, self.cards, self.views, reviews)
        self.redrawing = ClickSegmenter(settings.segmenter if self.views else None, settings.device)
        self._listed: Future[tuple[FilterLists, list[str]]] = Future()
        self._listing = threading.Lock()

    def close(self) -> None:
        """Write the queued events, and close all files and threads."""
        self.writer.close()
        self.views.close()
        self.leases.close()

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
            filters, names = {"categories": [], "reasons": [], "scores": []}, []
        source = self.audit.info.source.get("path", "")
        return {
            "queue": self.name,
            "audit": display_text(self.audit.path.resolve().name),
            "source": display_text(PurePath(source).name),
            "kind": self.queue.kind,
            "draw_id": self.queue.draw_id,
            "blind": self.queue.blind,
            "whole_images": self.queue.whole_images,
            "crops": bool(self.views),
            "segmenter": bool(self.redrawing),
            "total": len(self.queue),
            "seconds_per_mask": self.settings.seconds_per_mask,
            "minutes": self.settings.minutes,
            "categories": names,
            "tags": list(PeopleSettings.of(self.audit.info).tags),
            "filters": filters,
            "filters_ready": self._listed.done(),
        }

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
        wish = MaskRequest(asked.client, asked.reviewer, asked.count, asked.holding, fits, order)
        rows, left, gone = self.assigner.deal(wish)
        cards = self._cards(rows)
        self._prefetch(rows)
        self._read_filters()  # of a large queue not sooner: the first mask comes first
        return {
            "cards": cards,
            "left": left,
            "gone": [f"{mask_id}.0" for mask_id in gone],
            "images": [] if cards or left else self.images.bare(),
            "progress": self.assigner.progress(asked.reviewer),
        }

    def _cards(self, rows: Sequence[int]) -> list[LeasedCard]:
        """Return cards with the policy's measures, and the reason why a mask is unsettled.

        Nobody sees the decisions of others before deciding: at most that people did not settle a
        mask, and not even that where each is to judge alone (a random sample, masks of an overlap,
        known answers).
        """
        decided, queue = self.assigner.decided, self.queue
        alone = queue.blind or queue.checks or queue.twice
        ids = queue.mask_ids[rows].tolist() if rows else []
        cards = []
        for row, mask_id in zip(rows, ids, strict=True):
            card: LeasedCard = {
                **self.cards.card(row),
                "lease_s": int(self.leases.seconds),
                "unsettled": None,
            }
            why = decided.awaits(row) if alone else decided.unsettled.get(mask_id)
            if why is not None and not queue.blind:
                card["unsettled"] = f"not settled: {why.words}"
            cards.append(card)
        return cards

    def prepare(self, sent: EventBatch) -> None:
        """Lease the masks of decisions that a page withdraws; called before the withdrawal is
        written."""
        back = [e.mask_id for e in sent.events if e.kind == "withdraw" and e.mask_id is not None]
        if back:
            self.assigner.hold(sent.client, sent.reviewer, back)

    def _prefetch(self, rows: Sequence[int]) -> None:
        if self.views:
            for row in rows:
                self.views.ask(self.cards.view(int(self.queue.places[row]), "card")[0])

    def record(self, sent: EventBatch, found: Sequence[str | None]) -> RecordedAnswer:
        """Update leases and progress after a batch of events; return the response.

        Args:
            sent: The batch.
            found: The writer's refusal of each event; all others are on disk.
        """
        done = [event for event, why in zip(sent.events, found, strict=True) if why is None]
        refused = [*sent.refused]
        for event, why in zip(sent.events, found, strict=True):
            if why is not None:
                refused.append({"key": event.key, "error": why})
        state: dict[int, str] = {}
        for event in done:
            if event.mask_id is not None and event.kind != "note":
                state[event.mask_id] = event.kind  # what was done last counts
        self.assigner.settle(
            sent.client,
            sent.reviewer,
            decided=[mask for mask, kind in state.items() if kind == "decide"],
            skipped=[mask for mask, kind in state.items() if kind == "skip"],
            again=[mask for mask, kind in state.items() if kind == "withdraw"],
            unskipped=[mask for mask, kind in state.items() if kind == "unskip"],
        )
        return {
            "done": [event.key for event in done],
            "refused": refused,
            "progress": self.assigner.progress(sent.reviewer),
        }

    def picture(self, mask_id: int, view: str, seen: str) -> tuple[Future[bytes | str], bool]:
        """Return a view of the picture around a mask, and whether it may be cached forever.

        Args:
            mask_id: The mask.
            view: One of :data:`curate.people.webapp.picture_cache.VIEWS`.
            seen: Window tag in the URL; if it matches the current window, the response may be
                cached forever.
        """
        if view not in VIEWS or not self.views:
            raise RequestError(404, "there is no such picture")
        wanted, word = self.cards.view(self._place(mask_id), view)
        return self.views.ask(wanted), word == seen

    def check_queue(self, asked: JsonObject) -> None:
        """Check that a request belongs to this queue: mask ids of another audit may be equal.

        Raises:
            Refused: It is not, or the audit is not the one that this server was started on.
        """
        if asked.get("queue") != self.name:
            raise RequestError(409, "another queue is open here now; reload the page")
        if (info := self._shown.read_if_changed()) is not None:
            self.assigner.decided.resolve_by(PeopleSettings.of(info).rule)

    def mask(self, mask_id: int) -> WholeMask:
        """Return a whole mask."""
        return read_mask(self.queue, self._place(mask_id))

    def segment(self, asked: ClickRequest) -> DrawnMask:
        """Redraw a mask from clicks."""
        self.redrawing.check()
        view, _ = self.cards.view(self._place(asked.mask_id), "whole")
        pixels = self.views.pixels(view.file_name, view.size)
        if isinstance(pixels, str):
            raise RequestError(404, f"there is no picture of this mask: {pixels}")
        return self.redrawing.draw(pixels, asked)

    def _place(self, mask_id: int) -> int:
        place = int(self.queue.files.find([mask_id])[0])
        if place < 0:
            raise RequestError(404, "there is no such mask")
        return place
