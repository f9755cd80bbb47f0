"""Cells of a queue's rows that people fill in or change: decisions and categories."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from curate.dataset.table import plain
from curate.people.exchange.tool_labels import Labels, fill_category_names
from curate.people.exchange.tool_shapes import parse_mask_id
from curate.store.audit import Audit
from curate.store.rows_by_id import rows_of

DECISION = "decision"
"""The column that people fill in. ``action`` is taken too, where it is not a plan's."""

FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n")
"""What a text begins with that a spreadsheet would run."""


def add_decision_column(rows: pd.DataFrame) -> pd.DataFrame:
    """Return a queue with an empty column ``decision``, behind ``mask_id``."""
    made = rows.drop(columns=DECISION, errors="ignore")
    at = list(made.columns).index("mask_id") + 1 if "mask_id" in made else 0
    made.insert(at, DECISION, pd.Series(None, made.index, object))
    return made


def apply_categories(
    audit: Audit, columns: Mapping[str, Sequence[Any]], words: Sequence[str]
) -> tuple[list[str], list[str | None]]:
    """Return decisions and new categories: a changed category is a fix, unless it is a reject.

    Args:
        audit: The audit.
        columns: The columns ``mask_id`` and ``category``, if the file has that.
        words: What people decided, "" for nothing.
    """
    renamed = _changed_categories(audit, columns, len(words))
    pairs = list(zip(words, renamed, strict=True))
    decided = ["fix" if new is not None and word in ("", "accept") else word for word, new in pairs]
    return decided, [
        new if word == "fix" else None for word, new in zip(decided, renamed, strict=True)
    ]


def _changed_categories(
    audit: Audit, columns: Mapping[str, Sequence[Any]], count: int
) -> list[str | None]:
    """Return the new category of each row; None where it is the mask's own, or none."""
    cells = columns.get("category")
    if cells is None:
        return [None] * count
    masks = [parse_mask_id(value) for value in columns["mask_id"]]
    ids = np.unique(np.array([mask for mask in masks if mask is not None], np.int64))
    rows = rows_of(audit, "masks", "mask_id", ids, ("category", "category_id"))
    known = fill_category_names(rows).set_index("mask_id")["category"]
    own = dict(zip(known.index.tolist(), plain(known), strict=True))
    labels = Labels(audit, str.strip)
    found: list[str | None] = []
    for mask, cell in zip(masks, cells, strict=True):
        text = "" if cell is None else unescape(str(cell).strip()).strip()
        known_mask = mask is not None and mask in own
        before = own[mask] if known_mask and mask is not None else None
        new = labels.category_now(text, before) if text and known_mask else None
        found.append(None if new == before else new)
    return found


def unescape(text: str) -> str:
    """Undo the apostrophe that a queue's CSV puts before what a spreadsheet would run."""
    return text[1:] if text[:1] == "'" and text[1:].lstrip(" ").startswith(FORMULA) else text
