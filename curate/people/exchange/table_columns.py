"""Typed columns from a file's columns; the first bad value is reported with its row.

A column is a list of texts (from CSV) or of JSON values; None and blank text are "not given".
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import orjson
import pandas as pd

from curate.dataset.table import plain
from curate.errors import SourceError
from curate.formats.segmentation import json_type
from curate.people.exchange.imported_images import parse_mask_id
from curate.people.exchange.queue_writing import check_version
from curate.people.exchange.registry import ImportedDecisions
from curate.people.exchange.tool_labels import Labels, fill_category_names
from curate.people.reviews.decision_notes import MAX_COMMENT, DecisionNote, parse_tags
from curate.people.reviews.schema import ACTIONS
from curate.store.audit import StoredAudit
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
    *("tags", "comment"),
)
"""Every column that is read; others in a file are left alone."""


@dataclass(frozen=True)
class Table:
    """Rows of a file, not yet parsed.

    Attributes:
        name: The file's, for messages.
        columns: Those that are read, as far as it has them; lists of equal length.
        rows: Where each row stands: its number, from 1.
        others: Names of its other columns.
        key: The column that names a row in messages.
    """

    name: str
    columns: dict[str, list[Any]]
    rows: Sequence[int]
    others: frozenset[str]
    key: str = "mask_id"

    def where(self, at: int) -> str:
        """Name a row for a message."""
        named = str(self.columns[self.key][at])[:40] or "?"
        return f"{self.name}, row {self.rows[at]}, {self.key.removesuffix('_id')} {named}"

    def only(self, rows: Sequence[int]) -> Table:
        """Return some of the rows."""
        columns = {name: [cells[at] for at in rows] for name, cells in self.columns.items()}
        return replace(self, columns=columns, rows=[self.rows[at] for at in rows])

    def read(self, name: str, read: Callable[[Any], Any]) -> list[Any]:
        """Return the cells of a column, read one by one.

        Args:
            name: The column.
            read: A cell to its value; raises ValueError with what it is not.

        Raises:
            SourceError: A cell cannot be read; names the row.
        """
        made = []
        for at, cell in enumerate(self.columns[name]):
            try:
                made.append(read(cell))
            except (ValueError, TypeError, OverflowError) as error:
                shown = repr(cell[:40]) if isinstance(cell, str) else json_type(cell)
                raise SourceError(f"{name} is {shown}, {error}", self.where(at)) from error
        return made


def parse_decisions(table: Table, audit: StoredAudit) -> ImportedDecisions:
    """Return the decisions of a file of rows.

    Args:
        table: The rows.
        audit: The audit that they are for.

    Raises:
        SourceError: Columns are missing, a value cannot be read (says in which row), or a decision
            was made on another version of the dataset.
    """
    column = _find_decision_column(table)
    words = [normalise_word(cell) for cell in table.columns[column]]
    words, category = apply_categories(audit, table.columns, words)
    filled = [at for at, word in enumerate(words) if word]
    undecided = len(words) - len(filled)
    if undecided:
        table = table.only(filled)
    check_version(audit, table.columns.get(DATASET_VERSION, ()), table.name)
    words = [words[at] for at in filled]
    _refuse_unknown(table, words)
    found = pd.DataFrame({"action": words, "row": [f"row {row}" for row in table.rows]})
    for name, parse in _PARSERS.items():
        if name in table.columns:
            found[name] = parse(table, name)
    if found["mask_id"].isna().any():
        at = int(np.flatnonzero(found["mask_id"].isna())[0])
        raise SourceError("there is no mask_id", table.where(at))
    if {"tags", "comment"} & table.columns.keys():
        found["note"] = _parse_notes(table)
    found["category"] = pd.Series([category[at] for at in filled], dtype=object)
    renamed = found["category"].notna()
    for name, kind in (("iou", "float64"), ("segmentation", "object")):
        if name not in found:
            found[name] = pd.Series(None, found.index, kind)
    bare = found["iou"].isna() & found["segmentation"].isna()
    found["iou"] = found["iou"].mask(renamed & bare, 1.0)
    notes = {"rows without a decision": undecided}
    if renamed.any():
        notes["masks fixed in their category"] = int(renamed.sum())
    return ImportedDecisions(found, notes=notes)


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
        do = f"add a column {DECISION} with {', '.join(ACTIONS)}, empty where there is no decision"
        raise SourceError("its column action is the plan's, not people's", table.name, do)
    return "action"


def normalise_word(value: Any) -> str:
    """Return a cell's text in lower case; "" for an empty cell."""
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return ""
    return str(value).strip().lower()


def _refuse_unknown(table: Table, words: list[str]) -> None:
    bad = [at for at, word in enumerate(words) if word not in ACTIONS]
    if bad:
        more = f" (and so are {len(bad) - 1:,} more rows)" if len(bad) > 1 else ""
        what = f"{words[bad[0]][:40]!r} is no decision{more}"
        raise SourceError(what, table.where(bad[0]), f"use {', '.join(ACTIONS)}, or leave it empty")


