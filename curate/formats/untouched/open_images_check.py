"""Open Images datasets: lists row by row, PNGs that go or are redrawn, all other files."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path

from curate.formats.edits import Edits
from curate.formats.untouched.csv_check import check_csv, csv_fields, csv_rows, csv_text
from curate.formats.untouched.png_check import accept
from curate.formats.untouched.tree_check import FileCheck, TreeEdits, as_key, check_tree


def check_open_images(source: Path, written: Path, edits: Edits) -> str:
    """Compare two datasets in all that no edit names."""
    lists = {key.rpartition(":")[0] for key in (*edits.drop, *edits.change)}
    lists |= {one.image_key.partition("#")[0] for one in edits.add}
    edited: dict[str, FileCheck] = {}
    gone: set[str] = set()
    more = Counter[str]()
    files = _files(source)
    elsewhere = {
        as_key(name): {files[p] for _, _, p in _rows_of_list(source / name) if p in files}
        for name in _csv_files(source)
    }
    for name in lists:
        mine = _of_list(edits, name)
        edited[name] = partial(_check_list, mine)
        rows = list(_png_rows(source / name))
        drop = {int(key.rpartition(":")[2]) for key in mine.drop}
        drawn = {
            int(key.rpartition(":")[2]) for key, c in mine.change.items() if c.counts is not None
        }
        staying = {png for line, _, png in rows if line not in drop}
        elsewhere[name] = {files[p] for p in staying if p in files}
        gone |= {files[p] for line, _, p in rows if line in drop and p in files}
        edited |= {files[p]: accept for line, _, p in rows if line in drawn and p in files}
        for image, count in Counter(one.image_key for one in mine.add).items():
            first = next((files[p] for _, i, p in rows if i == image and p in files), "")
            more[first.rpartition("/")[0]] += count
    gone = gone.difference(*elsewhere.values())  # PNGs that a row of any list names stay
    return check_tree(source, written, TreeEdits(edited, gone, more=more))


def _check_list(edits: Edits, source: Path, written: Path) -> str:
    return check_csv(source, written, edits)


def _of_list(edits: Edits, name: str) -> Edits:
    """Return the edits of one list, images by their names."""
    drop = {key for key in edits.drop if key.rpartition(":")[0] == name}
    change = {key: one for key, one in edits.change.items() if key.rpartition(":")[0] == name}
    add = [
        replace(one, image_key=one.image_key.partition("#")[2])
        for one in edits.add
        if one.image_key.partition("#")[0] == name
    ]
    return replace(edits, drop=drop, change=change, add=add)


def _png_rows(path: Path) -> Iterator[tuple[int, str, str]]:
    """Yield line, image and PNG of each row of a list."""
    rows = csv_rows(path)
    header = [csv_text(one).lower() for one in csv_fields(next(rows)[1])]
    image, png = header.index("imageid"), header.index("maskpath")
    for line, row in rows:
        fields = [csv_text(one) for one in csv_fields(row)]
        if max(image, png) < len(fields):
            yield line, as_key(fields[image]), fields[png]


def _rows_of_list(path: Path) -> Iterator[tuple[int, str, str]]:
    """Yield the rows of a list of masks, none of any other CSV file."""
    try:
        yield from _png_rows(path)
    except (ValueError, StopIteration, RuntimeError, OSError):  # no such columns, or no rows
        return


def _csv_files(source: Path) -> Iterator[str]:
    """Yield the paths of CSV files in a dataset."""
    for folder, _, names in os.walk(source):
        for name in names:
            if name.lower().endswith(".csv"):
                yield (Path(folder) / name).relative_to(source).as_posix()


def _files(source: Path) -> dict[str, str]:
    """Return the path of each PNG by its name, as keys write it."""
    found: dict[str, str] = {}
    for folder, below, names in os.walk(source):
        below.sort()
        for name in names:
            if name.lower().endswith(".png"):
                path = (Path(folder) / name).relative_to(source).as_posix()
                found.setdefault(name, as_key(path))
    return found
