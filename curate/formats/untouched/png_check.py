"""Folders of PNGs: one a mask, ids in pixels, or amg.py's with its CSV (and its JSON lists)."""

from __future__ import annotations

import csv
import io
import os
import re
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import numpy as np
from PIL import Image

from curate.common.arrays import AnyArray, IntArray
from curate.errors import SourceError
from curate.formats.edits import Edits
from curate.formats.untouched.json_list_check import add_to, check_list_file, edits_by_list
from curate.formats.untouched.tree_check import FileCheck, TreeEdits, as_key, check_tree
from curate.images.quiet_decoders import quiet_pillow

_RGB = np.array([1, 256, 65536], np.int64)

_SHEET = "metadata.csv"
_MEASURED = ("area", "bbox_x0", "bbox_y0", "bbox_w", "bbox_h")
_MASK = re.compile(r"[0-9]+\.png", re.IGNORECASE)
_WHOLE = re.compile(r"\s*([0-9]{1,18})(\.0*)?\s*", re.ASCII)


def check_png_folder(source: Path, written: Path, edits: Edits) -> str:
    """Compare two folders of one PNG a mask in all that no edit names."""
    drawn = {key for key, one in edits.change.items() if one.counts is not None}
    more = Counter(one.image_key for one in edits.add)
    tree = TreeEdits(dict.fromkeys(drawn, accept), edits.drop, more=more)
    return check_tree(source, written, tree)


def check_png_flat(source: Path, written: Path, edits: Edits) -> str:
    """Compare two folders of PNGs named after image and class in all that no edit names."""
    drawn = {key for key, one in edits.change.items() if one.counts is not None}
    more = Counter(one.image_key.rpartition("/")[0] for one in edits.add)
    return check_tree(
        source, written, TreeEdits(dict.fromkeys(drawn, accept), edits.drop, more=more)
    )


def accept(source: Path, written: Path) -> str:
    """Accept a PNG whose pixels are those of a mask: they are compared where masks are."""
    return ""


def check_id_files(source: Path, written: Path, edits: Edits, check: IdCheck) -> str:
    """Compare two sets of files of ids; their keys end with ``#`` and the id."""
    edited = {name: partial(check, mine) for name, mine in edits_by_file(edits).items()}
    return check_tree(source, written, TreeEdits(edited))


def edits_by_file(edits: Edits) -> dict[str, IdsTouched]:
    """Group edits by file of ids."""
    found: dict[str, IdsTouched] = {}
    for key in edits.drop:
        name, _, number = key.rpartition("#")
        found.setdefault(name, IdsTouched()).drop.add(int(number))
    for key, one in edits.change.items():
        name, _, number = key.rpartition("#")
        if one.ignore:
            found.setdefault(name, IdsTouched()).ignored.add(int(number))
        elif one.counts is not None:
            found.setdefault(name, IdsTouched()).drawn.add(int(number))
    for new in edits.add:
        found.setdefault(new.image_key, IdsTouched()).added += 1
    return found


@dataclass
class IdsTouched:
    """Ids of one image that go, are drawn anew or become void, and how many are new."""

    drop: set[int] = field(default_factory=set)
    drawn: set[int] = field(default_factory=set)
    added: int = 0
    ignored: set[int] = field(default_factory=set)

    def check(self, ids: IntArray, others: IntArray) -> str:
        """Compare the ids of an image before and after."""
        void = np.unique(others[np.isin(ids, list(self.ignored))])
        if self.ignored and (len(void) != 1 or void[0] == 0):
            return "a mask that is to be ignored has not become void"
        differs = (ids != others) & ~np.isin(ids, list(self.ignored))
        new_ids = np.setdiff1d(others[differs], np.append(ids, 0))  # what goes may be the first 0
        if len(new_ids) > self.added:
            return f"{len(new_ids)} ids are new, not {self.added}"
        if np.isin(others, list(self.drop | self.ignored)).any():
            return "an id that goes is still there"
        free = np.array([*self.drop, *self.drawn, *new_ids.tolist()], np.int64)
        if (differs & ~np.isin(ids, free) & ~np.isin(others, free)).any():
            return "pixels of other ids are not as they were"
        return ""


IdCheck = Callable[[IdsTouched, Path, Path], str]


def check_png_ids(touched: IdsTouched, source: Path, written: Path) -> str:
    """Compare two PNGs of ids in all that no edit names."""
    old, new = (path.read_bytes() for path in (source, written))
    if other_chunks(old) != other_chunks(new):
        return "something that is no pixel is not as it was"
    was, now = pixels_of_png(source), pixels_of_png(written)
    if was.shape != now.shape or was.dtype != now.dtype:
        return "its pixels are of another kind"
    if problem := touched.check(_ids(was, old), _ids(now, new)):
        return problem
    if was.ndim == 3 and was.shape[2] in (2, 4) and (was[..., -1] != now[..., -1]).any():
        return "its opacity is not as it was"
    return ""


def other_chunks(data: bytes) -> list[bytes]:
    """Return the chunks of a PNG without its pixels, and what stands behind its end."""
    found, at = [data[:8]], 8
    while at + 12 <= len(data):
        kind, end = data[at + 4 : at + 8], at + 12 + int.from_bytes(data[at : at + 4], "big")
        if kind != b"IDAT":
            found.append(data[at:end])
        at = end
        if kind == b"IEND":
            break
    return [*found, data[at:]]


def pixels_of_png(path: Path) -> AnyArray:
    """Return a PNG's pixels as Pillow reads them.

    Raises:
        SourceError: It does not read them, though they were read before: of a broken animation too.
    """
    with quiet_pillow(), Image.open(path) as image:
        try:
            return np.asarray(image)
        except (ValueError, SyntaxError) as error:
            what = f"the PNG is broken ({error})"
            raise SourceError(what, str(path), "mend it or leave it out") from error


def ids_of_png(path: Path) -> IntArray:
    """Return the ids of a PNG."""
    return _ids(pixels_of_png(path), path.read_bytes())


def _ids(pixels: AnyArray, data: bytes) -> IntArray:
    """Return the ids in pixels as Pillow reads them; it scales up gray of few bits."""
    depth, color = data[24], data[25]
    if pixels.ndim == 3 and pixels.shape[2] >= 3:
        return np.asarray(pixels[..., :3] @ _RGB, np.int64)
    plane = pixels if pixels.ndim == 2 else pixels[..., 0]
    if color == 0 and 1 < depth < 8:
        return np.asarray(plane // (255 // (2**depth - 1)), np.int64)
    return plane.astype(np.int64)


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
        records: Fields of each record.
        rows: Key, PNG and fields of each record; none where no column names the PNGs.
    """

    def __init__(self, folder: Path, below: str) -> None:
        self.below = below
        self.header, found = _read(folder / _SHEET)
        self.records = [fields for _, fields in found]
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
    if "id" not in rows.header:  # no record is about a mask
        return "" if left == rows.records else "its records are not as they were"
    kept = [(key, fields) for key, _, fields in rows.rows if as_key(key) not in asked.drop]
    if len(left) != len(kept) + asked.added:
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
