"""Missing masks: how much people look at until they have seen a share of them.

Nothing in a list of masks leads to a mask that is not there. What leads to it is a detection that
no mask explains, which people are shown as an item of its own: one look. It leads to the missing
mask where their boxes have an IoU of 0.5. When the sure ones are looked at, people go through whole
images, comparing each image's masks with its picture: as many looks as it has masks, one at least.
Going through the images in any order from the start is what the random order means here.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import pycocotools.mask as coco_mask
from measuring import FOUND, Row, resampled
from objectlab import ObjectLab
from sets import Masks

Entry = dict[str, Any]
FOUND_IOU = 0.5
SURE = 0.4
"""Confidence x (1 - explained) from which on a detection is an item of its own."""

LISTED = "unexplained detections"
OVERLOOKED = "ObjectLab: overlooked"


def unexplained(masks: Masks) -> list[Entry]:
    """Return what people are shown: sure detections that no mask explains, then whole images.

    Images come by the doubt of all their unexplained detections together, per mask to compare.
    """
    texts = masks.images["missing_detections_json"].dropna()
    listed = [
        {**entry, "image_id": image, "suspicion": entry["score"] * (1 - entry["explained"])}
        for image, text in texts.items()
        for entry in json.loads(text)
    ]
    doubt = pd.Series(0.0, masks.images.index)
    for entry in listed:
        doubt[entry["image_id"]] += entry["suspicion"]
    per_mask = doubt / np.maximum(masks_of(masks), 1)
    sure = [entry for entry in listed if entry["suspicion"] >= SURE]
    return shown(sure, per_mask)


def masks_of(masks: Masks) -> pd.Series:
    """Return how many masks each image has."""
    counts = masks.frame["image_id"].value_counts()
    return counts.reindex(masks.images.index).fillna(0)


def shown(items: Sequence[Entry], images: pd.Series) -> list[Entry]:
    """Put items, the most suspicious first, and then images, those of the highest value first."""
    ordered = images.sort_values(ascending=False, kind="stable").index
    return [
        *sorted(items, key=lambda entry: -entry["suspicion"]),
        *({"image_id": image} for image in ordered),
    ]


def found_at(entries: Sequence[Entry], missing: Sequence[Entry]) -> npt.NDArray[np.int64]:
    """Return at which entry, from 0, each missing mask is seen; its image is the last chance."""
    at = np.full(len(missing), -1)
    for place, entry in enumerate(entries):
        for k, mask in enumerate(missing):
            if at[k] < 0 and mask["image_id"] == entry["image_id"] and leads(entry, mask):
                at[k] = place
    return at


def leads(entry: Entry, mask: Entry) -> bool:
    """Return whether an entry of the same image shows a missing mask."""
    if "bbox" not in entry:
        return True
    iou = coco_mask.iou(np.array([entry["bbox"]]), np.array([mask["bbox"]]), [0])
    return bool(iou[0, 0] >= FOUND_IOU)


def looks(
    at: npt.NDArray[np.int64],
    entries: Sequence[Entry],
    missing: Sequence[Entry],
    sizes: pd.DataFrame,
) -> list[float]:
    """Return how many looks show each share of the missing masks, against going through all images.

    Args:
        at: What :func:`found_at` gave.
        entries: What people are shown.
        missing: The missing masks.
        sizes: By image: ``times`` it stands in the data set, and how many ``masks`` it has.
    """
    cost = (sizes["times"] * np.maximum(sizes["masks"], 1)).to_dict()
    times = sizes["times"].to_dict()
    spent = np.cumsum([(times if "bbox" in e else cost)[e["image_id"]] for e in entries])
    weight = np.array([times[mask["image_id"]] for mask in missing])
    if not weight.sum():
        return [float("nan")] * len(FOUND)
    order = np.argsort(at, kind="stable")
    hits = np.cumsum(weight[order])
    steps = [np.searchsorted(hits, np.ceil(share * hits[-1])) for share in FOUND]
    everything = sum(cost.values())
    return [
        float(spent[at[order[step]]] / (share * everything))
        for step, share in zip(steps, FOUND, strict=True)
    ]


class MissingRuns:
    """Looks that show missing masks, in every repetition and in data sets drawn from each.

    Attributes:
        looks: By order: a row a repetition, a column a share of ``FOUND``.
        drawn: Likewise, of resampled data sets.
        masks: How many masks there are in each repetition, and how many are missing.
    """

    def __init__(self) -> None:
        self.looks: dict[str, list[list[float]]] = {}
        self.drawn: dict[str, list[list[float]]] = {}
        self.masks: list[tuple[int, int]] = []

    def add(self, masks: Masks, lab: ObjectLab | None, draws: int, seed: int) -> None:
        """Measure one repetition."""
        assert masks.injected is not None
        gone = masks.injected.missing
        lists = {LISTED: unexplained(masks)}
        if lab:
            lists[OVERLOOKED] = shown(lab.overlooked, -lab.images)
        self.masks.append((len(masks.frame), len(gone)))
        names = masks.images.index.to_numpy()
        weights = [np.ones(len(names)), *resampled(names, draws, seed)]
        for name, entries in lists.items():
            at = found_at(entries, gone)
            for k, weight in enumerate(weights):
                sizes = pd.DataFrame({"times": weight, "masks": masks_of(masks)}, names)
                into = self.drawn if k else self.looks
                into.setdefault(name, []).append(looks(at, entries, gone, sizes))

    def rows(self, about: Mapping[str, str]) -> Iterator[Row]:
        """Yield a row of the results an order."""
        masks, errors = np.mean(self.masks, axis=0)
        for name, found in self.looks.items():
            row: Row = {**about, "order": name, "repetitions": len(found)}
            row |= {"masks": masks, "errors": errors}
            low, high = np.nanpercentile(np.array(self.drawn[name]), [2.5, 97.5], axis=0)
            for k, share in enumerate(FOUND):
                key = f"of_random_{share:.0%}"
                row[key] = float(np.mean(found, axis=0)[k])
                row |= {f"{key}_low": float(low[k]), f"{key}_high": float(high[k])}
            yield row
