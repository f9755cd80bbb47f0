"""Changes of lines of text (YOLO, CSV, YAML) and of TOML."""

from __future__ import annotations

import json
import re
import tomllib
from random import Random
from typing import Any

from fuzz.mutate.values import NUMBERS, changed

_WORDS = re.compile(r"[^\s,;:]+")
_PIECES = (
    *("nan", "inf", "-inf", "1e400", "1e-400", "0x1", "1_0", "+1", ".", "1.", "-0.0", "0.5", "2"),
    *("99999999999999999999", "-1", "1e5", "1,5", "é", "\0", "'", '"', '"a\nb"', "=1", "\ufeff"),
    *("accept", "reject", "fix", "None", "٣", "{", "[", "&a", "*a", "!!python/object:os.system x"),
)


def mutate(data: bytes, random: Random) -> bytes:
    """Return text with one to three of its words or lines changed."""
    lines = data.decode("utf-8", "surrogateescape").splitlines(keepends=True)
    for _ in range(random.choice((1, 1, 1, 2, 3))):
        _change(lines, random)
    return "".join(lines).encode("utf-8", "surrogateescape")


def _change(lines: list[str], random: Random) -> None:
    if not lines:
        lines.append(random.choice(_PIECES))
        return
    at = random.randrange(len(lines))
    way = random.random()
    if way < 0.6:
        lines[at] = _with_other_word(lines[at], random)
    elif way < 0.68:
        del lines[at]
    elif way < 0.76:
        lines[at:at] = [lines[at]] * random.choice((1, 1, 2, 50))
    elif way < 0.8:
        other = random.randrange(len(lines))
        lines[at], lines[other] = lines[other], lines[at]
    elif way < 0.85:
        lines[at] = lines[at].rstrip("\r\n") + random.choice(("", "\r", "\r\n", "\n\n", "\x0c"))
    elif way < 0.9:
        lines[at] = re.sub("[ ,]", random.choice((",", ";", "\t", "  ", "")), lines[at])
    elif way < 0.95:
        lines[at:at] = [random.choice(_PIECES) + "\n"]
    else:
        lines[at] = lines[at].rstrip("\r\n") * random.choice((2, 100)) + "\n"


def _with_other_word(line: str, random: Random) -> str:
    words = list(_WORDS.finditer(line))
    if not words:
        return random.choice(_PIECES) + line
    one = random.choice(words)
    other = random.choice((*_PIECES, str(random.choice(NUMBERS[:19]))))
    way = random.random()
    if way < 0.15:
        other = ""
    elif way < 0.3:
        other = f"{one[0]} {one[0]}"
    elif way < 0.4:
        other = one[0][:-1]
    return line[: one.start()] + other + line[one.end() :]


def mutate_toml(data: bytes, random: Random) -> bytes:
    """Return TOML with some of its values, or of its lines, changed."""
    try:
        content = tomllib.loads(data.decode())
    except (ValueError, RecursionError):
        return mutate(data, random)
    if random.random() < 0.3:
        return mutate(data, random)
    whole: Any = content
    for _ in range(random.choice((1, 1, 2, 3))):
        whole = changed(whole, random)
    if not isinstance(whole, dict):
        return mutate(data, random)
    return "".join(f"{_key(k)} = {_toml(v)}\n" for k, v in whole.items()).encode("utf-8", "replace")


def _toml(value: Any) -> str:
    """Return a value as TOML, everything in one line."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{_key(k)} = {_toml(v)}" for k, v in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(_toml, value)) + "]"
    if value is None:
        return '"none"'
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        return _key(value)
    return repr(value) if not isinstance(value, int) or abs(value) < 10**300 else "1" * 400


def _key(text: str) -> str:
    return json.dumps(text.replace("\x7f", ""))
