"""Who has decided on which masks of a queue: kept in step with the file, whoever writes to it."""

from __future__ import annotations

import sqlite3
from collections import Counter

import numpy as np
import numpy.typing as npt

from curate.decisions import Reviews
from curate.decisions.reviews import identity_of
from curate.decisions.schema import connected
from curate.review.queues import Queue

_NEW = "select decision_id, mask_id, reviewer from standing where decision_id > ?"
_BACK = (
    "select w.withdrawn_id, d.mask_id from withdrawn w join decisions d using (decision_id)"
    " where w.withdrawn_id > ?"
)
_WHO = "select distinct reviewer from standing where mask_id = ?"


class Decided:
    """What people have decided of a queue.

    Of the ranking a decision by anybody for any reason counts; of a draw only one made for it.

    Attributes:
        done: Shape (rows,): whether enough people have decided on the mask for this row.
        mine: How many masks of the queue each person has decided on.

    Args:
        queue: The queue.
        reviews: The decisions; the file must be there.
    """

    def __init__(self, queue: Queue, reviews: Reviews) -> None:
        self.queue, self.reviews = queue, reviews
        self.done = np.zeros(len(queue), np.bool_)
        self.mine: Counter[str] = Counter()
        self._sets: list[frozenset[str]] = [frozenset()]
        self._number = {self._sets[0]: 0}
        self._group = np.zeros(len(queue), np.int32)
        self._decision = self._withdrawn = 0
        self.refresh()

    def refresh(self) -> None:
        """Take in what was written since the last time."""
        # The plus keeps SQLite from going through all of a draw instead of the new rows alone.
        only = "" if self.queue.draw_id is None else f" and +draw_id = {self.queue.draw_id}"
        with connected(self.reviews.path, identity_of(self.reviews.audit)) as connection:
            connection.execute("begin")  # one moment for all that is read
            new = connection.execute(_NEW + only, (self._decision,)).fetchall()
            back = connection.execute(_BACK + only, (self._withdrawn,)).fetchall()
            for number, mask_id, reviewer in new:
                self._decision = max(self._decision, number)
                self._add(mask_id, reviewer)
            for number, mask_id in back:
                self._withdrawn = max(self._withdrawn, number)
                self._again(connection, mask_id, only)
            connection.execute("rollback")

    def who(self, row: int) -> frozenset[str]:
        """Return who has decided on a row's mask."""
        return self._sets[int(self._group[row])]

    def by(self, reviewer: str) -> npt.NDArray[np.bool_]:
        """Return the rows whose mask a person has decided on."""
        own = np.array([reviewer in people for people in self._sets])
        return np.asarray(own[self._group], np.bool_)

    def _add(self, mask_id: int, reviewer: str) -> None:
        rows = self.queue.rows_of(mask_id)
        if rows and reviewer not in self.who(rows[0]):
            self._set(rows, self.who(rows[0]) | {reviewer})

    def _again(self, connection: sqlite3.Connection, mask_id: int, only: str) -> None:
        if rows := self.queue.rows_of(mask_id):
            found = connection.execute(_WHO + only.replace("+", ""), (mask_id,))
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
            self.done[row] = len(people) > slot
