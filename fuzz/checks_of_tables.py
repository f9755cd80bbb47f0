"""What was read of tables, held against plain parsers; as :mod:`fuzz.checks` does it."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from typing import Any

import numpy as np

from curate.dataset.table import MaskTable
from fuzz import reference
from fuzz.checks import Files, compare_mask, rows_by_key

_PIXELS = ("encodedpixels", "annotation")


def check_kaggle(files: Files, tables: Sequence[MaskTable]) -> None:
    """Check run-length CSV with the standard library's parser."""
    data, *_ = files.values()
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError:
        return
    if '"' in text or "\r" in text.replace("\r\n", "") or "\0" in text or len(text) > 100_000:
        return  # what is in quotes, each parser takes in its own way
    rows = text.splitlines() if "\v" not in text and "\f" not in text else []
    if rows != text.replace("\r\n", "\n").split("\n")[: len(rows)]:
        return
    header, *_ = [*csv.reader(io.StringIO(rows[0])), []] if rows else [[]]
    lowered = [one.strip().lower() for one in header]
    kinds = [k for k, one in enumerate(lowered) if one in _PIXELS]
    if len(kinds) != 1:
        return
    by_row = lowered[kinds[0]] == "annotation"
    for key, row in rows_by_key(tables).items():
        _, _, line = key.rpartition(":")
        fields = rows[int(line) - 1].split(",")
        size = row["height"], row["width"]
        if len(fields) != len(header) or not reference.is_size(*size):
            continue
        if row["status"] != "wrong_type":
            compare_mask(row, _drawn(fields[kinds[0]], *size, by_row), False)


def _drawn(text: str, height: int, width: int, by_row: bool) -> Any:
    """Return what pairs of start and length draw; None where they are not plain pairs."""
    if not text.isascii() or not all(one.isdigit() for one in text.split()):
        return None
    numbers = [int(one) for one in text.split()]
    flat = np.zeros(height * width, bool)
    last = 0
    for start, length in zip(numbers[::2], numbers[1::2], strict=False):
        if start <= last or start + length - 1 > flat.size or len(numbers) % 2 or length == 0:
            return None
        flat[start - 1 : start - 1 + length] = True
        last = start + length - 1
    return flat.reshape(height, width) if by_row else flat.reshape(width, height).T
