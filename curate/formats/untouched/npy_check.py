"""NumPy arrays of masks, compared in all that no edit names, by NumPy and zipfile alone."""

from __future__ import annotations

import io
import re
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import numpy as np

from curate.common.arrays import AnyArray
from curate.formats.edits import Edits
from curate.formats.untouched.png_check import IdsTouched
from curate.formats.untouched.tree_check import FileCheck, TreeEdits, check_tree

_LAYER = re.compile(r"(.+)\[(\d+)\]", re.DOTALL)


@dataclass
class _ArrayTouched:
    """Edits of one array: of ids, or of layers."""

    ids: IdsTouched = field(default_factory=IdsTouched)
    layered: bool = False


def check_label_npy(source: Path, written: Path, edits: Edits) -> str:
    """Compare two files or folders of arrays in all that no edit names."""
    arrays: dict[str, _ArrayTouched] = {}
    for key in (*edits.drop, *(k for k, one in edits.change.items() if one.counts is not None)):
        layer = _LAYER.fullmatch(key)
        name, number = (layer[1], layer[2]) if layer else key.rsplit("#", 1)
        one = arrays.setdefault(name, _ArrayTouched())
        one.layered = layer is not None
        (one.ids.drop if key in edits.drop else one.ids.drawn).add(int(number))
    for new in edits.add:
        arrays.setdefault(new.image_key, _ArrayTouched()).ids.added += 1
    files: dict[str, dict[str, _ArrayTouched]] = {}
    for name, one in arrays.items():
        found = re.match(r"(.*?\.npz)/(.*)", name, re.DOTALL | re.IGNORECASE)
        file, member = (found[1], found[2]) if found else (name, "")
        files.setdefault(file, {})[member] = one
    edited: dict[str, FileCheck] = {
        name: partial(_check_file, touched) for name, touched in files.items()
    }
    return check_tree(source, written, TreeEdits(edited))


def _check_file(touched: dict[str, _ArrayTouched], source: Path, written: Path) -> str:
    was, now = dict(_members(source)), dict(_members(written))
    if [*was] != [*now]:
        return "its arrays are not those that it had"
    gone = [one.ids.drop for one in touched.values() if one.layered and one.ids.drop]
    for name, old in was.items():
        if name in touched:
            problem = _check_array(touched[name], old, now[name])
        else:
            problem = _check_beside(old, now[name], gone)
        if problem:
            return f"{name}: {problem}" if name else problem
    return ""


def _members(path: Path) -> Iterator[tuple[str, bytes]]:
    if path.suffix.lower() != ".npz":
        yield "", path.read_bytes()
        return
    with zipfile.ZipFile(path) as archive:
        for name in archive.namelist():
            yield name.removesuffix(".npy"), archive.read(name)


def _array(data: bytes) -> tuple[AnyArray, bytes]:
    """Return an array and what stands behind it."""
    file = io.BytesIO(data)
    made = np.lib.format.read_array(file, allow_pickle=False)
    return made, file.read()


def _check_array(touched: _ArrayTouched, old: bytes, new: bytes) -> str:
    (was, behind), (now, after) = _array(old), _array(new)
    if was.dtype != now.dtype or behind != after or was.flags.fnc != now.flags.fnc:
        return "it is of another kind"
    if was.ndim == 2:
        if len(old) != len(new) or old[: len(old) - was.nbytes] != new[: len(old) - was.nbytes]:
            return "its header is not as it was"
        return touched.ids.check(was.astype(np.int64), now.astype(np.int64))
    left = [k for k in range(len(was)) if k not in touched.ids.drop]
    if len(now) != len(left) + touched.ids.added:
        return f"it has {len(now)} layers, not {len(left) + touched.ids.added}"
    same = (k in touched.ids.drawn or (was[k] == now[i]).all() for i, k in enumerate(left))
    return "" if all(same) else "other layers are not as they were"


def _check_beside(old: bytes, new: bytes, gone: list[set[int]]) -> str:
    """Compare an array beside one of layers: it may have an entry less for each that went."""
    if old == new:
        return ""
    (was, _), (now, _) = _array(old), _array(new)
    for drop in gone:
        if was.ndim and max(drop) < len(was):
            left = np.delete(was, sorted(drop), axis=0)
            same = left.shape == now.shape and left.dtype == now.dtype
            if same and left.tobytes() == now.tobytes():
                return ""
    return "it is not as it was"
