"""Plot of the errors found by looking at the first masks of the queue."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from curate.plots.figure_style import Theme, add_cell, say_no_data
from curate.plots.page_svg import link_to
from curate.plots.plot_values import Effort

if TYPE_CHECKING:
    from matplotlib.axes import Axes

STRIPS = 20
"""Parts of the queue that link to their masks."""

BASES = {
    "sample": "measured on a reviewed random sample: {errors:,.0f} bad of {reviewed:,} masks",
    "known sample": "measured on {errors:,.0f} bad of {reviewed:,} reviewed masks at random, from "
    "which the order may have learned: optimistic",
    "learned": "expected by the learned model (about {errors:,.0f} bad masks), not measured",
    "policy": "a guess from rules of thumb, not measured",
}
"""What a curve rests on, in words."""


def draw_effort(axes: Axes, found: Effort | None, theme: Theme) -> None:
    """Draw the share of all errors among the first masks of the queue, with its uncertainty."""
    title = "Errors found by looking at the first masks of the queue"
    if found is None or not found.errors:
        why = "there are no masks" if found is None else "no mask is bad, as far as is known"
        say_no_data(axes, title, why)
        return
    looked, colour = found.looked, theme.sides[0]
    words = f"{found.confidence:.0%} interval"
    if not found.reviewed:
        words += ", if the probabilities are right"
    guessed = found.basis == "policy"
    if not guessed:  # an interval around a guess would make it look measured
        axes.fill_between(
            looked, 100 * found.low, 100 * found.high, color=colour, alpha=0.25, lw=0, label=words
        )
    axes.plot(looked, 100 * found.found, color=colour, label="by the order of the queue")
    ends = [0, looked[-1]]
    axes.plot(ends, [0, 100], color=theme.soft, linestyle=":", label="in any order")
    axes.set_xlim(*ends)
    axes.set_ylim(0, 102)
    axes.locator_params(axis="x", integer=True)
    basis = BASES[found.basis].format(errors=found.errors, reviewed=found.reviewed)
    axes.set_title(f"{title}\n{basis}", fontsize=9)
    axes.set_xlabel(f"masks looked at, first of the queue first (N = {int(looked[-1]):,})")
    axes.set_ylabel("% of all errors found")
    axes.legend(loc="lower right")
    edges = np.linspace(0, looked[-1], STRIPS + 1)
    at = np.searchsorted(looked, edges[1:], side="left").clip(0, len(looked) - 1)
    for left, right, k in zip(edges, edges[1:], at, strict=False):
        words = f"look at {round(right):,}: find {100 * found.found[k]:.0f}% of the errors"
        if guessed:
            words += " (a guess)"
        else:
            words += f" ({100 * found.low[k]:.0f} to {100 * found.high[k]:.0f}%)"
        link_to(add_cell(axes, left, 0, right - left, 102), words, rank=f"1,{round(right)}")
