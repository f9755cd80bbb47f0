"""Results of verbs that say in a terminal and in a notebook what they hold."""

from __future__ import annotations

import html
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas as pd

MOST_ROWS = 20
"""Rows of a table that a notebook shows."""


class ReadableResult:
    """A result whose repr is its text; a notebook shows its tables too, below the text."""

    def text(self) -> str:
        """Return the result in a few lines."""
        raise NotImplementedError

    def _tables(self) -> dict[str, pd.DataFrame]:
        """Return tables that the text does not list, by title; few rows of each are shown."""
        return {}

    def __repr__(self) -> str:
        return self.text()

    def _repr_html_(self) -> str | None:
        """Return HTML of text and tables, all of it escaped; None where the text says all."""
        tables = {title: frame for title, frame in self._tables().items() if len(frame)}
        if not tables:
            return None
        shown = "".join(_table_html(title, frame) for title, frame in tables.items())
        return f"<pre>{html.escape(self.text())}</pre>{shown}"


def _table_html(title: str, frame: pd.DataFrame) -> str:
    rows = frame.head(MOST_ROWS)
    more = f", {len(rows):,} of {len(frame):,}" if len(rows) < len(frame) else ""
    table = rows.to_html(index=frame.index.name is not None, border=0, na_rep="–")
    return f"<p>{html.escape(title)}{more}</p>{table}"
