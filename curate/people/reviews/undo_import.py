"""Undo of an import: all rows of one file are withdrawn; they stay in the file.

Masks that the file had withdrawn stand again, and the same file can be imported again later.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any

from curate.common.readable_result import ReadableResult
from curate.dataset.notes import count_noun
from curate.people.reviews.import_origin import ImportOrigin
from curate.people.reviews.review_file import Reviews
from curate.people.reviews.schema import IS_LAST_EVENT, REVIEWED_IMAGES

_ORIGINS = "select origin from decisions union select origin from missing union select origin from "
_WHO = f"""
select reviewer from standing where origin = ?1
union select reviewer from missing m where origin = ?1 and key not like 'back|%' and {IS_LAST_EVENT}
union select reviewer from {REVIEWED_IMAGES} where origin = ?1
"""
_WITHDRAW_DECISIONS = """
insert into withdrawn (decision_id, time, key)
select decision_id, ?1, 'back|' || key from standing where origin = ?2 and reviewer = ?3
"""
_UNDO_REVIEWED = f"""
insert into looked (image_id, reviewer, time, draw_id, origin, key)
select image_id, reviewer, ?1, draw_id, origin, 'back|' || key from {REVIEWED_IMAGES}
where origin = ?2 and reviewer = ?3
"""
_REVIEWED_IDS = f"select distinct image_id from {REVIEWED_IMAGES}"
_SAME = "image_id = ? and reviewer = ? and category is ? and segmentation = ?"
_CHANGED_MASKS = """
select distinct image_id, reviewer, category, segmentation from missing
where origin = ?1 and reviewer = ?2
"""
_EVENTS = f"select withdrawn, origin, key, time from missing where {_SAME} order by missing_id desc"
_ADD = """
insert into missing (image_id, reviewer, category, segmentation, time, withdrawn, origin, key)
values (?, ?, ?, ?, ?, ?, ?, ?)
"""


@dataclass(frozen=True, repr=False)
class UndoneImport(ReadableResult):
    """Counts of rows that an undo has withdrawn.

    Attributes:
        reviewers: Whose decisions they were; "" for no name.
        decisions: How many decisions.
        missing: How many added masks.
        restored: How many added masks stand again, which the file had withdrawn.
        reviewed_images: How many images were fully reviewed, and not by anything else that
            stands.
    """

    reviewers: tuple[str, ...] = ()
    decisions: int = 0
    missing: int = 0
    restored: int = 0
    reviewed_images: int = 0

    def as_dict(self) -> dict[str, object]:
        """Return plain values."""
        return {
            "reviewers": list(self.reviewers),
            "decisions_taken_back": self.decisions,
            "missing_taken_back": self.missing,
            "missing_restored": self.restored,
            "images_no_longer_looked": self.reviewed_images,
        }

    def text(self) -> str:
        """Return the counts in a line or two."""
        names = ", ".join(name or "(no name)" for name in self.reviewers)
        lines = [f"taken back: {count_noun(self.decisions, 'decision')} of {names}"]
        if self.missing:
            lines.append(f"added masks that count no more: {self.missing:,}")
        if self.restored:
            lines.append(
                f"added masks that the file had withdrawn, and count again: {self.restored:,}"
            )
        if self.reviewed_images:
            lines.append(f"images no longer fully reviewed: {self.reviewed_images:,}")
        return "\n".join(lines)


def list_importers(reviews: Reviews, content: str) -> tuple[str, ...]:
    """Return the reviewers with valid decisions from a file, sorted; "" for no name.

    Args:
        reviews: The decisions; the file must be there.
        content: The first 16 digits of the file's fingerprint.
    """
    with reviews.connect() as connection:
        return _reviewers(connection, _origins(connection, content))


def undo_import(reviews: Reviews, content: str, reviewer: str | None = None) -> UndoneImport:
    """Undo the import of a file, all or none.

    Args:
        reviews: The decisions; the file must be there.
        content: The first 16 digits of the file's fingerprint.
        reviewer: Only what counts as this person's; "" for no name; None: everybody's.

    Returns:
        What counted until now; nothing where the file is not imported, or taken back already.
    """
    now = reviews.clock.now_us()
    with reviews.transaction() as connection:
        origins = _origins(connection, content)
        people = _reviewers(connection, origins)
        chosen = [name for name in people if reviewer in (None, name)]
        totals = [0, 0, 0]
        before = _reviewed_images(connection)
        for origin in origins:
            for name in chosen:
                found = undo_origin(connection, origin, name, now)
                totals = [a + b for a, b in zip(totals, found, strict=True)]
        reviewed_images = len(before - _reviewed_images(connection))
    decisions, missing, restored = totals
    return UndoneImport(tuple(chosen), decisions, missing, restored, reviewed_images)


def undo_origin(
    connection: sqlite3.Connection, origin: str, reviewer: str, now: int
) -> tuple[int, int, int]:
    """Undo all that one person said by one origin, within an open transaction.

    Returns:
        How many decisions count no more, how many added masks, and how many masks that the origin
        had withdrawn stand again.
    """
    at = (now, origin, reviewer)
    decisions = connection.execute(_WITHDRAW_DECISIONS, at).rowcount
    added = _restore_masks(connection, origin, reviewer, now)
    connection.execute(_UNDO_REVIEWED, at)
    return decisions, *added


def _reviewed_images(connection: sqlite3.Connection) -> set[int]:
    """Return the images that count as fully reviewed."""
    return {int(image) for (image,) in connection.execute(_REVIEWED_IDS)}


def _origins(connection: sqlite3.Connection, content: str) -> list[str]:
    """Return the origins of a file, under whatever name and as whatever it was imported."""
    texts = [str(row[0]) for row in connection.execute(_ORIGINS + "looked order by 1")]
    parsed = [(text, ImportOrigin.parse(text)) for text in texts]
    return [text for text, one in parsed if one is not None and one.content == content]


def _reviewers(connection: sqlite3.Connection, origins: Sequence[str]) -> tuple[str, ...]:
    names = {str(row[0]) for one in origins for row in connection.execute(_WHO, (one,))}
    return tuple(sorted(names))


def _restore_masks(
    connection: sqlite3.Connection, origin: str, reviewer: str, now: int
) -> tuple[int, int]:
    """Restore masks that a file added or withdrew to their state without it."""
    counts = [0, 0]
    for mask in connection.execute(_CHANGED_MASKS, (origin, reviewer)).fetchall():
        events: list[tuple[int, str, str, int]] = connection.execute(_EVENTS, mask).fetchall()
        own, before, since = _state_without(events, origin)
        if not own:
            continue
        if before != events[0][0]:
            counts[0 if before else 1] += 1
        key = f"back|{now}|{len(events)}|{hash_mask(mask)}"
        connection.execute(_ADD, (*mask, now if before else since, before, origin, key))
    return counts[0], counts[1]


def _state_without(
    events: Sequence[tuple[int, str, str, int]], origin: str
) -> tuple[bool, int, int]:
    """Return whether a file's event counts for a mask, and the state without it: withdrawn, since
    when.

    Args:
        events: Whether withdrawn, origin, key and time of all events of the mask, the last first.
        origin: The file.
    """
    gone: set[str] = set()
    own, before, since = False, None, 0
    for withdrawn, source, key, time_of in events:
        if key.startswith("back|"):
            gone.add(source)
        elif source not in gone:
            own |= source == origin
            if before is None and source != origin:
                before, since = withdrawn, time_of
    return own, 1 if before is None else before, since


def hash_mask(mask: tuple[Any, ...]) -> str:
    """Return a short name for an added mask."""
    return blake2b(repr(mask).encode(), digest_size=8).hexdigest()
