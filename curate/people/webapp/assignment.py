"""Assignment of queue rows to people: leases, slots, skips, and progress.

A page asks for masks (:class:`Wish`) and gets leases on them, which end when it decides, skips or
falls silent. Of the rows that are not done and fit its filter, in the queue's order, it gets:

1. what it or a vanished page of the same person was given and does not know of (an answer that got
   lost, a browser that crashed);
2. rows that are new to the person and have a free slot: fewer people have decided on the mask or
   hold it than the queue wants opinions;
3. rows of images that somebody else is working on, where whole images are reviewed;
4. if there is nothing else, what the person skipped, oldest first, and then masks of pages of the
   same person that may still be open.

Invariants, under one lock a process and a transaction of the leases' file across processes: no
more people hold or decide a mask than it has slots; nobody gets a mask twice, but one that people
have not settled, once; what one person holds no other gets. A lease ends only after its decision
is on disk, and leases are read before decisions: so a mask that moves from one to the other is seen
in at least one of both.

Time is linear in the rows of the queue up to the last one given, and in live leases; memory one bit
a row and the leases.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from curate.common.arrays import BoolArray, IntArray
from curate.people.webapp.leases import Lease, Leases
from curate.people.webapp.queue_progress import Unsettled
from curate.people.webapp.shown_queue import ShownQueue


class DealtQueue(Protocol):
    """A queue whose rows are dealt: masks (:class:`ShownQueue`), or proposals of missing ones."""

    @property
    def name(self) -> str:
        """Name among the queues of the audit."""

    @property
    def mask_ids(self) -> IntArray:
        """What each row shows: a mask's id, or a proposal's."""

    @property
    def image_ids(self) -> IntArray:
        """The image of each row."""

    @property
    def slots(self) -> npt.NDArray[np.int8]:
        """0, or 1 for a second person's row."""

    @property
    def whole_images(self) -> bool:
        """Whether images are reviewed as a whole."""

    @property
    def twice(self) -> bool:
        """Whether some rows are for a second person."""

    def __len__(self) -> int: ...

    def rows_of(self, mask_id: int) -> list[int]:
        """Return the rows of an id, slot 0 first; none where the queue does not have it."""


class DealtProgress(Protocol):
    """What is decided of a queue's rows; see :class:`curate.people.webapp.queue_progress`."""

    @property
    def done(self) -> BoolArray:
        """Which rows need nothing more, shape (rows,)."""

    @property
    def mine(self) -> Mapping[str, int]:
        """Rows that each person has decided on; 0 for others."""

    @property
    def unsettled(self) -> Mapping[int, Unsettled]:
        """Masks that people decided on and did not settle."""

    def refresh(self) -> None:
        """Read what was written since the last call."""

    def resolve_by(self, rule: str) -> None:
        """Resolve people who disagree by another rule."""

    def who(self, row: int) -> frozenset[str]:
        """Return the people who have decided on a row."""

    def by(self, reviewer: str) -> BoolArray:
        """Return the rows that a person has decided on."""

    def awaits(self, row: int) -> Unsettled | None:
        """Return why a decided row is open again; None for all others."""


@dataclass(frozen=True)
class MaskRequest:
    """A page's request for masks.

    Attributes:
        client: The page.
        reviewer: Its person.
        count: How many masks at most.
        holding: Masks that it has already.
        fits: Rows of the queue that it wants; None for all.
        order: Rows of the queue in the order it wants; None for the queue's own.
        arrived: When it reached the server, in ms of :meth:`Clock.elapsed_ms`. If its page was
            closed since, it gets nothing: nobody would see the masks until their leases end.
    """

    client: str
    reviewer: str
    count: int
    holding: Sequence[int] = ()
    fits: BoolArray | None = None
    order: IntArray | None = None
    arrived: float = math.inf


@dataclass
class _LeaseView:
    """Leases as seen by the person who asks."""

    request: MaskRequest
    held: dict[int, list[Lease]] = field(default_factory=dict)
    skipped: Mapping[int, int] = field(default_factory=dict)
    busy_images: set[int] = field(default_factory=set)

    @property
    def own(self) -> list[Lease]:
        return [lease for some in self.held.values() for lease in some if self.is_mine(lease)]

    def is_mine(self, lease: Lease) -> bool:
        return lease.client == self.request.client

    def is_same_person(self, lease: Lease) -> bool:
        """Whether a lease is of the same person, on any page; pages without a name never are."""
        return self.is_mine(lease) or (
            bool(lease.reviewer) and lease.reviewer == self.request.reviewer
        )

    def others(self, mask_id: int) -> set[str]:
        """Return others who hold a mask: names, and pages of people without a name."""
        held = self.held.get(mask_id, ())
        return {x.reviewer or x.client for x in held if not self.is_same_person(x)}

    def find_leases_elsewhere(self, *, silent: bool) -> list[Lease]:
        """Return leases of the same person's other pages, those that are (not) silent."""
        return [
            lease
            for some in self.held.values()
            for lease in some
            if self.is_same_person(lease) and not self.is_mine(lease) and lease.silent == silent
        ]


