"""Image gradients along and beside a mask's outline, compiled."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from curate.common.arrays import ByteArray, FloatArray, Int32Array, IntArray
from curate.rle.runs import doubled, kernel

REACH_PX = 8
"""How far inside and outside of the outline the picture is looked at."""

NEAR_PX = 4
"""How far beside the outline the edge may run that was meant: wider or tighter by that much."""

MIN_POINTS = 8
"""Points of the outline that must be comparable, or there is no score."""

TOLERANCE_PX = 1  # an outline on a pixel grid is up to a pixel beside the edge that it follows
_NORMAL_PX = 3  # half the window in which the direction of the outline is found

Picture = npt.NDArray[np.uint16]


@kernel
def smooth(channels: ByteArray) -> Picture:
    """Smooth with weights 1, 2, 1 both ways (a standard deviation of 0.7 px); borders repeat.

    The sums are given, 16 times the mean: whole numbers take half the memory of floats.
    """
    height, width, depth = channels.shape
    result = np.empty((height, width, depth), np.uint16)
    across = np.empty((3, width, depth), np.uint16)  # rows y - 1, y and y + 1, in turn
    for y in range(-1, height):
        row = across[(y + 1) % 3]
        below = min(y + 1, height - 1)
        for x in range(width):
            left, right = max(x - 1, 0), min(x + 1, width - 1)
            for c in range(depth):
                row[x, c] = (
                    np.uint16(channels[below, left, c])
                    + np.uint16(2) * np.uint16(channels[below, x, c])
                    + np.uint16(channels[below, right, c])
                )
        if y < 0:
            continue
        above, own = across[(max(y - 1, 0)) % 3], across[y % 3]
        for x in range(width):
            for c in range(depth):
                result[y, x, c] = above[x, c] + np.uint16(2) * own[x, c] + row[x, c]
    return result


@kernel
def draw(starts: Int32Array, ends: Int32Array, height: int) -> tuple[ByteArray, int, int]:
    """Draw runs into a crop, indexed [column, row], with a border of one pixel around it."""
    left = int(starts[0]) // height
    right = (int(ends[-1]) - 1) // height
    top, bottom = height, -1
    for r in range(len(starts)):
        low = int(starts[r]) % height
        high = (int(ends[r]) - 1) % height
        if int(starts[r]) // height != (int(ends[r]) - 1) // height:
            low, high = 0, height - 1
        top, bottom = min(top, low), max(bottom, high)
    crop = np.zeros((right - left + 3, bottom - top + 3), np.uint8)
    for r in range(len(starts)):
        position, end = int(starts[r]), int(ends[r])
        while position < end:
            x = position // height
            stop = min(end, (x + 1) * height)
            for p in range(position, stop):
                crop[x - left + 1, p - x * height - top + 1] = 1
            position = stop
    return crop, left - 1, top - 1


@kernel
def _outline(
    crop: ByteArray, x0: int, y0: int, height: int, width: int, most: int
) -> tuple[IntArray, int]:
    """List pixels of the mask beside a pixel of the image that is not of it, evenly thinned."""
    found = np.empty((256, 2), np.int64)
    n = 0
    for x in range(1, crop.shape[0] - 1):
        for y in range(1, crop.shape[1] - 1):
            if crop[x, y] == 0:
                continue
            if crop[x - 1, y] & crop[x + 1, y] & crop[x, y - 1] & crop[x, y + 1]:
                continue
            is_outline = (
                (crop[x - 1, y] == 0 and x + x0 > 0)
                or (crop[x + 1, y] == 0 and x + x0 < width - 1)
                or (crop[x, y - 1] == 0 and y + y0 > 0)
                or (crop[x, y + 1] == 0 and y + y0 < height - 1)
            )
            if is_outline:
                if n == len(found):
                    found = doubled(found)
                found[n, 0], found[n, 1] = x, y
                n += 1
    step = max(1, -(-n // most))
    for k in range(0, n, step):
        found[k // step, 0], found[k // step, 1] = found[k, 0], found[k, 1]
    return found, -(-n // step)


@kernel
def _inside(crop: ByteArray, x: int, y: int) -> bool:
    return bool(0 <= x < crop.shape[0] and 0 <= y < crop.shape[1] and crop[x, y])


@kernel
def _outward(crop: ByteArray, x: int, y: int) -> tuple[float, float]:
    """Return the direction that leads out of the mask, of length 1; zeros where there is none."""
    sum_x, sum_y = 0, 0
    for dx in range(-_NORMAL_PX, _NORMAL_PX + 1):
        for dy in range(-_NORMAL_PX, _NORMAL_PX + 1):
            if _inside(crop, x + dx, y + dy):
                sum_x -= dx
                sum_y -= dy
    length = np.sqrt(float(sum_x * sum_x + sum_y * sum_y))
    if length == 0:
        return 0.0, 0.0
    return sum_x / length, sum_y / length


@kernel
def _change(
    smooth: Picture, top: int, height: int, x: float, y: float, nx: float, ny: float
) -> float:
    """Return how much the picture changes from (x, y) to one pixel further; NaN at its border.

    ``smooth`` has the rows from ``top`` on of a picture of ``height`` rows.
    """
    width, depth = smooth.shape[1], smooth.shape[2]
    if min(x, x + nx) < 0 or max(x, x + nx) >= width - 1:
        return np.nan
    if min(y, y + ny) < 0 or max(y, y + ny) >= height - 1:
        return np.nan
    xa, ya, xb, yb = int(x), int(y), int(x + nx), int(y + ny)
    fa, ga, fb, gb = x - xa, y - ya, x + nx - xb, y + ny - yb
    ya, yb = ya - top, yb - top
    total = 0.0
    for c in range(depth):
        upper = smooth[ya, xa, c] * (1 - fa) + smooth[ya, xa + 1, c] * fa
        lower = smooth[ya + 1, xa, c] * (1 - fa) + smooth[ya + 1, xa + 1, c] * fa
        here = upper * (1 - ga) + lower * ga
        upper = smooth[yb, xb, c] * (1 - fb) + smooth[yb, xb + 1, c] * fb
        lower = smooth[yb + 1, xb, c] * (1 - fb) + smooth[yb + 1, xb + 1, c] * fb
        there = upper * (1 - gb) + lower * gb
        total += (there - here) ** 2
    return float(np.sqrt(total)) / 16


@kernel
def _rank(changes: FloatArray) -> float:
    """Return the share of parallels that the middle beats, each the best of its neighbours."""
    middle = len(changes) // 2
    best = np.full(len(changes), -1.0)
    for k in range(len(changes)):
        for j in range(max(k - TOLERANCE_PX, 0), min(k + TOLERANCE_PX + 1, len(changes))):
            if changes[j] > best[k]:  # false for NaN
                best[k] = changes[j]
    if best[middle] < 0:
        return np.nan
    beaten, compared = 0.0, 0
    for k in range(len(changes)):
        if abs(k - middle) > 2 * TOLERANCE_PX and best[k] >= 0:
            compared += 1
            if best[middle] > best[k]:
                beaten += 1
            elif best[middle] == best[k]:
                beaten += 0.5
    return beaten / compared if compared else np.nan


@kernel
def _add(changes: FloatArray, sums: FloatArray, counts: IntArray) -> None:
    """Add how much more the picture changes at each parallel than at the outline, for one point.

    Changes count as shares of the largest around, so that every point weighs the same.
    """
    middle = len(changes) // 2
    most = 0.0
    for k in range(len(changes)):
        if changes[k] > most:  # false for NaN
            most = changes[k]
    if np.isnan(changes[middle]):
        return
    for k in range(len(changes)):
        if not np.isnan(changes[k]):
            counts[k] += 1
            if most > 0:
                sums[k] += (changes[k] - changes[middle]) / most


@kernel
def _beside(sums: FloatArray, counts: IntArray) -> tuple[float, float]:
    """Return the most by which a parallel near the outline surpasses it, and which one that is.

    NaN where no parallel could be compared; 0 and 0 where none surpasses it.
    """
    middle = len(sums) // 2
    best, where, compared = 0.0, 0, False
    for k in range(middle - NEAR_PX, middle + NEAR_PX + 1):
        if abs(k - middle) > TOLERANCE_PX and counts[k] >= MIN_POINTS:
            compared = True
            if sums[k] / counts[k] > best:
                best, where = sums[k] / counts[k], k - middle
    if not compared:
        return np.nan, np.nan
    return best, float(where)


class Walked(NamedTuple):
    """Running measures along the outlines of n masks.

    Attributes:
        sums: By how much each parallel surpasses the outline, shape (n, 17).
        counts: Points that were compared, shape (n, 17).
        totals: Sums of the shares of parallels that the outline beats, shape (n,).
        counted: Points with such a share, shape (n,).
    """

    sums: FloatArray
    counts: IntArray
    totals: FloatArray
    counted: IntArray

    @classmethod
    def nothing(cls, n: int) -> Walked:
        """Return empty measures of n masks."""
        shape = n, 2 * REACH_PX + 1
        return cls(np.zeros(shape), np.zeros(shape, np.int64), np.zeros(n), np.zeros(n, np.int64))

    def measures(self) -> FloatArray:
        """Return, a row a mask, the share, the most by which a parallel surpasses, and which."""
        result = np.full((len(self.totals), 3), np.nan)
        for i in np.flatnonzero(self.counted >= MIN_POINTS).tolist():
            result[i, 0] = self.totals[i] / self.counted[i]
            result[i, 1:] = _beside(self.sums[i], self.counts[i])
        return result


class Points(NamedTuple):
    """Points along the outlines of some masks, and where there is something to compare.

    Attributes:
        mask: Which mask each belongs to, by its place among those traced.
        x: Column.
        y: Row.
        out_x: Direction that leads out of the mask, of length 1; 0 and 0 where there is none.
        out_y: Its other part.
        sides: A bit for each parallel that is on its own side of the outline.
    """

    mask: IntArray
    x: IntArray
    y: IntArray
    out_x: FloatArray
    out_y: FloatArray
    sides: IntArray

    def take(self, order: IntArray) -> Points:
        """Return some of the points, in another order."""
        places = self.mask[order], self.x[order], self.y[order]
        return Points(*places, self.out_x[order], self.out_y[order], self.sides[order])


@kernel
def trace(
    masks: tuple[Int32Array, Int32Array, IntArray], rows: IntArray, size: tuple[int, int], most: int
) -> Points:
    """Return points along the outlines of some masks, evenly spaced.

    Args:
        masks: Starts, ends and offsets of their runs.
        rows: Which of them; each has a pixel at least.
        size: Height and width of their picture.
        most: Most points of an outline.
    """
    starts, ends, offsets = masks
    whole = np.empty((4, len(rows) * most), np.int64)
    out = np.empty((2, len(rows) * most))
    n = 0
    for i in range(len(rows)):
        first, stop = offsets[rows[i]], offsets[rows[i] + 1]
        crop, x0, y0 = draw(starts[first:stop], ends[first:stop], size[0])
        points, count = _outline(crop, x0, y0, size[0], size[1], most)
        for p in range(count):
            x, y = points[p, 0], points[p, 1]
            nx, ny = _outward(crop, x, y)
            sides = 0
            for k in range(2 * REACH_PX + 1):
                o = k - REACH_PX
                xx, yy = x + nx * (o + 0.5), y + ny * (o + 0.5)
                within = _inside(crop, int(np.floor(xx + 0.5)), int(np.floor(yy + 0.5)))
                # A parallel counts on its own side only: thin parts have no inside 8 px deep.
                if not ((o < -1 and not within) or (o > 1 and within) or (nx == 0 and ny == 0)):
                    sides |= 1 << k
            whole[0, n], whole[1, n], whole[2, n], whole[3, n] = i, x + x0, y + y0, sides
            out[0, n], out[1, n] = nx, ny
            n += 1
    some = whole[:, :n].copy()
    ways = out[:, :n].copy()
    return Points(some[0], some[1], some[2], ways[0], ways[1], some[3])


@kernel
def walk(points: Points, smooth: Picture, place: tuple[int, int, int, int], walked: Walked) -> None:
    """Look at the picture beside some points, and add what is seen to ``walked``.

    Args:
        points: All points.
        smooth: Some rows of the picture, as :func:`smooth` gives them.
        place: The row of its first pixel; the height of the whole picture; the first of the points
            that are looked at, and where they end.
        walked: By mask.
    """
    top, height, first, stop = place
    changes = np.empty(2 * REACH_PX + 1)
    for p in range(first, stop):
        i, x, y = points.mask[p], points.x[p], points.y[p]
        nx, ny = points.out_x[p], points.out_y[p]
        for k in range(len(changes)):
            o = k - REACH_PX
            if points.sides[p] >> k & 1:
                changes[k] = _change(smooth, top, height, x + nx * o, y + ny * o, nx, ny)
            else:
                changes[k] = np.nan
        _add(changes, walked.sums[i], walked.counts[i])
        share = _rank(changes)
        if share >= 0:
            walked.totals[i] += share
            walked.counted[i] += 1
