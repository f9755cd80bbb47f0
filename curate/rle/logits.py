"""Logits to run lengths and counts in one pass, without the field at full resolution.

A segmenter's answer is a small grid of logits, brought to the image by bilinear steps, then cut at
a threshold. A bilinear step is the same along all columns and all rows, so any chain of them is one
banded matrix a side (:class:`Taps`), worked out once a size. For each grid (:func:`draw`):

1. Find the rows and columns of the grid with a value over the lowest level. Weights of a bilinear
   step are not negative and add up to 1, so a pixel passes a level only if a value it takes from
   does: all other pixels are left out.
2. Bring the columns needed to the rows of the image: one strip, (grid columns, image rows).
3. Go through the image column by column, as run lengths do: mix columns of the strip, count the
   values over three levels, and write the runs of those over the middle one.

The counts over ``threshold + offset`` and ``threshold - offset`` are SAM's stability score
(Kirillov and others 2023, arXiv 2304.02643, section 5). Positions are torch's for
``align_corners=False``; sums are in float32 and may be taken in another order than torch's, so a
value within rounding of a level can fall on its other side.

Invariants: ``first`` of taps does not fall; runs come sorted, do not overlap, and never touch (one
that goes on at the top of the next column is joined). A field with a value that is not finite gives
no mask at all.

Time is (grid columns + image columns) x image rows of the used part, with vector instructions;
memory a strip and a column a thread, whatever the image.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from curate.common.arrays import (
    AnyArray,
    BoolArray,
    ByteArray,
    Float32Array,
    FloatArray,
    Int32Array,
    IntArray,
)
from curate.rle.runs import Runs, concat, kernel, reassociating_kernel
from curate.rle.topology import perimeter

_BLOCK = 1 << 14
"""Values counted in float32, which adds ones exactly up to 2**24."""

_LOW, _MIDDLE, _HIGH = range(3)
"""Cells of ``levels`` and ``counts``: threshold less offset, threshold, threshold plus offset."""

_ROW, _ROW_STOP, _COLUMN, _COLUMN_STOP = range(4)
"""Cells of ``used``: the rows and columns of the grid that matter."""

_LEFT, _TOP, _HEIGHT = range(3)
"""Cells of ``place``: where the crop stands on the whole image, and the image's height."""


@dataclass(frozen=True)
class Taps:
    """Weights of source values for each of ``n`` target positions: a banded matrix.

    Attributes:
        first: Shape (n,): the first source position it takes from; does not fall.
        weights: Shape (n, k): what it takes of that one and the next ones; rows add up to 1.
        source: How many source positions there are.
    """

    first: Int32Array
    weights: Float32Array
    source: int

    def __len__(self) -> int:
        return len(self.first)


def bilinear_taps(
    source: int, target: int, through: int | None = None, kept: int | None = None
) -> Taps:
    """Return the taps of one or two bilinear steps behind each other.

    The positions are torch's and OpenCV's: ``(i + 0.5) * source / target - 0.5``, clipped at both
    ends (``align_corners=False``, no antialiasing).

    Args:
        source: Values there are.
        target: Values there are to be.
        through: Values in between, where there are two steps.
        kept: Of those, how many go on: SAM cuts its padding off.
    """
    first, weights = _bilinear_step(source, through or target)
    if through is not None:
        kept = through if kept is None else kept
        first, weights = _compose_steps(first[:kept], weights[:kept], *_bilinear_step(kept, target))
    return Taps(first.astype(np.int32), weights.astype(np.float32), source)


def _bilinear_step(source: int, target: int) -> tuple[IntArray, FloatArray]:
    place = np.clip((np.arange(target) + 0.5) * (source / target) - 0.5, 0, source - 1)
    first = np.minimum(place.astype(np.int64), max(0, source - 2))
    share = place - first
    weights = np.column_stack([1 - share, share]) if source > 1 else np.ones((target, 1))
    return first, weights


