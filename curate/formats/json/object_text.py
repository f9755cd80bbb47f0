"""JSON objects as text: single values replaced or added, every other character kept."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

from curate.errors import SourceError
from curate.formats.json.streaming import parse_one

_EMPTY = re.compile(r"\{[ \t\n\r]*\}")
_NAME = re.compile(r'[ \t\n\r]*("(?:[^"\\\x00-\x1f]|\\.)*")[ \t\n\r]*:[ \t\n\r]*')
_FOLLOWS = re.compile(r"[ \t\n\r]*([,}])")
_DECODER = json.JSONDecoder()
_LONGEST = 200


class JsonMember(NamedTuple):
    """A name and a value of an object.

    Attributes:
        key: Where the name begins in the text, with its quote.
        colon: Where the name ends.
        start: Where the value begins.
        end: Where the value ends.
        value: The value, parsed.
    """

    key: int
    colon: int
    start: int
    end: int
    value: Any


@dataclass(frozen=True)
class Style:
    """Punctuation and blanks between the names and values of an object.

    Attributes:
        lead: Between the brace and the first name.
        between: Between two members, with the comma.
        colon: Between a name and its value.
        tail: Between the last value and the brace.
    """

    lead: str = ""
    between: str = ", "
    colon: str = ": "
    tail: str = ""

    def value(self, value: Any) -> str:
        """Return a value as JSON on one line, as densely as its surroundings."""
        comma, colon = (", ", ": ") if self.colon[-1:].isspace() else (",", ":")
        return json.dumps(value, separators=(comma, colon))

    def member(self, name: str, literal: str) -> str:
        """Return a name and a value that is JSON already."""
        return json.dumps(name) + self.colon + literal

    def object(self, literals: Mapping[str, str]) -> str:
        """Return an object of values that are JSON already."""
        members = (self.member(name, literal) for name, literal in literals.items())
        return "{" + self.lead + self.between.join(members) + self.tail + "}"


class JsonObject:
    """An object's text and its members.

    Args:
        data: The object's bytes, without anything around it.
        at: Byte of the file at which it begins, for messages.
        where: Name of the file, for messages.

    Attributes:
        members: By name; of a name that occurs twice the last, which is what parsers return.

    Raises:
        SourceError: It is not a JSON object; says at which byte.
    """

    def __init__(self, data: bytes, at: int = 0, where: str = "") -> None:
        try:
            self._text = data.decode("utf-8")
            self._listed = _members(self._text)
        except (ValueError, RecursionError) as error:
            parse_one(data, at, where)  # says better what is wrong, and where
            raise SourceError("the JSON is no object", f"{where}, byte {at}") from error
        self.members = dict(self._listed)
        self._literals: dict[str, str] = {}

    @cached_property
    def style(self) -> Style:
        """Style in which the object is written."""
        if not self._listed:
            return Style()
        text, first, last = self._text, self._listed[0][1], self._listed[-1][1]
        colon = text[first.colon : first.start]
        between = ", " if colon[-1:].isspace() else ","
        if len(self._listed) > 1:
            between = text[first.end : self._listed[1][1].key]
        lead, tail = text[1 : first.key], text[last.end : -1]
        if max(map(len, (lead, between, colon, tail))) > _LONGEST:
            return Style()
        return Style(lead, between, colon, tail)

    def get(self, name: str) -> Any:
        """Return the value of a name as it was read; None where there is none."""
        member = self.members.get(name)
        return None if member is None else member.value

    def literal(self, name: str) -> str:
        """Return a value as it stands in the text.

        Raises:
            KeyError: There is no such name.
        """
        member = self.members[name]
        return self._text[member.start : member.end]

    def set(self, name: str, literal: str) -> None:
        """Replace the value of a name, or add the name at the end.

        Args:
            name: The name.
            literal: The value as JSON.
        """
        self._literals[name] = literal

    def text(self) -> str:
        """Return the object with what was set."""
        style, parts, at = self.style, [], 0
        replaced = [name for name in self._literals if name in self.members]
        for name in sorted(replaced, key=lambda name: self.members[name].start):
            member = self.members[name]
            parts += [self._text[at : member.start], self._literals[name]]
            at = member.end
        added = {name: text for name, text in self._literals.items() if name not in self.members}
        if added and not self._listed:
            return style.object(added)
        if added:
            end = self._listed[-1][1].end
            parts.append(self._text[at:end])
            at = end
            parts += [style.between + style.member(*pair) for pair in added.items()]
        return "".join((*parts, self._text[at:]))


def _members(text: str) -> list[tuple[str, JsonMember]]:
    """Return the members of an object in order.

    Raises:
        ValueError, RecursionError: The text is no object.
    """
    found: list[tuple[str, JsonMember]] = []
    if _EMPTY.fullmatch(text):
        return found
    at, mark = 1, "," if text.startswith("{") else ""
    while mark == ",":
        name = _NAME.match(text, at)
        if name is None:
            raise ValueError(f"no name at {at}")
        key, colon = name.span(1)
        start = name.end()
        value, end = _DECODER.raw_decode(text, start)
        plain = text[key + 1 : colon - 1]
        if "\\" in plain:
            plain = json.loads(name[1])
        found.append((plain, JsonMember(key, colon, start, end, value)))
        follows = _FOLLOWS.match(text, end)
        at, mark = (end, "") if follows is None else (follows.end(), follows[1])
    if mark != "}" or at != len(text):
        raise ValueError(f"no comma or brace at {at}")
    return found
