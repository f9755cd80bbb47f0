"""People's answers to proposed missing masks: added, refused, taken back.

A proposal is a place where something but the masks sees an object (see
:mod:`curate.people.queues.missing_proposals`). An answer says nothing of any mask of the dataset;
what is added stands among the masks that people added, under the key of its answer.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from curate.errors import SourceError
from curate.people.reviews.append_decisions import CheckedBatch, write_decisions
from curate.people.reviews.review_file import Reviews, has_reviews
from curate.people.reviews.row_frames import fetch_frame
from curate.people.reviews.validation import check_decisions, check_missing

ADD, REFUSE = "add", "refuse"

COLUMNS = ("proposal_id", "image_id", "answer", "reviewer", "time", "key")

_STANDING = f"""
select {", ".join(COLUMNS)} from proposals p where answer <> 'back'
  and not exists (select 1 from proposals b where b.back_of = p.key) order by answer_id
"""
_INSERT = """
insert into proposals (proposal_id, image_id, answer, reviewer, seconds, time, key)
values (?, ?, ?, ?, ?, ?, ?) on conflict (key) do nothing
"""
_USED = "select proposal_id, answer, reviewer from proposals where key = ?"
_FIND = "select proposal_id, image_id from proposals where key = ? and reviewer = ?"
_TAKE_BACK = """
insert into proposals (proposal_id, image_id, answer, back_of, reviewer, time, key)
select proposal_id, image_id, 'back', key, reviewer, ?1, ?2 from proposals where key = ?3
on conflict (key) do nothing
"""
_WITHDRAW_ADDED = """
insert into missing (image_id, segmentation, category, reviewer, time, withdrawn, origin, key)
select image_id, segmentation, category, reviewer, ?1, 1, origin, ?2 from missing m where m.key = ?3
  and withdrawn = 0 and m.missing_id = (select max(missing_id) from missing o
    where o.image_id = m.image_id and o.reviewer = m.reviewer and o.category is m.category
      and o.segmentation = m.segmentation)
on conflict (key) do nothing
"""


class ProposalAnswer(NamedTuple):
    """An answer to a proposal.

    Attributes:
        proposal_id: The proposal.
        image_id: Its image.
        answer: :data:`ADD` or :data:`REFUSE`.
        counts: Of an added mask: its pixels, COCO compressed counts or a segmentation as COCO has
            it.
        category: Of an added mask; None where the audit's masks have none.
        reviewer: Who answers.
        seconds: How long it took; None where that is not known.
        time: In microseconds since 1970.
        key: Unique key, so that sending it twice is harmless.
    """

    proposal_id: int
    image_id: int
    answer: str
    counts: Any
    category: str | None
    reviewer: str
    seconds: float | None
    time: int
    key: str


class TakenBack(NamedTuple):
    """An answer that its person takes back: its key, the person, the time, and a key of its own."""

    of: str
    reviewer: str
    time: int
    key: str


def write_answers(reviews: Reviews, answers: Sequence[ProposalAnswer], origin: str) -> None:
    """Write answers and the masks that they add, all or none; repeated ones are skipped.

    Raises:
        SourceError: A mask cannot be read, or a key was used by another answer.
        AuditError: The file cannot be used or written; nothing is written.
    """
    now = max([reviews.clock.now_us(), *(one.time for one in answers)])
    added = [one for one in answers if one.answer == ADD]
    missing = check_missing(reviews.audit, _added_frame(added), origin, now) if added else None
    nothing = pd.DataFrame({"mask_id": np.zeros(0, np.int64), "action": []})
    decisions = check_decisions(reviews.audit, nothing, origin, now)
    with reviews.transaction(create=True) as connection:
        for one in answers:
            _refuse_used_key(connection, one)
        write_decisions(connection, CheckedBatch(decisions, missing, live=True), origin, now, None)
        connection.executemany(
            _INSERT,
            [(*(one[:3]), one.reviewer, one.seconds, one.time or now, one.key) for one in answers],
        )


def take_back_answers(reviews: Reviews, taken: Sequence[TakenBack]) -> None:
    """Take answers back, and the masks that they added; the proposals are open again.

    Raises:
        SourceError: There is no such answer of that person; nothing is written.
        AuditError: The file cannot be used or written; nothing is written.
    """
    with reviews.transaction() as connection:
        for one in taken:
            if connection.execute(_FIND, (one.of, one.reviewer)).fetchone() is None:
                raise SourceError("there is no such decision of that person", f"answer {one.key}")
            time = one.time or reviews.clock.now_us()
            connection.execute(_TAKE_BACK, (time, one.key, one.of))
            connection.execute(_WITHDRAW_ADDED, (time, one.key, one.of))


def read_answers(reviews: Reviews) -> pd.DataFrame:
    """Return the answers that stand, oldest first: :data:`COLUMNS`."""
    if not has_reviews(reviews.audit):
        return pd.DataFrame({name: [] for name in COLUMNS}).astype({"proposal_id": "int64"})
    with reviews.connect() as connection:
        found = fetch_frame(connection, _STANDING, COLUMNS)
    return found.astype({"proposal_id": "int64"})


def read_taken_back(reviews: Reviews) -> frozenset[str]:
    """Return the keys of the answers that were taken back."""
    if not has_reviews(reviews.audit):
        return frozenset()
    with reviews.connect() as connection:
        found = connection.execute("select back_of from proposals where answer = 'back'").fetchall()
    return frozenset(str(key) for (key,) in found)


def _added_frame(answers: Sequence[ProposalAnswer]) -> pd.DataFrame:
    times = pd.to_datetime([one.time for one in answers], unit="us", utc=True)
    return pd.DataFrame(
        {
            "image_id": [one.image_id for one in answers],
            "segmentation": pd.Series([one.counts for one in answers], dtype=object),
            "category": pd.Series([one.category for one in answers], dtype=object),
            "reviewer": [one.reviewer for one in answers],
            "time": pd.Series(times),
            "withdrawn": [0] * len(answers),
            "key": [one.key for one in answers],
        }
    )


def _refuse_used_key(connection: sqlite3.Connection, one: ProposalAnswer) -> None:
    found = connection.execute(_USED, (one.key,)).fetchone()
    if found is not None and found != (one.proposal_id, one.answer, one.reviewer):
        raise SourceError("its key was used by another answer", f"answer {one.key}")
