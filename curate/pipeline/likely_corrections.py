"""Likely corrections of a part's masks that a verifier takes for too large or too small."""

from __future__ import annotations

import numpy as np
import pandas as pd

from curate.dataset.table import MaskTable
from curate.errors import CurateError
from curate.images import ImageFolder
from curate.networks.verifiers.size_corrections import DIRECTIONS, correct_size
from curate.networks.verifiers.verifier import MaskJudge
from curate.rle import encode_counts
from curate.scorers.scorer import rows_by_image
from curate.store.mask_corrections import MaskCorrection

_DIGITS = 6
"""Digits that do not depend on which masks a network gets together."""


def find_corrections(
    table: MaskTable, scores: pd.DataFrame, images: ImageFolder, verifier: MaskJudge
) -> list[MaskCorrection]:
    """Return the likely corrections of masks that were named too large or too small.

    Args:
        table: Masks of whole images.
        scores: Index ``mask_id``; ``verifier_kind`` and ``verifier_iou`` of them.
        images: Where the pictures are.
        verifier: The model that gave the scores.

    Returns:
        Only of masks of which it expects clearly more once corrected, in the order of the images.

    Raises:
        CurateError: As of :meth:`Verifier.judge`, with the image.
    """
    kinds = scores["verifier_kind"].reindex(table.masks.index)
    known = scores["verifier_iou"].reindex(table.masks.index).notna()
    asked = (kinds.isin(list(DIRECTIONS)) & known).to_numpy(bool)
    names = table.images["file_name"].to_dict()
    categories = table.masks["category"].to_numpy(object)
    ids, words = table.masks.index.to_numpy(), kinds.to_numpy(object)
    found = []
    for image, rows in rows_by_image(table):
        these = rows[np.argsort(ids[rows], kind="stable")]
        if not asked[these].any():
            continue
        runs = table.runs[these]
        size = (int(runs.heights[0]), int(runs.widths[0]))
        picture = images.load(names.get(image), size)
        if picture is None:
            continue
        for k in np.flatnonzero(asked[these]).tolist():
            row = int(these[k])
            try:
                made = correct_size(verifier, picture, runs, k, words[row], categories[row])
            except CurateError as error:
                error.add_note(f"while correcting the masks of {names.get(image)}")
                raise
            if made is not None:
                found.append(
                    MaskCorrection(
                        mask_id=int(ids[row]),
                        kind=str(words[row]),
                        segmentation=bytes(encode_counts(made.mask).to_pylist()[0]),
                        step_px=round(made.step_px, _DIGITS),
                        verifier_iou=round(made.iou_before, _DIGITS),
                        corrected_iou=round(made.iou_after, _DIGITS),
                    )
                )
    return found
