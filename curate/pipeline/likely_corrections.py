"""Likely corrections of a part's masks: by a verifier that doubts them, by others that agree.

A mask that a verifier takes for too large or too small gets its outline drawn in or out, one that
it takes for merged is taken apart, and any that it doubts may become the mask of another set that
it likes far better. Two other sets that agree against a mask need no verifier.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import pandas as pd

from curate.common.arrays import BoolArray, ByteArray, IntArray
from curate.dataset.table import MaskTable
from curate.errors import CurateError
from curate.images import ImageFolder
from curate.networks.verifiers.merged_masks import MERGED, SPLIT_KINDS, split_merged
from curate.networks.verifiers.size_corrections import DIRECTIONS, correct_size
from curate.networks.verifiers.verifier import MaskJudge
from curate.networks.verifiers.verifier_worth import DOUBTED
from curate.pipeline.counterpart_masks import (
    AgreedMask,
    Counterparts,
    find_agreed,
    find_counterparts,
)
from curate.rle import Runs, concat, encode_counts
from curate.scorers.scorer import rows_by_image
from curate.store.mask_corrections import MaskCorrection

UNLIKE = "unlike others"
"""Kind of a mask that is likely another set's."""

SURE_OF_OTHER = 0.9
"""Least P(good) of another set's mask that only a verifier speaks for."""

RISE_TO_OTHER = 0.2
"""By how much its predicted IoU lies over the mask's at least."""

SAME_OBJECT = 0.05
"""Least IoU of such a mask with the mask: it is of the same object."""

_DIGITS = 6
"""Digits that do not depend on which masks a network gets together."""


@dataclass(frozen=True)
class _Doubted:
    """A mask that a verifier doubts, among the masks of its picture.

    Attributes:
        which: Its place among ``runs`` and ``ids``.
        kind: What the verifier says is wrong with it; "" where it does not tell.
        others: By set, its counterpart and the IoU with it.
    """

    verifier: MaskJudge
    picture: ByteArray
    runs: Runs
    ids: IntArray
    which: int
    kind: str
    category: object
    others: Mapping[str, tuple[Runs, float]] = field(default_factory=dict)


def find_corrections(
    table: MaskTable,
    scores: pd.DataFrame,
    *,
    images: ImageFolder | None = None,
    verifier: MaskJudge | None = None,
    compare: Mapping[str, MaskTable] | None = None,
) -> list[MaskCorrection]:
    """Return the likely corrections of masks.

    Args:
        table: Masks of whole images.
        scores: Index ``mask_id``; ``verifier_score``, ``verifier_kind`` and ``verifier_iou`` of
            them where there is a verifier.
        images: Where the pictures are; needed by a verifier.
        verifier: The model that gave the scores.
        compare: Other sets of masks by name.

    Returns:
        At most one a mask, by its id: that of agreeing sets, else the one of which the verifier
        expects most; only where it expects clearly more than of the mask as it stands.

    Raises:
        CurateError: As of :meth:`Verifier.judge`, with the image.
    """
    counterparts = find_counterparts(table, compare or {})
    agreed = find_agreed(counterparts)
    ids = table.masks.index.to_numpy(np.int64)
    found = [_correct_by_others(int(ids[row]), one) for row, one in agreed.items()]
    if verifier is not None and images is not None:
        left = np.ones(len(table), np.bool_)
        left[list(agreed)] = False
        found += _ask_verifier(table, scores, images, verifier, counterparts, left)
    return sorted(found, key=lambda one: one.mask_id)


