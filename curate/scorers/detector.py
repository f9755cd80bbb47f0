"""Detector signal: confirmation by an independent detector's boxes."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from typing import Any, NotRequired, TypedDict

import numpy as np
import numpy.typing as npt
import pandas as pd

from curate.common.arrays import BoolArray, FloatArray, IntArray
from curate.dataset.table import STRING, MaskTable
from curate.rle import iou as rle_iou
from curate.rle import merge
from curate.scorers.counterparts import Pairs, box_pairs, groups, mask_pairs, match_images
from curate.scorers.scorer import Column, Scorer, clip_coordinates, has_pixels

NUMBERED = "category "
"""What stands before a category's number where a detector gives no name."""

MOST_LISTED = 10
"""Most detections that are listed for one image."""

LEAST_LISTED = 0.05
"""Confidence x (1 - explained) under which a detection is not listed."""

SURE = 0.5
"""Confidence from which on a detection that no mask explains counts."""

MATCHING = 0.5
"""IoU from which on masks explain a detection."""

LEAST_INSIDE = 0.5
"""Share of a mask inside a detection from which on the mask may be a part of what was seen."""


def detector(
    table: MaskTable, *, detections: MaskTable, categories: Collection[int | str] | None = None
) -> pd.DataFrame:
    """Ask what a detector saw where each mask is (the paper's semi-automatic stage).

    Own definition. IoU is that of masks where the detection has one of the image's size, else that
    of its box with the measured box of the mask. A detection without a confidence counts as
    certain.

    Args:
        table: Masks; rows in any order.
        detections: What the detector saw, with ``score``, and ``declared_x`` and so on for boxes.
            An image that is among its ``images`` was looked at, even if nothing was seen there.
        categories: Ids or names of the categories that the detector knows: masks of others get no
            ``detector_category_score``. All if None; give none for a class-agnostic detector.

    Returns:
        Index ``mask_id``; NaN where the detector did not look at the image, for masks without
        pixels, and for crowd regions, which no single detection can confirm:

        - ``detector_score`` in [0, 1]: the largest confidence x IoU of all detections, whatever
          their category; 0 where none touches the mask;
        - ``detector_category_score`` in [0, 1]: 1 - max(0, best of other categories - best of the
          mask's own): low where the detector is sure that this is something else; NaN where no
          detection touches the mask, and where categories cannot be compared;
        - ``detector_confidence``, ``detector_iou``: the two factors of ``detector_score``;
        - ``detector_category``, ``detector_category_confidence``: what the detector says the object
          is, and how surely: of the detections whose categories can be compared the one of the
          largest confidence x IoU; NA and NaN where ``detector_category_score`` is NaN.
    """
    pairs, group = _pairs(table, detections)
    confidence = confidence_of(detections)
    strength = confidence[pairs.second] * pairs.iou
    judged = (group >= 0) & has_pixels(table) & ~_crowds(table)
    frame = pd.DataFrame(index=table.masks.index)
    best, which = _best(len(table), pairs.first, strength)
    frame["detector_score"] = np.where(judged, best, np.nan)
    against, said = _against(table, detections, pairs, strength)
    comparable = judged & _comparable(table, categories)
    frame["detector_category_score"] = np.where(comparable, 1 - np.maximum(0, against), np.nan)
    seen = judged & (which >= 0)
    for column, values in (
        ("detector_confidence", confidence[pairs.second]),
        ("detector_iou", pairs.iou),
    ):
        frame[column] = np.where(judged, 0.0, np.nan)
        frame.loc[seen, column] = values[which[seen]]
    named = np.flatnonzero(comparable & (said >= 0))
    words, sure = np.full(len(table), None, object), np.full(len(table), np.nan)
    words[named] = _names(detections)[said[named]]
    sure[named] = confidence[said[named]]
    frame["detector_category"] = pd.Series(words, frame.index, dtype=STRING)
    frame["detector_category_confidence"] = sure
    return frame


