"""Records of a CSV file as bytes, one after the other, with their places in the file."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from curate.common import files
from curate.errors import SourceError
from curate.formats.format import convert_read_errors

MAX_RECORD = 1 << 26
"""Most bytes of one record; the longest masks of datasets take some MB."""

BOM = b"\xef\xbb\xbf"


@dataclass(frozen=True, slots=True)
class Record:
    """A record.

    Attributes:
        line: Its first line in the file, from 1.
        start: Where it begins in the file, in bytes.
        fields: Its fields as they are written, with their quotes.
        stop: Where it ends in the file with its line end.
    """

    line: int
    start: int
    fields: list[bytes]
    stop: int = 0

    @property
    def end(self) -> int:
        """Where it ends in the file, without its line end."""
        return self.start + sum(map(len, self.fields)) + len(self.fields) - 1

    def place(self, number: int) -> tuple[int, int]:
        """Return where a field begins and ends in the file, with its quotes."""
        begin = self.start + sum(map(len, self.fields[:number])) + number
        return begin, begin + len(self.fields[number])

    def value(self, number: int | None) -> bytes:
        """Return a field without its quotes; nothing where the record does not have it."""
        if number is None or number >= len(self.fields):
            return b""
        return unquote(self.fields[number])

    def text(self, number: int | None) -> str:
        """Return a field as text; bytes that are none are kept as surrogates."""
        return self.value(number).decode("utf-8", "surrogateescape").strip()


def unquote(field: bytes) -> bytes:
    """Return the meaning of a field."""
    if len(field) > 1 and field[:1] == field[-1:] == b'"':
        return field[1:-1].replace(b'""', b'"')
    return field


def spell_like(value: bytes, old: bytes) -> bytes:
    """Return a value as a field: in quotes where the old one has them, or where it must."""
    if old[:1] == b'"' or any(mark in value for mark in (b",", b'"', b"\n", b"\r")):
        return b'"' + value.replace(b'"', b'""') + b'"'
    return value


def read_records(
    file: BinaryIO, where: str, start: int = 0, end: int | None = None, line: int = 1
) -> Iterator[Record]:
    """Yield the records of a CSV file, or of a range of it; lines without anything are passed over.

    Args:
        file: The file.
        where: What to call it in messages.
        start: Where the first record begins, in bytes.
        end: Where to stop, in bytes; None for the end of the file.
        line: The line at ``start``.

    Raises:
        SourceError: A record is far larger than any mask.
    """
    file.seek(start)
    if start == 0:
        start = len(BOM) if file.read(len(BOM)) == BOM else 0
        file.seek(start)
    while end is None or start < end:
        data = _read_line(file, 0, line, where)
        if not data:
            return
        size, lines = len(data), 1
        if b'"' not in data:
            bare = data.rstrip(b"\r\n")
            fields = bare.split(b",") if bare.strip() else []
        else:
            fields = []
            size, lines = _read_quoted(file, data, fields, line, where)
        if fields:
            yield Record(line, start, fields, start + size)
        start += size
        line += lines


def _read_line(file: BinaryIO, before: int, line: int, where: str) -> bytes:
    data = file.readline(MAX_RECORD - before + 1)
    if before + len(data) > MAX_RECORD:
        what = f"the record in line {line} has more than {MAX_RECORD:,} bytes"
        raise SourceError(what, where, "check its quotes and line ends")
    return data


def _read_quoted(
    file: BinaryIO, first: bytes, fields: list[bytes], line: int, where: str
) -> tuple[int, int]:
    """Read on until no quote is open; return how many bytes and lines the record has."""
    data, lines = bytearray(first), 1
    start = seek = 0
    while True:
        start, seek = _split(data, fields, start, seek)
        if start < 0:
            return len(data), lines
        more = _read_line(file, len(data), line, where)
        if not more:  # the quotes of the last field are not closed
            fields.append(bytes(data[start:]).rstrip(b"\r\n"))
            return len(data), lines
        data += more
        lines += 1


def _split(data: bytes | bytearray, fields: list[bytes], start: int, seek: int) -> tuple[int, int]:
    """Append the fields of a record from ``start`` on.

    Args:
        data: The record, with its line end.
        fields: Takes them.
        start: Where the first of them begins.
        seek: From where on its closing quote is looked for.

    Returns:
        Where a field begins whose quotes are not closed, -1 for none; and where to look on.
    """
    while True:
        at = start
        if data[start : start + 1] == b'"':
            at = max(seek, start + 1)
            while True:
                at = data.find(b'"', at)
                if at < 0:
                    return start, len(data)
                if data[at + 1 : at + 2] != b'"':
                    break
                at += 2  # two quotes are one that is meant
        stop = data.find(b",", at)
        if stop < 0:
            fields.append(bytes(data[start:]).rstrip(b"\r\n"))
            return -1, 0
        fields.append(bytes(data[start:stop]))
        start, seek = stop + 1, 0


def read_header(path: Path, most: int = 1 << 16) -> list[str]:
    """Return the names in a CSV file's first line; none where it is longer than any header."""
    with convert_read_errors(path), files.open_to_read(path) as file:
        line = file.readline(most + 1)
    if len(line) > most or b"\0" in line:
        return []
    fields: list[bytes] = []
    _split(line.removeprefix(BOM), fields, 0, 0)
    return [unquote(one).decode("utf-8", "replace").strip() for one in fields]