def _compose_steps(
    first: IntArray, weights: FloatArray, then: IntArray, shares: FloatArray
) -> tuple[IntArray, FloatArray]:
    """Put a second step behind a first one."""
    middles = then[:, None] + np.arange(shares.shape[1])
    start = first[then]
    offsets = first[middles] - start[:, None]
    band = np.zeros((len(then), int(offsets.max()) + weights.shape[1]))
    rows = np.arange(len(then))
    for m in range(shares.shape[1]):
        for k in range(weights.shape[1]):
            band[rows, offsets[:, m] + k] += shares[:, m] * weights[middles[:, m], k]
    return start, band


@dataclass(frozen=True)
class ThresholdedMasks:
    """Masks and counts of ``n`` fields of logits cut at a threshold.

    Attributes:
        runs: The masks at the threshold, on the whole image.
        area: Shape (n,): pixels over the threshold.
        over: Shape (n,): pixels over threshold + offset.
        under: Shape (n,): pixels over threshold - offset.
        finite: Shape (n,): whether all logits are finite; where not, the mask is empty.
    """

    runs: Runs
    area: IntArray
    over: IntArray
    under: IntArray
    finite: BoolArray

    def __len__(self) -> int:
        return len(self.area)

    @property
    def stability(self) -> FloatArray:
        """SAM's stability, ``over / under``, in [0, 1]; NaN where both are empty, or not finite."""
        return stability_of(self.over, self.under)

    @property
    def edge_band_px(self) -> FloatArray:
        """Width of the undecided band: pixels between both cuts by the outline; NaN if empty."""
        outline = perimeter(self.runs)
        with np.errstate(invalid="ignore", divide="ignore"):
            band = (self.under - self.over) / outline
        return np.where(outline > 0, band, np.nan)


def stability_of(over: npt.ArrayLike, under: npt.ArrayLike) -> FloatArray:
    """Return ``over / under`` (arXiv 2304.02643); NaN where nothing lies over the lower cut."""
    above, below = np.asarray(over, np.float64), np.asarray(under, np.float64)
    share: FloatArray = np.divide(above, below, out=np.full(above.shape, np.nan), where=below > 0)
    return share


def draw(
    logits: Float32Array,
    taps: tuple[Taps, Taps],
    *,
    threshold: float = 0.0,
    offset: float = 1.0,
    origin: tuple[int, int] = (0, 0),
    size: tuple[int, int] | None = None,
) -> ThresholdedMasks:
    """Bring low-res logits to an image, cut them, and count around the cut.

    Args:
        logits: Shape (n, h, w).
        taps: For the rows of the image (or crop) from h, and for its columns from w.
        threshold: A pixel strictly over it is in the mask.
        offset: How far the threshold is moved both ways for the counts.
        origin: Left and top pixel of the crop on the whole image.
        size: Height and width of the whole image; those of the crop if None.
    """
    rows, columns = taps
    height, width = size or (len(rows), len(columns))
    logits = np.ascontiguousarray(logits, np.float32)
    levels = np.array([threshold - offset, threshold, threshold + offset], np.float32)
    place = np.array([*origin, height], np.int64)

    def one(low: Float32Array) -> tuple[Any, ...]:
        return _draw(low, rows.first, rows.weights, columns.first, columns.weights, levels, place)

    done = in_threads(one, logits)
    counts = np.array([d[2] for d in done], np.int64).reshape(-1, 3)
    offsets = np.concatenate([[0], np.cumsum([len(d[0]) for d in done])]).astype(np.int64)
    empty = np.zeros(0, np.int32)
    runs = Runs(
        offsets,
        np.concatenate([empty, *(d[0] for d in done)]),
        np.concatenate([empty, *(d[1] for d in done)]),
        np.full(len(done), height, np.int32),
        np.full(len(done), width, np.int32),
    )
    finite = np.array([d[3] for d in done], np.bool_)
    return ThresholdedMasks(runs, counts[:, _MIDDLE], counts[:, _HIGH], counts[:, _LOW], finite)


