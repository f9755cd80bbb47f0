"""Writer thread for people's events: batches of many pages, one transaction each."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from dataclasses import replace
from itertools import groupby
from queue import Empty, SimpleQueue
from typing import Protocol

import pandas as pd
import pyarrow as pa

from curate.errors import AuditError, CurateError
from curate.people.reviews import Reviews
from curate.people.reviews.decision_notes import NewNote
from curate.people.reviews.outcomes import PAGE, page_origin
from curate.people.webapp.events import Event

ORIGIN = PAGE

_MAX_BATCH = 2000
_ADDITIONS = ("decide", "missing", "looked")

Refusal = str | None
"""Why an event was refused; None: it is on the disk."""


SuggestFix = Callable[[Event], tuple[str | None, str]]
"""From a decision that takes a suggested fix to the mask's counts, and the fix in words."""


class WrittenQueue(Protocol):
    """What a writer needs to know of a queue."""

    @property
    def draw_id(self) -> int | None:
        """Number of the recorded draw; None for others."""

    def takes(self, mask_id: int) -> bool:
        """Return whether people may decide on a mask, or on a proposal."""

    def shown_for(self, mask_id: int) -> tuple[str, int | None]:
        """Return the kind and the number of the draw that a decision on a mask is made for."""


class EventWriter:
    """Writes events in the order in which they come.

    Args:
        reviews: The decisions.
        queue: The queue that is shown.
        suggest: Returns the mask and the words of a suggested fix that a decision takes.
    """

    def __init__(
        self, reviews: Reviews, queue: WrittenQueue, suggest: SuggestFix | None = None
    ) -> None:
        self._reviews, self._queue, self._suggest = reviews, queue, suggest
        self._jobs: SimpleQueue[tuple[list[Event], Future[list[Refusal]]] | None]
        self._jobs = SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="decisions", daemon=True)
        self._thread.start()

    def write(self, events: list[Event]) -> Future[list[Refusal]]:
        """Write events; the future resolves to the refusals once they are on disk.

        It raises an AuditError where the file cannot be written; then the page should send again.
        """
        future: Future[list[Refusal]] = Future()
        self._jobs.put((events, future))
        return future

    def close(self) -> None:
        """Write the queued events, and end."""
        self._jobs.put(None)
        self._thread.join()

    def _run(self) -> None:
        for jobs in self._batches():
            events = [event for job, _ in jobs for event in job]
            try:
                found = self._write(events)
            except BaseException as error:
                for _, future in jobs:
                    future.set_exception(error)
                continue
            start = 0
            for job, future in jobs:
                future.set_result(found[start : start + len(job)])
                start += len(job)
            pa.default_memory_pool().release_unused()

    def _batches(self) -> Iterator[list[tuple[list[Event], Future[list[Refusal]]]]]:
        """Yield the events queued while the batch before was written."""
        while (first := self._jobs.get()) is not None:
            jobs, count = [first], len(first[0])
            while count < _MAX_BATCH:
                try:
                    more = self._jobs.get_nowait()
                except Empty:
                    break
                if more is None:
                    yield jobs
                    return
                jobs.append(more)
                count += len(more[0])
            yield jobs

    def _write(self, events: Sequence[Event]) -> list[Refusal]:
        """Write events in runs that fit into one transaction."""
        found: list[Refusal] = []
        for kind, stretch in groupby(events, _batch_kind):
            some = list(stretch)
            if kind in ("skip", "unskip"):  # leases know of these, decisions do not
                found.extend(self._stranger(event) for event in some)
                continue
            try:
                found.extend(self._write_stretch(kind, some))
            except AuditError:
                raise
            except CurateError:
                found.extend(self._one(kind, event) for event in some)
        return found

    def _one(self, kind: str, event: Event) -> Refusal:
        try:
            return self._write_stretch(kind, [event])[0]
        except AuditError:
            raise
        except CurateError as error:  # without where it stands: the page knows, and paths are ours
            return f"{error.what}; {error.do}" if error.do else error.what

    def _stranger(self, event: Event) -> Refusal:
        shown = event.mask_id if event.beside is None else event.beside
        if shown is None or self._queue.takes(shown):
            return None
        return "the queue has no such mask"

    def _write_stretch(self, kind: str, events: Sequence[Event]) -> list[Refusal]:
        refusals = [self._stranger(event) for event in events]
        good = [event for event, why in zip(events, refusals, strict=True) if why is None]
        if not good:
            return refusals
        if kind == "withdraw":
            self._reviews.withdraw(_withdrawals_frame(good), live=True)
            return refusals
        if kind == "note":
            self._reviews.add_notes([NewNote(e.of, e.reviewer, e.note, e.key) for e in good])
            return refusals
        missing = [event for event in good if event.kind in ("missing", "withdraw_missing")]
        reviewed_images = [event for event in good if event.kind == "looked"]
        decided = [self._take_suggestion(event) for event in good if event.kind == "decide"]
        self._reviews.add(
            self._decisions([event for event, words in decided if not words]),
            origin=ORIGIN,
            live=True,
            missing=_missing_frame(missing) if missing else None,
            reviewed_images=self._reviewed_images(reviewed_images) if reviewed_images else None,
        )
        for words in dict.fromkeys(words for _, words in decided if words):
            some = [event for event, own in decided if own == words]
            self._reviews.add(self._decisions(some), origin=page_origin(words), live=True)
        return refusals

    def _take_suggestion(self, event: Event) -> tuple[Event, str]:
        """Return a decision with the mask of the suggested fix that it takes, and its words."""
        if not event.suggested or self._suggest is None:
            return event, ""
        counts, words = self._suggest(event)
        return replace(event, counts=counts), words

    def _decisions(self, events: Sequence[Event]) -> pd.DataFrame:
        shown = [self._queue.shown_for(e.mask_id) for e in events if e.mask_id is not None]
        return pd.DataFrame(
            {
                "mask_id": pd.Series([e.mask_id for e in events], dtype="int64"),
                "action": pd.Series([e.action for e in events], dtype=object),
                "segmentation": pd.Series([e.counts for e in events], dtype=object),
                "category": pd.Series([e.category for e in events], dtype=object),
                "iou": pd.Series([_known_iou(e) for e in events], dtype="float64"),
                "reviewer": pd.Series([e.reviewer for e in events], dtype=object),
                "seconds": pd.Series([e.seconds for e in events], dtype="float64"),
                "time": _event_times(events),
                "queue_kind": pd.Series([kind for kind, _ in shown], dtype=object),
                "draw_id": pd.Series([draw_id for _, draw_id in shown], dtype="Int64"),
                "key": pd.Series([e.key for e in events], dtype=object),
            }
        )

    def _reviewed_images(self, events: Sequence[Event]) -> pd.DataFrame:
        return pd.DataFrame(
            {
                "image_id": [e.image_id for e in events],
                "reviewer": [e.reviewer for e in events],
                "seconds": pd.Series([e.seconds for e in events], dtype="float64"),
                "time": _event_times(events),
                "draw_id": pd.Series([self._queue.draw_id] * len(events), dtype="Int64"),
                "key": [e.key for e in events],
            }
        )


