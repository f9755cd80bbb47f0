"""Base of sessions of masks and of proposals: decisions, leases, pictures, writer, segmenter."""

from __future__ import annotations

import threading
from abc import ABC, abstractmethod
from collections.abc import Sequence
from concurrent.futures import Future
from dataclasses import replace
from pathlib import PurePath

from curate.common.arrays import ByteArray
from curate.common.clock import Clock
from curate.common.json_values import JsonObject
from curate.errors import AuditError
from curate.people.reviews import has_reviews, open_reviews
from curate.people.reviews.review_settings import DecisionSettings as PeopleSettings
from curate.people.webapp.answers import (
    AliveAnswer,
    DrawnMask,
    ImageCard,
    LastStep,
    NextAnswer,
    PictureLevels,
    QueueAnswer,
    QueueFacts,
    RecordedAnswer,
    RedrawnMask,
    SessionEnd,
    WholeMask,
    describe_levels,
)
from curate.people.webapp.assignment import Assigner, DealtProgress, DealtQueue, MaskRequest
from curate.people.webapp.cards import load_kernels
from curate.people.webapp.click_prompts import ClickSegmenter
from curate.people.webapp.decision_writer import EventWriter
from curate.people.webapp.events import EventBatch
from curate.people.webapp.filtered_bulk import FilteredBulk
from curate.people.webapp.guidelines import Guidelines, find_guidelines, read_guidelines
from curate.people.webapp.leases import Leases
from curate.people.webapp.own_record import describe_end
from curate.people.webapp.picture_cache import (
    MAX_DECODE_BYTES,
    VIEWS,
    Levels,
    ViewCache,
    ViewRequest,
)
from curate.people.webapp.picture_tiles import TILE_PX, Tile, tile_box
from curate.people.webapp.request_parsing import ClickRequest, NextRequest, RequestError
from curate.people.webapp.startup import (
    AttachedReviews,
    ReviewSettings,
    ShownAudit,
    find_images,
    name_queue,
)
from curate.render.formatting import display_text
from curate.store.audit import StoredAudit
from curate.store.engine_folder import refuse_closed_round
from curate.store.known_pictures import open_pictures


