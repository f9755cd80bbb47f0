"""What people did, as the page sends it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from curate.people.reviews.schema import ACTIONS
from curate.people.webapp.request_parsing import (
    MOST_EVENTS,
    Refused,
    counts_of,
    id_of,
    key_of,
    mask_of,
    name_of,
    number_of,
    text_of,
)

KINDS = ("decide", "withdraw", "skip", "unskip", "missing", "withdraw_missing", "looked")
LONGEST_CATEGORY = 500


@dataclass(frozen=True)
class Event:
    """One thing that a person did.

    Attributes:
        kind: A word of :data:`KINDS`.
        key: What makes sending it twice harmless.
        reviewer: Who did it.
        time: When, by the server's clock, in microseconds since 1970.
        mask_id: The mask; None where it is about an image.
        image_id: The image; None where it is about a mask.
        action: Of a decision: accept, reject or fix.
        seconds: How long a decision took; None where it is not known.
        counts: The corrected or added mask; None for a fix of the category alone.
        category: Of an added mask, or the right one of a fixed mask; None where that stays.
        of: The key of what is taken back.
    """

    kind: str
    key: str
    reviewer: str
    time: int
    mask_id: int | None = None
    image_id: int | None = None
    action: str = ""
    seconds: float | None = None
    counts: str | None = None
    category: str | None = None
    of: str = ""


@dataclass(frozen=True)
class Sent:
    """A page's events, in order.

    Attributes:
        client: The page.
        reviewer: Its person.
        events: Those that can be read.
        refused: Key and sentence of the others that have a key.
    """

    client: str
    reviewer: str
    events: list[Event]
    refused: list[dict[str, str]]

    @classmethod
    def of(cls, asked: Mapping[str, Any], now: int) -> Sent:
        """Read a request.

        Args:
            asked: Its JSON.
            now: The server's time in microseconds since 1970.

        Raises:
            Refused: It is no list of events.
        """
        client = key_of(asked.get("client"), "client")
        reviewer = name_of(asked.get("reviewer", ""))
        theirs = number_of(asked.get("now"), "now")
        given = asked.get("events")
        if not isinstance(given, list) or len(given) > MOST_EVENTS:
            raise Refused(400, f"events is no list of at most {MOST_EVENTS}")
        events: list[Event] = []
        refused: list[dict[str, str]] = []
        for one in given:
            key = key_of(one.get("key") if isinstance(one, Mapping) else None)
            try:
                events.append(_read(one, key, reviewer, (theirs, now)))
            except Refused as error:
                refused.append({"key": key, "error": error.sentence})
        return cls(client, reviewer, events, refused)


def _read(one: Mapping[str, Any], key: str, reviewer: str, clocks: tuple[float, int]) -> Event:
    kind = one.get("type")
    if kind not in KINDS:
        raise Refused(400, "there is no such type of event")
    time = _time(number_of(one.get("at"), "at"), *clocks)
    if kind in ("decide", "withdraw", "skip", "unskip"):
        mask_id = mask_of(one.get("item"))
        if kind in ("skip", "unskip"):
            return Event(kind, key, reviewer, time, mask_id)
        if kind == "withdraw":
            return Event(kind, key, reviewer, time, mask_id, of=key_of(one.get("of"), "of"))
        return _decision(one, Event(kind, key, reviewer, time, mask_id))
    image_id = id_of(one.get("image_id"), "image_id")
    if kind == "looked":
        return Event(kind, key, reviewer, time, image_id=image_id)
    return Event(
        kind,
        key,
        reviewer,
        time,
        image_id=image_id,
        category=_category(one),
        counts=counts_of(one.get("counts")),
        of=key_of(one.get("of"), "of") if kind == "withdraw_missing" else "",
    )


def _decision(one: Mapping[str, Any], event: Event) -> Event:
    action, seconds, counts = one.get("action"), one.get("seconds"), one.get("counts")
    if action not in ACTIONS:
        raise Refused(400, "the action is not accept, reject or fix")
    category = _category(one) if action == "fix" else None
    drawn = action == "fix" and (counts is not None or category is None)
    return Event(
        event.kind,
        event.key,
        event.reviewer,
        event.time,
        event.mask_id,
        action=action,
        seconds=None if seconds is None else number_of(seconds, "seconds", 0),
        counts=counts_of(counts) if drawn else None,
        category=category,
    )


def _category(one: Mapping[str, Any]) -> str | None:
    """Return the category that an event gives a mask; None where it gives none."""
    given = one.get("category")
    if given is None:
        return None
    name = text_of(given, "category", LONGEST_CATEGORY)
    if one.get("action") == "fix" and not name:
        raise Refused(400, "the category has no name")
    return name


def _time(at: float, theirs: float, ours: int) -> int:
    """Bring a page's time to the server's clock; what it says of the future happened just now."""
    ago = 1000 * (theirs - at)
    return max(1, ours - int(ago)) if math.isfinite(ago) and ago > 0 else ours