class Assigner:
    """Assigns masks of a queue to people."""

    def __init__(self, queue: DealtQueue, decided: DealtProgress, leases: Leases) -> None:
        self.queue, self.decided, self.leases = queue, decided, leases
        self._lock = threading.Lock()
        self._left: dict[str, float] = {}  # when pages were closed, of the last minutes

    def deal(self, request: MaskRequest) -> tuple[list[int], int, list[int]]:
        """Renew what a page holds, and lease it more.

        Returns:
            The rows of the queue that it gets; how many rows are left that it could ever get; which
            masks that it holds are not its own any more: decided on, or with somebody else.
        """
        with self._lock, self.leases.changing():
            # In this order: a lease ends after its decision is written, so one of both is seen.
            live = self.leases.live()
            self.decided.refresh()
            if self._left.get(request.client, -math.inf) > request.arrived:
                return [], self._count_left(request), []
            view = self._lease_view(request, live)
            gone = self._renew(view)
            rows = self._choose(view)
            ids = self.queue.mask_ids[rows].tolist() if rows else []
            self.leases.give(ids, request.client, request.reviewer)
            return rows, self._count_left(request), gone

    def give_back(self, client: str, mask_ids: Sequence[int]) -> None:
        """End a page's leases."""
        with self._lock, self.leases.changing():
            self.leases.drop(mask_ids, client)

    def leave(self, client: str, keep: Sequence[int] = ()) -> None:
        """End all leases of a page that is closed.

        Args:
            client: The page.
            keep: Masks whose decisions are on their way.
        """
        kept, now = set(keep), self.leases.clock.elapsed_ms()
        recent = now - 1000 * self.leases.seconds
        with self._lock, self.leases.changing():
            self._left = {page: at for page, at in self._left.items() if at > recent}
            self._left[client] = now
            own = {lease.mask_id for lease in self.leases.live() if lease.client == client}
            self.leases.drop(sorted(own - kept), client)

    def settle(
        self,
        client: str,
        reviewer: str,
        *,
        decided: Sequence[int] = (),
        skipped: Sequence[int] = (),
        again: Sequence[int] = (),
        unskipped: Sequence[int] = (),
    ) -> None:
        """Update leases and skips after a page's events; decisions are stored by now.

        Args:
            client: The page.
            reviewer: Its person.
            decided: Masks decided on: their leases end.
            skipped: Masks that are not shown to this person again before the rest is done.
            again: Masks whose decisions were taken back: the page has them again.
            unskipped: Masks whose skips were taken back: likewise, unless somebody else has them.
        """
        with self._lock, self.leases.changing():
            self.leases.drop([*decided, *skipped], client)
            self.leases.skip(self.queue.name, reviewer, skipped)
            self.leases.unskip(self.queue.name, reviewer, unskipped)
            taken = {lease.mask_id for lease in self.leases.live() if lease.client != client}
            back = [mask_id for mask_id in unskipped if mask_id not in taken]
            self.leases.give([*again, *back], client, reviewer)

    def progress(self, reviewer: str) -> dict[str, int]:
        """Return the progress of the queue.

        Returns:
            ``decided``, ``mine``, ``total``, ``left`` (rows of the queue), ``unsettled`` (masks).
        """
        with self._lock:
            self.decided.refresh()
            done, total = int(self.decided.done.sum()), len(self.queue)
            mine, open_ = self.decided.mine[reviewer], len(self.decided.unsettled)
        left = total - done
        return {"decided": done, "mine": mine, "total": total, "left": left, "unsettled": open_}

    def hold(self, client: str, reviewer: str, mask_ids: Sequence[int]) -> None:
        """Lease masks before their decisions are withdrawn, so that nobody else gets them first."""
        known = [mask_id for mask_id in mask_ids if self.queue.rows_of(mask_id)]
        with self._lock, self.leases.changing():
            self.leases.give(known, client, reviewer)

    def _lease_view(self, request: MaskRequest, live: list[Lease]) -> _LeaseView:
        view = _LeaseView(
            request, skipped=self.leases.read_skipped(self.queue.name, request.reviewer)
        )
        for lease in live:
            view.held.setdefault(lease.mask_id, []).append(lease)
            if self.queue.whole_images and not view.is_mine(lease):
                rows = self.queue.rows_of(lease.mask_id)
                view.busy_images.update(int(self.queue.image_ids[row]) for row in rows[:1])
        return view

    def _renew(self, view: _LeaseView) -> list[int]:
        """Renew the leases of a page's masks; return those that it has lost."""
        kept = [
            mask_id
            for mask_id in view.request.holding
            if (rows := self.queue.rows_of(mask_id))
            and any(not self.decided.done[row] and self._is_free(row, view) for row in rows)
        ]
        self.leases.give(kept, view.request.client, view.request.reviewer)
        return sorted(set(view.request.holding) - set(kept))

    def _choose(self, view: _LeaseView) -> list[int]:
        """Return the rows to assign: those the page lost, then new ones, then those it skipped.

        Leases of another page of the same person, as of its last request, count as lost, too: a
        browser that crashed comes back as another page. Where that page may still be open, its
        masks come last.
        """
        request, holding = view.request, set(view.request.holding)
        own = [lease for lease in view.own if lease.mask_id not in holding]
        lost = [lease for lease in own if not lease.here] + view.find_leases_elsewhere(silent=True)
        chosen = self._find_lost_rows(
            [lease for lease in lost if lease.mask_id not in holding], view
        )
        passed = holding | {int(self.queue.mask_ids[row]) for row in chosen}
        later: list[int] = []
        busy: list[int] = []
        for row in self._open(request):
            if len(chosen) >= request.count:
                return chosen
            mask_id = int(self.queue.mask_ids[row])
            if mask_id in passed or not self._is_new(row, mask_id, view):
                continue
            passed.add(mask_id)  # its other row is for somebody else
            if mask_id in view.skipped:
                later.append(row)
            elif view.busy_images and int(self.queue.image_ids[row]) in view.busy_images:
                busy.append(row)
            else:
                chosen.append(row)
        chosen += busy
        if not chosen:
            later.sort(key=lambda row: view.skipped[int(self.queue.mask_ids[row])])
            own += view.find_leases_elsewhere(silent=False)
            own = [lease for lease in own if lease.mask_id not in holding]
            chosen = later or self._find_lost_rows(own, view)
        return chosen[: request.count]

    def _open(self, request: MaskRequest) -> Iterator[int]:
        """Yield the rows that are not done and fit, in order."""
        rows = self.decided.done
        open_ = ~rows if request.fits is None else ~rows & request.fits
        if request.order is None:
            yield from map(int, np.flatnonzero(open_))
            return
        yield from map(int, request.order[open_[request.order]])

    def _find_lost_rows(self, own: list[Lease], view: _LeaseView) -> list[int]:
        """Return open rows that the page was given and does not know of: an answer got lost."""
        found: set[int] = set()
        for lease in own:
            for row in self.queue.rows_of(lease.mask_id):
                fits = view.request.fits is None or bool(view.request.fits[row])
                if fits and not self.decided.done[row] and self._is_free(row, view):
                    found.add(row)
                    break
        return sorted(found)[: view.request.count]

    def _is_new(self, row: int, mask_id: int, view: _LeaseView) -> bool:
        """Whether a person may get a row, and neither has nor had its mask."""
        same = any(
            view.is_mine(lease) or lease.reviewer == view.request.reviewer
            for lease in view.held.get(mask_id, ())
        )
        return not same and self._is_free(row, view)

    def _is_free(self, row: int, view: _LeaseView) -> bool:
        """Whether others leave a row's slot open, for somebody who has not decided on its mask.

        A mask that people have not settled goes to one at a time, also to those who decided on it
        before, once.
        """
        people = self.decided.who(row)
        others = view.others(int(self.queue.mask_ids[row]))
        if (open_ := self.decided.awaits(row)) is not None:
            return view.request.reviewer not in open_.heard and not others
        if view.request.reviewer in people:
            return False
        return len(people | others) <= int(self.queue.slots[row])

    def _count_left(self, request: MaskRequest) -> int:
        """Return how many masks of the queue the person can still decide on, under the filter."""
        decided = self.decided
        open_ = ~decided.done
        if self.queue.twice:
            open_ &= ~decided.by(request.reviewer)
        for mask_id in decided.unsettled:
            row = self.queue.rows_of(mask_id)[-1]
            if (why := decided.awaits(row)) is not None:
                open_[row] = request.reviewer not in why.heard
        if request.fits is not None:
            open_ &= request.fits
        return int(open_.sum())


def best_order(queue: ShownQueue) -> IntArray | None:
    """Return the rows of a queue with the likely-good masks first; None where there is no quality.

    A random sample keeps its own order: a selection from it is not random.
    """
    if queue.blind or "quality_score" not in queue.columns:
        return None
    quality: Any = queue.files.numbers("quality_score", queue.places)
    return np.argsort(np.where(np.isnan(quality), np.inf, -quality), kind="stable")
