"""Tables in Markdown, and a page's tables filled in, so that text and numbers agree."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import pandas as pd

Cells = Iterable[Iterable[str]]


def table(head: list[str], rows: Cells) -> str:
    """Return a Markdown table; every column but the first is set to the right.

    Raises:
        ValueError: A row has more or fewer cells than the head.
    """
    rows = [list(cells) for cells in rows]
    if any(len(cells) != len(head) for cells in rows):
        raise ValueError(f"a row has not the {len(head)} cells of the head")
    lines = [head, ["---", *["---:"] * (len(head) - 1)], *rows]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def fill_page(
    page: Path, results: pd.DataFrame, makers: Sequence[Callable[[pd.DataFrame], str]]
) -> None:
    """Replace what stands between a table's two marks, which bear its maker's name.

    Raises:
        ValueError: The page does not hold the marks of a table exactly once.
    """
    text = page.read_text()
    for make in makers:
        name = make.__name__
        marks = f"<!-- {name} -->", f"<!-- end of {name} -->"
        inside = f"{marks[0]}\n\n{make(results)}\n\n{marks[1]}"
        pattern = f"{re.escape(marks[0])}.*?{re.escape(marks[1])}"
        text, count = re.subn(pattern, lambda _, new=inside: new, text, flags=re.DOTALL)
        if count != 1:
            raise ValueError(f"{page.name} must hold the marks of the table {name} once")
    page.write_text(text)
