"""Notes on decisions: why a person rejected or fixed a mask, as tags and a comment.

A note can come after its decision, and be replaced: the last one of a decision counts. It changes
nothing of what becomes of the mask.
"""

from __future__ import annotations

import sqlite3
from collections import Counter
from collections.abc import Mapping, Sequence
from hashlib import blake2b
from typing import NamedTuple

import orjson
import pandas as pd

from curate.errors import CallError, SourceError

DEFAULT_TAGS = (
    *("wrong outline", "part of the object", "several objects", "no object there"),
    *("wrong category", "duplicate", "hard to tell"),
)
"""Tags that the review page offers where the project has no list of its own."""

MAX_TAGS = 20
MAX_TAG = 60
MAX_COMMENT = 2000
"""Most tags, and most characters of one and of a comment."""

_INSERT = """
insert into notes (decision_id, tags, comment, time, key)
select d.decision_id, ?1, ?2, ?3, ?4 from decisions d where d.key = ?5 and d.reviewer = ?6
on conflict (key) do nothing
"""
_STANDING = """
select decision_id from standing where mask_id = ? and reviewer = ? and action = ?
order by time desc, decision_id desc limit 1
"""
_INSERT_ABOUT = """
insert into notes (decision_id, tags, comment, time, key) values (?, ?, ?, ?, ?)
on conflict (key) do nothing
"""
_KNOWN = "select exists (select 1 from decisions where key = ? and reviewer = ?)"
_LAST = """
select decision_id, tags, comment from notes n
where note_id = (select max(note_id) from notes o where o.decision_id = n.decision_id)
"""


def check_tags(tags: Sequence[str]) -> None:
    """Check a project's list of tags.

    Raises:
        CallError: One is no short text on one line, or there are too many.
    """
    for tag in tags:
        if not isinstance(tag, str) or not 0 < len(tag.strip()) <= MAX_TAG or not tag.isprintable():
            raise CallError(f"a tag is {tag!r:.80}", "--tags", f"give texts of up to {MAX_TAG}")
    if len(tags) > MAX_TAGS:
        raise CallError(f"there are {len(tags)} tags", "--tags", f"give at most {MAX_TAGS}")


class DecisionNote(NamedTuple):
    """A note on a decision.

    Attributes:
        tags: Short words of the project's list, or others.
        comment: Free text, "" for none.
    """

    tags: tuple[str, ...] = ()
    comment: str = ""

    def text(self) -> str:
        """Return the note on one line: the tags, then the comment."""
        return ": ".join(part for part in (", ".join(self.tags), self.comment) if part)


class NewNote(NamedTuple):
    """A note as it comes in.

    Attributes:
        decision_key: Key of the decision that it is about.
        reviewer: Who made that decision, and the note.
        note: What it says.
        key: Unique key, so that sending it twice is harmless.
    """

    decision_key: str
    reviewer: str
    note: DecisionNote
    key: str


def write_notes(connection: sqlite3.Connection, notes: Sequence[NewNote], now: int) -> int:
    """Write notes within an open transaction and return how many were new.

    Raises:
        SourceError: There is no such decision of that person.
    """
    before = connection.total_changes
    for one in notes:
        about = (one.decision_key, one.reviewer)
        if not connection.execute(_KNOWN, about).fetchone()[0]:
            raise SourceError("there is no such decision of that person", f"note {one.key}")
        tags = orjson.dumps(list(one.note.tags)).decode()
        connection.execute(_INSERT, (tags, one.note.comment, now, one.key, *about))
    return connection.total_changes - before


def write_imported_notes(connection: sqlite3.Connection, rows: pd.DataFrame, now: int) -> None:
    """Write the notes of a batch of decisions within the transaction that has written them.

    A note is about the last decision of its person on the mask that says the same and stands. One
    that this decision has already, from whatever import, is not written again.

    Args:
        connection: The open file.
        rows: ``mask_id``, ``reviewer``, ``action`` and ``note`` (None for none).
        now: The time, in microseconds since 1970.
    """
    noted = rows[rows["note"].notna()]
    columns = (noted[name].tolist() for name in ("mask_id", "reviewer", "action", "note"))
    for mask_id, reviewer, action, note in zip(*columns, strict=True):
        found = connection.execute(_STANDING, (mask_id, reviewer, action)).fetchone()
        if found is None or not (note.tags or note.comment):
            continue
        tags = orjson.dumps(list(note.tags)).decode()
        digest = blake2b(f"{tags}|{note.comment}".encode(), digest_size=8).hexdigest()
        key = f"note|{found[0]}|{digest}"
        connection.execute(_INSERT_ABOUT, (found[0], tags, note.comment, now, key))


def count_tags(connection: sqlite3.Connection) -> Counter[str]:
    """Return on how many masks each tag stands, by the last note of each standing decision."""
    of_mask = dict(connection.execute("select decision_id, mask_id from standing"))
    found = {
        (of_mask[decision_id], tag)
        for decision_id, note in read_notes(connection).items()
        if decision_id in of_mask
        for tag in note.tags
    }
    return Counter(tag for _, tag in found)


def parse_tags(text: str) -> tuple[str, ...]:
    """Return the tags of a text that lists them, separated by semicolons.

    Raises:
        ValueError: One is too long or breaks the line, or there are too many.
    """
    tags = tuple(dict.fromkeys(tag for part in text.split(";") if (tag := part.strip())))
    if len(tags) > MAX_TAGS:
        raise ValueError(f"more than {MAX_TAGS} tags")
    if any(len(tag) > MAX_TAG or not tag.isprintable() for tag in tags):
        raise ValueError(f"no list of texts of up to {MAX_TAG}, separated by semicolons")
    return tags


def read_notes(connection: sqlite3.Connection) -> Mapping[int, DecisionNote]:
    """Return the last note of each decision that has one, by ``decision_id``."""
    found = {}
    for decision_id, tags, comment in connection.execute(_LAST):
        try:
            words = orjson.loads(tags)
        except orjson.JSONDecodeError:
            words = []
        named = tuple(str(word) for word in words) if isinstance(words, list) else ()
        found[int(decision_id)] = DecisionNote(named, str(comment))
    return found
