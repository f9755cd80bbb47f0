"""Events of the review page: decisions, withdrawals, notes, skips, added masks, reviewed images."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from curate.common.json_values import JsonObject
from curate.people.reviews.decision_notes import MAX_COMMENT, MAX_TAG, MAX_TAGS, DecisionNote
from curate.people.reviews.schema import ACTIONS
from curate.people.reviews.suggested_fixes import BY_OTHERS, BY_VERIFIER, MECHANICAL
from curate.people.webapp.answers import RefusedEvent
from curate.people.webapp.request_parsing import (
    MAX_EVENTS,
    RequestError,
    parse_counts,
    parse_id,
    parse_item,
    parse_key,
    parse_name,
    parse_number,
    parse_text,
)

KINDS = ("decide", "withdraw", "note", "skip", "unskip", "missing", "withdraw_missing", "looked")
KNOWN_SUGGESTIONS = (MECHANICAL, BY_VERIFIER, BY_OTHERS, "merge")
"""Suggested fixes of which the server has the pixels: a card's, mechanical, of a verifier or of
other annotators, and the union of a mask and its twin."""

SUGGESTIONS = (*KNOWN_SUGGESTIONS, "segmenter")
"""All suggested fixes; the segmenter's mask is sent along."""

MAX_CATEGORY = 500
NO_NOTE = DecisionNote()


@dataclass(frozen=True)
class Event:
    """One action of a person.

    Attributes:
        kind: One of :data:`KINDS`.
        key: Unique key, so that sending it twice is harmless.
        reviewer: Name of the person.
        time: Server time, in microseconds since 1970.
        mask_id: The mask; None where it is about an image.
        image_id: The image; None where it is about a mask.
        action: Of a decision: accept, reject or fix.
        seconds: Duration of a decision, of drawing an added mask, or of the search of an image for
            missing masks; None where it is not known.
        counts: The corrected or added mask; None for a fix of the category alone.
        category: Of an added mask, or the right one of a fixed mask; None where that stays.
        of: Key of the event that is undone, or of the decision that a note is about.
        note: What a note says.
        suggested: Of a fix: which suggestion it takes, of :data:`SUGGESTIONS`; "" for none.
        beside: The mask of the queue beside which another mask was shown and decided on; None
            where it is the shown one itself.
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
    note: DecisionNote = NO_NOTE
    suggested: str = ""
    beside: int | None = None


@dataclass(frozen=True)
class EventBatch:
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
    refused: list[RefusedEvent]

    @classmethod
    def of(cls, asked: JsonObject, now: int) -> EventBatch:
        """Read a request.

        Args:
            asked: Its JSON.
            now: The server's time in microseconds since 1970.

        Raises:
            Refused: It is no list of events.
        """
        client = parse_key(asked.get("client"), "client")
        reviewer = parse_name(asked.get("reviewer", ""))
        theirs = parse_number(asked.get("now"), "now")
        given = asked.get("events")
        if not isinstance(given, list) or len(given) > MAX_EVENTS:
            raise RequestError(400, f"events is no list of at most {MAX_EVENTS}")
        events: list[Event] = []
        refused: list[RefusedEvent] = []
        for one in given:
            key = parse_key(one.get("key") if isinstance(one, Mapping) else None)
            try:
                events.append(_parse_event(one, key, reviewer, (theirs, now)))
            except RequestError as error:
                refused.append({"key": key, "error": error.sentence})
        return cls(client, reviewer, events, refused)


def _parse_event(one: JsonObject, key: str, reviewer: str, clocks: tuple[float, int]) -> Event:
    kind = one.get("type")
    if kind not in KINDS:
        raise RequestError(400, "there is no such type of event")
    time = _to_server_time(parse_number(one.get("at"), "at"), *clocks)
    if kind in ("decide", "withdraw", "note", "skip", "unskip"):
        mask_id = parse_item(one.get("item"))
        if kind in ("skip", "unskip"):
            return Event(kind, key, reviewer, time, mask_id)
        if kind == "withdraw":
            of, beside = parse_key(one.get("of"), "of"), _parse_beside(one)
            return Event(kind, key, reviewer, time, mask_id, of=of, beside=beside)
        if kind == "note":
            of = parse_key(one.get("of"), "of")
            return Event(kind, key, reviewer, time, mask_id, of=of, note=_parse_note(one))
        return _parse_decision(one, Event(kind, key, reviewer, time, mask_id))
    image_id = parse_id(one.get("image_id"), "image_id")
    seconds = _parse_seconds(one)
    if kind == "looked":
        return Event(kind, key, reviewer, time, image_id=image_id, seconds=seconds)
    return Event(
        kind,
        key,
        reviewer,
        time,
        image_id=image_id,
        seconds=seconds,
        category=_parse_category(one),
        counts=parse_counts(one.get("counts")),
        of=parse_key(one.get("of"), "of") if kind == "withdraw_missing" else "",
    )


def _parse_decision(one: JsonObject, event: Event) -> Event:
    action, counts = one.get("action"), one.get("counts")
    if action not in ACTIONS:
        raise RequestError(400, "the action is not accept, reject or fix")
    category = _parse_category(one) if action == "fix" else None
    suggested = one.get("suggested", "") if action == "fix" else ""
    if suggested not in ("", *SUGGESTIONS):
        raise RequestError(400, "there is no such suggestion")
    bare = suggested in KNOWN_SUGGESTIONS or category is not None
    drawn = action == "fix" and (counts is not None or not bare)
    return Event(
        event.kind,
        event.key,
        event.reviewer,
        event.time,
        event.mask_id,
        action=action,
        seconds=_parse_seconds(one),
        counts=parse_counts(counts) if drawn else None,
        category=category,
        suggested=str(suggested),
        beside=_parse_beside(one),
    )


def _parse_seconds(one: JsonObject) -> float | None:
    seconds = one.get("seconds")
    return None if seconds is None else parse_number(seconds, "seconds", 0)


def _parse_beside(one: JsonObject) -> int | None:
    beside = one.get("beside")
    return None if beside is None else parse_item(beside)


def _parse_note(one: JsonObject) -> DecisionNote:
    tags = one.get("tags")
    if not isinstance(tags, list) or len(tags) > MAX_TAGS:
        raise RequestError(400, f"tags is no list of at most {MAX_TAGS}")
    words = (parse_text(tag, "tag", MAX_TAG) for tag in tags)
    return DecisionNote(
        tuple(w for w in words if w), parse_text(one.get("comment"), "comment", MAX_COMMENT)
    )


def _parse_category(one: JsonObject) -> str | None:
    """Return the category of an event; None where it has none."""
    given = one.get("category")
    if given is None:
        return None
    name = parse_text(given, "category", MAX_CATEGORY)
    if one.get("action") == "fix" and not name:
        raise RequestError(400, "the category has no name")
    return name


def _to_server_time(at: float, theirs: float, ours: int) -> int:
    """Convert a page's time to the server's clock; times in the future become now."""
    ago = 1000 * (theirs - at)
    return max(1, ours - int(ago)) if math.isfinite(ago) and ago > 0 else ours
