"""Objects without a mask, as a verifier's networks see them, and as detectors and they do."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import pandas as pd

from curate.common.arrays import FloatArray, IntArray
from curate.dataset.table import STRING, MaskTable
from curate.errors import CurateError
from curate.images import ImageFolder
from curate.networks.verifiers.unmasked_objects import UnmaskedObjects
from curate.networks.verifiers.verifier import MaskJudge
from curate.rle import bbox, encode_counts
from curate.scorers.counterparts import box_pairs
from curate.scorers.detector import MATCHING, SURE, UnexplainedBox
from curate.scorers.scorer import Column, Scorer, rows_by_image

COUNTED = 0.3
"""Probability of a proposed mask from which on it counts as a missing one."""

SAME_BOX = 0.5
"""IoU of boxes from which on a detection and a proposed mask are of one object."""

DETECTOR, VERIFIER, BOTH = "detector", "verifier", "both"
"""Who saw an object without a mask."""

_DIGITS = 6


def unmasked_objects(table: MaskTable, *, images: ImageFolder, verifier: MaskJudge) -> pd.DataFrame:
    """Ask a verifier for objects that an image's masks do not explain: likely missing masks.

    Own definition: networks that were trained on the dataset's own images, from which masks had
    been left out at random, to draw what was left out (``curate train-verifier``). An image is
    looked at by the network that was not trained on it, and by the mean of all where none was.

    Args:
        table: Masks of whole images; rows in any order.
        images: Where the pictures are.
        verifier: The model.

    Returns:
        Index ``image_id``; NaN or NA without a picture of the masks' size, and where the model was
        no better than chance on held-out images:

        - ``exhaustive_score`` in [0, 1]: 1 - P(the image has an unmasked object), where whole
          images and ones with one mask dropped are equally many; no share of incomplete images;
        - ``unmasked_objects``: how many proposed masks have a probability of :data:`COUNTED` or
          more;
        - ``unmasked_objects_json``: all proposed masks, the surest first, each with ``bbox`` (XYWH,
          px), ``score`` (the probability), ``category`` (of a dataset with one category, else
          null), ``explained`` (0: none shares a pixel with a mask), ``counted`` and
          ``segmentation``.
    """
    places = {image_id: k for k, image_id in enumerate(table.images.index)}
    rows_of: dict[int, IntArray] = dict(rows_by_image(table))
    ids = table.masks.index.to_numpy()
    scores, counts = np.full((2, len(table.images)), np.nan)
    texts = np.full(len(table.images), None, object)
    sizes = table.images[["height", "width"]].to_numpy()
    names = table.images["file_name"].to_numpy(object)
    for image_id, k in places.items():
        rows = rows_of.get(image_id, np.zeros(0, np.int64))
        runs = table.runs[rows[np.argsort(ids[rows], kind="stable")]]
        size = (runs.heights[0], runs.widths[0]) if len(runs) else sizes[k]
        height, width = int(size[0]), int(size[1])
        known = (height, width) if min(height, width) > 0 else None
        picture = images.load(names[k], known)
        if picture is None:
            continue
        try:
            found = verifier.find_unmasked(picture, runs)
        except CurateError as error:
            error.add_note(f"while looking for missing masks on {names[k]}")
            raise
        if found is None:
            continue
        scores[k] = round(1 - found.any_probability, _DIGITS)
        entries = list_proposed(found)
        counts[k] = sum(one["counted"] for one in entries)
        texts[k] = json.dumps(entries, ensure_ascii=False)
    frame = pd.DataFrame(
        {"exhaustive_score": scores, "unmasked_objects": counts}, index=table.images.index
    )
    frame["unmasked_objects_json"] = pd.Series(texts, frame.index, dtype=STRING)
    return frame


def list_proposed(found: UnmaskedObjects) -> list[UnexplainedBox]:
    """List proposed masks as detections that no mask explains are listed."""
    drawn = encode_counts(found.runs).to_pylist()
    return [
        {
            "bbox": [float(side) for side in box],
            "score": round(float(sure), 4),
            "category": found.category,
            "category_id": None,
            "explained": 0.0,
            "counted": bool(sure >= COUNTED),
            "segmentation": bytes(counts).decode("ascii"),
            "seen_by": VERIFIER,
        }
        for box, sure, counts in zip(
            bbox(found.runs).tolist() if len(found.runs) else [],
            found.probability.tolist(),
            drawn,
            strict=True,
        )
    ]


def join_missing(images: pd.DataFrame) -> pd.DataFrame:
    """List a verifier's proposed masks among the detections that no mask explains.

    A detection and a proposed mask in one place (box IoU of :data:`SAME_BOX` or more) are one
    entry: the detection's box and category, the proposed mask where the detection has none, and
    the probability that not both are wrong. It counts where one of them counts, unless a sure
    detection (:data:`curate.scorers.detector.SURE`) is matched by masks, alone or together: they
    explain what the verifier sees in its place, too.

    An image's ``exhaustive_score`` then is the verifier's times 1 - the largest confidence x
    (1 - explained) of its detections: on COCO images with dropped masks that order of images is far
    better than the verifier's own. Where only one of both looked at an image it is that one's.

    Args:
        images: Columns of the scorers of images; those of the detector or the verifier may lack.

    Returns:
        The same columns, with ``missing_detections``, ``missing_detections_json`` and
        ``exhaustive_score`` of both where there are the verifier's. ``seen_by`` of an entry says
        who saw it.
    """
    if "unmasked_objects_json" not in images:
        return images
    known = "missing_detections_json" in images
    texts = images["missing_detections_json"] if known else [None] * len(images)
    counts = np.full(len(images), np.nan)
    joined = np.full(len(images), None, object)
    whole = images["exhaustive_score"].to_numpy(np.float64, copy=True)
    for k, (text, own) in enumerate(zip(texts, images["unmasked_objects_json"], strict=True)):
        lists = [json.loads(one) if isinstance(one, str) else None for one in (text, own)]
        if lists == [None, None]:
            continue
        merged = merge_entries(lists[0] or [], lists[1] or [])
        counts[k] = sum(one["counted"] for one in merged)
        if lists[0] is not None:
            doubts = [one["score"] * (1 - one["explained"]) for one in lists[0]]
            alone = 1.0 if np.isnan(whole[k]) else whole[k]
            whole[k] = round(alone * (1 - max(doubts, default=0.0)), _DIGITS)
        joined[k] = json.dumps(merged, ensure_ascii=False)
    return images.assign(
        exhaustive_score=whole,
        missing_detections=counts,
        missing_detections_json=pd.Series(joined, images.index, dtype=STRING),
    )


def merge_entries(
    detections: Iterable[UnexplainedBox], proposed: list[UnexplainedBox]
) -> list[UnexplainedBox]:
    """Return entries of both lists: counted ones first, each by how sure they are."""
    result: list[UnexplainedBox] = [{"seen_by": DETECTOR, **one} for one in detections]
    proposed = [{"seen_by": VERIFIER, **one} for one in proposed]
    left = np.ones(len(proposed), np.bool_)
    pairs = box_pairs(
        _boxes(result), _boxes(proposed), (np.zeros(len(result), int), np.zeros(len(left), int))
    )
    taken: set[int] = set()
    for k in np.argsort(-pairs.iou, kind="stable").tolist():
        first, second = int(pairs.first[k]), int(pairs.second[k])
        if pairs.iou[k] < SAME_BOX or first in taken or not left[second]:
            continue
        taken.add(first)
        left[second] = False
        _joinlist_proposed(result[first], proposed[second])
    result += [one for one, still in zip(proposed, left.tolist(), strict=True) if still]
    return sorted(result, key=lambda one: (not one["counted"], -one["score"]))


def _joinlist_proposed(detection: UnexplainedBox, proposed: UnexplainedBox) -> None:
    """Give a detection what a proposed mask of the same object adds."""
    explained = detection["score"] >= SURE and detection["explained"] >= MATCHING
    detection["counted"] = detection["counted"] or (proposed["counted"] and not explained)
    detection["score"] = round(1 - (1 - detection["score"]) * (1 - proposed["score"]), 4)
    detection["seen_by"] = BOTH
    if "segmentation" not in detection and "segmentation" in proposed:
        detection["segmentation"] = proposed["segmentation"]
    if detection["category"] is None and detection["category_id"] is None:
        detection["category"] = proposed["category"]


def _boxes(entries: Iterable[Mapping[str, Any]]) -> FloatArray:
    """Return the boxes of entries, shape (n, 4), XYWH."""
    return np.array([one["bbox"] for one in entries], np.float64).reshape(-1, 4)


SCORERS = (
    Scorer(
        name="unmasked_objects",
        function=unmasked_objects,
        columns=(
            Column(
                "exhaustive_score",
                "All objects have masks",
                low_means="an object of the image has probably no mask",
            ),
            Column(
                "unmasked_objects",
                "Missing (verifier)",
                "measure",
                "",
                "how many objects a verifier sees that have no mask",
            ),
            Column(
                "unmasked_objects_json", "Missing, drawn", "word", "", "these objects, with masks"
            ),
        ),
        question="does a network see objects in it that have no mask?",
        needs=("images", "verifier"),
        level="image",
    ),
)
