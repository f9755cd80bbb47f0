"""Writing of added masks and image reviews: one transaction, idempotent by key.

Whether an added mask stands is what the last event of its person says: added, or withdrawn.
"""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any

import pandas as pd

from curate.dataset.table import plain
from curate.people.reviews.replaced_additions import ShownWindows, withdraw_replaced
from curate.people.reviews.row_frames import insert_columns
from curate.people.reviews.schema import REVIEWED_IMAGES

_INCOMING = (
    """
create temp table incoming_missing (
  image_id integer, segmentation blob, digest text, category text, reviewer text, time integer,
  timed integer, seconds real, withdrawn integer, own_key text, key text
)
""",
    """
create temp table incoming_looked (
  image_id integer, reviewer text, time integer, timed integer, seconds real, draw_id integer,
  own_key text, key text
)
""",
)

_IS_NEW_REVIEW = f"""
not exists (
  select 1 from {REVIEWED_IMAGES} l where l.image_id = i.image_id and l.reviewer = i.reviewer
    and l.origin = ?1 and i.own_key is null and (i.timed = 0 or l.draw_id is i.draw_id)
)
"""
"""Whether an image was not gone through in the same file before: one that comes again does not take
back what later ones have said."""

_STATE = """
select withdrawn from missing m where m.image_id = i.image_id and m.reviewer = i.reviewer
  and m.category is i.category and m.segmentation = i.segmentation order by missing_id desc limit 1
"""

_INSERT_MISSING = f"""
insert into missing
  (image_id, segmentation, category, reviewer, time, withdrawn, origin, key, seconds)
select image_id, segmentation, category, reviewer, time, withdrawn, ?1, key, seconds
from incoming_missing i where coalesce(({_STATE}), 1) <> i.withdrawn and not exists (
  select 1 from missing m where m.image_id = i.image_id and m.reviewer = i.reviewer
    and m.category is i.category and m.segmentation = i.segmentation
    and m.withdrawn = i.withdrawn and m.origin = ?1 and i.timed = 0 and i.own_key is null
    and m.missing_id > coalesce((select max(missing_id) from missing b where b.key like 'back|%'
      and b.image_id = m.image_id and b.reviewer = m.reviewer and b.category is m.category
      and b.segmentation = m.segmentation and b.origin = ?1), 0)
)
on conflict (key) do nothing
"""

_FIND_DRAW = (
    "create temp table drawn_whole (image_id integer primary key, draw_id integer)",
    """
insert into drawn_whole select image_id, min(draw_id) from incoming group by image_id
having min(draw_id) = max(draw_id) and count(draw_id) = count(*)
""",
    """
update incoming_looked set draw_id = (
  select w.draw_id from drawn_whole w where w.image_id = incoming_looked.image_id
) where draw_id is null
""",
)
"""An image was gone through for the draw that showed all of its masks."""

_INSERT_REVIEWED = f"""
insert into looked (image_id, reviewer, time, draw_id, origin, key, seconds)
select image_id, reviewer, time, draw_id, ?1, key, seconds
from incoming_looked i where {_IS_NEW_REVIEW}
on conflict (key) do nothing
"""


_KEYS = (
    """
update incoming_missing set key = coalesce(own_key,
  image_id || '|' || time || '|' || withdrawn || '|' || digest || '|' || reviewer)
""",
    """
update incoming_looked set key = coalesce(own_key,
  image_id || '|' || time || '|' || coalesce(draw_id, '') || '|' || reviewer)
""",
)
_WITHDRAWN_KEYS = {
    "incoming_missing": """
own_key is null and key in (select m.key from missing m where exists (select 1 from missing b
  where b.key like 'back|%' and b.missing_id > m.missing_id and b.image_id = m.image_id
    and b.reviewer = m.reviewer and b.category is m.category and b.segmentation = m.segmentation
    and b.origin = m.origin))
or own_key is null and timed = 0 and key in (select m.key from missing m)
""",
    "incoming_looked": """
own_key is null and exists (select 1 from looked b where b.key = 'back|' || incoming_looked.key)
""",
}
"""A file that was taken back counts again when it is imported again: as rows of their own. So does
what is said at the same moment as before, by a clock that was set back."""


@dataclass(frozen=True)
class BatchOrigin:
    """Origin and time that all rows of a batch share.

    Attributes:
        origin: Where they come from.
        now: Time of what has none, in microseconds since 1970.
        shown: What a corrected file shows: masks added earlier there, of the same file as it was,
            are withdrawn where the batch does not add them again; None for none.
    """

    origin: str
    now: int
    shown: ShownWindows | None = None


def write_images(
    connection: sqlite3.Connection,
    missing: pd.DataFrame | None,
    reviewed_images: pd.DataFrame | None,
    stamp: BatchOrigin,
) -> dict[str, int]:
    """Write checked rows within the transaction that has just sent the batch's decisions.

    Returns:
        How many masks were added (``missing``) and ``withdrawn``, and how many images were
        newly reviewed (``reviewed_images``).
    """
    for statement in _INCOMING:
        connection.execute(statement)
    if missing is not None:
        columns = _incoming_columns(missing, stamp.now)
        columns |= {name: plain(missing[name]) for name in ("segmentation", "category")}
        columns["withdrawn"] = missing["withdrawn"].tolist()
        pairs = zip(columns["segmentation"], columns["category"], strict=True)
        columns["digest"] = [_hash_mask(mask, category) for mask, category in pairs]
        insert_columns(connection, "incoming_missing", columns)
    if reviewed_images is not None:
        columns = _incoming_columns(reviewed_images, stamp.now) | {
            "draw_id": plain(reviewed_images["draw_id"])
        }
        insert_columns(connection, "incoming_looked", columns)
        for statement in _FIND_DRAW:
            connection.execute(statement)
    for statement in _KEYS:
        connection.execute(statement)
    for table, where in _WITHDRAWN_KEYS.items():
        renew_keys(connection, table, where)
    counts = {}
    if stamp.shown is not None:
        counts["withdrawn"] = withdraw_replaced(connection, stamp.shown, stamp.now)
    for name, sql in (("missing", _INSERT_MISSING), ("reviewed_images", _INSERT_REVIEWED)):
        before = connection.total_changes
        connection.execute(sql, (stamp.origin,))
        counts[name] = connection.total_changes - before
    return counts


def renew_keys(connection: sqlite3.Connection, table: str, where: str) -> None:
    """Give rows that repeat an undone one a key of their own.

    Args:
        connection: The open file, within a transaction.
        table: Where the incoming rows stand.
        where: Which of them bear the key of a row that was taken back.
    """
    while connection.execute(f"update {table} set key = key || '+' where {where}").rowcount:
        pass


def _incoming_columns(frame: pd.DataFrame, now: int) -> dict[str, list[Any]]:
    return {
        "image_id": frame["image_id"].tolist(),
        "reviewer": plain(frame["reviewer"]),
        "time": frame["time"].where(frame["time"] > 0, now).tolist(),
        "timed": (frame["time"] > 0).astype("int64").tolist(),
        "seconds": plain(frame["seconds"]),
        "own_key": plain(frame["key"]),
    }


def _hash_mask(mask: bytes, category: str | None) -> str:
    return blake2b(mask + b"|" + (category or "").encode(), digest_size=8).hexdigest()