_INT64 = range(-(2**63), 2**63)
_EXACT = 2**53  # up to here a float is the number that was written


def _parse_numbers(
    table: Table, name: str, convert: Callable[[Any], Any], read: Callable[[Any], Any], kind: str
) -> pd.Series[Any]:
    """Return a column as numbers, missing where it is blank; all at once if they are plain."""
    cells = table.columns[name]
    types = set(map(type, cells)) - {type(None)}
    try:
        if types <= {str} and "_" not in "".join(filter(None, cells)):  # 1_000 is Python's only
            cells = [convert(cell) if cell and not cell.isspace() else None for cell in cells]
        elif not types <= {int, convert}:
            raise ValueError
        if convert is int and any(cell not in _INT64 for cell in cells if cell is not None):
            raise ValueError
        made = pd.Series(cells, dtype=kind)
        if convert is int or not np.isinf(made).any():
            return made
    except (ValueError, TypeError, OverflowError):
        pass
    return pd.Series(table.read(name, read), dtype=kind)


def parse_ids(table: Table, name: str) -> pd.Series[Any]:
    """Return a column of ids as 64-bit integers, missing where it is blank."""
    return _parse_numbers(table, name, int, _read_int, "Int64")


def parse_floats(table: Table, name: str) -> pd.Series[Any]:
    """Return a column of finite numbers, NaN where it is blank."""
    return _parse_numbers(table, name, float, _read_float, "float64")


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
    if isinstance(value, float) and abs(value) > _EXACT:  # so JSON's longer numbers are read
        raise ValueError("not a whole number of 64 bits")
    digits, _, fraction = str(value).partition(".") if isinstance(value, str) else ("", "", "")
    number = int(digits) if digits else int(value)  # as a float, a long id would lose digits
    if real != int(real) or fraction.strip("0 ") or number not in _INT64:
        raise ValueError("not a whole number of 64 bits")
    return number


def _parse_times(table: Table, name: str) -> pd.Series[Any]:
    cells = [None if cell == "" else cell for cell in table.columns[name]]
    try:
        if set(map(type, cells)) <= {str, type(None)}:
            return pd.to_datetime(pd.Series(cells, dtype=object), utc=True, format="ISO8601")
    except (ValueError, OverflowError):
        pass
    table.read(name, _read_time)
    raise SourceError("its times cannot be read", table.name)


def _read_time(cell: Any) -> None:
    try:
        if cell not in (None, ""):
            if not isinstance(cell, str):
                raise ValueError
            pd.to_datetime(cell, utc=True, format="ISO8601")
    except (ValueError, OverflowError):
        raise ValueError("not a time like 2026-03-14T15:09:26Z") from None


def parse_texts(table: Table, name: str) -> pd.Series[Any]:
    """Return a column of texts, None where it is blank."""
    return pd.Series(table.read(name, _read_text), dtype=object)


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


def _parse_notes(table: Table) -> pd.Series[Any]:
    """Return why people decided as they did, of tags and comments; None where neither is given."""
    count = len(table.rows)
    cells = {
        name: table.read(name, read) if name in table.columns else [None] * count
        for name, read in (("tags", _read_tags), ("comment", _read_comment))
    }
    notes = [
        DecisionNote(tags or (), comment or "") if tags or comment else None
        for tags, comment in zip(cells["tags"], cells["comment"], strict=True)
    ]
    return pd.Series(notes, dtype=object)


def _read_tags(value: Any) -> tuple[str, ...]:
    if isinstance(value, list):
        value = ";".join(text for one in value if (text := _read_text(one)))
    return parse_tags(_read_text(value) or "")


def _read_comment(value: Any) -> str | None:
    text = _read_text(value)
    if text is not None and len(text) > MAX_COMMENT:
        raise ValueError(f"longer than {MAX_COMMENT:,} characters")
    return text


def parse_masks(table: Table, name: str) -> pd.Series[Any]:
    """Return segmentations as bytes of counts, or as the JSON values that COCO has."""
    return pd.Series(table.read(name, _read_mask), dtype=object)


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


_PARSERS: dict[str, Callable[[Table, str], pd.Series[Any]]] = {
    "mask_id": parse_ids,
    "iou": parse_floats,
    "seconds": parse_floats,
    "inclusion_probability": parse_floats,
    "draw_id": parse_ids,
    "reviewer": parse_texts,
    "queue_kind": parse_texts,
    "time": _parse_times,
    "segmentation": parse_masks,
}


def add_decision_column(rows: pd.DataFrame) -> pd.DataFrame:
    """Return a queue with an empty column ``decision`` in front."""
    made = rows.drop(columns=DECISION, errors="ignore")
    made.insert(0, DECISION, pd.Series(None, made.index, object))
    return made


def apply_categories(
    audit: StoredAudit, columns: Mapping[str, Sequence[Any]], words: Sequence[str]
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
    audit: StoredAudit, columns: Mapping[str, Sequence[Any]], count: int
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
