"""Notes of a dataset's parts: kept beside their images, and put together for the whole."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path

import orjson
import pyarrow as pa

from curate.notes import Note, merged
from curate.store.files import count_parts, read_part

_NOTES = b"curate notes"
"""Where in the metadata of a part's images its notes stand."""


def with_notes(images: pa.Table, notes: Iterable[Note]) -> pa.Table:
    """Return a part's images with its notes beside them."""
    stated = [asdict(note) for note in notes]
    if not stated:
        return images
    metadata = (images.schema.metadata or {}) | {_NOTES: orjson.dumps(stated)}
    return images.replace_schema_metadata(metadata)


def notes_of_parts(out: Path) -> tuple[Note, ...]:
    """Return the notes of all parts, those of one kind as one."""
    found: list[Note] = []
    for index in range(count_parts(out)):
        stated = (read_part(out, "images", index, []).schema.metadata or {}).get(_NOTES)
        for note in orjson.loads(stated) if stated else []:
            found.append(Note(**note | {"examples": tuple(note["examples"])}))
    return merged(found)
