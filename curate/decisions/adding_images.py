"""Writing masks that people added, and images that they went through as a whole.

Whether an added mask stands is what the last event of its person says: added, or withdrawn.
"""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any

import pandas as pd

from curate.curation.columns import plain
from curate.decisions.frames import send

_INCOMING = (
    """
create temp table incoming_missing (
  image_id integer, segmentation blob, digest text, category text, reviewer text, time integer,
  timed integer, withdrawn integer, own_key text
)
""",
    """
create temp table incoming_looked (
  image_id integer, reviewer text, time integer, timed integer, draw_id integer, own_key text
)
""",
)

_NEW_LOOK = """
not exists (
  select 1 from looked o where o.image_id = {0}.image_id and o.reviewer = {0}.reviewer
    and o.origin = {1} and {0}.own_key is null and ({0}.timed = 0 or o.draw_id is {0}.draw_id)
)
"""
"""Whether an image was not gone through in the same file before: one that comes again does not take
back what later ones have said."""

_STATE = """
select withdrawn from missing m where m.image_id = i.image_id and m.reviewer = i.reviewer
  and m.category is i.category and m.segmentation = i.segmentation order by missing_id desc limit 1
"""

_INSERT_MISSING = f"""
insert into missing (image_id, segmentation, category, reviewer, time, withdrawn, origin, key)
select image_id, segmentation, category, reviewer, time, withdrawn, ?1, coalesce(own_key,
  image_id || '|' || time || '|' || withdrawn || '|' || digest || '|' || reviewer)
from incoming_missing i where coalesce(({_STATE}), 1) <> i.withdrawn and not exists (
  select 1 from missing m where m.image_id = i.image_id and m.reviewer = i.reviewer
    and m.category is i.category and m.segmentation = i.segmentation
    and m.withdrawn = i.withdrawn and m.origin = ?1 and i.timed = 0 and i.own_key is null
)
on conflict (key) do nothing
"""

_WITHDRAW = f"""
insert into missing (image_id, segmentation, category, reviewer, time, withdrawn, origin, key)
select i.image_id, i.segmentation, i.category, i.reviewer, ?1, 1, ?2,
  'gone|' || ?1 || '|' || i.missing_id
from missing i join incoming_looked l on l.image_id = i.image_id and l.reviewer = i.reviewer
where {_NEW_LOOK.format("l", "?2")}
  and i.withdrawn = 0 and i.reviewer <> ''
  and substr(i.origin, 1, length(?3)) = ?3 and ({_STATE}) = 0
  and i.missing_id = (
    select max(missing_id) from missing m where m.image_id = i.image_id
      and m.reviewer = i.reviewer and m.category is i.category and m.segmentation = i.segmentation)
  and not exists (
    select 1 from incoming_missing n where n.image_id = i.image_id and n.reviewer = i.reviewer
      and n.category is i.category and n.segmentation = i.segmentation)
on conflict (key) do nothing
"""

_LOOKED_DRAW = (
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

_INSERT_LOOKED = f"""
insert into looked (image_id, reviewer, time, draw_id, origin, key)
select image_id, reviewer, time, draw_id, ?1, coalesce(own_key, image_id || '|' || time || '|'
  || coalesce(draw_id, '') || '|' || reviewer)
from incoming_looked i where {_NEW_LOOK.format("i", "?1")}
on conflict (key) do nothing
"""


@dataclass(frozen=True)
class Stamp:
    """What all rows of a batch share.

    Attributes:
        origin: Where they come from.
        now: Time of what has none, in microseconds since 1970.
        replaces: Masks added earlier on the images looked at, by the same person and with an origin
            that begins so, are withdrawn where the batch does not add them again; None for none.
            Without a name it may be another person, so nothing is withdrawn.
    """

    origin: str
    now: int
    replaces: str | None = None


def write_images(
    connection: sqlite3.Connection,
    missing: pd.DataFrame | None,
    looked: pd.DataFrame | None,
    stamp: Stamp,
) -> dict[str, int]:
    """Write checked rows within the transaction that has just sent the batch's decisions.

    Returns:
        How many masks were added (``missing``) and ``withdrawn``, and how many images were
        ``looked`` at anew.
    """
    for statement in _INCOMING:
        connection.execute(statement)
    if missing is not None:
        columns = _columns(missing, stamp.now)
        columns |= {name: plain(missing[name]) for name in ("segmentation", "category")}
        columns["withdrawn"] = missing["withdrawn"].tolist()
        pairs = zip(columns["segmentation"], columns["category"], strict=True)
        columns["digest"] = [_digest(mask, category) for mask, category in pairs]
        send(connection, "incoming_missing", columns)
    if looked is not None:
        columns = _columns(looked, stamp.now) | {"draw_id": plain(looked["draw_id"])}
        send(connection, "incoming_looked", columns)
        for statement in _LOOKED_DRAW:
            connection.execute(statement)
    steps: list[tuple[str, str, tuple[Any, ...]]] = [
        ("missing", _INSERT_MISSING, (stamp.origin,)),
        ("looked", _INSERT_LOOKED, (stamp.origin,)),
    ]
    if stamp.replaces is not None:
        withdraw = (stamp.now, stamp.origin, stamp.replaces)
        steps.insert(0, ("withdrawn", _WITHDRAW, withdraw))
    counts = {}
    for name, sql, parameters in steps:
        before = connection.total_changes
        connection.execute(sql, parameters)
        counts[name] = connection.total_changes - before
    return counts


def _columns(frame: pd.DataFrame, now: int) -> dict[str, Any]:
    return {
        "image_id": frame["image_id"].tolist(),
        "reviewer": plain(frame["reviewer"]),
        "time": frame["time"].where(frame["time"] > 0, now).tolist(),
        "timed": (frame["time"] > 0).astype("int64").tolist(),
        "own_key": plain(frame["key"]),
    }


def _digest(mask: bytes, category: str | None) -> str:
    return blake2b(mask + b"|" + (category or "").encode(), digest_size=8).hexdigest()
