"""Difference of two datasets: the fate of every mask and image."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, TypedDict

import numpy as np
import pandas as pd

from curate.common.arrays import AnyArray, BoolArray, IntArray
from curate.common.readable_result import ReadableResult
from curate.dataset.notes import count_noun, short_version
from curate.dataset.pairing import MaskPairs, Rows, pair_images, pair_masks
from curate.dataset.snapshot import Snapshot
from curate.dataset.table import records
from curate.dataset.version_id import normalize_text

CHANGES = ("redrawn", "redrawn and relabelled", "relabelled", "removed", "added")
"""What can happen to a mask, in the order of :attr:`Difference.masks`."""

IMAGE_CHANGES = ("removed", "added", "resized")
"""What can happen to an image."""

_ROWS_IN_JSON = 1000
_ROWS_IN_TEXT = 10
_LONGEST = 60


class SideRecord(TypedDict):
    """One of the datasets: how many masks and images, and whether its masks have categories."""

    path: str
    format: str
    version: str
    masks: int
    images: int
    categories: bool


@dataclass(frozen=True, repr=False)
class Difference(ReadableResult):
    """Fate of every mask from dataset A to dataset B.

    Attributes:
        a: About A.
        b: About B.
        unchanged: How many masks have the same pixels and category.
        categories: Whether categories could be compared: "names", "numbers" where one of the
            datasets names none, "none" where one has none at all.
        masks: A row a changed mask: ``change`` (one of :data:`CHANGES`), ``file_name``,
            ``mask_id_a``, ``mask_id_b``, ``source_key_a``, ``source_key_b``, ``category_a``,
            ``category_b``, and ``iou`` of old and new (NaN where the image has another size, where
            both have no pixels, and for removed and added masks), worst first.
        images: A row an image that only one has or whose size differs: ``change`` (one of
            :data:`IMAGE_CHANGES`), ``file_name``, ``image_id_a``, ``image_id_b``, ``height_a``,
            ``width_a``, ``height_b``, ``width_b``.
    """

    a: SideRecord
    b: SideRecord
    unchanged: int
    categories: str
    masks: pd.DataFrame
    images: pd.DataFrame

    @property
    def equal(self) -> bool:
        """Whether nothing differs, as far as it could be compared."""
        return not len(self.masks) and not len(self.images)

    @property
    def counts(self) -> dict[str, int]:
        """Number of masks of each fate, "unchanged" first."""
        found = self.masks["change"].value_counts()
        return {"unchanged": self.unchanged, **{c: int(found.get(c, 0)) for c in CHANGES}}

    @property
    def image_counts(self) -> dict[str, int]:
        """Number of images of each change."""
        found = self.images["change"].value_counts()
        return {change: int(found.get(change, 0)) for change in IMAGE_CHANGES}

    def as_dict(self, rows: int = _ROWS_IN_JSON) -> dict[str, object]:
        """Return plain values; at most ``rows`` masks and images, all of them in the counts."""
        return {
            "a": self.a,
            "b": self.b,
            "equal": self.equal,
            "counts": _with_underscores(self.counts),
            "image_counts": self.image_counts,
            "categories": self.categories,
            "masks": records(self.masks.head(rows)),
            "images": records(self.images.head(rows)),
        }

    def _tables(self) -> dict[str, pd.DataFrame]:
        return {"changed masks": self.masks, "changed images": self.images}

    def text(self, rows: int = _ROWS_IN_TEXT) -> str:
        """Return a few plain lines, with at most ``rows`` of the masks that were redrawn most."""
        lines = [
            f"{name}  {short_version(of['version'])}  {count_noun(of['masks'], 'mask')} in "
            f"{count_noun(of['images'], 'image')}  {_clean_name(of['path'])} ({of['format']})"
            for name, of in (("A", self.a), ("B", self.b))
        ]
        lines += [f"equal: {count_noun(self.unchanged, 'mask')} unchanged"] if self.equal else []
        lines += [] if self.equal else [f"{n:>9,} {change}" for change, n in self.counts.items()]
        where = ("only in A", "only in B", "of another size")
        changed = zip(where, self.image_counts.values(), strict=True)
        lines += [f"{n:>9,} image{'s' * (n != 1)} {what}" for what, n in changed if n]
        if self.categories == "none":
            lines.append(f"categories are not compared: {self._without_categories()}")
        return "\n".join([*lines, *self._worst(rows)])

    def _without_categories(self) -> str:
        lacking = [name for name, of in (("A", self.a), ("B", self.b)) if not of["categories"]]
        if not lacking:
            return "one dataset has their names, the other their numbers"
        return "neither dataset has any" if len(lacking) == 2 else f"{lacking[0]} has none"

    def _worst(self, rows: int) -> list[str]:
        redrawn = self.masks[self.masks["change"].isin(CHANGES[:2])]
        if not len(redrawn) or rows < 1:
            return []
        median = redrawn["iou"].median()
        beside = f" (median {median:.3f})" if median == median else ""
        lines = [f"redrawn, lowest IoU first{beside}:"]
        columns = ("iou", "mask_id_a", "mask_id_b", "file_name")
        shown = redrawn.sort_values("iou", kind="stable").head(rows)
        for iou, old, new, name in zip(*(shown[c].tolist() for c in columns), strict=True):
            ids = f"mask {old}" if old == new else f"mask {old} -> {new}"
            lines.append(f"{f'{iou:.3f}' if iou == iou else '-':>9} {ids}, {_clean_name(name)}")
        return lines


def compare_snapshots(a: Snapshot, b: Snapshot) -> Difference:
    """Compare two datasets: what happened to every mask from A to B.

    Images are paired as :func:`curate.dataset.pairing.pair_images` says, masks as
    :func:`curate.dataset.pairing.pair_masks` says. A mask whose image only one dataset has, or
    that found no partner, was removed or added.

    Args:
        a: The dataset before.
        b: The dataset after.

    Returns:
        The difference; two datasets of different formats are compared by what both can hold.
    """
    images = pair_images(a, b)
    categories, labels = _labels(a, b)
    codes, _ = pd.factorize(np.concatenate(labels))
    numbers = codes[: len(a.masks)].astype(np.int64), codes[len(a.masks) :].astype(np.int64)
    if categories == "none":
        numbers = np.zeros(len(a.masks), np.int64), np.zeros(len(b.masks), np.int64)
    pairs = pair_masks(a, b, images, numbers)
    relabelled = numbers[0][pairs.rows[0]] != numbers[1][pairs.rows[1]]
    changed = relabelled | ~pairs.equal
    return Difference(
        a=_summarize(a),
        b=_summarize(b),
        unchanged=int((~changed).sum()),
        categories=categories,
        masks=_changes(a, b, pairs, relabelled, labels),
        images=_image_changes(a, b, images),
    )


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


def _changes(
    a: Snapshot, b: Snapshot, pairs: MaskPairs, relabelled: BoolArray, labels: list[AnyArray]
) -> pd.DataFrame:
    """Return the rows of changed masks; see :class:`Difference`."""
    kind = np.where(pairs.equal, np.where(relabelled, 2, -1), np.where(relabelled, 1, 0))
    only = [_others(*of) for of in zip((a.masks, b.masks), pairs.rows, strict=True)]
    nothing = [np.full(len(rows), -1) for rows in only]
    first = np.concatenate([pairs.rows[0][kind >= 0], only[0], nothing[1]])
    second = np.concatenate([pairs.rows[1][kind >= 0], nothing[0], only[1]])
    unpaired = np.repeat([3, 4], [len(rows) for rows in only])
    iou = np.concatenate([pairs.iou[kind >= 0], np.full(len(unpaired), np.nan)])
    kinds = np.concatenate([kind[kind >= 0], unpaired])
    columns = {"kind": kinds, "file_name": _either(a.masks, b.masks, first, second, "file_name")}
    for name in ("mask_id", "source_key"):
        for letter, one, rows in (("a", a, first), ("b", b, second)):
            columns[f"{name}_{letter}"] = _take_rows(one.masks.reset_index()[name], rows)
    for k, (letter, rows) in enumerate((("a", first), ("b", second))):
        columns[f"category_{letter}"] = _take_rows(pd.Series(labels[k], dtype="str"), rows)
    frame = pd.DataFrame({**columns, "iou": iou})
    keys = ["kind", "iou", "file_name", "mask_id_a", "mask_id_b"]
    frame = frame.sort_values(keys, kind="stable", ignore_index=True)
    change = pd.Series(np.array(CHANGES, object)[frame["kind"]], dtype="str")
    frame.insert(0, "change", change)
    return frame.drop(columns="kind")


def _image_changes(a: Snapshot, b: Snapshot, paired: Rows) -> pd.DataFrame:
    """Return the rows of changed images; see :class:`Difference`."""
    sizes = [one.images[["height", "width"]].to_numpy(np.int64) for one in (a, b)]
    size_a, size_b = sizes[0][paired[0]], sizes[1][paired[1]]
    is_known = (size_a > 0).all(axis=1) & (size_b > 0).all(axis=1)  # 0 x 0: nothing says it
    resized = is_known & (size_a != size_b).any(axis=1)
    only = [_others(*of) for of in zip((a.images, b.images), paired, strict=True)]
    nothing = [np.full(len(rows), -1) for rows in only]
    first = np.concatenate([only[0], nothing[1], paired[0][resized]])
    second = np.concatenate([nothing[0], only[1], paired[1][resized]])
    kinds = np.repeat(IMAGE_CHANGES, [len(only[0]), len(only[1]), int(resized.sum())])
    columns = {
        "change": pd.Series(kinds, dtype="str"),
        "file_name": _either(a.images, b.images, first, second, "file_name"),
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


def _with_underscores(counts: dict[str, int]) -> dict[str, int]:
    return {name.replace(" ", "_"): n for name, n in counts.items()}


def _clean_name(text: Any) -> str:
    """Return a name of a stranger's file as one short line without control characters."""
    name = str(text) if isinstance(text, str) else ""
    plain = "".join(c if c.isprintable() else "?" for c in name)
    return plain if len(plain) <= _LONGEST else f"...{plain[3 - _LONGEST :]}"
