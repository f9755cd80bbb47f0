"""Stability signal: change of a mask when the threshold that cut it moves."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd

from curate.common.arrays import AnyArray, BoolArray, FloatArray, Int32Array, IntArray
from curate.common.ranges import check_numbers
from curate.dataset.table import STRING, MaskTable
from curate.errors import CallError
from curate.rle import Runs
from curate.rle.runs import kernel
from curate.scorers.scorer import Column, Scorer, has_pixels
from curate.scorers.soft_masks import SoftMasks, Unusable
from curate.store.audit_records import CurveRecord

__all__ = ["SCORERS", "SoftMasks", "StabilityCurve", "stability"]


DEFAULTS = {"logits": (0.0, 1.0), "probabilities": (0.5, 0.05)}
"""Threshold and offset by kind of soft mask."""

CURVE = tuple(k / 4 for k in range(1, 13))
"""The offsets of the stability curve, in multiples of the offset of the score."""

_AT_OFFSET = CURVE.index(1.0)
_CHUNK_VALUES = 1 << 18


def stability(
    table: MaskTable,
    *,
    soft_masks: SoftMasks,
    kind: str | None = None,
    threshold: float | None = None,
    offset: float | None = None,
) -> pd.DataFrame:
    """Compute stability from soft masks, as SAM's generator does (arXiv 2304.02643, section 5).

    The score is count(x > threshold + offset) / count(x > threshold - offset). What the source
    stores stays in the table's own ``stability_score``; this one stands beside it. A score of a
    mask cut elsewhere means little, so ``soft_mask_iou`` says whether the stored mask is what the
    threshold gives: near 1, unless files are mixed up or the mask was changed afterwards.

    Args:
        table: Masks of whole images; rows in any order.
        soft_masks: Where the soft masks are.
        kind: "logits" or "probabilities"; None takes a soft mask with a value under 0 or over 1
            for logits. 16-bit integers are always probabilities times 65535.
        threshold: Where masks are cut; 0 for logits, 0.5 for probabilities if None.
        offset: How far the threshold is moved both ways; 1.0, or 0.05 if None.

    Returns:
        Index ``mask_id``:

        - ``computed_stability_score`` in [0, 1]; NaN where nothing is over threshold - offset;
        - ``edge_band_px``: the pixels between the two cuts by the length of the outline at the
          threshold, the width in pixels of what is uncertain, whatever the size of the mask;
        - ``soft_mask_iou``: IoU of the mask with its soft mask cut at the threshold;
        - ``stability_curve``: JSON for :class:`StabilityCurve`;
        - ``soft_mask_status`` and ``soft_mask_detail``: ``ok``, or why the rest is missing; a
          value that is not finite makes a soft mask ``not_finite``.

        All are missing for masks without pixels.

    Raises:
        CallError: ``kind`` is another word, or a number is out of range.
    """
    if kind not in (None, *DEFAULTS):
        raise CallError(f"kind is {kind}", "stability", f"choose from {list(DEFAULTS)}")
    check_numbers(threshold=threshold, offset=offset)
    cut = _Cut(kind, threshold, offset)
    numbers = np.full((len(table), 3), np.nan)
    words = np.full((len(table), 3), None, object)
    rows_of = pd.Series(np.arange(len(table))).groupby(table.masks["image_id"].to_numpy())
    drawn = has_pixels(table)
    for rows in rows_of.indices.values():
        for place, soft in soft_masks.of_image(table.masks.iloc[rows]):
            row = int(rows[place])
            if not drawn[row]:
                continue
            try:
                if isinstance(soft, Unusable):
                    raise soft
                numbers[row], words[row, 0] = _measure(table.runs, row, soft, cut)
                words[row, 1:] = "ok", ""
            except Unusable as reason:
                words[row, 1:] = reason.status, reason.detail
    frame = pd.DataFrame(numbers, table.masks.index, [c.name for c in _COLUMNS[:3]])
    for k, column in enumerate(_COLUMNS[3:]):
        frame[column.name] = pd.Series(words[:, k], frame.index, dtype=STRING)
    return frame


@dataclass(frozen=True)
class _Cut:
    """Thresholds to cut at; None where the kind of soft mask decides."""

    kind: str | None
    threshold: float | None
    offset: float | None

    def levels(self, kind: str) -> tuple[float, float, FloatArray]:
        """Return threshold, offset, and all thresholds of the curve, ascending."""
        threshold, offset = DEFAULTS[kind]
        threshold = threshold if self.threshold is None else self.threshold
        offset = offset if self.offset is None else self.offset
        steps = offset * np.array(CURVE)
        return threshold, offset, np.r_[threshold - steps[::-1], threshold, threshold + steps]


def _measure(runs: Runs, row: int, soft: AnyArray, cut: _Cut) -> tuple[list[float], str]:
    """Return stability, edge band and IoU, and the curve, of one soft mask.

    Raises:
        Unusable: It holds a value that is not finite, or one that its kind cannot have.
    """
    kind = "probabilities" if soft.dtype == np.uint16 else cut.kind
    counted = None
    if kind != "logits":
        counted = _count(soft, cut.levels("probabilities")[2], bounded=True)
        if counted is None and kind == "probabilities":
            raise Unusable("wrong_type", "it has values under 0 or over 1, no probabilities")
    kind = "probabilities" if counted else "logits"
    threshold, offset, levels = cut.levels(kind)
    counted = counted or _count(soft, levels, bounded=False)
    assert counted, "without bounds, counting goes to the end"
    over, outline, drawn = counted
    middle = len(CURVE)
    with np.errstate(invalid="ignore"):
        curve = over[middle + 1 :] / over[:middle][::-1]
    band = over[middle - 1 - _AT_OFFSET] - over[middle + 1 + _AT_OFFSET]
    first, stop = runs.offsets[row], runs.offsets[row + 1]
    area, shared = _count_overlap(runs.starts[first:stop], runs.ends[first:stop], drawn)
    text = {
        "kind": kind,
        "threshold": threshold,
        "offset": offset,
        "stability": [None if np.isnan(v) else round(float(v), 6) for v in curve],
    }
    return [
        float(curve[_AT_OFFSET]),
        band / outline if outline else np.nan,
        shared / (area + over[middle] - shared),
    ], json.dumps(text, separators=(",", ":"))


def _count(
    soft: AnyArray, levels: FloatArray, *, bounded: bool
) -> tuple[IntArray, int, BoolArray] | None:
    """Count the values over each level, in one pass in chunks of rows.

    Args:
        soft: Shape (height, width); memory-mapped or not.
        levels: Ascending; the one in the middle cuts the mask.
        bounded: Stop at a value under 0 or over 1.

    Returns:
        The counts; the length of the outline in pixel edges; the mask as pixels. None where a
        bound was passed.

    Raises:
        Unusable: A value is not finite.
    """
    height, width = soft.shape
    bins = np.zeros(len(levels) + 1, np.int64)
    above = np.zeros(width, np.bool_)
    drawn = np.zeros((height, width), np.bool_)
    outline = 0
    step = max(1, _CHUNK_VALUES // max(width, 1))
    double = soft.dtype.itemsize > 4 or soft.dtype == np.uint16
    for top in range(0, height, step):
        values: AnyArray = np.array(
            soft[top : top + step], np.float64 if double else np.float32, order="C"
        )
        if soft.dtype == np.uint16:
            values = np.divide(values, 65535.0)
        edges = _count_chunk(values, levels, bounded, bins, above, drawn[top : top + step])
        if edges == -1:
            raise Unusable("not_finite", "its soft mask holds NaN or infinity")
        if edges == -2:
            return None
        outline += edges
    return np.cumsum(bins[::-1])[::-1][1:], outline + int(above.sum()), drawn


@kernel
def _count_chunk(
    values: AnyArray,
    levels: FloatArray,
    bounded: bool,
    bins: IntArray,
    above: BoolArray,
    drawn: BoolArray,
) -> int:
    """Add rows to ``bins``; return their pixel edges, -1 for not finite, -2 for out of bounds."""
    last = len(levels) - 1
    lowest, middle, highest = levels[0], levels[len(levels) // 2], levels[last]
    edges = 0
    for y in range(values.shape[0]):
        before = False
        for x in range(values.shape[1]):
            value = np.float64(values[y, x])
            if not abs(value) < np.inf:
                return -1
            if bounded and not 0 <= value <= 1:
                return -2
            if value <= lowest:
                bins[0] += 1
            elif value > highest:
                bins[last + 1] += 1
            else:
                k = 1
                while value > levels[k]:
                    k += 1
                bins[k] += 1
            on = value > middle
            drawn[y, x] = on
            edges += int(on != before) + int(on != above[x])
            before = on
            above[x] = on
        edges += int(before)
    return edges


@kernel
def _count_overlap(starts: Int32Array, ends: Int32Array, drawn: BoolArray) -> tuple[int, int]:
    """Return the area of a mask, and how many of its pixels are drawn."""
    height = drawn.shape[0]
    area, shared = 0, 0
    for r in range(len(starts)):
        area += ends[r] - starts[r]
        for position in range(starts[r], ends[r]):
            shared += drawn[position % height, position // height]
    return area, shared


@dataclass
class StabilityCurve:
    """Stability against the offset over many masks; parts are added in any order.

    Kept as counts in steps of 0.001, so that percentiles of a billion masks take no memory.

    Attributes:
        counts: For each (kind, threshold, offset): shape (len(CURVE), 1001).
    """

    counts: dict[tuple[str, float, float], IntArray] = field(default_factory=dict)

    def add(self, curves: Iterable[Any]) -> None:
        """Add the column ``stability_curve`` of some masks; missing values are passed over."""
        for text in curves:
            if not isinstance(text, str):
                continue
            one = json.loads(text)
            key = (one["kind"], one["threshold"], one["offset"])
            counts = self.counts.setdefault(key, np.zeros((len(CURVE), 1001), np.int64))
            for k, value in enumerate(one["stability"]):
                if value is not None:
                    counts[k, round(value * 1000)] += 1

    def merge(self, other: StabilityCurve) -> None:
        """Add what another has counted."""
        for key, counts in other.counts.items():
            mine = self.counts.get(key)
            self.counts[key] = counts.copy() if mine is None else mine + counts

    def summary(self) -> CurveRecord | None:
        """Return JSON-able ``kind``, ``offsets``, ``masks``, ``mean``, ``p10`` and ``p90``.

        Of several kinds of soft mask the one of most masks is told. None where there is none.
        """
        if not self.counts:
            return None
        key = max(self.counts, key=lambda k: (int(self.counts[k].sum()), k))
        counts = self.counts[key]
        totals = counts.sum(axis=1)
        kept = np.flatnonzero(totals)
        levels = np.arange(1001) / 1000
        return {
            "kind": key[0],
            "offsets": [key[2] * CURVE[k] for k in kept],
            "masks": [int(totals[k]) for k in kept],
            "mean": [round(float(counts[k] @ levels / totals[k]), 4) for k in kept],
            "p10": [_quantile(counts[k], 0.1) for k in kept],
            "p90": [_quantile(counts[k], 0.9) for k in kept],
        }


def _quantile(counts: IntArray, share: float) -> float:
    """Return the lowest level that at least ``share`` of the counted values do not pass."""
    running = np.cumsum(counts)
    return int(np.searchsorted(running, share * running[-1])) / 1000


_COLUMNS = (
    Column(
        "computed_stability_score",
        "Stability (computed)",
        low_means="it changes much when the threshold of its soft mask moves",
    ),
    Column(
        "edge_band_px",
        "Edge band",
        "measure",
        "px",
        "how wide the band is in which the soft mask does not decide",
    ),
    Column(
        "soft_mask_iou",
        "IoU with soft mask",
        "measure",
        "share",
        "how well it is what its soft mask gives at the threshold",
    ),
    Column("stability_curve", "Stability curve", "word", "", "its stability at twelve offsets"),
    Column("soft_mask_status", "Soft mask", "word", "", "whether its soft mask could be used"),
    Column("soft_mask_detail", "Soft mask, in words", "word", "", "why it could not be used"),
)

SCORERS = (
    Scorer(
        name="stability",
        function=stability,
        columns=_COLUMNS,
        question="does it stay the same when the threshold moves?",
        needs=("soft_masks",),
    ),
)