def _names(detections: MaskTable) -> npt.NDArray[np.object_]:
    """Return each detection's category: its name, else its number in words."""
    names = detections.masks["category"].to_numpy(object)
    if "category_id" not in detections.masks.columns:
        return names
    numbers = [None if pd.isna(k) else f"{NUMBERED}{k}" for k in detections.masks["category_id"]]
    return np.where(pd.isna(names), np.array(numbers, object), names)


def name_categories(said: pd.Series[Any], names: Mapping[str, str]) -> pd.Series[Any]:
    """Return detections' categories with the dataset's names in place of numbers."""
    known = {f"{NUMBERED}{number}": name for number, name in names.items()}
    plain = said.astype(object).where(said.notna(), None)
    return pd.Series([known.get(text, text) for text in plain], said.index, dtype=STRING)


def detection_boxes(detections: MaskTable) -> FloatArray:
    """Return declared boxes, else measured ones, shape (n, 4), XYWH; NaN where there is none."""
    boxes = np.where(has_pixels(detections)[:, None], detections.boxes, np.nan)
    names = ["declared_x", "declared_y", "declared_w", "declared_h"]
    if all(name in detections.masks.columns for name in names):
        declared = detections.masks[names].to_numpy(np.float64)
        usable = np.isfinite(declared).all(axis=1) & (declared[:, 2:] > 0).all(axis=1)
        boxes = np.where(usable[:, None], declared, boxes)
    return np.ascontiguousarray(boxes, np.float64)


def confidence_of(detections: MaskTable) -> FloatArray:
    """Return the confidence of each detection, shape (n,), in [0, 1]; 1 where it has none."""
    if "score" not in detections.masks.columns:
        return np.ones(len(detections))
    scores = detections.masks["score"].fillna(1.0).to_numpy(np.float64)
    return np.asarray(np.clip(scores, 0, 1), np.float64)


def _crowds(table: MaskTable) -> BoolArray:
    if "iscrowd" not in table.masks.columns:
        return np.zeros(len(table), np.bool_)
    return np.asarray(table.masks["iscrowd"].fillna(0).to_numpy() == 1, np.bool_)


def _pairs(table: MaskTable, detections: MaskTable) -> tuple[Pairs, IntArray]:
    """Return every pair of a mask and a detection that touch, and the masks' image groups."""
    here, there = groups(table, detections)
    image_of = np.full(len(detections.images) + 1, -1, np.int64)  # the last is for group -2
    matched = match_images(table.images, detections.images)
    image_of[matched[matched >= 0]] = np.flatnonzero(matched >= 0)
    image = image_of[np.maximum(there, -1)]
    with_mask = has_pixels(detections) & (image >= 0)
    for column in ("height", "width") if len(table.images) else ():
        size = table.images[column].to_numpy()[image]
        with_mask &= detections.masks[column].to_numpy() == size
    drawn = mask_pairs(table, detections, (here, np.where(with_mask, there, -2)))
    boxes = np.where(has_pixels(table)[:, None], table.boxes, np.nan).astype(np.float64)
    boxed = box_pairs(boxes, detection_boxes(detections), (here, np.where(with_mask, -2, there)))
    return (
        Pairs(
            *(
                np.concatenate([getattr(drawn, name), getattr(boxed, name)])
                for name in ("first", "second", "iou", "covered")
            )
        ),
        here,
    )


def _best(n: int, rows: IntArray, values: FloatArray) -> tuple[FloatArray, IntArray]:
    """Return the largest value of each row, 0 where it has none, and where it stands (-1)."""
    best, which = np.zeros(n), np.full(n, -1, np.int64)
    order = np.argsort(values, kind="stable")
    best[rows[order]] = values[order]
    which[rows[order]] = order
    return best, which


def _against(
    table: MaskTable, detections: MaskTable, pairs: Pairs, strength: FloatArray
) -> tuple[FloatArray, IntArray]:
    """Return the best of other categories less the best of the own, and the best of all.

    NaN, and -1 for its detection, where no category is known.
    """
    same, known = _same_category(table, detections, pairs)
    own, _ = _best(len(table), pairs.first[same & known], strength[same & known])
    other, _ = _best(len(table), pairs.first[~same & known], strength[~same & known])
    _, place = _best(len(table), pairs.first[known], strength[known])
    said = np.append(pairs.second[known], -1)[place]
    return np.where(said >= 0, other - own, np.nan), said


