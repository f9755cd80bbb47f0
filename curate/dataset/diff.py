"""Comparison of two datasets: what happened to every mask, image and category."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from curate.common.arrays import AnyArray, BoolArray, FloatArray, IntArray
from curate.dataset.category_changes import find_category_changes
from curate.dataset.difference import CHANGES, IMAGE_CHANGES, Difference, SideRecord
from curate.dataset.mask_moves import Links, find_moves, find_splits
from curate.dataset.pairing import (
    BATCH,
    MaskPairs,
    Rows,
    comparable,
    join_pairs,
    pair_images,
    pair_masks,
    runs_of,
)
from curate.dataset.renamed_images import pair_renamed_images
from curate.dataset.snapshot import Snapshot
from curate.dataset.version_id import normalize_text
from curate.rle import outline_distance

_KINDS = {change: k for k, change in enumerate(CHANGES)}
_UNCHANGED = -1


def compare_snapshots(
    a: Snapshot, b: Snapshot, *, same_iou: float = 1.0, same_outline: float = 0.0
) -> Difference:
    """Compare two datasets: what happened to every mask from A to B.

    Images are paired as :func:`curate.dataset.pairing.pair_images` says, then those of another name
    with the same masks; masks as :func:`curate.dataset.pairing.pair_masks` says. Then masks that
    were split or merged are found (:func:`curate.dataset.mask_moves.find_splits`), those that were
    moved, and categories that changed as a whole. A mask whose image only one dataset has, or that
    found no partner, was removed or added.

    Args:
        a: The dataset before.
        b: The dataset after.
        same_iou: Masks of this IoU and more count as unchanged, (0, 1].
        same_outline: So do masks whose outlines lie this far apart in the mean, or less, in pixels.

    Returns:
        The difference; two datasets of different formats are compared by what both can hold.
    """
    named = pair_images(a, b)
    renamed = pair_renamed_images(a, b, named)
    how, labels = _labels(a, b)
    codes, _ = pd.factorize(np.concatenate(labels))
    numbers = codes[: len(a.masks)].astype(np.int64), codes[len(a.masks) :].astype(np.int64)
    if how == "none":
        numbers = np.zeros(len(a.masks), np.int64), np.zeros(len(b.masks), np.int64)
    every = comparable(a, b, join_pairs(named, renamed), numbers)
    pairs = pair_masks(a, b, every)
    # Two formats number categories each in its own way.
    ids = [
        _category_numbers(one) if a.format == b.format else np.full(len(one.masks), None, object)
        for one in (a, b)
    ]
    categories = find_category_changes(labels if how != "none" else [], ids, pairs.rows)
    split = find_splits(a, b, every, pairs)
    merged = _find_merges(a, b, (every[1], every[0]), pairs, split)
    linked = join_pairs(split.rows, merged.rows)
    alone = _take(pairs, ~(np.isin(pairs.rows[0], linked[0]) | np.isin(pairs.rows[1], linked[1])))
    became = numbers[0].copy()
    for before, after in categories.became.items():
        became[labels[0] == before] = numbers[1][labels[1] == after][0]
    relabelled = became[alone.rows[0]] != numbers[1][alone.rows[1]]
    fates = _judge(a, b, alone, relabelled, (same_iou, same_outline))
    changed = np.flatnonzero(fates.kind != _UNCHANGED)
    return Difference(
        a=_summarize(a),
        b=_summarize(b),
        unchanged=len(fates.kind) - len(changed),
        categories=how,
        masks=_changes(
            a,
            b,
            labels,
            [
                _Fates(*(values[changed] for values in vars(fates).values())),
                _of_links("split", split),
                _of_links("merged", merged),
                *_unpaired(a, b, join_pairs(alone.rows, linked)),
            ],
        ),
        images=_image_changes(a, b, named, renamed),
        category_changes=categories.table,
    )


@dataclass(frozen=True)
class _Fates:
    """What happened to n masks, or to parts of masks.

    Attributes:
        kind: Shape (n,): an index of :data:`CHANGES`, or -1 for unchanged.
        first: Positions among A's masks, -1 for none.
        second: Among B's.
        iou: NaN for none.
        distance: Of the outlines of redrawn masks, in pixels; NaN for others.
        moved: Shape (n, 2): pixels to the right and down; (0, 0) for those that were not moved.
    """

    kind: IntArray
    first: IntArray
    second: IntArray
    iou: FloatArray
    distance: FloatArray
    moved: IntArray


def _judge(
    a: Snapshot,
    b: Snapshot,
    pairs: MaskPairs,
    relabelled: BoolArray,
    tolerances: tuple[float, float],
) -> _Fates:
    moved = find_moves(a, b, pairs)
    is_moved = (moved != 0).any(axis=1)
    distance = _outline_distances(a, b, pairs, ~pairs.equal & ~is_moved)
    same_iou, same_outline = tolerances
    same = pairs.equal | (pairs.iou >= same_iou) | (distance <= same_outline)
    kind = np.where(is_moved, _KINDS["moved"], _KINDS["redrawn"]) + relabelled
    kind = np.where(same, np.where(relabelled, _KINDS["relabelled"], _UNCHANGED), kind)
    distance[same] = np.nan
    moved[same] = 0
    return _Fates(kind, *pairs.rows, pairs.iou, distance, moved)


def _outline_distances(a: Snapshot, b: Snapshot, pairs: MaskPairs, asked: BoolArray) -> FloatArray:
    """Return the mean distance of the outlines of some pairs, NaN for others."""
    found = np.full(len(asked), np.nan)
    rows = np.flatnonzero(asked & ~np.isnan(pairs.iou))
    for first in range(0, len(rows), BATCH):
        some = rows[first : first + BATCH]
        found[some] = outline_distance(
            runs_of(a, pairs.rows[0][some]), runs_of(b, pairs.rows[1][some])
        )
    return found


def _find_merges(
    a: Snapshot,
    b: Snapshot,
    every: tuple[pd.DataFrame, pd.DataFrame],
    pairs: MaskPairs,
    split: Links,
) -> Links:
    """Find masks of B that were several of A; ``every`` holds B's masks, then A's."""
    back = MaskPairs((pairs.rows[1], pairs.rows[0]), pairs.equal, pairs.iou)
    found = find_splits(b, a, every, back)
    rows = found.rows[1], found.rows[0]
    free = ~(np.isin(rows[0], split.rows[0]) | np.isin(rows[1], split.rows[1]))
    return Links((rows[0][free], rows[1][free]), found.iou[free])


def _take(pairs: MaskPairs, some: BoolArray) -> MaskPairs:
    rows = pairs.rows[0][some], pairs.rows[1][some]
    return MaskPairs(rows, pairs.equal[some], pairs.iou[some])


def _of_links(change: str, links: Links) -> _Fates:
    n = len(links.iou)
    kind = np.full(n, _KINDS[change])
    return _Fates(kind, *links.rows, links.iou, np.full(n, np.nan), np.zeros((n, 2), np.int64))


def _unpaired(a: Snapshot, b: Snapshot, paired: Rows) -> list[_Fates]:
    """Return the masks that only one dataset has."""
    found = []
    for change, one, rows in (("removed", a, paired[0]), ("added", b, paired[1])):
        only = _others(one.masks, rows)
        sides = [only, np.full(len(only), -1)][:: 1 if change == "removed" else -1]
        nothing = np.full(len(only), np.nan)
        kind = np.full(len(only), _KINDS[change])
        moved = np.zeros((len(only), 2), np.int64)
        found.append(_Fates(kind, sides[0], sides[1], nothing, nothing, moved))
    return found


def _summarize(one: Snapshot) -> SideRecord:
    """Return path, format, version and counts of a dataset; whether it has categories."""
    return {
        "path": one.path,
        "format": one.format,
        "version": one.version,
        "masks": len(one.masks),
        "images": len(one.images),
        "categories": any(
            bool(pd.notna(labels(one)).any()) for labels in (_category_names, _category_numbers)
        ),
    }


def _labels(a: Snapshot, b: Snapshot) -> tuple[str, list[AnyArray]]:
    """Return how categories can be compared, and the category of each mask as it is shown."""
    names = [_category_names(one) for one in (a, b)]
    numbers = [_category_numbers(one) for one in (a, b)]
    has_names = [bool(pd.notna(one).any()) or not len(one) for one in names]
    has_numbers = [bool(pd.notna(one).any()) or not len(one) for one in numbers]
    if not all(has_names) and all(has_numbers):
        return "numbers", numbers
    shown = [
        np.where(pd.notna(name), name, number) for name, number in zip(names, numbers, strict=True)
    ]
    return "names" if all(has_names) else "none", shown


def _category_names(one: Snapshot) -> AnyArray:
    codes, names = pd.factorize(one.masks["category"].to_numpy(object))
    spelled = np.array([*(normalize_text(name) for name in names), None], object)
    return spelled[codes]


def _category_numbers(one: Snapshot) -> AnyArray:
    if "category_id" not in one.masks.columns:
        return np.full(len(one.masks), None, object)
    codes, numbers = pd.factorize(one.masks["category_id"])
    return np.array([*(f"#{number}" for number in numbers), None], object)[codes]


def _changes(a: Snapshot, b: Snapshot, labels: list[AnyArray], found: list[_Fates]) -> pd.DataFrame:
    """Return the rows of changed masks; see :class:`Difference`."""
    every = [
        np.concatenate(values) for values in zip(*(vars(f).values() for f in found), strict=True)
    ]
    kind, first, second, iou, distance, moved = every
    columns = {"kind": kind, "file_name": _either(a.masks, b.masks, first, second, "file_name")}
    for name in ("mask_id", "source_key"):
        for letter, one, rows in (("a", a, first), ("b", b, second)):
            columns[f"{name}_{letter}"] = _take_rows(one.masks.reset_index()[name], rows)
    for k, (letter, rows) in enumerate((("a", first), ("b", second))):
        columns[f"category_{letter}"] = _take_rows(pd.Series(labels[k], dtype="str"), rows)
    columns |= {"iou": iou, "outline_distance": distance}
    is_moved = pd.Series((moved != 0).any(axis=1))
    for k, side in enumerate("xy"):
        columns[f"moved_{side}"] = pd.Series(moved[:, k], dtype="Int64").where(is_moved)
    frame = pd.DataFrame(columns)
    keys = ["kind", "iou", "file_name", "mask_id_a", "mask_id_b"]
    frame = frame.sort_values(keys, kind="stable", ignore_index=True)
    change = pd.Series(np.array(CHANGES, object)[frame["kind"]], dtype="str")
    frame.insert(0, "change", change)
    return frame.drop(columns="kind")


def _image_changes(a: Snapshot, b: Snapshot, named: Rows, renamed: Rows) -> pd.DataFrame:
    """Return the rows of changed images; see :class:`Difference`."""
    sizes = [one.images[["height", "width"]].to_numpy(np.int64) for one in (a, b)]
    size_a, size_b = sizes[0][named[0]], sizes[1][named[1]]
    is_known = (size_a > 0).all(axis=1) & (size_b > 0).all(axis=1)  # 0 x 0: nothing says it
    resized = is_known & (size_a != size_b).any(axis=1)
    paired = join_pairs(named, renamed)
    only = [_others(*of) for of in zip((a.images, b.images), paired, strict=True)]
    nothing = [np.full(len(rows), -1) for rows in only]
    first = np.concatenate([only[0], nothing[1], named[0][resized], renamed[0]])
    second = np.concatenate([nothing[0], only[1], named[1][resized], renamed[1]])
    counts = [len(only[0]), len(only[1]), int(resized.sum()), len(renamed[0])]
    kinds = np.repeat(IMAGE_CHANGES, counts)
    new_name = _take_rows(b.images["file_name"], np.where(kinds == "renamed", second, -1))
    columns = {
        "change": pd.Series(kinds, dtype="str"),
        "file_name": _either(a.images, b.images, first, second, "file_name"),
        "new_name": new_name,
    }
    for name in ("image_id", "height", "width"):
        for letter, one, rows in (("a", a, first), ("b", b, second)):
            columns[f"{name}_{letter}"] = _take_rows(one.images.reset_index()[name], rows)
    return pd.DataFrame(columns)


def _others(frame: pd.DataFrame, rows: IntArray) -> IntArray:
    """Return the positions of a frame's other rows."""
    left = np.ones(len(frame), np.bool_)
    left[rows] = False
    return np.flatnonzero(left)


def _take_rows(values: pd.Series[Any], rows: IntArray) -> pd.Series[Any]:
    """Return the values at some positions, missing at -1."""
    if pd.api.types.is_integer_dtype(values.dtype):
        values = values.astype("Int64")
    taken = pd.Series(values.array.take(rows, allow_fill=True)).reset_index(drop=True)
    return taken if str(values.dtype) == "Int64" else taken.astype("str")


def _either(
    first: pd.DataFrame, second: pd.DataFrame, rows: IntArray, others: IntArray, name: str
) -> pd.Series[Any]:
    found, other = _take_rows(first[name], rows), _take_rows(second[name], others)
    return found.where(rows >= 0, other)
