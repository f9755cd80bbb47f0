"""Plots of one audit: each method queries, draws into axes, and returns them."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, TypeVar

from curate.errors import CallError
from curate.people.reviews.current_plan import open_audit
from curate.plots import category_plots, effort_plot, place_plots, score_plots
from curate.plots.figure_style import THEMES, Theme, draw
from curate.policy.grammar import check_choice
from curate.reporting.plot_queries import (
    category_queries,
    effort_query,
    place_queries,
    score_queries,
)
from curate.reporting.queries import ReportSource
from curate.store.audit import AnyAudit, StoredAudit

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Value = TypeVar("Value")

PLACES = {
    "masks": place_plots.draw_positions,
    "trouble": place_plots.draw_trouble_positions,
    "share": place_plots.draw_trouble_shares,
}
"""What :meth:`AuditPlots.positions` can draw."""


class AuditPlots:
    """The plots of an audit, as ``audit.plot``.

    Each method draws into the axes ``ax``, or into new ones if None, and returns them. "Trouble"
    are masks that are not accepted, as the plan of today has it. Where there is nothing to draw,
    the axes say why. Memory does not grow with the audit.

    Args:
        audit: The audit.
        theme: "light" or "dark".
    """

    def __init__(self, audit: StoredAudit, theme: str = "light") -> None:
        check_choice(theme, "theme", tuple(THEMES))
        self._audit, self._theme = audit, theme

    def __repr__(self) -> str:
        names = [name for name in vars(AuditPlots) if not name.startswith("_")]
        return f"plots of {self._audit.path}: {', '.join(names)}"

    def themed(self, theme: str) -> AuditPlots:
        """Return the same plots in another theme: "light" or "dark"."""
        return AuditPlots(self._audit, theme)

    @cached_property
    def _source(self) -> ReportSource:
        return ReportSource(self._audit)

    def _draw(
        self,
        plot: Callable[[Axes, Value, Theme], None],
        value: Value,
        ax: Axes | None,
        size: tuple[float, float] | None = None,
    ) -> Axes:
        return draw(plot, value, ax, self._theme, size)

    def categories(self, ax: Axes | None = None, *, by: str = "count", most: int = 20) -> Axes:
        """Draw the masks of each category by action.

        Args:
            ax: The axes.
            by: "count": all masks, most first. "trouble": only those that are not accepted.
            most: Categories that are shown.
        """
        found = category_queries.count_categories(self._source, by, most)
        size = (6.4, 1.6 + 0.24 * max(4, len(found.names)))
        return self._draw(category_plots.draw_categories, found, ax, size)

    def reasons(self, ax: Axes | None = None) -> Axes:
        """Draw the masks that are not accepted by category and kind of reason."""
        found = category_queries.count_reasons(self._source)
        return self._draw(category_plots.draw_reasons, found, ax, (8.4, 5.4))

    def confusion(self, ax: Axes | None = None) -> Axes:
        """Draw masks by their category and that which a detector sees there."""
        found = category_queries.count_confusion(self._source)
        return self._draw(category_plots.draw_confusion, found, ax, (7.4, 5.8))

    def co_occurrence(self, ax: Axes | None = None) -> Axes:
        """Draw how many images have masks of two categories."""
        found = category_queries.count_co_occurrence(self._source)
        return self._draw(category_plots.draw_co_occurrence, found, ax, (7.4, 5.8))

    def positions(self, ax: Axes | None = None, *, of: str = "masks") -> Axes:
        """Draw where in their images the middles of the masks' boxes lie.

        Args:
            ax: The axes.
            of: "masks": all; "trouble": those that are not accepted; "share": the share of these.
        """
        check_choice(of, "of", tuple(PLACES))
        return self._draw(PLACES[of], place_queries.count_positions(self._source), ax)

    def mean_masks(self, ax: Axes | None = None, *, categories: int = 12) -> Axes:
        """Draw the mean mask of the commonest categories, of up to 200 masks of each."""
        found = place_queries.mean_masks(self._source, categories)
        return self._draw(place_plots.draw_mean_masks, found, ax, (6.4, 5.6))

    def size_quality(self, ax: Axes | None = None) -> Axes:
        """Draw how many masks have each area and ``quality_score``."""
        found = score_queries.count_size_quality(self._source)
        return self._draw(score_plots.draw_size_quality, found, ax)

    def effort(self, ax: Axes | None = None) -> Axes:
        """Draw the share of all errors found by looking at the first masks of the queue.

        The title says on what it rests: a reviewed random sample where there is one, else what the
        plan expects. The band is a 95% interval at each point.
        """
        return self._draw(effort_plot.draw_effort, effort_query.effort(self._source), ax)

    def score(self, column: str = "quality_score", ax: Axes | None = None) -> Axes:
        """Draw the histogram of a score, or of any column of numbers, with its thresholds."""
        found = score_queries.count_score(self._source, column)
        return self._draw(score_plots.draw_score, found, ax)

    def scores(self, ax: Axes | None = None) -> Axes:
        """Draw the histograms of all scores below each other."""
        found = score_queries.count_scores(self._source)
        size = (6.4, 1.2 + 0.32 * max(4, len(found)))
        return self._draw(score_plots.draw_scores, found, ax, size)

    def splits(self, ax: Axes | None = None) -> Axes:
        """Draw the shares of the actions in each split, where the source has splits."""
        found = score_queries.count_splits(self._source)
        return self._draw(score_plots.draw_splits, found, ax)

    def versions(
        self,
        others: AnyAudit | Sequence[AnyAudit],
        ax: Axes | None = None,
        *,
        column: str | None = None,
    ) -> Axes:
        """Draw this audit and others side by side, each under the name of its directory.

        Args:
            others: Another audit, or several, or their directories.
            ax: The axes.
            column: A score whose histograms are drawn; the shares of the actions if None.
        """
        listed = [others] if isinstance(others, str | os.PathLike | StoredAudit) else [*others]
        audits = [self._audit, *map(open_audit, listed)]
        if len(audits) < 2:
            raise CallError("there is no other audit to compare with", "versions")
        names = [audit.path.name for audit in audits]
        if len(set(names)) < len(names):
            names = [f"{k + 1}: {audit.path}" for k, audit in enumerate(audits)]
        sources = dict(zip(names, map(ReportSource, audits), strict=True))
        if column is None:
            sides = score_queries.count_side_actions(sources)
            return self._draw(score_plots.draw_side_actions, sides, ax)
        return self._draw(
            score_plots.draw_side_scores, score_queries.count_sides(sources, column), ax
        )
