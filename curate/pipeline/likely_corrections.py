"""Likely corrections of a part's masks that a verifier takes for too large, small or merged."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from curate.common.arrays import ByteArray, IntArray
from curate.dataset.table import MaskTable
from curate.errors import CurateError
from curate.images import ImageFolder
from curate.networks.verifiers.merged_masks import MERGED, SPLIT_KINDS, split_merged
from curate.networks.verifiers.size_corrections import DIRECTIONS, correct_size
from curate.networks.verifiers.verifier import MaskJudge
from curate.rle import Runs, encode_counts
from curate.scorers.scorer import rows_by_image
from curate.store.mask_corrections import MaskCorrection

_DIGITS = 6
"""Digits that do not depend on which masks a network gets together."""


@dataclass(frozen=True)
class _Doubted:
    """A mask that a verifier doubts, among the masks of its picture."""

    verifier: MaskJudge
    picture: ByteArray
    runs: Runs
    ids: IntArray
    which: int
    kind: str
    category: object


def find_corrections(
    table: MaskTable, scores: pd.DataFrame, images: ImageFolder, verifier: MaskJudge
) -> list[MaskCorrection]:
    """Return the likely corrections of masks that were named too large, too small or merged.

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
    asked = (kinds.isin([*DIRECTIONS, *SPLIT_KINDS]) & known).to_numpy(bool)
    names = table.images["file_name"].to_dict()
    categories = table.masks["category"].to_numpy(object)
    ids, words = table.masks.index.to_numpy(np.int64), kinds.to_numpy(object)
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
            kind, category = str(words[row]), categories[row]
            mask = _Doubted(verifier, picture, runs, ids[these], k, kind, category)
            try:
                made = _resize(mask) if kind in DIRECTIONS else _split(mask)
            except CurateError as error:
                error.add_note(f"while correcting the masks of {names.get(image)}")
                raise
            if made is not None:
                found.append(made)
    return found


def _resize(mask: _Doubted) -> MaskCorrection | None:
    """Return the mask with its outline drawn in or out; None where that is not clearly better."""
    made = correct_size(
        mask.verifier, mask.picture, mask.runs, mask.which, mask.kind, mask.category
    )
    if made is None:
        return None
    return MaskCorrection(
        mask_id=int(mask.ids[mask.which]),
        kind=mask.kind,
        segmentation=_encode(made.mask)[0],
        step_px=round(made.step_px, _DIGITS),
        verifier_iou=round(made.iou_before, _DIGITS),
        corrected_iou=round(made.iou_after, _DIGITS),
    )


def _split(mask: _Doubted) -> MaskCorrection | None:
    """Return the objects of a merged mask; None where no way to part them is clearly better."""
    made = split_merged(mask.verifier, mask.picture, mask.runs, mask.which, mask.category)
    if made is None:
        return None
    first, *others = _encode(made.masks)
    iou, *ious = (round(one, _DIGITS) for one in made.ious_after)
    return MaskCorrection(
        mask_id=int(mask.ids[mask.which]),
        kind=MERGED,
        segmentation=first,
        step_px=0.0,
        verifier_iou=round(made.iou_before, _DIGITS),
        corrected_iou=iou,
        taken_out=tuple(mask.ids[list(made.taken_out)].tolist()),
        split_off=tuple(others),
        split_off_iou=tuple(ious),
    )


def _encode(masks: Runs) -> list[bytes]:
    return [bytes(counts) for counts in encode_counts(masks).to_pylist()]
