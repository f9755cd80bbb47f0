"""Appending decisions, and withdrawals: a batch in one transaction, each once, by many writers.

The batch is put into a temporary table and worked on by SQL, set by set, in this order:

1. Rows that stand twice in the batch become one; two that contradict each other are refused.
2. A decision without a time gets the writing's, or one behind all that is stored of its mask.
3. Its draw (the queue that showed the mask) is looked up where it is not named, checked where it
   is, and gives the inclusion probability.
4. Its key is derived from its content where it has none of its own.
5. What repeats is left out: by its key always, and without a time also where it changes nothing of
   what the same person last said of the mask, or where the same origin has said it before. The same
   for another reason (another draw, another file) is new.
6. What is left is inserted; a conflict of keys is no error.

Invariants: stored decisions are never changed or deleted; sending a batch twice is the same as
sending it once (idempotent), also for a client that never saw the answer; later decisions count
more, so what is decided now gets a time behind all that is stored of its mask, whatever a clock
says. A batch is written whole, or refused whole with the place of the first mistake.

Time is about n log n of the batch, with look-ups by index in what is stored; memory is the batch.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import Any

import numpy as np
import pandas as pd

from curate.dataset.table import plain
from curate.errors import SourceError
from curate.people.reviews.append_images import BatchOrigin, renew_keys, write_images
from curate.people.reviews.decision_notes import write_imported_notes
from curate.people.reviews.replaced_additions import ShownWindows, drop_first_imports
from curate.people.reviews.row_frames import insert_columns
from curate.people.reviews.validation import InputRows, as_texts, as_times, check_columns

_INCOMING = """
create temp table incoming (
  at integer primary key, mask_id integer, image_id integer, action text, iou real,
  segmentation blob, category text, digest text, reviewer text, seconds real, time integer,
  timed integer, queue_kind text, inclusion_probability real, draw_id integer, own_key text,
  key text
)
"""

_CHANCE = "abs(i.inclusion_probability - d.inclusion_probability) > 1e-6 * d.inclusion_probability"
_WITH_DRAW = (
    "incoming i join draws w on w.draw_id = i.draw_id"
    " join drawn d on d.draw_id = i.draw_id and d.mask_id = i.mask_id"
)
_ELSEWHERE = (
    "they belong to the audit that it was drawn in: import them there; if this one is of the same"
    " version of the dataset (`curate version`), leave out the columns draw_id, queue_kind and"
    " inclusion_probability"
)
_REFUSALS = (
    (
        "select at, draw_id from incoming where draw_id is not null"
        " and draw_id not in (select draw_id from draws)",
        "the draw {0} is not recorded here",
        _ELSEWHERE,
    ),
    (
        "select at, draw_id from incoming i where draw_id is not null and not exists"
        " (select 1 from drawn d where d.draw_id = i.draw_id and d.mask_id = i.mask_id)",
        "the mask is not part of draw {0}",
        "",
    ),
    (
        f"select i.at, i.queue_kind, w.draw_id, w.kind from {_WITH_DRAW}"
        " where i.queue_kind <> w.kind",
        "the queue kind is {0}, but draw {1} is of kind {2}",
        "",
    ),
    (
        f"select i.at, i.inclusion_probability, d.inclusion_probability, i.draw_id"
        f" from {_WITH_DRAW} where {_CHANCE}",
        "the inclusion probability is {0:g}, but {1:g} in draw {2}",
        "",
    ),
)
"""What a decision may say of its draw that is not so: where, in which words, and what to do."""

_FIND_DRAW = """
update incoming set draw_id = (
  select max(d.draw_id) from drawn d join draws w using (draw_id)
  where d.mask_id = incoming.mask_id
    and (incoming.queue_kind is null or w.kind = incoming.queue_kind)
    and (incoming.timed = 0 or w.created > ?1 or incoming.time >= (
      select min(later.created) from draws later where later.draw_id >= w.draw_id))
) where draw_id is null and coalesce(queue_kind, '') not in ('none', 'bulk')
"""
"""The last draw in which the mask stood when it was decided on says why it was shown.

A draw was recorded no later than the ones after it, whatever the clock was set to; and one that is
of the future, by a clock that was set back since, may have been recorded at any time."""

_MAKE_LAST = """
update incoming set time = (
  select max(time) + 1 from decisions d where d.mask_id = incoming.mask_id)
where (timed = 0 or ?2) and exists (
  select 1 from decisions d where d.mask_id = incoming.mask_id and d.time >= ?1)
"""
"""What is decided now comes after all that is stored of the mask, also where the clock was set back
since: later decisions count more, and which are later is asked of their times."""

_TAKE_DRAW = (
    """
update incoming set
  queue_kind = (select kind from draws w where w.draw_id = incoming.draw_id),
  inclusion_probability = (
    select max(inclusion_probability) from drawn d
    where d.draw_id = incoming.draw_id and d.mask_id = incoming.mask_id
  )
