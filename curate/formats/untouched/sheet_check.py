"""Outputs of amg.py: folders of PNGs with a CSV, and lists of records."""

from __future__ import annotations

import csv
import io
import os
import re
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from curate.formats.edits import Edits
from curate.formats.untouched.json_list_check import add_to, check_list_file, edits_by_list
from curate.formats.untouched.png_check import accept
from curate.formats.untouched.tree_check import FileCheck, TreeEdits, as_key, check_tree

_SHEET = "metadata.csv"
_MEASURED = ("area", "bbox_x0", "bbox_y0", "bbox_w", "bbox_h")
_MASK = re.compile(r"[0-9]+\.png", re.IGNORECASE)
_WHOLE = re.compile(r"\s*([0-9]{1,18})(\.0*)?\s*", re.ASCII)


def check_amg(source: Path, written: Path, edits: Edits) -> str:
    """Compare two outputs of amg.py in all that no edit names."""
    folders: dict[str, _SheetEdits] = {}
    records = edits_by_list(edits, "#/")
    for one in edits.add:
        if source.is_file() or (source / one.image_key).is_file():
            add_to(records, one.image_key)
        else:
            folder = "" if one.image_key == "." else one.image_key
            folders.setdefault(folder, _SheetEdits()).added += 1
    edited: dict[str, FileCheck] = {
        name: partial(check_list_file, {"": mine}) for name, mine in records.items()
    }
    for key in edits.drop:
        if "#/" not in key:
            folders.setdefault(key.rpartition("/")[0], _SheetEdits()).drop.add(key)
    for key, change in edits.change.items():
        if "#/" not in key and change.counts is not None:
            folders.setdefault(key.rpartition("/")[0], _SheetEdits()).change.add(key)
    gone, new, more = set[str](), set[str](), dict[str, int]()
    for folder, asked in folders.items():
        rows = _Rows(source / folder, f"{folder}/" if folder else "")
        gone |= rows.pngs(asked.drop)
        for key in rows.pngs(asked.change):
            there = os.path.lexists(source / key)
            edited[key] = accept
            if not there:
                new.add(key)
        edited[rows.below + _SHEET] = partial(_check_sheet, rows, asked)
        more |= {folder: asked.added} if asked.added else {}
    return check_tree(source, written, TreeEdits(edited, gone, new, more))


@dataclass
class _SheetEdits:
    """Edits of one folder: keys of masks, and how many are new."""

    drop: set[str] = field(default_factory=set)
    change: set[str] = field(default_factory=set)
    added: int = 0


class _Rows:
    """The records of a CSV, with the key of the mask that each is about.

    Args:
        folder: The folder.
        below: What stands before a name in it in keys.

    Attributes:
        below: The same.
        header: Names of the columns.
        rows: Key, PNG and fields of each record.
    """

    def __init__(self, folder: Path, below: str) -> None:
        self.below = below
        self.header, found = _read(folder / _SHEET)
        names = sorted((n for n in os.listdir(folder) if _MASK.fullmatch(n)), reverse=True)
        real = {int(name[:-4]): name for name in names}
        self.rows: list[tuple[str, str, list[str]]] = []
        claimed = set[str]()
        for line, fields in found if "id" in self.header else ():
            at = self.header.index("id")
            whole = _WHOLE.fullmatch(fields[at]) if at < len(fields) else None
            png = real.get(int(whole[1]), f"{int(whole[1])}.png") if whole else ""
            own = png and png not in claimed
            self.rows.append((f"{below}{png}" if own else f"{below}{_SHEET}:{line}", png, fields))
            claimed.add(png)

    def pngs(self, keys: set[str]) -> set[str]:
        """Return the paths of PNGs that are only named by masks with some keys."""
        stays = {png for key, png, _ in self.rows if as_key(key) not in keys}
        named = {png for key, png, _ in self.rows if as_key(key) in keys}
        listed = {as_key(key) for key, *_ in self.rows}
        return {self.below + png for png in named - stays if png} | (keys - listed)


def _check_sheet(rows: _Rows, asked: _SheetEdits, source: Path, written: Path) -> str:
    header, found = _read(written)
    if header != rows.header:
        return "its columns are not as they were"
    left = [fields for _, fields in found]
    kept = [(key, fields) for key, _, fields in rows.rows if as_key(key) not in asked.drop]
    if len(left) != len(kept) + (asked.added if rows.header else 0):
        return f"it has {len(left)} records instead of {len(kept) + asked.added}"
    for (key, fields), now in zip(kept, left, strict=False):
        free = _MEASURED if as_key(key) in asked.change else ()
        same = len(fields) == len(now) and all(
            was == new or (k < len(header) and header[k] in free)
            for k, (was, new) in enumerate(zip(fields, now, strict=True))
        )
        if not same:
            return f"the record of {key} is not as it was"
    return ""


def _read(path: Path) -> tuple[list[str], list[tuple[int, list[str]]]]:
    """Return the columns of a CSV, and line and fields of each record; none where it is broken."""
    if not path.is_file():
        return [], []
    text = path.read_bytes().decode("utf-8", "surrogateescape").removeprefix("\ufeff")
    found, first = [], 1
    reader = csv.reader(io.StringIO(text, newline=""))
    try:
        for fields in reader:
            found += [(first, fields)] if fields else []
            first = reader.line_num + 1
    except csv.Error:
        return [], []
    header = [name.strip() for name in found[0][1]] if found else []
    return header, found[1:]
