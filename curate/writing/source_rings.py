"""Polygons of a source, by the masks that they are, for exports that keep them as they are.

A mask is exported from its pixels; rings along these are stairs. Where nothing changed a mask, the
rings that the source has are better, and mean the same pixels. They are read once, into a file:
memory holds 24 bytes a mask.
"""

from __future__ import annotations

import weakref
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from pathlib import Path

import numpy as np
import pandas as pd

from curate.common import files
from curate.common.arrays import IntArray, UInt64Array
from curate.formats.format import Format, Part
from curate.formats.segmentation import draw_polygons
from curate.formats.table_builder import KeyedRings, keep_rings

Rings = list[list[float]]
"""Polygon rings, alternating x and y in pixels."""

_COUNT = np.dtype("<i8")
_NUMBER = np.dtype("<f8")
_BATCH = 10_000  # masks whose rings are written at a time


class SourceRings:
    """Rings of the masks of a source, found by source key.

    Args:
        form: The format of the source.
        source: The source, which is as it was audited.

    Raises:
        SourceError: It cannot be read.
    """

    def __init__(self, form: Format, source: Path) -> None:
        stack = ExitStack()
        work = stack.enter_context(files.scratch())
        self.close = weakref.finalize(self, stack.close)
        self._path = work / "rings"
        hashes, places = [np.empty(0, np.uint64)], [np.empty((0, 2), np.int64)]
        with files.open_file(self._path) as file:
            at = 0
            for keys, packed in _batches(form, source, work):
                lengths = np.array([len(one) for one in packed], np.int64)
                begins = at + np.cumsum(lengths) - lengths
                at += int(lengths.sum())
                file.write(b"".join(packed))
                hashes.append(_hash(keys))
                places.append(np.column_stack([begins, lengths]))
        order = np.argsort(every := np.concatenate(hashes), kind="stable")
        self._hashes: UInt64Array = every[order]
        self._places: IntArray = np.concatenate(places)[order]
        self._file = stack.enter_context(files.open_to_read(self._path))

    def find(self, key: str, counts: bytes, size: tuple[int, int]) -> Rings | None:
        """Return the rings of a mask; None where the source has none that draw its pixels.

        Args:
            key: Its source key.
            counts: Its pixels as COCO compressed counts, in the one spelling of equal pixels.
            size: Height and width of its image in pixels.
        """
        wanted = _hash([key])[0]
        at = int(np.searchsorted(self._hashes, wanted))
        if at == len(self._hashes) or self._hashes[at] != wanted:
            return None
        begin, length = self._places[at].tolist()
        self._file.seek(begin)
        rings = _unpack(self._file.read(length))
        return rings if draw_polygons(rings, *size) == counts else None


def _batches(form: Format, source: Path, work: Path) -> Iterator[tuple[list[str], list[bytes]]]:
    """Yield source keys and packed rings, some at a time."""
    keys: list[str] = []
    packed: list[bytes] = []
    for part in form.plan(source, work / "index"):
        for key, rings in _rings_of(form, source, part):
            keys.append(key)
            packed.append(_pack(rings))
            if len(keys) == _BATCH:
                yield keys, packed
                keys, packed = [], []
    yield keys, packed


def _rings_of(form: Format, source: Path, part: Part) -> Iterable[KeyedRings]:
    if form.rings is not None:
        return form.rings(source, part)
    with keep_rings() as kept:
        form.load(source, part)
    return kept


def _hash(keys: list[str]) -> UInt64Array:
    found = pd.util.hash_array(np.array(keys, object), categorize=False)
    return np.asarray(found, np.uint64)


def _pack(rings: Rings) -> bytes:
    head = np.array([len(rings), *map(len, rings)], _COUNT)
    return head.tobytes() + b"".join(np.array(ring, _NUMBER).tobytes() for ring in rings)


def _unpack(data: bytes) -> Rings:
    count = int(np.frombuffer(data, _COUNT, 1)[0])
    lengths = np.frombuffer(data, _COUNT, count, _COUNT.itemsize).tolist()
    numbers = np.frombuffer(data, _NUMBER, -1, (count + 1) * _COUNT.itemsize).tolist()
    ends = np.cumsum(lengths).tolist()
    return [numbers[end - n : end] for end, n in zip(ends, lengths, strict=True)]
