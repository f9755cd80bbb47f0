"""Candidates of a generation: the proposals, and the other masks that their points drew."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa

from curate.engine.coco_writing import MASK_COLUMNS, ListedImage, no_masks
from curate.networks.generation.generation_folder import (
    part_path,
    read_candidates,
    read_pictures,
)
from curate.rle import area, decode_counts, encode_counts
from curate.rle.cleaning import clean

CANDIDATE_COLUMNS = (*MASK_COLUMNS, "proposal", "slot")

USABLE = ("kept", "twin_in_crop", "twin_across_crops", "twin_when_clean")
"""Reasons of candidates that pass all cuts, whether or not another one is the same object."""


def read_candidate_masks(
    generated: Path, images: Sequence[ListedImage], min_region_px: int
) -> pd.DataFrame:
    """Read the proposals of a generation, each with the other masks of its point.

    Those that pass all cuts are read, also where they are the same object as another one.

    Args:
        generated: The directory of a finished generation.
        images: The images that are wanted.
        min_region_px: Holes and islands under this area are filled and removed, as the generation
            did with the proposals.

    Returns:
        :data:`curate.engine.coco_writing.MASK_COLUMNS` (no category), ``proposal`` (its number from
        0 on, in the order of the images) and ``slot``: 0 for the proposal itself, from 1 on for the
        other masks of its point.

    Raises:
        SourceError: A file of the generation is damaged.
    """
    order = {one.file_name: k for k, one in enumerate(images)}
    found = [
        (order[picture.file_name], read_candidates(generated, picture))
        for picture in read_pictures(generated)
        if picture.file_name in order and part_path(generated, picture).exists()
    ]
    parts, count = [no_masks().assign(proposal=0, slot=0).iloc[:0]], 0
    for k, table in sorted(found, key=lambda one: one[0]):
        part = _read_image(table, images[k], min_region_px)
        if len(part):
            parts.append(part.assign(proposal=part["proposal"] + count))
            count = int(parts[-1]["proposal"].max()) + 1
    whole = pd.concat([part for part in parts if len(part)] or parts, ignore_index=True)
    types = {"image_id": "int64", "proposal": "int64", "slot": "int64"}
    return whole.astype(types)[list(CANDIDATE_COLUMNS)]


def _read_image(table: pa.Table, image: ListedImage, min_region_px: int) -> pd.DataFrame:
    """Return the candidates of one image; rows of a point stand together, mask by mask."""
    reasons = np.array(table["reason"].to_pylist(), object)
    mask = table["mask"].to_numpy().astype(np.int64)
    kept = np.flatnonzero(reasons == "kept")
    if not len(kept):
        return no_masks()
    a_point = int(mask.max()) + 1
    rows = (kept - mask[kept])[:, None] + np.arange(a_point)
    # The proposal first, then the others by their place in the answer.
    others = np.array([[r for r in some if r != own] for some, own in zip(rows, kept, strict=True)])
    rows = np.column_stack([kept, others.reshape(len(kept), -1).astype(np.int64)])
    proposal, slot = (grid.ravel() for grid in np.indices(rows.shape))
    flat = rows.ravel()
    use = np.isin(reasons[flat], USABLE)
    flat, proposal, slot = flat[use], proposal[use], slot[use]
    counts = table["segmentation"].take(pa.array(flat)).combine_chunks()
    sides = (np.full(len(flat), side) for side in (image.height, image.width))
    runs = clean(decode_counts(counts, *sides)[0], min_region_px).runs
    frame = pd.DataFrame(
        {
            "image_id": image.image_id,
            "segmentation": [bytes(one) for one in encode_counts(runs).to_pylist()],
            "category": None,
            "predicted_iou": table["predicted_iou"].to_numpy()[flat].astype(np.float64),
            "stability_score": table["stability_score"].to_numpy()[flat].astype(np.float64),
            "proposal": proposal,
            "slot": slot,
        }
    )
    return frame[area(runs) > 0]
