"""Progress of a queue: who has decided on which masks, which stay unsettled, as the file grows."""

from __future__ import annotations

import sqlite3
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import orjson

from curate.common.arrays import BoolArray, IntArray
from curate.people.reviews import Reviews
from curate.people.reviews.outcomes import NOT_DRAWN_REASON, resolve_outcomes
from curate.people.reviews.resolved_labels import NO_HONEYPOT
from curate.people.reviews.schema import BULK
from curate.people.webapp.shown_queue import ShownQueue

_LAST_IDS = (
    "select (select coalesce(max(decision_id), 0) from decisions),"
    " (select coalesce(max(withdrawn_id), 0) from withdrawn)"
)
_CHANGED = """
select mask_id from decisions where decision_id > ?1
union
select d.mask_id from withdrawn w join decisions d using (decision_id) where w.withdrawn_id > ?2
"""
_UNSETTLED_SQL = f"""
select mask_id from looks d where {NO_HONEYPOT} {{only}} group by mask_id
having count(distinct reviewer) > 1
  or max(action = 'fix' and segmentation is null and category is null)
"""
"""Masks that may be not settled: one person alone settles all but a fix that nobody has drawn."""

_DECISIONS_SQL = f"""
select mask_id, reviewer, decision_id, action, category, segmentation from looks d
where {NO_HONEYPOT} {{only}} order by mask_id, decision_id
"""
_ASKED_FILTER = "and mask_id in (select mask_id from temp.asked)"

DISAGREE = "people disagree"
"""Why a mask is not settled that somebody has drawn, or that need not be."""

_NEW_DECISIONS = "select decision_id, mask_id, reviewer from looks where decision_id > :since"
_NEW_WITHDRAWALS = (
    "select w.withdrawn_id, d.mask_id from withdrawn w join decisions d using (decision_id)"
    " where w.withdrawn_id > :since"
)
_DRAW_FILTER = (
    # The plus keeps SQLite from going through all of a draw instead of the new rows alone.
    " and (+draw_id = :draw or mask_id in (select value from json_each(:outside)))"
)
_BULK = f"""
select decision_id, mask_id from standing where queue_kind = '{BULK}' and decision_id > ?
"""
_UNDONE = f"""
select w.withdrawn_id, d.mask_id, exists (
  select 1 from standing s where s.mask_id = d.mask_id and s.queue_kind = '{BULK}')
from withdrawn w join decisions d using (decision_id)
where w.withdrawn_id > ? and d.queue_kind = '{BULK}'
"""
"""Decisions in bulk, and which masks of undone ones have another that stands."""

_REVIEWERS = (
    "select distinct reviewer from looks"
    " where mask_id = :mask and (:draw is null or draw_id = :draw)"
)


class _Opinion(NamedTuple):
    """One person's decisions on a mask: the current one, and ids of the first, the one since
    which it holds, and the last."""

    decision: list[Any]
    first: int
    since: int
    last: int


class Unsettled(NamedTuple):
    """A mask that people decided on and did not settle.

    Attributes:
        words: Why it is not settled, without who said what: the next person judges alone.
        heard: People who decided on it after all that others say of it now: to ask them once more
            would settle nothing. Whoever wants it fixed is asked once more to draw that.
    """

    words: str
    heard: frozenset[str]


def find_changed(
    connection: sqlite3.Connection, since: tuple[int, int] | None
) -> tuple[tuple[int, int], IntArray | None]:
    """Return the last ids of the file, and the masks with new decisions or withdrawals.

    Args:
        connection: The open file of decisions.
        since: How far it went then; None: the masks are None, which stands for all.
    """
    first, second = connection.execute(_LAST_IDS).fetchone()
    now = (int(first), int(second))
    if since is None:
        return now, None
    found = [mask_id for (mask_id,) in connection.execute(_CHANGED, since)]
    return now, np.array(found, np.int64)


