"""Decisions in bulk: one decision on all masks that fit a condition; listing and undoing them.

A decision in bulk is one row a mask, of the kind "bulk", all with one origin. It has no draw, no
time taken, and is no look at the mask (see :mod:`curate.people.reviews.schema`).
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from hashlib import blake2b
from typing import Any

import pandas as pd

from curate.common.arrays import IntArray
from curate.errors import CallError
from curate.people.reviews.outcomes import bulk_origin, condition_of
from curate.people.reviews.review_file import Reviews, has_reviews
from curate.people.reviews.row_frames import fetch_frame
from curate.people.reviews.schema import BULK
from curate.people.reviews.undo_import import undo_origin

_LIST = f"""
select d.origin, min(d.action), d.reviewer, count(*), min(d.time), count(s.decision_id)
from decisions d left join standing s using (decision_id)
where d.queue_kind = '{BULK}' group by d.origin, d.reviewer order by min(d.decision_id)
"""
_COLUMNS = ("origin", "action", "reviewer", "mask_id", "time", "place")

_LOOKED_AT = "select distinct mask_id from looks order by mask_id"
_BULK_ACTIONS = f"""
select mask_id, action from (
  select mask_id, action, row_number() over (
    partition by mask_id order by time desc, decision_id desc) as back
  from standing where queue_kind = '{BULK}'
) where back = 1 order by mask_id
"""


@dataclass(frozen=True)
class BulkDecision:
    """One decision in bulk.

    Attributes:
        number: From 1, in the order in which they were made.
        action: "accept", "reject" or "fix" (of a fix that merges masks, some are rejected).
        condition: What all of its masks had in common, and what was to be fixed.
        reviewer: Who made it.
        time: When, UTC.
        masks: How many masks it was made on.
        stands: Whether it was not undone.
        origin: Its origin in the file of decisions.
    """

    number: int
    action: str
    condition: str
    reviewer: str
    time: datetime
    masks: int
    stands: bool
    origin: str


def list_bulk(reviews: Reviews) -> list[BulkDecision]:
    """Return the decisions in bulk, oldest first, undone ones among them."""
    if not has_reviews(reviews.audit):
        return []
    with reviews.connect() as connection:
        rows = fetch_frame(connection, _LIST, _COLUMNS)
    return [
        BulkDecision(
            number,
            str(row["action"]),
            condition_of(str(row["origin"])),
            str(row["reviewer"]),
            row["time"].to_pydatetime(),
            int(row["mask_id"]),
            bool(row["place"]),
            str(row["origin"]),
        )
        for number, row in enumerate(rows.to_dict("records"), 1)
    ]


def read_decided(reviews: Reviews) -> tuple[IntArray, pd.Series[Any]]:
    """Return the masks that somebody looked at, and the last action in bulk of others.

    Returns:
        Ids, ascending; and actions by ``mask_id``.
    """
    if not has_reviews(reviews.audit):
        return pd.Index([], dtype="int64").to_numpy(), pd.Series(dtype="str")
    with reviews.connect() as connection:
        looked = fetch_frame(connection, _LOOKED_AT, ("mask_id",))
        bulk = fetch_frame(connection, _BULK_ACTIONS, ("mask_id", "action"))
    return looked["mask_id"].to_numpy("int64"), bulk.set_index("mask_id")["action"]


def add_bulk(
    reviews: Reviews,
    decisions: pd.DataFrame,
    condition: str,
    reviewer: str,
    missing: pd.DataFrame | None = None,
) -> BulkDecision:
    """Write decisions on many masks as one, in one transaction, and return it.

    Args:
        reviews: The decisions; their file is made if there is none.
        decisions: At least one row: ``mask_id`` and ``action``; of fixes ``segmentation``.
        condition: What the masks have in common.
        reviewer: Who decides.
        missing: Masks that are added: ``image_id``, ``segmentation`` and ``category``.

    Raises:
        SourceError: A mask is not the audit's, or the name is no name; nothing is written.
        AuditError: The file cannot be used or written; nothing is written.
    """
    number = len(list_bulk(reviews)) + 1
    origin = bulk_origin(number, condition)
    # Keys of their own: what repeats an earlier decision of this person is no repetition here. The
    # same command twice at once is one decision; another command at once has another origin.
    digest = blake2b(f"{origin}|{reviewer}".encode(), digest_size=8).hexdigest()
    keys = [f"{BULK}|{digest}|{mask_id}" for mask_id in decisions["mask_id"].tolist()]
    rows = decisions.assign(reviewer=reviewer, queue_kind=BULK, key=keys)
    added = None if missing is None else missing.assign(reviewer=reviewer)
    reviews.add(rows, origin=origin, missing=added)
    return next(one for one in reversed(list_bulk(reviews)) if one.origin == origin)


def undo_bulk(reviews: Reviews, number: int | None = None) -> BulkDecision:
    """Undo a decision in bulk, on all of its masks at once; its rows stay in the file.

    Args:
        reviews: The decisions.
        number: Which; None for the last one that stands.

    Returns:
        It, as it was before.

    Raises:
        CallError: There is none, or it is undone already.
    """
    found = list_bulk(reviews)
    where = str(reviews.audit.path)
    if number is None:
        standing = [one for one in found if one.stands]
        if not standing:
            raise CallError("there is no decision in bulk to undo", where)
        chosen = standing[-1]
    elif not 1 <= number <= len(found):
        listed = f"there are {len(found)}" if found else "there is none"
        raise CallError(f"there is no decision in bulk of number {number}", where, listed)
    else:
        chosen = found[number - 1]
    if not chosen.stands:
        raise CallError(f"the decision in bulk of number {number} is undone already", where)
    now = reviews.clock.now_us()
    with reviews.transaction() as connection:
        undo_origin(connection, chosen.origin, chosen.reviewer, now)
    return chosen
