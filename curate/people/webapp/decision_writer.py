"""Writing what people did: one thread, and what many pages send at once goes to disk at once."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import Future
from itertools import groupby
from queue import Empty, SimpleQueue

import pandas as pd
import pyarrow as pa

from curate.errors import AuditError, CurateError
from curate.people.reviews import Reviews
from curate.people.webapp.events import Event
from curate.people.webapp.shown_queue import Queue

ORIGIN = "review page"

_MOST_AT_ONCE = 2000
_ADDING = ("decide", "missing", "looked")

Refusal = str | None
"""Why an event was refused; None: it is on the disk."""


class EventWriter:
    """Writes events in the order in which they come.

    Args:
        reviews: Where to.
        queue: The queue that is shown.
    """

    def __init__(self, reviews: Reviews, queue: Queue) -> None:
        self._reviews, self._queue = reviews, queue
        self._jobs: SimpleQueue[tuple[list[Event], Future[list[Refusal]]] | None]
        self._jobs = SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="decisions", daemon=True)
        self._thread.start()

    def write(self, events: list[Event]) -> Future[list[Refusal]]:
        """Write events; the future comes once they are on the disk, with what was refused.

        It raises an AuditError where the file cannot be written; then sending again is right.
        """
        future: Future[list[Refusal]] = Future()
        self._jobs.put((events, future))
        return future

    def close(self) -> None:
        """Write what has come so far, and end."""
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
        """Yield what has come while the batch before was written."""
        while (first := self._jobs.get()) is not None:
            jobs, count = [first], len(first[0])
            while count < _MOST_AT_ONCE:
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
        """Write events in stretches that can go into one transaction."""
        found: list[Refusal] = []
        for kind, stretch in groupby(events, _stretch):
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
        if event.mask_id is None or self._queue.rows_of(event.mask_id):
            return None
        return "the queue has no such mask"

    def _write_stretch(self, kind: str, events: Sequence[Event]) -> list[Refusal]:
        refusals = [self._stranger(event) for event in events]
        good = [event for event, why in zip(events, refusals, strict=True) if why is None]
        if not good:
            return refusals
        if kind == "withdraw":
            self._reviews.withdraw(_withdrawals(good), live=True)
            return refusals
        missing = [event for event in good if event.kind in ("missing", "withdraw_missing")]
        looked = [event for event in good if event.kind == "looked"]
        self._reviews.add(
            self._decisions([event for event in good if event.kind == "decide"]),
            origin=ORIGIN,
            live=True,
            missing=_missing(missing) if missing else None,
            looked=self._looked(looked) if looked else None,
        )
        return refusals

    def _decisions(self, events: Sequence[Event]) -> pd.DataFrame:
        shown = [self._queue.shown_for(e.mask_id) for e in events if e.mask_id is not None]
        return pd.DataFrame(
            {
                "mask_id": pd.Series([e.mask_id for e in events], dtype="int64"),
                "action": pd.Series([e.action for e in events], dtype=object),
                "segmentation": pd.Series([e.counts for e in events], dtype=object),
                "category": pd.Series([e.category for e in events], dtype=object),
                "iou": pd.Series([_iou(e) for e in events], dtype="float64"),
                "reviewer": pd.Series([e.reviewer for e in events], dtype=object),
                "seconds": pd.Series([e.seconds for e in events], dtype="float64"),
                "time": _times(events),
                "queue_kind": pd.Series([kind for kind, _ in shown], dtype=object),
                "draw_id": pd.Series([draw_id for _, draw_id in shown], dtype="Int64"),
                "key": pd.Series([e.key for e in events], dtype=object),
            }
        )

    def _looked(self, events: Sequence[Event]) -> pd.DataFrame:
        return pd.DataFrame(
            {
                "image_id": [e.image_id for e in events],
                "reviewer": [e.reviewer for e in events],
                "time": _times(events),
                "draw_id": pd.Series([self._queue.draw_id] * len(events), dtype="Int64"),
                "key": [e.key for e in events],
            }
        )


def _iou(event: Event) -> float | None:
    """Return the IoU with the mask before where it is known: a new category moves no pixel."""
    return 1.0 if event.action == "fix" and event.counts is None else None


def _stretch(event: Event) -> str:
    """Name what can be written together: taking back comes after what it takes back."""
    return "add" if event.kind in _ADDING else event.kind


def _times(events: Sequence[Event]) -> pd.Series[pd.Timestamp]:
    return pd.Series(pd.to_datetime([e.time for e in events], unit="us", utc=True))


def _missing(events: Sequence[Event]) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "image_id": [e.image_id for e in events],
            "segmentation": pd.Series([e.counts for e in events], dtype=object),
            "category": pd.Series([e.category for e in events], dtype=object),
            "reviewer": [e.reviewer for e in events],
            "time": _times(events),
            "withdrawn": [int(e.kind == "withdraw_missing") for e in events],
            "key": [e.key for e in events],
        }
    )


def _withdrawals(events: Sequence[Event]) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "decision_key": [e.of for e in events],
            "reviewer": [e.reviewer for e in events],
            "key": [e.key for e in events],
            "time": _times(events),
        }
    )