def _same_category(
    table: MaskTable, detections: MaskTable, pairs: Pairs
) -> tuple[BoolArray, BoolArray]:
    """Tell for each pair whether the categories are equal, and whether that can be told.

    By name where both have one and one of the two names is used by the other side, too; else by id.
    """
    same, known = np.zeros(len(pairs.first), np.bool_), np.zeros(len(pairs.first), np.bool_)
    for column in ("category_id", "category"):
        if column not in table.masks.columns or column not in detections.masks.columns:
            continue
        mine = table.masks[column].to_numpy(object)[pairs.first]
        theirs = detections.masks[column].to_numpy(object)[pairs.second]
        both = ~(pd.isna(mine) | pd.isna(theirs))
        if column == "category":
            words = detections.masks[column].dropna(), table.masks[column].dropna()
            shared = pd.Series(mine).isin(words[0]) | pd.Series(theirs).isin(words[1])
            both &= shared.to_numpy(np.bool_) | ~known
        same[both] = mine[both] == theirs[both]
        known |= both
    return same, known


def _comparable(table: MaskTable, categories: Collection[int | str] | None) -> BoolArray:
    if categories is None:
        return np.ones(len(table), np.bool_)
    names = [c for c in categories if isinstance(c, str)]
    numbers = [int(c) for c in categories if not isinstance(c, str)]
    comparable = table.masks["category"].isin(names).to_numpy(np.bool_)
    if "category_id" in table.masks.columns:
        comparable = comparable | table.masks["category_id"].isin(numbers).to_numpy(np.bool_)
    return comparable


def list_missing_detections(
    table: MaskTable, *, detections: MaskTable, confidence: float = SURE, iou: float = MATCHING
) -> pd.DataFrame:
    """Find what the detector saw and no mask explains: likely missing masks.

    A detection is explained by the IoU with the best mask, by that of its box with the best stored
    box of an object without a mask, or by the share of it that a crowd region covers; and by the
    IoU with masks together that are parts of it (the slices of a pizza that was seen as one): of
    its category, or of any where that cannot be compared, each with :data:`LEAST_INSIDE` or more
    of its pixels inside. Of a detection without a mask, boxes are compared. Several detections of
    one object (box IoU of ``iou`` or more) count once.

    Args:
        table: Masks of whole images.
        detections: As for :func:`detector`.
        confidence: Least confidence of a detection that is counted.
        iou: Explanation under which it is counted.

    Returns:
        Index ``image_id``; ``missing_detections``, how many there are (NaN where the detector did
        not look at the image), and ``missing_detections_json``: first the counted ones, then
        others that could count under other limits, by confidence x (1 - explained), down to
        :data:`LEAST_LISTED`; at most :data:`MOST_LISTED`. Each with ``bbox`` (XYWH, px), ``score``,
        ``category``, ``category_id``, ``explained``, ``counted`` and ``segmentation`` (of counted
        ones, where the detection has a mask of the image's size).
    """
    pairs, _ = _pairs(table, detections)
    crowd = _crowds(table)[pairs.first]
    explained, _ = _best(len(detections), pairs.second, np.where(crowd, pairs.covered, pairs.iou))
    explained = np.maximum(explained, _explained_by_boxes(table, detections))
    explained = _explained_together(table, detections, pairs[~crowd], explained, iou)
    matched = match_images(table.images, detections.images)
    sure, boxes = confidence_of(detections), detection_boxes(detections)
    doubt = sure * (1 - explained)
    boxed = np.flatnonzero(np.isfinite(boxes).all(axis=1))
    by_image = pd.Series(boxed).groupby(detections.masks["image_id"].to_numpy()[boxed]).indices
    counts, texts = np.full(len(table.images), np.nan), np.full(len(table.images), None, object)
    for k in np.flatnonzero(matched >= 0):
        rows = boxed[by_image.get(detections.images.index[matched[k]], [])]
        candidates = rows[(sure[rows] >= confidence) & (explained[rows] < iou)]
        counted = _once_each(candidates, sure, boxes, iou)
        rest = np.setdiff1d(rows[doubt[rows] >= LEAST_LISTED], counted)
        rest = rest[np.argsort(-doubt[rest], kind="stable")]
        counts[k] = len(counted)
        listed = np.concatenate([counted, rest])[:MOST_LISTED]
        entries = _entries(detections, listed, sure, boxes, explained, len(counted))
        size = tuple(table.images[["height", "width"]].to_numpy()[k].tolist())
        for entry, row in zip(entries, counted.tolist(), strict=False):
            if (mask := _own_mask(detections, row, size)) is not None:
                entry["segmentation"] = mask
        texts[k] = json.dumps(entries, ensure_ascii=False)
    frame = pd.DataFrame({"missing_detections": counts}, index=table.images.index)
    frame["missing_detections_json"] = pd.Series(texts, frame.index, dtype=STRING)
    return frame


