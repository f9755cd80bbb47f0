"""Corrections planted in a dataset as people might make them, and what should follow from them."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd

from curate import rle
from curate.common.arrays import BoolArray
from curate.dataset.table import MaskTable

SHARE = 0.1
"""Share of the masks that is rejected, that is redrawn, and that is relabelled."""


@dataclass
class Corrections:
    """What people say, and what the dataset should hold then.

    Attributes:
        decisions: As ``Reviews.add`` takes them.
        missing: Masks that people add.
        expected: How often each (image, pixels, category) should stand in the written dataset.
        counts: How many masks each thing happens to.
    """

    decisions: pd.DataFrame
    missing: pd.DataFrame
    expected: Counter[tuple[str, bytes, str]]
    counts: dict[str, int] = field(default_factory=dict)


def dense(counts: bytes, height: int, width: int) -> BoolArray:
    """Return a mask's pixels."""
    runs, _ = rle.decode_counts([counts], np.array([height]), np.array([width]))
    return rle.to_dense(runs, 0)


def counts_of(mask: BoolArray) -> bytes:
    """Return pixels as COCO's compressed counts."""
    return bytes(rle.encode_counts(rle.from_dense(mask))[0].as_py())


def redrawn(rng: np.random.Generator, mask: BoolArray) -> BoolArray:
    """Return a mask as somebody might redraw it: moved, with a hole, or with a second piece."""
    new = np.roll(mask, (int(rng.integers(-3, 4)), int(rng.integers(-3, 4))), (0, 1))
    height, width = mask.shape
    y, x = int(rng.integers(height)), int(rng.integers(width))
    yy, xx = np.ogrid[:height, :width]
    disc = (yy - y) ** 2 + (xx - x) ** 2 <= rng.integers(2, 12) ** 2
    new = new | disc if rng.random() < 0.5 else new & ~disc
    return new if new.any() and (new != mask).any() else ~mask


def content(table: MaskTable) -> Counter[tuple[str, bytes, str]]:
    """Return how often each (image, pixels, category) stands in a dataset."""
    counts = rle.encode_counts(table.runs).to_pylist()
    masks = table.masks
    names = masks["file_name"].astype(object).fillna("").astype(str)
    categories = masks["category"].astype(object).where(masks["category"].notna(), "")
    return Counter(zip(names, counts, categories.astype(str), strict=True))


def plant(table: MaskTable, ids: pd.Series[int], seed: int) -> Corrections:
    """Draw corrections of a dataset.

    Args:
        table: The dataset.
        ids: The audit's ``mask_id`` by source key.
        seed: Of all that is drawn.
    """
    rng = np.random.default_rng(seed)
    masks = table.masks.reset_index(drop=True)
    pixels = rle.encode_counts(table.runs).to_pylist()
    names = sorted({str(n) for n in masks["category"].dropna()})
    usable = (masks["status"] == "ok").to_numpy()
    draw = rng.random(len(masks))
    rows: list[dict[str, Any]] = []
    expected: Counter[tuple[str, bytes, str]] = Counter()
    counts: Counter[str] = Counter()
    for k, row in enumerate(masks.to_dict("records")):
        name, category = str(row["file_name"]), row["category"]
        label = "" if pd.isna(category) else str(category)
        own, what, new, other = pixels[k], "accept", None, None
        if draw[k] < SHARE:
            what = "reject"
        elif usable[k] and draw[k] < 2 * SHARE:
            what = "fix"
            new = counts_of(redrawn(rng, dense(own, row["height"], row["width"])))
        elif usable[k] and len(names) > 1 and draw[k] < 3 * SHARE:
            what, other = "fix", names[(names.index(label) + 1) % len(names)]
        rows.append(
            {
                "mask_id": int(ids[row["source_key"]]),
                "action": what,
                "segmentation": new,
                "category": other,
            }
        )
        counts["redrawn" if new else "relabelled" if other else what] += 1
        if what != "reject":
            expected[(name, new or own, other or label)] += 1
    missing = _missing(rng, table, names)
    for row in missing.to_dict("records"):
        label = "" if row["category"] is None else str(row["category"])
        expected[(str(row["file_name"]), row["segmentation"], label)] += 1
    counts["added"] = len(missing)
    frame = missing.drop(columns="file_name")
    return Corrections(pd.DataFrame(rows), frame, expected, dict(counts))


def _missing(rng: np.random.Generator, table: MaskTable, names: list[str]) -> pd.DataFrame:
    """Draw a small disc to be added to every fifth image."""
    rows = []
    for number, image in list(table.images.iterrows())[::5]:
        height, width = int(image["height"]), int(image["width"])
        yy, xx = np.ogrid[:height, :width]
        y, x = rng.integers(height), rng.integers(width)
        disc = (yy - y) ** 2 + (xx - x) ** 2 <= int(rng.integers(2, 9)) ** 2
        rows.append(
            {
                "image_id": number,
                "file_name": str(image["file_name"]),
                "segmentation": counts_of(disc),
                "category": names[int(rng.integers(len(names)))] if names else None,
            }
        )
    return pd.DataFrame(rows, columns=["image_id", "file_name", "segmentation", "category"])
