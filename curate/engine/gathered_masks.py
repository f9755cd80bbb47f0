"""Masks of several COCO files on an engine's images, as one."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from curate.engine.coco_writing import MASK_COLUMNS, no_masks
from curate.formats.reading import read


def gather_masks(paths: Sequence[Path], images: pd.DataFrame) -> pd.DataFrame:
    """Return the masks with pixels of all files, in the order of the images.

    Args:
        paths: COCO files on the engine's pictures; those that are not there hold nothing.
        images: ``images.parquet``.

    Returns:
        A row a mask, with :data:`curate.engine.coco_writing.MASK_COLUMNS`; SAM's scores are NaN.
    """
    ids = images.set_index("file_name")["image_id"]
    parts = []
    for path in paths:
        if path.is_file():
            table = read(path, "coco")
            masks = table.masks[table.masks["area_px"] > 0]
            if len(masks):
                named = masks["image_id"].map(table.images["file_name"]).map(ids)
                scores = dict.fromkeys(("predicted_iou", "stability_score"), np.nan)
                masks = masks.assign(image_id=named.astype("int64"), **scores)
                parts.append(masks[list(MASK_COLUMNS)])
    if not parts:
        return no_masks()
    found = pd.concat(parts, ignore_index=True)
    return found.sort_values("image_id", kind="stable", ignore_index=True)