where draw_id is not null
""",
    "update incoming set queue_kind = coalesce(queue_kind, 'none')",
    """
update incoming set key = coalesce(own_key, mask_id || '|' || time || '|' || action || '|'
  || coalesce(iou, '') || '|' || coalesce(digest, '') || '|' || queue_kind || '|'
  || coalesce(draw_id, '') || '|' || reviewer)
""",
)

_WITHDRAWN_KEY = """
own_key is null and key in (select d.key from decisions d join withdrawn w using (decision_id)
  where w.key like 'back|%')
"""
"""A file that was taken back counts again when it is imported again."""

_SAME = (
    "c.action = i.action and c.iou is i.iou and c.segmentation is i.segmentation"
    " and c.category is i.category"
)

_DROP_UNCHANGED = f"""
delete from incoming where timed = 0 and own_key is null and at in (
  select i.at from incoming i join decisions c on c.decision_id = (
    select decision_id from standing where mask_id = i.mask_id and reviewer = i.reviewer
    order by time desc, decision_id desc limit 1
  )
  where {_SAME} and c.queue_kind = i.queue_kind and c.draw_id is i.draw_id
    and c.inclusion_probability is i.inclusion_probability
  union all
  select i.at from incoming i join standing c
    on c.mask_id = i.mask_id and c.reviewer = i.reviewer and c.origin = ?
  where {_SAME}
)
"""
"""Without a time: nothing new if it is what the person says already, or is the same file again.

