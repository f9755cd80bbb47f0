"""Check of JSON values against types: records, lists and objects of records, numbers, texts."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from types import NoneType, UnionType
from typing import (
    Any,
    Literal,
    NotRequired,
    Union,
    get_args,
    get_origin,
    get_type_hints,
    is_typeddict,
)

from curate.store.audit_records import Empty


@dataclass(frozen=True)
class Each:
    """An object whose keys may be any, and whose values have one shape."""

    value: object


@dataclass(frozen=True)
class Several:
    """A list whose items have one shape."""

    item: object


@dataclass(frozen=True)
class Members:
    """An object by its keys, which may have others beside.

    Attributes:
        shapes: The shape of the value by key.
        required: Keys that must be there.
        or_empty: Whether it may have no key at all.
    """

    shapes: Mapping[str, object]
    required: frozenset[str] = frozenset()
    or_empty: bool = False


@dataclass(frozen=True)
class OrNull:
    """A value of one shape, or null."""

    value: object


def shape_of(kind: Any) -> object:
    """Return the shape of a type, for :func:`misfit`.

    Args:
        kind: A ``TypedDict``, ``dict`` or ``Mapping`` by text, ``list`` or ``Sequence``, ``str``,
            ``bool``, ``int``, ``float`` (any number), ``Literal`` (of its type), ``object``
            (anything); or one of these or None, or :class:`Empty`.
    """
    origin, inner = get_origin(kind), get_args(kind)
    if is_typeddict(kind):
        hints = get_type_hints(kind, include_extras=True)
        shapes = {name: shape_of(one) for name, one in hints.items()}
        # Not kind.__required_keys__: annotations are texts here, and the class has not read them.
        optional = {name for name, one in hints.items() if get_origin(one) is NotRequired}
        required = frozenset(shapes) - optional if kind.__total__ else frozenset[str]()
        return Members(shapes, required)
    if origin is NotRequired:
        return shape_of(inner[0])
    if origin in (Union, UnionType):
        (one,) = (part for part in inner if part not in (NoneType, Empty))
        shape = shape_of(one)
        if Empty in inner and isinstance(shape, Members):
            shape = replace(shape, or_empty=True)
        return OrNull(shape) if NoneType in inner else shape
    if origin in (dict, Mapping):
        return Each(shape_of(inner[1]))
    if origin in (list, Sequence):
        return Several(shape_of(inner[0]))
    if origin is Literal:
        return tuple({type(one) for one in inner})
    return (int, float) if kind is float else (kind,)


def misfit(value: object, shape: object, place: str = "") -> str:
    """Say where a value is not of a shape, as a clause; "" where it is.

    Args:
        value: What was read.
        shape: From :func:`shape_of`.
        place: Where the value stands, for the clause.
    """
    if isinstance(shape, OrNull):
        return "" if value is None else misfit(value, shape.value, place)
    inside: Iterator[tuple[str, object, object]]
    if isinstance(shape, Several):
        if not isinstance(value, list):
            return f"{place} is no list"
        inside = ((f"{place}[{k}]", one, shape.item) for k, one in enumerate(value))
    elif isinstance(shape, Each | Members):
        if not isinstance(value, dict):
            return f"{place or 'it'} is no object"
        inside = _members(value, shape, f"{place}." if place else "")
    else:
        kinds = shape if isinstance(shape, tuple) else (shape,)
        fits = isinstance(value, kinds) and (type(value) is not bool or {bool, object} & {*kinds})
        return "" if fits else f"{place} is {_show(value)}"
    return next(filter(None, (misfit(one, of, where) for where, one, of in inside)), "")


def _members(
    value: Mapping[str, object], shape: Each | Members, dot: str
) -> Iterator[tuple[str, object, object]]:
    """Yield where each value of an object stands, the value, and the shape it should have."""
    if isinstance(shape, Each):
        yield from ((f"{dot}{key}", one, shape.value) for key, one in value.items())
    elif value or not shape.or_empty:
        for key, of in shape.shapes.items():
            if key in value or key in shape.required:
                yield f"{dot}{key}", value.get(key), of


def _show(value: object) -> str:
    return "missing or null" if value is None else f"{value!r:.40}"
