"""Scoring of a part some whole images at a time, so that progress is seen within the part."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd

from curate.common.arrays import IntArray
from curate.common.progress import Progress
from curate.dataset.table import MaskTable
from curate.scorers import score

Tell = Callable[[float, int], None]
"""Called with the share of a part that was just done, and its masks."""

CHUNK_S = 0.5
"""About how long one chunk takes, in seconds."""

FIRST_CHUNK = 200
"""Masks and images of the first chunk, when nobody knows yet how long they take."""


class ChunkSize:
    """Size of the next chunk, by how long those before took.

    Every chunk costs the same few milliseconds on top, so fast scorers get all of a part at once.
    """

    def __init__(self) -> None:
        self.size: float = FIRST_CHUNK

    def note(self, size: int, seconds: float) -> None:
        """Note how long a chunk of a size took; at most tenfold growth at a time."""
        fits = size * CHUNK_S / max(seconds, 1e-6)
        self.size = min(max(fits, 1.0), 10 * max(self.size, size))


def score_in_chunks(
    table: MaskTable,
    inputs: Mapping[str, object],
    parameters: Mapping[str, Mapping[str, object]],
    chunk: ChunkSize,
    tell: Tell,
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Score a table's masks and images as :func:`curate.scorers.score` does, in chunks of images.

    A scorer gives a part of whole images what it gives the whole table, so chunks change nothing.

    Args:
        table: Masks and images.
        inputs: As :func:`curate.scorers.score` takes them.
        parameters: As well.
        chunk: The size of chunks; it learns.
        tell: Called after each chunk.

    Returns:
        The columns of the masks and those of the images, each in the table's order.
    """
    masks: list[pd.DataFrame] = []
    images: list[pd.DataFrame] = []
    whole = len(table) + len(table.images)
    for rows, image_rows in _split(table, chunk):
        began = time.monotonic()
        size = len(rows) + len(image_rows)
        part = table
        if size < whole:
            part = MaskTable(table.masks.iloc[rows], table.images.iloc[image_rows])
        masks.append(score(part, inputs=inputs, parameters=parameters, two_step=False))
        images.append(score(part, inputs=inputs, parameters=parameters, level="image"))
        chunk.note(size, time.monotonic() - began)
        tell(size / max(whole, 1), len(rows))
    found = (_join(masks, table.masks.index), _join(images, table.images.index))
    if not whole:
        tell(1.0, 0)
    return found


@cache
def chunk_size(audit: Path) -> ChunkSize:
    """Return the size of chunks that this process has learned for an audit, by its directory."""
    del audit
    return ChunkSize()


def add_up_shares(progress: Progress | None, total: int, waiting: int) -> Tell | None:
    """Return a function that adds up shares of parts for a listener; None without one.

    Args:
        progress: Who wants to know.
        total: Parts in all.
        waiting: Parts that are not done yet.
    """
    if progress is None:
        return None
    done = float(total - waiting)
    progress("scoring", done, total, 0)

    def listen(share: float, masks: int) -> None:
        nonlocal done
        done += share
        progress("scoring", done, total, masks)

    return listen


def _split(table: MaskTable, chunk: ChunkSize) -> Iterator[tuple[IntArray, IntArray]]:
    """Yield rows of masks and of images, of whole images; at least once.

    Masks of images that the table does not have go with the first chunk.
    """
    place = table.images.index.get_indexer(pd.Index(table.masks["image_id"].to_numpy()))
    order = np.argsort(place, kind="stable")
    sorted_places = place[order]
    count, first = len(table.images), 0
    ends = np.searchsorted(sorted_places, np.arange(count), side="right")
    cost = ends + np.arange(1, count + 1)
    done, spent = 0, 0
    while first < count or not first:
        stop = int(np.searchsorted(cost, spent + chunk.size, side="left")) + 1
        stop = min(max(stop, first + 1), count)
        upto = int(ends[stop - 1]) if count else len(order)
        yield np.sort(order[done:upto]).astype(np.int64), np.arange(first, stop, dtype=np.int64)
        done, spent = upto, int(cost[stop - 1]) if count else 0
        first = max(stop, 1)


def _join(parts: list[pd.DataFrame], index: pd.Index) -> pd.DataFrame:
    """Return the parts as one frame, in the order of an index."""
    joined = parts[0] if len(parts) == 1 else pd.concat(parts)
    return joined if joined.index.equals(index) else joined.loc[index]
