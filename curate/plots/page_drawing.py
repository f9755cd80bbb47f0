"""A page's plot as SVG text: layout from the widths of its texts, then marks, axes, legend."""

from __future__ import annotations

import base64
import io
import math
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from markupsafe import escape
from PIL import Image

from curate.common.arrays import FloatArray
from curate.plots.page_axes import PageAxes
from curate.plots.page_marks import (
    CIVIDIS,
    Axis,
    Boxes,
    Cells,
    FilledArea,
    Label,
    Line,
    LinkedBox,
    Swatch,
    colours,
    text_width,
    wrap_text,
)

INK, SOFT, GREY = "#1c2127", "#5a636e", "#8a929b"

PAD = 4.0
"""Points that stay blank around all that is drawn."""

TICK = 3.5
"""Length of a tick in points, and blank between it and its words."""

TICK_SIZE, LABEL_SIZE, KEY_SIZE = 8.0, 9.0, 8.0

LEADING = 1.25
"""Distance of lines of text in their size."""

BOLD = 1.12
"""Width of bold letters in that of others."""

TILT = math.sqrt(0.5)

SCALE_GAP = 14.0
"""Points between the plot and its colour scale."""

SCALE_ASPECT = 20
"""Height of a colour scale in its widths."""

LEAST_SIDE = 60.0
"""Points that are left for the plot, however long its texts are."""

MOST_PATHS = 2000
"""Cells that are drawn one by one; more are a picture."""

Namer = Callable[[str], str]
"""Gives the class of a style."""


@dataclass(frozen=True)
class _Sides:
    """Where the axes lie, in points."""

    left: float
    top: float
    right: float
    bottom: float

    @property
    def width(self) -> float:
        return self.right - self.left

    @property
    def height(self) -> float:
        return self.bottom - self.top


def draw_page_svg(axes: PageAxes, name: str, label: str, namer: Namer) -> str:
    """Return a plot as an SVG element of a page.

    Args:
        axes: The plot.
        name: Begins the ids in it; another in each figure of the page.
        label: What it shows, for those who cannot see it.
        namer: Gives the class of a style.
    """
    frame, size = _lay_out(axes), axes.size
    if axes.equal:
        frame, size = _fit_equal(axes, frame)
    drawn = "".join(_PageDrawing(axes, frame, size, name=name, namer=namer).all())
    box = " ".join(f"{side:g}" for side in (0, 0, *size))
    return f'<svg viewBox="{box}" role="group" aria-label="{escape(label)}">{drawn}</svg>'


def _lay_out(axes: PageAxes) -> _Sides:
    """Return where the axes lie, so that all texts have room."""
    wide, high = axes.size
    title = _title_lines(axes)
    top = PAD + len(title) * axes.title_size * LEADING + (5 if title else 0)
    words = _label_lines(axes)
    below = PAD + (len(words) * LABEL_SIZE * LEADING + 3 if words else 0)
    if axes.key and axes.key.shown and axes.key.below:
        below += KEY_SIZE * LEADING + 8
    names = [text for _, text in axes.xaxis.find_ticks(wide, 3 * TICK_SIZE)]
    longest = max((text_width(text, TICK_SIZE) for text in names), default=0.0)
    if axes.xaxis.turned:
        below += 2 * TICK + TILT * (longest + TICK_SIZE)
    elif names:
        below += 2 * TICK + TICK_SIZE * LEADING
    bottom = max(high - below, top + LEAST_SIDE)
    left = PAD + (LABEL_SIZE * LEADING + 4 if axes.yaxis.label else 0)
    beside = [t for _, t in axes.yaxis.find_ticks(bottom - top, 2 * TICK_SIZE)]
    if beside:
        left += 2 * TICK + max(text_width(text, TICK_SIZE) for text in beside)
    right = wide - PAD - _scale_width(axes, bottom - top)
    if names and axes.scale is None and not axes.xaxis.turned:
        right -= _half_last_label(axes, wide)
    if axes.xaxis.turned:
        # The words of a tick reach to the left of it, those of the first one farthest.
        for at, text in axes.xaxis.find_ticks(wide, 3 * TICK_SIZE):
            share = float(axes.xaxis.share(at))
            reach = TILT * (text_width(text, TICK_SIZE) + TICK_SIZE) + PAD
            left = max(left, (reach - share * right) / (1 - share)) if share < 0.9 else left
    for one in axes.drawn:
        # Words beside a bar may reach beyond the end of the axis.
        if isinstance(one, Label) and one.moved and (share := float(axes.xaxis.share(one.at[0]))):
            room = wide - PAD - one.moved - text_width(one.text, one.size)
            right = min(right, left + (room - left) / share)
    return _Sides(min(left, right - LEAST_SIDE), top, right, bottom)