def _ask_verifier(
    table: MaskTable,
    scores: pd.DataFrame,
    images: ImageFolder,
    verifier: MaskJudge,
    counterparts: Mapping[str, Counterparts],
    left: BoolArray,
) -> list[MaskCorrection]:
    """Return the corrections that a verifier speaks for, of those masks that are left."""
    own = scores.reindex(table.masks.index)
    kinds = own["verifier_kind"]
    named = kinds.isin([*DIRECTIONS, *SPLIT_KINDS]).to_numpy(bool)
    doubted = (own["verifier_score"] < DOUBTED).to_numpy(bool, na_value=False)
    near = np.zeros(len(table), np.bool_)
    for one in counterparts.values():
        near |= one.iou >= SAME_OBJECT
    asked = left & (named | (doubted & near)) & own["verifier_iou"].notna().to_numpy(bool)
    names = table.images["file_name"].to_dict()
    categories = table.masks["category"].to_numpy(object)
    ids, words = table.masks.index.to_numpy(np.int64), kinds.fillna("").to_numpy(object)
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
            mask = _Doubted(
                verifier,
                picture,
                runs,
                ids[these],
                k,
                str(words[row]),
                categories[row],
                _list_near(counterparts, row),
            )
            try:
                made = _correct(mask)
            except CurateError as error:
                error.add_note(f"while correcting the masks of {names.get(image)}")
                raise
            if made is not None:
                found.append(made)
    return found


def _list_near(counterparts: Mapping[str, Counterparts], row: int) -> dict[str, tuple[Runs, float]]:
    """Return the counterparts of a mask that are of the same object, by set."""
    return {
        name: (one.runs[place : place + 1], float(one.iou[row]))
        for name, one in counterparts.items()
        if (place := int(one.rows[row])) >= 0 and one.iou[row] >= SAME_OBJECT
    }


def _correct(mask: _Doubted) -> MaskCorrection | None:
    """Return the correction of which the verifier expects most; None where nothing is better."""
    made = [_replace(mask)]
    if mask.kind in DIRECTIONS:
        made.append(_resize(mask))
    if mask.kind in SPLIT_KINDS:
        made.append(_split(mask))
    known = [one for one in made if one is not None]
    return max(known, key=lambda one: min(one.corrected_iou, *one.split_off_iou, 1), default=None)


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
        rim_px=made.rim_px,
        split_off=tuple(others),
        split_off_iou=tuple(ious),
    )


def _replace(mask: _Doubted) -> MaskCorrection | None:
    """Return the mask of another set; None where the verifier likes none far better."""
    if not mask.others:
        return None
    names = list(mask.others)
    own = mask.runs[mask.which : mask.which + 1]
    masks = concat([own, *(one for one, _ in mask.others.values())])
    judged = mask.verifier.judge_changed(mask.picture, mask.runs, mask.which, masks, mask.category)
    before, ious = float(judged.iou[0]), judged.iou[1:]
    fit = (judged.good[1:] >= SURE_OF_OTHER) & (ious - before >= RISE_TO_OTHER)
    if not fit.any():
        return None
    best = int(np.argmax(np.where(fit, ious, -np.inf)))
    return MaskCorrection(
        mask_id=int(mask.ids[mask.which]),
        kind=UNLIKE,
        segmentation=_encode(masks)[1 + best],
        step_px=0.0,
        verifier_iou=round(before, _DIGITS),
        corrected_iou=round(float(ious[best]), _DIGITS),
        drawn_by=names[best],
        drawn_iou=round(mask.others[names[best]][1], _DIGITS),
    )


def _correct_by_others(mask_id: int, agreed: AgreedMask) -> MaskCorrection:
    return MaskCorrection(
        mask_id=mask_id,
        kind=UNLIKE,
        segmentation=_encode(agreed.mask)[0],
        step_px=0.0,
        verifier_iou=np.nan,
        corrected_iou=np.nan,
        drawn_by=agreed.drawn_by,
        drawn_iou=round(agreed.iou, _DIGITS),
        agreeing=agreed.others,
        agreeing_iou=round(agreed.others_iou, _DIGITS),
    )


def _encode(masks: Runs) -> list[bytes]:
    return [bytes(counts) for counts in encode_counts(masks).to_pylist()]
