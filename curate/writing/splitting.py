"""Splits of a dataset by image: stratified by category, what belongs together in one of them.

Images stay together that show the same (near-duplicates of pictures, by the audit), that have one
name, that are frames of one video, or that somebody groups. Groups are given out by iterative
stratification (Sechidis et al., 2011, "On the stratification of multi-label data"): the category
with the fewest groups left first, each of its groups to the split that lacks it most.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd

from curate.common.arrays import ByteArray, FloatArray, IntArray
from curate.dataset.notes import count_noun, plural
from curate.errors import CallError
from curate.writing.edited_tables import image_columns, image_labels
from curate.writing.final_dataset import FinalDataset

NO_CATEGORY = "(no masks)"
"""Images without masks count as a category of their own."""

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*", re.ASCII)
_SHOWN = 3  # categories that a line of text names
_SUM = 1e-6


@dataclass(frozen=True)
class SplitOptions:
    """How a dataset is split.

    Attributes:
        shares: The share of the images by split, in order.
        seed: Decides between splits that fit equally well.
        group_by: A column of the audit's images, or a regular expression on their names, by which
            images stay together; None for none.
    """

    shares: Mapping[str, float]
    seed: int = 0
    group_by: str | None = None


def parse_split(text: str | Mapping[str, float]) -> dict[str, float]:
    """Return the shares of splits, as "train=0.8,val=0.1,test=0.1" or a mapping says them.

    Raises:
        CallError: They are not positive numbers that add up to 1, or a name cannot be a folder's.

    >>> parse_split("train=0.8,val=0.2")
    {'train': 0.8, 'val': 0.2}
    """
    do = "write it as train=0.8,val=0.1,test=0.1"
    shares: dict[str, float] = {}
    pairs = text.items() if isinstance(text, Mapping) else _pairs(text)
    for name, value in pairs:
        if not _NAME.fullmatch(name):
            what = f"{name!r} cannot name a split: letters, digits, _, . and - can"
            raise CallError(what, "--split", do)
        if name in shares:
            raise CallError(f"the split {name} is named twice", "--split", do)
        try:
            share = float(value)
        except (TypeError, ValueError):
            share = 0.0
        if not 0 < share <= 1:
            what = f"the share of {name} is {value!r}, not a number over 0 and up to 1"
            raise CallError(what, "--split", do)
        shares[name] = share
    total = sum(shares.values())
    if abs(total - 1) > _SUM:
        raise CallError(f"the shares add up to {total:g}, not to 1", "--split", do)
    return shares


def _pairs(text: str) -> list[tuple[str, Any]]:
    return [
        (name.strip(), value.strip())
        for name, _, value in (piece.partition("=") for piece in text.split(","))
    ]


@dataclass(frozen=True)
class SplitPlan:
    """Which split every image is in.

    Attributes:
        options: How it was made.
        ids: Ids of all images, ascending.
        splits: The split of each: its position among the names.
        groups: How many groups of several images stayed together.
        grouped: How many images are in them.
        categories: How many images of each category every split has, by category.
    """

    options: SplitOptions
    ids: IntArray = field(repr=False)
    splits: ByteArray = field(repr=False)
    groups: int
    grouped: int
    categories: Mapping[str, Sequence[int]] = field(repr=False)

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the splits, in order."""
        return tuple(self.options.shares)

    def split_of(self, image_id: int) -> str | None:
        """Return the split of an image; None for one that the dataset does not list."""
        at = int(np.searchsorted(self.ids, image_id))
        if at == len(self.ids) or int(self.ids[at]) != image_id:
            return None
        return self.names[int(self.splits[at])]

    def count_images(self) -> dict[str, int]:
        """Return how many images each split has."""
        counts = np.bincount(self.splits, minlength=len(self.names))
        return dict(zip(self.names, counts.tolist(), strict=True))

    def as_dict(self) -> dict[str, object]:
        """Return plain values, for JSON and the provenance."""
        return {
            "shares": dict(self.options.shares),
            "seed": self.options.seed,
            "group_by": self.options.group_by,
            "images": self.count_images(),
            "groups": self.groups,
            "grouped_images": self.grouped,
            "categories": {
                name: dict(zip(self.names, counts, strict=True))
                for name, counts in self.categories.items()
            },
        }

    def lines(self) -> list[str]:
        """Return the result in a line or two."""
        counts, total = self.count_images(), max(1, len(self.ids))
        shown = ", ".join(f"{name} {n:,} ({n / total:.1%})" for name, n in counts.items())
        lines = [f"split: {shown} of {count_noun(total, 'image')}, seed {self.options.seed}"]
        if self.groups:
            some = f"{count_noun(self.groups, 'group')} of {count_noun(self.grouped, 'image')}"
            lines.append(f"kept together: {some} (near-duplicates, one name, video or group)")
        for k, name in enumerate(self.names):
            known = {one: n for one, n in self.categories.items() if one != NO_CATEGORY}
            lacking = [one for one, found in known.items() if not found[k]]
            if lacking:
                some = ", ".join(lacking[:_SHOWN]) + (", ..." if len(lacking) > _SHOWN else "")
                of = f"{len(lacking):,} of {count_noun(len(known), 'category', 'categories')}"
                lines.append(f"{name} has no image of {of}: {some}")
        return lines


