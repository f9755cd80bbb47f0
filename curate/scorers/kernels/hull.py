"""Convex hull and moments of a mask cut into bars (see :mod:`curate.scorers.kernels.bars`)."""

from __future__ import annotations

import numpy as np
from numpy import int32

from curate.common.arrays import FloatArray, Int32Array
from curate.rle.runs import inner_kernel, kernel, reassociating_kernel
from curate.scorers.kernels import MEAN_X, MEAN_Y, VAR_XX, VAR_XY, VAR_YY

FAR = 2**30 - 1
"""Beyond any row, and its double still fits 32 bits."""

REACH = 4
"""How many neighbours on each side are asked whether they hide a corner."""

_X, _Y = range(2)
"""Rows of ``chain``: the corners that may lie on the hull."""


@inner_kernel
def _cover(outer: Int32Array, rows: Int32Array, side: int32) -> None:
    """Move corners out to the rows of one bar."""
    for k in range(len(rows)):
        outer[k] = min(outer[k], int32(side * rows[k]))


@inner_kernel
def _hide(outer: Int32Array, hidden: Int32Array) -> None:
    """Tell which corners lie on or within a line between two others; few of a ragged side do not.

    ``outer`` has :data:`REACH` more values at each end.
    """
    for k in range(len(hidden)):
        near, far = int32(outer[k + 3] + outer[k + 5]), int32(outer[k + 2] + outer[k + 6])
        lowest = min(near, far, int32(outer[k] + outer[k + 8]))
        hidden[k] = lowest <= int32(2 * outer[k + 4])


@kernel
def corners(
    columns: Int32Array,
    rows: Int32Array,
    bars: Int32Array,
    n_bars: int,
    side: int32,
    outer: Int32Array,
    hidden: Int32Array,
    chain: Int32Array,
) -> int:
    """Write, for each whole x of the mask's box, the outermost corner there (side 1: uppermost).

    Corners that are hidden by their neighbours are left out: most of them are.
    """
    x0 = columns[0]
    count = columns[bars[n_bars] - 1] - x0 + 2
    outer[: count + 2 * REACH + 1] = FAR
    for b in range(n_bars):
        first, stop = bars[b], bars[b + 1]
        x = columns[first] - x0 + REACH + 1
        if stop - first == 1:
            outer[x] = min(outer[x], int32(side * rows[first]))
        else:
            _cover(outer[x : x + stop - first], rows[first:stop], side)
    for k in range(count + 2 * REACH):
        outer[k] = min(outer[k], outer[k + 1])
    _hide(outer[: count + 2 * REACH], hidden[:count])
    hidden[0] = hidden[count - 1] = 0
    used = 0
    for x in range(count):
        chain[_X, used] = x
        chain[_Y, used] = outer[x + REACH]
        used += 1 - hidden[x]
    return used


@kernel
def half_hull(chain: Int32Array, count: int) -> int:
    """Twice the area between the axis y = 0 and the lower hull of corners with ascending x.

    Andrew's monotone chain (1979); the hull replaces ``chain`` from its front.
    """
    used = 0
    for i in range(count):
        x, y = int(chain[_X, i]), int(chain[_Y, i])
        while used > 1:
            ax, ay = int(chain[_X, used - 2]), int(chain[_Y, used - 2])
            bx, by = int(chain[_X, used - 1]), int(chain[_Y, used - 1])
            if (bx - ax) * (y - by) - (by - ay) * (x - bx) > 0:
                break
            used -= 1
        chain[_X, used] = x
        chain[_Y, used] = y
        used += 1
    total = 0
    for i in range(1, used):
        total += (chain[_X, i] - chain[_X, i - 1]) * (chain[_Y, i] + chain[_Y, i - 1])
    return total


@reassociating_kernel
def moments(
    columns: Int32Array, lows: Int32Array, highs: Int32Array, n: int, out: FloatArray
) -> None:
    """Fill centre and second central moments, from exact sums around the first pixel."""
    x0, y0 = np.int64(columns[0]), np.int64(lows[0])
    area, sx, sy, sxx, syy, sxy = 0.0, 0.0, 0.0, 0.0, 0.0, 0.0
    for k in range(n):
        x = float(columns[k] - x0)
        a, b = float(lows[k] - y0), float(highs[k] - y0)
        m = b - a
        column_y = m * (b + a)  # twice the integral over the full pixels, not a sum over centres
        area += m
        sx += m * x
        sxx += m * x * x
        sy += column_y
        syy += m * (b * b + a * b + a * a)
        sxy += x * column_y
    sy, syy, sxy = sy / 2, syy / 3, sxy / 2
    mx, my = sx / area, sy / area
    out[MEAN_X] = mx + x0 + 0.5
    out[MEAN_Y] = my + y0
    out[VAR_XX] = sxx / area - mx * mx + 1 / 12
    out[VAR_YY] = syy / area - my * my
    out[VAR_XY] = sxy / area - mx * my
