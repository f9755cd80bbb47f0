"""Agreement signal: IoU with the masks of other annotators or models."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TypedDict

import numpy as np
import pandas as pd

from curate.common.arrays import FloatArray, IntArray
from curate.dataset.table import STRING, MaskTable
from curate.scorers.counterparts import groups, mask_pairs, match_images
from curate.scorers.scorer import Column, Scorer, has_pixels

MOST_LISTED = 10
"""Most masks of one other set that are listed for one image."""


def agreement(table: MaskTable, *, compare: Mapping[str, MaskTable]) -> pd.DataFrame:
    """Compute how well the other sets of masks agree with each mask. Own definition.

    Args:
        table: Masks; rows in any order.
        compare: The other sets by name.

    Returns:
        Index ``mask_id``:

        - ``agreement_score`` in [0, 1]: mean IoU with the counterparts, each the mask of the
          largest IoU in the same image, over the sets that have the image; NaN where none has it,
          and for masks without pixels. Two masks may have the same counterpart: were they paired
          one to one, the good mask of two copies could be left with none;
        - ``agreement_count``: how many sets that is; NaN where none has the image;
        - ``agreement_json``: the IoU by set, null where the set does not have the image;
        - ``others_iou``: mean IoU of the counterparts with each other, NaN where there are fewer
          than two: high beside a low score says that the others saw one thing and this is another.
    """
    matched = {name: _match_masks(table, other) for name, other in compare.items()}
    ious = np.array([iou for iou, _ in matched.values()]).reshape(len(matched), len(table))
    known = ~np.isnan(ious)
    count = known.sum(axis=0)
    total = np.where(known, ious, 0).sum(axis=0)
    scores = np.divide(total, count, out=np.full(len(table), np.nan), where=count > 0)
    texts = [
        _text(list(matched), ious[:, row]) if count[row] else None for row in range(len(table))
    ]
    frame = pd.DataFrame({"agreement_score": scores}, index=table.masks.index)
    frame["agreement_count"] = np.where(count > 0, count, np.nan)
    frame["agreement_json"] = pd.Series(texts, frame.index, dtype=STRING)
    frame["others_iou"] = _among_others(
        list(compare.values()), [partner for _, partner in matched.values()], len(table)
    )
    return frame


def _text(names: list[str], ious: FloatArray) -> str:
    values = {n: None if np.isnan(v) else round(float(v), 4) for n, v in zip(names, ious)}  # noqa: B905
    return json.dumps(values, ensure_ascii=False)


def _match_masks(table: MaskTable, other: MaskTable) -> tuple[FloatArray, IntArray]:
    """Return each mask's IoU with its counterpart, and the counterpart's row (-1 for none)."""
    group = groups(table, other)
    pairs = mask_pairs(table, other, group)
    ious = np.where((group[0] >= 0) & has_pixels(table), 0.0, np.nan)
    partner = np.full(len(table), -1, np.int64)
    order = np.lexsort([-pairs.second, pairs.iou])  # the best is written last; of equals the first
    ious[pairs.first[order]] = pairs.iou[order]
    partner[pairs.first[order]] = pairs.second[order]
    return ious, partner


def _among_others(others: list[MaskTable], partners: list[IntArray], n: int) -> FloatArray:
    """Return the mean IoU of each mask's counterparts with each other."""
    total, count = np.zeros(n), np.zeros(n, np.int64)
    for a in range(len(others)):
        for b in range(a + 1, len(others)):
            both = np.flatnonzero((partners[a] >= 0) & (partners[b] >= 0))
            pairs = mask_pairs(others[a], others[b], groups(others[a], others[b]))
            keys = pairs.first * (len(others[b]) + 1) + pairs.second
            order = np.argsort(keys)
            wanted = partners[a][both] * (len(others[b]) + 1) + partners[b][both]
            place = np.minimum(np.searchsorted(keys[order], wanted), max(len(keys) - 1, 0))
            if len(keys):
                hit = keys[order][place] == wanted
                total[both[hit]] += pairs.iou[order][place[hit]]
            count[both] += 1
    mean: FloatArray = np.divide(total, count, out=np.full(n, np.nan), where=count > 0)
    return mean


