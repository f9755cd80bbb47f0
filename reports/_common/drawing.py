"""Line charts of the studies, in the style of all of curate's plots, as SVG."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from curate.plots.figure_style import Theme, styled, to_svg

WIDTH, HEIGHT = 4.5, 3.8  # of a panel, inches
MOST_POINTS = 400
Points = Sequence[tuple[float, float]]


@dataclass(frozen=True)
class Panel:
    """One chart: lines by name over a common x axis, y from 0 to 1.

    The last line is what the others are held against, and is dashed. With ``log`` the x axis
    runs over powers of ten, from 1.
    """

    title: str
    x_title: str
    y_title: str
    lines: dict[str, Points]
    x_end: float = 1.0
    log: bool = False

    def draw(self, axes: Axes, theme: Theme) -> list[Any]:
        """Draw the lines into axes, and return them for the legend."""
        axes.set_title(self.title)
        axes.set(xlabel=self.x_title, ylabel=self.y_title, ylim=(0, 1))
        if self.log:
            axes.set_xscale("log")
            axes.xaxis.set_major_formatter(lambda value, _: f"{value:,.0f}")
        axes.set_xlim(1 if self.log else 0, self.x_end)
        axes.grid(visible=True, color=theme.soft, alpha=0.2)
        *lines, last = self.lines.items()
        drawn = []
        for (name, points), colour in zip(lines, theme.sides, strict=False):
            drawn += axes.plot(*zip(*thin(points), strict=True), color=colour, label=name)
        points = zip(*thin(last[1]), strict=True)
        return [*drawn, *axes.plot(*points, color=theme.soft, linestyle="--", label=last[0])]


def thin(points: Points, most: int = MOST_POINTS) -> Points:
    """Keep every point near the beginning and evenly fewer behind, the last one too."""
    if len(points) <= most:
        return points
    keep = sorted({round((k / (most - 1)) ** 3 * (len(points) - 1)) for k in range(most)})
    return [points[k] for k in keep]


def draw(path: Path, panels: Sequence[Panel]) -> None:
    """Write panels side by side, with one legend below for their lines."""
    with styled() as theme:
        figure = Figure(figsize=(WIDTH * len(panels), HEIGHT), layout="constrained")
        every = figure.subplots(1, len(panels), squeeze=False)[0]
        lines, *_ = [panel.draw(axes, theme) for panel, axes in zip(panels, every, strict=True)]
        figure.legend(
            handles=lines, loc="outside lower center", ncols=min(len(lines), 3 * len(panels))
        )
    path.write_text(to_svg(figure))
