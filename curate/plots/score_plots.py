"""Plots of scores: one, all, against size, and of datasets side by side."""

from __future__ import annotations

from collections.abc import Sequence
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
    use_plain_numbers,
)
from curate.plots.page_marks import count_ticks, lowest_count
from curate.plots.page_svg import link_to
from curate.plots.plot_values import CategoryCounts, ScoreCounts, SizeQuality
from curate.render.formatting import share

if TYPE_CHECKING:
    from matplotlib.axes import Axes

NARROW = 0.7
"""Powers of ten of areas that need numbers at equal steps: 1, 2 and 5 would be one or none."""

SKEWED = 30
"""A histogram whose fullest bin has this many times the masks of its median bin is drawn on a
logarithmic axis."""


def draw_score(axes: Axes, found: ScoreCounts, theme: Theme) -> None:
    """Draw the histogram of a score, with the thresholds of the policy."""
    title = f"Masks by {plain_name(found.column)}"
    if not found.available:
        say_no_data(axes, title, f"no mask has a value of {plain_name(found.column)}")
        return
    axes.stairs(found.counts, found.edges, fill=True, color=theme.bars)
    filled = np.sort(found.counts[found.counts > 0])
    if filled[-1] > SKEWED * filled[(len(filled) - 1) // 2]:
        axes.set_yscale("log")
        use_plain_numbers(axes.yaxis, float(np.log10(filled[-1])))
    for value, action in found.lines:
        if found.edges[0] <= value <= found.edges[-1]:
            colour = theme.actions.get(action, theme.soft)
            axes.axvline(value, color=colour, linestyle="--", linewidth=1, label=action)
    handles, labels = axes.get_legend_handles_labels()
    once = dict(zip(labels, handles, strict=True))
    if once:
        axes.legend(once.values(), [f"threshold: {word}" for word in once], loc="upper left")
    missing = f", {found.missing:,} without a value" if found.missing else ""
    axes.set_title(title)
    axes.set_xlabel(f"{plain_name(found.column)} (N = {found.available:,} masks{missing})")
    axes.set_ylabel("masks")


def draw_scores(axes: Axes, found: Sequence[ScoreCounts], theme: Theme) -> None:
    """Draw the histograms of all scores below each other, each to its own highest bin."""
    title = "Masks by score, each row to its own highest bin"
    shown = [one for one in found if one.available]
    if not shown:
        say_no_data(axes, title, "no mask has a score")
        return
    for k, one in enumerate(shown):
        heights = 0.85 * one.counts / one.counts.max()
        axes.stairs(k - heights, one.edges, baseline=k, fill=True, color=theme.bars)
    names = [f"{plain_name(one.column)} (N = {one.available:,})" for one in shown]
    axes.set_yticks(range(len(names)), names)
    axes.set_ylim(len(shown) - 0.8, -1)
    axes.set_title(title)
    axes.set_xlabel("score, low is worse (N: masks that have it)")


def draw_size_quality(axes: Axes, found: SizeQuality, theme: Theme) -> None:
    """Draw how many masks have each area and quality."""
    title, n = "Masks by area and quality", int(found.counts.sum())
    if not n:
        say_no_data(axes, title, "no mask has both an area and a quality")
        return
    cells = np.ma.masked_equal(found.counts, 0)
    x, y, low = 10.0**found.area_edges, found.quality_edges, lowest_count(found.counts)
    mesh = axes.pcolormesh(x, y, cells, norm="log", vmin=low, rasterized=False)
    bar = axes.figure.colorbar(mesh, ax=axes, label="masks")
    use_plain_numbers(bar.ax.yaxis, float(np.log10(found.counts.max())))
    axes.set_xscale("log")
    use_plain_numbers(axes.xaxis, float(np.ptp(found.area_edges)))
    if np.ptp(found.area_edges) < NARROW:
        ends = 10.0**found.area_edges
        ticks = count_ticks(round(ends[0]), int(ends[-1]))
        axes.set_xticks(ticks, [f"{tick:,}" for tick in ticks])
    axes.set_title(title)
    axes.set_xlabel(f"area, px (N = {n:,} masks)")
    axes.set_ylabel("quality_score")
    for row, column in np.argwhere(found.counts > 0).tolist():
        low, high = (10.0 ** found.area_edges[column + k] for k in (0, 1))
        bottom, top = (float(found.quality_edges[row + k]) for k in (0, 1))
        cell = add_cell(axes, low, bottom, high - low, top - bottom)
        words = count_noun(int(found.counts[row, column]), "mask")
        area, quality = f"{low:.1f},{high:.1f}", f"{bottom:.4f},{top:.4f}"
        link_to(cell, words, area=area, quality=quality)


def draw_side_scores(axes: Axes, found: Sequence[tuple[str, ScoreCounts]], theme: Theme) -> None:
    """Draw the histograms of one score in several datasets, as shares of each."""
    column = plain_name(found[0][1].column) if found else "score"
    title = f"{column}, side by side"
    if not any(one.available for _, one in found):
        say_no_data(axes, title, f"no mask has a value of {column}")
        return
    for k, (name, one) in enumerate(found):
        label = f"{plain_name(name)} (N = {one.available:,})"
        shares = 100 * one.counts / max(1, one.available)
        colour = theme.sides[k % len(theme.sides)]
        style = ("-", "--", ":", "-.")[k % 4]
        axes.stairs(shares, one.edges, color=colour, linestyle=style, linewidth=1.6, label=label)
    axes.set_title(title)
    axes.set_xlabel(column)
    axes.set_ylabel("% of the masks that have it")
    axes.legend(loc="upper left")


def draw_side_actions(axes: Axes, found: CategoryCounts, theme: Theme) -> None:
    """Draw the shares of the actions in several datasets, a bar each."""
    title = "Actions, side by side"
    if not any(counts.any() for counts in found.actions.values()):
        say_no_data(axes, title, "there are no masks to compare")
        return
    _draw_shares(axes, found, theme)
    axes.set_title(title)


def draw_splits(axes: Axes, found: CategoryCounts, theme: Theme) -> None:
    """Draw the shares of the actions in each split, a bar each."""
    title = "Actions by split"
    if not found.names:
        say_no_data(axes, title, "no mask is in a split of the source")
        return
    _draw_shares(axes, found, theme, linked=True)
    axes.set_title(title)


def _draw_shares(axes: Axes, found: CategoryCounts, theme: Theme, *, linked: bool = False) -> None:
    totals = sum(found.actions.values(), np.zeros(len(found.names), np.int64))
    places, left = np.arange(len(found.names)), np.zeros(len(found.names))
    for action in ACTIONS:
        counts = found.actions[action]
        wide = 100 * counts / totals.clip(1)
        bars = axes.barh(places, wide, left=left, color=theme.actions[action], label=action)
        for bar, name, n in zip(bars, found.names, counts, strict=True) if linked else ():
            words = f"{name}, {action}: {count_noun(int(n), 'mask')}"
            link_to(bar, words, split=name, action=action)
        for y, x, part, n, whole in zip(places, left, wide, counts, totals, strict=True):
            if part >= 8:
                words = share(int(n), int(whole))
                axes.text(
                    float(x + part / 2),
                    float(y),
                    words,
                    ha="center",
                    va="center",
                    color=theme.on_bar,
                )
        left = left + wide
    names = [f"{plain_name(n)} (N = {t:,})" for n, t in zip(found.names, totals, strict=True)]
    axes.set_yticks(places, names)
    give_whole_names(axes.yaxis, found.names)
    axes.invert_yaxis()
    axes.set_xlim(0, 100)
    axes.set_xlabel("% of the masks")
    put_legend_below(axes)
