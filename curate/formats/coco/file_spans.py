"""Byte ranges of a COCO file, read and parsed some at a time."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import orjson

from curate.common.arrays import IntArray
from curate.formats.coco.file_index import READ_BYTES
from curate.formats.json.streaming import parse_each


@dataclass(frozen=True)
class JsonPiece:
    """Some values of the file, as one JSON list.

    Attributes:
        data: The list's bytes.
        rows: (offset, length, ordinal, ...) of each value.
        name: The file's, for messages.
        slices: Each value's bytes; None where they stand in ``data`` as in the file.
    """

    data: bytes
    rows: IntArray
    name: str
    slices: list[bytes] | None

    def parse(self) -> list[Any]:
        """Return the values, parsed by the tolerant parser."""
        try:
            values = orjson.loads(self.data)
            if len(values) == len(self.rows):
                return list(values)
        except orjson.JSONDecodeError:
            pass
        offsets, lengths = self.rows[:, 0].tolist(), self.rows[:, 1].tolist()
        slices = self.slices
        if slices is None:
            base = offsets[0] - 1  # the list's bracket
            pairs = zip(offsets, lengths, strict=True)
            slices = [self.data[at - base : at - base + n] for at, n in pairs]
        return parse_each(slices, offsets, self.name)


def pieces_at(handle: int, name: str, rows: IntArray) -> Iterator[JsonPiece]:
    """Read values at (offset, length, ordinal, ...), some at a time."""
    total = np.cumsum(rows[:, 1])
    first = 0
    while first < len(rows):
        before = int(total[first - 1]) if first else 0
        last = max(int(np.searchsorted(total, before + READ_BYTES)), first + 1)
        yield _piece(handle, name, rows[first:last])
        first = last


def _piece(handle: int, name: str, rows: IntArray) -> JsonPiece:
    if (np.diff(rows[:, 2]) == 1).all():  # neighbours in the file: only commas stand between them
        begin, end = int(rows[0, 0]), int(rows[-1, 0] + rows[-1, 1])
        return JsonPiece(b"[" + os.pread(handle, end - begin, begin) + b"]", rows, name, None)
    slices = [os.pread(handle, n, at) for at, n in rows[:, :2].tolist()]
    return JsonPiece(b"[" + b",".join(slices) + b"]", rows, name, slices)
