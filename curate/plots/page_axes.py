"""Axes that draw as SVG of a page: the part of matplotlib's ``Axes`` that the report's plots use.

A plot of a page is bars, lines, cells and texts. matplotlib takes half a second to load and a tenth
of a second for each of them, most of it for ticks and layout; this needs a hundredth of that. The
methods are matplotlib's own, with the same names and arguments, so one function draws a plot for
a notebook and for a page. Lengths are in points, of which an inch has 72; y grows downwards.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from curate.common.arrays import AnyArray
from curate.plots.page_marks import (
    Axis,
    Boxes,
    Cells,
    ColourScale,
    FilledArea,
    Label,
    Legend,
    Line,
    LinkedBox,
    Spine,
    Swatch,
)


@dataclass
class PageAxes:
    """One plot of a page, drawn by the methods of matplotlib's ``Axes``.

    Attributes:
        size: Width and height in points.
        xaxis: The axis across.
        yaxis: The axis up.
        spines: The lines of the axes, by side.
        drawn: What is drawn into the axes, the first undermost.
        scale: The colour scale beside it.
        equal: Whether a unit is as long upwards as across.
        title: Its lines.
        title_size: Their size.
        shown: Whether there are axes.
        key: The legend.
    """

    size: tuple[float, float]
    xaxis: Axis = field(default_factory=Axis)
    yaxis: Axis = field(default_factory=Axis)
    spines: Mapping[str, Spine] = field(
        default_factory=lambda: {"left": Spine(), "bottom": Spine()}
    )
    drawn: list[FilledArea | Line | Boxes | Cells | Label] = field(default_factory=list)
    scale: ColourScale | None = None
    equal: bool = False
    title: Sequence[str] = ()
    title_size: float = 10.0
    shown: bool = True
    key: Legend | None = None

    transAxes = "axes"

    @property
    def figure(self) -> PageAxes:
        """What makes colour scales: the plot itself."""
        return self

    def set_title(self, text: str, fontsize: float = 10.0) -> None:
        """Set the title."""
        self.title, self.title_size = text.split("\n"), fontsize

    def set_xlabel(self, text: str) -> None:
        """Set the words below the axis across."""
        self.xaxis.label = text

    def set_ylabel(self, text: str) -> None:
        """Set the words beside the axis up."""
        self.yaxis.label = text

    def set_xlim(self, low: float, high: float) -> None:
        """Set the ends of the axis across."""
        self.xaxis.limits = (float(low), float(high))

    def set_ylim(self, low: float, high: float) -> None:
        """Set the ends of the axis up."""
        self.yaxis.limits = (float(low), float(high))

    def set_xticks(
        self,
        at: Sequence[float],
        names: Sequence[str] = (),
        *,
        rotation: float = 0,
        ha: str = "center",
        rotation_mode: str = "default",
    ) -> None:
        """Set the ticks across; with names they are turned by 45 degrees, ended at their tick."""
        del ha, rotation_mode
        self.xaxis.ticks = list(zip(map(float, at), names, strict=False))
        self.xaxis.turned = bool(rotation)

    def set_yticks(self, at: Sequence[float], names: Sequence[str] = ()) -> None:
        """Set the ticks upwards."""
        self.yaxis.ticks = list(zip(map(float, at), names, strict=False))

    def set_xscale(self, kind: str) -> None:
        """Make the axis across logarithmic."""
        self.xaxis.logarithmic = kind == "log"

    def set_axis_off(self) -> None:
        """Leave the axes out."""
        self.shown = False

    def invert_yaxis(self) -> None:
        """Let values grow downwards."""
        self.yaxis.inverted = True

    def margins(self, x: float) -> None:
        """Set the share of the axis across that stays blank beyond its values."""
        self.xaxis.margin = x

    def locator_params(self, axis: str, *, integer: bool) -> None:
        """Set whether an axis has ticks at whole numbers only."""
        (self.xaxis if axis == "x" else self.yaxis).whole = integer

    def plot(
        self,
        x: Any,
        y: Any,
        *,
        color: str,
        label: str = "",
        linestyle: str = "-",
        linewidth: float = 1.5,
    ) -> None:
        """Draw a line through points."""
        points = np.column_stack([np.asarray(x, np.float64), np.asarray(y, np.float64)])
        self.drawn.append(Line(points, color, linewidth, linestyle == ":"))
        self._reach(points[:, 0], points[:, 1])
        self._name(label, Swatch(label, color, 1.0, linewidth, linestyle == ":"))

    def fill_between(
        self, x: Any, low: Any, high: Any, *, color: str, alpha: float, lw: float, label: str
    ) -> None:
        """Fill what is between two curves."""
        del lw
        along = np.concatenate([np.asarray(x, np.float64), np.asarray(x, np.float64)[::-1]])
        around = np.concatenate([np.asarray(high, np.float64), np.asarray(low, np.float64)[::-1]])
        self.drawn.append(FilledArea(np.column_stack([along, around]), color, alpha))
        self._reach(along, around)
        self._name(label, Swatch(label, color, alpha))

    def barh(self, y: Any, width: Any, *, left: Any, color: str, label: str) -> Sequence[LinkedBox]:
        """Draw a bar for each place of the axis up."""
        y, width, left = (np.asarray(one, np.float64) for one in (y, width, left))
        bars = [
            LinkedBox(float(start), float(at) - 0.4, float(wide), 0.8)
            for at, wide, start in zip(y, width, left, strict=True)
        ]
        self.drawn.append(Boxes(bars, color))
        self._reach(np.append(left, left + width), np.append(y - 0.4, y + 0.4))
        self.xaxis.sticky = True
        self._name(label, Swatch(label, color))
        return bars

    def imshow(
        self,
        values: AnyArray,
        *,
        vmin: float,
        aspect: str,
        vmax: float | None = None,
        extent: tuple[float, float, float, float] | None = None,
    ) -> Cells:
        """Draw a cell for each number of a table, its first row at the top."""
        down, across = values.shape
        x0, x1, y1, y0 = extent or (-0.5, across - 0.5, down - 0.5, -0.5)
        self.xaxis.limits, self.yaxis.limits = (x0, x1), (y1, y0)
        self.equal = aspect == "equal"
        edges = np.linspace(x0, x1, across + 1), np.linspace(y0, y1, down + 1)
        return self._add_cells(values, edges, vmin, vmax)

    def pcolormesh(
        self,
        x: AnyArray,
        y: AnyArray,
        values: AnyArray,
        *,
        norm: str,
        vmin: float,
        rasterized: bool,
    ) -> Cells:
        """Draw a cell for each number between edges."""
        del rasterized
        self.xaxis.limits = (float(x[0]), float(x[-1]))
        self.yaxis.limits = (float(y[0]), float(y[-1]))
        return self._add_cells(values, (x, y), vmin, None, logarithmic=norm == "log")

    def _add_cells(
        self,
        values: AnyArray,
        edges: tuple[AnyArray, AnyArray],
        low: float,
        high: float | None,
        *,
        logarithmic: bool = False,
    ) -> Cells:
        numbers = np.ma.filled(np.ma.asarray(values, np.float64), math.nan)
        if high is None:
            high = float(np.nanmax(numbers)) if np.isfinite(numbers).any() else low + 1
        cells = Cells(numbers, edges, low, max(low, high), logarithmic)
        self.drawn.append(cells)
        return cells

    def colorbar(
        self,
        cells: Cells,
        *,
        ax: object,
        label: str,
        ticks: Sequence[float] | None = None,
        shrink: float = 1.0,
    ) -> ColourScale:
        """Add the scale of the colours of cells beside the axes."""
        del ax
        axis = Axis(limits=(cells.low, cells.high), logarithmic=cells.logarithmic, label=label)
        if ticks is not None:
            axis.ticks = [(float(one), f"{one:,}") for one in ticks]
        self.scale = ColourScale(axis, shrink)
        return self.scale

    def text(
        self,
        x: float,
        y: float,
        text: str,
        *,
        ha: str,
        va: str,
        color: str = "#1c2127",
        fontsize: float = 9.0,
        wrap: bool = False,
        transform: str = "",
        gid: str = "",
    ) -> None:
        """Write into the axes; with ``transAxes`` x and y are shares of their sides.

        The id is a tooltip.
        """
        del wrap
        shared = bool(transform)
        at = (float(x), float(y))
        self.drawn.append(Label(text, at, ha, va, fontsize, color, in_shares=shared, tooltip=gid))

    def annotate(
        self,
        text: str,
        at: tuple[float, float],
        *,
        xytext: tuple[float, float],
        textcoords: str,
        va: str,
        fontsize: float,
        color: str,
    ) -> None:
        """Write beside a point, so many points from it."""
        del textcoords
        place = (float(at[0]), float(at[1]))
        self.drawn.append(Label(text, place, "left", va, fontsize, color, moved=xytext[0]))

    def legend(
        self,
        *,
        loc: str,
        bbox_to_anchor: tuple[float, float] | None = None,
        ncols: int = 1,
        borderaxespad: float = 0.0,
    ) -> None:
        """Add the legend: inside at the lower right, or below the axes in one row."""
        del loc, ncols, borderaxespad
        self.key = Legend(self.key.swatches if self.key else [], bbox_to_anchor is not None)
        self.key.shown = True

    def add_cell(self, x: float, y: float, width: float, height: float) -> LinkedBox:
        """Add a box that is not seen, to carry a link."""
        box = LinkedBox(x, y, width, height)
        self.drawn.append(Boxes([box], ""))
        return box

    def _name(self, label: str, swatch: Swatch) -> None:
        if label:
            self.key = self.key or Legend([])
            self.key.swatches.append(swatch)

    def _reach(self, x: AnyArray, y: AnyArray) -> None:
        self.xaxis.reach(x)
        self.yaxis.reach(y)
