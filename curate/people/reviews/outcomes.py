"""Outcome of people's votes on a mask: kept, removed, redrawn, relabelled, unsettled.

Labels for learning (:mod:`curate.people.reviews.resolved_labels`) ask whether a mask is good; a
plan asks what to do with it, and a corrected mask is only usable where it is clear which one it is.
So people who agree that a mask is bad, but not on its replacement, have not settled it.
"""

from __future__ import annotations

import sqlite3
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd

from curate.common.arrays import IntArray
from curate.dataset.table import BINARY, plain
from curate.people.reviews.decision_notes import DecisionNote, read_notes
from curate.people.reviews.resolved_labels import NO_HONEYPOT
from curate.people.reviews.row_frames import fetch_frame
from curate.people.reviews.schema import BULK
from curate.scorers.reason_template import LONGEST_TEXT

CHANGES = ("kept", "removed", "redrawn", "relabelled", "unsettled")
"""What can become of a mask that people decided on. "redrawn" may have a new category too."""

COLUMNS = (
    *("mask_id", "action", "iou", "segmentation", "category", "reviewer", "time", "decision_id"),
    *("draw_id", "queue_kind", "origin"),
)

_VOTES = f"""
select {", ".join(COLUMNS)} from (
  select d.*, row_number() over (
    partition by d.mask_id, d.reviewer order by d.time desc, d.decision_id desc) as back
  from looks d where {NO_HONEYPOT} {{only}}
) where back = 1
union all
select {", ".join(COLUMNS)} from (
  select d.*, row_number() over (
    partition by d.mask_id order by d.time desc, d.decision_id desc) as back
  from standing d where d.queue_kind = '{BULK}' {{only}} and not exists (
    select 1 from looks o where o.mask_id = d.mask_id and {NO_HONEYPOT.replace("d.", "o.")})
) where back = 1 order by mask_id, time, decision_id
"""
"""What each person says of each mask by now; masks with a known answer are left out. Of a mask that
nobody has looked at: the last decision in bulk."""

NOT_DRAWN_REASON = "it is to be fixed, but nobody has drawn it"
"""Why a mask is not settled on which nobody disagrees; its reason begins so."""

DISPUTED, NOT_DRAWN = UNSETTLED_KINDS = ("disputed", "to be fixed but not drawn")
"""Why people have not settled on a mask, for counting."""

_SEVERITY = {"accept": 0, "fix": 1, "reject": 2}
_MAX_NAME = 40
_MAX_NAMES = 3


class Vote(NamedTuple):
    """One person's vote on a mask: the action, and the changes of a fix."""

    action: str
    segmentation: bytes | None
    category: str | None


class Outcome(NamedTuple):
    """Outcome of a mask's votes.

    Attributes:
        change: One of :data:`CHANGES`.
        vote: Position of the vote that counts; -1 where it is not settled.
        reason: Why it is not settled; "" where it is.
    """

    change: str
    vote: int
    reason: str = ""


def resolve_outcomes(
    connection: sqlite3.Connection, rule: str, only: IntArray | None = None
) -> pd.DataFrame:
    """Resolve the votes on each mask.

    Args:
        connection: The open file of decisions.
        rule: "latest": the last decision counts. "strictest": reject before fix before accept.
            "majority": what more than half of the people say.
        only: Masks to resolve; None for all.

    Returns:
        Index ``mask_id``: ``change``, ``said`` (in words, by whom), ``segmentation`` and
        ``category`` (new ones, None where they stay), ``iou`` (of the new with the old mask, NaN
        where not known), ``reviewers`` (their names, a list), ``people`` (how many), ``time``
        (of the decision that counts, or the last one), ``decision_id``, ``draw_id`` (NA for none)
        and ``queue_kind``.
    """
    where = ""
    if only is not None:
        connection.execute("create temp table if not exists wanted (mask_id integer primary key)")
        connection.execute("delete from temp.wanted")
        connection.executemany("insert into temp.wanted values (?)", ((i,) for i in only.tolist()))
        where = "and d.mask_id in (select mask_id from temp.wanted)"
    votes = fetch_frame(connection, _VOTES.format(only=where), COLUMNS)
    return _resolve_frame(votes, rule, read_notes(connection))


