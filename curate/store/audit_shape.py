"""Schema of ``audit.json``: types of the values by key."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Each:
    """An object whose keys may be any, and whose values have one shape."""

    value: Any


@dataclass(frozen=True)
class Maybe:
    """A key that may be absent."""

    value: Any


@dataclass(frozen=True)
class OrEmpty:
    """An object of one shape, or one without any key."""

    value: Any


_NUMBER = (int, float)
_NUMBER_OR_NONE = (int, float, type(None))
_NUMBERS = [_NUMBER]
_ANY = Each(object)

_NOTE = {"kind": str, "text": str, "count": int, "of": str, "share": Maybe(_NUMBER_OR_NONE)}
_QUALITY = {"value": _NUMBERS, "share": _NUMBERS, "usual": _NUMBER, "median": _NUMBER}
_IMAGES_WITHOUT = {"count": int, "examples": [str]}

_REFERENCES = {
    "declaration": Maybe(Each((dict, type(None)))),
    "shape": Maybe(  # empty where no mask has pixels
        OrEmpty(
            {
                "features": [str],
                "median": [_NUMBER_OR_NONE],
                "scale": [_NUMBER_OR_NONE],
                "category": [(str, type(None))],
                "category_median": [[_NUMBER_OR_NONE]],
                "category_scale": [[_NUMBER_OR_NONE]],
            }
        )
    ),
    "quality": Each(_QUALITY),
    "quality_quantiles": {"values": _NUMBERS},
}

SHAPE: Mapping[str, Any] = {
    "schema_version": int,
    "state": str,
    "identity": Maybe(_ANY),
    "source": Maybe({"path": Maybe(str), "format": Maybe(str), "fingerprint": Maybe(str)}),
    "inputs": Maybe(Each(str)),
    "settings": Maybe(_ANY),
    "models": Maybe(Each({"name": str, "device": str, "precision": str})),
    "timings": Maybe(Each(_NUMBER)),
    "crowd": Maybe(str),
    "signals": Maybe([{"name": str, "columns": [str], "available": bool, "why": str}]),
    "joins": Maybe(Each({"things": int, "images": int, "joined": int, "keys": Each(int)})),
    "notes": Maybe([_NOTE]),
    "policy": Maybe(_ANY),
    "judged_by": Maybe((str, type(None))),
    "certified_line": Maybe(_NUMBER_OR_NONE),
    "version": Maybe((str, type(None))),
    "references": Maybe(_REFERENCES),
    "rules_of_file": Maybe([int]),
    "parts": Maybe(int),
    "counts": Maybe({"masks": int, "images": int, "actions": Each(int), "status": Each(int)}),
    "stability_curve": Maybe((dict, type(None))),
    "silent_rules": Maybe([{"rule": int, "when": str, "lacks": [str]}]),
    "quality_model": Maybe(
        {"file": str, "sha256": str, "outcome": str, "quality_quantiles": {"values": _NUMBERS}}
    ),
    "learning": Maybe(_ANY),
    "certificate": Maybe(_ANY),
    "estimate": Maybe(_ANY),
}
"""Required and optional keys of every audit; other keys may hold anything."""


def misfit(value: object, shape: Any = SHAPE, place: str = "") -> str:
    """Say where a value is not of a shape, as a clause; "" where it is.

    Args:
        value: What was read.
        shape: A type or several; a list of one shape for lists of it; :class:`Each`; or the keys
            of an object, which may have others beside.
        place: Where the value stands, for the clause.
    """
    if isinstance(shape, Maybe):
        shape = shape.value
    if isinstance(shape, OrEmpty):
        return "" if value == {} else misfit(value, shape.value, place)
    if isinstance(shape, list):
        if not isinstance(value, list):
            return f"{place} is no list"
        inside = ((f"{place}[{k}]", one, shape[0]) for k, one in enumerate(value))
    elif isinstance(shape, Each | Mapping):
        if not isinstance(value, dict):
            return f"{place or 'it'} is no object"
        inside = _members(value, shape, place)
    else:
        kinds = shape if isinstance(shape, tuple) else (shape,)
        fits = isinstance(value, kinds) and (type(value) is not bool or {bool, object} & {*kinds})
        return "" if fits else f"{place} is {_show(value)}"
    return next(filter(None, (misfit(one, of, where) for where, one, of in inside)), "")


def _members(value: dict[str, Any], shape: Any, place: str) -> Any:
    """Yield where each value of an object stands, the value, and the shape it should have."""
    dot = f"{place}." if place else ""
    if isinstance(shape, Each):
        yield from ((f"{dot}{key}", one, shape.value) for key, one in value.items())
        return
    for key, of in shape.items():
        if key in value or not isinstance(of, Maybe):
            yield f"{dot}{key}", value.get(key), of


def _show(value: object) -> str:
    return "missing or null" if value is None else f"{value!r:.40}"
