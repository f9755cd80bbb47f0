"""Notes: findings for the whole file, counted once instead of told of every mask."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import NotRequired, TypedDict

EXAMPLES = 3
"""How many places a note names."""

OF_MODELS = "models"
"""What a note counts that speaks of a model, and of no mask, image or file."""

FILE_SHARE = 0.8
"""What holds for more than this share of the masks (or images) is said once, of the file."""

LONGEST_NAME = 60
"""Characters of a name that stay in :func:`clean_name`."""

SHORT_DIGITS = 12
"""Hex digits of a version id's short form."""


def plural(n: int, noun: str, many: str = "") -> str:
    """Return ``noun`` in the number that ``n`` asks for."""
    return noun if n == 1 else many or noun + "s"


def count_noun(n: int, noun: str, many: str = "") -> str:
    """Return a number with its noun: "1 mask", "2,000 masks"."""
    return f"{n:,} {plural(n, noun, many)}"


def mark_unprintable(text: str) -> str:
    """Return a text as one line without control characters, each of which becomes "?"."""
    return "".join(c if c.isprintable() else "?" for c in text)


def clean_name(text: object) -> str:
    """Return a name of a stranger's file as one short line without control characters."""
    name = str(text) if isinstance(text, str) else ""
    plain = mark_unprintable(name)
    return plain if len(plain) <= LONGEST_NAME else f"...{plain[3 - LONGEST_NAME :]}"


@dataclass(frozen=True)
class Note:
    """One thing that holds for many masks, images or inputs, and needs saying once.

    Attributes:
        kind: A word for machines, the same in every audit: ``flat_polygon``.
        text: A sentence part for people, without the count: "polygons are lists of numbers".
        count: How many masks (or images, or files) it holds for.
        of: What is counted: ``masks``, ``images`` or ``files``; ``models`` where the text speaks of
            a model, and says all.
        examples: Up to :data:`EXAMPLES` places: source keys of masks, names of images or files.
    """

    kind: str
    text: str
    count: int
    of: str = "masks"
    examples: tuple[str, ...] = ()


class Notes:
    """Collects notes by kind, in the order of their first appearance."""

    def __init__(self) -> None:
        self._found: dict[tuple[str, str, str], tuple[int, tuple[str, ...]]] = {}

    def add(self, kind: str, text: str, example: str = "", of: str = "masks") -> None:
        """Count one more mask (or image, or file) of a kind."""
        self.merge([Note(kind, text, 1, of, (example,) if example else ())])

    def merge(self, notes: Iterable[Note]) -> None:
        """Take in notes; those of one kind and text become one."""
        for note in notes:
            key = (note.kind, note.text, note.of)
            count, examples = self._found.get(key, (0, ()))
            examples = tuple(dict.fromkeys((*examples, *note.examples)))[:EXAMPLES]
            self._found[key] = (count + note.count, examples)

    def list(self) -> tuple[Note, ...]:
        """Return the notes."""
        return tuple(
            Note(kind, text, count, of, examples)
            for (kind, text, of), (count, examples) in self._found.items()
        )


def merge_notes(notes: Iterable[Note]) -> tuple[Note, ...]:
    """Return notes of which those of one kind and text are one."""
    collected = Notes()
    collected.merge(notes)
    return collected.list()


class NoteRecord(TypedDict):
    """A note as it stands in ``audit.json``, see :class:`Note`.

    ``share`` is that of all masks or images, in [0, 1], None where these were not counted.
    """

    kind: str
    text: str
    count: int
    of: str
    share: NotRequired[float | None]
    examples: NotRequired[list[str]]


def as_dicts(notes: Iterable[Note], totals: Mapping[str, int]) -> list[NoteRecord]:
    """Return notes as they stand in ``audit.json``.

    Args:
        notes: The notes.
        totals: How many masks and images there are, by ``of``; the share of what is not counted
            here is None.
    """
    return [
        {
            "kind": note.kind,
            "text": note.text,
            "count": note.count,
            "of": note.of,
            "share": note.count / totals[note.of] if totals.get(note.of) else None,
            "examples": list(note.examples),
        }
        for note in notes
    ]


def replace_notes(before: Iterable[NoteRecord], notes: Sequence[NoteRecord]) -> list[NoteRecord]:
    """Return the earlier notes of other kinds than the new ones, then the new ones."""
    kinds = {note["kind"] for note in notes}
    return [*(note for note in before if note["kind"] not in kinds), *notes]


def count_text(note: NoteRecord, noun_total: int | None = None) -> str:
    """Return "12 of 16 masks", or "12 masks" where the total is not known."""
    noun = note["of"] if (noun_total or note["count"]) != 1 else note["of"].removesuffix("s")
    of = f" of {noun_total:,}" if noun_total else ""
    return f"{note['count']:,}{of} {noun}"


def printable(text: str) -> str:
    """Return the beginning of foreign text, without what could steer a terminal."""
    return "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in text[:120])


def short_version(version: str) -> str:
    """Return the short form of a version id, for people."""
    return version[:SHORT_DIGITS]


def finite_or_none(value: float) -> float | None:
    """Return a number as JSON can hold it: None where it is not finite."""
    return value if math.isfinite(value) else None


def encodable(value: object) -> object:
    """Return plain values with bytes of file names that are no UTF-8 as escapes.

    Args:
        value: Texts, numbers, and what holds them: mappings, lists, tuples.
    """
    if isinstance(value, str):
        return value.encode("utf-8", "backslashreplace").decode()
    if isinstance(value, dict):
        return {encodable(key): encodable(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [encodable(one) for one in value]
    return value
