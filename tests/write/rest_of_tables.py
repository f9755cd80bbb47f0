"""The rest of datasets whose masks are listed in tables."""

from __future__ import annotations

import csv
import io
from pathlib import Path

import numpy as np
from rest import Touched

# --- run lengths in CSV --------------------------------------------------------------------------

Rows = list[list[str]]


def _rows(path: Path) -> Rows:
    text = path.read_bytes().decode("utf-8-sig")
    return [row for row in csv.reader(io.StringIO(text, newline="")) if row]


def _decoded(text: str, size: tuple[int, int], order: str) -> np.ndarray:
    flat = np.zeros(size[0] * size[1], bool)
    numbers = [int(one) for one in text.split()]
    for start, length in zip(numbers[::2], numbers[1::2], strict=True):
        flat[start - 1 : start - 1 + length] = True
    return flat.reshape(size, order="F" if order == "F" else "C")


def _check_csv(source: Path, written: Path, touched: Touched, order: str, kind: int | None) -> None:
    """Compare two files: column 0 is the image, 1 the runs, ``kind`` the class."""
    old, new = _rows(source), _rows(written)
    assert new.pop(0) == old[0]
    header = [name.lower() for name in old.pop(0)]
    text = source.read_bytes()
    lines = [k for k, line in enumerate(text.splitlines(), 1) if line.strip()][1:]
    added = list(touched.added)
    untouched = set(written.read_bytes().splitlines())
    for line, was in zip(lines, old, strict=True):
        key = f"{source.name}:{line}"
        size = _size(header, was, touched)
        left = [row for row in new if row[0] == was[0]]
        if key in touched.dropped:
            others = [one for one in touched.added if one[0] == was[0]]
            if left and left[0][1] == "" and not others:
                assert left[0][2:] == was[2:]
                new.remove(left[0])
            continue
        if was[1] == "" and any(one[0] == was[0] for one in added):
            continue  # filled: looked at below
        if key not in touched.redrawn and key not in touched.relabelled:
            assert was in new
            assert text.splitlines()[line - 1] in untouched
            new.remove(was)
            continue
        found = None
        for row in left:
            meant = list(was)
            if key in touched.redrawn:
                mask = touched.redrawn[key]
                if row[1] == "" or (_decoded(row[1], mask.shape, order) != mask).any():
                    continue
                meant[1] = row[1]
            if key in touched.relabelled and kind is not None:
                rest = was[kind].partition("_")
                meant[kind] = touched.relabelled[key] + rest[1] + rest[2]
            if row == meant:
                found = row
        assert found is not None, (key, size)
        new.remove(found)
    for image, mask, label in added:
        matches = [
            row
            for row in new
            if row[0] == image
            and (_decoded(row[1], mask.shape, order) == mask).all()
            and (kind is None or row[kind] == label)
        ]
        assert matches
        new.remove(matches[0])
    assert new == []


def _size(header: list[str], row: list[str], touched: Touched) -> tuple[int, int] | None:
    if "height" not in header:
        return None
    return int(row[header.index("height")]), int(row[header.index("width")])


def check_kaggle_csv(source: Path, written: Path, touched: Touched) -> None:
    _check_csv(source, written, touched, "F", 4)


def check_kaggle_csv_rows(source: Path, written: Path, touched: Touched) -> None:
    _check_csv(source, written, touched, "C", 4)
