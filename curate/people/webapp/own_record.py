"""A person's own record: the last decision, known answers, and what comes next."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from curate.common.clock import Clock
from curate.errors import CurateError
from curate.people.reviews import Reviews
from curate.people.reviews.current_plan import open_unwritten
from curate.people.reviews.outcomes import suggestion_of
from curate.people.webapp.answers import NextCommand, SessionEnd
from curate.people.webapp.decision_writer import ORIGIN
from curate.reporting.status import next_steps

SESSION_US = 12 * 3600 * 1_000_000
"""How far back a person's decisions are taken back from the page: a working day."""

LEAST_KNOWN = 5
"""Known answers from which on it is told how many were right: no single one is betrayed."""

_LAST = """
select key, mask_id, action, draw_id, origin from looks
where reviewer = :reviewer and (origin = :origin or origin like :origin || ': %') and time >= :since
order by decision_id desc limit 500
"""

_KNOWN = """
select count(*), coalesce(sum((action = 'accept') = (honeypot = 'accept')), 0) from (
  select d.action, h.honeypot, max(d.decision_id) from looks d join drawn h
  on h.draw_id = d.draw_id and h.mask_id = d.mask_id and h.honeypot is not null
  where d.reviewer = :reviewer and d.draw_id is :draw group by d.mask_id)
"""


@dataclass(frozen=True)
class LastDecision:
    """A person's last decision that stands.

    Attributes:
        key: Its key.
        mask_id: Its mask.
        action: What was decided.
        suggestion: The suggested fix that it took, in words; "" for none.
    """

    key: str
    mask_id: int
    action: str
    suggestion: str = ""


def find_last_decision(
    reviews: Reviews,
    reviewer: str,
    draw_of: Callable[[int], int | None],
    clock: Clock,
) -> LastDecision | None:
    """Return the last decision that a person made on the page for a queue, and that stands.

    Args:
        reviews: The decisions.
        reviewer: The person.
        draw_of: Gives the draw that a decision on a mask is made for; -1 for masks that the queue
            does not have.
        clock: Only decisions of the last :data:`SESSION_US` count.
    """
    since = clock.now_us() - SESSION_US
    asked = {"reviewer": reviewer, "origin": ORIGIN, "since": since}
    with reviews.connect() as connection:
        rows = connection.execute(_LAST, asked).fetchall()
    for key, mask_id, action, draw_id, origin in rows:
        if draw_of(mask_id) == draw_id:
            return LastDecision(key, int(mask_id), action, suggestion_of(origin))
    return None


def describe_end(reviews: Reviews, reviewer: str, draw_id: int | None) -> SessionEnd:
    """Return the next commands on the audit, and how a person did on known answers.

    Args:
        reviews: The decisions.
        reviewer: The person.
        draw_id: The draw that is reviewed; None for the ranking, which has no known answers.

    Returns:
        Commands name the audit without its folder, which is nobody's business on the page. The
        counts of known answers are 0 where there are fewer than :data:`LEAST_KNOWN`.
    """
    with reviews.connect() as connection:
        asked = {"reviewer": reviewer, "draw": draw_id}
        known, right = connection.execute(_KNOWN, asked).fetchone()
    if known < LEAST_KNOWN:
        known = right = 0
    path = reviews.audit.path
    try:
        steps = next_steps(open_unwritten(path))
    except CurateError:  # what is wrong with the audit, its commands say
        steps = ()
    commands: list[NextCommand] = [
        {"purpose": step.purpose, "command": step.command.replace(f"{path.parent}/", "")}
        for step in steps
    ]
    return {"steps": commands, "known": int(known), "right": int(right)}