def _title_lines(axes: PageAxes) -> list[str]:
    """Return the lines of the title, no wider than the plot."""
    room = (axes.size[0] - 2 * PAD) / BOLD
    return [one for line in axes.title for one in wrap_text(line, axes.title_size, room)]


def _label_lines(axes: PageAxes) -> list[str]:
    """Return the lines of the words below the axis across, no wider than the plot."""
    room = axes.size[0] - 2 * PAD
    return wrap_text(axes.xaxis.label, LABEL_SIZE, room) if axes.xaxis.label else []


def _fit_equal(axes: PageAxes, frame: _Sides) -> tuple[_Sides, tuple[float, float]]:
    """Return the frame where a unit is as long upwards as across, and the size of the plot.

    The plot is as much lower as the frame is; a narrower frame lies in the middle.
    """
    (x0, x1), (y0, y1) = axes.xaxis.ends(), axes.yaxis.ends()
    unit = min(frame.width / abs(x1 - x0), frame.height / abs(y1 - y0))
    wide, high = unit * abs(x1 - x0), unit * abs(y1 - y0)
    left = frame.left + (frame.width - wide) / 2
    size = (axes.size[0], axes.size[1] - (frame.height - high))
    return _Sides(left, frame.top, left + wide, frame.top + high), size


def _half_last_label(axes: PageAxes, wide: float) -> float:
    """Return how far the words of the last tick across stick out, were the axes this wide."""
    found = 0.0
    for at, text in axes.xaxis.find_ticks(wide, 3 * TICK_SIZE):
        beyond = text_width(text, TICK_SIZE) / 2 - (1 - float(axes.xaxis.share(at))) * wide
        found = max(found, beyond)
    return found


def _scale_width(axes: PageAxes, tall: float) -> float:
    """Return the width of the colour scale, all its words and the gap before it; 0 for none."""
    if axes.scale is None:
        return 0.0
    tall *= axes.scale.shrink
    ticks = axes.scale.yaxis.find_ticks(tall, 2 * TICK_SIZE)
    words = max((text_width(text, TICK_SIZE) for _, text in ticks), default=0.0)
    return SCALE_GAP + tall / SCALE_ASPECT + 2 * TICK + words + 3 + LABEL_SIZE * LEADING