def concat_drawn(parts: list[ThresholdedMasks]) -> ThresholdedMasks:
    """Put drawn masks behind each other."""
    none = np.zeros(0, np.int64)
    return ThresholdedMasks(
        concat([p.runs for p in parts]),
        np.concatenate([none, *(p.area for p in parts)]),
        np.concatenate([none, *(p.over for p in parts)]),
        np.concatenate([none, *(p.under for p in parts)]),
        np.concatenate([np.zeros(0, np.bool_), *(p.finite for p in parts)]),
    )


@reassociating_kernel
def _draw(
    low: Float32Array,
    row_first: Int32Array,
    row_weights: Float32Array,
    column_first: Int32Array,
    column_weights: Float32Array,
    levels: Float32Array,
    place: IntArray,
) -> tuple[Int32Array, Int32Array, IntArray, bool]:
    """Draw one field; return starts, ends, counts over each level, and whether it is finite."""
    starts, ends = np.empty(64, np.int32), np.empty(64, np.int32)
    counts = np.zeros(3, np.int64)
    used = np.zeros(4, np.int64)
    if not _find_used_range(low, levels[_LOW], used):
        return starts[:0], ends[:0], counts, False
    y0, y1 = _target_range(row_first, row_weights.shape[1], used[_ROW], used[_ROW_STOP])
    x0, x1 = _target_range(column_first, column_weights.shape[1], used[_COLUMN], used[_COLUMN_STOP])
    if y1 <= y0 or x1 <= x0:  # nothing passes, or only in what the frame pads
        return starts[:0], ends[:0], counts, True
    taps = column_weights.shape[1]
    left = column_first[x0]
    strip = _interpolate_rows(
        low, row_first, row_weights, y0, y1, left, column_first[x1 - 1] + taps
    )
    height = y1 - y0
    values = np.empty(height, np.float32)
    on = np.zeros(8 * (height // 8 + 1), np.uint8)  # ends with a pixel that is off
    n, last = 0, -1
    for x in range(x0, x1):
        at = column_first[x] - left
        weight = column_weights[x, 0]
        for y in range(height):
            values[y] = weight * strip[at, y]
        for t in range(1, taps):
            weight = column_weights[x, t]
            for y in range(height):
                values[y] += weight * strip[at + t, y]
        if _count_levels(values, levels, counts, on):
            top = (x + place[_LEFT]) * place[_HEIGHT] + place[_TOP] + y0
            n, last, starts, ends = _runs_of(on, top, n, last, starts, ends)
    return starts[:n].copy(), ends[:n].copy(), counts, True


@kernel
def _find_used_range(low: Float32Array, level: float, used: IntArray) -> bool:
    """Find the rows and columns of the grid that pass ``level``; return whether all is finite."""
    height, width = low.shape
    used[_ROW], used[_ROW_STOP], used[_COLUMN], used[_COLUMN_STOP] = height, 0, width, 0
    for y in range(height):
        for x in range(width):
            value = low[y, x]
            if not abs(value) < np.inf:
                return False
            if value > level:
                used[_ROW] = min(used[_ROW], y)
                used[_ROW_STOP] = y + 1
                used[_COLUMN] = min(used[_COLUMN], x)
                used[_COLUMN_STOP] = max(used[_COLUMN_STOP], x + 1)
    return True


@kernel
def _target_range(first: Int32Array, taps: int, low: int, high: int) -> tuple[int, int]:
    """Return the range of targets that take from sources ``low:high``."""
    return int(np.searchsorted(first, low - taps + 1)), int(np.searchsorted(first, high))


@kernel
def _interpolate_rows(
    low: Float32Array,
    first: Int32Array,
    weights: Float32Array,
    y0: int,
    y1: int,
    left: int,
    right: int,
) -> Float32Array:
    """Bring columns ``left:right`` to rows ``y0:y1``; shape (right - left, y1 - y0)."""
    taps = weights.shape[1]
    out = np.zeros((right - left, y1 - y0), np.float32)
    places = first[y0:y1].astype(np.int64)
    shares = np.ascontiguousarray(weights[y0:y1].T)
    source = np.zeros(low.shape[0] + taps, np.float32)
    for x in range(left, min(right, low.shape[1])):  # taps beyond the grid weigh nothing
        source[: low.shape[0]] = low[:, x]
        line = out[x - left]
        for t in range(taps):
            shifted = source[t:]
            share = shares[t]
            for y in range(len(line)):
                line[y] += share[y] * shifted[places[y]]
    return out


@reassociating_kernel
def _count_levels(
    values: Float32Array, levels: Float32Array, counts: IntArray, on: ByteArray
) -> bool:
    """Add up the values over each level, mark those over the middle one; return whether any is."""
    before = int(counts[_MIDDLE])
    low, middle, high = levels[_LOW], levels[_MIDDLE], levels[_HIGH]
    for start in range(0, len(values), _BLOCK):
        part = values[start : start + _BLOCK]
        a, b, c = np.float32(0), np.float32(0), np.float32(0)
        for k in range(len(part)):
            a += np.float32(1) if part[k] > low else np.float32(0)
            b += np.float32(1) if part[k] > middle else np.float32(0)
            c += np.float32(1) if part[k] > high else np.float32(0)
        counts[_LOW] += np.int64(a)
        counts[_MIDDLE] += np.int64(b)
        counts[_HIGH] += np.int64(c)
    found = int(counts[_MIDDLE]) > before
    if found:
        for k in range(len(values)):
            on[k] = values[k] > middle
    return found


@kernel
def _runs_of(
    on: ByteArray, top: int, n: int, last: int, starts: Int32Array, ends: Int32Array
) -> tuple[int, int, Int32Array, Int32Array]:
    """Add a column's runs; one that touches the last joins it. ``last`` is where that one ends.

    ``on`` holds a 1 for each pixel of the mask, and is as long as a multiple of 8: where nothing
    changes, eight pixels are looked at together.
    """
    inside = np.uint8(0)
    same = np.uint64(0)
    words = on.view(np.uint64)
    for word in range(len(words)):
        if words[word] == same:
            continue
        for y in range(8 * word, 8 * word + 8):
            if on[y] == inside:
                continue
            inside = on[y]
            if not inside:
                last = top + y
                ends[n - 1] = last
            elif top + y != last:
                if n == len(starts):
                    starts = np.concatenate((starts, np.empty(n, np.int32)))
                    ends = np.concatenate((ends, np.empty(n, np.int32)))
                starts[n] = top + y
                n += 1
        same = np.uint64(0x0101010101010101) if inside else np.uint64(0)
    return n, last, starts, ends


def count_over(logits: AnyArray, low: float, high: float) -> IntArray:
    """Count the values over two levels in one pass.

    Args:
        logits: Shape (n, height, width) or (n, pixels); other types than float32 are turned into it
            a mask at a time.
        low: The lower level.
        high: The higher level.

    Returns:
        Shape (n, 2): values strictly over ``low`` and over ``high``; -1 where a mask holds a value
        that is not finite.
    """

    def one(values: AnyArray) -> tuple[int, int]:
        flat = np.ascontiguousarray(values, np.float32).reshape(-1)
        return _count_two(flat, np.float32(low), np.float32(high))

    return np.array(in_threads(one, logits), np.int64).reshape(-1, 2)


@reassociating_kernel
def _count_two(values: Float32Array, low: np.float32, high: np.float32) -> tuple[int, int]:
    below, above = 0, 0
    for start in range(0, len(values), _BLOCK):
        part = values[start : start + _BLOCK]
        a, b, finite = np.float32(0), np.float32(0), np.float32(0)
        for k in range(len(part)):
            a += np.float32(1) if part[k] > low else np.float32(0)
            b += np.float32(1) if part[k] > high else np.float32(0)
            finite += np.float32(1) if abs(part[k]) < np.inf else np.float32(0)
        if np.int64(finite) != len(part):
            return -1, -1
        below += int(a)
        above += int(b)
    return below, above


def in_threads(function: Callable[[Any], Any], items: AnyArray) -> list[Any]:
    """Call a function that leaves the interpreter lock for each item, on all cores; in order."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    if len(items) < 2 or items.size < _BLOCK or not cores or cores < 2:
        return [function(item) for item in items]
    with ThreadPoolExecutor(min(cores, len(items))) as pool:
        return list(pool.map(function, items))
