"""Mutations that know the structure of what they change, one module a kind of file."""

from __future__ import annotations

from random import Random

from fuzz.mutate import archives, markup, parquet, pictures, raw, sqlite, text, values
from fuzz.mutate.kinds import kind_of

__all__ = ["kind_of", "mutate", "parses"]

RAW_SHARE = 0.15
"""Share of the mutants whose bytes are changed without a look at what they mean."""

_STRUCTURED = {
    "json": values.mutate,
    "xml": markup.mutate,
    "toml": text.mutate_toml,
    "text": text.mutate,
    "png": pictures.mutate_png,
    "tiff": pictures.mutate_tiff,
    "zip": archives.mutate_zip,
    "tar": archives.mutate_tar,
    "parquet": parquet.mutate,
    "sqlite": sqlite.mutate,
}


def mutate(name: str, data: bytes, random: Random) -> bytes:
    """Return a file's content with one to three changes.

    Args:
        name: Its name, whose suffix says what it is.
        data: Its content.
        random: What chooses the changes.
    """
    change = _STRUCTURED.get(kind_of(name, data))
    if change is None or random.random() < RAW_SHARE:
        return raw.mutate(data, random)
    try:
        return change(data, random)
    except Exception:  # an earlier change left nothing whose structure can be seen
        return raw.mutate(data, random)


def parses(name: str, data: bytes) -> bool:
    """Return whether a plain parser that shares no code with curate takes a file's content."""
    return archives.parses(name, data)