A file that comes again says nothing new, whatever other files have said since: it would take the
later ones back."""

_KEY_USED = """
select i.at, i.key from incoming i join decisions c on c.key = i.key
where c.mask_id <> i.mask_id or c.action <> i.action or c.reviewer <> i.reviewer
"""

_FIELDS = (
    "mask_id, action, iou, segmentation, category, reviewer, seconds, time, queue_kind,"
    " inclusion_probability, draw_id"
)

_SENT_COLUMNS = (
    *("mask_id", "image_id", "action", "segmentation", "category", "reviewer"),
    *("queue_kind", "draw_id"),
)

_INSERT = f"""
insert into decisions ({_FIELDS}, origin, key)
select {_FIELDS}, ?, key from incoming where true order by mask_id, at
on conflict (key) do nothing
"""

_WITHDRAWAL_COLUMNS = ("decision_key", "reviewer", "key", "time")
_INCOMING_WITHDRAWN = """
create temp table incoming_withdrawn (
  at integer primary key, decision_key text, reviewer text, own_key text, time integer
)
"""
_UNKNOWN = """
select i.at, i.decision_key from incoming_withdrawn i where not exists (
  select 1 from decisions d where d.key = i.decision_key and d.reviewer = i.reviewer
) order by i.at limit 1
"""
_INSERT_WITHDRAWN = """
insert into withdrawn (decision_id, time, key)
select d.decision_id, i.time, i.own_key
from incoming_withdrawn i join decisions d on d.key = i.decision_key where true order by i.at
on conflict do nothing
"""


@dataclass(frozen=True)
class WriteCounts:
    """Counts of rows written, and of rows that were there already.

    Attributes:
        decisions: New decisions.
        repeated: Decisions that were there already, or stood twice in the batch.
        masks: Masks that the batch is about.
        actions: How many of the batch's decisions accept, reject and fix.
        missing: Masks that people added.
        withdrawn: Added masks that they took away again.
        reviewed_images: Images that were fully reviewed.
    """

    decisions: int
    repeated: int
    masks: int
    actions: dict[str, int] = field(default_factory=dict)
    missing: int = 0
    withdrawn: int = 0
    reviewed_images: int = 0


@dataclass(frozen=True)
class CheckedBatch:
    """A batch, every column in its type (see :mod:`curate.people.reviews.validation`).

    ``live``: all times are of this machine's clock, as those of rows without one.
    """

    decisions: pd.DataFrame
    missing: pd.DataFrame | None = None
    reviewed_images: pd.DataFrame | None = None
    live: bool = False


def drop_repeated(frame: pd.DataFrame, origin: str) -> pd.DataFrame:
    """Drop repeated decisions of a batch.

    Raises:
        SourceError: One person decides differently on a mask at the same time.
    """
    person = ["mask_id", "reviewer", "time"]
    twice = frame.duplicated(person, keep=False).to_numpy()
    if not twice.any():
        return frame
    some = frame[twice]
    filled: dict[str, float | bytes | str] = {"iou": -1, "segmentation": b"", "category": ""}
    comparable = some.assign(**{name: some[name].fillna(value) for name, value in filled.items()})
    says = [*person, "action", *filled]
    first = ~comparable.duplicated(says).to_numpy()
    differs = np.flatnonzero(first & comparable.duplicated(person).to_numpy())
    if len(differs):
        at = int(np.flatnonzero(twice)[differs[0]])
        _refuse_contradiction(InputRows(frame, origin), at)
    gone = np.zeros(len(frame), np.bool_)
    gone[np.flatnonzero(twice)[~first]] = True
    return frame[~gone].reset_index(drop=True)


def _refuse_contradiction(rows: InputRows, at: int) -> None:
    row = rows.frame.iloc[at]
    same = (rows.frame["mask_id"] == row["mask_id"]) & (rows.frame["reviewer"] == row["reviewer"])
    earlier = int(np.flatnonzero(same & (rows.frame["time"] == row["time"]))[0])
    before = rows.frame.iloc[earlier]
    who = f"{row['reviewer']!r}" if row["reviewer"] else "one person (no reviewer is named)"
    place = f"in {before['row']}" if "row" in rows.frame else "before"
    what = f"{who} says {row['action']} here and {before['action']} {place}"
    if row["action"] == before["action"]:
        what = f"{who} corrects it here and {place}, but differently"
    raise SourceError(what, rows.where(at), "keep one of them, or give each its time or reviewer")


def write_decisions(
    connection: sqlite3.Connection,
    batch: CheckedBatch,
    origin: str,
    now: int,
    shown: ShownWindows | None,
) -> WriteCounts:
    """Write a checked batch within an open transaction.

    Args:
        connection: The open file.
        batch: What to write.
        origin: Where it comes from.
        now: Time of what has none, in microseconds since 1970.
        shown: What a corrected file shows: masks added earlier there, of the same file as it was,
            are withdrawn where the batch does not add them again; None for none.

    Raises:
        SourceError: A decision contradicts what is recorded of its draw, or uses another's key.
    """
    connection.execute(_INCOMING)
    shown = None if shown is None else drop_first_imports(connection, shown)
    rows = drop_repeated(batch.decisions, origin)
    actions = batch.decisions["action"].value_counts()
    _send_decisions(connection, rows, now)
    connection.execute(_MAKE_LAST, (now, batch.live))
    _fill_draws(connection, InputRows(rows, origin), now)
    connection.execute(_DROP_UNCHANGED, (origin,))
    _refuse(
        connection, InputRows(rows, origin), _KEY_USED, "its key {0} was used by another decision"
    )
    before = connection.total_changes
    connection.execute(_INSERT, (origin,))
    added = connection.total_changes - before
    if "note" in rows:
        write_imported_notes(connection, rows, now)
    images = write_images(
        connection, batch.missing, batch.reviewed_images, BatchOrigin(origin, now, shown)
    )
    return WriteCounts(
        decisions=added,
        repeated=len(batch.decisions) - added,
        masks=int(batch.decisions["mask_id"].nunique()),
        actions={str(name): int(count) for name, count in actions.items()},
        **images,
    )


def _send_decisions(connection: sqlite3.Connection, rows: pd.DataFrame, now: int) -> None:
    columns: dict[str, Sequence[Any]] = {"at": range(len(rows))}
    columns |= {name: plain(rows[name]) for name in _SENT_COLUMNS}
    columns |= {
        name: rows[name].to_numpy(np.float64).tolist()
        for name in ("iou", "seconds", "inclusion_probability")
    }
    corrected = zip(columns["segmentation"], columns["category"], strict=True)
    columns["digest"] = [_hash_fix(mask, category) for mask, category in corrected]
    columns["timed"] = (rows["time"] > 0).astype("int64").tolist()
    columns["time"] = rows["time"].where(rows["time"] > 0, now).tolist()
    columns["own_key"] = plain(rows["key"])
    insert_columns(connection, "incoming", columns)


def _hash_fix(mask: bytes | None, category: str | None) -> str | None:
    """Return a short name for what a fix changed; None for nothing."""
    if mask is None and category is None:
        return None
    suffix = b"" if category is None else b"|" + category.encode()
    return blake2b((mask or b"") + suffix, digest_size=8).hexdigest()


def _fill_draws(connection: sqlite3.Connection, rows: InputRows, now: int) -> None:
    """Fill in the draw of each decision, and its key."""
    if connection.execute("select exists (select 1 from draws)").fetchone()[0]:
        connection.execute(_FIND_DRAW, (now,))
    for sql, words, do in _REFUSALS:
        _refuse(connection, rows, sql, words, do)
    for statement in _TAKE_DRAW:
        connection.execute(statement)
    renew_keys(connection, "incoming", _WITHDRAWN_KEY)


def _refuse(
    connection: sqlite3.Connection, rows: InputRows, sql: str, words: str, do: str = ""
) -> None:
    found = connection.execute(f"{sql} limit 1").fetchone()
    if found is not None:
        raise SourceError(words.format(*found[1:]), rows.where(int(found[0])), do)


def check_withdrawals(given: pd.DataFrame, now: int) -> pd.DataFrame:
    """Return withdrawals in their types; see ``Reviews.withdraw``."""
    check_columns(given, _WITHDRAWAL_COLUMNS, ("decision_key", "reviewer", "key"))
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
    connection.execute(_INCOMING_WITHDRAWN)
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
    connection.execute(_INSERT_WITHDRAWN)
    return connection.total_changes - before
