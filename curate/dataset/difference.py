"""Difference of two datasets: what happened to every mask, image and category."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TypedDict

import orjson
import pandas as pd

from curate.common.readable_result import ReadableResult
from curate.dataset.category_changes import CATEGORY_CHANGES
from curate.dataset.change_wording import describe_change, quote_category
from curate.dataset.difference_markdown import make_markdown
from curate.dataset.notes import clean_name, count_noun, short_version
from curate.dataset.table import records

CHANGES = (
    *("redrawn", "redrawn and relabelled", "moved", "moved and relabelled", "relabelled"),
    *("split", "merged", "removed", "added"),
)
"""What can happen to a mask, in the order of :attr:`Difference.masks`."""

IMAGE_CHANGES = ("removed", "added", "resized", "renamed")
"""What can happen to an image."""

NOT_COMPARED = "boxes, areas, crowd flags and scores are not compared"
"""What no difference says anything of."""

_CATEGORIES_IN_TEXT = 10
_ALWAYS_TOLD = ("unchanged", "redrawn", "relabelled", "removed", "added")
_ROWS_AT_ONCE = 10_000
_ROWS_IN_JSON = 1000
_ROWS_IN_TEXT = 10


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
    """What happened to every mask from dataset A to dataset B.

    Attributes:
        a: About A.
        b: About B.
        unchanged: How many masks have the same category and the same pixels, or pixels as near to
            them as was asked for.
        categories: Whether categories could be compared: "names", "numbers" where one of the
            datasets names none, "none" where one has none at all.
        masks: A row a changed mask, and a row each part of one that was split or merged:
            ``change`` (one of :data:`CHANGES`), ``file_name``, ``mask_id_a``, ``mask_id_b``,
            ``source_key_a``, ``source_key_b``, ``category_a``, ``category_b``; ``iou`` of old and
            new (NaN where the image has another size, where both have no pixels, and for removed
            and added masks); ``outline_distance`` of redrawn masks, the mean distance of old and
            new outline in pixels (:func:`curate.rle.outline_distance`; else NaN); ``moved_x`` and
            ``moved_y`` of moved masks, in pixels to the right and down (else missing). Of each
            change the lowest IoU first.
        images: A row an image that only one has, whose size differs, or of another name with the
            same masks: ``change`` (one of :data:`IMAGE_CHANGES`), ``file_name``, ``new_name`` of a
            renamed one, ``image_id_a``, ``image_id_b``, ``height_a``, ``width_a``, ``height_b``,
            ``width_b``.
        category_changes: A row a category that changed as a whole; its masks are not relabelled
            for that. See :class:`curate.dataset.category_changes.CategoryChanges`.
    """

    a: SideRecord
    b: SideRecord
    unchanged: int
    categories: str
    masks: pd.DataFrame
    images: pd.DataFrame
    category_changes: pd.DataFrame

    @property
    def equal(self) -> bool:
        """Whether nothing differs, as far as it could be compared; numbers of categories may."""
        other = self.category_changes["change"] != "renumbered"
        return not (len(self.masks) or len(self.images) or other.any())

    @property
    def counts(self) -> dict[str, int]:
        """Number of masks of each change, "unchanged" first; a split or merged one counts once."""
        found = self.masks["change"].value_counts().to_dict()
        for change, side in (("split", "a"), ("merged", "b")):
            parts = self.masks[self.masks["change"] == change]
            found[change] = parts[f"mask_id_{side}"].nunique()
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
            "category_changes": records(self.category_changes),
            "masks": records(self.masks.head(rows)),
            "images": records(self.images.head(rows)),
        }

    def _tables(self) -> dict[str, pd.DataFrame]:
        return {
            "changed masks": self.masks,
            "changed images": self.images,
            "changed categories": self.category_changes,
        }

    def json_lines(self) -> Iterator[bytes]:
        """Yield a JSON object a row of every table, ``of`` "mask", "image" or "category" in it."""
        tables = (("category", self.category_changes), ("image", self.images), ("mask", self.masks))
        for of, table in tables:
            for first in range(0, len(table), _ROWS_AT_ONCE):
                for row in records(table.iloc[first : first + _ROWS_AT_ONCE]):
                    yield orjson.dumps({"of": of, **row})

    def text(self, rows: int = _ROWS_IN_TEXT) -> str:
        """Return a few plain lines, with at most ``rows`` of the masks that changed most."""
        lines = [
            f"{name}  {short_version(of['version'])}  {count_noun(of['masks'], 'mask')} in "
            f"{count_noun(of['images'], 'image')}  {clean_name(of['path'])} ({of['format']})"
            for name, of in (("A", self.a), ("B", self.b))
        ]
        if self.equal:
            lines.append(f"equal: {count_noun(self.unchanged, 'mask')} unchanged; {NOT_COMPARED}")
        else:
            lines += [f"{n:>9,} {words}" for words, n in self.describe_counts()]
        where = ("only in A", "only in B", "of another size", "of another name with the same masks")
        changed = zip(where, self.image_counts.values(), strict=True)
        lines += [f"{n:>9,} image{'s' * (n != 1)} {what}" for what, n in changed if n]
        lines += [f"category {words}" for words in self.describe_categories()]
        lines += [f"relabelled: {words}" for words in self.describe_relabelled(rows)]
        if self.categories == "none":
            lines.append(f"categories are not compared: {self._without_categories()}")
        return "\n".join([*lines, *self._worst(rows)])

    def markdown(self, rows: int = _ROWS_IN_TEXT) -> str:
        """Return it as GitHub's and GitLab's Markdown, with ``rows`` of what changed most."""
        return make_markdown(self, rows)

    def describe_counts(self) -> list[tuple[str, int]]:
        """Return each change of masks in words, and to how many it happened."""
        rows = self.masks["change"].value_counts()
        more = {
            "split": f", into {rows.get('split', 0):,}",
            "merged": f", of {rows.get('merged', 0):,}",
        }
        for change in ("removed", "added"):
            images = self.images.loc[self.images["change"] == change, "file_name"]
            masks = self.masks.loc[self.masks["change"] == change, "file_name"]
            if with_image := int(masks.isin(images).sum()):
                more[change] = f", {with_image:,} of them with their images"
        return [
            (change + more.get(change, ""), n)
            for change, n in self.counts.items()
            if n or change in _ALWAYS_TOLD
        ]

    def describe_relabelled(self, rows: int) -> list[str]:
        """Return old and new category of relabelled masks, the ``rows`` most frequent pairs."""
        own = self.masks[self.masks["change"].str.endswith("relabelled")]
        pairs = own.fillna({"category_a": "no category", "category_b": "no category"})
        counted = pairs.groupby(["category_a", "category_b"], as_index=False).size()
        counted = counted.sort_values("size", ascending=False, kind="stable")
        shown = counted.head(max(rows, 0))
        lines = [
            f"{quote_category(old)} -> {quote_category(new)} ({count_noun(int(n), 'mask')})"
            for old, new, n in zip(*(shown[c].tolist() for c in shown), strict=True)
        ]
        left = len(counted) - len(lines)
        return [*lines, f"and {left:,} more pairs"] if left and rows > 0 else lines

    def describe_categories(self) -> list[str]:
        """Return a line a changed category, in words; of many that changed alike, ten."""
        words = dict(
            zip(CATEGORY_CHANGES, ("renamed to", "merged into", "renumbered"), strict=True)
        )
        lines = []
        shown = self.category_changes.groupby("change", sort=False).head(_CATEGORIES_IN_TEXT)
        for row in records(shown):
            numbers = row["category_id_a"], row["category_id_b"]
            to = quote_category(row["category_b"])
            to = f"{numbers[0]} to {numbers[1]}" if row["change"] == "renumbered" else to
            of, masks = quote_category(row["category_a"]), count_noun(int(row["masks"]), "mask")
            lines.append(f"{of} {words[str(row['change'])]} {to} ({masks})")
        every = self.category_changes["change"].value_counts()
        for change, n in (every - shown["change"].value_counts()).items():
            lines += [f"changes: {n:,} more {change}"] if n else []
        return lines

    def _without_categories(self) -> str:
        lacking = [name for name, of in (("A", self.a), ("B", self.b)) if not of["categories"]]
        if not lacking:
            return "one dataset has their names, the other their numbers"
        return "neither dataset has any" if len(lacking) == 2 else f"{lacking[0]} has none"

    def _worst(self, rows: int) -> list[str]:
        """Return the masks that changed most; relabelled ones are counted in pairs instead."""
        some = self.masks[self.masks["change"] != "relabelled"]
        if not len(some) or rows < 1:
            return []
        median = some.loc[some["change"].isin(CHANGES[:2]), "iou"].median()
        beside = f" (median of redrawn masks {median:.3f})" if median == median else ""
        lines = [f"changed most, lowest IoU first{beside}:"]
        columns = ("iou", "change", "mask_id_a", "mask_id_b", "file_name", "moved_x", "moved_y")
        shown = some.sort_values("iou", kind="stable", na_position="last").head(rows)
        for row in records(shown[list(columns)]):
            ids = " -> ".join(
                dict.fromkeys(
                    str(row[f"mask_id_{k}"]) for k in "ab" if row[f"mask_id_{k}"] is not None
                )
            )
            iou = "-" if row["iou"] is None else f"{row['iou']:.3f}"
            what = describe_change(row)
            lines.append(f"{iou:>9} {what}: mask {ids}, {clean_name(row['file_name'])}")
        left = len(some) - len(shown)
        return [*lines, f"{'':9} and {count_noun(left, 'row')} more"] if left else lines


def _with_underscores(counts: dict[str, int]) -> dict[str, int]:
    return {name.replace(" ", "_"): n for name, n in counts.items()}
