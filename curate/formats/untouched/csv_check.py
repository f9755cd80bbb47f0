"""CSV files row by row: what no edit names is byte for byte as it was."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from curate.formats.edits import Edits
from curate.formats.untouched.tree_check import as_key, check_bytes

_QUOTED = rb'"[^"]*(?:""[^"]*)*"[^,]*'
_FIELDS = re.compile(rb"(" + _QUOTED + rb"|[^,]*),", re.DOTALL)
_WHOLE = re.compile(rb"(?:(?:" + _QUOTED + rb'|[^",][^,]*|),)*', re.DOTALL)
_PIXELS = {"encodedpixels", "rle_mask", "encoding", "rle", "annotation", "segmentation"}
_CLASSES = {"classid", "class_id", "class", "label", "cell_type", "labelname"}
_JOINED = {"imageid_classid", "image_label"}
_IMAGES = {"imageid", "image_id", "img", "id"}
_NONE = {"", "-1", "nan", "NaN"}


def check_run_length_csv(source: Path, written: Path, edits: Edits) -> str:
    """Compare two run-length CSV files in all that no edit names."""
    if edits.is_empty:
        return check_bytes(source, written)
    return check_csv(source, written, edits)


def check_csv(source: Path, written: Path, edits: Edits) -> str:
    """Compare two CSV files of masks row by row.

    Args:
        source: The file.
        written: What it became.
        edits: Its own: keys end with ``:`` and the line, image keys are names of images.
    """
    return _CsvComparison(edits).check(source, written)


def csv_rows(path: Path) -> Iterator[tuple[int, bytes]]:
    """Yield the rows of a CSV file that hold something, each with its first line."""
    with path.open("rb") as file:
        line, first, held = 0, 1, b""
        for text in file:
            line += 1
            held += text
            if b'"' in held and not _WHOLE.fullmatch(held.rstrip(b"\r\n") + b","):
                continue
            if held.strip():
                yield first, held
            held, first = b"", line + 1
        if held:
            yield first, held


def csv_fields(row: bytes) -> list[bytes]:
    """Return the fields of a row as they are written."""
    bare = row.removeprefix(b"\xef\xbb\xbf").rstrip(b"\r\n")
    return [one[1] for one in _FIELDS.finditer(bare + b",")]


def csv_text(field: bytes) -> str:
    """Return the meaning of a field."""
    text = field.decode("utf-8", "surrogateescape").strip()
    is_quoted = len(text) > 1 and text[0] == text[-1] == '"'
    return text[1:-1].replace('""', '"').strip() if is_quoted else text


def _is_same_end(old: bytes, now: bytes) -> bool:
    """Return whether two rows end with the same line end, or one of them ends its file."""
    ends = [row[len(row.rstrip(b"\r\n")) :] for row in (old, now)]
    return ends[0] == ends[1] or b"" in ends


class _CsvComparison:
    """Two files, read side by side."""

    def __init__(self, edits: Edits) -> None:
        self.goes = {int(key.rpartition(":")[2]) for key in edits.drop}
        self.changed = {int(key.rpartition(":")[2]): one for key, one in edits.change.items()}
        self.added = Counter(one.image_key for one in edits.add)
        self.image = self.pixels = self.category = -1
        self.count = 0
        self.joined = self.moves = False
        self.relabels = any(one.category is not None for one in edits.change.values())

    def check(self, source: Path, written: Path) -> str:
        """Return a difference that should not be; "" for nothing."""
        new = (row for _, row in csv_rows(written))
        now = next(new, None)
        for number, (line, old) in enumerate(csv_rows(source)):
            if number == 0:
                if now is None or not _is_same_end(old, now) or csv_fields(now) != csv_fields(old):
                    return "its header is not as it was"
                self._take_header(csv_fields(old))
                now = next(new, None)
                continue
            while now is not None and line not in self.goes and not self._fits(line, old, now):
                if not self._take_added(now):
                    return f"line {line} is not as it was"
                now = next(new, None)
            if now is not None and self._fits(line, old, now):
                self._settle(line, old, now)
                now = next(new, None)
            elif line not in self.goes:
                return f"line {line} is missing"
        for row in [] if now is None else [now, *new]:
            if not self._take_added(row):
                return "it has a row more"
        left = +self.added
        return f"{next(iter(left))} lacks an added mask" if left else ""

    def _take_header(self, names: list[bytes]) -> None:
        plain = [csv_text(name).lower() for name in names]
        self.count = len(names)
        self.pixels, self.category, self.image = (
            next((k for k, name in enumerate(plain) if name in known), -1)
            for known in (_PIXELS, _CLASSES, _IMAGES)
        )
        joined = next((k for k, name in enumerate(plain) if name in _JOINED), -1)
        if joined >= 0:
            self.joined, self.image, self.category = True, joined, -1
        self.moves = self.joined and self.relabels

    def _fits(self, line: int, old: bytes, now: bytes) -> bool:
        """Return whether a row can be what became of another."""
        was, made = csv_fields(old), csv_fields(now)
        if not _is_same_end(old, now):
            return False
        if was == made:
            return line not in self.goes or self._is_bare(was)
        if line in self.goes:  # what stays of a row that is not whole is a whole one
            was = [*was, *[b""] * self.count][: self.count]
        change = self.changed.get(line)
        free = set[int]()
        filled = self.added[self._image_of(was)] > 0 and self._is_free(line, was)
        if line in self.goes or filled or self.moves or (change and change.counts is not None):
            free.add(self.pixels)
        if filled or (change and change.category is not None):
            free |= {self.image if self.joined else self.category}
        if line in self.goes and not (filled or self.moves) and not self._is_bare(made):
            return False
        same = len(was) == len(made) and self._image_of(was) == self._image_of(made)
        pairs = enumerate(zip(was, made, strict=False))
        return same and all(a == b or k in free for k, (a, b) in pairs)

    def _settle(self, line: int, old: bytes, now: bytes) -> None:
        """Count a row whose runs are those of an added mask."""
        was, made = csv_fields(old), csv_fields(now)
        image = self._image_of(was)
        if self._is_free(line, was) and not self._is_bare(made) and self.added[image]:
            self.added[image] -= 1

    def _is_free(self, line: int, fields: list[bytes]) -> bool:
        """Return whether a mask that comes may get a row: one without runs that stay."""
        return (self.joined and line in self.goes) or self._is_bare(fields)

    def _take_added(self, row: bytes) -> bool:
        image = self._image_of(csv_fields(row))
        if self.added[image] < 1:
            return False
        self.added[image] -= 1
        return True

    def _image_of(self, fields: list[bytes]) -> str:
        text = csv_text(fields[self.image]) if self.image < len(fields) else ""
        return as_key(text.rpartition("_")[0] or text if self.joined else text)

    def _is_bare(self, fields: list[bytes]) -> bool:
        return 0 <= self.pixels < len(fields) and csv_text(fields[self.pixels]) in _NONE
