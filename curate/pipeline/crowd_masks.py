"""Crowd masks: regions that are not judged, or objects where nearly all masks are crowd."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from curate.common import files
from curate.common.ranges import CROWDS
from curate.dataset.notes import EXAMPLES, Note, NoteRecord, as_dicts
from curate.dataset.table import MaskTable
from curate.store.audit_files import count_parts, part_names, read_part, scored_path, write_info
from curate.store.audit_info import AuditInfo

_, OBJECTS, REGIONS = CROWDS

CROWD_SHARE = 0.9
"""Share of crowd masks from which on they are judged as objects."""

LEAST_CROWD = 5
"""Crowd masks that a file has at least for its share to say something."""

REGION = "crowd_region"
"""Column that is 1 for a mask that is not judged as one object, else 0."""


def as_objects(table: MaskTable) -> MaskTable:
    """Return a table in which no mask is a crowd region; its pixels are not decoded again."""
    if "iscrowd" not in table.masks.columns:
        return table
    crowd = table.masks["iscrowd"]
    judged = replace(table, masks=table.masks.assign(iscrowd=crowd.where(crowd.isna(), 0)))
    judged.__dict__["runs"] = table.runs
    return judged


def with_regions(judged: MaskTable, table: MaskTable) -> pd.DataFrame:
    """Return a table's masks with the column :data:`REGION`, where they say what is crowd.

    Args:
        judged: The table as it was judged.
        table: The table as it was read: its ``iscrowd`` stays what it is.
    """
    if "iscrowd" not in table.masks.columns:
        return table.masks
    region = judged.masks["iscrowd"].to_numpy(np.int8, na_value=0) == 1
    return table.masks.assign(**{REGION: region.astype(np.int8)})


def mostly_crowd(out: Path) -> bool:
    """Return whether nearly all masks of the scored parts are crowd."""
    crowd, masks = 0, 0
    for index in range(count_parts(out)):
        flags = _flags(out, index)
        crowd, masks = crowd + int(flags.sum()), masks + len(flags)
    return crowd >= LEAST_CROWD and crowd >= CROWD_SHARE * masks


def judge_as_objects(out: Path, info: AuditInfo) -> AuditInfo:
    """Throw the scored parts away, so that they are scored again with crowd masks as objects.

    The parts go first: where this is cut off, the next run scores those that are gone as before
    and comes to the same end.

    Returns:
        ``audit.json``, which says so now.
    """
    with files.convert_write_errors(out):
        for index in range(count_parts(out)):
            for kind in ("masks", "images"):
                files.unlink(scored_path(out, kind, index), missing_ok=True)
    info = replace(info, crowd=OBJECTS)
    write_info(out, info)
    return info


def crowd_notes(out: Path, crowd: str | None) -> list[NoteRecord]:
    """Return notes on crowd masks that are judged as objects, as in ``audit.json``."""
    count, masks, examples = 0, 0, list[str]()
    for index in range(count_parts(out) if crowd == OBJECTS else 0):
        flags = _flags(out, index)
        count, masks = count + int(flags.sum()), masks + len(flags)
        if flags.any() and len(examples) < EXAMPLES:
            keys = read_part(out, "masks", index, ["source_key"])["source_key"].to_pandas()
            examples += [str(key) for key in keys[flags][:EXAMPLES]]
    if not count:
        return []
    text = "masks have iscrowd 1 and are judged as objects (--crowd regions leaves them unjudged)"
    note = Note("crowd_as_objects", text, count, examples=tuple(examples[:EXAMPLES]))
    return as_dicts([note], {"masks": masks})


def _flags(out: Path, index: int) -> np.ndarray[Any, np.dtype[np.bool_]]:
    """Return which masks of a scored part have ``iscrowd`` 1."""
    if "iscrowd" not in part_names(out, "masks", index):
        return np.zeros(len(read_part(out, "masks", index, ["mask_id"])), np.bool_)
    column = read_part(out, "masks", index, ["iscrowd"])["iscrowd"].to_pandas()
    return np.asarray(column.fillna(0).to_numpy() == 1, np.bool_)
