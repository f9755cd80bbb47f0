"""Masks with decisions that do not settle them: the reason, and who can still settle them."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from curate.common.arrays import IntArray
from curate.people.reviews.outcomes import NOT_DRAWN_REASON, resolve_outcomes
from curate.people.reviews.resolved_labels import NO_HONEYPOT

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
select mask_id from standing d where {NO_HONEYPOT} {{only}} group by mask_id
having count(distinct reviewer) > 1
  or max(action = 'fix' and segmentation is null and category is null)
"""
"""Masks that may be not settled: one person alone settles all but a fix that nobody has drawn."""

_DECISIONS_SQL = f"""
select mask_id, reviewer, decision_id, action, category, segmentation from standing d
where {NO_HONEYPOT} {{only}} order by mask_id, decision_id
"""
_ASKED_FILTER = "and mask_id in (select mask_id from temp.asked)"


DISAGREE = "people disagree"
"""Why a mask is not settled that somebody has drawn, or that need not be."""


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
