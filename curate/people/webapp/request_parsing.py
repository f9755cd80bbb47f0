"""Parsing of requests: type and range of each value, or one sentence why not."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import orjson

from curate.common.json_values import JsonObject, is_finite_number
from curate.people.reviews.validation import is_name
from curate.people.webapp.filters import Filter

MAX_CARDS = 48
MAX_EVENTS = 500
MAX_POINTS = 100
MAX_NAME = 200
MAX_COUNTS = 6_000_000

_ID = re.compile(r"-?[0-9]{1,19}")
_LEVEL = re.compile(r"-?[0-9]{1,10}(\.[0-9]{1,6})?")
_PLACE = re.compile(r"[0-9]{1,6}")
_ITEM = re.compile(r"(-?[0-9]{1,19})\.[01]")
_KEY = re.compile(r"[A-Za-z0-9-]{8,100}")
_WORD = re.compile(r"[A-Za-z0-9_]{1,120}")
_MAX_ID = 2**63 - 1


class RequestError(Exception):
    """An invalid request, answered with a status and a sentence.

    Args:
        status: The HTTP status, 4xx or 5xx.
        sentence: Why, for people; never a path, never a Python message.
    """

    def __init__(self, status: int, sentence: str) -> None:
        super().__init__(sentence)
        self.status, self.sentence = status, sentence


def parse_json(body: bytes) -> dict[str, object]:
    """Parse a JSON object.

    Raises:
        Refused: It is none.
    """
    try:
        value = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise RequestError(400, "the request is no JSON") from error
    if not isinstance(value, dict):
        raise RequestError(400, "the request is no JSON object")
    return value


def _value_error(name: str) -> RequestError:
    return RequestError(400, f"{name} is missing or not what it must be")


def parse_id(value: Any, name: str = "mask_id") -> int:
    """Return an id; ids are strings, since they may pass JavaScript's exact integers."""
    if not isinstance(value, str) or not _ID.fullmatch(value) or abs(int(value)) > _MAX_ID:
        raise _value_error(name)
    return int(value)


def parse_item(item: Any) -> int:
    """Return the mask id of an item."""
    found = _ITEM.fullmatch(item) if isinstance(item, str) else None
    if found is None:
        raise _value_error("item")
    return parse_id(found[1], "item")


def parse_key(value: Any, name: str = "key") -> str:
    """Return a key or a client's name."""
    if not isinstance(value, str) or not _KEY.fullmatch(value):
        raise _value_error(name)
    return value


def parse_text(value: Any, name: str, longest: int = MAX_NAME) -> str:
    """Return a text for people, without spaces at its ends."""
    if not isinstance(value, str) or len(value) > longest or "\0" in value:
        raise _value_error(name)
    return value.strip()


def parse_name(value: Any) -> str:
    """Return a reviewer's name, "" for none."""
    name = parse_text(value, "reviewer")
    if not is_name(name):
        raise RequestError(400, "the reviewer's name has a line break or another control character")
    return name


def parse_number(value: Any, name: str, low: float = -math.inf, high: float = math.inf) -> float:
    """Return a finite number in a range."""
    if not is_finite_number(value) or not low <= value <= high:
        raise _value_error(name)
    return float(value)


def parse_levels(low: str | None, high: str | None) -> tuple[float, float] | None:
    """Return a window of values from an address, None where none is given."""
    if low is None and high is None:
        return None
    if not all(end is not None and _LEVEL.fullmatch(end) for end in (low, high)):
        raise _value_error("low or high")
    ends = float(low or 0), float(high or 0)
    if not ends[0] < ends[1]:
        raise RequestError(400, "low must be under high")
    return ends


def parse_place(value: str | None, name: str) -> int:
    """Return a small number of an address: a level, a column or a row."""
    if value is None or not _PLACE.fullmatch(value):
        raise _value_error(name)
    return int(value)


def parse_items(value: Any, name: str, most: int = 2000) -> list[int]:
    """Return the masks of a list of items."""
    if not isinstance(value, list) or len(value) > most:
        raise _value_error(name)
    return [parse_item(item) for item in value]


