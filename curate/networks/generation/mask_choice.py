"""Selection of masks from candidates: cuts, NMS, hole filling, with a reason for each dropped
one."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from curate import rle
from curate.common.arrays import BoolArray, ByteArray, FloatArray, IntArray
from curate.errors import SourceError
from curate.networks.generation.recipe import Recipe
from curate.rle import Runs
from curate.rle.cleaning import clean
from curate.rle.nms import crop_nms, crop_numbers, suppress

REASONS: dict[str, str] = {
    "kept": "written as masks",
    "not_finite": "logits or predicted IoU NaN or infinite",
    "predicted_iou": "predicted IoU not over {pred_iou:g}",
    "empty": "not a pixel over the threshold",
    "stability": "stability under {stability:g}",
    "crop_edge": "cut at the inner border of a crop ({crop_margin_px} px)",
    "coverage": "cover {coverage:.0%} of the image or more",
    "twin_in_crop": "same object as a better one of the crop ({nms} IoU over {nms_iou:g})",
    "twin_across_crops": "same object as one of a closer crop ({nms} IoU over {nms_iou:g})",
    "small": "nothing left without islands under {min_region_px} px",
    "twin_when_clean": "same object as another once islands and holes were gone",
}
"""Why a candidate is a mask or not, in the order of asking; the first that applies counts."""

(
    KEPT,
    NOT_FINITE,
    PREDICTED_IOU,
    EMPTY,
    STABILITY,
    CROP_EDGE,
    COVERAGE,
    TWIN_IN_CROP,
    TWIN_ACROSS_CROPS,
    SMALL,
    TWIN_WHEN_CLEAN,
) = range(len(REASONS))


@dataclass(frozen=True)
class SelectedMasks:
    """The selected masks of one image.

    Attributes:
        reasons: Shape (n,); for each candidate the position in :data:`REASONS`.
        rows: Shape (k,); which candidates became masks, in order.
        runs: The k masks, without small holes and islands.
    """

    reasons: ByteArray
    rows: IntArray
    runs: Runs

    def counts(self) -> dict[str, int]:
        """Return the number of candidates by reason; they sum up to all."""
        found = np.bincount(self.reasons, minlength=len(REASONS))
        return {name: int(count) for name, count in zip(REASONS, found, strict=True)}


def select_masks(candidates: pa.Table, height: int, width: int, recipe: Recipe) -> SelectedMasks:
    """Select the masks of one image.

    The order is that of SAM's generator: predicted IoU, stability, crop border, NMS within each
    crop by predicted IoU and across crops the most zoomed-in first, then holes and islands, and NMS
    again, untouched masks first. Masks of (nearly) the whole image go before the NMS, so that they
    take nothing with them. Boxes count pixels, as COCO's do; SAM's are a pixel short in the NMS, by
    which a mask one pixel wide has none.

    Args:
        candidates: A table of :data:`curate.networks.generation.mask_candidates.SCHEMA`.
        height: Of the image, in pixels.
        width: Of the image, in pixels.
        recipe: The cuts.

    Raises:
        SourceError: A candidate that passes has no sound run lengths.
    """
    reasons = np.zeros(len(candidates), np.uint8)
    _apply_cuts(candidates, height, width, recipe, reasons)
    rows = np.flatnonzero(reasons == KEPT)
    predicted, crops = (
        _float_column(candidates, "predicted_iou")[rows],
        _box_columns(candidates, "crop")[rows],
    )
    by_mask = recipe.nms == "mask"
    runs = _decode(candidates, rows, height, width) if by_mask else None
    one = np.zeros(len(rows), np.int64)
    masks = _box_columns(candidates, "bbox")[rows] if runs is None else runs
    by = crop_nms(masks, one, (predicted,), crops, recipe.nms_iou).by
    numbers = crop_numbers(one, crops)
    in_crop = numbers == numbers[by]
    reasons[rows[by >= 0]] = np.where(in_crop, TWIN_IN_CROP, TWIN_ACROSS_CROPS)[by >= 0]
    alone = np.flatnonzero(by < 0)
    rows = rows[alone]
    runs = runs[alone] if runs is not None else _decode(candidates, rows, height, width)
    if recipe.min_region_px > 0:
        runs = _fill_and_filter(runs, rows, (predicted[alone], crops[alone]), recipe, reasons)
    return SelectedMasks(reasons, np.flatnonzero(reasons == KEPT), runs)


def _apply_cuts(
    candidates: pa.Table, height: int, width: int, recipe: Recipe, reasons: ByteArray
) -> None:
    """Record the first cut that each candidate fails by itself."""
    predicted, area = (
        _float_column(candidates, "predicted_iou"),
        _float_column(candidates, "area_px"),
    )
    near = _near_crop_edge(
        _box_columns(candidates, "bbox"), _box_columns(candidates, "crop"), (width, height), recipe
    )
    covering = area >= recipe.coverage * height * width
    for fails, reason in (
        (~np.isfinite(predicted), NOT_FINITE),
        (predicted <= recipe.pred_iou, PREDICTED_IOU),
        (~candidates["finite"].to_numpy(), NOT_FINITE),
        (area == 0, EMPTY),
        (_float_column(candidates, "stability_score") < recipe.stability, STABILITY),
        (near, CROP_EDGE),
        (covering & (recipe.coverage < 1), COVERAGE),
    ):
        reasons[(reasons == KEPT) & fails] = reason


def _near_crop_edge(
    boxes: FloatArray, crops: FloatArray, size: tuple[int, int], recipe: Recipe
) -> BoolArray:
    """Return which boxes have a side near their crop's that is not near the image's, as SAM
    does."""
    left_top, right_bottom = boxes[:, :2], boxes[:, :2] + boxes[:, 2:] - 1  # the last pixel's own
    margin = recipe.crop_margin_px
    near = np.zeros(len(boxes), np.bool_)
    for sides, of_crop, of_image in (
        (left_top, crops[:, :2], (0, 0)),
        (right_bottom, crops[:, :2] + crops[:, 2:], size),
    ):
        at_crop = np.abs(sides - of_crop) <= margin
        at_image = np.abs(sides - np.array(of_image, np.float64)) <= margin
        near |= (at_crop & ~at_image).any(axis=1)
    return near


def _fill_and_filter(
    runs: Runs,
    rows: IntArray,
    ranks: tuple[FloatArray, FloatArray],
    recipe: Recipe,
    reasons: ByteArray,
) -> Runs:
    """Fill holes, remove islands, and drop masks that are empty or duplicates then."""
    predicted, crops = ranks
    cleaned = clean(runs, recipe.min_region_px)
    areas, boxes = rle.measure(cleaned.runs)
    reasons[rows[areas == 0]] = SMALL
    left = np.flatnonzero(areas)
    if cleaned.changed[left].any():
        keys = (~cleaned.changed, 1 / (crops[:, 2] * crops[:, 3]), predicted)
        masks = cleaned.runs[left] if recipe.nms == "mask" else boxes[left].astype(np.float64)
        by = suppress(
            masks, np.zeros(len(left), np.int64), tuple(k[left] for k in keys), recipe.nms_iou
        ).by
        reasons[rows[left[by >= 0]]] = TWIN_WHEN_CLEAN
        left = left[by < 0]
    return cleaned.runs[left]


def _decode(candidates: pa.Table, rows: IntArray, height: int, width: int) -> Runs:
    counts = candidates["segmentation"].take(pa.array(rows)).combine_chunks()
    runs, codes = rle.decode_counts(counts, np.full(len(rows), height), np.full(len(rows), width))
    bad = np.flatnonzero(codes)
    if len(bad):
        what = f"a candidate that passes cannot be read: {rle.PROBLEMS[codes[bad[0]]]}"
        where = f"candidate {candidates['id'][int(rows[bad[0]])]}"
        raise SourceError(what, where, "the candidates are damaged; generate them again")
    return runs


def _float_column(candidates: pa.Table, name: str) -> FloatArray:
    return np.asarray(candidates[name].to_numpy(), np.float64)


def _box_columns(candidates: pa.Table, name: str) -> FloatArray:
    """Return a box XYWH, shape (n, 4)."""
    return np.column_stack([_float_column(candidates, f"{name}_{side}") for side in "xywh"])
