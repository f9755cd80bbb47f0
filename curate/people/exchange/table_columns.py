"""Typed columns from a file's columns; the first bad value is reported with its row.

A column is a list of texts (from CSV) or of JSON values; None and blank text are "not given".
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import orjson
import pandas as pd

from curate.dataset.table import plain
from curate.errors import SourceError
from curate.formats.segmentation import json_type
from curate.people.exchange.queue_writing import check_version
from curate.people.exchange.registry import ImportedDecisions
from curate.people.exchange.tool_labels import Labels, fill_category_names
from curate.people.exchange.tool_shapes import parse_mask_id
from curate.people.reviews.schema import ACTIONS
from curate.store.audit import Audit
from curate.store.audit_sql import DATASET_VERSION
from curate.store.rows_by_id import rows_of

DECISION = "decision"
"""The column that people fill in. ``action`` is taken too, where it is not a plan's."""

FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n")
"""What a text begins with that a spreadsheet would run."""

PLAN = frozenset({"rank", "priority", "reasons"})
"""Columns that only a queue has: where one stands beside ``action``, that is the plan's."""

NAMES = (
    *("mask_id", DECISION, "action", "iou", "segmentation", "reviewer", "seconds", "time"),
    *("queue_kind", "inclusion_probability", "draw_id", DATASET_VERSION, "category"),
)
"""Every column that is read; others in a file are left alone."""


@dataclass(frozen=True)
class Table:
    """Rows of a file, not yet parsed.

    Attributes:
        name: The file's, for messages.
        columns: Those of :data:`NAMES` that it has, lists of equal length.
        rows: Where each row stands: its number, from 1.
        others: Names of its other columns.
    """

    name: str
    columns: dict[str, list[Any]]
    rows: Sequence[int]
    others: frozenset[str]


def parse_decisions(table: Table, audit: Audit) -> ImportedDecisions:
    """Return the decisions of a file of rows.

    Args:
        table: The rows.
        audit: The audit that they are for.

    Raises:
        SourceError: Columns are missing, a value cannot be read (says in which row), or a decision
            was made on another version of the dataset.
    """
    column = _find_decision_column(table)
    words = [_normalise_word(value) for value in table.columns[column]]
    words, category = apply_categories(audit, table.columns, words)
    filled = [at for at, word in enumerate(words) if word]
    rows = [table.rows[at] for at in filled]
    picked = {
        name: [values[at] for at in filled] if len(filled) < len(words) else values
        for name, values in table.columns.items()
    }
    check_version(audit, picked.get(DATASET_VERSION, ()), table.name)
    ids = picked["mask_id"]
    where = _RowNames(table.name, rows, ids)
    _refuse_unknown(where, [words[at] for at in filled])
    columns: dict[str, Any] = {
        "mask_id": _parse_numbers(where, "mask_id", ids, "Int64"),
        "action": [words[at] for at in filled],
        "row": [f"row {row}" for row in rows],
    }
    if columns["mask_id"].isna().any():
        at = int(np.flatnonzero(columns["mask_id"].isna())[0])
        raise SourceError("there is no mask_id", where(at))
    for name in ("iou", "seconds", "inclusion_probability", "draw_id"):
        if name in picked:
            kind = "Int64" if name == "draw_id" else "float64"
            columns[name] = _parse_numbers(where, name, picked[name], kind)
    for name in ("reviewer", "queue_kind"):
        if name in picked:
            columns[name] = _parse_texts(where, name, picked[name])
    if "time" in picked:
        columns["time"] = _parse_times(where, picked["time"])
    if "segmentation" in picked:
        columns["segmentation"] = _parse_masks(where, picked["segmentation"])
    columns["category"] = [category[at] for at in filled]
    renamed = pd.Series([one is not None for one in columns["category"]], dtype="bool")
    given = columns.get("iou", pd.Series(np.nan, renamed.index))
    bare = given.isna() & pd.Series(columns.get("segmentation", [None] * len(filled))).isna()
    columns["iou"] = given.mask(renamed & bare, 1.0)
    notes = {"rows without a decision": len(words) - len(filled)}
    if renamed.any():
        notes["masks fixed in their category"] = int(renamed.sum())
    return ImportedDecisions(pd.DataFrame(columns), notes=notes)


@dataclass(frozen=True)
class _RowNames:
    """Names a row for a message."""

    name: str
    rows: Sequence[int]
    ids: Sequence[Any]

    def __call__(self, at: int) -> str:
        return f"{self.name}, row {self.rows[at]}, mask {str(self.ids[at])[:40] or '?'}"


def _find_decision_column(table: Table) -> str:
    """Return the name of the column that holds the decisions."""
    if "mask_id" not in table.columns:
        raise SourceError("there is no column mask_id", table.name)
    if DECISION in table.columns:
        return DECISION
    if "action" not in table.columns:
        do = f"add it, and fill in {', '.join(ACTIONS)}"
        raise SourceError(f"there is no column {DECISION}", table.name, do)
    if PLAN & table.others:
        do = f"add a column {DECISION} with {', '.join(ACTIONS)}, empty where nobody decided"
        raise SourceError("its column action is the plan's, not people's", table.name, do)
    return "action"


def _normalise_word(value: Any) -> str:
    """Return a cell's text in lower case; "" for an empty cell."""
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return ""
    return str(value).strip().lower()


