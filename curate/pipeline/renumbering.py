"""Renumbering of ids that occur in two parts of an audit, in one atomic switch.

The renumbered parts are written into a folder beside the others. It gets its name when all of them
are there; from then on they are what counts, and are moved into place, as often as it takes. So
whatever is cut off, masks and images of all parts are either as they were or as they will be.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa

from curate.common import files
from curate.common.arrays import AnyArray
from curate.store.audit import connect
from curate.store.audit_files import WORK, count_parts, read_part, scored_path, write_scored
from curate.store.exact_integers import exact_integers

IN_MEMORY = 8_000_000
"""Masks whose ids are compared in memory; those of more are compared on disk."""

POINTERS = ("duplicate_of", "overlap_with", "nested_in")
"""Columns that hold the id of another mask of the same image."""

_KINDS = ("masks", "images")
_MADE, _SWITCHED = "renumbering", "renumbered"


def repair_ids(out: Path) -> None:
    """Number masks (or images) anew, in order, where one id stands in two parts.

    Args:
        out: The audit directory; its parts are scored and not decided on.
    """
    made, switched = out / WORK / _MADE, out / WORK / _SWITCHED
    if not switched.is_dir():
        twice = {kind: _any_id_twice(out, kind) for kind in _KINDS}
        if not any(twice.values()):
            return
        files.remove_tree(made, quiet=True)  # of a run that was cut off
        _write_renumbered(out, made, twice)
        files.rename(made, switched)
    for index in range(count_parts(out)):
        for kind in _KINDS:
            new = scored_path(switched, kind, index)
            if new.exists():
                files.replace(new, scored_path(out, kind, index))
    files.remove_tree(switched)


def _write_renumbered(out: Path, to: Path, twice: dict[str, bool]) -> None:
    first = {"masks": 0, "images": 0}
    for index in range(count_parts(out)):
        masks, images = read_part(out, "masks", index), read_part(out, "images", index)
        if twice["masks"]:
            masks = renumber(masks, "mask_id", POINTERS, first["masks"])
        if twice["images"]:
            old = images["image_id"].to_pandas()
            new = pd.Series(np.arange(len(old)) + first["images"], index=old)
            moved = pa.array(new.reindex(masks["image_id"].to_pandas(), fill_value=-1).to_numpy())
            masks = masks.set_column(masks.schema.get_field_index("image_id"), "image_id", moved)
            images = renumber(images, "image_id", (), first["images"])
        write_scored(scored_path(to, "masks", index), masks)
        write_scored(scored_path(to, "images", index), images)
        first = {"masks": first["masks"] + len(masks), "images": first["images"] + len(images)}


def _any_id_twice(out: Path, kind: str) -> bool:
    name = f"{kind[:-1]}_id"
    ids: list[AnyArray] = [
        read_part(out, kind, index, [name])[name].to_numpy() for index in range(count_parts(out))
    ]
    if sum(map(len, ids)) <= IN_MEMORY:
        ordered = np.sort(np.concatenate([np.empty(0, np.int64), *ids]))
        return bool((ordered[1:] == ordered[:-1]).any())
    paths = [str(path) for path in sorted((out / kind).glob("part-*.arrow"))]
    with connect(out) as connection:
        connection.register("parts", pa.dataset.dataset(paths, format="ipc"))
        found = connection.execute(f"select count(*) > count(distinct {name}) from parts")
        return bool(found.fetchone()[0])


def renumber(table: pa.Table, index: str, pointers: tuple[str, ...], first: int) -> pa.Table:
    """Give rows the ids ``first``, ``first + 1``, ... and move the columns that point at them."""
    old = table[index].to_pandas()
    new = pd.Series(np.arange(first, first + len(old)), index=old, dtype="Int64")
    for name in (*pointers, index):
        if name in table.schema.names:
            moved = new.reindex(pd.Index(exact_integers(table[name])))
            at = table.schema.get_field_index(name)
            values = pa.array(moved.array, pa.int64())
            table = table.set_column(at, table.schema.field(at), values)
    return table
