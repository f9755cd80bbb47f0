"""Images of another name that hold the same masks."""

from __future__ import annotations

import numpy as np
import pandas as pd

from curate.common.arrays import IntArray
from curate.dataset.pairing import Rows, areas_of
from curate.dataset.snapshot import Snapshot


def pair_renamed_images(a: Snapshot, b: Snapshot, paired: Rows) -> Rows:
    """Find images that only one dataset has by name, and that hold the same masks in both.

    They have one size and equal pixels in every mask, and no other such image has them. Masks
    that cover a whole image say nothing of it.

    Args:
        a: One dataset.
        b: The other.
        paired: The images that both have, as :func:`curate.dataset.pairing.pair_images` finds them.

    Returns:
        Positions in A's images and in B's.
    """
    left = [_signatures(one, rows) for one, rows in zip((a, b), paired, strict=True)]
    unique = [one[~one["masks"].duplicated(keep=False)] for one in left]
    found = unique[0].merge(unique[1], on="masks", suffixes=("_a", "_b"))
    return found["image_a"].to_numpy(np.int64), found["image_b"].to_numpy(np.int64)


def _signatures(one: Snapshot, paired: IntArray) -> pd.DataFrame:
    """Return ``image``, a position, and ``masks``, which tells its masks and its size."""
    left = np.ones(len(one.images) + 1, np.bool_)
    left[paired] = False
    left[-1] = False  # a mask of no image
    image = one.images.index.get_indexer(pd.Index(one.masks["image_id"]))
    rows = np.flatnonzero(left[image] & one.masks["segmentation"].notna().to_numpy())
    digest = one.masks["digest"].to_numpy(np.int64)
    rows = rows[np.lexsort((digest[rows], image[rows]))]
    sizes = one.masks[["height", "width"]].to_numpy(np.int64)[rows]
    telling = areas_of(one, rows) < sizes.prod(axis=1)
    told = np.column_stack([digest[rows], sizes])
    found, names = [], []
    stops = np.flatnonzero(np.diff(image[rows])) + 1
    for some in np.split(np.arange(len(rows)), stops) if len(rows) else []:
        if telling[some].any():
            found.append(int(image[rows[some[0]]]))
            names.append(told[some].tobytes())
    return pd.DataFrame({"image": np.array(found, np.int64), "masks": np.array(names, object)})
