"""Other projects' converters from masks to polygons, run in an environment of their own.

    .venv-tools/bin/python reports/polygons/peers.py MASKS.json POLYGONS.json

Reads ``{"masks": [COCO run lengths], "rings": {name: [rings of each mask or null]}}`` and writes,
by converter and by each of these names, the rings of every mask, the seconds that they took, and
the IoU with the mask when OpenCV draws them. Nothing of curate is imported.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import supervision
from datumaro.util.mask_tools import mask_to_polygons
from pycocotools import mask as coco_mask
from skimage import measure

Rings = list[list[float]]


def by_supervision(mask: Any) -> Rings:
    """Return the polygons of supervision, as its COCO export asks for them."""
    found = supervision.mask_to_polygons(mask)
    return [ring.astype(float).ravel().tolist() for ring in found]


def by_datumaro(mask: Any) -> Rings:
    """Return the polygons of datumaro, leaving out none for its size."""
    return [list(map(float, ring)) for ring in mask_to_polygons(mask.astype(np.uint8), 0)]


def by_contours(mask: Any) -> Rings:
    """Return OpenCV's contours through the pixels' centres, all points of them.

    So do the converters with OpenCV that stand in tutorials.
    """
    found, _ = cv2.findContours(mask.astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    return [ring.astype(float).ravel().tolist() for ring in found if len(ring) >= 3]


def by_contours_and_half(mask: Any) -> Rings:
    """Return OpenCV's contours moved by half a pixel, as Detectron2 makes polygons of masks."""
    found, _ = cv2.findContours(mask.astype(np.uint8), cv2.RETR_CCOMP, cv2.CHAIN_APPROX_NONE)
    return [(ring.astype(float) + 0.5).ravel().tolist() for ring in found if len(ring) >= 3]


def by_level_lines(mask: Any) -> Rings:
    """Return scikit-image's contours at 0.5 of the padded mask, tolerance 0.

    So pycococreator does, whose own tolerance of 2 pixels loses more.
    """
    found = measure.find_contours(np.pad(mask.astype(np.uint8), 1), 0.5)
    rings = [np.flip(ring - 1, axis=1) for ring in found]
    return [ring.ravel().tolist() for ring in rings if len(ring) >= 3]


CONVERTERS: dict[str, Callable[[Any], Rings]] = {
    "supervision": by_supervision,
    "datumaro": by_datumaro,
    "OpenCV contours": by_contours,
    "OpenCV contours + 0.5 (Detectron2)": by_contours_and_half,
    "scikit-image contours (pycococreator)": by_level_lines,
}


def iou_by_opencv(mask: Any, rings: Rings | None) -> float:
    """Return the IoU of a mask with its rings as ``fillPoly`` draws them, for whole pixels.

    So trainers draw them that use OpenCV, Ultralytics among them.
    """
    drawn = np.zeros(mask.shape, np.uint8)
    for ring in rings or []:
        cv2.fillPoly(drawn, [np.array(ring, np.float64).reshape(-1, 2).astype(np.int32)], 1)
    inside = drawn.astype(bool)
    return float((inside & mask).sum() / (inside | mask).sum())


def main(given: Path, out: Path) -> None:
    """Convert all masks by every converter, and draw all rings."""
    content = json.loads(given.read_text())
    masks = [coco_mask.decode(record).astype(bool) for record in content["masks"]]
    made = {name: {"rings": rings, "seconds": 0.0} for name, rings in content["rings"].items()}
    for name, convert in CONVERTERS.items():
        start = time.perf_counter()
        rings = [convert(mask) for mask in masks]
        made[name] = {"rings": rings, "seconds": time.perf_counter() - start}
    for one in made.values():
        pairs = zip(masks, one["rings"], strict=True)
        one["opencv_iou"] = [iou_by_opencv(mask, rings) for mask, rings in pairs]
    out.write_text(json.dumps(made))


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
