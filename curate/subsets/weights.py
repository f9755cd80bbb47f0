"""Training weights: a number in [0, 1] for each mask, instead of leaving masks out.

The weight of a mask is ``min(1, c * gain)``; its gain is that of :mod:`curate.subsets.selection`,
quality plus novelty, from 0 to 1.25. With a number or share to keep, ``c`` is such that all weights
sum up to that number: a sampler or a loss then sees as much as of the subset. Without, ``c`` is 1.
Masks that leave by their action, and crowd regions, weigh 0. Floors have no part in it.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.csv as pc
import pyarrow.parquet as pq

from curate.common.arrays import FloatArray
from curate.errors import CallError
from curate.formats.format import new_file

if TYPE_CHECKING:
    from curate.store.audit import StoredAudit

KINDS = (".parquet", ".csv")
"""Endings of files of weights."""


def check_place(place: Path) -> None:
    """Check that weights can be written to a place.

    Raises:
        CallError: Its ending is none of :data:`KINDS`, or something is there.
    """
    if place.suffix.lower() not in KINDS:
        what = f"weights are written as {' or '.join(KINDS)}, not {place.suffix or 'that'}"
        raise CallError(what, str(place), "give a name that ends so")
    if place.exists() or place.is_symlink():
        raise CallError("it exists already", str(place), "choose another place, or remove it")


def weigh(gain: FloatArray, total: float | None = None) -> FloatArray:
    """Return weights in [0, 1] in proportion to gains, cut at 1.

    Args:
        gain: Shape (n,), from 0 on.
        total: Their sum; None: gains are taken as they are. Where that is more than the number of
            positive gains, each of these weighs 1.

    >>> weigh(np.array([1.0, 0.5, 0.5, 0.0]), 1.0).tolist()
    [0.5, 0.25, 0.25, 0.0]
    >>> weigh(np.array([1.0, 0.5, 0.5, 0.0]), 2.5).tolist()
    [1.0, 0.75, 0.75, 0.0]
    """
    if total is None:
        return np.asarray(np.minimum(gain, 1.0), np.float64)
    largest = np.sort(gain[gain > 0])[::-1]
    if total >= len(largest):
        return np.asarray(gain > 0, np.float64)
    # With the k largest at 1, the others share total - k: the first k at which none passes 1.
    full = np.arange(len(largest))
    rest = largest.sum() - np.concatenate([[0.0], np.cumsum(largest)[:-1]])
    scale = (total - full) / rest
    k = int(np.argmax(scale * largest <= 1))
    return np.asarray(np.minimum(gain * scale[k], 1.0), np.float64)


def list_weights(audit: StoredAudit, weights: FloatArray) -> pd.DataFrame:
    """Return ``mask_id``, ``source_key`` and ``weight`` of an audit's masks, by ascending id.

    Args:
        audit: The audit.
        weights: Shape (n,), in [0, 1], by ascending id.
    """
    keys = audit.query("select mask_id, source_key from masks order by mask_id")
    return keys.assign(weight=weights)


def write_weights(place: Path, weights: pd.DataFrame) -> None:
    """Write a table of weights; it appears whole or not at all.

    Args:
        place: A new file that ends in one of :data:`KINDS`.
        weights: A row a mask: ``mask_id``, ``source_key``, ``weight`` in [0, 1].
    """
    table = pa.table(
        {
            "mask_id": pa.array(weights["mask_id"].to_numpy(np.int64)),
            "source_key": pa.array(weights["source_key"].astype(object), pa.string()),
            "weight": pa.array(weights["weight"].to_numpy(np.float64)),
        }
    )
    with new_file(place) as file:
        if place.suffix.lower() == ".csv":
            pc.write_csv(table, file)
        else:
            pq.write_table(table, file, compression="zstd")