def _resolve_frame(
    votes: pd.DataFrame, rule: str, notes: Mapping[int, DecisionNote]
) -> pd.DataFrame:
    ids = votes["mask_id"].to_numpy(np.int64)
    starts = np.flatnonzero(np.r_[True, ids[1:] != ids[:-1]]) if len(ids) else np.empty(0, np.int64)
    ends = np.append(starts, len(ids))[1:]
    said = [
        Vote(*row)
        for row in zip(
            votes["action"].tolist(),
            plain(votes["segmentation"]),
            plain(votes["category"]),
            strict=True,
        )
    ]
    who = votes["reviewer"].tolist()
    names = [_name(text) for text in who]
    settled = [resolve_votes(said[a:b], rule) for a, b in zip(starts, ends, strict=True)]
    spoken = np.array(
        [
            a + one.vote if one.vote >= 0 else b - 1
            for a, b, one in zip(starts, ends, settled, strict=True)
        ],
        np.int64,
    )
    iou = votes["iou"].to_numpy(np.float64)
    chosen = votes.iloc[spoken]
    changed = [one.change in ("redrawn", "relabelled") for one in settled]
    bulk = chosen["queue_kind"].eq(BULK).tolist()
    texts = [
        describe_outcome(one, said[a:b], names[a:b], float(iou[k]))
        + (f" in bulk, with all masks where {condition_of(origin)}" if many else "")
        + (f", as suggested: {took}" if (took := suggestion_of(origin)) else "")
        + _describe_note(notes.get(decision_id))
        for a, b, k, one, many, origin, decision_id in zip(
            *(starts, ends, spoken, settled, bulk),
            *(chosen[name].tolist() for name in ("origin", "decision_id")),
            strict=True,
        )
    ]
    new = [
        said[k] if changes else Vote("", None, None)
        for k, changes in zip(spoken.tolist(), changed, strict=True)
    ]
    return pd.DataFrame(
        {
            "change": pd.Series([one.change for one in settled], dtype="str"),
            "said": pd.Series(texts, dtype="str"),
            "segmentation": pd.Series([vote.segmentation for vote in new], dtype=BINARY),
            "category": pd.Series([vote.category for vote in new], dtype="str"),
            "iou": np.where(changed, iou[spoken], np.nan),
            "reviewers": pd.Series(
                [distinct_names(who[a:b]) for a, b in zip(starts, ends, strict=True)], dtype=object
            ),
            "people": ends - starts,
            **{
                name: chosen[name].array
                for name in ("time", "decision_id", "draw_id", "queue_kind")
            },
        }
    ).set_index(pd.Index(ids[starts], name="mask_id"))


def _describe_note(note: DecisionNote | None) -> str:
    """Return a note in brackets, short and without what would end a reason; "" for none."""
    text = "" if note is None else _without_separator(note.text())
    if len(text) > LONGEST_TEXT:
        text = f"{text[: LONGEST_TEXT - 1]}…"
    return f" ({text})" if text else ""


def resolve_votes(votes: Sequence[Vote], rule: str) -> Outcome:
    """Resolve the votes on one mask, one a person, oldest first."""
    if rule == "latest":
        at = len(votes) - 1
    else:
        counts = Counter(vote.action for vote in votes)
        action = max(counts, key=lambda name: (counts[name], _SEVERITY[name]))
        if rule == "strictest":
            action = max(counts, key=_SEVERITY.__getitem__)
        elif 2 * counts[action] <= len(votes):
            return Outcome("unsettled", -1, f"people disagree: {_format_counts(counts)}")
        same = Counter(vote for vote in votes if vote.action == action)
        vote, most = same.most_common(1)[0]
        if len(same) > 1 and (rule == "strictest" or 2 * most <= len(votes)):
            return Outcome("unsettled", -1, f"{len(same)} different corrections")
        at = max(k for k, one in enumerate(votes) if one == vote)
    change = _change_of_vote(votes[at])
    if change == "unsettled":
        return Outcome(change, -1, NOT_DRAWN_REASON)
    return Outcome(change, at)


