"""PNGs of classes beside PNGs of ids: they differ where the ids do, and say one class an object."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import numpy as np

from curate.common.arrays import BoolArray, IntArray
from curate.formats.edits import Edits
from curate.formats.untouched.png_check import (
    check_png_ids,
    edits_by_file,
    ids_of_png,
    other_chunks,
    pixels_of_png,
)
from curate.formats.untouched.tree_check import FileCheck, TreeEdits, check_tree

_OF_CITYSCAPES = ("labelIds", "color", "labelTrainIds", "instanceTrainIds")
_OF_KITTI = ("semantic", "semantic_rgb")


def check_label_png(source: Path, written: Path, edits: Edits) -> str:
    """Compare two sets of PNGs of ids, and of their classes, in all that no edit names."""
    touched = edits_by_file(edits)
    for name, mine in touched.items():
        if mine.ignored and _becomes_zero(written / name, mine.ignored):
            mine.drop, mine.ignored = mine.drop | mine.ignored, set()
    edited: dict[str, FileCheck] = {
        name: partial(check_png_ids, mine) for name, mine in touched.items()
    }
    renamed: dict[str, set[int]] = {}
    for key, one in edits.change.items():
        if one.category is not None:
            name, _, number = key.rpartition("#")
            renamed.setdefault(name, set()).add(int(number))
    for name in {*touched, *renamed} if source.is_dir() else ():
        free = renamed.get(name, set()) | (touched[name].drawn if name in touched else set())
        for beside in _names_beside(name):
            check = partial(_check_classes, source / name, written / name, free)
            edited[beside] = check
    return check_tree(source, written, TreeEdits(edited))


def _becomes_zero(path: Path, ignored: set[int]) -> bool:
    """Whether what is to be ignored has no label then: Cityscapes and KITTI have 0 for that."""
    coded = path.name.endswith("_instanceIds.png") or path.parent.name.lower() == "instance"
    return coded and min(ignored) >= 256


def _names_beside(name: str) -> Iterator[str]:
    """Yield the names that the files of classes of a file of ids have."""
    if re.search(r"(^|/)SegmentationObject/", name):
        yield re.sub(r"(^|.*/)SegmentationObject/", r"\1SegmentationClass/", name)
    if found := re.fullmatch(r"(.*_gt(?:Fine|Coarse)_)instanceIds\.png", name):
        yield from (f"{found[1]}{kind}.png" for kind in _OF_CITYSCAPES)
    if found := re.fullmatch(r"(|.*/)instance/([^/]+)", name, re.IGNORECASE):
        yield from (f"{found[1]}{kind}/{found[2]}" for kind in _OF_KITTI)


def _check_classes(ids: Path, new_ids: Path, free: set[int], source: Path, written: Path) -> str:
    """Compare two PNGs of classes; ``free`` are ids whose pixels may get another class."""
    was, now = source.read_bytes(), written.read_bytes()
    if was == now:
        return ""
    if other_chunks(was) != other_chunks(now):
        return "something that is no pixel is not as it was"
    before, after = (ids_of_png(path) for path in (ids, new_ids))
    old, new = (ids_of_png(path) for path in (source, written))
    if old.shape != new.shape or old.shape != before.shape:
        return "its size is another"
    changed = before != after
    if ((old != new) & ~(changed | np.isin(after, list(free)))).any():
        return "classes of pixels are not as they were whose ids are"
    if _alpha_differs(source, written):
        return "its opacity is not as it was"
    return _check_values(after, new, changed, free, source.name)


def _check_values(
    ids: IntArray, classes: IntArray, changed: BoolArray, free: set[int], name: str
) -> str:
    """Check that pixels of one new id, of background and of void have one class each."""
    for one in np.unique(ids[changed | np.isin(ids, list(free))]).tolist():
        found = np.unique(classes[(ids == one) & (changed | (one in free))])
        if len(found) != 1:
            return f"pixels of the id {one} have several classes"
        label = one // 1000 if one >= 1000 else one
        if name.endswith("_labelIds.png") and found[0] != label:
            return f"pixels of the id {one} have the class {found[0]}"
    return ""


def _alpha_differs(source: Path, written: Path) -> bool:
    was, now = pixels_of_png(source), pixels_of_png(written)
    deep = was.ndim == 3 and was.shape[2] in (2, 4)
    return deep and bool((was[..., -1] != now[..., -1]).any())