class QueueSession(ABC):
    """A queue that is served to people: of masks, or of proposed missing masks.

    Raises:
        CurateError: A file cannot be used.
    """

    queue: DealtQueue
    kind: str

    def __init__(self, audit: StoredAudit, settings: ReviewSettings, clock: Clock) -> None:
        self.audit, self.settings, self.clock = audit, settings, clock
        self._shown = ShownAudit(audit)
        threading.Thread(target=load_kernels, name="kernels", daemon=True).start()
        if not has_reviews(audit):
            open_reviews(audit, create=True)
        self.reviews = AttachedReviews(audit, clock)
        self.folder = find_images(audit, settings)
        opened = (
            None if self.folder is None else open_pictures(audit, self.folder, MAX_DECODE_BYTES)
        )
        self.views = ViewCache(opened)
        place = find_guidelines(settings.guidelines, audit.path)
        self.guidelines = None if place is None else read_guidelines(place)
        self.leases = Leases(audit.path, clock=clock)
        segmenter = settings.segmenter if self.views else None
        self.redrawing = ClickSegmenter(segmenter, settings.device, settings.prompts)

    def attach(
        self, queue: DealtQueue, decided: DealtProgress, writer: EventWriter, kind: str
    ) -> None:
        """Set the queue that is served."""
        self.queue, self.writer, self.kind = queue, writer, kind
        self.assigner = Assigner(queue, decided, self.leases)
        self.name = name_queue(self.audit, queue.name)

    def close(self) -> None:
        """Write the queued events, and close all files and threads."""
        self.writer.close()
        self.views.close()
        self.leases.close()

    @abstractmethod
    def about(self) -> QueueAnswer:
        """Return the page's description of the queue."""

    @abstractmethod
    def next(self, asked: NextRequest) -> NextAnswer:
        """Lease the next rows to a page and return their cards."""

    @abstractmethod
    def view(self, mask_id: int, name: str) -> tuple[ViewRequest, str]:
        """Return a view of the picture around a row, and the tag of its card's window.

        Args:
            mask_id: The row.
            name: A word of :data:`curate.people.webapp.picture_cache.VIEWS`.
        """

    @abstractmethod
    def mask(self, mask_id: int) -> WholeMask:
        """Return the pixels of a row."""

    @abstractmethod
    def image(self, image_id: int) -> ImageCard:
        """Return an image with the outlines of its masks."""

    @abstractmethod
    def find_scene(self, image_id: int) -> ViewRequest:
        """Return the whole picture of an image without masks."""

    @abstractmethod
    def redraw(self, mask_id: int) -> RedrawnMask:
        """Return the mask that the segmenter draws for a row, without a click."""

    def find_guidelines(self) -> Guidelines:
        """Return the guidelines.

        Raises:
            Refused: There are none.
        """
        if self.guidelines is None:
            raise RequestError(404, "there are no guidelines")
        return self.guidelines

    def bulk(self) -> FilteredBulk:
        """Return the bulk decisions of the queue.

        Raises:
            Refused: This queue is not of masks.
        """
        raise RequestError(400, "this queue needs a look at each of its rows")

    @abstractmethod
    def words(self) -> str:
        """Return a name of the queue, for the terminal."""

    def describe(self) -> QueueFacts:
        """Return the facts that the page needs of any queue."""
        source = self.audit.info.source.get("path", "")
        return {
            "queue": self.name,
            "audit": display_text(self.audit.path.resolve().name),
            "source": display_text(PurePath(source).name),
            "kind": self.kind,
            "crops": bool(self.views),
            "segmenter": bool(self.redrawing),
            "guidelines": self.guidelines is not None,
            "total": len(self.queue),
            "seconds_per_mask": self.settings.seconds_per_mask,
            "minutes": self.settings.minutes,
        }

    def prepare(self, sent: EventBatch) -> None:
        """Lease the masks of decisions that a page withdraws; called before the withdrawal is
        written."""
        back = [e.mask_id for e in sent.events if e.kind == "withdraw" and e.mask_id is not None]
        if back:
            self.assigner.hold(sent.client, sent.reviewer, back)

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
            "progress": self.progress(sent.reviewer),
        }

    def progress(self, reviewer: str) -> dict[str, int]:
        """Return the progress of the queue, as :meth:`Assigner.progress` does."""
        return self.assigner.progress(reviewer)

    def picture(
        self, mask_id: int, name: str, seen: str, levels: Levels = None
    ) -> tuple[Future[bytes | str], bool]:
        """Return a view of the picture around a row, and whether it may be cached forever.

        Args:
            mask_id: The row.
            name: A word of :data:`curate.people.webapp.picture_cache.VIEWS`.
            seen: Window tag in the URL; if it matches the current window, the response may be
                cached forever.
            levels: Values of a picture of over 8 bit that become black and white.
        """
        if name not in VIEWS or not self.views:
            raise RequestError(404, "there is no such picture")
        wanted, word = self.view(mask_id, name)
        return self.views.ask(replace(wanted, levels=levels)), word == seen

    def tile(
        self, mask_id: int, tile: Tile, seen: str, levels: Levels = None
    ) -> tuple[Future[bytes | str], bool]:
        """Return a tile of the picture of a row, and whether it may be cached forever.

        Args:
            mask_id: The row.
            tile: The tile.
            seen: Window tag in the URL of the row's card.
            levels: Values of a picture of over 8 bit that become black and white.

        Raises:
            RequestError: There is no such tile.
        """
        if not self.views:
            raise RequestError(404, "there is no such picture")
        whole, word = self.view(mask_id, "whole")
        box = tile_box(whole.size, tile)
        wanted = replace(whole, box=box, longest=TILE_PX, levels=levels, tile=tile)
        return self.views.ask(wanted), word == seen

    def scene(self, image_id: int, levels: Levels = None) -> Future[bytes | str]:
        """Return the picture of an image without masks."""
        if not self.views:
            raise RequestError(404, "there is no such picture")
        return self.views.ask(replace(self.find_scene(image_id), levels=levels))

    def levels(self, mask_id: int) -> PictureLevels:
        """Return the values of the picture of a row, where it has more than 8 bit."""
        whole, _ = self.view(mask_id, "whole")
        return describe_levels(self.views.value_range(whole.file_name, whole.size))

    def alive(
        self, client: str, reviewer: str, holding: Sequence[int], arrived: float
    ) -> AliveAnswer:
        """Renew the leases of a page that is open; return the items that it has lost."""
        _, _, gone = self.assigner.deal(MaskRequest(client, reviewer, 0, holding, arrived=arrived))
        return {"gone": [f"{mask_id}.0" for mask_id in gone]}

    def last(self, reviewer: str) -> LastStep:
        """Return a person's last decision on the queue, to be taken back after a reload."""
        del reviewer
        return {"key": None, "action": None, "card": None, "added": []}

    def end(self, reviewer: str) -> SessionEnd:
        """Return the next commands once a person is done."""
        return describe_end(self.reviews, reviewer, self.draw_id)

    @property
    def draw_id(self) -> int | None:
        """The draw that is served; None where it is none."""
        return None

    def check_queue(self, asked: JsonObject) -> None:
        """Check that a request belongs to this queue: mask ids of another audit may be equal.

        Raises:
            Refused: It is not, or the audit is not the one that this server was started on, or is
                of a round of the engine that was closed or replaced meanwhile.
        """
        if asked.get("queue") != self.name:
            raise RequestError(409, "another queue is open here now; reload the page")
        try:
            refuse_closed_round(self.audit.path)  # else decisions would be lost without a word
        except AuditError as error:
            what = f"{error.what}; stop the server and start it again"
            raise RequestError(409, what) from None
        if (info := self._shown.read_if_changed()) is not None:
            self.assigner.decided.resolve_by(PeopleSettings.of(info).rule)

    def segment(self, asked: ClickRequest) -> DrawnMask:
        """Redraw a mask from clicks."""
        self.redrawing.check()
        return self.redrawing.draw(self.load_picture(asked.mask_id), asked)

    def load_picture(self, mask_id: int) -> ByteArray:
        """Return the decoded picture of a row, RGB.

        Raises:
            Refused: It cannot be had.
        """
        view, _ = self.view(mask_id, "whole")
        pixels = self.views.pixels(view.file_name, view.size)
        if isinstance(pixels, str):
            raise RequestError(404, f"there is no picture of this mask: {pixels}")
        return pixels
