"""Rows of masks or images by id, without a full scan in memory."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds

from curate.common.arrays import BoolArray, FloatArray, IntArray
from curate.errors import AuditError
from curate.rle import OK, PROBLEMS, Runs, cross_overlaps, decode_counts, encode_counts, measure
from curate.store.audit import StoredAudit
from curate.store.audit_files import part_paths, to_frame
from curate.store.parquet_parts import RESTORE, read_schema, reading_part


def rows_of(
    audit: StoredAudit, view: str, key: str, values: IntArray, columns: Sequence[str] = ()
) -> pd.DataFrame:
    """Return the rows of an audit with some ids.

    Args:
        audit: The audit.
        view: "masks" or "images".
        key: The column that is compared: "mask_id" or "image_id".
        values: Its values, in any order.
        columns: What to read beside it; those that the audit lacks are left out.

    Returns:
        One row for each that is there, ``key`` among the columns. Parts whose bounds say that none
        of them can be there are not read.
    """
    paths = part_paths(audit.path, view)
    if not paths:
        raise AuditError("its part files are missing", str(audit.path / view), RESTORE)
    schema = read_schema(paths[0])
    names = [name for name in dict.fromkeys([key, *columns]) if name in schema.names]
    wanted = np.unique(np.asarray(values, np.int64))
    low, high = (int(wanted[0]), int(wanted[-1])) if len(wanted) else (0, -1)
    field = pc.field(key)
    chosen = (field >= low) & (field <= high) & field.isin(pa.array(wanted))
    data = ds.dataset([str(path) for path in paths], schema=schema.remove_metadata())
    # Without readahead: parts that are only looked through need not be in memory together.
    with reading_part(audit.path / view):
        table = data.to_table(
            columns=names, filter=chosen, use_threads=False, batch_readahead=1, fragment_readahead=1
        )
    return to_frame(table.replace_schema_metadata(None))


def are_known(audit: StoredAudit, view: str, key: str, values: IntArray) -> BoolArray:
    """Return which ids the audit has, in the order given."""
    found = rows_of(audit, view, key, values)[key].to_numpy(np.int64)
    return np.asarray(np.isin(values, found), np.bool_)


def decode_masks(counts: Any, heights: IntArray, widths: IntArray) -> tuple[Runs, list[str]]:
    """Read run lengths; also return what is wrong with each, "" for nothing."""
    runs, codes = decode_counts(counts, heights, widths)
    return runs, [PROBLEMS[code] if code != OK else "" for code in codes.tolist()]


def pair_iou(first: Runs, second: Runs) -> FloatArray:
    """Return the exact IoU of each mask with the one at the same place in another batch.

    Args:
        first: n masks.
        second: n masks, each on an image of the same size as its partner's.

    Returns:
        Shape (n,); intersection over union in pixels, NaN where both have none.
    """
    rows = np.arange(len(first))
    found = cross_overlaps(first, rows, second, rows)
    shared = np.zeros(len(first), np.int64)
    shared[found.first] = found.intersection
    union = measure(first)[0] + measure(second)[0] - shared
    iou = np.full(len(first), np.nan)
    np.divide(shared, union, out=iou, where=union > 0)
    return iou


def encode_canonical(runs: Runs) -> list[bytes]:
    """Return masks as the one spelling that equal pixels have."""
    return list(encode_counts(runs).to_pylist())
