"""SVG geometry of charts: path data and positions, no markup and no colours."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from curate.common.json_values import is_finite_number
from curate.render.formatting import count, number, short
from curate.reporting.distributions import GRID, Curve, Density, Histogram


@dataclass(frozen=True)
class Mark:
    """A threshold: masks on ``side`` ("below" or "above") of ``value`` get ``action``.

    Attributes:
        words: What these masks are called; the action if "".
    """

    value: float
    action: str
    side: str
    words: str = ""


def marks(policy: Any) -> dict[str, list[Mark]]:
    """Return the thresholds of a policy by column.

    Args:
        policy: The policy as ``audit.json`` holds it, with its ``marks`` (see
            :meth:`curate.policy.policy.Policy.marks`); anything else gives no marks.
    """
    found: dict[str, list[Mark]] = {}
    lines = policy.get("marks") if isinstance(policy, Mapping) else None
    for line in lines if isinstance(lines, list) else ():
        for side in ("below", "above"):
            value = line.get(side)
            if is_finite_number(value):
                mark = Mark(float(value), str(line.get("action", "review")), side)
                there = found.setdefault(str(line.get("column")), [])
                if mark not in there:
                    there.append(mark)
    return {
        column: sorted(_without_range_starts(ms), key=lambda m: m.value)
        for column, ms in found.items()
    }


def _without_range_starts(found: Sequence[Mark]) -> list[Mark]:
    """Leave out the lower ends of ranges of one action.

    Two rules, above a value and below a greater one, would have all masks; so it is one rule, of
    the masks between, and a tint above its lower end would reach masks that nothing is wrong with.
    """
    tops: dict[str, float] = {}
    for mark in found:
        if mark.side == "below":
            tops[mark.action] = max(mark.value, tops.get(mark.action, mark.value))
    return [
        mark
        for mark in found
        if mark.side == "below" or mark.value >= tops.get(mark.action, -math.inf)
    ]


WIDTH, HEIGHT = 260.0, 92.0
"""The box of a small histogram; its labels stand below."""

GUTTER = 36.0
"""Width left of a small histogram, for the numbers of its counts."""

TICK_GAP = 13.0
"""Least distance of two of these numbers."""

LEVELS = 6

LEAST_SEGMENT = 0.7
"""Percent of a bar that its smallest segment gets, so that one bad mask of a million is seen."""


def segments(parts: Sequence[tuple[str, int]], gap: float = 0.3) -> list[tuple[str, float, float]]:
    """Share a bar of 100 units among counts.

    Args:
        parts: (kind, count).
        gap: Units left open between two segments.

    Returns:
        (kind, x, width) of every count above 0; proportional but for :data:`LEAST_SEGMENT`.
    """
    filled = [(kind, n) for kind, n in parts if n]
    total = sum(n for _, n in filled)
    wide = [max(LEAST_SEGMENT, 100 * n / total) for _, n in filled]
    scale = (100 - gap * (len(filled) - 1)) / sum(wide) if filled else 1.0
    x, placed = 0.0, []
    for (kind, _), width in zip(filled, wide, strict=True):
        placed.append((kind, round(x, 2), round(width * scale, 2)))
        x += width * scale + gap
    return placed


def _format_fixed(value: float) -> str:
    return f"{value:.1f}".removesuffix(".0")


@dataclass(frozen=True)
class Bars:
    """A histogram ready to draw.

    Attributes:
        plain: Path data of the bars on a linear axis.
        log: The same on a logarithmic axis.
        ticks: (x, label) under the axis.
        plain_counts: (y, label) beside the linear axis: none and the highest count.
        log_counts: The same of the logarithmic axis, with powers of ten between.
        marks: (x, mark) of the policy's thresholds.
        rows: (from, to, masks) of the filled bins, for the table beside the picture.
    """

    histogram: Histogram
    plain: str
    log: str
    ticks: Sequence[tuple[float, str]]
    plain_counts: Sequence[tuple[float, str]]
    log_counts: Sequence[tuple[float, str]]
    marks: Sequence[tuple[float, Mark]] = ()
    rows: Sequence[tuple[str, str, int]] = ()
    title: str = ""
    low_means: str = ""
    description: str = ""


def bars(
    histogram: Histogram, marks: Sequence[Mark] = (), title: str = "", low_means: str = ""
) -> Bars:
    """Lay out a histogram in a box of :data:`WIDTH` by :data:`HEIGHT`."""
    counts = histogram.counts
    top = max(counts)
    linear = [n / top for n in counts]
    logs = [math.log10(1 + n) / math.log10(1 + top) for n in counts]
    span = histogram.high - histogram.low
    placed = [
        ((mark.value - histogram.low) / span * WIDTH, mark)
        for mark in marks
        if histogram.low <= mark.value <= histogram.high
    ]
    return Bars(
        histogram=histogram,
        plain=_bar_path(linear),
        log=_bar_path(logs),
        ticks=_ticks(histogram),
        plain_counts=[(HEIGHT, "0"), (0.0, _short_count(top))],
        log_counts=_log_counts(top),
        marks=placed,
        rows=_bins(histogram),
        title=title,
        low_means=low_means,
        description=_description(histogram),
    )


def _short_count(n: int) -> str:
    """Return a count that fits into the gutter, as 12,345 or 1.23M."""
    if n < 100_000:
        return count(n)
    return f"{n / 1e6:.3g}M" if n >= 999_500 else f"{n / 1e3:.3g}k"


def _log_counts(top: int) -> list[tuple[float, str]]:
    found = [(HEIGHT, "0")]
    for power in range(len(str(top))):
        y = HEIGHT * (1 - math.log10(1 + 10**power) / math.log10(1 + top))
        if found[-1][0] - y >= TICK_GAP and y >= TICK_GAP:
            found.append((y, _short_count(10**power)))
    return [*found, (0.0, _short_count(top))]


def _bar_path(heights: Sequence[float]) -> str:
    step = WIDTH / len(heights)
    wide, bottom = _format_fixed(step - 0.8), _format_fixed(HEIGHT)
    parts = []
    for i, part in enumerate(heights):
        if part > 0:
            top = _format_fixed(HEIGHT - max(1.5, part * HEIGHT))
            parts.append(f"M{_format_fixed(i * step + 0.4)} {top}h{wide}V{bottom}h-{wide}z")
    return "".join(parts)


def _edge(histogram: Histogram, i: int) -> float:
    return histogram.low + (histogram.high - histogram.low) * i / len(histogram.counts)


def _label(histogram: Histogram, value: float) -> str:
    return number(round(10**value)) if histogram.logarithmic else short(value)


def _bins(histogram: Histogram) -> list[tuple[str, str, int]]:
    return [
        (_label(histogram, _edge(histogram, i)), _label(histogram, _edge(histogram, i + 1)), n)
        for i, n in enumerate(histogram.counts)
        if n
    ]


def _ticks(histogram: Histogram) -> list[tuple[float, str]]:
    low, high = histogram.low, histogram.high
    if histogram.logarithmic:
        values = _decades(low, high)
    else:
        steps = (s for s in (0.25, 0.5, 1, 2.5, 5, 10, 25, 50) if (high - low) / s <= 5)
        step = next(steps, (high - low) / 5)
        values = [k * step for k in range(math.ceil(low / step), math.floor(high / step) + 1)]
    return [((v - low) / (high - low) * WIDTH, _label(histogram, v)) for v in values]


def _decades(low: float, high: float) -> list[float]:
    """Return exponents to label: powers of ten, with 2 and 5 between where there is room."""
    for digits in ((1, 2, 5), (1,)):
        span = range(math.floor(low), math.ceil(high) + 1)
        values = [power + math.log10(d) for power in span for d in digits]
        values = [v for v in values if low - 1e-9 <= v <= high + 1e-9]
        if len(values) <= 5:
            break
    return values[:: max(1, -(-len(values) // 5))] or [low, high]


def _description(histogram: Histogram) -> str:
    median = "" if histogram.median is None else f", median {number(histogram.median)}"
    return f"{count(histogram.available)} values{median}"


@dataclass(frozen=True)
class Cloud:
    """Two scores against each other, ready to draw.

    Attributes:
        levels: A path for each level of density, "" where no cell has it.
        least: Masks of the emptiest cell that is not blank.
        top: Masks of the fullest.
    """

    density: Density
    levels: Sequence[str]
    least: str = ""
    top: str = ""
    x_title: str = ""
    y_title: str = ""
    x_marks: Sequence[tuple[float, Mark]] = ()
    y_marks: Sequence[tuple[float, Mark]] = ()


def cloud(
    density: Density, titles: tuple[str, str], marks: tuple[Sequence[Mark], Sequence[Mark]]
) -> Cloud:
    """Lay out a density in a box of :data:`GRID` cells each way, low values at bottom left."""
    top = max((n for *_, n in density.cells), default=1)
    paths = [""] * LEVELS
    for i, j, n in density.cells:
        part = math.log1p(n) / math.log1p(top)
        paths[min(LEVELS - 1, int(part * LEVELS))] += f"M{i} {GRID - 1 - j}h1v1h-1z"
    return Cloud(
        density=density,
        levels=paths,
        least=count(min((n for *_, n in density.cells), default=1)),
        top=count(top),
        x_title=titles[0],
        y_title=titles[1],
        x_marks=_place_marks(marks[0], density.x_span),
        y_marks=[(GRID - at, mark) for at, mark in _place_marks(marks[1], density.y_span)],
    )


def _place_marks(marks: Sequence[Mark], span: tuple[float, float]) -> list[tuple[float, Mark]]:
    low, high = span
    return [((m.value - low) / (high - low) * GRID, m) for m in marks if low <= m.value <= high]


@dataclass(frozen=True)
class CurvePlot:
    """The stability curve, ready to draw in a box of 640 by 260."""

    curve: Curve
    mean: str
    band: str
    x_ticks: Sequence[tuple[float, str]]
    y_ticks: Sequence[tuple[float, str]]


def line(curve: Curve, width: float = 640, height: float = 240) -> CurvePlot:
    """Lay out the stability curve: the band from p10 to p90 and the mean."""
    low, high = min(curve.offsets), max(curve.offsets)
    floor = max(0.0, math.floor(10 * min(*curve.p10, *curve.mean)) / 10)
    floor = min(floor, 0.9)

    def x(value: float) -> float:
        return (value - low) / (high - low or 1) * width

    def y(value: float) -> float:
        return (1 - value) / (1 - floor) * height

    def path(values: Sequence[float]) -> list[str]:
        return [
            f"{_format_fixed(x(o))} {_format_fixed(y(v))}"
            for o, v in zip(curve.offsets, values, strict=True)
        ]

    around = [*path(curve.p90), *reversed(path(curve.p10))]
    x_step = (high - low) / 4
    return CurvePlot(
        curve=curve,
        mean="M" + "L".join(path(curve.mean)),
        band="M" + "L".join(around) + "z",
        x_ticks=[(x(low + k * x_step), short(low + k * x_step)) for k in range(5)],
        y_ticks=[
            (y(floor + k * (1 - floor) / 4), short(floor + k * (1 - floor) / 4)) for k in range(5)
        ],
    )
