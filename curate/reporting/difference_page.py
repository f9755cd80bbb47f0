"""Pages of what differs: between two datasets, mask by mask."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

import pandas as pd

from curate.common.paths import AnyPath
from curate.dataset.change_wording import describe_change
from curate.dataset.difference import Difference
from curate.dataset.notes import short_version
from curate.dataset.snapshot import Snapshot
from curate.dataset.table import records
from curate.reporting.comparison_page import (
    MOST_CHANGES,
    ChangedMask,
    ComparedTable,
    ComparisonValues,
    write_comparison,
)

_PAIRS = 20


def write_difference(
    path: Path, found: Difference, a: Snapshot, b: Snapshot, images: AnyPath | None
) -> None:
    """Write the page of a difference of two datasets.

    Args:
        path: The file.
        found: The difference.
        a: The dataset before.
        b: The dataset after.
        images: Folder of the pictures, or None.

    Raises:
        CurateError: There is no such folder, or the file cannot be written.
    """
    sides = ComparedTable(
        "Datasets",
        ("", "before", "after"),
        [
            ("path", found.a["path"], found.b["path"]),
            ("format", found.a["format"], found.b["format"]),
            ("version", short_version(found.a["version"]), short_version(found.b["version"])),
            ("masks", f"{found.a['masks']:,}", f"{found.b['masks']:,}"),
            ("images", f"{found.a['images']:,}", f"{found.b['images']:,}"),
        ],
    )
    changed = [(name, f"{n:,}") for name, n in found.image_counts.items() if n]
    named = [(words,) for words in found.describe_categories()]
    relabelled = [(words,) for words in found.describe_relabelled(_PAIRS)]
    values = ComparisonValues(
        title="Difference of two datasets",
        names=(Path(found.a["path"]).name, Path(found.b["path"]).name),
        counts=found.describe_counts(),
        tables=[
            sides,
            ComparedTable("Images", ("what happened", "images"), changed),
            ComparedTable("Categories", ("what happened",), named),
            ComparedTable("Relabelled", ("from, to",), relabelled),
        ],
        changes=[_find(row, a, b) for row in records(_worst(found.masks))],
        total=len(found.masks),
    )
    write_comparison(path, values, images)


def _worst(masks: pd.DataFrame) -> pd.DataFrame:
    """Return the masks to draw: some of each kind of change, those that changed most first."""
    ordered = masks.sort_values("iou", kind="stable", na_position="last")
    each = ordered.groupby("change", sort=False).cumcount()
    first = each.sort_values(kind="stable").index[:MOST_CHANGES]  # of each kind in turn
    return ordered.loc[ordered.index.isin(first)]


def _find(row: Mapping[str, Any], a: Snapshot, b: Snapshot) -> ChangedMask:
    before, after = (_mask(of.masks, row[f"mask_id_{side}"]) for of, side in ((a, "a"), (b, "b")))
    there = before if before is not None else after
    assert there is not None
    old, new = (None if one is None else one["segmentation"] for one in (before, after))
    fits = before is None or after is None or _size(before) == _size(after)
    ids = [str(row[f"mask_id_{side}"]) for side in "ab" if row[f"mask_id_{side}"] is not None]
    what = describe_change(row)
    if "relabelled" in what:
        what += f": {row['category_a']} → {row['category_b']}"
    height, width = _size(there)
    return ChangedMask(
        label="mask " + " → ".join(dict.fromkeys(ids)),
        what=what,
        file_name=str(row["file_name"]),
        height=height,
        width=width,
        before=_counts(old),
        after=_counts(new) if fits else None,
        iou=row["iou"],
    )


def _mask(masks: pd.DataFrame, mask_id: int | None) -> pd.Series[Any] | None:
    return None if mask_id is None else cast("pd.Series[Any]", masks.loc[mask_id])


def _size(mask: pd.Series[Any]) -> tuple[int, int]:
    return int(mask["height"]), int(mask["width"])


def _counts(value: object) -> bytes | None:
    return bytes(value) if isinstance(value, bytes | bytearray | memoryview) else None