def unsettled_kind(reason: str) -> str:
    """Return the kind (of :data:`UNSETTLED_KINDS`) of a reason for not being settled."""
    return NOT_DRAWN if reason.startswith(NOT_DRAWN_REASON) else DISPUTED


def describe_unsettled(counts: Mapping[str, int]) -> str:
    """Describe the unsettled masks in a sentence; "" for none.

    Args:
        counts: By :data:`UNSETTLED_KINDS`, how many.
    """
    return ", ".join(f"{counts[why]:,} {why}" for why in UNSETTLED_KINDS if counts.get(why))


def _change_of_vote(vote: Vote) -> str:
    if vote.action != "fix":
        return "kept" if vote.action == "accept" else "removed"
    if vote.segmentation is not None:
        return "redrawn"
    return "unsettled" if vote.category is None else "relabelled"


def describe_outcome(one: Outcome, votes: Sequence[Vote], names: Sequence[str], iou: float) -> str:
    """Describe the outcome of a mask's votes, with reviewers' names.

    Args:
        one: What came of it.
        votes: What each person says.
        names: Each person's name.
        iou: Of the new with the old mask; NaN where not known or the same.
    """
    if one.vote < 0:
        return f"{one.reason} ({join_names(list(names))})"
    vote = votes[one.vote]
    by = [name for name, other in zip(names, votes, strict=True) if other == vote]
    who = join_names(by)
    if len(by) < len(votes):
        who = f"{len(by)} of {len(votes)} people ({who})"
    verb = {"kept": "accepted", "removed": "rejected"}.get(one.change, one.change)
    said = f"{verb} by {who}"
    if one.change == "redrawn" and np.isfinite(iou):
        said += f" (IoU {iou:.2f} with the mask before)"
    if vote.category is not None:
        label = "" if one.change == "relabelled" else ", relabelled"
        said += f"{label}: {_without_separator(vote.category)}"
    return said


def _format_counts(counts: Counter[str]) -> str:
    return ", ".join(f"{counts[name]} {name}" for name in _SEVERITY if counts[name])


PAGE = "review page"
"""Origin of what people decide on the review page."""


def page_origin(suggestion: str) -> str:
    """Return the origin of a decision on the page that took a suggested fix, by its words; that of
    any other where there are none.

    >>> suggestion_of(page_origin("1 hole filled (12 px)"))
    '1 hole filled (12 px)'
    """
    return f"{PAGE}: {suggestion}" if suggestion else PAGE


def suggestion_of(origin: str) -> str:
    """Return the suggested fix that a decision took, from its origin; "" for none."""
    before, _, suggestion = origin.partition(": ")
    return _without_separator(suggestion) if before == PAGE else ""


def bulk_origin(number: int, condition: str) -> str:
    """Return the origin of decisions made in bulk: a number, and what the masks have in common.

    >>> condition_of(bulk_origin(3, "area_px < 20"))
    'area_px < 20'
    """
    return f"{BULK} {number} {condition}"


def condition_of(origin: str) -> str:
    """Return the condition of a bulk decision from its origin; without what would end a reason."""
    return _without_separator(origin.split(" ", 2)[-1])


def distinct_names(names: Iterable[str]) -> list[str]:
    """Return each name once, in order, without people who gave none."""
    return list(dict.fromkeys(name for name in names if name))


def join_names(names: list[str]) -> str:
    """Return some names as text for a sentence; at most three are written out."""
    names = names or [""]
    shown = [name or "a person without a name" for name in dict.fromkeys(names)]
    more = len(shown) - _MAX_NAMES
    if more > 0:
        shown = [*shown[:_MAX_NAMES], f"{more} more"]
    return shown[0] if len(shown) == 1 else f"{', '.join(shown[:-1])} and {shown[-1]}"


def _name(text: str) -> str:
    return _without_separator(text)[:_MAX_NAME]


def _without_separator(text: str) -> str:
    """Return text without what would end a reason: reasons are joined by a semicolon."""
    return " ".join(text.replace(";", ",").split())
