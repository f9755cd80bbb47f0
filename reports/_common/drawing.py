"""Line charts as SVG."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from math import log10
from pathlib import Path

COLOURS = ("#1b6ca8", "#d1495b", "#3a7d44", "#8d6a9f", "#999999")
WIDTH, HEIGHT, LEFT, TOP, RIGHT, BOTTOM = 430, 330, 52, 34, 14, 44
Points = Sequence[tuple[float, float]]


@dataclass(frozen=True)
class Panel:
    """One chart: lines by name over a common x axis, y from 0 to 1.

    With ``log`` the x axis runs over powers of ten, from 1.
    """

    title: str
    x_title: str
    y_title: str
    lines: dict[str, Points]
    x_end: float = 1.0
    log: bool = False

    def x(self, value: float) -> float:
        """Return the place of a value, px."""
        share = log10(max(value, 1)) / log10(self.x_end) if self.log else value / self.x_end
        return LEFT + share * (WIDTH - LEFT - RIGHT)

    def y(self, value: float) -> float:
        """Return the place of a value, px."""
        return HEIGHT - BOTTOM - value * (HEIGHT - TOP - BOTTOM)

    def ticks(self) -> list[tuple[float, str]]:
        """Return values on the x axis and how they are written."""
        if self.log:
            return [(10**k, f"{10**k:,}") for k in range(int(log10(self.x_end)) + 1)]
        return [(k / 5 * self.x_end, f"{k / 5 * self.x_end:g}") for k in range(6)]

    def svg(self, left: float) -> str:
        """Return the panel's drawing, moved to the right."""
        middle, foot = (LEFT + WIDTH - RIGHT) / 2, HEIGHT - BOTTOM
        parts = [f'<g transform="translate({left} 0)">']
        parts.append(f'<text x="{middle}" y="20" class="title">{escape(self.title)}</text>')
        for value, text in self.ticks():
            x = self.x(value)
            parts.append(f'<path class="grid" d="M{x:.1f} {TOP}V{foot}"/>')
            parts.append(f'<text x="{x:.1f}" y="{foot + 15}" class="mid">{text}</text>')
        for k in range(6):
            y = self.y(k / 5)
            parts.append(f'<path class="grid" d="M{LEFT} {y:.1f}H{WIDTH - RIGHT}"/>')
            parts.append(f'<text x="{LEFT - 6}" y="{y + 4:.1f}" class="end">{k / 5:g}</text>')
        parts.append(
            f'<text x="{middle}" y="{HEIGHT - 8}" class="mid">{escape(self.x_title)}</text>'
        )
        turned = f'transform="translate(14 {(TOP + foot) / 2}) rotate(-90)"'
        parts.append(f'<text {turned} class="mid">{escape(self.y_title)}</text>')
        for points, colour in zip(self.lines.values(), COLOURS, strict=False):
            path = "L".join(f"{self.x(x):.1f} {self.y(y):.1f}" for x, y in thinned(points))
            parts.append(f'<path class="line" stroke="{colour}" d="M{path}"/>')
        return "".join([*parts, "</g>"])


def thinned(points: Points, most: int = 400) -> Points:
    """Keep every point near the beginning and evenly fewer behind, the last one too."""
    if len(points) <= most:
        return points
    keep = sorted({round((k / (most - 1)) ** 3 * (len(points) - 1)) for k in range(most)})
    return [points[k] for k in keep]


def draw(path: Path, panels: Sequence[Panel]) -> None:
    """Write panels side by side, with one legend below for their lines."""
    names = list(panels[0].lines)
    row = WIDTH * len(panels) // 170  # names in a row of the legend
    width, height = WIDTH * len(panels), HEIGHT + 8 + 18 * -(-len(names) // row)
    style = (
        "text{font:12px sans-serif;fill:#222}.title{font-weight:bold;text-anchor:middle}"
        ".mid{text-anchor:middle}.end{text-anchor:end}.grid{stroke:#ddd}"
        ".line{fill:none;stroke-width:2}"
    )
    legend = "".join(
        f'<path class="line" stroke="{colour}" '
        f'd="M{LEFT + 170 * (k % row)} {HEIGHT + 9 + 18 * (k // row)}h22"/>'
        f'<text x="{LEFT + 170 * (k % row) + 28}" y="{HEIGHT + 13 + 18 * (k // row)}">'
        f"{escape(name)}</text>"
        for k, (name, colour) in enumerate(zip(names, COLOURS, strict=False))
    )
    charts = "".join(panel.svg(WIDTH * k) for k, panel in enumerate(panels))
    path.write_text(
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" '
        f'width="{width}" height="{height}"><style>{style}</style>'
        f'<rect width="{width}" height="{height}" fill="#fff"/>{charts}{legend}</svg>\n'
    )
