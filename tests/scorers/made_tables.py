"""Tables made of drawn masks, for the tests of scorers that look at several sources."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from curate import rle
from curate.dataset.table import MaskTable, finish


def table_of(
    masks: Sequence[Any],
    *,
    keys: Sequence[str] | None = None,
    names: dict[int, str] | None = None,
    images: Sequence[int] | None = None,
    first_id: int = 100,
    **columns: Any,
) -> MaskTable:
    """Make a table: ``masks`` 2-D arrays, ``images`` their image ids, ``names`` by image id."""
    masks = [np.asarray(m) for m in masks]
    runs = rle.concat([rle.from_dense(m) for m in masks])
    image_ids = images or [1] * len(masks)
    name_of = {i: f"{i}.png" for i in set(image_ids)} if names is None else names
    frame = pd.DataFrame(
        {
            "source_key": keys or [f"a.json#/annotations/{k}" for k in range(len(masks))],
            "image_id": image_ids,
            "file_name": [name_of.get(i) for i in image_ids],
            "height": [m.shape[0] for m in masks],
            "width": [m.shape[1] for m in masks],
            "segmentation": rle.encode_counts(runs).to_pylist(),
            **columns,
        },
        index=pd.Index(range(first_id, first_id + len(masks)), name="mask_id"),
    )
    pictures = frame.drop_duplicates("image_id")[["image_id", "file_name", "height", "width"]]
    return finish(frame, pictures.set_index("image_id"))


def disc(x: float, y: float, radius: float, height: int = 100, width: int = 120) -> np.ndarray:
    """Draw a disc."""
    yy, xx = np.mgrid[:height, :width]
    return np.asarray(np.hypot(yy - y, xx - x) < radius)