def _refuse_unknown(where: _RowNames, words: list[str]) -> None:
    strange = set(words) - set(ACTIONS)
    if not strange:
        return
    bad = [at for at, word in enumerate(words) if word in strange]
    more = f" (and so are {len(bad) - 1:,} more rows)" if len(bad) > 1 else ""
    what = f"{words[bad[0]][:40]!r} is no decision{more}"
    raise SourceError(what, where(bad[0]), f"use {', '.join(ACTIONS)}, or leave it empty")


def _parse_each(
    where: _RowNames, name: str, values: Sequence[Any], read: Callable[[Any], Any]
) -> list[Any]:
    """Read values one by one; an error names the row."""
    made = []
    for at, value in enumerate(values):
        try:
            made.append(read(value))
        except (ValueError, TypeError, OverflowError) as error:
            shown = repr(value[:40]) if isinstance(value, str) else json_type(value)
            raise SourceError(f"{name} is {shown}, {error}", where(at)) from error
    return made


def _parse_numbers(where: _RowNames, name: str, values: Sequence[Any], kind: str) -> pd.Series[Any]:
    """Return a column as numbers, missing where it is blank."""
    convert, read = (int, _read_int) if kind == "Int64" else (float, _read_float)
    types = set(map(type, values)) - {type(None)}
    try:
        if types <= {str} and "_" not in "".join(filter(None, values)):  # 1_000 is Python's only
            cells = [None if not value or value.isspace() else convert(value) for value in values]
        elif types <= {int, convert}:
            cells = list(values)
        else:
            raise ValueError
        made = pd.Series(cells, dtype=kind)
        if convert is int or not np.isinf(made).any():
            return made
    except (ValueError, TypeError, OverflowError):
        pass
    return pd.Series(_parse_each(where, name, values, read), dtype=kind)  # names the bad row


def _read_float(value: Any) -> float:
    if value is None or (isinstance(value, str) and not value.strip()):
        return math.nan
    if isinstance(value, bool) or not isinstance(value, int | float | str) or "_" in str(value):
        raise ValueError("not a number")
    try:
        number = float(value)
    except ValueError:
        raise ValueError("not a number") from None
    if math.isinf(number):
        raise ValueError("not a finite number")
    return number


def _read_int(value: Any) -> int | None:
    """Read an id; 42.0 is one, as spreadsheets write it, and 4.2E+12 is not: digits are lost."""
    if isinstance(value, str) and "e" in value.lower():
        raise ValueError("not a whole number (a spreadsheet has rounded it)")
    try:
        real = _read_float(value)
    except (ValueError, OverflowError):
        raise ValueError("not a whole number") from None
    if math.isnan(real):
        return None
    digits, _, fraction = str(value).partition(".") if isinstance(value, str) else ("", "", "")
    number = int(digits) if digits else int(value)  # as a float, a long id would lose digits
    if real != int(real) or fraction.strip("0 ") or not -(2**63) <= number < 2**63:
        raise ValueError("not a whole number of 64 bits")
    return number


def _parse_times(where: _RowNames, values: Sequence[Any]) -> pd.Series[Any]:
    blank = pd.Series([None if value in (None, "") else value for value in values], dtype=object)
    texts = [value is None or isinstance(value, str) for value in blank]
    try:
        if not all(texts):
            raise ValueError
        return pd.to_datetime(blank, utc=True, format="ISO8601")
    except (ValueError, OverflowError):
        _parse_each(where, "time", list(blank), _read_time)
        raise SourceError("its times cannot be read", where.name) from None


def _read_time(value: Any) -> None:
    try:
        if value is not None:
            if not isinstance(value, str):
                raise ValueError
            pd.to_datetime(value, utc=True, format="ISO8601")
    except (ValueError, OverflowError):
        raise ValueError("not a time like 2026-03-14T15:09:26Z") from None


def _parse_texts(where: _RowNames, name: str, values: Sequence[Any]) -> list[str | None]:
    if set(map(type, values)) <= {str, type(None)} and "".join(filter(None, values)).isascii():
        return [None if value is None else unescape(value.strip()) or None for value in values]
    return _parse_each(where, name, values, _read_text)


def _read_text(value: Any) -> str | None:
    if value is None:
        return None
    if not isinstance(value, str):
        raise ValueError("not a text")
    try:
        value.encode()
    except UnicodeEncodeError:  # half a character, which JSON can spell
        raise ValueError("not a text that can be written") from None
    return unescape(value.strip()) or None


def _parse_masks(where: _RowNames, values: Sequence[Any]) -> list[Any]:
    """Return segmentations as bytes of counts, or as the JSON values that COCO has."""
    return _parse_each(where, "segmentation", values, _read_mask)


def _read_mask(value: Any) -> Any:
    if value is None or value in ("", [], {}):
        return None
    if not isinstance(value, str):
        return value
    text = unescape(value.strip())
    # Counts may begin with a bracket, but hold no comma; lists of polygons do.
    if text[:1] == "{" or (text[:1] == "[" and "," in text):
        try:
            return orjson.loads(text)
        except orjson.JSONDecodeError:
            raise ValueError("not JSON") from None
    if not text.isascii():
        raise ValueError("no run lengths")
    return text.encode() or None


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
