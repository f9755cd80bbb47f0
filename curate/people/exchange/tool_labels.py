"""Categories as labels of other tools, which cannot hold every character, and back."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np
import pandas as pd

from curate.common.arrays import BoolArray
from curate.dataset.table import plain
from curate.store.audit import StoredAudit
from curate.store.audit_sql import column_types

NO_CATEGORY = "object"
"""The label of masks that have no category. It comes back as none, unless the dataset has a
category of that name."""

_NOT_XML = re.compile(r"[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
"""Characters that no XML can hold."""


def label_studio_label(category: str | None) -> str:
    """Return a category as a label of Label Studio, in characters that its config can hold."""
    text = "" if category is None else _NOT_XML.sub("_", category).strip()
    return text or NO_CATEGORY


def safe_label(name: str) -> str:
    """Return a category as a label of CVAT, which has no control characters or outer blanks."""
    return " ".join(safe_text(name).split()) or NO_CATEGORY


def safe_text(text: str) -> str:
    """Return text in which what XML cannot hold is written as a question mark."""
    return _NOT_XML.sub("?", text)


def fill_category_names(masks: pd.DataFrame) -> pd.DataFrame:
    """Return masks with the number as the name of a category that has no other name.

    Args:
        masks: ``category``, and ``category_id`` where the source has it.
    """
    if "category_id" not in masks:
        return masks
    return masks.assign(category=pd.Series(spell_categories(masks), masks.index, dtype="str"))


def spell_categories(masks: pd.DataFrame) -> list[str | None]:
    """Return the category of each mask by name, or by number where it has no name."""
    names = plain(masks["category"])
    numbers = plain(masks["category_id"]) if "category_id" in masks else [None] * len(masks)
    pairs = zip(names, numbers, strict=True)
    return [_name_or_number(name, number) for name, number in pairs]


def spell_category(row: Mapping[str, Any]) -> str | None:
    """Return the category of one mask likewise, of which plain values are known."""
    return _name_or_number(row.get("category"), row.get("category_id"))


def _name_or_number(name: Any, number: Any) -> str | None:
    if name is not None:
        return str(name)
    return None if number is None else str(number)


def is_relabelled(before: Iterable[Any], after: Iterable[Any]) -> BoolArray:
    """Return which masks changed their category, shape (n,); no category is no change."""
    pairs = zip(before, after, strict=True)
    return np.array([new is not None and new != old for old, new in pairs], np.bool_)


class Labels:
    """The categories of an audit's masks as labels of a tool, and back.

    Args:
        audit: The audit.
        spell: The label that a category's name is written as.

    Attributes:
        names: All categories, sorted; a number where that is all the source says.
        are_numbers: Whether no category has a name, but a number.
        numbered: The source's own numbers, each with its name; empty unless each mask has a number
            and each number one name.
        has_unnamed: Whether some masks have no category.
    """

    def __init__(self, audit: StoredAudit, spell: Callable[[str], str] = str) -> None:
        numbered = "category_id" in column_types(audit)
        columns = "category, category_id" if numbered else "category"
        found = audit.query(f"select distinct {columns} from masks")
        every = spell_categories(found)
        named = found["category"].notna()
        self._spell = spell
        self.names = sorted({name for name in every if name is not None})
        self.are_numbers = bool(self.names) and not named.any()
        self.has_unnamed = None in every
        self.numbered = _number_names(found, every) if numbered else []
        self._by_label: dict[str, str] = {}
        for name in self.names:
            if (label := spell(name)) != NO_CATEGORY or NO_CATEGORY in name:
                self._by_label.setdefault(label, name)

    def of(self, row: Mapping[str, Any]) -> str:
        """Return the label of a mask, of which ``category`` and ``category_id`` are known."""
        return self.label(spell_category(row))

    def label(self, name: str | None) -> str:
        """Return the label of a category; :data:`NO_CATEGORY` for None."""
        return NO_CATEGORY if name is None else self._spell(name)

    def list_names(self) -> list[str]:
        """Return the labels that people may choose from: those of all masks, sorted."""
        unnamed = {NO_CATEGORY} if self.has_unnamed or not self.names else set()
        return sorted({self._spell(name) for name in self.names} | unnamed)

    def category(self, label: str | None) -> str | None:
        """Return the category of a new mask's label; None for none."""
        if label is None or label in self.names:
            return label
        spelled = self._spell(label)
        return self._by_label.get(spelled, None if spelled == NO_CATEGORY else label)

    def category_now(self, label: str | None, own: str | None) -> str | None:
        """Return the category of a label on a mask that was exported with another one.

        Args:
            label: The label as it came back; None where there is none.
            own: The mask's category before, whose label counts before all others.
        """
        same = label is not None and self._spell(label) == self.label(own)
        return own if same else self.category(label)


def _number_names(found: pd.DataFrame, names: list[str | None]) -> list[tuple[int, str]]:
    numbers = plain(found["category_id"])
    if None in numbers or len(set(numbers)) < len(numbers):
        return []
    return sorted((int(number), str(name)) for number, name in zip(numbers, names, strict=True))