def find_unsettled(
    connection: sqlite3.Connection, rule: str, only: IntArray | None = None
) -> dict[int, Unsettled]:
    """Find masks that people decided on and did not settle.

    Args:
        connection: The open file of decisions.
        rule: How people who disagree are resolved; see
            :func:`curate.people.reviews.outcomes.resolve_outcomes`.
        only: Masks to look at; None for all.

    Returns:
        By ``mask_id``.
    """
    where = "" if only is None else _ASKED_FILTER
    if only is not None:
        _set_asked(connection, only.tolist())
    ids = [mask_id for (mask_id,) in connection.execute(_UNSETTLED_SQL.format(only=where))]
    if not ids:
        return {}
    found = resolve_outcomes(connection, rule, np.array(ids, np.int64))
    found = found[found["change"] == "unsettled"]
    _set_asked(connection, found.index.tolist())
    people = _read_opinions(connection)
    texts = zip(found.index.tolist(), found["said"].tolist(), strict=True)
    return {
        mask_id: Unsettled(NOT_DRAWN_REASON, _decided_again(people[mask_id]))
        if text.startswith(NOT_DRAWN_REASON)
        else Unsettled(DISAGREE, _decided_last(people[mask_id]))
        for mask_id, text in texts
    }


def _read_opinions(connection: sqlite3.Connection) -> dict[int, dict[str, _Opinion]]:
    """Return people's current decisions on the masks asked for."""
    people: dict[int, dict[str, _Opinion]] = {}
    rows: Any = connection.execute(_DECISIONS_SQL.format(only=_ASKED_FILTER))
    for mask_id, reviewer, number, *decision in rows:
        some = people.setdefault(mask_id, {})
        before = some.get(reviewer)
        same = before is not None and before.decision == decision
        since = before.since if before is not None and same else number
        first = number if before is None else before.first
        some[reviewer] = _Opinion(decision, first, since, number)
    return people


def _decided_last(people: Mapping[str, _Opinion]) -> frozenset[str]:
    """Return the people who decided after all others had come to their current decision."""
    return frozenset(
        name
        for name, own in people.items()
        if all(own.last > other.since for who, other in people.items() if who != name)
    )


def _decided_again(people: Mapping[str, _Opinion]) -> frozenset[str]:
    """Return the people who decided again since the last person joined, and drew nothing."""
    newest = max(one.first for one in people.values())
    return frozenset(name for name, own in people.items() if own.last > newest)


def _set_asked(connection: sqlite3.Connection, mask_ids: Sequence[int]) -> None:
    connection.execute("create temp table if not exists asked (mask_id integer primary key)")
    connection.execute("delete from temp.asked")
    connection.executemany("insert into temp.asked values (?)", ((i,) for i in mask_ids))


