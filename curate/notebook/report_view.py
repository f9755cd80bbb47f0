"""The report inside a notebook: a frame that holds the whole page and fetches nothing."""

from __future__ import annotations

import html
from dataclasses import dataclass, field

HEIGHT = 720
"""Pixels of the frame, unless told otherwise."""


@dataclass(frozen=True, repr=False)
class ReportView:
    """A report as notebooks show it.

    The frame is sandboxed: the page runs its own script, and reaches nothing of the notebook.

    Attributes:
        page: The report's HTML.
        name: What it is the report of.
        height: Of the frame, in pixels.
    """

    page: str = field(repr=False)
    name: str
    height: int = HEIGHT

    def __repr__(self) -> str:
        return f"report of {self.name}, {len(self.page):,} characters of HTML"

    def _repr_html_(self) -> str:
        title, page = html.escape(f"report of {self.name}"), html.escape(self.page)
        return (
            f'<iframe title="{title}" srcdoc="{page}" sandbox="allow-scripts allow-downloads" '
            f'width="100%" height="{self.height}" style="border: 1px solid #8884"></iframe>'
        )
