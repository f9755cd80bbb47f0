"""The audit directory: what stands in it, how it is written whole, and how it is read back."""

from curate.audit_info import COMPLETE, DECIDING, INFO, SCHEMA_VERSION, SCORING, read_info
from curate.store.audit import JOINS, OWN_NAMES, Audit, claim, connect, open_audit, release
from curate.store.files import (
    PICKED_BY,
    WORK,
    count_parts,
    is_scored,
    part_names,
    part_path,
    part_paths,
    read_part,
    read_scored,
    scored_path,
    to_frame,
    write_json,
    write_part,
    write_scored,
    writing,
)
from curate.store.notes import notes_of_parts, with_notes
from curate.store.parts import read_columns
from curate.store.people import (
    OVERRIDDEN,
    PEOPLE,
    create_views,
    moved_by_people,
    read_people,
    with_people,
)
from curate.store.pictures import known_pictures, open_pictures

__all__ = [
    "COMPLETE",
    "DECIDING",
    "INFO",
    "JOINS",
    "OVERRIDDEN",
    "OWN_NAMES",
    "PEOPLE",
    "PICKED_BY",
    "SCHEMA_VERSION",
    "SCORING",
    "WORK",
    "Audit",
    "claim",
    "connect",
    "count_parts",
    "create_views",
    "is_scored",
    "known_pictures",
    "moved_by_people",
    "notes_of_parts",
    "open_audit",
    "open_pictures",
    "part_names",
    "part_path",
    "part_paths",
    "read_columns",
    "read_info",
    "read_part",
    "read_people",
    "read_scored",
    "release",
    "scored_path",
    "to_frame",
    "with_notes",
    "with_people",
    "write_json",
    "write_part",
    "write_scored",
    "writing",
]
