"""Protocol of judges, version 1: one JSON object asks about some masks, one answers.

A process gets each request as a line on its standard input and writes each answer as a line on its
standard output; an HTTP address gets it as the body of a POST, and answers with its response.

A request::

    {"protocol": 1, "batch": 0, "masks": [{"id": "5f...", "category": "cat", "width": 640,
     "height": 480, "bbox": [x, y, w, h], "picture": PNG, "overlay": PNG, "zoom": PNG}, ...]}

``category`` is null where there is none; ``bbox`` is in pixels of the whole picture; pictures are
PNG files in base64. Its answer::

    {"batch": 0, "answers": [{"id": "5f...", "accept": false, "score": 0.2, "reason": "..."}, ...]}

with each id of the request once, in any order. ``score`` (the probability that the mask is good, in
[0, 1]) and ``reason`` may be left out or be null. Further keys are left unread.
"""

from __future__ import annotations

import base64
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import orjson

from curate.errors import on_one_line, shorten

VERSION = 1

MOST_BYTES = 4 << 20
"""Longest answer that is read, in bytes."""

MOST_BATCH = 256
"""Masks in a request, at most."""

LONGEST_REASON = 300
"""Characters that are kept of a reason."""

_SHOWN = 120
"""Characters of what a judge sent that an error repeats."""


class JudgeTrouble(Exception):
    """A judge did not answer as it should: a clause that says what it did."""


@dataclass(frozen=True)
class JudgedMask:
    """A mask as a judge gets it.

    Attributes:
        key: Hash of all that the judge sees: what the mask is called.
        mask_id: The mask in the audit; not sent.
        category: Its category; None for none.
        width: Of the whole picture, in pixels.
        height: Of the whole picture, in pixels.
        bbox: XYWH in pixels of the whole picture.
        picture: The picture as PNG, made smaller where it is large.
        overlay: The same with the mask drawn on it.
        zoom: A window around the mask with its outline.
    """

    key: str
    mask_id: int
    category: str | None
    width: int
    height: int
    bbox: tuple[float, float, float, float]
    picture: bytes = field(repr=False)
    overlay: bytes = field(repr=False)
    zoom: bytes = field(repr=False)


@dataclass(frozen=True)
class JudgeAnswer:
    """A judge's answer about a mask.

    Attributes:
        accept: Whether it finds the mask good.
        score: The probability that it is; NaN where it states none.
        reason: Why, on one line; "" where it says nothing.
    """

    accept: bool
    score: float
    reason: str


def build_request(number: int, masks: Sequence[JudgedMask]) -> bytes:
    """Return the request of a batch as JSON on one line."""
    asked = [
        {
            "id": mask.key,
            "category": mask.category,
            "width": mask.width,
            "height": mask.height,
            "bbox": list(mask.bbox),
            "picture": base64.b64encode(mask.picture).decode("ascii"),
            "overlay": base64.b64encode(mask.overlay).decode("ascii"),
            "zoom": base64.b64encode(mask.zoom).decode("ascii"),
        }
        for mask in masks
    ]
    return orjson.dumps({"protocol": VERSION, "batch": number, "masks": asked})


def parse_answers(reply: bytes, number: int, keys: Sequence[str]) -> dict[str, JudgeAnswer]:
    """Read the answer to a batch.

    Args:
        reply: What the judge sent.
        number: The batch.
        keys: The ids that were asked about.

    Returns:
        An answer for each id.

    Raises:
        JudgeTrouble: It is not as the protocol says.
    """
    try:
        value = orjson.loads(reply)
    except orjson.JSONDecodeError as error:
        raise JudgeTrouble(f"it sent no JSON: {quote_reply(reply)}") from error
    if not isinstance(value, dict) or not isinstance(value.get("answers"), list):
        raise JudgeTrouble(f"it sent no object with a list of answers: {quote_reply(reply)}")
    if value.get("batch") is True or value.get("batch") != number:
        raise JudgeTrouble(f"it answered batch {value.get('batch')!r:.40}, not batch {number}")
    found: dict[str, JudgeAnswer] = {}
    wanted = set(keys)
    for one in value["answers"]:
        key, answer = _parse_answer(one, wanted)
        if key in found:
            raise JudgeTrouble(f"it answered twice about {key}")
        found[key] = answer
    if missing := [key for key in keys if key not in found]:
        raise JudgeTrouble(f"it left out {len(missing)} of {len(keys)} masks, {missing[0]} first")
    return found


def _parse_answer(one: object, wanted: set[str]) -> tuple[str, JudgeAnswer]:
    if not isinstance(one, Mapping):
        raise JudgeTrouble(f"an answer is no object but {one!r:.60}")
    key = one.get("id")
    if not isinstance(key, str) or key not in wanted:
        raise JudgeTrouble(f"it answered about {key!r:.60}, which was not asked")
    accept, score, reason = one.get("accept"), one.get("score"), one.get("reason")
    if not isinstance(accept, bool):
        raise JudgeTrouble(f"accept of {key} is {accept!r:.40}, not true or false")
    if score is None:
        score = math.nan
    elif isinstance(score, bool) or not isinstance(score, int | float) or not 0 <= score <= 1:
        raise JudgeTrouble(f"score of {key} is {score!r:.40}, not a number from 0 to 1")
    if reason is not None and not isinstance(reason, str):
        raise JudgeTrouble(f"reason of {key} is {reason!r:.40}, not a text")
    text = " ".join(on_one_line(" ".join((reason or "").split())).split())
    if len(text) > LONGEST_REASON:
        text = text[: LONGEST_REASON - 1] + "…"
    return key, JudgeAnswer(accept, float(score), text)


def quote_reply(reply: bytes) -> str:
    """Return the beginning of what a judge sent, for an error."""
    text = reply[: 4 * _SHOWN].decode("utf-8", "backslashreplace").strip()
    return f"“{shorten(on_one_line(text), _SHOWN)}”" if text else "nothing"
