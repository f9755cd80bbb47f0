"""Plots of categories: how many masks, how many in trouble, what is mistaken for what."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

import numpy as np

from curate.common.ranges import ACTIONS
from curate.dataset.notes import count_noun
from curate.plots.figure_style import (
    Theme,
    add_cell,
    give_whole_names,
    plain_name,
    put_legend_below,
    say_no_data,
)
from curate.plots.page_svg import link_to
from curate.plots.plot_values import CategoryCounts, CrossTable
from curate.render.formatting import hash_reason, share

if TYPE_CHECKING:
    from matplotlib.axes import Axes

MOST_NUMBERS = 400
"""Cells of a table in which the counts are written; more would not be read."""


def draw_categories(axes: Axes, found: CategoryCounts, theme: Theme) -> None:
    """Draw a bar a category: its masks by action, or those of them that are not accepted."""
    by_trouble = found.by == "trouble"
    title = "Masks not accepted, by category" if by_trouble else "Masks by category and action"
    if not found.names:
        why = "there are no masks that are not accepted" if by_trouble else "there are no masks"
        say_no_data(axes, title, why)
        return
    shown = ACTIONS[1:] if by_trouble else ACTIONS
    places, left = np.arange(len(found.names)), np.zeros(len(found.names), np.int64)
    for action in shown:
        bars = found.actions[action]
        drawn = axes.barh(places, bars, left=left, color=theme.actions[action], label=action)
        for bar, name, masks in zip(drawn, found.names, bars, strict=True):
            words = f"{name}, {action}: {count_noun(int(masks), 'mask')}"
            link_to(bar, words, category=name, action=action)
        left = left + bars
    totals = sum(found.actions.values(), np.zeros(len(places), np.int64))
    trouble = totals - found.actions["accept"]
    for y, end, part, whole in zip(places, left, trouble, totals, strict=True):
        axes.annotate(
            share(int(part), int(whole)),
            (end, y),
            xytext=(3, 0),
            textcoords="offset points",
            va="center",
            fontsize=7,
            color=theme.soft,
        )
    axes.set_yticks(places, [plain_name(name) for name in found.names])
    give_whole_names(axes.yaxis, found.names)
    axes.invert_yaxis()
    axes.margins(x=0.1)
    axes.locator_params(axis="x", integer=True)
    axes.set_title(title)
    others = f", {found.others:,} further categories not shown" if found.others else ""
    axes.set_xlabel(f"masks (N = {found.masks:,}{others}); at each bar: share not accepted")
    put_legend_below(axes)


def draw_reasons(axes: Axes, found: CrossTable, theme: Theme) -> None:
    """Draw a cell for each category and reason: masks that are not accepted for it."""
    title = "Masks not accepted, by category and reason"
    if not found.counts.size:
        say_no_data(axes, title, "no mask has a reason for which it is not accepted")
        return
    _draw_table(axes, found, "share of the category's masks")
    give_whole_names(axes.xaxis, found.keys)
    keys = [hash_reason(kind) for kind in found.keys]
    _link_cells(axes, found, lambda row, column: {"category": row, "reason": keys[column]})
    axes.set_title(title)
    axes.set_ylabel("category")
    axes.set_xlabel(f"reason (N = {found.total:,} masks; in cells: masks)")


def draw_confusion(axes: Axes, found: CrossTable, theme: Theme) -> None:
    """Draw a cell for each annotated category and category that a detector sees there."""
    title = "Annotated category against the detector's"
    if not found.counts.size:
        say_no_data(axes, title, "no detector has named a category of any mask")
        return
    _draw_table(axes, found, "share of the annotated category's masks")
    for row, name in enumerate(found.rows):
        if name in found.columns:
            x = list(found.columns).index(name)
            frame = np.array([[-0.5, 0.5, 0.5, -0.5, -0.5], [-0.5, -0.5, 0.5, 0.5, -0.5]])
            axes.plot(x + frame[0], row + frame[1], color=theme.actions["review"], linewidth=1.2)
    seen = found.columns
    _link_cells(axes, found, lambda row, column: {"category": row, "detector": seen[column]})
    axes.set_title(title)
    axes.set_ylabel("annotated category")
    axes.set_xlabel(f"detector's category (N = {found.total:,} masks; framed: the same)")


def draw_co_occurrence(axes: Axes, found: CrossTable, theme: Theme) -> None:
    """Draw a cell for each pair of categories: images that have both.

    Its cells link to nothing: they count images, and a gallery shows masks.
    """
    title = "Categories in the same image"
    if not found.counts.size:
        say_no_data(axes, title, "no image has a mask with a category")
        return
    _draw_table(axes, found, "share of the images with the row's category")
    axes.set_title(title)
    axes.set_ylabel("images with this category")
    axes.set_xlabel(f"also have this one (N = {found.total:,} images with masks; in cells: images)")


def _link_cells(
    axes: Axes, found: CrossTable, filters: Callable[[str, int], Mapping[str, str]]
) -> None:
    """Lay a link over each cell that counts something.

    Args:
        axes: Those of the table.
        found: The table.
        filters: Gives the filters of a cell by the name of its row and the number of its column.
    """
    for row, column in np.argwhere(found.counts > 0).tolist():
        name, masks = found.rows[row], int(found.counts[row, column])
        words = f"{name}, {found.columns[column]}: {count_noun(masks, 'mask')}"
        link_to(add_cell(axes, column - 0.5, row - 0.5, 1, 1), words, **filters(name, column))


def _draw_table(axes: Axes, found: CrossTable, of: str) -> None:
    """Draw a table as coloured cells, counts written in them where they can be read."""
    shares = found.shares
    image = axes.imshow(np.ma.masked_equal(shares, 0), vmin=0, aspect="auto")
    axes.figure.colorbar(image, ax=axes, label=of)
    names = [plain_name(name, 28) for name in found.columns]
    axes.set_xticks(range(len(names)), names, rotation=45, ha="right", rotation_mode="anchor")
    give_whole_names(axes.xaxis, found.columns)
    axes.set_yticks(range(len(found.rows)), [plain_name(name, 26) for name in found.rows])
    give_whole_names(axes.yaxis, found.rows)
    for side in axes.spines.values():
        side.set_visible(False)
    if found.counts.size > MOST_NUMBERS:
        return
    dark = shares < 0.55 * shares.max()
    for row, column in np.argwhere(found.counts > 0):
        axes.text(
            column,
            row,
            f"{found.counts[row, column]:,}",
            ha="center",
            va="center",
            fontsize=6.5,
            color="#fefefe" if dark[row, column] else "#000000",
        )
