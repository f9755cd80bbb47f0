"""Changes of the values that JSON holds, and JSON text made of them again."""

from __future__ import annotations

import json
import math
from random import Random
from typing import Any

TWICE = "\0twice"
"""Behind a key: it is written without this, so that the key stands there twice."""

NUMBERS: tuple[Any, ...] = (
    *(0, 1, -1, 2, 3, 255, 256, 65535, 65536, 2**31 - 1, 2**31, 2**32, 2**53, 2**53 + 1),
    *(2**62, 2**63 - 1, 2**63, 2**64, -(2**63), -(2**63) - 1, 10**30, 10**400),
    *(0.5, -0.0, 1e-320, 1e16, 1e19, 1e300, 1.5, 0.1 + 0.2, math.nan, math.inf, -math.inf),
)
TEXTS = (
    *("", " ", "0", "1", "-1", "1e5", "nan", "null", "true", "NaN", "\0", "\ud800", "\udfff"),
    *("é", "\u202e", "a\nb", "=1+1", "<b>&amp;", "x" * 3000, "../../x.png", "/etc/hostname"),
    *("..", ".", "C:\\x.png", "a/../b", "~~~", "b'1'", "[1]", "{}", "%s", "1" * 400),
)


def mutate(data: bytes, random: Random) -> bytes:
    """Return JSON with one to three of its values changed; bytes that are none are given back."""
    try:
        value = json.loads(data)
    except (ValueError, RecursionError):
        return data
    for _ in range(random.choice((1, 1, 1, 2, 3))):
        value = changed(value, random)
    return as_json(value, random)


def as_json(value: Any, random: Random | None = None) -> bytes:
    """Return a value as JSON text, with keys that stand twice where :data:`TWICE` says so."""
    try:
        made = json.dumps(value, indent=random.choice((None, None, 1)) if random else None)
    except (ValueError, RecursionError):  # an integer of too many digits, or too deep
        return b"[" * 3000 + b"]" * 3000
    return made.replace("\\u0000twice", "").encode()


def changed(value: Any, random: Random) -> Any:
    """Return a value with one value somewhere in it changed; the value itself may be changed."""
    place: Any = None
    key: Any = None
    here = value
    while isinstance(here, list | dict) and here and random.random() < 0.85:
        place, key = here, random.choice(list(here) if isinstance(here, dict) else range(len(here)))
        here = here[key]
    if place is None:
        return _other(here, value, random)
    way = random.random()
    if way < 0.1:
        del place[key]
    elif way < 0.16:
        _repeat(place, key, here, random)
    elif way < 0.22 and isinstance(place, dict):
        place[random.choice((*TEXTS[:20], *_keys_in(value, random)))] = place.pop(key)
    elif way < 0.28:
        keys: list[Any] = list(place) if isinstance(place, dict) else [*range(len(place))]
        other = random.choice(keys)
        place[key], place[other] = place[other], place[key]
    else:
        place[key] = _other(here, value, random)
    return value


def _repeat(place: Any, key: Any, here: Any, random: Random) -> None:
    if isinstance(place, dict):
        place[key + TWICE] = random.choice((here, None, 7, "x", [], {}))
    else:
        place[key:key] = [here] * random.choice((1, 1, 2, 40))


def _keys_in(value: Any, random: Random) -> list[str]:
    """Return keys of an object somewhere in a value."""
    for _ in range(4):
        if isinstance(value, dict) and value:
            if random.random() < 0.4:
                return list(value)
            value = random.choice(list(value.values()))
        elif isinstance(value, list) and value:
            value = random.choice(value)
    return list(value) if isinstance(value, dict) else []


def _other(here: Any, whole: Any, random: Random) -> Any:
    """Return something else in the place of a value."""
    way = random.random()
    if way < 0.45:
        return _near(here, random)
    if way < 0.6:
        return random.choice(NUMBERS)
    if way < 0.72:
        return random.choice(TEXTS)
    if way < 0.8:
        return random.choice((None, True, False, [], {}, [[]], [None], {"": None}))
    if way < 0.88:
        return random.choice(([here], {"x": here}, str(here)[:200], [here, here], as_text(here)))
    if way < 0.9:
        return deep(random)
    return _elsewhere(whole, random)


def as_text(value: Any) -> str:
    """Return a value as JSON text of its own, as tools write it that pack it twice."""
    try:
        return json.dumps(value)
    except ValueError:
        return "?"


def deep(random: Random) -> Any:
    """Return lists or objects nested far deeper than any dataset has them."""
    made: Any = random.choice((0, "x", None))
    kind = random.choice(("list", "dict"))
    for _ in range(random.choice((5, 40, 300, 900))):
        made = [made] if kind == "list" else {"a": made}
    return made


def _elsewhere(whole: Any, random: Random) -> Any:
    here = whole
    while isinstance(here, list | dict) and here and random.random() < 0.8:
        here = random.choice(list(here.values()) if isinstance(here, dict) else here)
    return json.loads(json.dumps(here)) if here is not whole else None


def _near(here: Any, random: Random) -> Any:
    """Return a value of the same type, a little off."""
    if isinstance(here, bool) or here is None:
        return random.choice((True, False, 0, 1, None))
    if isinstance(here, int):
        if abs(here) > 2**200:
            return -here
        return random.choice((here + 1, here - 1, -here, here * 2, float(here), here + 0.5, 0))
    if isinstance(here, float):
        return random.choice((-here, here * 1e6, int(here) if math.isfinite(here) else 0, here + 1))
    if isinstance(here, str):
        return _near_text(here, random)
    if isinstance(here, list):
        return _near_list(here, random)
    return {key: here[key] for key in here if random.random() < 0.7}


def _near_text(here: str, random: Random) -> str:
    if not here:
        return random.choice(TEXTS)
    at = random.randrange(len(here))
    way = random.randrange(6)
    if way == 0:
        return here[:at]
    if way == 1:
        return here[:at] + chr(random.randrange(32, 127)) + here[at + 1 :]
    if way == 2:
        return (
            here[:at] + random.choice(("\0", "é", "\ud83d", "/", "\\", "0", "~", "P")) + here[at:]
        )
    if way == 3:
        return here[:at] + here[at:] * 2
    if way == 4:
        return here.swapcase()
    return here[::-1]


def _near_list(here: list[Any], random: Random) -> list[Any]:
    way = random.randrange(7)
    if way == 0:
        return here[: random.randrange(len(here) + 1)]
    if way == 1:
        return [*here, *here[:1]]
    if way == 2:
        return here[1:]
    if way == 3:
        return [*here, random.choice((*NUMBERS, None, "x"))]
    if way == 4:
        return here[::-1]
    if way == 5:
        return [one * 2 if isinstance(one, float) else one for one in here]
    return here * random.choice((2, 30))
