"""Categories that were renamed, merged or renumbered as a whole from one dataset to another."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd

from curate.common.arrays import AnyArray
from curate.dataset.pairing import Rows

CATEGORY_CHANGES = ("renamed", "merged", "renumbered")
"""What can happen to a category."""

WHOLE = 0.9
"""Share of a category's masks that have one other category for it to have become that one."""

MERGED_MASKS = 10
"""Masks from which a category that is gone was merged into another; fewer were relabelled."""

RENAMED_MASKS = 2
"""Masks from which a category that is gone was renamed, where its number has changed too."""

_NAMES = {"name": "category", "id": "category_id"}
_COLUMNS = ("change", "category_a", "category_b", "category_id_a", "category_id_b", "masks")


@dataclass(frozen=True)
class CategoryChanges:
    """What happened to categories.

    Attributes:
        table: A row a change: ``change`` (one of :data:`CATEGORY_CHANGES`), ``category_a``,
            ``category_b``, ``category_id_a``, ``category_id_b`` (missing where a dataset has no
            ids), and ``masks``, of how many masks in both datasets.
        became: The name in B of each category of A that was renamed or merged.
    """

    table: pd.DataFrame
    became: dict[str, str]


def find_category_changes(
    names: Sequence[AnyArray], numbers: Sequence[AnyArray], rows: Rows
) -> CategoryChanges:
    """Find categories that changed as a whole, by the masks that both datasets have.

    A category of A that no mask of B has was renamed if :data:`WHOLE` of its masks have one
    category that A does not know and no other category became, else merged. A few masks may as
    well have been relabelled: so it takes :data:`RENAMED_MASKS` (or one, with an equal number) or
    :data:`MERGED_MASKS` of them. A category of one name in both was renumbered if its number
    differs.

    Args:
        names: Of A's masks and of B's, their categories as they are shown, None for none; empty
            where they cannot be compared.
        numbers: Likewise their numbers.
        rows: The masks that both have.
    """
    if not len(names):
        return CategoryChanges(pd.DataFrame(columns=list(_COLUMNS)), {})
    pairs = pd.DataFrame(
        {
            f"{what}_{side}": pd.Series(values[k][rows[k]], dtype="str")
            for what, values in (("name", names), ("number", numbers))
            for k, side in enumerate("ab")
        }
    ).dropna(subset=["name_a", "name_b"])
    known = [set(pd.unique(one[pd.notna(one)])) for one in names]
    counted = pairs.groupby(["name_a", "name_b"]).agg(
        masks=("name_a", "size"), id_a=("number_a", _usual), id_b=("number_b", _usual)
    )
    total = counted.groupby(level="name_a")["masks"].transform("sum")
    became = counted[counted["masks"] >= WHOLE * total].reset_index()
    gone = became[~became["name_a"].isin(known[1])]
    sources = gone["name_b"].value_counts()
    is_merged = gone["name_b"].isin(known[0]) | (gone["name_b"].map(sources) > 1)
    same_id = gone["id_a"].notna() & (gone["id_a"] == gone["id_b"])
    least = is_merged.map({True: MERGED_MASKS, False: RENAMED_MASKS})
    gone = gone.assign(change=is_merged.map({True: "merged", False: "renamed"}))
    gone = gone[(gone["masks"] >= least) | (same_id & ~is_merged)]
    kept = became[became["name_a"] == became["name_b"]]
    kept = kept[kept["id_a"].notna() & kept["id_b"].notna() & (kept["id_a"] != kept["id_b"])]
    table = pd.concat([gone, kept.assign(change="renumbered")], ignore_index=True).rename(
        columns={f"{what}_{side}": f"{_NAMES[what]}_{side}" for what in _NAMES for side in "ab"}
    )[list(_COLUMNS)]
    changed = table[table["change"] != "renumbered"]
    return CategoryChanges(
        table,
        dict(zip(changed["category_a"], changed["category_b"], strict=True)),
    )


def _usual(numbers: pd.Series[str]) -> str | None:
    """Return the most frequent number, None for none."""
    counts = numbers.value_counts()
    return str(counts.index[0]) if len(counts) else None
