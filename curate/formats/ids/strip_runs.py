"""Run lengths from label images that come some rows at a time, one mask an id."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np

from curate import rle
from curate.common.arrays import AnyArray, ByteArray, Int32Array, IntArray
from curate.rle import Runs

MOST_RUNS = 4_000_000
"""Runs that are in memory; the masks of a picture may have half as many. Noise of 13,000 x 13,000
pixels has 80 million, 20,000 cells of 90 pixels across have 2 million."""

_START = 2**32 - 1

MOST_IDS = 65_535
"""More different ids than this are a picture, not ids."""

Ids = AnyArray


class IdImage(NamedTuple):
    """An image of ids.

    Attributes:
        ids: All ids but 0, ascending.
        runs: Their pixels, one mask an id.
        palette: Its colours, shape (n, 3), or None.
    """

    ids: IntArray
    runs: Runs
    palette: ByteArray | None


class TooManyRuns(Exception):
    """Pixels change so often that they are no masks."""

    def __init__(self) -> None:
        super().__init__(f"its pixels change over {MOST_RUNS // 2:,} times, as those of no mask do")


class TooManyIds(Exception):
    """Pixels have more different values than ids can be."""

    def __init__(self) -> None:
        super().__init__(f"it has over {MOST_IDS:,} different values")


def label_runs(strips: Iterable[tuple[int, Ids]], size: tuple[int, int]) -> tuple[IntArray, Runs]:
    """Turn ids into one mask an id.

    Args:
        strips: First row and ids, shape (rows, width), of all strips; 0 is background.
        size: Height and width of all of them together.

    Returns:
        The ids but 0, ascending, and their masks.

    Raises:
        TooManyIds: They are over :data:`MOST_IDS`.
        TooManyRuns: Their masks have over :data:`MOST_RUNS` runs.
    """
    height, width = size
    keys, ends = [np.zeros(0, np.int64)], [np.zeros(0, np.int32)]  # id and start; end
    seen, count = np.zeros(0, np.int64), 0
    for top, labels in strips:
        ids, runs = rle.from_label_image(labels)
        seen = np.union1d(seen, ids)
        if len(seen) > MOST_IDS:
            raise TooManyIds
        owners = np.repeat(ids, np.diff(runs.offsets))
        which, start, end = _by_column(runs, top, len(labels), height)
        keys.append(owners[which] << 32 | start)
        ends.append(end.astype(np.int32))
        count += len(which)
        if count > MOST_RUNS:
            key, stop = _merge_runs(keys, ends)
            keys, ends, count = [key], [stop], len(key)
            if count > MOST_RUNS // 2:
                raise TooManyRuns
    key, stop = _merge_runs(keys, ends)
    owner = key >> 32
    found, counts = np.unique(owner, return_counts=True)
    offsets = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
    sides = np.full(len(found), height, np.int32), np.full(len(found), width, np.int32)
    return found, Runs(offsets, (key & _START).astype(np.int32), stop, *sides)


def _merge_runs(keys: list[IntArray], ends: list[Int32Array]) -> tuple[IntArray, Int32Array]:
    """Sort runs by id and start, and join those that were cut at a column or a strip."""
    key, end = np.concatenate(keys), np.concatenate(ends)
    keys.clear()
    ends.clear()
    order = np.argsort(key)
    key, end = key[order], end[order]
    del order
    apart = (key[1:] >> 32 != key[:-1] >> 32) | (key[1:] & _START != end[:-1])
    first, last = np.append(True, apart)[: len(key)], np.append(apart, True)[: len(key)]
    return key[first], end[last]


def _by_column(runs: Runs, top: int, rows: int, height: int) -> tuple[IntArray, IntArray, IntArray]:
    """Return which run, start and end on the whole picture of the runs of a strip, by column."""
    starts, ends = runs.starts.astype(np.int64), runs.ends.astype(np.int64)
    if rows == height:
        return np.arange(len(starts)), starts, ends
    first, last = starts // rows, (ends - 1) // rows
    n = last - first + 1
    which = np.repeat(np.arange(len(starts)), n)
    column = np.arange(len(which)) - np.repeat(np.cumsum(n) - n, n) + first[which]
    low = np.maximum(starts[which] - column * rows, 0)
    high = np.minimum(ends[which] - column * rows, rows)
    base = column * height + top
    return which, base + low, base + high
