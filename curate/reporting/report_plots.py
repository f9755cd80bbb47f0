"""The report's plots: counted and drawn, with links to the masks behind them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from curate.dataset.notes import count_noun
from curate.plots import category_plots, effort_plot, place_plots, score_plots
from curate.plots.figure_style import Theme
from curate.plots.page_svg import StyleClasses, draw_page_plot
from curate.plots.plot_values import Effort
from curate.render.formatting import count, share
from curate.reporting.plot_queries import (
    category_queries,
    effort_query,
    place_queries,
    score_queries,
)
from curate.reporting.queries import ReportSource

if TYPE_CHECKING:
    from matplotlib.axes import Axes

MOST_CATEGORIES = 15
MEAN_MASKS = 8
MASKS_OF_A_MEAN = 60
SIZE_BINS = 16

WIDTH = 5.2
"""Of a plot in inches: as wide as a phone, on which its letters are as large as it draws them."""


@dataclass(frozen=True)
class ReportPlot:
    """One plot.

    Attributes:
        name: For addresses and ids.
        title: Its heading.
        about: How to read it, and what a click does.
        svg: The figure as an SVG element; its classes are those of the report's ``plot_style``.
        values: What it draws.
    """

    name: str
    title: str
    about: str
    svg: str
    values: object


@dataclass(frozen=True)
class _Asked:
    """A plot to draw: how, what, and the figure's size in inches."""

    name: str
    title: str
    about: str
    plot: Callable[[Axes, Any, Theme], None]
    values: Any
    size: tuple[float, float] = (WIDTH, 3.4)


def draw_plots(source: ReportSource) -> tuple[list[ReportPlot], str]:
    """Draw the plots that have something to show.

    Returns:
        The plots, and the style sheet of their classes.
    """
    if not source.count or "action" not in source.masks:
        return [], ""
    classes = StyleClasses()
    found = []
    for asked in _choose(source):
        svg = draw_page_plot(
            asked.plot,
            asked.values,
            asked.size,
            name=f"plot-{asked.name}",
            label=asked.title,
            classes=classes,
        )
        found.append(ReportPlot(asked.name, asked.title, asked.about, svg, asked.values))
    return found, classes.sheet()


def _choose(source: ReportSource) -> Iterator[_Asked]:
    yield from _of_effort(source)
    yield from _of_categories(source)
    yield from _of_tables(source)
    yield from _of_places(source)
    sizes = score_queries.count_size_quality(source, SIZE_BINS)
    if sizes.counts.any():
        about = (
            "Each cell: masks of an area and a quality. A cell shows those that are not accepted."
        )
        yield _Asked(
            "size-quality", "Area and quality", about, score_plots.draw_size_quality, sizes
        )
    splits = score_queries.count_splits(source)
    if len(splits.names) > 1:
        about = "Whether one split is worse than the others. A bar shows its masks."
        size = _fit_bars(splits.names)
        yield _Asked("splits", "Splits", about, score_plots.draw_splits, splits, size)


def _of_effort(source: ReportSource) -> Iterator[_Asked]:
    effort = effort_query.effort(source)
    if effort is not None and effort.errors:
        about = "Look at so many masks, in the order of the queue, and find this share of all "
        about += f"errors. A strip shows the masks up to there. {state_errors(effort)}"
        yield _Asked("effort", "Look at N, find x%", about, effort_plot.draw_effort, effort)


def state_errors(effort: Effort) -> str:
    """Return the number of bad masks that the curve of the effort takes for all, as a sentence."""
    if effort.reviewed:
        reviewed = count_noun(effort.reviewed, "reviewed mask")
        return f"It rests on the {count(round(effort.errors))} bad of {reviewed}."
    errors = f"{effort.errors:.2g}" if effort.errors < 10 else count(round(effort.errors))
    masks = int(effort.looked[-1])
    whence = "the learned model" if effort.basis == "learned" else "rules of thumb"
    part = share(effort.errors, masks)
    assumed = f"about {errors} bad of {count_noun(masks, 'mask')} ({part}), by {whence}"
    return f"It assumes {assumed}. A reviewed random sample measures it."


def _of_categories(source: ReportSource) -> Iterator[_Asked]:
    named = category_queries.count_categories(source, most=MOST_CATEGORIES)
    if len(named.names) > 1:
        about = "A bar shows the masks of its category and action that have a finding."
        plot, size = category_plots.draw_categories, _fit_bars(named.names)
        yield _Asked("categories", "Categories", about, plot, named, size)
        trouble = category_queries.count_categories(source, "trouble", MOST_CATEGORIES)
        if trouble.names:
            size = _fit_bars(trouble.names)
            about = "Categories with most masks to review or rejected. A bar shows these masks."
            yield _Asked("trouble", "Categories by trouble", about, plot, trouble, size)


def _of_tables(source: ReportSource) -> Iterator[_Asked]:
    reasons = category_queries.count_reasons(source, MOST_CATEGORIES)
    if reasons.counts.size:
        about = "What is wrong with which category. A cell shows its masks."
        size = _fit_table(reasons.rows)
        yield _Asked(
            "reasons", "Categories and reasons", about, category_plots.draw_reasons, reasons, size
        )
    seen = category_queries.count_confusion(source, MOST_CATEGORIES)
    if seen.counts.size:
        about = "What a detector sees where a mask says something else. A cell shows its masks."
        size = _fit_table(seen.rows)
        yield _Asked(
            "confusion",
            "Categories and a detector's",
            about,
            category_plots.draw_confusion,
            seen,
            size,
        )
    both = category_queries.count_co_occurrence(source, MOST_CATEGORIES)
    if len(both.rows) > 1:
        about = "Images that have masks of two categories. It counts images, so nothing is linked."
        size = _fit_table(both.rows)
        plot = category_plots.draw_co_occurrence
        yield _Asked("together", "Categories in the same image", about, plot, both, size)


def _of_places(source: ReportSource) -> Iterator[_Asked]:
    places = place_queries.count_positions(source)
    if places.counts.any():
        about = "A cell shows those there that are not accepted."
        plot = place_plots.draw_positions
        yield _Asked("places", "Where masks lie", about, plot, places)
    if places.trouble.any():
        about = "Masks to review or rejected, by place. A cell shows them."
        plot = place_plots.draw_trouble_positions
        yield _Asked("bad-places", "Where bad masks lie", about, plot, places)
    means = place_queries.mean_masks(source, MEAN_MASKS, MASKS_OF_A_MEAN)
    if means:
        about = "The usual shape of each category. A shape shows its masks that are not accepted."
        size = (WIDTH, 3.0 if len(means) <= place_plots.ACROSS else 4.6)
        yield _Asked("means", "Mean masks", about, place_plots.draw_mean_masks, means, size)


def _fit_bars(names: Sequence[str]) -> tuple[float, float]:
    return (WIDTH, 1.75 + 0.24 * max(4, len(names)))


def _fit_table(rows: Sequence[str]) -> tuple[float, float]:
    return (WIDTH, 2.6 + 0.22 * max(8, len(rows)))  # the scale's label needs the height
