"""JSON as text, for tests: where values stand, found by the standard library's parser alone."""

from __future__ import annotations

import json
from collections.abc import Iterable

SPACE = " \t\r\n"
DECODER = json.JSONDecoder()


def _skip(text: str, at: int) -> int:
    while text[at] in SPACE:
        at += 1
    return at


def elements(text: str) -> list[tuple[int, int]]:
    """Where the elements of a list stand in its text."""
    assert text[0] == "["
    at = _skip(text, 1)
    found = []
    while text[at] != "]":
        _, end = DECODER.raw_decode(text, at)
        found.append((at, end))
        at = _skip(text, end)
        if text[at] == ",":
            at = _skip(text, at + 1)
    return found


def element_texts(text: str) -> list[str]:
    return [text[start:end] for start, end in elements(text)]


def members(text: str) -> list[tuple[str, int, int]]:
    """The names of an object, and where their values stand in its text."""
    at = _skip(text, text.index("{") + 1)
    found = []
    while text[at] != "}":
        name, at = DECODER.raw_decode(text, at)
        start = _skip(text, _skip(text, at) + 1)
        _, end = DECODER.raw_decode(text, start)
        found.append((name, start, end))
        at = _skip(text, end)
        if text[at] == ",":
            at = _skip(text, at + 1)
    return found


def member_text(text: str, name: str) -> str:
    return next(text[start:end] for key, start, end in members(text) if key == name)


def without_values(text: str, names: Iterable[str]) -> str:
    """An object's text with some values gone, so that only the rest is compared."""
    for name, start, end in reversed(members(text)):
        if name in names:
            text = text[:start] + text[end:]
    return text


def with_value(text: str, name: str, value: str) -> str:
    """An object's text with another value under a name."""
    start, end = next((i, j) for key, i, j in members(text) if key == name)
    return text[:start] + value + text[end:]


def with_elements(text: str, kept: list[str], separator: str) -> str:
    """A list's text with other elements between the same brackets and spaces."""
    old = elements(text)
    if not old:
        return text[0] + separator.join(kept) + text[1:]
    return text[: old[0][0]] + separator.join(kept) + text[old[-1][1] :]


def separator_of(text: str) -> str:
    """What stands between the last two elements of a list, or would."""
    found = elements(text)
    if len(found) > 1:
        return text[found[-2][1] : found[-1][0]]
    return "," + text[1 : found[0][0]] if found else ", "


def without_last(text: str, name: str) -> str:
    """An object's text without its last member, which has that name."""
    (_, _, before), (last, _, end) = members(text)[-2:]
    assert last == name
    return text[:before] + text[end:]
