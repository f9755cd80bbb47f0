"""Simulated reviewer: twelve correct decisions on the demo, and their effect."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from curate import rle
from curate.common.arrays import BoolArray
from curate.demo_dataset.annotation import iou
from curate.demo_dataset.defects import BY_NAME, KINDS
from curate.demo_dataset.scenes import HEIGHT, WIDTH
from curate.formats.reading import read
from curate.people.queues.population import queue
from curate.people.reviews import Reviews

if TYPE_CHECKING:
    from curate.demo_dataset.planted_truth import DemoTruth
    from curate.store.audit import StoredAudit

REVIEWER = "demo"
"""Name of the simulated reviewer."""

MISSING = 2
"""How many of the decisions add an object that had no mask."""

RIGHT_IOU = 0.9
"""A mask that shares this much with its object is right."""

COPIES = frozenset({"duplicate_twin", "near_duplicate", "part_of", "nested_wrong", "duplicate_id"})
"""Kinds whose object has another mask, so that this one goes."""

_STORED = frozenset({"declared_bbox", "declared_area", "rle_size"})
"""Kinds whose pixels are right and stored wrongly: drawing them again renews all that."""

_UNNAMED = "category_0"
"""The kind that has no category in the file."""

_HOMELESS = "unknown_image"
"""The kind whose image is not in the dataset."""


def decide_as_a_person(audit: StoredAudit, truth: DemoTruth, decisions: int = 12) -> None:
    """Decide on the first masks of the queue as the truth says, and add objects without a mask.

    A copy of another mask, or one of no object, is rejected; one that is off is redrawn, or
    relabelled; a sound one is accepted.

    Args:
        audit: The audit of the demo.
        truth: What was planted.
        decisions: How many in all; some of them (:data:`MISSING`) add a mask.
    """
    lost = truth.missing.head(MISSING)
    first = queue(audit, budget=decisions - len(lost))
    known = truth.masks.reindex(first["source_key"].astype(str).to_numpy())
    rows = [_decision(row) for row in known.to_dict("records")]
    frame = pd.DataFrame(rows).assign(
        mask_id=first["mask_id"].to_numpy(np.int64), reviewer=REVIEWER
    )
    missing = lost.rename(columns={"counts": "segmentation"})
    Reviews(audit).add(
        frame,
        origin="demo",
        missing=missing[["image_id", "segmentation", "category"]].assign(reviewer=REVIEWER),
    )


def _decision(row: dict[Any, Any]) -> dict[str, object]:
    """Return the decision on a mask of a reviewer who knows the truth."""
    kind = str(row["kind"])
    nothing = {"segmentation": None, "category": None}
    if kind not in BY_NAME:  # sound, or with an odd name
        return {"action": "accept", **nothing}
    if kind in COPIES or kind == _HOMELESS or not row["object_w"]:
        return {"action": "reject", **nothing}
    right = row["true_iou"] >= RIGHT_IOU and kind not in _STORED
    renamed = row["category"] != row["object_category"] or kind == _UNNAMED
    if right and not renamed:
        return {"action": "accept", **nothing}
    return {
        "action": "fix",
        "segmentation": None if right else row["object_counts"],
        "category": row["object_category"] if renamed else None,
    }


def find_gone(written: Path, audit: StoredAudit, truth: DemoTruth) -> pd.DataFrame:
    """Return which planted defects are gone from a dataset that was written from the audit.

    Returns:
        A row a planted bad mask or object without a mask: ``kind``, ``gone``. A mask is gone or
        right; an object without a mask has one that shares :data:`RIGHT_IOU` with it.
    """
    now = read(written).masks
    keys = audit.masks(["source_key"])["source_key"].astype(str)
    ids = pd.Series(keys.index.to_numpy(np.int64), index=keys.to_numpy())
    planted = truth.masks[truth.masks["kind"].isin([k.name for k in KINDS if k.level == "mask"])]
    rows = [
        (row["kind"], _is_gone(int(ids[key]), row, now))
        for key, row in zip(planted.index, planted.to_dict("records"), strict=True)
    ]
    pixels = now["segmentation"].dropna()
    rows += [
        ("missing", any(_iou(bytes(one), row["counts"].encode()) >= RIGHT_IOU for one in here))
        for row in truth.missing.to_dict("records")
        for here in [pixels[now["image_id"].loc[pixels.index] == row["image_id"]]]
    ]
    return pd.DataFrame(rows, columns=["kind", "gone"])


def _is_gone(mask_id: int, row: dict[Any, Any], now: pd.DataFrame) -> bool:
    if mask_id not in now.index:
        return True
    kind, mask = row["kind"], now.loc[mask_id]
    if kind in COPIES or not row["object_w"] or mask["status"] != "ok":
        return False
    if mask["category"] != row["object_category"]:
        return False
    if kind in _STORED - {"rle_size"}:
        names = ("area", "x", "y", "w", "h")
        measured = ("area_px", *(f"bbox_{side}" for side in "xywh"))
        pairs = zip(names, measured, strict=True)
        return all(abs(mask[f"declared_{a}"] - mask[b]) <= 1 for a, b in pairs)
    right = _iou(bytes(mask["segmentation"]), row["object_counts"].encode()) >= RIGHT_IOU
    # Of some kinds the mask is right and what stands beside it is not: those stay.
    mended = row["true_iou"] < RIGHT_IOU or kind in ("wrong_category", _UNNAMED, "rle_size")
    return bool(right and mended)


def _iou(first: bytes, second: bytes) -> float:
    return iou(_decode(first), _decode(second))


def _decode(counts: bytes) -> BoolArray:
    runs, _ = rle.decode_counts([counts], np.array([HEIGHT]), np.array([WIDTH]))
    return rle.to_dense(runs, 0)


def gone_text(frame: pd.DataFrame) -> str:
    """Say how many planted defects are gone, and of which kinds."""
    counts = frame.groupby("kind", sort=False)["gone"].agg(["sum", "size"])
    some = counts[counts["sum"] > 0]
    named = ", ".join(
        f"{BY_NAME[str(kind)].title} {row['sum']} of {row['size']}" for kind, row in some.iterrows()
    )
    return f"gone from it: {frame['gone'].sum()} of {len(frame)} planted defects ({named})"
