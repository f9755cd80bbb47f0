"""JSON of unknown content: what is parsed from it is checked before it is used."""

from __future__ import annotations

import sys
from collections.abc import Mapping

JsonObject = Mapping[str, object]
"""An object of a JSON (TOML, CBOR) document of strangers, or of a record that is only passed on."""


def is_finite_number(value: object) -> bool:
    """Whether a parsed value is a number that a float can hold; no NaN, no infinity, no bool.

    JSON's whole numbers can be beyond floats, and :func:`math.isfinite` fails on those.
    """
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    return abs(value) <= sys.float_info.max
