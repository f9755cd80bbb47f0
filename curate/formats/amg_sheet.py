"""The CSV beside the PNGs of ``amg.py``, with the place of each record in the file."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator
from pathlib import Path

from curate.formats.base import reading

SHEET = "metadata.csv"


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
        if not path.is_file():
            self.problem = f"there is no {SHEET}: the run that wrote the PNGs did not finish"
            return
        with reading(path):
            data = path.read_bytes()
        try:
            self._parse(data)
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
                used += 1
                yield line.decode("utf-8", "surrogateescape")

        places = [0]
        for line in lines:
            places.append(places[-1] + len(line))
        first = 0
        for fields in csv.reader(feed()):
            start, end = places[first], places[used]
            end -= len(data[start:end]) - len(data[start:end].rstrip(b"\r\n"))
            if fields and not self.spans:
                self.header = [name.strip().removeprefix("\ufeff") for name in fields]
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


def _png_name(text: str) -> str:
    """Return the PNG that an id names; "" where it is no whole number from 0."""
    whole = re.fullmatch(r"\s*([0-9]{1,18})(\.0*)?\s*", text, re.ASCII)
    return f"{int(whole[1])}.png" if whole else ""