def plan_split(dataset: FinalDataset, options: SplitOptions) -> SplitPlan:
    """Give every listed image of a dataset a split.

    Raises:
        CallError: There are fewer groups than splits, or nothing to group by.
    """
    images = image_columns(
        dataset.audit, ["file_name", "near_duplicate_of"], dataset.only
    ).sort_index()
    ids = images.index.to_numpy(np.int64)
    labels = image_labels(dataset.audit, dataset.edits, dataset.only)
    groups = _groups(dataset, images, options.group_by)
    sizes = np.bincount(groups)
    if len(sizes) < len(options.shares):
        make = plural(len(ids), "makes", "make")
        what = f"{count_noun(len(ids), 'image')} {make} {count_noun(len(sizes), 'group')}, "
        what += f"fewer than the {len(options.shares)} splits"
        raise CallError(what, "--split", "ask for fewer splits")
    names, codes, rows = _codes(labels, ids)
    has = pd.DataFrame({"group": groups[rows], "code": codes, "row": rows})
    counts = has.groupby(["group", "code"], sort=False)["row"].nunique()
    chosen = _stratify(sizes, counts, len(names), [*options.shares.values()], options.seed)
    splits = chosen[groups].astype(np.uint8)
    several = sizes > 1
    table = np.zeros((len(names), len(options.shares)), np.int64)
    np.add.at(table, (codes, splits[rows]), 1)
    return SplitPlan(
        options,
        ids,
        splits,
        int(several.sum()),
        int(sizes[several].sum()),
        dict(zip(names, table.tolist(), strict=True)),
    )


def _codes(labels: pd.DataFrame, ids: IntArray) -> tuple[list[str], IntArray, IntArray]:
    """Return the categories, and of each image that has one its code and row, each pair once."""
    rows = np.searchsorted(ids, labels["image_id"].to_numpy(np.int64))
    codes, names = pd.factorize(labels["label"], sort=True)
    bare = np.setdiff1d(np.arange(len(ids)), rows)
    made = [str(name) for name in names]
    if len(bare):
        codes = np.concatenate([codes, np.full(len(bare), len(made))])
        rows = np.concatenate([rows, bare])
        made.append(NO_CATEGORY)
    return made, codes.astype(np.int64), rows.astype(np.int64)


def _groups(dataset: FinalDataset, images: pd.DataFrame, group_by: str | None) -> IntArray:
    """Return the group of each image, numbered from 0."""
    count = len(images)
    rows = np.arange(count)
    keys = [images["file_name"].astype(object).where(images["file_name"].notna(), None)]
    if dataset.has_tracks:
        keys.append(keys[0].map(_video_of))
    if group_by is not None:
        keys.append(_group_keys(dataset, images, group_by))
    links = [(rows, rows)]
    for key in keys:
        codes, _ = pd.factorize(key)
        known = codes >= 0
        first = np.full(codes.max(initial=-1) + 1, count)
        np.minimum.at(first, codes[known], rows[known])
        links.append((rows[known], first[codes[known]]))
    if "near_duplicate_of" in images:
        leader = images["near_duplicate_of"].astype("Int64")
        has = leader.notna().to_numpy(np.bool_) & leader.isin(images.index).to_numpy(np.bool_)
        at = np.searchsorted(images.index.to_numpy(np.int64), leader[has].to_numpy(np.int64))
        links.append((rows[has], at))
    a, b = (np.concatenate(side) for side in zip(*links, strict=True))
    return _join(a, b, count)


def _join(a: IntArray, b: IntArray, count: int) -> IntArray:
    """Return the component of each of ``count`` rows that links from ``a`` to ``b`` make."""
    least, before = np.arange(count), np.full(count, -1)
    while (least != before).any():  # few rounds: links of one key lead to one row
        before = least.copy()
        np.minimum.at(least, a, before[b])
        np.minimum.at(least, b, before[a])
        least = least[least]
    return np.unique(least, return_inverse=True)[1].astype(np.int64)


