"""Formatting of numbers, names and reasons for people."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from hashlib import blake2b
from typing import Any

from markupsafe import Markup, escape

from curate.dataset.notes import plural as plural

LONGEST_NAME = 160
"""Characters of a name that a page shows; a name may be a megabyte long."""

BLANKED = r"“[^”]*”|-?\d+(?:[.,]\d+)*"
"""Parts that differ between reasons of one kind: numbers, names in quotation marks."""

_BLANKED = re.compile(BLANKED)


def display_text(value: Any, limit: int = LONGEST_NAME) -> str:
    """Return foreign text as something a page can show on one line.

    Control characters become their visible pictures (a newline becomes a return sign),
    bidirectional overrides and lone surrogates a replacement sign, a missing value a dash. Markup
    is *not* escaped here: that is the template's work.
    """
    if value is None or value != value:
        return "–"
    text = str(value)
    text = text[:limit] + "…" if len(text) > limit else text
    return "".join(_visible(c) for c in text)


def _visible(character: str) -> str:
    code = ord(character)
    if character == "\n":
        return "⏎"
    if code < 0x20:
        return chr(0x2400 + code)
    if 0x7F <= code < 0xA0 or 0x202A <= code <= 0x202E or 0x2066 <= code <= 0x2069:
        return "\N{REPLACEMENT CHARACTER}"
    if 0xD800 <= code <= 0xDFFF or code in (0xFFFE, 0xFFFF):
        return "\N{REPLACEMENT CHARACTER}"
    return character


def count(value: Any) -> str:
    """Return a whole number with commas between thousands, or a dash."""
    if value is None or value != value:
        return "–"
    return f"{int(value):,}"


def share(part: float, whole: float) -> str:
    """Return ``part`` of ``whole`` in percent, never rounded to 0 or 100 when it is neither."""
    if not whole:
        return "–"
    percent = 100 * part / whole
    if 0 < percent < 0.1:
        return "<\N{NARROW NO-BREAK SPACE}0.1%"
    if 99.9 < percent < 100:
        return ">\N{NARROW NO-BREAK SPACE}99.9%"
    return f"{percent:.0f}%" if percent in (0, 100) else f"{percent:.1f}%"


def number(value: Any) -> str:
    """Return a measurement with about three significant digits, or a dash where there is none."""
    if value is None:
        return "–"
    value = float(value)
    if not math.isfinite(value):
        return "–"
    if value == int(value) and abs(value) < 1e15:
        return count(value) if abs(value) >= 1000 else str(int(value))
    if abs(value) >= 1000:
        return count(round(value))
    return f"{value:.3g}" if abs(value) >= 10 or abs(value) < 0.001 else f"{value:.3f}"


def short(value: Any) -> str:
    """Return a number of an axis without trailing zeros."""
    return number(value) if abs(value) >= 1000 else f"{value:.3g}"


def score(value: Any) -> str:
    """Return a score with two decimals (three near the ends, where they matter), or a dash."""
    if value is None or value != value:
        return "–"
    value = float(value)
    near_end = 0 < value < 0.01 or 0.99 < value < 1
    return f"{value:.3f}" if near_end else f"{value:.2f}"


def seconds(value: Any) -> str:
    """Return a duration as people say it."""
    try:
        left = float(value)
    except (TypeError, ValueError):
        return display_text(value)
    if not math.isfinite(left):
        return "–"
    if left < 1:
        return f"{1000 * left:.0f} ms"
    if left < 60:
        return f"{left:.1f} s"
    minutes, rest = divmod(round(left), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {rest} s"


def with_code(text: str) -> Markup:
    """Return our own sentence as HTML, what stands in backticks as code; all of it is escaped."""
    parts = [escape(display_text(part, len(part))) for part in text.split("`")]
    return Markup("").join(
        Markup("<code>{}</code>").format(part) if k % 2 else part for k, part in enumerate(parts)
    )


def kind_of(reason: str) -> str:
    """Return the pattern shared by reasons of one rule: numbers that can differ are blanked.

    The same replacement is done in SQL over millions of rows; :data:`KIND_SQL` must stay equal.
    """
    return _BLANKED.sub("…", reason.strip())


def hash_reason(kind: str) -> str:
    """Return the id of a kind of reason (see :func:`kind_of`), by which pages filter."""
    return blake2b(kind.encode(), digest_size=6).hexdigest()


def merge_reasons(reasons: Sequence[str]) -> str:
    """Return reasons of one kind as one sentence: what differs in them is blanked."""
    numbers = zip(*(_BLANKED.findall(reason) for reason in reasons), strict=True)
    kept = [found[0] if len(set(found)) == 1 else "…" for found in numbers]
    plain = _BLANKED.split(reasons[0].strip())
    return "".join(a + b for a, b in zip(plain, [*kept, ""], strict=True))


def plain_reason(reason: str) -> str:
    """Take the numbers in which masks differ out of a reason that stands for many masks.

    Of a weakest signal ("weakest signal: compactness …") its name stays.
    """
    if reason.startswith("weakest signal"):
        return reason.rstrip(" …")
    reason = re.sub(r" \([^()]*…[^()]*\)", "", reason)
    return re.sub(r":[^:…]{0,20}…$", "", reason).replace("mask …", "another mask")


KIND_SQL = f"regexp_replace(trim({{}}), '{BLANKED}', '…', 'g')"
"""SQL of :func:`kind_of`; format it with the expression of one reason."""


def title_of(column: str) -> str:
    """Return a column's name as words, for columns that nobody described."""
    words = column.removesuffix("_score").replace("_", " ").strip()
    return words[:1].upper() + words[1:]
