"""Categories as labels of other tools, which cannot hold every character."""

from __future__ import annotations

import re

NO_CATEGORY = "object"
"""The label of masks that have no category."""

_NOT_XML = re.compile(r"[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
"""Characters that no XML can hold."""


def label_of(category: str | None) -> str:
    """Return a category as a label of Label Studio, in characters that its config can hold."""
    text = "" if category is None else _NOT_XML.sub("_", category).strip()
    return text or NO_CATEGORY


def safe_label(name: str) -> str:
    """Return a category as a label of CVAT, which has no control characters or outer blanks."""
    return " ".join(safe_text(name).split()) or NO_CATEGORY


def safe_text(text: str) -> str:
    """Return text in which what XML cannot hold is written as a question mark."""
    return _NOT_XML.sub("?", text)
