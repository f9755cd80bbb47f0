"""Colours of what is printed: on a terminal only, never where NO_COLOR or TERM=dumb is set."""

from __future__ import annotations

import os
import re
from typing import TextIO

_CODES = {"bold": "1", "red": "31", "green": "32", "yellow": "33"}

_ACTIONS = {"accepted": "green", "to review": "yellow", "rejected": "red"}
"""The colour of a count in the first line of a summary."""


def is_styled(stream: TextIO) -> bool:
    """Return whether a stream shows colours: a terminal whose user has nothing against them."""
    if os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb":
        return False
    try:
        return stream.isatty()
    except ValueError:  # it is closed
        return False


def style(text: str, name: str, stream: TextIO) -> str:
    """Return a text in a style (bold, red, green, yellow) where the stream shows it."""
    return f"\x1b[{_CODES[name]}m{text}\x1b[0m" if is_styled(stream) else text


def style_summary(text: str, stream: TextIO) -> str:
    """Return a summary with the counts of its first line in the colours of the actions."""
    first, line, rest = text.partition("\n")
    for words, colour in _ACTIONS.items():
        pattern = rf"(?<![\d,])[1-9][\d,]* {words}"
        first = re.sub(pattern, lambda found: style(found[0], colour, stream), first)  # noqa: B023
    return first + line + rest