def _explained_by_boxes(table: MaskTable, detections: MaskTable) -> FloatArray:
    """Return how well stored boxes of objects without a mask explain each detection's box."""
    stored = np.where(has_pixels(table)[:, None], np.nan, detection_boxes(table))
    pairs = box_pairs(stored, detection_boxes(detections), groups(table, detections))
    crowd = _crowds(table)[pairs.first]
    best, _ = _best(len(detections), pairs.second, np.where(crowd, pairs.covered, pairs.iou))
    return best


def _explained_together(
    table: MaskTable, detections: MaskTable, pairs: Pairs, explained: FloatArray, iou: float
) -> FloatArray:
    """Return how well masks explain each detection, alone or as parts of it together.

    Only where their shares sum up to ``iou`` can the IoU of their union reach it, so few unions
    are made.
    """
    same, known = _same_category(table, detections, pairs)
    # IoU and covered share give the share of the mask that lies inside
    inside = 1 / np.maximum(1 / pairs.iou + 1 - 1 / pairs.covered, 1)
    parts = pairs[(same | ~known) & (inside >= LEAST_INSIDE)]
    most = np.bincount(parts.second, parts.covered, len(detections))
    number = np.bincount(parts.second, minlength=len(detections))
    wanted = (number > 1) & (explained < iou) & (most >= iou)
    parts = parts[wanted[parts.second]]
    order = np.argsort(parts.second, kind="stable")
    first, second = parts.first[order], parts.second[order]
    found, starts = np.unique(second, return_index=True)
    drawn, result = has_pixels(detections), explained.copy()
    boxes = clip_coordinates(table.boxes.astype(np.float64))
    theirs = clip_coordinates(detection_boxes(detections))
    if not len(found):
        return result
    for row, rows in zip(found.tolist(), np.split(first, starts[1:]), strict=True):
        size = table.runs.heights[rows[0]], table.runs.widths[rows[0]]
        own = detections.runs.heights[row], detections.runs.widths[row]
        if drawn[row] and own == size:
            together = float(rle_iou(merge(table.runs[rows]), detections.runs[row : row + 1])[0, 0])
        else:
            together = _iou_of_boxes(boxes[rows], theirs[row])
        result[row] = max(result[row], together)
    return result


def _iou_of_boxes(parts: FloatArray, box: FloatArray) -> float:
    """Return the IoU of a box with the union of others, shapes (n, 4) and (4,), XYWH."""
    every = np.concatenate([parts, box[None]])
    left, top = every[:, 0], every[:, 1]
    right, bottom = left + every[:, 2], top + every[:, 3]
    xs, ys = np.unique([left, right]), np.unique([top, bottom])
    cells = (
        (left[:, None, None] <= xs[:-1]) & (xs[1:] <= right[:, None, None])
        & (top[:, None, None] <= ys[:-1, None]) & (ys[1:, None] <= bottom[:, None, None])
    )  # fmt: skip
    area = np.diff(ys)[:, None] * np.diff(xs)
    union = cells[:-1].any(axis=0)
    return float(area[union & cells[-1]].sum() / area[union | cells[-1]].sum())


