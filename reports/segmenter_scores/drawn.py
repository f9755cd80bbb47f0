"""Masks that a segmenter draws for nuclei, asked well and badly, and how good each truly is."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from nuclei import dense
from PIL import Image

from curate import rle
from curate.common.arrays import FloatArray
from curate.networks.segmenters.prompting import pairwise_iou
from curate.networks.segmenters.segmenter import Embedding, Prompts, Segmenter
from curate.networks.segmenters.training_prompts import jitter_boxes, sample_points
from curate.rle.logits import ThresholdedMasks, concat_drawn, draw

WAYS = ("a point", "a box", "a loose box")
JITTER = {"a box": 0.05, "a loose box": 0.3}
NUCLEUS = [{"id": 1, "name": "nucleus"}]


@dataclass(frozen=True)
class DrawnSet:
    """A dataset of masks that a segmenter drew.

    Attributes:
        document: COCO, with ``predicted_iou`` and ``stability_score`` as a generator stores them.
        true_iou: By annotation id: IoU with the nucleus that was asked for.
        way: By annotation id: how it was asked for.
    """

    document: dict[str, Any]
    true_iou: dict[int, float]
    way: dict[int, str]


def draw_set(segmenter: Segmenter, document: dict[str, Any], folder: Path, seed: int) -> DrawnSet:
    """Ask a segmenter for each nucleus once, in one of three ways at random.

    Args:
        segmenter: The model.
        document: COCO, the nuclei as they truly are.
        folder: Of the pictures.
        seed: Of the ways, the points and the noise of boxes.
    """
    random = np.random.default_rng(seed)
    by_image: dict[int, list[dict[str, Any]]] = {}
    for annotation in document["annotations"]:
        by_image.setdefault(annotation["image_id"], []).append(annotation)
    made = DrawnSet(
        {"images": document["images"], "annotations": [], "categories": NUCLEUS}, {}, {}
    )
    for image in document["images"]:
        nuclei = by_image.get(image["id"], [])
        masks = [dense(a, image["height"], image["width"]) for a in nuclei]
        pixels = np.asarray(Image.open(folder / image["file_name"]).convert("RGB"))
        embedding = segmenter.embed([pixels])[0]
        ways = random.integers(len(WAYS), size=len(nuclei))
        for number, way in enumerate(WAYS):
            these = np.flatnonzero(ways == number)
            if len(these):
                truth = np.stack([masks[k] for k in these])
                drawn, predicted = _ask(segmenter, embedding, truth, way, random)
                _add(made, [nuclei[k] for k in these], truth, way, drawn, predicted)
    return made


def _add(
    made: DrawnSet,
    nuclei: list[dict[str, Any]],
    truth: npt.NDArray[np.bool_],
    way: str,
    drawn: ThresholdedMasks,
    predicted: FloatArray,
) -> None:
    """Put what was drawn for some nuclei into the set; a generator stores no empty mask."""
    ious = pairwise_iou(rle.concat([rle.from_dense(mask) for mask in truth]), drawn.runs)
    counts = [c.decode("ascii") for c in rle.encode_counts(drawn.runs).to_pylist()]
    for k in np.flatnonzero(drawn.area):
        number = nuclei[k]["id"]
        made.true_iou[number], made.way[number] = float(ious[k]), way
        made.document["annotations"].append(
            {
                "id": number,
                "image_id": nuclei[k]["image_id"],
                "category_id": 1,
                "segmentation": {"size": list(truth.shape[1:]), "counts": counts[k]},
                "predicted_iou": float(predicted[k]),
                "stability_score": float(drawn.stability[k]),
                "iscrowd": 0,
            }
        )


def _ask(
    segmenter: Segmenter,
    embedding: Embedding,
    truth: npt.NDArray[np.bool_],
    way: str,
    random: np.random.Generator,
) -> tuple[ThresholdedMasks, FloatArray]:
    """Return what is drawn for each nucleus: of three masks the one the model itself prefers."""
    parts, predicted = [], []
    taps = embedding.frame.taps(segmenter.low_side)
    for start in range(0, len(truth), 64):
        some = truth[start : start + 64]
        if way == "a point":
            points = sample_points(some, random)[:, None]
            prompts = Prompts(points, np.ones(points.shape[:2], np.int8))
        else:
            prompts = Prompts(boxes=jitter_boxes(some, random, JITTER[way]))
        answer = segmenter.segment(embedding, prompts, multimask=way == "a point")
        best = answer.predicted_iou.argmax(axis=1)
        each = np.arange(len(best))
        parts.append(draw(answer.logits[each, best], taps))
        predicted.append(answer.predicted_iou[each, best])
    return concat_drawn(parts), np.concatenate(predicted).astype(np.float64)
