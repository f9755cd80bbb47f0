"""Tags of a TIFF: its directory, the values of entries, a directory written anew."""

from __future__ import annotations

import struct
from typing import BinaryIO, NamedTuple

import numpy as np

from curate.common.arrays import IntArray

TYPE_BYTES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8}
TYPE_BYTES |= {13: 4, 16: 8, 17: 8, 18: 8}
"""Bytes of a value by its type."""

_INTEGERS = {1: "B", 3: "H", 4: "I", 13: "I", 16: "Q"}


def tag_values(tag: tuple[int, int, bytes] | None, order: str) -> tuple[int, ...]:
    """Return the whole numbers of a tag (type, count, bytes); none where it has others."""
    if tag is None or tag[0] not in _INTEGERS:
        return ()
    return struct.unpack(f"{order}{tag[1]}{_INTEGERS[tag[0]]}", tag[2])


class TagEntry(NamedTuple):
    """An entry of a TIFF's directory.

    Attributes:
        tag: Its number.
        kind: Type of its values.
        length: How many they are.
        own: Bytes in the entry itself.
        at: What these are as an offset.
        place: Where they stand in the file.
    """

    tag: int
    kind: int
    length: int
    own: bytes
    at: int
    place: int

    @property
    def values_at(self) -> int:
        """Where the values stand in the file."""
        size = TYPE_BYTES.get(self.kind, 1) * self.length
        return self.place if size <= len(self.own) else self.at


class Directory(NamedTuple):
    """A directory of a TIFF: order of bytes, entries, and where the next one is (0: nowhere)."""

    order: str
    entries: list[TagEntry]
    following: int


def read_directory(file: BinaryIO, start: int = 0) -> Directory:
    """Read a directory of a TIFF.

    Args:
        file: The file.
        start: Where it stands; 0 for the first one.

    Raises:
        ValueError: There is none.
    """
    file.seek(0)
    head = file.read(16)
    order = {b"II": "<", b"MM": ">"}.get(head[:2])
    if order is None or len(head) < 8:
        raise ValueError("it has no header of a TIFF")
    big = struct.unpack(f"{order}H", head[2:4])[0] == 43
    word, entry = ("Q", 20) if big else ("I", 12)
    start = start or struct.unpack(f"{order}{word}", head[8:16] if big else head[4:8])[0]
    file.seek(start)
    first = file.read(8 if big else 2)
    if len(first) < (8 if big else 2):
        raise ValueError("image file is truncated")
    n = min(struct.unpack(f"{order}{'Q' if big else 'H'}", first)[0], 4096)
    made: dict[int, TagEntry] = {}
    values = 12 if big else 8  # where they stand in the entry
    for k in range(n):
        data = file.read(entry)
        if len(data) < entry:
            break
        tag, kind, count = struct.unpack(f"{order}HH{word}", data[:values])
        own = data[values:]
        at = struct.unpack(f"{order}{word}", own)[0]
        place = start + len(first) + k * entry + values
        # Of a tag that occurs twice the first counts, as for libtiff, which unpacks the pixels.
        made.setdefault(tag, TagEntry(tag, kind, count, own, at, place))
    after = file.read(8 if big else 4)
    whole = len(after) == (8 if big else 4)
    return Directory(
        order, list(made.values()), struct.unpack(f"{order}{word}", after)[0] if whole else 0
    )


def read_body(file: BinaryIO, kind: int, count: int, own: bytes, at: int) -> bytes:
    """Return the bytes of an entry of a directory, of which few stand in it.

    Raises:
        OSError: The file ends before them.
    """
    size = TYPE_BYTES.get(kind, 1) * count
    if size <= len(own):
        return own[:size]
    file.seek(at)
    data = file.read(size)
    if len(data) < size:
        raise OSError("image file is truncated")
    return data


def read_table(file: BinaryIO, order: str, kind: int, count: int, own: bytes, at: int) -> IntArray:
    """Return the numbers of an entry that says where blocks are, or how large.

    Raises:
        OSError: The file ends before them.
        ValueError: They are no whole numbers.
    """
    if kind not in _INTEGERS:
        raise ValueError("the places of its pieces are no whole numbers")
    data = read_body(file, kind, count, own, at)
    return np.frombuffer(data, np.dtype(order + _INTEGERS[kind])).astype(np.int64)


def write_header(order: str, tags: dict[int, tuple[int, int, bytes]]) -> bytes:
    """Return the header and the directory of a TIFF, with the values that stand behind it."""
    head = {"<": b"II", ">": b"MM"}[order] + struct.pack(f"{order}HIH", 42, 8, len(tags))
    after = 8 + 2 + 12 * len(tags) + 4
    entries, bodies = [], b""
    for tag, (kind, count, body) in sorted(tags.items()):
        own = body.ljust(4, b"\0")
        if len(body) > 4:
            own = struct.pack(f"{order}I", after + len(bodies))
            bodies += body + b"\0" * (len(body) % 2)
        entries.append(struct.pack(f"{order}HHI", tag, kind, count) + own)
    return head + b"".join(entries) + bytes(4) + bodies
