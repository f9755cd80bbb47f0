"""What a page may send: each value in its type and range, or one sentence why not."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import orjson

from curate.people.reviews.validation import is_name
from curate.people.webapp.filters import Filter

MOST_CARDS = 48
MOST_EVENTS = 500
MOST_POINTS = 100
LONGEST_NAME = 200
LONGEST_COUNTS = 6_000_000

_ID = re.compile(r"-?[0-9]{1,19}")
_ITEM = re.compile(r"(-?[0-9]{1,19})\.[01]")
_KEY = re.compile(r"[A-Za-z0-9-]{8,100}")
_WORD = re.compile(r"[A-Za-z0-9_]{1,120}")
_LARGEST = 2**63 - 1


class Refused(Exception):
    """A request that is answered with a status and a sentence.

    Args:
        status: The HTTP status, 4xx or 5xx.
        sentence: Why, for people; never a path, never what Python said.
    """

    def __init__(self, status: int, sentence: str) -> None:
        super().__init__(sentence)
        self.status, self.sentence = status, sentence


def parsed(body: bytes) -> dict[str, Any]:
    """Read a JSON object.

    Raises:
        Refused: It is none.
    """
    try:
        value = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise Refused(400, "the request is no JSON") from error
    if not isinstance(value, dict):
        raise Refused(400, "the request is no JSON object")
    return value


def _wrong(name: str) -> Refused:
    return Refused(400, f"{name} is missing or not what it must be")


def id_of(value: Any, name: str = "mask_id") -> int:
    """Return an id, which comes as a string: it may be larger than a page can count."""
    if not isinstance(value, str) or not _ID.fullmatch(value) or abs(int(value)) > _LARGEST:
        raise _wrong(name)
    return int(value)


def mask_of(item: Any) -> int:
    """Return the mask of an item."""
    found = _ITEM.fullmatch(item) if isinstance(item, str) else None
    if found is None:
        raise _wrong("item")
    return id_of(found[1], "item")


def key_of(value: Any, name: str = "key") -> str:
    """Return a key or a client's name."""
    if not isinstance(value, str) or not _KEY.fullmatch(value):
        raise _wrong(name)
    return value


def text_of(value: Any, name: str, longest: int = LONGEST_NAME) -> str:
    """Return a text for people, without spaces at its ends."""
    if not isinstance(value, str) or len(value) > longest or "\0" in value:
        raise _wrong(name)
    return value.strip()


def name_of(value: Any) -> str:
    """Return a reviewer's name, "" for none."""
    name = text_of(value, "reviewer")
    if not is_name(name):
        raise Refused(400, "the reviewer's name has a line break or another control character")
    return name


def number_of(value: Any, name: str, low: float = -math.inf, high: float = math.inf) -> float:
    """Return a finite number in a range."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise _wrong(name)
    if not math.isfinite(value) or not low <= value <= high:
        raise _wrong(name)
    return float(value)


def items_of(value: Any, name: str, most: int = 2000) -> list[int]:
    """Return the masks of a list of items."""
    if not isinstance(value, list) or len(value) > most:
        raise _wrong(name)
    return [mask_of(item) for item in value]


def counts_of(value: Any) -> str:
    """Return compressed counts; whether they are a mask is for others to see."""
    if not isinstance(value, str) or not value.isascii() or not 0 < len(value) <= LONGEST_COUNTS:
        raise _wrong("counts")
    return value


def filter_of(value: Any) -> Filter:
    """Return a filter."""
    if value is None:
        return Filter()
    if not isinstance(value, Mapping):
        raise _wrong("filter")
    category, reason, score = (value.get(name) for name in ("category", "reason", "score"))
    return Filter(
        None if category is None else _name(category),
        None if reason is None else key_of(reason, "reason"),
        None if score is None else _score(score),
    )


def _name(value: Any) -> str:
    if not isinstance(value, str):
        raise _wrong("category")
    return value


def _score(value: Any) -> tuple[str, float, float]:
    column = value.get("column") if isinstance(value, Mapping) else None
    if not isinstance(column, str) or not _WORD.fullmatch(column):
        raise _wrong("score")
    low, high = (
        end if given is None else number_of(given, "score")
        for given, end in ((value.get("low"), -math.inf), (value.get("high"), math.inf))
    )
    return column, low, high


@dataclass(frozen=True)
class Next:
    """A request for the next masks."""

    client: str
    reviewer: str
    count: int
    best: bool
    filter: Filter
    holding: list[int]

    @classmethod
    def of(cls, asked: Mapping[str, Any]) -> Next:
        """Read one.

        Raises:
            Refused: A value is wrong.
        """
        order = asked.get("order", "queue")
        if order not in ("queue", "best"):
            raise _wrong("order")
        return cls(
            key_of(asked.get("client"), "client"),
            name_of(asked.get("reviewer", "")),
            int(number_of(asked.get("count"), "count", 1, MOST_CARDS)),
            order == "best",
            filter_of(asked.get("filter")),
            items_of(asked.get("holding", []), "holding"),
        )


@dataclass(frozen=True)
class Clicks:
    """A request to redraw a mask from clicks."""

    mask_id: int
    points: list[tuple[float, float]]
    labels: list[int]
    counts: str | None

    @classmethod
    def of(cls, asked: Mapping[str, Any]) -> Clicks:
        """Read one.

        Raises:
            Refused: A value is wrong.
        """
        points, labels = asked.get("points"), asked.get("labels")
        if not isinstance(points, list) or not 0 < len(points) <= MOST_POINTS:
            raise _wrong("points")
        if not isinstance(labels, list) or len(labels) != len(points):
            raise _wrong("labels")
        if any(label not in (0, 1) or isinstance(label, bool) for label in labels):
            raise _wrong("labels")
        counts = asked.get("counts")
        return cls(
            id_of(asked.get("mask_id")),
            [_point(point) for point in points],
            labels,
            None if counts is None else counts_of(counts),
        )


def _point(value: Any) -> tuple[float, float]:
    if not isinstance(value, list) or len(value) != 2:
        raise _wrong("points")
    return number_of(value[0], "points"), number_of(value[1], "points")