def _once_each(rows: IntArray, sure: FloatArray, boxes: FloatArray, iou: float) -> IntArray:
    """Keep the surest detection of each object, by descending confidence."""
    rows = rows[np.argsort(-sure[rows], kind="stable")]
    if len(rows) < 2:
        return rows
    same = np.zeros(len(rows), np.int64)
    pairs = box_pairs(boxes[rows], boxes[rows], (same, same))
    twins = pairs[(pairs.iou >= iou) & (pairs.first < pairs.second)]
    kept = np.ones(len(rows), np.bool_)
    for first, second in sorted(zip(twins.first.tolist(), twins.second.tolist(), strict=True)):
        if kept[first]:
            kept[second] = False
    return rows[kept]


def _own_mask(detections: MaskTable, row: int, size: tuple[int, ...]) -> str | None:
    """Return a detection's mask as compressed counts; None where it has none of a size."""
    one = detections.masks.iloc[row]
    if not one["area_px"] > 0 or (one["height"], one["width"]) != size:
        return None
    return bytes(one["segmentation"]).decode("ascii")


class UnexplainedBox(TypedDict):
    """A detection (XYWH in pixels) and the share of it that masks explain, in [0, 1];
    ``counted``: it counts as a missing mask; ``seen_by``: detector, verifier or both."""

    bbox: list[float]
    score: float
    category: str | None
    category_id: int | None
    explained: float
    counted: bool
    segmentation: NotRequired[str]
    seen_by: NotRequired[str]


def _entries(
    detections: MaskTable,
    rows: IntArray,
    sure: FloatArray,
    boxes: FloatArray,
    explained: FloatArray,
    counted: int,
) -> list[UnexplainedBox]:
    """List detections, the first ``counted`` of which count as missing masks."""
    part = detections.masks.iloc[rows]
    ids = part["category_id"] if "category_id" in part.columns else [None] * len(part)
    return [
        {
            "bbox": [round(float(v), 1) for v in boxes[row]],
            "score": round(float(sure[row]), 4),
            "category": name if isinstance(name, str) else None,
            "category_id": None if pd.isna(number) else int(number),
            "explained": round(float(explained[row]), 4),
            "counted": place < counted,
        }
        for place, (row, name, number) in enumerate(zip(rows, part["category"], ids, strict=True))
    ]


SCORERS = (
    Scorer(
        name="detector",
        function=detector,
        columns=(
            Column(
                "detector_score",
                "Detector confirmation",
                low_means="no detection lies well on it, or only an unsure one",
                states="a detector confirms it less than is usual "
                "(confidence {detector_confidence:.2f}, IoU {detector_iou:.2f})",
                states_at_zero="no detection touches it",
                evidence="contradiction",
            ),
            Column(
                "detector_category_score",
                "Detector's category",
                low_means="a detector says that it is something else",
                states="the detector says “{detector_category}” "
                "(confidence {detector_category_confidence:.2f})",
            ),
            Column(
                "detector_confidence",
                "Detector's confidence",
                "measure",
                "share",
                "how sure the detector is of the object that confirms it best",
            ),
            Column(
                "detector_iou",
                "IoU with detection",
                "measure",
                "share",
                "how well that object lies on it",
            ),
            Column(
                "detector_category",
                "Detector's name for it",
                "word",
                "",
                "what the detector says it is",
            ),
            Column(
                "detector_category_confidence",
                "Confidence of that name",
                "measure",
                "share",
                "how sure the detector is of what it says it is",
            ),
        ),
        question="does a detector see an object there?",
        needs=("detections",),
    ),
    Scorer(
        name="missing_detections",
        function=list_missing_detections,
        columns=(
            Column(
                "missing_detections",
                "Missing (detector)",
                "measure",
                "",
                "how many sure detections no mask explains",
            ),
            Column("missing_detections_json", "Missing, listed", "word", "", "these detections"),
        ),
        question="what does a detector see that has no mask?",
        needs=("detections",),
        level="image",
    ),
)
