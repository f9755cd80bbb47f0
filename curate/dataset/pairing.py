"""Pairing of the images and masks of two datasets."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy import optimize, sparse
from scipy.sparse import csgraph

from curate.common.arrays import AnyArray, BoolArray, FloatArray, IntArray
from curate.dataset.image_join import Listing, join
from curate.dataset.image_names import normalise
from curate.dataset.snapshot import Snapshot
from curate.rle import Runs, area, crop, cross_overlaps, decode_counts, encode_counts, measure

Rows = tuple[IntArray, IntArray]
"""Positions of rows of A and of B that belong together, both of shape (n,)."""

Both = tuple[pd.DataFrame, pd.DataFrame]
"""Rows of A and of B, with the same columns."""

LEAST_IOU = 0.5
"""Masks that share less are one mask only where their identity or their place says so."""

BATCH = 50_000
"""Masks that are decoded at a time."""

_TIE = 1e-12
_LEAST_SHAPE_PX = 16
_SHARED_IMAGE_IDS = frozenset({"coco", "lvis", "coco-results"})
_NO_PIXELS = -1
_IDENTITY = ("image", "identity")
_NO_ROWS: Rows = (np.zeros(0, np.int64), np.zeros(0, np.int64))


@dataclass(frozen=True)
class MaskPairs:
    """Masks of A and of B that are one mask.

    Attributes:
        rows: Their positions among A's masks and among B's.
        equal: Shape (n,): whether the pixels are equal, or both have none.
        iou: Shape (n,): exact; NaN where both have no pixels, or their images differ in size.
    """

    rows: Rows
    equal: BoolArray
    iou: FloatArray


def match(both: Both, keys: Sequence[str]) -> Rows:
    """Pair rows that agree in some columns, each once, in the order in which they stand.

    Returns:
        The pairs' index values in A and in B.
    """
    if not len(both[0]) or not len(both[1]):
        return _NO_ROWS
    names = list(keys)
    first, second = (
        one[names].assign(turn=one.groupby(names).cumcount(), row=one.index) for one in both
    )
    found = first.merge(second, on=[*names, "turn"], suffixes=("_a", "_b"))
    return found["row_a"].to_numpy(np.int64), found["row_b"].to_numpy(np.int64)


def pair_images(a: Snapshot, b: Snapshot) -> Rows:
    """Find the images that both have, each once.

    As :func:`curate.dataset.image_join.join` does, of any sizes; ids count where both formats take
    them from one place, and among images without a name. Images of one name, of which both have as
    many, are paired in their order, those of equal ids first. Two datasets of one image each, of
    which one does not say its name, have that image.

    Returns:
        Positions in A's images and in B's.
    """
    shared = {a.format, b.format} <= _SHARED_IMAGE_IDS
    joined = join(*(_listing(one.images, ids=shared) for one in (a, b))).rows
    second = np.flatnonzero(joined >= 0)
    found = joined[second], second
    every = _with_names(a.images), _with_names(b.images)
    counts = [one["name"].value_counts() for one in every]
    even = {name for name, n in counts[0].items() if counts[1].get(name) == n}
    for keys in (["name", "image_id"], ["name"]):
        found = join_pairs(
            found, match(_where(drop_paired(every, found), "name", even - {""}), keys)
        )
    bare = _where(drop_paired(every, found), "name", {""})
    found = join_pairs(found, match(bare, ["image_id"]))
    alone = len(a.images) == len(b.images) == 1 and not len(found[0])
    if alone and any(one["name"].iloc[0] == "" for one in every):
        return np.zeros(1, np.int64), np.zeros(1, np.int64)
    return found


def _listing(images: pd.DataFrame, *, ids: bool) -> Listing:
    numbers = images.index.to_numpy(np.int64) if ids else None
    return Listing(images["file_name"].to_numpy(object).tolist(), numbers)


def pair_masks(a: Snapshot, b: Snapshot, every: Both) -> MaskPairs:
    """Find the masks that both have, each once, within images that both have.

    By identity and equal pixels; then by equal pixels alone, those of an equal category first; then
    by identity, where masks of the image with equal pixels have kept theirs; then by IoU, from
    :data:`LEAST_IOU` on, so that the sum of all is greatest; then masks of one category that
    overlap at all, if they have one identity or stand between the same two masks in both files (a
    redraw of most of a mask); then masks of one category and shape, of which an image has no second
    (a mask that was moved). Two identities that were kept, but differ, are two masks, however much
    these overlap.

    Args:
        a: One dataset.
        b: The other.
        every: Their masks, from :func:`comparable`.
    """
    equal = match(_with_identity(every), ["image", "pixels", "identity"])
    for keys in (["image", "pixels", "category"], ["image", "pixels"]):
        equal = join_pairs(equal, match(drop_paired(every, equal), keys))
    kept = _keeps_identity(every, equal)
    rest = _with_identity(drop_paired(every, equal))
    same = match((rest[0][kept[rest[0]["image"]]], rest[1][kept[rest[1]["image"]]]), _IDENTITY)
    for one in every:
        one["sure"] = (one["identity"] >= 0) & kept[one["image"]]
    rows, iou = join_pairs(equal, same), _iou_of_named(a, b, every, equal, same)
    for may_pair in (_share_half, _share_place):
        near, near_iou = _nearest(a, b, drop_paired(_with_neighbours(every, rows), rows), may_pair)
        rows, iou = join_pairs(rows, near), np.concatenate([iou, near_iou])
    moved = _of_one_shape(a, b, drop_paired(every, rows))
    rows, iou = join_pairs(rows, moved), np.concatenate([iou, _iou(a, b, moved)])
    return MaskPairs(rows, np.arange(len(iou)) < len(equal[0]), iou)


def _iou_of_named(a: Snapshot, b: Snapshot, every: Both, equal: Rows, same: Rows) -> FloatArray:
    """Return the IoU of pairs of equal pixels, then of pairs of one identity."""
    has_pixels = every[0].loc[equal[0], "pixels"].to_numpy(np.int64) != _NO_PIXELS
    comparable = ~every[0].loc[same[0], "resized"].to_numpy(np.bool_)
    same_iou = np.where(comparable, _iou(a, b, same), np.nan)
    return np.concatenate([np.where(has_pixels, 1.0, np.nan), same_iou])


def _with_names(images: pd.DataFrame) -> pd.DataFrame:
    names = [normalise(name) for name in images["file_name"]]
    frame = pd.DataFrame({"name": names}, dtype="str")
    return frame.assign(image_id=images.index.to_numpy(np.int64))


def _where(both: Both, column: str, values: set[Any]) -> Both:
    return both[0][both[0][column].isin(values)], both[1][both[1][column].isin(values)]


def drop_paired(both: Both, found: Rows) -> Both:
    """Return the rows that are not paired yet."""
    return both[0][~both[0].index.isin(found[0])], both[1][~both[1].index.isin(found[1])]


def _with_identity(both: Both) -> Both:
    return both[0][both[0]["identity"] >= 0], both[1][both[1]["identity"] >= 0]


def join_pairs(first: Rows, second: Rows) -> Rows:
    """Return the pairs of both."""
    return np.concatenate([first[0], second[0]]), np.concatenate([first[1], second[1]])


def comparable(a: Snapshot, b: Snapshot, images: Rows, categories: Rows) -> Both:
    """Return numbers that two masks can be compared by, of the masks whose image both have.

    Args:
        a: One dataset.
        b: The other.
        images: The images that both have, from :func:`pair_images`.
        categories: For each mask of A, and of B, a number that stands for its category.

    Returns:
        For A and for B, index the positions among its masks: ``image`` (which pair),
        ``pixels``, ``category``, ``identity`` (-1 for none) and whether the image is ``resized``.
    """
    pixels, identities = _pixel_codes(a, b), _identity_codes(a, b)
    sizes = [one.images[["height", "width"]].to_numpy(np.int64) for one in (a, b)]
    resized = (sizes[0][images[0]] != sizes[1][images[1]]).any(axis=1)
    frames = []
    for k, one in enumerate((a, b)):
        pair = np.full(len(one.images) + 1, -1)  # the last for a mask of no image
        pair[images[k]] = np.arange(len(images[k]))
        columns = {
            "image": pair[one.images.index.get_indexer(pd.Index(one.masks["image_id"]))],
            "pixels": pixels[k],
            "category": categories[k],
            "identity": identities[k],
        }
        frame = pd.DataFrame(columns)[columns["image"] >= 0]
        frames.append(frame.assign(resized=resized[frame["image"]]))
        # Run lengths mean other pixels in an image of another size.
        apart = frames[k]["resized"] & (frame["pixels"] != _NO_PIXELS)
        frames[k].loc[apart, "pixels"] = -2 - k - 2 * frame.index[apart]
    return frames[0], frames[1]


def _pixel_codes(a: Snapshot, b: Snapshot) -> Rows:
    """Return a number for each mask, equal where the pixels are; -1 without pixels."""
    codes = pd.factorize(np.concatenate([one.masks["digest"] for one in (a, b)]))[0]
    has_none = np.concatenate([one.masks["segmentation"].isna() for one in (a, b)])
    codes = np.where(has_none, _NO_PIXELS, codes)
    return codes[: len(a.masks)], codes[len(a.masks) :]


def _identity_codes(a: Snapshot, b: Snapshot) -> Rows:
    """Return a number for each mask, equal where the identity is; -1 for none."""
    if a.identities != b.identities:
        return np.full(len(a.masks), -1), np.full(len(b.masks), -1)
    codes, _ = pd.factorize(pd.concat([one.masks["identity"] for one in (a, b)]))
    return codes[: len(a.masks)].astype(np.int64), codes[len(a.masks) :].astype(np.int64)


def _keeps_identity(every: Both, equal: Rows) -> BoolArray:
    """Return in which images masks have kept their identity, as those of equal pixels show.

    Tools renumber masks on saving; then a changed mask is not the one that had its id before.
    Where an image has no such masks, those of all images together are asked.
    """
    n = 1 + max((int(one["image"].max()) for one in every if len(one)), default=-1)
    first, second = every[0].loc[equal[0]], every[1].loc[equal[1]]
    before, after = (one["identity"].to_numpy(np.int64) for one in (first, second))
    known = (before >= 0) & (after >= 0)
    image = first["image"].to_numpy(np.int64)[known]
    kept = (before == after)[known]
    asked = np.bincount(image, minlength=n)
    keeping = np.bincount(image[kept], minlength=n)
    return np.where(asked > 0, 2 * keeping >= asked, 2 * kept.sum() >= len(kept))


def _iou(a: Snapshot, b: Snapshot, rows: Rows) -> FloatArray:
    """Return the exact IoU of each pair; NaN where both have no pixels."""
    made = np.full(len(rows[0]), np.nan)
    for first in range(0, len(made), BATCH):
        some = slice(first, first + BATCH)
        made[some] = iou_of_each(runs_of(a, rows[0][some]), runs_of(b, rows[1][some]))
    return made


def areas_of(one: Snapshot, rows: IntArray) -> IntArray:
    """Return the pixels of the masks at some positions."""
    some = [rows[first : first + BATCH] for first in range(0, len(rows), BATCH)]
    found = [area(runs_of(one, each)) for each in some]
    return np.concatenate(found) if found else np.zeros(0, np.int64)


def iou_of_each(old: Runs, new: Runs) -> FloatArray:
    """Return the IoU of each mask with the one at its place; NaN where both have no pixels."""
    each = np.arange(len(old))
    found = cross_overlaps(old, each, new, each)
    shared = np.zeros(len(old), np.int64)
    shared[found.first] = found.intersection
    union = area(old) + area(new) - shared
    made = np.full(len(old), np.nan)
    np.divide(shared, union, out=made, where=union > 0)
    return made


def _with_neighbours(every: Both, rows: Rows) -> Both:
    """Return masks with numbers of the pairs ``before`` and ``after`` each in its image; -1: none.

    The order in a file is kept by most tools, whatever they do to ids.
    """
    frames = []
    for one, paired in zip(every, rows, strict=True):
        pair = pd.Series(np.arange(len(paired), dtype=np.float64), paired).reindex(one.index)
        image = pair.groupby(one["image"])
        around = {"before": image.ffill(), "after": image.bfill()}
        frames.append(one.assign(**{k: v.fillna(-1).astype(np.int64) for k, v in around.items()}))
    return frames[0], frames[1]


def _share_half(_first: pd.DataFrame, _second: pd.DataFrame, iou: FloatArray) -> BoolArray:
    """Return which pairs of masks have enough in common to be one, whatever else is known."""
    return iou >= LEAST_IOU


def _share_place(first: pd.DataFrame, second: pd.DataFrame, _iou: FloatArray) -> BoolArray:
    """Return which overlapping masks of one category have an equal identity or place."""
    same = {
        name: first[name].to_numpy() == second[name].to_numpy()
        for name in ("category", "identity", "before", "after")
    }
    named = same["identity"] & (first["identity"].to_numpy() >= 0)
    found: BoolArray = same["category"] & (named | (same["before"] & same["after"]))
    return found


def _nearest(
    a: Snapshot,
    b: Snapshot,
    left: Both,
    may_pair: Callable[[pd.DataFrame, pd.DataFrame, FloatArray], BoolArray],
) -> tuple[Rows, FloatArray]:
    """Pair masks, each once, so that the sum of IoUs is greatest; of equals, an equal category.

    Args:
        a: One dataset.
        b: The other.
        left: Their masks that have no partner yet.
        may_pair: From rows of A and of B that overlap, and their IoU, to which may be one mask.
    """
    found = [np.zeros((0, 4))]
    for some, others in by_image(left):
        old, new = runs_of(a, some.index), runs_of(b, others.index)
        shared = cross_overlaps(old, some["image"], new, others["image"])
        union = area(old)[shared.first] + area(new)[shared.second] - shared.intersection
        iou = shared.intersection / union
        first, second = some.iloc[shared.first], others.iloc[shared.second]
        relabelled = first["category"].to_numpy() != second["category"].to_numpy()
        columns = [-iou, relabelled, first.index, second.index]
        other = first["sure"].to_numpy(np.bool_) & second["sure"].to_numpy(np.bool_)
        found.append(np.stack(columns, axis=1)[may_pair(first, second, iou) & ~other])
    every = np.concatenate(found)
    chosen = every[_best_pairs(every)]
    chosen = chosen[np.lexsort(chosen.T[::-1])]
    return (chosen[:, 2].astype(np.int64), chosen[:, 3].astype(np.int64)), -chosen[:, 0]


def _best_pairs(pairs: FloatArray) -> IntArray:
    """Return which pairs to take so that each mask is in one at most and their IoUs add up to most.

    Args:
        pairs: Shape (n, 4): minus IoU, whether the category differs, row of A, row of B.
    """
    rows, others = (np.unique(pairs[:, k], return_inverse=True)[1] for k in (2, 3))
    n, m = (int(each.max(initial=-1)) + 1 for each in (rows, others))
    links = sparse.coo_array((np.ones(len(pairs)), (rows, n + others)), (n + m, n + m))
    group = csgraph.connected_components(links, directed=False)[1][rows]
    contested = np.bincount(group)[group] > 1 if len(pairs) else np.zeros(0, np.bool_)
    chosen = [np.flatnonzero(~contested)]
    order = np.flatnonzero(contested)
    order = order[np.argsort(group[order], kind="stable")]
    groups = np.split(order, np.flatnonzero(np.diff(group[order])) + 1) if len(order) else []
    for some in groups:
        mine, theirs = (np.unique(each[some], return_inverse=True)[1] for each in (rows, others))
        cost = np.zeros((mine.max() + 1, theirs.max() + 1))
        # What is worth nothing is no pair; of equal sums, the one of more equal categories.
        cost[mine, theirs] = pairs[some, 0] + _TIE * pairs[some, 1]
        place = np.full(cost.shape, -1)
        place[mine, theirs] = some
        taken = place[optimize.linear_sum_assignment(cost)]
        chosen.append(taken[taken >= 0])
    return np.concatenate(chosen)


def _of_one_shape(a: Snapshot, b: Snapshot, left: Both) -> Rows:
    """Pair masks of an image that have one category and shape, if no other there has them."""
    some = [one[(one["pixels"] != _NO_PIXELS) & ~one["resized"]] for one in left]
    images = [one["image"] for one in some]
    some = [one[one["image"].isin(images[1 - k])] for k, one in enumerate(some)]
    cut = [_shapes(of, one.index) for of, one in zip((a, b), some, strict=True)]
    codes = pd.factorize(np.concatenate(cut))[0]
    coded = np.split(codes, [len(cut[0])])
    keys = ["image", "category", "shape"]
    frames = []
    for one, code, shape in zip(some, coded, cut, strict=True):
        told = one.assign(shape=code)[shape != ""]
        frames.append(told[~told.duplicated(keys, keep=False)])
    first, second = match((frames[0], frames[1]), keys)
    sure = [one["sure"].to_numpy(np.bool_) for one in (left[0].loc[first], left[1].loc[second])]
    free = ~(sure[0] & sure[1])
    return first[free], second[free]


def _shapes(one: Snapshot, rows: pd.Index[Any]) -> AnyArray:
    """Return a text for each mask, equal for equal shapes wherever they lie; "" for a tiny one."""
    told: list[str] = []
    for first in range(0, len(rows), BATCH):
        runs = runs_of(one, rows[first : first + BATCH])
        areas, boxes = measure(runs)
        counts = encode_counts(crop(runs, boxes)).to_pylist()
        sized = zip(areas.tolist(), *boxes[:, 2:].T.tolist(), counts, strict=True)
        told += [f"{w} {h} {c.hex()}" if px >= _LEAST_SHAPE_PX else "" for px, w, h, c in sized]
    return np.array(told, object)


def by_image(both: Both) -> Iterator[Both]:
    """Yield comparable masks of some images at a time, so that not all are decoded at once."""
    left, right = (
        one[(one["pixels"] != _NO_PIXELS) & ~one["resized"]].sort_values("image", kind="stable")
        for one in both
    )
    images, others = (one["image"].to_numpy(np.int64) for one in (left, right))
    at = 0
    while at < len(left):
        last = images[min(at + BATCH, len(left)) - 1]
        stop = int(np.searchsorted(images, last, "right"))
        low, high = np.searchsorted(others, images[at]), np.searchsorted(others, last, "right")
        yield left.iloc[at:stop], right.iloc[low:high]
        at = stop


def runs_of(one: Snapshot, rows: npt.ArrayLike) -> Runs:
    """Decode the masks at some positions."""
    masks = one.masks.iloc[np.asarray(rows, np.int64)]
    sizes = (masks[side].to_numpy(np.int64) for side in ("height", "width"))
    return decode_counts(masks["segmentation"], *sizes)[0]
