"""Reason templates: sentences with ``{column}`` fields, filled without ``str.format``.

A policy may come from a stranger, and ``str.format`` lets a text reach into objects and ask for
gigabytes of padding. Here a field is a column's name and at most a number format.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from curate.errors import CallError

JOINT = "; "
"""Stands between two reasons of a mask, and therefore never inside one."""

LONGEST_TEXT = 160
"""Characters of a text column that a reason repeats."""

_FIELD = re.compile(r"\{([^{}]*)\}")
_COLUMN = re.compile(r"([^\W\d]\w*)(?::(.*))?")
_SPEC = re.compile(r",?(?:\.\d)?[fged%]?")


@dataclass(frozen=True)
class Wording:
    """A reason's text, cut at its fields.

    Attributes:
        text: As it was written.
        pieces: Plain text, then (column, format), then plain text, and so on.
    """

    text: str
    pieces: tuple[str | tuple[str, str], ...]

    @classmethod
    def parse(cls, text: str, where: str = "") -> Wording:
        """Cut a reason at its fields.

        Raises:
            CallError: A brace has no partner, or a field is not a column with a number format.
        """
        pieces: list[str | tuple[str, str]] = []
        for k, piece in enumerate(_FIELD.split(text)):
            if k % 2:
                pieces.append(_field(piece, where))
            elif "{" in piece or "}" in piece:
                raise CallError(f"a brace without its partner in {text!r}", where)
            else:
                pieces.append(_tame(piece, len(text)))
        return cls(text, tuple(pieces))

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns it shows."""
        return tuple(dict.fromkeys(p[0] for p in self.pieces if not isinstance(p, str)))

    def fill(
        self, columns: Mapping[str, Sequence[Any]], rows: int, *, strip: bool = True
    ) -> list[str]:
        """Return the reason for each of ``rows`` masks; a missing value reads "unknown".

        Args:
            columns: Values by column.
            rows: Masks.
            strip: Whether spaces around it go; not those of a clause that goes on behind a reason.
        """
        if not self.columns:
            text = "".join(str(p) for p in self.pieces)
            return [text.strip() if strip else text] * rows
        parts = [
            [piece] * rows
            if isinstance(piece, str)
            else [format_value(v, piece[1]) for v in columns.get(piece[0], [None] * rows)]
            for piece in self.pieces
        ]
        texts = ["".join(row) for row in zip(*parts, strict=True)]
        return [text.strip() for text in texts] if strip else texts


def _field(field: str, where: str) -> tuple[str, str]:
    found = _COLUMN.fullmatch(field.strip())
    if not found:
        raise CallError(f"{{{field}}} is not a column", where, "write {column} or {column:.2f}")
    spec = found.group(2) or ""
    if not _SPEC.fullmatch(spec):
        raise CallError(
            f"{spec!r} is not a number format",
            where,
            "write for example {column:.2f} or {column:.0%}",
        )
    return found.group(1), spec


def format_value(value: Any, spec: str = "") -> str:
    """Return a value as a reason shows it; whole numbers have no decimals, text is tamed."""
    if value is None or value != value:
        return "unknown"
    if isinstance(value, str):
        return _tame(value, LONGEST_TEXT).replace("“", '"').replace("”", '"')
    number = float(value)
    if not math.isfinite(number):
        return str(number)
    if not spec:
        return str(int(value)) if number == int(number) else f"{number:.3g}"
    whole = spec.endswith("d") or (spec == "," and number == int(number))
    return format(round(number) if whole else number, spec)


def _tame(text: str, limit: int) -> str:
    """Keep foreign text on one line, short, and free of what separates reasons."""
    text = re.sub(r"\s", " ", text[: limit + 1]).replace(";", ",")
    return text[: limit - 1] + "…" if len(text) > limit else text
