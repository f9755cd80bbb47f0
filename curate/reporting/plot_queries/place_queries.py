"""Places of masks in their images, and mean masks of categories."""

from __future__ import annotations

import math

import numpy as np

from curate.common.arrays import FloatArray, IntArray
from curate.plots.plot_values import MeanMask, Positions
from curate.reporting.mask_selection import runs_of
from curate.reporting.queries import ReportSource
from curate.rle import Runs, bbox

SIDE = 48
"""Cells along a side of a mean mask."""


MOST_COLUMNS = 32
"""Cells across the image, where there are masks enough to fill them."""

MASKS_A_CELL = 8
"""Masks that a cell has on average, at least: fewer cells of fewer masks."""


def count_positions(source: ReportSource) -> Positions:
    """Count masks by the place of the middle of their box in the image, in cells of 3 by 4.

    Masks without pixels have no place.
    """
    fitting = round(math.sqrt(source.count / MASKS_A_CELL * 4 / 3))
    columns = min(MOST_COLUMNS, max(4, fitting))
    rows = round(columns * 3 / 4)
    counts, trouble = np.zeros((2, rows, columns), np.int64)
    action = source.column("action", "'accept'")

    def cell(start: str, size: str, whole: str, cells: int) -> str:
        place = f"({start} + {size} / 2) / {whole} * {cells}"
        return f"least({cells - 1}, greatest(0, floor({place})))::int"

    for row in source.rows(
        f"select {cell('bbox_x', 'bbox_w', 'width', columns)} as x, "
        f"{cell('bbox_y', 'bbox_h', 'height', rows)} as y, count(*) as n, "
        f"count(*) filter ({action} <> 'accept') as bad from masks "
        "where area_px > 0 and width > 0 and height > 0 group by all"
    ):
        counts[row["y"], row["x"]] = row["n"]
        trouble[row["y"], row["x"]] = row["bad"]
    return Positions(counts, trouble)


def mean_masks(source: ReportSource, categories: int = 12, sampled: int = 200) -> list[MeanMask]:
    """Return the mean mask of the commonest categories.

    Args:
        source: The audit.
        categories: How many categories.
        sampled: Masks of each, at random but always the same ones.
    """
    name = source.column("category", "null::varchar")
    rows = source.rows(
        f"select coalesce({name}, '(no category)') as name, count(*) as n, "
        f"arg_min(mask_id, hash(mask_id), {int(sampled)}) as ids from masks "
        f"where area_px > 0 group by 1 order by n desc, name limit {int(categories)}"
    )
    place, runs = runs_of(source, [int(i) for row in rows for i in row["ids"]])
    return [
        MeanMask(
            row["name"],
            np.mean([fill_square(runs, place[int(i)]) for i in sorted(row["ids"])], axis=0),
            len(row["ids"]),
            int(row["n"]),
        )
        for row in rows
    ]


def fill_square(runs: Runs, index: int, side: int = SIDE) -> FloatArray:
    """Return a mask in the middle of a square that it fills with its longer side.

    Args:
        runs: A batch of masks.
        index: Which of them; it has pixels.
        side: Cells along a side of the square.

    Returns:
        Shape (side, side): 1 where the pixel at the cell's middle is of the mask, else 0.
    """
    span = slice(int(runs.offsets[index]), int(runs.offsets[index + 1]))
    height, starts, ends = int(runs.heights[index]), runs.starts[span], runs.ends[span]
    x, y, w, h = (float(v) for v in bbox(runs[index : index + 1])[0])
    longest = max(w, h)
    steps = (np.arange(side) + 0.5) / side * longest
    xs = np.floor(x + (w - longest) / 2 + steps).astype(np.int64)
    ys = np.floor(y + (h - longest) / 2 + steps).astype(np.int64)
    inside = ((xs >= x) & (xs < x + w))[None, :] & ((ys >= y) & (ys < y + h))[:, None]
    at: IntArray = xs[None, :] * height + ys[:, None]
    run = np.searchsorted(ends, at, side="right").clip(0, len(ends) - 1)
    covered: FloatArray = (inside & (starts[run] <= at) & (at < ends[run])).astype(np.float64)
    return covered
