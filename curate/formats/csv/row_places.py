"""Rows of a CSV file by image: where they are, and in parts of whole images."""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path

import numpy as np

from curate.common.arrays import IntArray
from curate.formats.csv.csv_records import Record, read_records
from curate.formats.format import convert_read_errors

Range = tuple[int, int, int]
"""Where rows that follow each other begin and end in bytes, and the line of the first."""


def csv_rows_of(source: Path) -> Iterator[Record]:
    """Yield the records of a file behind its header."""
    with convert_read_errors(source), source.open("rb") as file:
        yield from islice(read_records(file, str(source)), 1, None)


@dataclass
class RowPlaces:
    """Rows of a file: the image of each and its place.

    Attributes:
        images: Position of each image by name, in order.
        image: Image of each row.
        start: Where it begins in bytes.
        end: Where it ends.
        line: Its line.
    """

    images: dict[str, int] = field(default_factory=dict)
    image: array[int] = field(default_factory=lambda: array("q"))
    start: array[int] = field(default_factory=lambda: array("q"))
    end: array[int] = field(default_factory=lambda: array("q"))
    line: array[int] = field(default_factory=lambda: array("q"))

    def add(self, name: str, record: Record) -> int:
        """Take a row of an image; return the image's position."""
        number = self.images.setdefault(name, len(self.images))
        self.image.append(number)
        self.start.append(record.start)
        self.end.append(record.end)
        self.line.append(record.line)
        return number

    def order_like(self, names: Iterable[str]) -> None:
        """Order the images as they first come among names; others follow as they are.

        Without its first row an image may come later than before: a copy without some masks is
        compared with its source in the order of the source.
        """
        order = list(
            dict.fromkeys([*(name for name in names if name in self.images), *self.images])
        )
        places = {name: place for place, name in enumerate(order)}
        renumber = np.array([places[name] for name in self.images], np.int64)
        self.image = array("q", renumber[np.array(self.image, np.int64)].tobytes())
        self.images = places

    def group(
        self, cost: Callable[[IntArray], IntArray], most: int
    ) -> Iterator[tuple[list[str], tuple[Range, ...]]]:
        """Yield the names of some images and where their rows are.

        Args:
            cost: From the lengths of rows in bytes to their weights.
            most: About what the rows of a group weigh.
        """
        image, start, end, line = (
            np.array(one, np.int64) for one in (self.image, self.start, self.end, self.line)
        )
        order = np.argsort(image, kind="stable")
        names = list(self.images)
        totals = np.bincount(image, weights=cost(end - start), minlength=len(names))
        bounds = np.searchsorted(image[order], np.arange(len(names) + 1))
        first, weight = 0, 0.0
        for number in range(len(names) + 1):
            last = number == len(names)
            if number > first and (last or weight + totals[number] > most):
                mine = np.sort(order[bounds[first] : bounds[number]])
                yield names[first:number], _ranges(mine, start, end, line)
                first, weight = number, 0.0
            if not last:
                weight += totals[number]


def _ranges(rows: IntArray, start: IntArray, end: IntArray, line: IntArray) -> tuple[Range, ...]:
    """Return where sorted rows are, those that follow each other as one."""
    cuts = np.flatnonzero(np.diff(rows) != 1) + 1
    firsts, lasts = np.append(0, cuts), np.append(cuts, len(rows)) - 1
    return tuple(
        (int(start[a]), int(end[b]), int(line[a]))
        for a, b in zip(rows[firsts], rows[lasts], strict=True)
    )
