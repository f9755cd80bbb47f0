"""Folders of PNGs: one a mask, or ids in pixels."""

from __future__ import annotations

from collections import Counter
from functools import partial
from pathlib import Path

import numpy as np
from PIL import Image

from curate.common.arrays import AnyArray, IntArray
from curate.formats.edits import Edits
from curate.formats.untouched.tree_check import FileCheck, TreeEdits, check_tree
from curate.images.quiet_decoders import quiet_pillow

_RGB = np.array([1, 256, 65536], np.int64)


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


def check_label_png(source: Path, written: Path, edits: Edits) -> str:
    """Compare two sets of PNGs of ids in all that no edit names."""
    drop, drawn = (dict[str, set[int]]() for _ in range(2))
    for key in edits.drop:
        name, _, number = key.rpartition("#")
        drop.setdefault(name, set()).add(int(number))
    for key, one in edits.change.items():
        name, _, number = key.rpartition("#")
        if one.counts is not None:
            drawn.setdefault(name, set()).add(int(number))
    added = Counter(one.image_key for one in edits.add)
    edited: dict[str, FileCheck] = {
        name: partial(_check_ids, drop.get(name, set()), drawn.get(name, set()), added[name])
        for name in {*drop, *drawn, *added}
    }
    return check_tree(source, written, TreeEdits(edited))


def _check_ids(drop: set[int], drawn: set[int], added: int, source: Path, written: Path) -> str:
    old, new = (path.read_bytes() for path in (source, written))
    if _other_chunks(old) != _other_chunks(new):
        return "something that is no pixel is not as it was"
    was, now = _pixels(source), _pixels(written)
    if was.shape != now.shape or was.dtype != now.dtype:
        return "its pixels are of another kind"
    ids, others = (_ids(pixels, old) for pixels in (was, now))
    differs = ids != others
    new_ids = np.setdiff1d(others[differs], np.append(ids, 0))  # what goes may be the first 0
    if len(new_ids) > added:
        return f"{len(new_ids)} ids are new, not {added}"
    if np.isin(others, list(drop)).any():
        return "an id that goes is still there"
    free = np.array([*drop, *drawn, *new_ids.tolist()], np.int64)
    if (differs & ~np.isin(ids, free) & ~np.isin(others, free)).any():
        return "pixels of other ids are not as they were"
    if was.ndim == 3 and was.shape[2] in (2, 4) and (was[..., -1] != now[..., -1]).any():
        return "its opacity is not as it was"
    return ""


def _other_chunks(data: bytes) -> list[bytes]:
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


def _pixels(path: Path) -> AnyArray:
    with quiet_pillow(), Image.open(path) as image:  # it has been read before
        return np.asarray(image)


def _ids(pixels: AnyArray, data: bytes) -> IntArray:
    """Return the ids in pixels as Pillow reads them; it scales up gray of few bits."""
    depth, color = data[24], data[25]
    if pixels.ndim == 3 and pixels.shape[2] >= 3:
        return np.asarray(pixels[..., :3] @ _RGB, np.int64)
    plane = pixels if pixels.ndim == 2 else pixels[..., 0]
    if color == 0 and 1 < depth < 8:
        return np.asarray(plane // (255 // (2**depth - 1)), np.int64)
    return plane.astype(np.int64)