def list_missing_from_compared(
    table: MaskTable, *, compare: Mapping[str, MaskTable], iou: float = 0.5
) -> pd.DataFrame:
    """List the masks of other sets that no mask here matches: likely missing ones.

    Args:
        table: Masks of whole images.
        compare: The other sets by name.
        iou: A counterpart under this IoU is none (COCO's own rule for a match).

    Returns:
        Index ``image_id``; ``missing_compared``, how many there are over all sets (NaN where no
        set has the image), and ``missing_compared_json``: by set ``count`` and ``masks``, the
        :data:`MOST_LISTED` largest, each with ``bbox`` (XYWH, px), ``area_px``, ``category``,
        ``source_key`` and ``iou``, the IoU with its counterpart.
    """
    found: dict[object, dict[str, UnmatchedMasks]] = {
        image_id: {} for image_id in table.images.index
    }
    for name, other in compare.items():
        best = np.nan_to_num(_match_masks(other, table)[0])
        lacking = np.flatnonzero(has_pixels(other) & (best < iou))
        rows = pd.Series(lacking).groupby(other.masks["image_id"].to_numpy()[lacking]).indices
        matched = match_images(table.images, other.images)
        for image_id, place in zip(table.images.index, matched, strict=True):
            if place >= 0:
                own = lacking[rows.get(other.images.index[place], [])]
                found[image_id][name] = _list_rows(other, own, best)
    counts = [sum(s["count"] for s in sets.values()) if sets else np.nan for sets in found.values()]
    texts = [json.dumps(sets, ensure_ascii=False) if sets else None for sets in found.values()]
    frame = pd.DataFrame({"missing_compared": np.array(counts, float)}, index=table.images.index)
    frame["missing_compared_json"] = pd.Series(texts, frame.index, dtype=STRING)
    return frame


class UnmatchedMask(TypedDict):
    """A mask of another set that has no counterpart: its box is XYWH in pixels."""

    bbox: list[int]
    area_px: int
    category: str | None
    source_key: str
    iou: float


class UnmatchedMasks(TypedDict):
    """The number of such masks in an image, and the largest of them."""

    count: int
    masks: list[UnmatchedMask]


def _list_rows(other: MaskTable, rows: IntArray, best: FloatArray) -> UnmatchedMasks:
    areas = other.masks["area_px"].to_numpy()
    chosen = rows[np.argsort(-areas[rows], kind="stable")][:MOST_LISTED]
    part = other.masks.iloc[chosen]
    return {
        "count": len(rows),
        "masks": [
            {
                "bbox": other.boxes[row].tolist(),
                "area_px": int(areas[row]),
                "category": category if isinstance(category, str) else None,
                "source_key": str(key),
                "iou": round(float(best[row]), 4),
            }
            for row, category, key in zip(chosen, part["category"], part["source_key"], strict=True)
        ],
    }


SCORERS = (
    Scorer(
        name="agreement",
        function=agreement,
        columns=(
            Column(
                "agreement_score",
                "Agreement",
                low_means="others draw it differently",
                states="others agree with it less than is usual (mean IoU {agreement_score:.2f})",
                states_at_zero="no mask of the others overlaps it",
                evidence="annotation",
                count="agreement_count",
            ),
            Column(
                "agreement_count",
                "Others",
                "measure",
                "",
                "how many other sets have its image",
            ),
            Column("agreement_json", "Agreement by set", "word", "", "the IoU with each other set"),
            Column(
                "others_iou",
                "Others' agreement",
                "measure",
                "share",
                "how well the other sets agree with each other about this object",
            ),
        ),
        question="do others draw the same mask?",
        needs=("compare",),
    ),
    Scorer(
        name="missing_compared",
        function=list_missing_from_compared,
        columns=(
            Column(
                "missing_compared",
                "Missing (others)",
                "measure",
                "",
                "how many masks of other sets nothing here matches",
            ),
            Column("missing_compared_json", "Missing, listed", "word", "", "these masks, by set"),
        ),
        question="what do others draw that is not here?",
        needs=("compare",),
        level="image",
    ),
)
