"""Beginning and end of a review on the terminal: who can reach the page, and what was decided."""

from __future__ import annotations

import ipaddress

from curate.dataset.notes import count_noun
from curate.people.queues.missing_proposals import KIND as MISSING
from curate.people.reviews import Reviews, has_reviews
from curate.people.webapp.served_queue import QueueSession

_LAST = """
select (select coalesce(max(decision_id), 0) from decisions),
  (select coalesce(max(answer_id), 0) from proposals)
"""
_ANSWERED = """
select answer, count(*), count(distinct reviewer) from proposals p
where answer_id > ? and answer <> 'back'
  and not exists (select 1 from proposals b where b.back_of = p.key) group by answer
"""
_ANSWER = {"add": "added", "refuse": "refused"}
_SINCE = """
select reviewer, action, count(distinct mask_id) from standing
where decision_id > ? group by reviewer, action order by reviewer, action
"""
_MASKS = "select count(distinct mask_id) from standing where decision_id > ?"
_DID = {"accept": "accepted", "reject": "rejected", "fix": "to fix or fixed"}


def describe_access(host: str, *, token: bool) -> str:
    """Say who can reach a page that is served on an address.

    Args:
        host: The address or name that is listened on.
        token: Whether the page asks for a token.
    """
    if _is_own(host):
        who = "only this machine can reach it"
        return f"{who}, and its users need the token" if token else f"{who}; all of its users can"
    who = "everybody who can reach this machine" if _is_any(host) else f"who can reach {host}"
    return f"{who} can open it, with the token only"


def _is_own(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _is_any(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_unspecified
    except ValueError:
        return False


def last_decision(review: QueueSession) -> int:
    """Return the number of the last decision on an audit, or answer; 0 where there is none."""
    if not has_reviews(review.audit):
        return 0
    with Reviews(review.audit).connect() as connection:
        decision, answer = connection.execute(_LAST).fetchone()
    return int(answer if review.kind == MISSING else decision)


def describe_decisions(review: QueueSession, since: int) -> str:
    """Say what people decided while a page was served, and how much of its queue is left.

    Args:
        review: The session.
        since: What :func:`last_decision` gave at its beginning.
    """
    if last_decision(review) <= since:
        return f"nothing was decided; {_describe_left(review)}"
    if review.kind == MISSING:
        return _describe_answers(review, since)
    with Reviews(review.audit).connect() as connection:
        rows = connection.execute(_SINCE, (since,)).fetchall()
        masks = int(connection.execute(_MASKS, (since,)).fetchone()[0])
    did: dict[str, int] = {}
    for _, action, count in rows:
        did[_DID.get(action, action)] = did.get(_DID.get(action, action), 0) + count
    # How many people, not who: what a server prints is kept in logs.
    people = len({name for name, _, _ in rows})
    who = f"{people:,} {'person' if people == 1 else 'people'}"
    counts = ", ".join(f"{count:,} {what}" for what, count in did.items())
    return f"decided on {count_noun(masks, 'mask')}: {counts}; by {who}; {_describe_left(review)}"


def _describe_answers(review: QueueSession, since: int) -> str:
    with Reviews(review.audit).connect() as connection:
        rows = connection.execute(_ANSWERED, (since,)).fetchall()
    counts = ", ".join(f"{count:,} {_ANSWER[answer]}" for answer, count, _ in rows)
    return f"proposed missing masks: {counts or 'all taken back'}; {_describe_left(review)}"


def _describe_left(review: QueueSession) -> str:
    queue = review.queue
    left = len(queue) - int(review.assigner.decided.done.sum())
    if review.kind == MISSING:
        return f"{left:,} of {len(queue):,} left"
    where = review.words().partition(" (")[0]
    return f"{left:,} of {count_noun(len(queue), 'mask')} of {where} left"
