"""CSV beside the PNGs of ``amg.py``, with the place of each record in the file."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from curate.errors import SourceError
from curate.formats.format import convert_read_errors

SHEET = "metadata.csv"

_BOM = b"\xef\xbb\xbf"
_WRITTEN = re.compile(rb"""("?)([ \t]*)[0-9]*(\.0+)?([ \t]*)\1""")


class Sheet:
    """A metadata.csv, read with tolerance: what is wrong with it is told, not raised.

    Attributes:
        header: Names of its columns.
        records: Each record's line, from 1, and its fields.
        spans: Bytes of the header and then of each record, without their line ends.
        problem: Why it cannot be used, then without records; else "".
    """

    def __init__(self, path: Path) -> None:
        self.header: list[str] = []
        self.records: list[tuple[int, list[str]]] = []
        self.spans: list[tuple[int, int]] = []
        self.problem = ""
        self._path, self._data = path, b""
        if not path.is_file():
            self.problem = f"there is no {SHEET}: the run that wrote the PNGs did not finish"
            return
        with convert_read_errors(path):
            self._data = path.read_bytes()
        try:
            self._parse(self._data)
        except csv.Error as error:
            self.problem = f"{SHEET} is broken ({error})"
        if not self.problem and "id" not in self.header:
            self.problem = f"{SHEET} has no column id"
        if self.problem:
            self.records, self.spans = [], []

    def _parse(self, data: bytes) -> None:
        lines = data.splitlines(keepends=True)
        used = 0

        def feed() -> Iterator[str]:
            nonlocal used
            for line in lines:
                # A byte order mark would hide that the first field is in quotes.
                bare = line if used else line.removeprefix(_BOM)
                used += 1
                yield bare.decode("utf-8", "surrogateescape")

        places = [0]
        for line in lines:
            places.append(places[-1] + len(line))
        first = 0
        for fields in csv.reader(feed()):
            start, end = places[first], places[used]
            end -= len(data[start:end]) - len(data[start:end].rstrip(b"\r\n"))
            if fields and not self.spans:
                self.header = [name.strip() for name in fields]
                self.spans.append((start, end))
            elif fields:
                self.records.append((first + 1, fields))
                self.spans.append((start, end))
            first = used

    def rows(self) -> Iterator[tuple[int, str, dict[str, str], list[str]]]:
        """Yield (line, PNG's name or "", fields by column, problems) of each record."""
        for line, fields in self.records:
            values = dict(zip(self.header, fields, strict=False))
            problems = []
            if len(fields) != len(self.header):
                problems = [f"{SHEET} line {line} has {len(fields)} fields of {len(self.header)}"]
            name = _png_name(values.get("id", ""))
            if not name:
                problems.append(f"{SHEET} line {line} has the id {values.get('id', '')[:40]!r}")
            yield line, name, values, problems

    def replace_fields(
        self, number: int, values: Mapping[str, int]
    ) -> list[tuple[int, int, bytes]]:
        """Return the replacements that give fields of a record other values.

        Args:
            number: Position of the record.
            values: The new values by column; columns that it does not have are passed over.

        Returns:
            Pieces for :func:`curate.formats.copying.splice`, in order.
        """
        begin, end = self.spans[number + 1]
        pieces = []
        places = self._fields(number)
        for column, (start, stop) in zip(self.header, places, strict=False):
            if column in values:
                new = _spell_number(values[column], self._data[begin:end][start:stop])
                pieces.append((begin + start, begin + stop, new))
        return pieces

    def append_records(self, lines: Sequence[Mapping[str, int]]) -> list[tuple[int, int, bytes]]:
        """Return the replacements that append records, written like the last.

        Args:
            lines: The values of each by column; other columns are left empty.

        Returns:
            Pieces for :func:`curate.formats.copying.splice`; none where there is no CSV to add to.
        """
        if not self.spans or not lines:
            return []
        old = [b""] * len(self.header)
        if self.records:
            begin, end = self.spans[-1]
            fields = self._fields(len(self.records) - 1)
            old = [self._data[begin:end][a:b] for a, b in fields]
            old += [b""] * (len(self.header) - len(old))
        line_end = re.search(rb"\r\n|\n|\r", self._data[self.spans[0][1] :])
        made = b""
        for values in lines:
            made += line_end[0] if line_end else b"\n"
            pairs = zip(self.header, old, strict=False)
            made += b",".join(
                _spell_number(values[c], like) if c in values else b"" for c, like in pairs
            )
        end = self.spans[-1][1]
        return [(end, end, made)]

    def _fields(self, number: int) -> list[tuple[int, int]]:
        """Return where the fields of a record stand in it."""
        begin, end = self.spans[number + 1]
        line, fields = self.records[number]
        places = _field_places(self._data[begin:end])
        if len(places) != len(fields):  # the parser of Python and the one below disagree
            where = f"{self._path}, line {line}"
            raise SourceError("its fields cannot be told apart", where, "write them without quotes")
        return places


def _field_places(record: bytes) -> list[tuple[int, int]]:
    """Return where the fields of a CSV record stand: a comma ends one, but not within quotes."""
    places: list[tuple[int, int]] = []
    start = at = 0
    while True:
        if record[start : start + 1] == b'"':
            at = start + 1
            while (at := record.find(b'"', at) + 1) and record[at : at + 1] == b'"':
                at += 1  # two quotes are one that is meant
            at = at or len(record)
        stop = record.find(b",", at)
        if stop < 0:
            return [*places, (start, len(record))]
        places.append((start, stop))
        start = at = stop + 1


def _spell_number(value: int, like: bytes) -> bytes:
    """Return a number as an old value was written: with its quotes, blanks and decimal places."""
    found = _WRITTEN.fullmatch(like)
    if not found:
        return str(value).encode()
    quote, before, decimals, after = found.groups()
    return quote + before + str(value).encode() + (decimals or b"") + after + quote


def _png_name(text: str) -> str:
    """Return the PNG that an id names; "" where it is no whole number from 0."""
    whole = re.fullmatch(r"\s*([0-9]{1,18})(\.0*)?\s*", text, re.ASCII)
    return f"{int(whole[1])}.png" if whole else ""
