"""Withdrawal of decisions: the row stays, and a second one marks it as withdrawn."""

from __future__ import annotations

import sqlite3

import numpy as np
import pandas as pd

from curate.dataset.table import plain
from curate.errors import SourceError
from curate.people.reviews.row_frames import insert_columns
from curate.people.reviews.validation import InputRows, as_texts, as_times, check_columns

_COLUMNS = ("decision_key", "reviewer", "key", "time")
_INCOMING = """
create temp table incoming_withdrawn (
  at integer primary key, decision_key text, reviewer text, own_key text, time integer
)
"""
_UNKNOWN = """
select i.at, i.decision_key from incoming_withdrawn i where not exists (
  select 1 from decisions d where d.key = i.decision_key and d.reviewer = i.reviewer
) order by i.at limit 1
"""
_INSERT = """
insert into withdrawn (decision_id, time, key)
select d.decision_id, i.time, i.own_key
from incoming_withdrawn i join decisions d on d.key = i.decision_key where true order by i.at
on conflict do nothing
"""


def check_withdrawals(given: pd.DataFrame, now: int) -> pd.DataFrame:
    """Return withdrawals in their types; see ``Reviews.withdraw``."""
    check_columns(given, _COLUMNS, ("decision_key", "reviewer", "key"))
    frame = given.reset_index(drop=True).copy(deep=False)
    rows = InputRows(frame, "withdrawals", "decision_key")
    for name in ("decision_key", "reviewer", "key"):
        frame[name] = as_texts(rows, name)
        lacking = frame[name].isna() | ((frame[name] == "") & (name != "reviewer"))
        rows.refuse(lacking, lambda value, name=name: f"the {name} is missing", name)  # type: ignore[misc]
    frame["reviewer"] = frame["reviewer"].str.strip()
    frame["time"] = as_times(rows, now)
    return frame


def write_withdrawals(connection: sqlite3.Connection, frame: pd.DataFrame, now: int) -> int:
    """Write checked withdrawals within an open transaction and return how many were new."""
    connection.execute(_INCOMING)
    columns = {
        "at": np.arange(len(frame)).tolist(),
        "decision_key": plain(frame["decision_key"]),
        "reviewer": plain(frame["reviewer"]),
        "own_key": plain(frame["key"]),
        "time": frame["time"].where(frame["time"] > 0, now).tolist(),
    }
    insert_columns(connection, "incoming_withdrawn", columns)
    strange = connection.execute(_UNKNOWN).fetchone()
    if strange is not None:
        where = InputRows(frame, "withdrawals", "decision_key").where(int(strange[0]))
        raise SourceError("there is no such decision of that person", where)
    before = connection.total_changes
    connection.execute(_INSERT)
    return connection.total_changes - before
