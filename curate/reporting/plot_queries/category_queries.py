"""Counts by category: with actions, reasons, a detector's categories, and in the same image."""

from __future__ import annotations

import re

import numpy as np
import pandas as pd

from curate.common.arrays import IntArray
from curate.common.ranges import ACTIONS
from curate.plots.plot_values import NO_CATEGORY, CategoryCounts, CrossTable
from curate.policy.grammar import check_choice
from curate.reporting.queries import ReportSource, actions_sql, kinds_sql
from curate.store.audit_sql import quote_text

ORDERS = ("count", "trouble")
"""What categories are ordered by: their masks, or those of them that are not accepted."""


def _category(source: ReportSource) -> str:
    """Return SQL of a mask's category, with words for none."""
    return f"coalesce({source.column('category', 'null::varchar')}, {quote_text(NO_CATEGORY)})"


def count_categories(source: ReportSource, by: str = "count", most: int = 20) -> CategoryCounts:
    """Count the masks of each category by action.

    Args:
        source: The audit.
        by: One of :data:`ORDERS`; by trouble, categories without any are not listed.
        most: Categories that are listed, the first in that order.

    Raises:
        CallError: There is no such order.
    """
    check_choice(by, "by", ORDERS)
    order = "n" if by == "count" else "review + reject"
    shown = "" if by == "count" else "where shown.review + shown.reject > 0 "
    rows = source.rows(
        "select * from (select *, count(*) over () as categories, sum(n) over () as masks from "
        f"(select {_category(source)} as name, count(*) as n, {actions_sql(source)} from masks "
        f"group by 1)) shown {shown}order by {order} desc, n desc, name limit {int(most)}"
    )
    return CategoryCounts(
        by,
        [row["name"] for row in rows],
        {action: np.array([row[action] for row in rows], np.int64) for action in ACTIONS},
        int(rows[0]["categories"]) - len(rows) if rows else 0,
        int(rows[0]["masks"]) if rows else 0,
    )


def count_reasons(source: ReportSource, categories: int = 15, kinds: int = 10) -> CrossTable:
    """Count the masks that are not accepted by category and kind of reason.

    A mask with several reasons counts for each. Masks that people decided on are left out, as in
    the report's reasons.

    Args:
        source: The audit.
        categories: Categories listed: those with most such masks.
        kinds: Reasons listed: those with most such masks.
    """
    nothing = CrossTable([], [], np.zeros((0, 0), np.int64), np.zeros(0, np.int64), 0)
    if not {"reasons", "action"} <= source.masks.keys():
        return nothing
    found = source.audit.query(
        f"select coalesce(category, {quote_text(NO_CATEGORY)}) as a, kind as b, count(*) as n "
        f"from ({kinds_sql(source)}) where action <> 'accept' group by all"
    )
    if not len(found):
        return nothing
    counts = _top_table(found, categories, kinds)
    names = ", ".join(map(quote_text, counts.index))
    totals = source.audit.query(
        f"select {_category(source)} as a, count(*) as n from masks group by 1 "
        f"having a in ({names})"
    ).set_index("a")["n"]
    return CrossTable(
        counts.index.tolist(),
        [_shorten(kind) for kind in counts.columns],
        counts.to_numpy(np.int64),
        totals.reindex(counts.index).to_numpy(np.int64),
        source.count,
        counts.columns.tolist(),
    )


def _shorten(kind: str) -> str:
    """Return a kind of reason without the numbers in brackets, in which masks differ."""
    return re.sub(r" \([^()]*…[^()]*\)", "", kind)


def count_confusion(source: ReportSource, most: int = 15) -> CrossTable:
    """Count masks by their category and that which a detector sees there.

    Args:
        source: The audit.
        most: Categories listed: those of most masks that a detector has named.
    """
    if not {"category", "detector_category"} <= source.masks.keys():
        return CrossTable([], [], np.zeros((0, 0), np.int64), np.zeros(0, np.int64), 0)
    found = source.audit.query(
        "select category as a, detector_category as b, count(*) as n from masks "
        "where category is not null and detector_category is not null group by all"
    )
    counts = _top_table(found, most, most)
    order = [name for name in counts.index if name in counts.columns]
    counts = counts[[*order, *(name for name in counts.columns if name not in order)]]
    totals = found.groupby("a")["n"].sum().reindex(counts.index)
    return CrossTable(
        counts.index.tolist(),
        counts.columns.tolist(),
        counts.to_numpy(np.int64),
        totals.to_numpy(np.int64),
        int(found["n"].sum()),
    )


def count_co_occurrence(source: ReportSource, most: int = 15) -> CrossTable:
    """Count the images that have masks of two categories; on the diagonal, of one.

    Args:
        source: The audit.
        most: Categories listed: those in most images.
    """
    images = int(source.row("select count(distinct image_id) as n from masks")["n"])
    if "category" not in source.masks:
        return CrossTable([], [], np.zeros((0, 0), np.int64), np.zeros(0, np.int64), images)
    found = source.audit.query(
        "with there as (select distinct image_id, category from masks where category in "
        "(select category from masks where category is not null group by category "
        f"order by count(distinct image_id) desc, category limit {int(most)})) "
        "select x.category as a, y.category as b, count(*) as n "
        "from there x join there y using (image_id) group by all"
    )
    counts = _top_table(found[found["a"] == found["b"]], most, most)
    names = counts.index.tolist()
    counts = _pivot(found).reindex(index=names, columns=names, fill_value=0)
    values: IntArray = counts.to_numpy(np.int64)
    return CrossTable(names, names, values, np.diag(values).copy(), images)


def _pivot(found: pd.DataFrame) -> pd.DataFrame:
    return found.pivot(index="a", columns="b", values="n").fillna(0).astype("int64")


def _top_table(found: pd.DataFrame, rows: int, columns: int) -> pd.DataFrame:
    """Return counts ``n`` by ``a`` and ``b`` as a table of the largest rows and columns."""
    kept = []
    for name, most in (("a", rows), ("b", columns)):
        sums = found.groupby(name)["n"].sum().reset_index().sort_values(["n", name])
        sums = sums.sort_values("n", ascending=False, kind="stable")
        kept.append(sums[name].head(most).tolist())
    return _pivot(found).reindex(index=kept[0], columns=kept[1], fill_value=0)
