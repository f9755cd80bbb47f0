"""COCO documents of the engine: proposals, and masks that were there before."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from curate import rle
from curate.dataset.table import plain
from curate.rle import decode_counts
from curate.store.audit_files import write_json

MASK_COLUMNS = ("image_id", "segmentation", "category", "predicted_iou", "stability_score")
"""Columns of masks to write: the engine's image, COCO compressed counts, the class (None where it
has none), and SAM's two scores (NaN where there are none)."""


@dataclass(frozen=True)
class ListedImage:
    """An image of the engine.

    Attributes:
        image_id: Its number, from 1.
        file_name: Its path under the folder of pictures, with ``/``.
        height: In pixels, as displayed.
        width: In pixels, as displayed.
    """

    image_id: int
    file_name: str
    height: int
    width: int


def write_coco(
    path: Path,
    images: Sequence[ListedImage],
    masks: pd.DataFrame,
    classes: Sequence[str],
    first_id: int = 1,
) -> None:
    """Write images and masks as COCO instances, whole or not at all.

    Args:
        path: The file.
        images: All images, also those without masks.
        masks: :data:`MASK_COLUMNS`, masks of these images.
        classes: Names of the categories, numbered from 1. A mask of another class gets none.
        first_id: The id of the first mask.
    """
    number = {name: k for k, name in enumerate(classes, 1)}
    sizes = {one.image_id: (one.height, one.width) for one in images}
    ids = masks["image_id"].tolist()
    counts = [bytes(one) for one in masks["segmentation"]]
    heights, widths = (np.array([sizes[k][side] for k in ids], np.int64) for side in (0, 1))
    areas, boxes = rle.measure(decode_counts(counts, heights, widths)[0])
    annotations = []
    rows = zip(ids, counts, plain(masks["category"]), areas.tolist(), boxes.tolist(), strict=True)
    for k, (image_id, packed, category, area, box) in enumerate(rows):
        one: dict[str, object] = {"id": first_id + k, "image_id": image_id}
        if category in number:
            one["category_id"] = number[category]
        size = list(sizes[image_id])
        one |= {"segmentation": {"size": size, "counts": packed.decode("ascii")}}
        annotations.append(one | {"area": area, "bbox": box, "iscrowd": 0})
    for name in ("predicted_iou", "stability_score"):
        for one, value in zip(annotations, plain(masks[name]), strict=True):
            if value is not None:
                one[name] = value
    document = {
        "images": [
            {"id": one.image_id, "file_name": one.file_name}
            | {"height": one.height, "width": one.width}
            for one in images
        ],
        "annotations": annotations,
        "categories": [{"id": k, "name": name} for name, k in number.items()],
    }
    write_json(path, document)


def no_masks() -> pd.DataFrame:
    """Return a frame of no mask, with :data:`MASK_COLUMNS`."""
    frame = pd.DataFrame({name: [] for name in MASK_COLUMNS})
    types = {"image_id": "int64", "predicted_iou": "float64", "stability_score": "float64"}
    return frame.astype(types)
