"""One label a mask, from repeated decisions of several people."""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from curate.common.arrays import BoolArray, FloatArray, IntArray
from curate.common.ranges import RULES, check_numbers
from curate.people.reviews.row_frames import fetch_frame
from curate.policy.grammar import check_choice

_ACCEPT, _FIX, _REJECT = range(3)
ACTION_NAMES = ("accept", "fix", "reject")
"""Actions, from light to grave; their codes are their places."""

ACTION_CODE = "case {0} when 'accept' then 0 when 'fix' then 1 else 2 end"

NO_HONEYPOT = """
(d.draw_id is null or not exists (select 1 from drawn h where h.mask_id = d.mask_id
  and h.draw_id = d.draw_id and h.honeypot is not null))
"""

CURRENT = f"""
select * from (
  select d.mask_id, d.reviewer, d.action, d.iou, d.seconds, d.time, d.decision_id,
    row_number() over (
      partition by d.mask_id, d.reviewer order by d.time desc, d.decision_id desc) as back
  from looks d where {NO_HONEYPOT} {{only}}
) where back = 1
"""
"""What each person says of each mask by now; masks with a known answer are left out, and decisions
in bulk, which are no look at a mask."""

_VOTES = f"""
select mask_id, {ACTION_CODE.format("action")}, iou, time, decision_id from ({CURRENT})
order by mask_id
"""

_DRAW_FILTER = "and d.mask_id in (select mask_id from looks where draw_id = ?)"

_SHOWN = f"""
select s.mask_id, s.queue_kind, s.inclusion_probability, s.draw_id, (
  select w.stratum from drawn w where w.draw_id = s.draw_id and w.mask_id = s.mask_id limit 1)
from (
  select d.mask_id, d.queue_kind, d.inclusion_probability, d.draw_id, row_number() over (
    partition by d.mask_id
    order by d.queue_kind = 'estimate' desc, d.time desc, d.decision_id desc) as back
  from looks d where {NO_HONEYPOT} {{of_draw}}
) s where s.back = 1 order by s.mask_id
"""
"""Why a mask was shown. A random draw counts before all others: a mask that chance has drawn stays
drawn, whoever looks at it again for another reason."""


@dataclass(frozen=True)
class _Votes:
    """One vote a person and mask, masks together and in order; arrays of equal length.

    ``order`` is their time, and the entry of those of the same time.
    """

    action: IntArray
    bad: BoolArray
    iou: FloatArray
    order: tuple[IntArray, IntArray]
    group: IntArray
    starts: IntArray


def resolve_labels(
    connection: sqlite3.Connection, rule: str, good_iou: float | None, draw_id: int | None
) -> pd.DataFrame:
    """Return one label a mask; see
    :meth:`curate.people.reviews.review_file.Reviews.resolve_labels`.
    """
    check_choice(rule, "rule", RULES)
    check_numbers(good_iou=good_iou)
    parameters = () if draw_id is None else (int(draw_id),)
    only, of_draw = ("", "") if draw_id is None else (_DRAW_FILTER, "and d.draw_id = ?")
    columns = ("mask_id", "place", "iou", "order", "decision_id")
    votes = fetch_frame(connection, _VOTES.format(only=only), columns, parameters)
    columns = ("mask_id", "queue_kind", "inclusion_probability", "draw_id", "stratum")
    shown = fetch_frame(connection, _SHOWN.format(of_draw=of_draw), columns, parameters)
    labels = _resolve_votes(votes, rule, good_iou)
    return labels.join(shown.set_index("mask_id"), how="inner")


def _resolve_votes(frame: pd.DataFrame, rule: str, good_iou: float | None) -> pd.DataFrame:
    """Resolve people's decisions to one label per mask.

    Args:
        frame: A row a vote, those of a mask together: ``mask_id``, ``place`` (of the action),
            ``iou`` (of the redrawn with the old mask, NaN where there is none), ``order`` and
            ``decision_id``.
        rule: Which vote counts where people disagree.
        good_iou: From this IoU on a fix leaves the mask good; None for no fix.

    Returns:
        ``good``, ``action``, ``iou``, ``reviewers`` (how many people), ``disagree`` and
        ``settled``; index ``mask_id``.
    """
    action = frame["place"].to_numpy(np.int64)
    iou = frame["iou"].to_numpy(np.float64)
    light = np.zeros(len(frame), np.bool_) if good_iou is None else iou >= good_iou
    bad = (action == _REJECT) | ((action == _FIX) & ~light)
    ids = frame["mask_id"].to_numpy(np.int64)
    starts = np.flatnonzero(np.r_[True, ids[1:] != ids[:-1]]) if len(ids) else np.empty(0, np.int64)
    people = np.diff(np.append(starts, len(ids)))
    group = np.repeat(np.arange(len(starts)), people)
    order = (frame["order"].to_numpy(np.int64), frame["decision_id"].to_numpy(np.int64))
    votes = _Votes(action, bad, iou, order, group, starts)
    worse = np.bincount(group, weights=bad, minlength=len(starts)).astype(np.int64)
    chosen = _RULES[rule](votes, worse, people)
    spoken = action[chosen]
    known = np.where((spoken == _ACCEPT) & np.isnan(iou[chosen]), 1.0, iou[chosen])
    return pd.DataFrame(
        {
            "good": ~bad[chosen],
            "action": pd.Series(np.array(ACTION_NAMES, object)[spoken], dtype="str"),
            "iou": np.where(spoken == _REJECT, np.nan, known),
            "reviewers": people,
            "disagree": (worse > 0) & (worse < people),
            "settled": (2 * worse != people) | (rule != "majority"),
        }
    ).set_index(pd.Index(ids[starts], name="mask_id"))


def _top_votes(votes: _Votes, *keys: Any) -> IntArray:
    """Return in each mask the vote with the highest keys, the first key counting most."""
    ranked = np.lexsort((*(np.asarray(key) for key in reversed(keys)), votes.group))
    ends = np.append(votes.starts, len(votes.group))[1:] - 1
    return np.asarray(ranked[ends], np.int64)


def _latest(votes: _Votes, worse: IntArray, people: IntArray) -> IntArray:
    del worse, people
    return _top_votes(votes, *votes.order)


def _strictest(votes: _Votes, worse: IntArray, people: IntArray) -> IntArray:
    del worse, people
    return _top_votes(votes, votes.bad, votes.action, *votes.order)


def _majority(votes: _Votes, worse: IntArray, people: IntArray) -> IntArray:
    """Pick the more frequent of good and bad (bad on a tie), then its most frequent action."""
    wins = votes.bad == (2 * worse >= people)[votes.group]
    same = (votes.group * 2 + votes.bad) * len(ACTION_NAMES) + votes.action
    support = np.bincount(same)[same] if len(same) else same
    return _top_votes(votes, wins, support, votes.action, *votes.order)


_RULES = {"majority": _majority, "latest": _latest, "strictest": _strictest}
"""By rule: the vote that speaks for each mask."""
