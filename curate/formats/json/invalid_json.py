"""Diagnosis of broken JSON: common mistakes of other programs, recognised by their bytes."""

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


_PYTHON = re.compile(rb"None\b|True\b|False\b|'|-?nan\b|-?inf\b|b'|b\"|\(")
_NUMPY = re.compile(rb"((np|numpy|torch)\.\w+|array|tensor)\(")


def cause_of(before: bytes, after: bytes, is_over: bool) -> tuple[str, str] | None:
    """Diagnose the fault where a parser stopped: the fault and the remedy.

    Args:
        before: Some bytes before the place.
        after: Some bytes from there on.
        is_over: Whether a whole JSON value stands before the place.

    Returns:
        A clause and an advice; None where nothing is recognised.
    """
    numpy = _NUMPY.match(after)
    if numpy:
        what = f"it holds {numpy[0].decode('ascii')}...), as Python prints numbers of NumPy"
        return f"{what}; that is no JSON", "convert them with int(), float() or .tolist() first"
    if _PYTHON.match(after):
        shown = re.match(rb"\w*|.", after)
        word = (shown[0] if shown and shown[0] else after[:1]).decode("ascii", "replace")
        what = f"it is written as Python prints it ({word} here), not as JSON"
        return what, "write it with json.dump"
    if after[:1] in (b"}", b"]") and before.rstrip().endswith(b","):
        sign = after[:1].decode("ascii")
        return f"there is a comma before {sign}, which JSON does not allow", "remove that comma"
    if after.startswith((b"//", b"/*", b"#")):
        return "there is a comment here, which JSON does not allow", "remove the comments"
    if is_over and after[:1] in (b"{", b"["):
        what = "a second JSON value follows the first, as in JSON Lines"
        return what, "put all of them into one list, with commas between"
    return None


def looks_latin(byte: int) -> str:
    """Return how a byte that is no UTF-8 may be meant: a letter of Latin-1, else ""."""
    letter = bytes([byte]).decode("cp1252", "ignore")
    return letter if letter.isalpha() or letter in "°²³µ£§«»“”‘’–—" else ""
