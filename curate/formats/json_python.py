"""JSON as Python's own parser takes it: with NaN and Infinity, and halves of surrogate pairs."""

from __future__ import annotations

import json
import re
from typing import Any

_HALF = re.compile(r"\\u[dD][89a-fA-F]")


def loads(text: str) -> Any:
    """Return the value of a JSON text.

    Args:
        text: JSON. NaN and Infinity are numbers. A half of a surrogate pair, which no table and no
            file name can hold, becomes the text of its escape (``\\ud800``).

    Raises:
        ValueError: It is no JSON, or a whole number has thousands of digits.
        RecursionError: It is nested too deeply.
    """
    value = json.loads(text)
    return _with_plain_texts(value) if _HALF.search(text) else value


def _with_plain_texts(value: Any) -> Any:
    if isinstance(value, str):
        return value.encode("utf-8", "backslashreplace").decode("utf-8")
    if isinstance(value, list):
        return [_with_plain_texts(one) for one in value]
    if isinstance(value, dict):
        return {_with_plain_texts(key): _with_plain_texts(one) for key, one in value.items()}
    return value