def _known_iou(event: Event) -> float | None:
    """Return the IoU with the mask before where it is known: a new category moves no pixel."""
    return 1.0 if event.action == "fix" and event.counts is None else None


def _batch_kind(event: Event) -> str:
    """Return the kind of transaction of an event: withdrawals come after their decisions."""
    return "add" if event.kind in _ADDITIONS else event.kind


def _event_times(events: Sequence[Event]) -> pd.Series[pd.Timestamp]:
    return pd.Series(pd.to_datetime([e.time for e in events], unit="us", utc=True))


def _missing_frame(events: Sequence[Event]) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "image_id": [e.image_id for e in events],
            "segmentation": pd.Series([e.counts for e in events], dtype=object),
            "category": pd.Series([e.category for e in events], dtype=object),
            "reviewer": [e.reviewer for e in events],
            "seconds": pd.Series([e.seconds for e in events], dtype="float64"),
            "time": _event_times(events),
            "withdrawn": [int(e.kind == "withdraw_missing") for e in events],
            "key": [e.key for e in events],
        }
    )


def _withdrawals_frame(events: Sequence[Event]) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "decision_key": [e.of for e in events],
            "reviewer": [e.reviewer for e in events],
            "key": [e.key for e in events],
            "time": _event_times(events),
        }
    )