class QueueProgress:
    """Decisions on the masks of a queue.

    Of the ranking and of masks outside the draw a decision by anybody for any reason counts; of a
    draw only one made for it. A mask that all these decisions do not settle is open again in its
    last row, but not in a blind queue.

    Attributes:
        answered: Shape (rows,): whether enough people have decided on the mask for this row.
        done: Shape (rows,): whether that settles it, too; of errors also whether the mask was
            decided on in bulk.
        unsettled: Masks of the queue that people have not settled, whatever they saw them for.
        mine: Number of masks of the queue that each person has decided on.

    Args:
        queue: The queue.
        reviews: The decisions; the file must be there.
        rule: How people who disagree are resolved.
    """

    def __init__(self, queue: ShownQueue, reviews: Reviews, rule: str = "majority") -> None:
        self.queue, self.reviews, self.rule = queue, reviews, rule
        self.answered = np.zeros(len(queue), np.bool_)
        self.done = np.zeros(len(queue), np.bool_)
        self.unsettled: dict[int, Unsettled] = {}
        self.mine: Counter[str] = Counter()
        self._sets: list[frozenset[str]] = [frozenset()]
        self._number = {self._sets[0]: 0}
        self._group = np.zeros(len(queue), np.int32)
        self._decision = self._withdrawn = 0
        self._bulk = np.zeros(len(queue), np.bool_)
        self._bulk_to = (0, 0)
        self._settled_to: tuple[int, int] | None = None
        self.refresh()

    def resolve_by(self, rule: str) -> None:
        """Resolve people who disagree by another rule from the next :meth:`refresh` on."""
        if rule != self.rule:
            self.rule, self._settled_to = rule, None

    def refresh(self) -> None:
        """Read the rows written since the last call."""
        queue = self.queue
        only = "" if queue.draw_id is None else _DRAW_FILTER
        outside = orjson.dumps(sorted(queue.undrawn_ids)).decode()
        asked = {"draw": queue.draw_id, "outside": outside}
        with self.reviews.connect() as connection:
            connection.execute("begin")  # one moment for all that is read
            new = connection.execute(
                _NEW_DECISIONS + only, asked | {"since": self._decision}
            ).fetchall()
            back = connection.execute(
                _NEW_WITHDRAWALS + only, asked | {"since": self._withdrawn}
            ).fetchall()
            for number, mask_id, reviewer in new:
                self._decision = max(self._decision, number)
                self._add(mask_id, reviewer)
            for number, mask_id in back:
                self._withdrawn = max(self._withdrawn, number)
                self._again(connection, mask_id)
            if queue.kind == "errors":
                self._read_bulk(connection)
            if not queue.blind:
                self._settle(connection)
            connection.execute("rollback")

    def _read_bulk(self, connection: sqlite3.Connection) -> None:
        """Close rows whose masks were decided on in bulk, and open those of undone decisions.

        Only in a queue of errors: whatever else is drawn is drawn to be looked at.
        """
        decision, withdrawn = self._bulk_to
        new = connection.execute(_BULK, (decision,)).fetchall()
        back = connection.execute(_UNDONE, (withdrawn,)).fetchall()
        if not new and not back:
            return
        self._bulk |= np.isin(self.queue.mask_ids, [mask_id for _, mask_id in new])
        gone = [mask_id for _, mask_id, stands in back if not stands]
        self._bulk &= ~np.isin(self.queue.mask_ids, gone)
        self._bulk_to = (
            max([decision, *(number for number, _ in new)]),
            max([withdrawn, *(number for number, _, _ in back)]),
        )
        self.done = self.answered | self._bulk
        for mask_id in self.unsettled:
            self._close(self.queue.rows_of(mask_id))

    def awaits(self, row: int) -> Unsettled | None:
        """Return the reason why an answered row is open again; None for all others."""
        if not self.answered[row] or self.done[row]:
            return None
        return self.unsettled.get(int(self.queue.mask_ids[row]))

    def who(self, row: int) -> frozenset[str]:
        """Return the people who have decided on a row's mask."""
        return self._sets[int(self._group[row])]

    def by(self, reviewer: str) -> BoolArray:
        """Return the rows whose mask a person has decided on."""
        own = np.array([reviewer in people for people in self._sets])
        return np.asarray(own[self._group], np.bool_)

    def _add(self, mask_id: int, reviewer: str) -> None:
        rows = self.queue.rows_of(mask_id)
        if rows and reviewer not in self.who(rows[0]):
            self._set(rows, self.who(rows[0]) | {reviewer})

    def _again(self, connection: sqlite3.Connection, mask_id: int) -> None:
        if rows := self.queue.rows_of(mask_id):
            asked = {"mask": mask_id, "draw": self.queue.shown_for(mask_id)[1]}
            found = connection.execute(_REVIEWERS, asked)
            self._set(rows, frozenset(name for (name,) in found))

    def _set(self, rows: list[int], people: frozenset[str]) -> None:
        for name in self.who(rows[0]) - people:
            self.mine[name] -= 1
        for name in people - self.who(rows[0]):
            self.mine[name] += 1
        if people not in self._number:
            self._number[people] = len(self._sets)
            self._sets.append(people)
        for slot, row in enumerate(rows):
            self._group[row] = self._number[people]
            self.answered[row] = len(people) > slot
        self._close(rows)

    def _close(self, rows: list[int]) -> None:
        for row in rows:
            self.done[row] = self.answered[row] or self._bulk[row]
        if rows and int(self.queue.mask_ids[rows[-1]]) in self.unsettled:
            self.done[rows[-1]] = False

    def _settle(self, connection: sqlite3.Connection) -> None:
        """Update which masks are unsettled, of those with new decisions or withdrawals."""
        now, ids = find_changed(connection, self._settled_to)
        if now == self._settled_to:
            return
        self._settled_to = now
        found = find_unsettled(connection, self.rule, ids)
        gone = list(self.unsettled) if ids is None else ids.tolist()
        for mask_id in gone:
            self.unsettled.pop(mask_id, None)
        for mask_id in found:
            if self.queue.rows_of(mask_id):
                self.unsettled[mask_id] = found[mask_id]
        for mask_id in {*gone, *found}:
            self._close(self.queue.rows_of(mask_id))
