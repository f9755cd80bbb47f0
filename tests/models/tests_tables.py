"""A table with a square on every image."""

from __future__ import annotations

import numpy as np
import pandas as pd
from pycocotools import mask as coco

from curate.dataset.table import MaskTable, finish


def squares_table(sizes: tuple[tuple[int, int], ...]) -> MaskTable:
    """Return one mask, 20 px wide and high at (5, 10), on an image of each size."""
    counts = []
    for height, width in sizes:
        mask = np.zeros((height, width), np.uint8, order="F")
        mask[10:30, 5:25] = 1
        counts.append(coco.encode(mask)["counts"])
    heights, widths = zip(*sizes, strict=True)
    names = [f"{k}.png" for k in range(len(sizes))]
    masks = pd.DataFrame(
        {
            "source_key": names,
            "image_id": range(len(sizes)),
            "category": "cat",
            "height": heights,
            "width": widths,
            "segmentation": counts,
        }
    )
    return finish(masks, pd.DataFrame({"file_name": names, "height": heights, "width": widths}))
