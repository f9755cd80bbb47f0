"""Duplicate signal: the same object as a better mask, a part of another, or inside another."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

from curate.common.arrays import AnyArray, BoolArray, FloatArray, IntArray
from curate.dataset.table import MaskTable
from curate.scorers.geometry import geometry
from curate.scorers.kernels.contact import outline_contact
from curate.scorers.scorer import Column, Scorer, has_pixels

DUPLICATE_IOU = 0.8
"""Masks of one image that share this much are taken for one object; the default policy
asks people about masks from there on."""

STORED_QUALITY = ("predicted_iou", "stability_score", "score")
RELATIONS = pa.array(["", "duplicate", "part", "nested"], pa.large_string())


def duplicates(
    table: MaskTable,
    *,
    contained: float = 0.95,
    same_iou: float = DUPLICATE_IOU,
    part_contact: float = 0.25,
    contact_px: int = 2,
) -> pd.DataFrame:
    """Compare every mask with those of its image that share pixels with it, exactly, by mask IoU.

    Which of two masks is better never depends on the order of rows. It is the one with the higher
    stored predicted IoU, then stability, then score (each only where all masks of the image have
    it, so that there is one order for all of them); then the sounder one (fragments x holes x
    outline, to a hundredth), then the larger, then the one of lower ``mask_id``. Crowd regions
    (``iscrowd``) are no objects and are compared with nothing.

    Args:
        table: n masks, all masks of each image.
        contained: Share of a mask that another must cover to contain it.
        same_iou: The duplicate threshold: from this IoU two masks are held to be one object, so
            that the worse one has a twin, and neither contains the other.
        part_contact: Share of a contained mask's outline that must lie on the container's outline
            for ``relation`` to say "part" rather than "nested".
        contact_px: How far apart two outlines may run and still be in contact, pixels.

    Returns:
        ``uniqueness_score`` in [0, 1]: 1 - the highest IoU with a better mask; the better one
        itself keeps 1. ``duplicate_of``: the better mask with the highest IoU, where that is at
        least ``same_iou``, else NA; ``duplicate_iou``: the IoU with it. ``overlap_with``: the mask
        of the highest IoU, better or not, NA where none shares a pixel; ``overlap_iou``: the IoU
        with it, 0 where there is none. ``nested_in``: the smallest mask that contains this one, NA
        where none does;
        ``nested_share``: how much of this one it covers; ``nested_contact``: share of this one's
        outline that lies on its outline, high for a part (a hand of a person), near 0 for an object
        inside another. ``relation``: "duplicate", "part", "nested" or "", by the parameters above.
        Numbers are NaN (``duplicate_iou`` also without a twin, ``nested_*`` also where nothing
        contains it), ids NA and ``relation`` "" for a mask without a pixel and for a crowd region.
        Own definitions.
    """
    single = has_pixels(table) & ~_is_crowd(table)
    pairs = _Pairs.of(table, single)
    n, ids = len(table), table.masks.index.to_numpy()
    quality = _quality(table, single)
    first_better = _first_is_better(pairs, quality)
    worse = np.where(first_better, pairs.second, pairs.first)
    better = np.where(first_better, pairs.first, pairs.second)
    twin, twin_iou = _best(n, worse, better, pairs.iou, ids)
    _prefer_better(twin, worse, better, pairs.iou == twin_iou[worse], quality)
    twin = np.where(twin_iou >= same_iou, twin, -1)
    own, other = pairs.both_ways()
    partner, overlap_iou = _best(n, own, other, np.tile(pairs.iou, 2), ids)
    inner, outer, share = pairs.containing(table, contained, same_iou)
    area = table.masks["area_px"].to_numpy()
    container, _ = _best(n, inner, outer, -area[outer].astype(np.float64), ids)
    nested = np.flatnonzero(container >= 0)
    nested_share, contact = np.full(n, np.nan), np.full(n, np.nan)
    chosen = container[inner] == outer
    nested_share[inner[chosen]] = share[chosen]
    contact[nested] = outline_contact(
        table.runs, nested, container[nested], contact_px, table.boxes
    )
    relation = np.select([twin >= 0, contact >= part_contact, container >= 0], [1, 2, 3], 0)
    return pd.DataFrame(
        {
            "uniqueness_score": np.where(single, 1 - twin_iou, np.nan),
            "duplicate_of": _ids(ids, twin),
            "duplicate_iou": np.where(twin >= 0, twin_iou, np.nan),
            "overlap_with": _ids(ids, partner),
            "overlap_iou": np.where(single, overlap_iou, np.nan),
            "nested_in": _ids(ids, container),
            "nested_share": nested_share,
            "nested_contact": contact,
            "relation": pd.arrays.ArrowExtensionArray(RELATIONS.take(pa.array(relation))),
        },
        index=table.masks.index,
    )


class _Pairs:
    """Overlapping pairs of masks that are single objects."""

    def __init__(self, first: IntArray, second: IntArray, shared: IntArray, iou: FloatArray):
        self.first, self.second, self.shared, self.iou = first, second, shared, iou

    @classmethod
    def of(cls, table: MaskTable, single: BoolArray) -> _Pairs:
        found = table.overlaps
        keep = single[found.first] & single[found.second]
        first, second = found.first[keep], found.second[keep]
        shared = found.intersection[keep]
        area = table.masks["area_px"].to_numpy()
        return cls(first, second, shared, shared / (area[first] + area[second] - shared))

    def both_ways(self) -> tuple[IntArray, IntArray]:
        """Return each pair twice, as a mask and its partner: own rows, and the partners' rows."""
        return (
            np.concatenate([self.first, self.second]),
            np.concatenate([self.second, self.first]),
        )

    def containing(
        self, table: MaskTable, contained: float, same_iou: float
    ) -> tuple[IntArray, IntArray, FloatArray]:
        """Return the pairs in which one mask contains the other: inner, outer, share of inner."""
        area = table.masks["area_px"].to_numpy()
        swap = area[self.first] > area[self.second]
        inner = np.where(swap, self.second, self.first)
        outer = np.where(swap, self.first, self.second)
        share = self.shared / area[inner]
        keep = (share >= contained) & (self.iou < same_iou) & (area[inner] < area[outer])
        return inner[keep], outer[keep], share[keep]


