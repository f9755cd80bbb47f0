"""Conversion of the report's records to plain values: what JSON can hold, and nothing else."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import fields, is_dataclass
from functools import cache

import numpy as np
import pandas as pd

_PLAIN = frozenset({str, int, bool, type(None)})

PlainValue = str | int | float | bool | None | list["PlainValue"] | dict[str, "PlainValue"]


def as_plain(value: object) -> PlainValue:
    """Return a record and all in it as plain values.

    Args:
        value: A dataclass (its fields and its public properties become an object's members), a
            mapping (its keys become text), a sequence, a number, text or None.

    Returns:
        NaN, infinities and missing values become None; numbers of NumPy numbers of Python; bytes
        become None, for a report shows none; all else becomes its text.
    """
    # By type first: a report has tens of thousands of these.
    if type(value) in _PLAIN or isinstance(value, bool | str | int):
        return value  # type: ignore[return-value]
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if is_dataclass(value) and not isinstance(value, type):
        return {name: as_plain(getattr(value, name)) for name in member_names(type(value))}
    if isinstance(value, Mapping):
        return {str(key): as_plain(one) for key, one in value.items()}
    if isinstance(value, np.generic | np.ndarray):
        return as_plain(value.tolist())
    if isinstance(value, bytes | bytearray | memoryview) or value is pd.NA or value is pd.NaT:
        return None
    return [as_plain(one) for one in value] if isinstance(value, Sequence) else str(value)


@cache
def member_names(kind: type) -> tuple[str, ...]:
    """Return the names of a dataclass's fields and public properties."""
    own = [field.name for field in fields(kind)]
    properties = [
        name
        for one in reversed(kind.__mro__)
        for name, member in vars(one).items()
        if isinstance(member, property) and not name.startswith("_") and name not in own
    ]
    return (*own, *properties)
