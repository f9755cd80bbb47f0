"""Columns of a queue as a table: the ten that are useful in a terminal, or those asked for."""

from __future__ import annotations

from collections.abc import Sequence
from difflib import get_close_matches

import pandas as pd

from curate.errors import CallError
from curate.people.exchange.table_columns import DECISION
from curate.store.audit_sql import DATASET_VERSION

ALL = "all"
"""Stands for every column that a queue has."""

_KEY = "mask_id"

_WAY_BACK = ("draw_id", "slot", "queue_kind", DATASET_VERSION)
"""Columns by which a decision that comes back knows why its mask was shown."""

_USEFUL = (
    *("file_name", "category", "reasons", "action", "quality_score", "rank", "area_px"),
    *("bbox_x", "bbox_y", "bbox_w", "bbox_h", "image_id", "category_id"),
)
"""What is useful beside them, the most useful first."""

_MOST = 10


def choose_columns(rows: pd.DataFrame, names: Sequence[str] | None = None) -> pd.DataFrame:
    """Return a queue with ten useful columns, or with those asked for, ``mask_id`` first.

    The columns that a decision needs on its way back stay, at the end.

    Args:
        rows: The queue, with all columns that people may see.
        names: Names of columns in the order wanted, or :data:`ALL`; None for ten useful ones.

    Raises:
        CallError: The queue has no such column.
    """
    back = [name for name in _WAY_BACK if name in rows]
    if "slot" in back and not rows["slot"].any():
        back.remove("slot")
    if names is None:
        room = _MOST - len(back) - 1
        wanted = [name for name in _USEFUL if name in rows][:room]
    elif ALL in names:
        return rows
    else:
        wanted = _check_names(rows, names)
    return rows[list(dict.fromkeys((_KEY, *wanted, *back)))]


def _check_names(rows: pd.DataFrame, names: Sequence[str]) -> list[str]:
    known = [str(name) for name in rows.columns]
    for name in names:
        if name not in known and name != DECISION:
            near = get_close_matches(name, known, 3)
            do = f"did you mean {' or '.join(near)}?" if near else "`all` prints those that it has"
            raise CallError(f"the queue has no column {name}", "--columns", do)
    return [name for name in names if name != DECISION]