def parse_counts(value: Any) -> str:
    """Return compressed counts; whether they decode is checked later."""
    if not isinstance(value, str) or not value.isascii() or not 0 < len(value) <= MAX_COUNTS:
        raise _value_error("counts")
    return value


def parse_filter(value: Any) -> Filter:
    """Return a filter."""
    if value is None:
        return Filter()
    if not isinstance(value, Mapping):
        raise _value_error("filter")
    names = ("category", "reason", "kind", "score")
    category, reason, kind, score = (value.get(name) for name in names)
    return Filter(
        None if category is None else _parse_filter_name(category, "category"),
        None if reason is None else parse_key(reason, "reason"),
        None if kind is None else _parse_filter_name(kind, "kind"),
        None if score is None else _parse_score(score),
    )


def _parse_filter_name(value: Any, name: str) -> str:
    if not isinstance(value, str):
        raise _value_error(name)
    return value


def _parse_score(value: Any) -> tuple[str, float, float]:
    column = value.get("column") if isinstance(value, Mapping) else None
    if not isinstance(column, str) or not _WORD.fullmatch(column):
        raise _value_error("score")
    low, high = (
        end if given is None else parse_number(given, "score")
        for given, end in ((value.get("low"), -math.inf), (value.get("high"), math.inf))
    )
    return column, low, high


@dataclass(frozen=True)
class NextRequest:
    """A request for the next masks; ``arrived`` as of :class:`MaskRequest`."""

    client: str
    reviewer: str
    count: int
    best: bool
    filter: Filter
    holding: list[int]
    arrived: float = math.inf

    @classmethod
    def of(cls, asked: JsonObject, arrived: float) -> NextRequest:
        """Parse a request.

        Raises:
            RequestError: A value is wrong.
        """
        order = asked.get("order", "queue")
        if order not in ("queue", "best"):
            raise _value_error("order")
        return cls(
            parse_key(asked.get("client"), "client"),
            parse_name(asked.get("reviewer", "")),
            int(parse_number(asked.get("count"), "count", 1, MAX_CARDS)),
            order == "best",
            parse_filter(asked.get("filter")),
            parse_items(asked.get("holding", []), "holding"),
            arrived,
        )


@dataclass(frozen=True)
class BulkRequest:
    """A request to accept or reject all masks that fit a filter; ``count`` confirms how many."""

    reviewer: str
    action: str
    filter: Filter
    count: int

    @classmethod
    def of(cls, asked: JsonObject) -> BulkRequest:
        """Parse a request.

        Raises:
            RequestError: A value is wrong.
        """
        action = asked.get("action")
        if action not in ("accept", "reject"):
            raise _value_error("action")
        return cls(
            parse_name(asked.get("reviewer", "")),
            str(action),
            parse_filter(asked.get("filter")),
            int(parse_number(asked.get("count", 0), "count", 0)),
        )


@dataclass(frozen=True)
class ClickRequest:
    """A request to redraw a mask from clicks."""

    mask_id: int
    points: list[tuple[float, float]]
    labels: list[int]
    counts: str | None

    @classmethod
    def of(cls, asked: JsonObject) -> ClickRequest:
        """Parse a request.

        Raises:
            RequestError: A value is wrong.
        """
        points, labels = asked.get("points"), asked.get("labels")
        if not isinstance(points, list) or not 0 < len(points) <= MAX_POINTS:
            raise _value_error("points")
        if not isinstance(labels, list) or len(labels) != len(points):
            raise _value_error("labels")
        if any(label not in (0, 1) or isinstance(label, bool) for label in labels):
            raise _value_error("labels")
        counts = asked.get("counts")
        return cls(
            parse_id(asked.get("mask_id")),
            [_parse_point(point) for point in points],
            labels,
            None if counts is None else parse_counts(counts),
        )


def _parse_point(value: Any) -> tuple[float, float]:
    if not isinstance(value, list) or len(value) != 2:
        raise _value_error("points")
    return parse_number(value[0], "points"), parse_number(value[1], "points")
