"""The queue: which masks people look at, most likely and most costly errors first, in a budget."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pandas as pd

from curate.curation.audits import Audit, column_types, literal, quoted
from curate.curation.grammar import check_actions
from curate.curation.plan import ORDER_SQL
from curate.errors import AuditError, CallError
from curate.ranges import MOST, check_numbers

SECONDS_PER_MASK = 14.0
"""What a person needs for one mask: the time that the makers of SA-1B measured at the end."""

_FIRST = (
    *("rank", "mask_id", "image_id", "file_name", "category", "action", "reasons", "priority"),
    *("quality_score", "area_px", "bbox_x", "bbox_y", "bbox_w", "bbox_h", "source_key"),
)


def queue(
    audit: Audit,
    *,
    budget: int | None = None,
    minutes: float | None = None,
    seconds_per_mask: float = SECONDS_PER_MASK,
    actions: Sequence[str] = ("review",),
) -> pd.DataFrame:
    """Return the masks to look at, in order.

    Args:
        audit: A finished audit.
        budget: How many masks at most.
        minutes: How much time people have; with ``budget``, the smaller of both counts.
        seconds_per_mask: How long one mask takes.
        actions: Whose masks: "review", "reject", "accept".

    Returns:
        A row a mask, every column of the audit but the masks themselves, ``rank`` first. ``rank``
        is the place among all masks of the audit.

    Raises:
        CallError: An argument is out of range.
        AuditError: The audit has no plan.
    """
    most = size(budget, minutes, seconds_per_mask)
    types = column_types(audit)
    if "action" not in types:
        raise AuditError("no mask has an action yet", str(audit.path), "run `curate decide` first")
    names = shown_columns(types)
    limit = "" if most is None else f" limit {most}"
    found = audit.query(
        f"select {', '.join(map(quoted, names))} from masks where {chosen(actions)} "
        f"order by {ORDER_SQL}{limit}"
    )
    return found.astype({name: "Int64" for name in names if "INT" in types[name]})


def shown_columns(types: Mapping[str, str]) -> list[str]:
    """Return the columns that a queue shows: all but the masks, the telling ones first."""
    names = [name for name in types if name != "segmentation"]
    return sorted(names, key=lambda name: _FIRST.index(name) if name in _FIRST else len(_FIRST))


def size(budget: int | None, minutes: float | None, seconds_per_mask: float) -> int | None:
    """Return how many masks a budget buys; None for all.

    Raises:
        CallError: An argument is out of range.
    """
    check_numbers(budget=budget, minutes=minutes, seconds_per_mask=seconds_per_mask)
    if minutes is None:
        return budget
    affordable = int(min(60 * minutes / seconds_per_mask, MOST) + 1e-9)
    if affordable < 1:
        what = f"{minutes:g} minutes are less than one mask takes ({seconds_per_mask:g} s)"
        raise CallError(what, "queue", "give more time")
    return affordable if budget is None else min(budget, affordable)


def chosen(actions: Sequence[str]) -> str:
    """Return SQL of the masks with one of some actions.

    Raises:
        CallError: There is no such action, or none is given.
    """
    check_actions(actions, "actions")
    return f"action in ({', '.join(map(literal, actions))})"


def with_rejected(actions: Sequence[str]) -> tuple[str, ...]:
    """Return actions with "reject" among them: what is worse than what goes goes too.

    Raises:
        CallError: There is no such action, or none is given.
    """
    chosen(actions)
    return tuple(dict.fromkeys(("reject", *actions)))
