"""Split signal: two thick bodies in one mask, joined by a neck or apart.

Own definition, on the distance to the outline: two thick parts are two maxima of it, and the neck
between them is the saddle on the best path from one to the other. The prominence of the second
maximum (its height over that saddle), as a share of the first, says how much of a body of its own
the second part is.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from curate.common.arrays import FloatArray, Int32Array, IntArray
from curate.dataset.table import MaskTable
from curate.rle.runs import kernel
from curate.rle.topology import column_segments, segment_capacity
from curate.scorers.scorer import Column, Scorer

CELLS = 1024
"""About how many cells of a mask's box are looked at: large masks are seen coarser."""


@kernel
def _rasterise(
    columns: Int32Array,
    lows: Int32Array,
    highs: Int32Array,
    n: int,
    box: IntArray,
    side: int,
    grid: Int32Array,
) -> None:
    """Mark cells of side x side pixels that a mask covers by half or more; grid has a margin of 1.

    Cells end up 1 inside, 0 outside.
    """
    grid[:] = 0
    for k in range(n):
        x = (columns[k] - box[0]) // side + 1
        low, high = lows[k] - box[1], highs[k] - box[1]
        y = low // side
        while y * side < high:
            grid[y + 1, x] += min(high, (y + 1) * side) - max(low, y * side)
            y += 1
    half = side * side
    for y in range(grid.shape[0]):
        for x in range(grid.shape[1]):
            grid[y, x] = 1 if 2 * grid[y, x] >= half else 0


@kernel
def _fill_holes(grid: Int32Array, stack: IntArray) -> None:
    """Set everything that the margin does not reach, side by side."""
    height, width = grid.shape
    stack[0] = 0
    grid[0, 0] = -1
    top = 1
    while top:
        top -= 1
        y, x = stack[top] // width, stack[top] % width
        for dy, dx in ((-1, 0), (1, 0), (0, -1), (0, 1)):
            yy, xx = y + dy, x + dx
            if 0 <= yy < height and 0 <= xx < width and grid[yy, xx] == 0:
                grid[yy, xx] = -1
                stack[top] = yy * width + xx
                top += 1
    for y in range(height):
        for x in range(width):
            grid[y, x] = 0 if grid[y, x] == -1 else 1


@kernel
def _distances(grid: Int32Array) -> int:
    """Turn 1s into chamfer distances to the outside (step 3, diagonal 4); return the largest."""
    height, width = grid.shape
    for y in range(1, height - 1):
        for x in range(1, width - 1):
            if grid[y, x]:
                side = min(grid[y, x - 1], grid[y - 1, x]) + 3
                corner = min(grid[y - 1, x - 1], grid[y - 1, x + 1]) + 4
                grid[y, x] = min(side, corner)
    largest = 0
    for y in range(height - 2, 0, -1):
        for x in range(width - 2, 0, -1):
            if grid[y, x]:
                side = min(grid[y, x + 1], grid[y + 1, x]) + 3
                corner = min(grid[y + 1, x - 1], grid[y + 1, x + 1]) + 4
                grid[y, x] = min(grid[y, x], side, corner)
                largest = max(largest, grid[y, x])
    return largest


@kernel
def _sorted_cells(flat: Int32Array, largest: int, counts: IntArray, order: IntArray) -> int:
    """Put the inner cells in order of falling distance (a counting sort); return how many."""
    counts[: largest + 2] = 0
    for k in range(len(flat)):
        counts[largest - flat[k] + 1] += 1
    for value in range(1, largest + 1):
        counts[value] += counts[value - 1]
    used = int(counts[largest])
    for k in range(len(flat)):
        if flat[k]:
            order[counts[largest - flat[k]]] = k
            counts[largest - flat[k]] += 1
    return used


@kernel
def _prominence(
    grid: Int32Array, order: IntArray, count: int, parent: IntArray, peak: IntArray
) -> int:
    """Height of the second body over the saddle to the first: the merge tree, from high to low.

    ``parent`` and ``peak`` are scratch of a cell each; a cell not met yet has parent -1.
    """
    width = grid.shape[1]
    flat = grid.ravel()
    parent[: len(flat)] = -1
    best = 0
    for i in range(count):
        k = order[i]
        root = -1
        for step in (-width - 1, -width, -width + 1, -1, 1, width - 1, width, width + 1):
            other = k + step
            if parent[other] < 0:
                continue
            while parent[other] != other:
                parent[other] = parent[parent[other]]
                other = parent[other]
            if root < 0:
                root = other
            elif other != root:
                low, high = (other, root) if peak[other] < peak[root] else (root, other)
                best = max(best, peak[low] - flat[k])
                parent[low] = high
                root = high
        parent[k] = k if root < 0 else root
        if root < 0:
            peak[k] = flat[k]
    bodies, second, first = 0, 0, 0
    for i in range(count):
        k = order[i]
        if parent[k] == k:
            bodies += 1
            second = max(second, min(first, peak[k]))
            first = max(first, peak[k])
    return max(best, second)


@kernel
def _split(
    starts: Int32Array,
    ends: Int32Array,
    offsets: IntArray,
    heights: Int32Array,
    boxes: IntArray,
    cells: int,
    capacity: int,
    out: FloatArray,
) -> None:
    columns = np.empty(capacity, np.int32)
    lows = np.empty(capacity, np.int32)
    highs = np.empty(capacity, np.int32)
    for i in range(len(heights)):
        if offsets[i] == offsets[i + 1]:
            continue
        w, h = int(boxes[i, 2]), int(boxes[i, 3])
        side = max(1, int(np.ceil(np.sqrt(w * h / cells))))
        grid = np.empty(((h + side - 1) // side + 2, (w + side - 1) // side + 2), np.int32)
        n = column_segments(
            starts, ends, offsets[i], offsets[i + 1], int(heights[i]), columns, lows, highs
        )
        _rasterise(columns, lows, highs, n, boxes[i], side, grid)
        scratch = np.empty((3, grid.size), np.int64)
        _fill_holes(grid, scratch[0])
        largest = _distances(grid)
        if largest == 0:  # too thin everywhere to fill half a cell
            out[i] = 1.0
            continue
        counts = np.empty(largest + 2, np.int64)
        count = _sorted_cells(grid.ravel(), largest, counts, scratch[0])
        out[i] = 1 - _prominence(grid, scratch[0], count, scratch[1], scratch[2]) / largest


def split(table: MaskTable, *, cells: int = CELLS) -> pd.DataFrame:
    """Look for a second body in each mask.

    Args:
        table: n masks.
        cells: About how many cells of a mask's box are looked at; more see narrower necks in large
            masks and take longer.

    Returns:
        ``split_score`` in [0, 1]: 1 for one convex body (whatever its holes, which are filled),
        near 0 for two equal bodies that barely touch or do not; a speck beside a body costs little.
        NaN for an empty mask. Free of scale.
    """
    runs = table.runs
    out = np.full(len(table), np.nan)
    _split(
        runs.starts,
        runs.ends,
        runs.offsets,
        runs.heights,
        table.boxes,
        cells,
        segment_capacity(runs, table.boxes),
        out,
    )
    return pd.DataFrame({"split_score": out}, index=table.masks.index)


SCORERS = (
    Scorer(
        name="split",
        function=split,
        columns=(
            Column(
                "split_score",
                "One body",
                low_means="two thick parts hang together by a narrow neck, or not at all",
                states="it narrows between two thick parts (one-body score {split_score:.2f})",
                evidence="form",
            ),
        ),
        question="is it one body, or two objects in one mask?",
        needs=("deep",),
    ),
)