class _PageDrawing:
    """The elements of one plot."""

    def __init__(
        self, axes: PageAxes, frame: _Sides, size: tuple[float, float], *, name: str, namer: Namer
    ) -> None:
        self.axes = axes
        self.frame = frame
        self.size = size
        self.name = name
        self.namer = namer

    def all(self) -> Iterator[str]:
        """Yield all elements, the undermost first."""
        # What carries links lies on all else.
        links = []
        for mark in self.axes.drawn:
            if isinstance(mark, Cells):
                yield from self._cells(mark)
        for mark in self.axes.drawn:
            if isinstance(mark, FilledArea):
                style = f"fill: {mark.colour}; fill-opacity: {mark.opacity:g}"
                yield self._path(self._outline(mark.points) + "z", style)
            elif isinstance(mark, Boxes) and mark.colour:
                yield from (self._box(one, f"fill: {mark.colour}") for one in mark.boxes)
            elif isinstance(mark, Boxes):
                links += [self._box(one, "opacity: 0") for one in mark.boxes]
        yield from self._lines()
        if self.axes.shown:
            yield from self._axis_across()
            yield from self._axis_up()
        yield from self._title()
        yield from (self._label(one) for one in self.axes.drawn if isinstance(one, Label))
        yield from self._legend()
        yield from self._scale()
        yield from links

    def _x(self, values: FloatArray | float) -> FloatArray:
        return self.frame.left + self.axes.xaxis.share(values) * self.frame.width

    def _y(self, values: FloatArray | float) -> FloatArray:
        return self.frame.bottom - self.axes.yaxis.share(values) * self.frame.height

    def _path(self, path: str, style: str) -> str:
        return f'<path class="{self.namer(style)}" d="{path}"/>'

    def _text(
        self, text: str, x: float, y: float, style: str, *, turned: int = 0, tooltip: str = ""
    ) -> str:
        """Write a line of text.

        Args:
            text: The words, on one line.
            x: Where they begin, or as the style says.
            y: Their base line.
            style: Their size, colour and anchor.
            turned: Degrees.
            tooltip: What a pointer over it is told; "" for nothing.
        """
        style = f"{style}; font-family: var(--sans)"
        place = f'x="{x:.2f}" y="{y:.2f}"'
        if turned:
            place = f'transform="translate({x:.2f} {y:.2f}) rotate({turned})"'
        words = str(escape(_unescape(text)))
        if tooltip and tooltip != _unescape(text):
            words = f"<title>{escape(tooltip)}</title>{words}"
        return f'<text class="{self.namer(style)}" {place}>{words}</text>'

    def _outline(self, points: FloatArray) -> str:
        pairs = zip(self._x(points[:, 0]).tolist(), self._y(points[:, 1]).tolist(), strict=True)
        return "M" + "L".join(f"{x:.2f} {y:.2f}" for x, y in pairs)

    def _box(self, one: LinkedBox, style: str) -> str:
        x0, x1 = self._x(np.array([one.x, one.x + one.width])).tolist()
        y0, y1 = self._y(np.array([one.y, one.y + one.height])).tolist()
        path = self._path(f"M{x0:.2f} {y0:.2f}H{x1:.2f}V{y1:.2f}H{x0:.2f}z", style)
        if not one.link:
            return path
        return f'<a href="{escape(one.link)}"><title>{escape(one.words)}</title>{path}</a>'

    def _lines(self) -> Iterator[str]:
        for mark in self.axes.drawn:
            if isinstance(mark, Line):
                yield self._path(self._outline(mark.points), _stroke(mark))

    def _cells(self, cells: Cells) -> Iterator[str]:
        shares, seen = cells.shares(), np.isfinite(cells.values)
        if cells.values.size > MOST_PATHS:
            yield self._picture(shares, seen)
            return
        x, y = self._x(cells.edges[0]).tolist(), self._y(cells.edges[1]).tolist()
        rows, columns = np.nonzero(seen)
        paths: dict[str, list[str]] = defaultdict(list)
        for i, j, rgb in zip(
            rows.tolist(), columns.tolist(), colours(shares[seen]).tolist(), strict=True
        ):
            path = f"M{x[j]:.2f} {y[i]:.2f}H{x[j + 1]:.2f}V{y[i + 1]:.2f}H{x[j]:.2f}z"
            paths[bytes(rgb).hex()].append(path)
        # The darkest colour would hardly be seen on a dark page without its outline.
        line = "" if self.axes.equal else f"; stroke: {SOFT}; stroke-width: 0.4"
        crisp = self.namer(f"shape-rendering: crispEdges{line}")
        drawn = "".join(f'<path fill="#{c}" d="{"".join(p)}"/>' for c, p in paths.items())
        yield f'<g class="{crisp}">{drawn}</g>'

    def _picture(self, shares: FloatArray, seen: np.ndarray) -> str:
        pixels = np.zeros((*shares.shape, 4), np.uint8)
        pixels[seen, :3], pixels[seen, 3] = colours(shares[seen]), 255
        out = io.BytesIO()
        Image.fromarray(pixels, "RGBA").save(out, "PNG")
        frame, data = self.frame, base64.b64encode(out.getvalue()).decode()
        return (
            f'<image class="{self.namer("image-rendering: pixelated")}" preserveAspectRatio="none" '
            f'x="{frame.left:.2f}" y="{frame.top:.2f}" width="{frame.width:.2f}" '
            f'height="{frame.height:.2f}" href="data:image/png;base64,{data}"/>'
        )

    def _axis_across(self) -> Iterator[str]:
        axis, frame = self.axes.xaxis, self.frame
        if self.axes.spines["bottom"].shown:
            ends = f"M{frame.left:.2f} {frame.bottom:.2f}H{frame.right:.2f}"
            yield self._path(ends, _thin(GREY))
        ticks = axis.find_ticks(frame.width, 3 * TICK_SIZE)
        places = [float(self._x(at)) for at, _ in ticks]
        if ticks:
            path = "".join(f"M{x:.2f} {frame.bottom:.2f}v{TICK:g}" for x in places)
            yield self._path(path, _thin(SOFT))
        low = frame.bottom + 2 * TICK
        whole = axis.tooltips_of([text for _, text in ticks])
        for x, (_, text), tip in zip(places, ticks, whole, strict=True):
            if axis.turned:
                end = _words(TICK_SIZE, anchor="end")
                yield self._text(text, x + 2, low + TICK_SIZE * 0.6, end, turned=-45, tooltip=tip)
            else:
                middle = _words(TICK_SIZE, anchor="middle")
                yield self._text(text, x, low + TICK_SIZE * 0.85, middle, tooltip=tip)
        lines = _label_lines(self.axes)
        if lines:
            y = self.size[1] - PAD - LABEL_SIZE * (0.3 + LEADING * (len(lines) - 1))
            if self.axes.key and self.axes.key.shown and self.axes.key.below:
                y -= KEY_SIZE * LEADING + 8
            if self.axes.equal:
                y = frame.bottom + 4 + LABEL_SIZE
            for k, line in enumerate(lines):
                down = y + k * LABEL_SIZE * LEADING
                yield from self._centred(line, (frame.left + frame.right) / 2, down)

    def _centred(self, text: str, x: float, y: float) -> Iterator[str]:
        """Write words in the middle of the axes, moved where they would leave the plot."""
        x = _clamped(x, text, self.size[0])
        yield self._text(text, x, y, _words(LABEL_SIZE, anchor="middle"))

    def _axis_up(self) -> Iterator[str]:
        axis, frame = self.axes.yaxis, self.frame
        if self.axes.spines["left"].shown:
            path = f"M{frame.left:.2f} {frame.top:.2f}V{frame.bottom:.2f}"
            yield self._path(path, _thin(GREY))
        ticks = axis.find_ticks(frame.height, 2 * TICK_SIZE)
        places = [float(self._y(at)) for at, _ in ticks]
        if ticks:
            path = "".join(f"M{frame.left:.2f} {y:.2f}h-{TICK:g}" for y in places)
            yield self._path(path, _thin(SOFT))
        whole = axis.tooltips_of([text for _, text in ticks])
        style = _words(TICK_SIZE, anchor="end")
        for y, (_, text), tip in zip(places, ticks, whole, strict=True):
            x = frame.left - 2 * TICK
            yield self._text(text, x, y + TICK_SIZE * 0.35, style, tooltip=tip)
        if axis.label:
            y = _clamped((frame.top + frame.bottom) / 2, axis.label, self.size[1])
            style = _words(LABEL_SIZE, anchor="middle")
            yield self._text(axis.label, PAD + LABEL_SIZE * 0.85, y, style, turned=-90)

    def _title(self) -> Iterator[str]:
        size = self.axes.title_size
        style = f"{_words(size)}; font-weight: bold"
        lines = _title_lines(self.axes)
        first = self.frame.top - 5 - (len(lines) - 1) * size * LEADING - size * 0.2
        longest = max((text_width(line, size) * BOLD for line in lines), default=0.0)
        left = PAD if self.axes.equal else self.frame.left
        x = max(PAD, min(left, self.size[0] - PAD - longest))
        for k, line in enumerate(lines):
            yield self._text(line, x, first + k * size * LEADING, style)

    def _label(self, one: Label) -> str:
        frame = self.frame
        if one.in_shares:
            x = frame.left + one.at[0] * frame.width
            y = frame.bottom - one.at[1] * frame.height
        else:
            x, y = float(self._x(one.at[0])), float(self._y(one.at[1]))
        anchor = "middle" if one.across == "center" else "start"
        style = _words(one.size, one.colour, anchor)
        lines = one.text.split("\n")
        down = 0.35 if one.up == "center" else -0.25
        drawn = [
            self._text(
                line,
                x + one.moved,
                y + one.size * (down - LEADING * (len(lines) - 1 - k)),
                style,
                tooltip=one.tooltip if "…" in line else "",
            )
            for k, line in enumerate(lines)
        ]
        return "".join(drawn)

    def _legend(self) -> Iterator[str]:
        key = self.axes.key
        if key is None or not key.shown or not key.swatches:
            return
        wide = [16 + 6 + text_width(one.text, KEY_SIZE) for one in key.swatches]
        step = KEY_SIZE * 1.6
        if key.below:
            x = (self.frame.left + self.frame.right - sum(wide) - 14 * (len(wide) - 1)) / 2
            y = self.size[1] - PAD - KEY_SIZE / 2
            for one, width in zip(key.swatches, wide, strict=True):
                yield from self._swatch(one, x, y)
                x += width + 14
            return
        x = self.frame.right - max(wide) - 6
        y = self.frame.bottom - 8 - step * len(wide)
        for k, one in enumerate(key.swatches):
            yield from self._swatch(one, x, y + step * (k + 0.5))

    def _swatch(self, one: Swatch, x: float, y: float) -> Iterator[str]:
        if one.line:
            line = Line(np.zeros((0, 2)), one.colour, one.line, one.dotted)
            yield self._path(f"M{x:.2f} {y:.2f}h16", _stroke(line))
        else:
            style = f"fill: {one.colour}"
            style += "" if one.opacity == 1 else f"; fill-opacity: {one.opacity:g}"
            yield self._path(f"M{x:.2f} {y - 2.8:.2f}h16v5.6h-16z", style)
        yield self._text(one.text, x + 22, y + KEY_SIZE * 0.35, _words(KEY_SIZE))

    def _scale(self) -> Iterator[str]:
        scale = self.axes.scale
        if scale is None:
            return
        frame = self.frame
        tall = frame.height * scale.shrink
        top, thick = (frame.top + frame.bottom - tall) / 2, tall / SCALE_ASPECT
        x = frame.right + SCALE_GAP
        stops = "".join(
            f'<stop offset="{k / (len(CIVIDIS) - 1):g}" stop-color="#{colour}"/>'
            for k, colour in enumerate(CIVIDIS)
        )
        ramp = f"{self.name}-ramp"
        yield f'<linearGradient id="{ramp}" x1="0" y1="1" x2="0" y2="0">{stops}</linearGradient>'
        low, high = scale.yaxis.ends()
        # All cells have one value: a swatch says it, where a ramp would promise others.
        first, length = (top, tall) if high > low else (top + (tall - thick) / 2, thick)
        fill = f"url(#{ramp})" if high > low else f"#{CIVIDIS[len(CIVIDIS) // 2]}"
        path = f"M{x:.2f} {first:.2f}h{thick:.2f}v{length:.2f}h-{thick:.2f}z"
        yield f'<path fill="{fill}" d="{path}"/>'
        yield from self._scale_words(scale.yaxis, (x + thick, top, tall))

    def _scale_words(self, axis: Axis, at: tuple[float, float, float]) -> Iterator[str]:
        """Draw the ticks and words of a colour scale; given are its right side, top, height."""
        x, top, tall = at
        ticks = axis.find_ticks(tall, 2 * TICK_SIZE)
        places = [top + tall * (1 - float(axis.share(value))) for value, _ in ticks]
        yield self._path("".join(f"M{x:.2f} {y:.2f}h{TICK:g}" for y in places), _thin(SOFT))
        for y, (_, text) in zip(places, ticks, strict=True):
            yield self._text(text, x + 2 * TICK, y + TICK_SIZE * 0.35, _words(TICK_SIZE))
        y = _clamped(top + tall / 2, axis.label, self.size[1])
        style = _words(LABEL_SIZE, anchor="middle")
        x += 2 * TICK + max((text_width(text, TICK_SIZE) for _, text in ticks), default=0.0)
        yield self._text(axis.label, x + 1 + LABEL_SIZE * LEADING, y, style, turned=-90)


def _clamped(middle: float, text: str, length: float) -> float:
    """Return where the middle of a label lies, so that it does not leave a plot of a length."""
    half = text_width(text, LABEL_SIZE) / 2
    return max(PAD + half, min(middle, length - PAD - half))


def _unescape(text: str) -> str:
    """Return a text of a plot as it is read: matplotlib takes a bare dollar for a formula."""
    return text.replace(r"\$", "$")


def _words(size: float, colour: str = INK, anchor: str = "start") -> str:
    """Return the style of a text."""
    return f"font-size: {size:g}px; fill: {colour}; text-anchor: {anchor}"


def _thin(colour: str) -> str:
    return f"fill: none; stroke: {colour}; stroke-width: 0.8"


def _stroke(line: Line) -> str:
    dots = f"; stroke-dasharray: {line.width:g} {1.65 * line.width:g}" if line.dotted else ""
    return f"fill: none; stroke: {line.colour}; stroke-width: {line.width:g}{dots}"
