"""Plots of where masks lie in their images, and of their mean shape."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from curate.common.arrays import IntArray
from curate.dataset.notes import count_noun
from curate.plots.figure_style import Theme, add_cell, plain_name, say_no_data
from curate.plots.page_marks import count_ticks, lowest_count
from curate.plots.page_svg import link_to
from curate.plots.plot_values import MeanMask, Positions
from curate.render.formatting import display_text

if TYPE_CHECKING:
    from matplotlib.axes import Axes

LEAST_IN_CELL = 5
"""Masks that a cell needs for a share to be drawn."""

ACROSS = 4
"""Mean masks beside each other."""


def draw_positions(axes: Axes, found: Positions, theme: Theme) -> None:
    """Draw how many masks have their middle in each cell of the image."""
    n = int(found.counts.sum())
    title = "Where masks lie in their images"
    _draw_cells(axes, np.ma.masked_equal(found.counts, 0), title, n, "masks", found.counts)


def draw_trouble_positions(axes: Axes, found: Positions, theme: Theme) -> None:
    """Draw how many masks that are not accepted have their middle in each cell."""
    n = int(found.trouble.sum())
    title = "Where masks that are not accepted lie in their images"
    cells = np.ma.masked_equal(found.trouble, 0)
    _draw_cells(axes, cells, title, n, "masks not accepted", found.trouble)


def draw_trouble_shares(axes: Axes, found: Positions, theme: Theme) -> None:
    """Draw the share of masks that are not accepted in each cell that has enough masks."""
    n = int(found.counts.sum())
    shares = found.trouble / found.counts.clip(1)
    cells = np.ma.masked_where(found.counts < LEAST_IN_CELL, shares)
    title = "Share of masks that are not accepted, by place in the image"
    label = f"share not accepted (cells of {LEAST_IN_CELL} masks or more)"
    _draw_cells(axes, cells, title, 0 if cells.mask.all() else n, label, found.trouble)


def _draw_cells(
    axes: Axes, cells: np.ma.MaskedArray, title: str, n: int, label: str, linked: IntArray
) -> None:
    if not n:
        say_no_data(axes, title, "there are no such masks, or too few")
        return
    counts = np.issubdtype(cells.dtype, np.integer)  # there is no half mask, and 0 stays blank
    low = lowest_count(linked) if counts else 0
    image = axes.imshow(cells, extent=(0, 1, 1, 0), vmin=low, aspect="auto")
    ticks = count_ticks(low, int(cells.max())) if counts else None
    axes.figure.colorbar(image, ax=axes, label=label, ticks=ticks)
    axes.set_title(title)
    axes.set_xlabel(f"middle of the box, x / image width (N = {n:,} masks)")
    axes.set_ylabel("y / image height")
    down, across = linked.shape
    for row, column in np.argwhere(linked > 0).tolist():
        x, y, w, h = column / across, row / down, 1 / across, 1 / down
        place = f"{x:.4f},{y:.4f},{x + w:.4f},{y + h:.4f}"
        words = count_noun(int(linked[row, column]), "mask")
        link_to(add_cell(axes, x, y, w, h), words, place=place)


def draw_mean_masks(axes: Axes, found: Sequence[MeanMask], theme: Theme) -> None:
    """Draw the mean mask of each category, beside and below each other."""
    title = "Mean mask by category"
    if not found:
        say_no_data(axes, title, "no mask has pixels")
        return
    side = len(found[0].mean)
    step, across = round(1.4 * side), min(ACROSS, len(found))
    down = -(-len(found) // across)
    sheet = np.full((down * step, across * step - (step - side)), np.nan)
    for k, one in enumerate(found):
        y, x = (k // across) * step + step - side, (k % across) * step
        sheet[y : y + side, x : x + side] = one.mean
        words = f"{plain_name(one.category, 18)}\n{one.sampled:,} of {one.masks:,}"
        whole = display_text(one.category)
        axes.text(x + side / 2, y - 2, words, ha="center", va="bottom", fontsize=7, gid=whole)
        cell = add_cell(axes, x - 0.5, y - 0.5, side, side)
        link_to(cell, f"{one.category}: {count_noun(one.masks, 'mask')}", category=one.category)
    image = axes.imshow(np.ma.masked_invalid(sheet), vmin=0, vmax=1, aspect="equal")
    axes.figure.colorbar(image, ax=axes, label="share of the masks", shrink=0.6)
    axes.set_title(title)
    axes.set_xticks([])
    axes.set_yticks([])
    for line in axes.spines.values():
        line.set_visible(False)
    n = sum(one.sampled for one in found)
    axes.set_xlabel(f"each mask scaled to its box's longer side (N = {n:,}, at random)")
