"""Class-agnostic average precision of boxes, as COCO defines it."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from curate.common.arrays import FloatArray
from curate.networks.detectors.detections import Detections


@dataclass(frozen=True)
class BoxPrecision:
    """Average precision in [0, 1], NaN where there is nothing to find.

    Attributes:
        ap: Mean over the IoU thresholds 0.50, 0.55, ... 0.95.
        ap50: At IoU 0.5.
        ap75: At IoU 0.75.
    """

    ap: float
    ap50: float
    ap75: float


def average_precision(truth: Sequence[FloatArray], found: Sequence[Detections]) -> BoxPrecision:
    """Return the average precision of detections, computed by pycocotools.

    COCO's definition, but for objects of any size in one, and without its bound of 100 detections
    an image, which pictures full of small objects would pass.

    Args:
        truth: For each image its boxes, shape (n, 4), XYWH.
        found: Detections in the same images.
    """
    n = len(truth)
    if not sum(len(boxes) for boxes in truth):
        return BoxPrecision(np.nan, np.nan, np.nan)
    with contextlib.redirect_stdout(io.StringIO()):  # it prints what it does
        sides = []
        for rows in (
            _coco_rows([(k, box, 1.0) for k in range(n) for box in truth[k]]),
            _coco_rows(
                [
                    (k, b, s)
                    for k in range(n)
                    for b, s in zip(*_boxes_and_scores(found[k]), strict=True)
                ]
            ),
        ):
            side = COCO()
            images = [{"id": k} for k in range(n)]
            side.dataset = {"images": images, "annotations": rows, "categories": [{"id": 1}]}
            side.createIndex()
            sides.append(side)
        run = COCOeval(*sides, "bbox")
        run.params.areaRng, run.params.areaRngLbl = [[0, 1e10]], ["all"]
        run.params.maxDets = [max(1, *(len(seen) for seen in found))]
        run.evaluate()
        run.accumulate()
    at = run.eval["precision"][:, :, 0, 0, 0].mean(axis=1)  # thresholds 0.50, 0.55, ...
    return BoxPrecision(float(at.mean()), float(at[0]), float(at[5]))


def _boxes_and_scores(seen: Detections) -> tuple[FloatArray, FloatArray]:
    return seen.boxes, seen.scores


def _coco_rows(given: Sequence[tuple[int, FloatArray, float]]) -> list[dict[str, object]]:
    return [
        {
            "id": k + 1,
            "image_id": image,
            "category_id": 1,
            "bbox": [float(v) for v in box],
            "area": float(box[2] * box[3]),
            "iscrowd": 0,
            "score": float(score),
        }
        for k, (image, box, score) in enumerate(given)
    ]
