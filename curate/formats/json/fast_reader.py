"""Fast reader of COCO annotation objects: JSON bytes to arrays, for what machines write.

A compiled reader that knows the annotation fields and nothing else. Whatever it does not expect
(an unknown field that is no plain value, an escape, a field twice, a value of another type, what is
not strict JSON) makes it give up, and the caller reads the same bytes with the tolerant parser. So
it need not report errors, and never reads anything differently: it reads a subset, exactly.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from curate.common.arrays import BoolArray, IntArray
from curate.formats.json.fast_kernels import (
    COUNTS_BYTES,
    FLOATS,
    GIVE_UP,
    HARD_BYTES,
    HARD_CELL,
    HARD_END,
    HARD_NUMBERS,
    HEIGHT,
    ID,
    IMAGE_END,
    IMAGE_START,
    INTS,
    PRESENT,
    SLOTS,
    WIDTH,
    WIDTHS,
    read_document,
    read_list,
)
from curate.formats.json.json_columns import Columns


@dataclass(frozen=True)
class Taken:
    """Annotations that one call read.

    Attributes:
        count: Number of annotations.
        first: Row of the first of them among all that are held.
        image: Where the image object stands in the document; (0, 0) where there is none.
    """

    count: int
    first: int
    image: tuple[int, int] = (0, 0)


class QuickReader:
    """Reads lists of annotations into arrays that it keeps and reuses."""

    def __init__(self, rows: int = 1024, size: int = 1 << 20) -> None:
        self._make_room(rows, size)
        self.count = 0
        self._used = np.zeros(3, np.int64)

    def take_list(self, data: bytes) -> Taken | None:
        """Take in the annotations of a JSON list; None, and nothing is taken in, if it gives up."""
        return self._take(data, False)

    def take_document(self, data: bytes) -> Taken | None:
        """Take in the annotations of an object that has ``image`` and ``annotations``."""
        return self._take(data, True)

    def sizes(self, taken: Taken) -> tuple[IntArray, IntArray]:
        """Return heights and widths as the run lengths state them."""
        rows = self._ints[taken.first : taken.first + taken.count]
        return rows[:, HEIGHT], rows[:, WIDTH]

    def ids(self, taken: Taken, name: str) -> tuple[IntArray, BoolArray]:
        """Return ``id``, ``category_id`` or ``image_id`` of annotations, and which have one."""
        rows, k = self._ints[taken.first : taken.first + taken.count], INTS.index(name)
        return rows[:, k].copy(), (rows[:, PRESENT] >> (ID + k) & 1) == 1

    def drop(self, taken: Taken) -> None:
        """Forget the annotations taken in last; the tolerant parser must read them."""
        self.count = taken.first
        self._used[COUNTS_BYTES] = self._bounds[self.count]
        self._used[HARD_NUMBERS:] = self._marks[self.count]

    def columns(self) -> Columns:
        """Return everything taken in as columns, and begin anew."""
        n = self.count
        self._settle_hard_numbers()
        ints, floats = self._ints[:n], self._floats[:n]
        present = np.bitwise_or.reduce(ints[:, PRESENT]) if n else 0
        columns: Columns = {}
        for key, slot in enumerate(SLOTS.tolist()):
            if present >> key & 1:
                for name, k in zip(
                    FLOATS[slot:], range(slot, slot + int(WIDTHS[key])), strict=False
                ):
                    columns[name] = floats[:, k].copy()
        everything = Taken(n, 0)
        columns["id"], columns["id_given"] = self.ids(everything, "id")
        columns["category_id"], columns["category_given"] = self.ids(everything, "category_id")
        columns["height"], columns["width"] = ints[:, HEIGHT].copy(), ints[:, WIDTH].copy()
        columns["segmentation"] = pa.LargeBinaryArray.from_buffers(
            pa.large_binary(),
            n,
            [
                None,
                pa.py_buffer(self._bounds[: n + 1].copy()),
                pa.py_buffer(self._counts[: self._used[COUNTS_BYTES]].copy()),
            ],
        )
        self.count = 0
        self._used[:] = 0
        return columns

    def _take(self, data: bytes, is_document: bool) -> Taken | None:
        read = read_document if is_document else read_list
        image = np.zeros(2, np.int64)
        view = np.frombuffer(data, np.uint8)
        while True:
            used = self._used.copy()
            end = read(
                view,
                self.count,
                self._floats,
                self._ints,
                self._counts,
                self._bounds,
                self._hard,
                self._hard_text,
                self._marks,
                used,
                image,
            )
            if end >= 0:
                taken = Taken(
                    end - self.count, self.count, (int(image[IMAGE_START]), int(image[IMAGE_END]))
                )
                self.count, self._used = end, used
                return taken
            if end == GIVE_UP:
                return None
            self._grow()

    def _make_room(self, rows: int, size: int) -> None:
        self._floats = np.empty((rows, len(FLOATS)), np.float64)
        self._ints = np.empty((rows, len(INTS)), np.int64)
        self._bounds = np.zeros(rows + 1, np.int64)
        self._marks = np.zeros((rows + 1, 2), np.int64)
        self._counts = np.empty(size, np.uint8)
        self._hard = np.empty((rows * 6, 2), np.int64)
        self._hard_text = np.empty(rows * 120, np.uint8)

    def _grow(self) -> None:
        old = self.__dict__.copy()
        self._make_room(2 * len(self._ints), 2 * len(self._counts))
        for name in ("_floats", "_ints", "_bounds", "_marks", "_counts", "_hard", "_hard_text"):
            self.__dict__[name][: len(old[name])] = old[name]

    def _settle_hard_numbers(self) -> None:
        """Read the numbers that need more than a double's own arithmetic to be exact."""
        n, size = int(self._used[HARD_NUMBERS]), int(self._used[HARD_BYTES])
        if not n:
            return
        bounds = np.zeros(n + 1, np.int64)
        bounds[1:] = self._hard[:n, HARD_END]
        buffers = [None, pa.py_buffer(bounds), pa.py_buffer(self._hard_text[:size].copy())]
        written = pa.LargeStringArray.from_buffers(n, buffers[1], buffers[2])
        self._floats.reshape(-1)[self._hard[:n, HARD_CELL]] = np.asarray(
            pc.cast(written, pa.float64())
        )
