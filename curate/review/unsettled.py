"""Masks that people decided on and did not settle: why, and who can still settle them."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd

from curate.decisions.outcomes import outcomes
from curate.decisions.resolving import NO_HONEYPOT

IntArray = npt.NDArray[np.int64]

_LAST = (
    "select (select coalesce(max(decision_id), 0) from decisions),"
    " (select coalesce(max(withdrawn_id), 0) from withdrawn)"
)
_CHANGED = """
select mask_id from decisions where decision_id > ?1
union
select d.mask_id from withdrawn w join decisions d using (decision_id) where w.withdrawn_id > ?2
"""
_OPEN = f"""
select mask_id from standing d where {NO_HONEYPOT} {{only}} group by mask_id
having count(distinct reviewer) > 1
  or max(action = 'fix' and segmentation is null and category is null)
"""
"""Masks that may be not settled: one person alone settles all but a fix that nobody has drawn."""

_PEOPLE = f"""
select mask_id, reviewer, min(decision_id), max(decision_id) from standing d
where {NO_HONEYPOT} {{only}} group by mask_id, reviewer
"""
_WANTED = "and mask_id in (select mask_id from temp.asked)"


class Unsettled(NamedTuple):
    """A mask that people decided on and did not settle.

    Attributes:
        words: Why it is not settled, and who said what.
        heard: People who have decided on it again since the last person came in: to ask them once
            more would settle nothing.
    """

    words: str
    heard: frozenset[str]


def changed_since(
    connection: sqlite3.Connection, since: tuple[int, int] | None
) -> tuple[tuple[int, int], IntArray | None]:
    """Return how far the file goes, and on which masks anything was said since another time.

    Args:
        connection: The open file of decisions.
        since: How far it went then; None: the masks are None, which stands for all.
    """
    first, second = connection.execute(_LAST).fetchone()
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
        rule: How people who disagree are resolved; see :func:`curate.decisions.outcomes.outcomes`.
        only: Masks to look at; None for all.

    Returns:
        By ``mask_id``.
    """
    where = "" if only is None else _WANTED
    if only is not None:
        _ask(connection, only.tolist())
    ids = [mask_id for (mask_id,) in connection.execute(_OPEN.format(only=where))]
    if not ids:
        return {}
    found = outcomes(connection, rule, np.array(ids, np.int64))
    found = found[found["change"] == "unsettled"]
    _ask(connection, found.index.tolist())
    heard = _heard(connection)
    words = zip(found.index.tolist(), found["said"].tolist(), strict=True)
    return {mask_id: Unsettled(said, heard[mask_id]) for mask_id, said in words}


def outcomes_of(connection: sqlite3.Connection, rule: str, mask_ids: Sequence[int]) -> pd.DataFrame:
    """Resolve what people say of some masks; see :func:`curate.decisions.outcomes.outcomes`."""
    return outcomes(connection, rule, np.array(mask_ids, np.int64))


def _heard(connection: sqlite3.Connection) -> dict[int, frozenset[str]]:
    people: dict[int, list[tuple[str, int, int]]] = {}
    rows: Any = connection.execute(_PEOPLE.format(only=_WANTED))
    for mask_id, reviewer, first, last in rows:
        people.setdefault(mask_id, []).append((reviewer, first, last))
    heard = {}
    for mask_id, some in people.items():
        newest = max(first for _, first, _ in some)  # when the last person came in
        heard[mask_id] = frozenset(name for name, _, last in some if last > newest)
    return heard


def _ask(connection: sqlite3.Connection, mask_ids: Sequence[int]) -> None:
    connection.execute("create temp table if not exists asked (mask_id integer primary key)")
    connection.execute("delete from temp.asked")
    connection.executemany("insert into temp.asked values (?)", ((i,) for i in mask_ids))
