"""Beginning and end of a review on the terminal: who can reach the page, and what was decided."""

from __future__ import annotations

import ipaddress
from typing import NamedTuple

from curate.dataset.notes import count_noun
from curate.people.queues.missing_proposals import KIND as MISSING
from curate.people.reviews import Reviews, has_reviews
from curate.people.reviews.schema import REVIEWED_IMAGES
from curate.people.webapp.served_queue import QueueSession

_LAST = """
select (select coalesce(max(decision_id), 0) from decisions),
  (select coalesce(max(answer_id), 0) from proposals),
  (select coalesce(max(missing_id), 0) from missing),
  (select coalesce(max(looked_id), 0) from looked)
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
_SEARCHED = f"select reviewer, image_id from {REVIEWED_IMAGES} where looked_id > ?"
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


class LastEvents(NamedTuple):
    """Numbers of the last things that people did on an audit, 0 where there is none.

    Attributes:
        decision: On a mask.
        answer: To a proposed missing mask.
        added: A missing mask.
        searched: An image.
    """

    decision: int
    answer: int
    added: int
    searched: int


def find_last_events(review: QueueSession) -> LastEvents:
    """Return the numbers of the last things that people did on an audit."""
    if not has_reviews(review.audit):
        return LastEvents(0, 0, 0, 0)
    with Reviews(review.audit).connect() as connection:
        return LastEvents(*(int(one) for one in connection.execute(_LAST).fetchone()))


def describe_decisions(review: QueueSession, since: LastEvents) -> str:
    """Say what people did while a page was served, and how much of its queue is left.

    Args:
        review: The session.
        since: What :func:`find_last_events` gave at its beginning.
    """
    left = _describe_left(review)
    if review.kind == MISSING:
        if find_last_events(review).answer > since.answer:
            return _describe_answers(review, since.answer)
        return f"nothing was decided; {left}"
    did, names = _list_done(review, since)
    if not did:
        return f"nothing was decided; {left}"
    # How many people, not who: what a server prints is kept in logs.
    who = f"{len(names):,} {'person' if len(names) == 1 else 'people'}"
    return f"{'; '.join(did)}; by {who}; {left}"


def _list_done(review: QueueSession, since: LastEvents) -> tuple[list[str], set[str]]:
    """Describe in a clause each the decisions, additions and searches since; return names too."""
    with Reviews(review.audit).connect() as connection:
        rows = connection.execute(_SINCE, (since.decision,)).fetchall()
        masks = int(connection.execute(_MASKS, (since.decision,)).fetchone()[0])
        searched = connection.execute(_SEARCHED, (since.searched,)).fetchall()
    counts: dict[str, int] = {}
    for _, action, count in rows:
        counts[_DID.get(action, action)] = counts.get(_DID.get(action, action), 0) + count
    added = Reviews(review.audit).missing()
    added = added[added["missing_id"] > since.added]
    did = []
    if masks:
        words = ", ".join(f"{count:,} {what}" for what, count in counts.items())
        did.append(f"decided on {count_noun(masks, 'mask')}: {words}")
    if len(added):
        did.append(f"added {count_noun(len(added), 'mask')}")
    if searched:
        did.append(f"searched {count_noun(len({image for _, image in searched}), 'image')}")
    return did, {name for name, *_ in [*rows, *searched]} | set(added["reviewer"])


def _describe_answers(review: QueueSession, since: int) -> str:
    with Reviews(review.audit).connect() as connection:
        rows = connection.execute(_ANSWERED, (since,)).fetchall()
    counts = ", ".join(f"{count:,} {_ANSWER[answer]}" for answer, count, _ in rows)
    return f"proposed missing masks: {counts or 'all taken back'}; {_describe_left(review)}"


def _describe_left(review: QueueSession) -> str:
    queue = review.queue
    left = len(queue) - int(review.assigner.decided.done.sum())
    found = review.progress("")
    if not found["total"] and found.get("images"):
        images = count_noun(found["images"], "image")
        return f"{found['images'] - found['searched']:,} of {images} left to search"
    if review.kind == MISSING:
        return f"{left:,} of {len(queue):,} left"
    where = review.words().partition(" (")[0]
    return f"{left:,} of {count_noun(len(queue), 'mask')} of {where} left"
