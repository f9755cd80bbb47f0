"""Records of one JSON file that holds many images: elements of a list, one for each image.

A file of any size is scanned once, and its records are read in blocks of neighbours. To change what
is inside of one, see :class:`curate.formats.json.record_lists.DocumentList`.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

from curate.common.files import open_to_read
from curate.common.garbage_collection import pause_collector
from curate.errors import SourceError
from curate.formats.format import convert_read_errors
from curate.formats.json.byte_edits import Elements, read_span
from curate.formats.json.streaming import Batch, parse_one, scan

_BLOCK_BYTES = 1 << 18  # parsed, records take some six times their bytes


class RecordBlock(NamedTuple):
    """Some neighbouring records of a list.

    Attributes:
        first: Number of the first in the list, from 0.
        start: Byte of the file at which it begins.
        end: Byte at which the last ends.
    """

    first: int
    start: int
    end: int

    @property
    def size(self) -> int:
        """Bytes of the block."""
        return self.end - self.start


def find_records(path: Path, key: str) -> Iterator[tuple[list[RecordBlock], list[Any]]]:
    """Walk over the records of a list in a file.

    Args:
        path: The file.
        key: The list's key in the outer object; "" where the file is one list.

    Yields:
        Blocks of neighbours, and the records in them, parsed.

    Raises:
        SourceError: The file cannot be read, is no sound JSON, or what stands under the key is no
            list.
    """
    first = 0
    with convert_read_errors(path), open_to_read(path) as file:
        for batch in scan(file, path.name, frozenset([key]), _BLOCK_BYTES):
            if not batch.is_list:
                raise SourceError(f"{key or 'it'} is no list", path.name)
            if len(batch):
                with pause_collector():
                    records = batch.parse(path.name)
                yield list(_blocks(batch, first)), records
                first += len(batch)


def _blocks(batch: Batch, first: int) -> Iterator[RecordBlock]:
    starts, ends = (batch.starts + batch.base).tolist(), (batch.ends + batch.base).tolist()
    at = 0
    for i in range(1, len(starts) + 1):
        if i == len(starts) or ends[i] - starts[at] > _BLOCK_BYTES:
            yield RecordBlock(first + at, starts[at], ends[i - 1])
            at = i


def read_records(path: Path, start: int, end: int) -> list[Any]:
    """Return the records that stand between two bytes of a file, parsed."""
    with convert_read_errors(path), open_to_read(path) as file:
        data = read_span(file, start, end)
    values: list[Any] = parse_one(b"[" + data + b"]", start - 1, path.name)
    return values


def open_records(
    file: BinaryIO, where: str, key: str, numbers: Collection[int]
) -> Iterator[tuple[int, int, bytes]]:
    """Yield some records of a list: number, byte at which it begins, and text.

    Args:
        file: The file, open for reading and seeking.
        where: Its name, for messages.
        key: The list's key; see :func:`find_records`.
        numbers: Which records, counted from 0.

    Raises:
        CallError: There is no such record.
        SourceError: The file is broken.
    """
    elements = Elements(numbers)
    file.seek(0)
    for batch in scan(file, where, frozenset([key])):
        elements.take(batch)
    elements.check(numbers, where, "images")
    for number in sorted(numbers):
        start, end = elements.span(number)
        yield number, start, read_span(file, start, end)
