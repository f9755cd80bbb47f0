"""Words of changes between two datasets."""

from __future__ import annotations

from collections.abc import Mapping

from curate.dataset.notes import clean_name


def describe_change(row: Mapping[str, object]) -> str:
    """Return a mask's change in words.

    Args:
        row: Of :attr:`curate.dataset.difference.Difference.masks`.
    """
    change = str(row["change"])
    if row["moved_x"] is not None:
        return change.replace("moved", f"moved by ({row['moved_x']}, {row['moved_y']}) px")
    if change.startswith("redrawn") and row["iou"] is None:
        return f"{change} (not comparable: its image has another size)"
    return change


def quote_category(name: object) -> str:
    """Return a category's name between quotes, as it may hold anything."""
    return f'"{clean_name(name)}"'
