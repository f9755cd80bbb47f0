"""What cleanlab's ObjectLab says of masks by their boxes; it is installed apart, or left out."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from curate.common.arrays import FloatArray

SURE = 0.5
"""From where on a detection counts as sure; ObjectLab's own 0.95 is more than any here has."""


def available() -> bool:
    """Return whether cleanlab is installed."""
    return importlib.util.find_spec("cleanlab") is not None


def _corners(box: list[float]) -> list[float]:
    x, y, w, h = box
    return [x, y, x + w, y + h]


def _predictions(detections: list[dict[str, Any]], classes: list[int]) -> npt.NDArray[Any]:
    found = np.empty(len(classes), object)
    for k, number in enumerate(classes):
        rows = [
            [*_corners(d["bbox"]), d["score"]] for d in detections if d["category_id"] == number
        ]
        found[k] = np.array(rows, np.float32).reshape(-1, 5)
    return found


class ObjectLab:
    """Scores of one set: by annotation id, and by detection.

    Args:
        document: A COCO document.
        detections: A COCO results file.
    """

    def __init__(self, document: dict[str, Any], detections: Path) -> None:
        from cleanlab.object_detection import rank

        classes = sorted(c["id"] for c in document["categories"])
        by_image: dict[int, list[dict[str, Any]]] = {i["id"]: [] for i in document["images"]}
        annotations: dict[int, list[dict[str, Any]]] = {i: [] for i in by_image}
        for detection in json.loads(detections.read_text()):
            by_image[detection["image_id"]].append(detection)
        for annotation in document["annotations"]:
            if not annotation["iscrowd"]:
                annotations[annotation["image_id"]].append(annotation)
        labels = [
            {
                "bboxes": np.array([_corners(a["bbox"]) for a in rows], float).reshape(-1, 4),
                "labels": np.array([classes.index(a["category_id"]) for a in rows], int),
            }
            for rows in annotations.values()
        ]
        predictions = [_predictions(rows, classes) for rows in by_image.values()]
        given: dict[str, Any] = {"labels": labels, "predictions": predictions}
        ids = [a["id"] for rows in annotations.values() for a in rows]
        self.misplaced = _series(ids, rank.compute_badloc_box_scores(**given))
        given["high_probability_threshold"] = SURE
        self.swapped = _series(ids, rank.compute_swap_box_scores(**given))
        images = rank.get_label_quality_scores(
            **{k: given[k] for k in ("labels", "predictions")}, verbose=False
        )
        self.images = pd.Series(images, list(annotations))
        overlooked = rank.compute_overlooked_box_scores(**given)
        self.overlooked = [
            {**detection, "suspicion": -score}
            for rows, scores in zip(by_image.values(), overlooked, strict=True)
            for detection, score in zip(_sorted(rows, classes), scores, strict=True)
            if np.isfinite(score)
        ]

    def suspicion(self, frame: pd.DataFrame) -> dict[str, FloatArray]:
        """Return its orders of the masks of a frame; higher is sooner."""
        place = self.misplaced.reindex(frame.index).to_numpy()
        swap = self.swapped.reindex(frame.index).to_numpy()
        return {
            "ObjectLab: misplaced": -place,
            "ObjectLab: swapped": -swap,
            "ObjectLab: lower of both": -np.minimum(place, swap),
        }


def _sorted(rows: list[dict[str, Any]], classes: list[int]) -> list[dict[str, Any]]:
    """Return an image's detections class by class, as they were handed over."""
    return [d for number in classes for d in rows if d["category_id"] == number]


def _series(ids: list[int], scores: list[npt.NDArray[Any]]) -> pd.Series:
    return pd.Series(np.concatenate(scores).astype(float), ids)