def _video_of(name: str | None) -> str | None:
    """Return the video of a frame: the folder that it is in, or its name before the number."""
    if not name:
        return None
    folder = name.replace("\\", "/").rpartition("/")[0]
    return folder or re.sub(r"[0-9]+(\.[A-Za-z]+)?$", "", name)


def _group_keys(dataset: FinalDataset, images: pd.DataFrame, group_by: str) -> pd.Series[Any]:
    """Return the key of each image: of a column, or what a regular expression finds in its name.

    Raises:
        CallError: There is no such column, and as an expression it finds nothing.
    """
    columns = dataset.list_image_columns()
    if group_by in columns:
        found = image_columns(dataset.audit, [group_by], dataset.only).sort_index()[group_by]
        return found.astype(object).where(found.notna(), None)
    try:
        pattern = re.compile(group_by)
    except re.error as error:
        what = f"{group_by!r} is no column of the audit's images, and no expression ({error})"
        raise CallError(what, "--group-by", f"columns are {', '.join(columns)}") from error
    names = images["file_name"].astype(object).where(images["file_name"].notna(), "")
    matches = [pattern.search(name) for name in names]
    keys = [m and (m[1] if pattern.groups else m[0]) for m in matches]
    if not any(keys):
        what = f"{group_by!r} is no column of the audit's images, and found in no image's name"
        raise CallError(what, "--group-by", f"columns are {', '.join(columns)}")
    return pd.Series(keys, images.index, object)


def _stratify(
    sizes: IntArray, counts: pd.Series[int], labels: int, shares: list[float], seed: int
) -> IntArray:
    """Return the split of each group.

    Args:
        sizes: Images of each group.
        counts: Images of each group that have a label; index group and label.
        labels: How many labels there are.
        shares: The share of each split.
        seed: Orders groups of equal size, and decides ties.
    """
    rng = np.random.default_rng(seed)
    share = np.array(shares)
    group_of, label_of = (counts.index.get_level_values(k).to_numpy(np.int64) for k in (0, 1))
    many = counts.to_numpy(np.int64)
    order = np.argsort(group_of, kind="stable")
    group_of, label_of, many = group_of[order], label_of[order], many[order]
    starts = np.searchsorted(group_of, np.arange(len(sizes) + 1))
    wanted = np.outer(share, np.bincount(label_of, many, labels))
    room = share * sizes.sum()
    chosen = np.full(len(sizes), -1, np.int64)
    mixed = rng.permutation(len(sizes))
    mixed = mixed[np.argsort(-sizes[mixed], kind="stable")]  # large groups first
    place = np.empty(len(sizes), np.int64)
    place[mixed] = np.arange(len(sizes))
    by_label = np.argsort(label_of, kind="stable")
    bounds = np.searchsorted(label_of[by_label], np.arange(labels + 1))
    left = np.bincount(label_of, minlength=labels)
    while left.max(initial=0) > 0:
        label = int(np.flatnonzero(left == left[left > 0].min())[0])
        mine = group_of[by_label[bounds[label] : bounds[label + 1]]]
        mine = mine[chosen[mine] < 0]
        for group in mine[np.argsort(place[mine])].tolist():
            split = _best(wanted[:, label], room, int(sizes[group]), rng)
            chosen[group] = split
            here = slice(int(starts[group]), int(starts[group + 1]))
            wanted[split, label_of[here]] -= many[here]
            room[split] -= sizes[group]
            left[label_of[here]] -= 1
    _fill_empty(chosen, sizes, len(shares))
    return chosen


def _best(wanted: FloatArray, room: FloatArray, size: int, rng: np.random.Generator) -> int:
    """Return the split that lacks a label most, of several the one with most room.

    A split that has its share of images gets no more as long as another has not: else the largest
    split would get nearly all images of categories that only a few show.
    """
    free = np.flatnonzero(room >= size / 2)
    free = free if len(free) else np.arange(len(room))
    best = free[wanted[free] >= wanted[free].max() - _SUM]
    best = best[room[best] >= room[best].max() - _SUM]
    return int(best[0] if len(best) == 1 else rng.choice(best))


def _fill_empty(chosen: IntArray, sizes: IntArray, splits: int) -> None:
    """Give a split without images the smallest group of the split that has most groups."""
    for split in range(splits):
        if not (chosen == split).any():
            largest = int(np.bincount(chosen, minlength=splits).argmax())
            mine = np.flatnonzero(chosen == largest)
            chosen[mine[np.argmin(sizes[mine])]] = split
