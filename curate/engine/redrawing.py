"""Proposals drawn anew by a segmenter, each prompted for from itself."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from curate.common.arrays import ByteArray
from curate.common.progress import Progress
from curate.engine.coco_writing import ListedImage
from curate.errors import AuditError
from curate.images import ImageFolder
from curate.networks.segmenters.prompt_recipes import PromptRecipe
from curate.networks.segmenters.recipe_answers import redraw_masks
from curate.networks.segmenters.segmenter import Segmenter
from curate.rle import decode_counts, encode_counts
from curate.rle.nms import suppress


def redraw_proposals(
    masks: pd.DataFrame,
    images: Sequence[ListedImage],
    pictures: Path,
    segmenter: Segmenter,
    recipe: PromptRecipe,
    *,
    nms_iou: float,
    seed: int,
    progress: Progress | None,
) -> pd.DataFrame:
    """Draw proposals anew; of those that are one object then, the one of the highest predicted IoU
    stays.

    Args:
        masks: With :data:`curate.engine.coco_writing.MASK_COLUMNS`, each with a pixel at least.
        images: Their images.
        pictures: Folder of the pictures.
        segmenter: The model.
        recipe: Of the prompts.
        nms_iou: Masks of an IoU over it are one object.
        seed: Of places by chance.
        progress: Called with progress.

    Returns:
        The same columns, in the same order, with scores of the new masks; a mask stays as it is,
        with its scores, where nothing finite is drawn for it.

    Raises:
        AuditError: A picture cannot be read.
    """
    folder = ImageFolder(pictures).exactly([one.file_name for one in images])
    parts = [masks.iloc[:0]]
    for done, one in enumerate(images, 1):
        own = masks[masks["image_id"] == one.image_id]
        if len(own):
            (embedding,) = segmenter.embed([load_picture(folder, one.file_name)])
            sides = (np.full(len(own), side) for side in (one.height, one.width))
            runs = decode_counts([bytes(v) for v in own["segmentation"]], *sides)[0]
            drawn, anew, found = redraw_masks(segmenter, embedding, runs, recipe, seed=seed)
            own = own.assign(
                segmentation=[bytes(v) for v in encode_counts(drawn).to_pylist()],
                predicted_iou=np.where(anew, found.predicted_iou, own["predicted_iou"]),
                stability_score=np.where(anew, found.drawn.stability, own["stability_score"]),
            )
            rank = np.nan_to_num(own["predicted_iou"].to_numpy(np.float64), nan=-np.inf)
            by = suppress(drawn, np.zeros(len(own), np.int64), (rank,), nms_iou).by
            parts.append(own[by < 0])
        if progress:
            progress("redrawing", done, len(images), len(own))
    return pd.concat([part for part in parts if len(part)] or parts, ignore_index=True)


def load_picture(folder: ImageFolder, name: str) -> ByteArray:
    """Return a picture of the engine.

    Args:
        folder: The pictures.
        name: Its path under the folder.

    Raises:
        AuditError: It cannot be read.
    """
    found = folder.load_or_why(name)
    if isinstance(found, str):
        raise AuditError(f"the picture cannot be read ({found})", name, "put it back as it was")
    return found