def _best(
    n: int, own: IntArray, other: IntArray, value: FloatArray, ids: IntArray
) -> tuple[IntArray, FloatArray]:
    """Return each mask's ``other`` of highest ``value``, then lowest id; -1 and 0 without one."""
    order = np.lexsort((-ids[other], value))
    best, best_value = np.full(n, -1, np.int64), np.zeros(n)
    best[own[order]] = other[order]  # of several writes to one place the last stays
    best_value[own[order]] = value[order]
    return best, best_value


def _prefer_better(
    twin: IntArray, own: IntArray, other: IntArray, tied: BoolArray, quality: list[Any]
) -> None:
    """Let the best of equally near twins be the one: of three copies two name the third."""
    several = np.flatnonzero(tied)
    several = several[(np.bincount(own[several], minlength=len(twin)) > 1)[own[several]]]
    order = several[np.lexsort([values[other[several]] for values in reversed(quality)])]
    twin[own[order]] = other[order]  # the best is written last


def _ids(ids: IntArray, rows: IntArray) -> pd.arrays.IntegerArray:
    missing = rows < 0
    return pd.arrays.IntegerArray(np.where(missing, 0, ids[rows]), missing)


def _is_crowd(table: MaskTable) -> BoolArray:
    if "iscrowd" not in table.masks.columns:
        return np.zeros(len(table), np.bool_)
    return np.asarray(table.masks["iscrowd"].to_numpy(np.int8, na_value=0) == 1)


def _quality(table: MaskTable, single: BoolArray) -> list[AnyArray]:
    """Return the criteria of the better of two masks, first things first; higher is better."""
    masks, g = table.masks, geometry(table)
    area = masks["area_px"].to_numpy(np.float64)
    with np.errstate(divide="ignore", invalid="ignore"):
        sound = g.largest_px / (area + g.hole_px) * (1 - g.ragged_px / g.outline_px)
    stored = [
        _where_all_have(masks[column].to_numpy(np.float64), table, single)
        for column in STORED_QUALITY
        if column in masks.columns
    ]
    return [*stored, np.round(np.nan_to_num(sound), 2), area, -masks.index.to_numpy()]


def _first_is_better(pairs: _Pairs, quality: list[AnyArray]) -> BoolArray:
    """Return for each pair whether its first mask is the better one; no two masks are equal."""
    better = np.zeros(len(pairs.first), np.bool_)
    for values in reversed(quality):
        first, second = values[pairs.first], values[pairs.second]
        better = np.where(first == second, better, first > second)
    return better


def _where_all_have(values: FloatArray, table: MaskTable, single: BoolArray) -> FloatArray:
    """Return ``values``, and 0 throughout an image one of whose masks has none."""
    missing = ~np.isfinite(values)
    lacking = table.masks["image_id"].to_numpy()[missing & single]
    if len(lacking):
        missing |= np.isin(table.masks["image_id"].to_numpy(), lacking)
    return np.asarray(np.where(missing, 0.0, values), np.float64)


SCORERS = (
    Scorer(
        name="duplicates",
        question="is it the same object as a better mask?",
        function=duplicates,
        columns=(
            Column(
                "uniqueness_score",
                "Uniqueness",
                low_means="a better mask covers many of its pixels",
                states="it overlaps another mask (mask {overlap_with}, IoU {overlap_iou:.2f})",
                evidence="contradiction",
            ),
            Column("duplicate_of", "Better twin", "id"),
            Column("duplicate_iou", "IoU with the better twin", "measure"),
            Column("overlap_with", "Mask it overlaps most", "id"),
            Column("overlap_iou", "IoU with that mask", "measure"),
            Column("nested_in", "Smallest mask around it", "id"),
            Column("nested_share", "Share of it inside that mask", "measure", "share"),
            Column("nested_contact", "Outline shared with that mask", "measure", "share"),
            Column("relation", "Relation to another mask", "word"),
        ),
    ),
)
