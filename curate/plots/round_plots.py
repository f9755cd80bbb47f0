"""Plots of an engine's rounds: lines by round, shares of proposals, IoU over people's time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from curate.plots.figure_style import Theme, say_no_data

if TYPE_CHECKING:
    from matplotlib.axes import Axes

MOST_NUMBERS = 14
"""Rounds up to which the value stands at each point; more would overlap."""

_ROOM_FOR_TEXT = 0.07
"""Share of a bar from which on it has room for its number."""


@dataclass(frozen=True)
class RoundLine:
    """A number by round.

    Attributes:
        name: What it is; "" where the plot has no other.
        values: One a round, in order; None where it is not known.
        low: Lower ends of intervals; empty for none, None where there is none.
        high: Upper ends.
    """

    name: str
    values: Sequence[float | None]
    low: Sequence[float | None] = ()
    high: Sequence[float | None] = ()


@dataclass(frozen=True)
class RoundLines:
    """Numbers by round, to be drawn as lines.

    Attributes:
        title: Of the plot; its page says it.
        unit: What the axis says.
        rounds: Numbers of the rounds, in order; 0 of the validation images.
        stages: Stage of each; 0 of the validation images.
        lines: The numbers.
        limit: A value to hold, drawn as a line; None for none.
        form: How a number is written at its point.
        whole: Whether the axis begins at 0.
    """

    title: str
    unit: str
    rounds: Sequence[int]
    stages: Sequence[int]
    lines: Sequence[RoundLine]
    limit: float | None = None
    form: str = ".1f"
    whole: bool = True


@dataclass(frozen=True)
class RoundShares:
    """Counts by round that are shares of one whole.

    Attributes:
        title: Of the plot.
        rounds: Numbers of the rounds, in order; 0 of the validation images.
        stages: Stage of each; 0 of the validation images.
        counts: By outcome (one of :data:`OUTCOMES`): one a round.
    """

    title: str
    rounds: Sequence[int]
    stages: Sequence[int]
    counts: Mapping[str, Sequence[int]]


OUTCOMES = (
    *("accepted", "fixed", "rejected", "added"),
    *("prefilled or certified", "refused by a rule", "undecided"),
)
"""Outcomes of proposals, and masks that were added, in the order of their bars."""


@dataclass(frozen=True)
class IouPoint:
    """Validation IoU of a segmenter that a round trained.

    Attributes:
        round: Its number.
        hours: People's hours up to the end of the round, all rounds together.
        iou: Mean IoU, in [0, 1].
        low: Lower end of its 95% interval over images; None for none.
        high: Upper end.
        kept: Whether the segmenter came into force.
    """

    round: int
    hours: float
    iou: float
    low: float | None
    high: float | None
    kept: bool


@dataclass(frozen=True)
class IouCurve:
    """Validation IoU over people's hours.

    Attributes:
        title: Of the plot.
        start: Hours and IoU of the segmenter before the first round; None where there was none.
        points: Of the segmenters that rounds trained, in order.
    """

    title: str
    start: tuple[float, float] | None
    points: Sequence[IouPoint]


def draw_round_lines(axes: Axes, found: RoundLines, theme: Theme) -> None:
    """Draw numbers by round; a value that is not known has no point."""
    if all(value is None for line in found.lines for value in line.values):
        say_no_data(axes, found.title, "it is known of no round")
        return
    for k, line in enumerate(found.lines):
        _draw_line(axes, found, line, theme.sides[k % len(theme.sides)])
    if found.limit is not None:
        axes.axhline(found.limit, color=theme.soft, linestyle=":", lw=1.2)
    if len(found.lines) > 1:
        axes.legend(loc="best")
    axes.margins(y=0.18)
    if found.whole:
        known = (v for line in found.lines for v in (*line.values, *line.high) if v is not None)
        axes.set_ylim(0, 1.22 * max(*known, 1e-9))
    _label_rounds(axes, found.rounds, found.stages, theme)
    axes.set_ylabel(found.unit)


def _draw_line(axes: Axes, found: RoundLines, line: RoundLine, colour: str) -> None:
    """Draw the points of one number; those of the validation images stand alone."""
    known = [(k, v) for k, v in enumerate(line.values) if v is not None]
    joined = [(k, v) for k, v in known if found.rounds[k]]
    alone = [(k, v) for k, v in known if not found.rounds[k]]
    name = line.name or None
    if joined:
        axes.plot(*zip(*joined, strict=True), color=colour, marker="o", ms=5, label=name)
        name = None
    if alone:
        ground = axes.get_facecolor()
        style = {"marker": "o", "ms": 5, "markerfacecolor": ground, "linestyle": "none"}
        axes.plot(*zip(*alone, strict=True), color=colour, label=name, **style)
    for k, (low, high) in enumerate(zip(line.low, line.high, strict=True)):
        if low is not None and high is not None and line.values[k] is not None:
            axes.vlines(k, low, high, color=colour, lw=2.2, alpha=0.45)
    if len(found.lines) == 1 and len(found.rounds) <= MOST_NUMBERS:
        for k, value in known:
            high_end = line.high[k] if line.high else None
            top = value if high_end is None else high_end
            _write_at(axes, (k, top), f"{value:{found.form}}")


def draw_round_shares(axes: Axes, found: RoundShares, theme: Theme) -> None:
    """Draw a bar a round: how proposals came out, and what was added, as shares of both."""
    counts = np.array([found.counts[name] for name in OUTCOMES], np.float64)
    totals = counts.sum(axis=0)
    if not totals.any():
        say_no_data(axes, found.title, "there are no proposals and no added masks")
        return
    shares = np.divide(counts, totals, out=np.zeros_like(counts), where=totals > 0)
    bottom = np.zeros(len(totals))
    for name, part in zip(OUTCOMES, shares, strict=True):
        if part.any():
            _draw_part(axes, name, part, bottom, theme)
        bottom = bottom + part
    axes.set_ylim(0, 100)
    _label_rounds(axes, found.rounds, found.stages, theme, divider=False)
    axes.set_ylabel("% of proposals and added masks")
    axes.legend(loc="upper center", bbox_to_anchor=(0.5, -0.16), ncols=4)


def _draw_part(axes: Axes, name: str, part: np.ndarray, bottom: np.ndarray, theme: Theme) -> None:
    """Draw one outcome in all bars, with numbers where there is room."""
    colours = {
        "accepted": (theme.actions["accept"], 1.0),
        "fixed": (theme.actions["review"], 1.0),
        "rejected": (theme.actions["reject"], 1.0),
        "added": (theme.bars, 1.0),
        "prefilled or certified": (theme.actions["accept"], 0.4),
        "refused by a rule": (theme.actions["reject"], 0.4),
        "undecided": (theme.bars, 0.3),
    }
    colour, alpha = colours[name]
    places = np.arange(len(part))
    axes.bar(places, 100 * part, 0.72, 100 * bottom, color=colour, alpha=alpha, label=name)
    for k in np.flatnonzero(part >= _ROOM_FOR_TEXT).tolist():
        text = f"{100 * part[k]:.0f}"
        ink = theme.on_bar if alpha == 1 else None
        middle = 100 * (bottom[k] + part[k] / 2)
        if len(part) <= MOST_NUMBERS:
            axes.text(k, middle, text, ha="center", va="center", fontsize=7, color=ink)


def draw_iou_curve(axes: Axes, found: IouCurve, theme: Theme) -> None:
    """Draw validation IoU over people's time, and the segmenter in force as steps."""
    if not found.points:
        say_no_data(axes, found.title, "no round has trained a segmenter whose hours are known")
        return
    in_minutes = max(point.hours for point in found.points) < 2
    factor = 60.0 if in_minutes else 1.0
    colour, ground = theme.sides[0], axes.get_facecolor()
    _draw_steps(axes, found, factor, theme)
    for point in found.points:
        x = factor * point.hours
        if point.low is not None and point.high is not None:
            axes.vlines(x, point.low, point.high, color=colour, lw=2.2, alpha=0.45)
        face = colour if point.kept else ground
        axes.plot([x], [point.iou], marker="o", ms=5, color=colour, markerfacecolor=face)
    for text, point in _name_points(found.points):
        top = point.iou if point.high is None else point.high
        _write_at(axes, (factor * point.hours, top), text)
    if found.start is not None:
        at = [factor * found.start[0]], [found.start[1]]
        style = {"marker": "D", "ms": 5, "color": theme.sides[1], "linestyle": "none"}
        axes.plot(*at, label="the segmenter to start with", **style)  # type: ignore[arg-type]
        axes.legend(loc="lower right")
    axes.margins(x=0.1, y=0.2)
    axes.set_xlim(left=0)
    axes.set_xlabel(f"people's {'minutes' if in_minutes else 'hours'}, all rounds together")
    axes.set_ylabel("validation IoU")


def _draw_steps(axes: Axes, found: IouCurve, factor: float, theme: Theme) -> None:
    """Draw the IoU of the segmenter in force, from point to point."""
    steps = [] if found.start is None else [found.start]
    for point in found.points:
        held = point.iou if point.kept or not steps else steps[-1][1]
        steps.append((point.hours, held))
    x, y = zip(*steps, strict=True)
    axes.plot(factor * np.array(x), y, color=theme.soft, lw=1, drawstyle="steps-post")


def _name_points(points: Sequence[IouPoint]) -> list[tuple[str, IouPoint]]:
    """Return the names of points: those of one moment (a training without images) share one."""
    groups: dict[float, list[IouPoint]] = {}
    for point in points:
        groups.setdefault(point.hours, []).append(point)
    if len(groups) > MOST_NUMBERS:
        return []
    return [
        (", ".join(str(one.round) for one in group), max(group, key=_top_of))
        for group in groups.values()
    ]


def _top_of(point: IouPoint) -> float:
    return point.iou if point.high is None else point.high


def _write_at(axes: Axes, place: tuple[float, float], text: str) -> None:
    """Write a number just above a point."""
    offset = {"xytext": (0, 4), "textcoords": "offset points"}
    axes.annotate(text, place, ha="center", va="bottom", fontsize=7.5, **offset)  # type: ignore[arg-type]


def _label_rounds(
    axes: Axes,
    rounds: Sequence[int],
    stages: Sequence[int],
    theme: Theme,
    *,
    divider: bool = True,
) -> None:
    """Name the rounds below the axis, and say where a stage begins."""
    places = np.arange(len(rounds))
    every = max(1, -(-len(rounds) // 24))
    names = ["val." if not number else str(number) for number in rounds]
    axes.set_xticks(places[::every], names[::every])
    axes.set_xlim(-0.6, len(rounds) - 0.4)
    validated = "; val.: the validation images" if 0 in rounds else ""
    axes.set_xlabel(f"round{validated}")
    for k in range(1, len(rounds)):
        if divider and stages[k] != stages[k - 1] and stages[k] > 1:
            axes.axvline(k - 0.5, color=theme.soft, linestyle="--", lw=0.8)
            where = axes.get_xaxis_transform()
            words = {"fontsize": 7.5, "color": theme.soft, "va": "top"}
            axes.text(k - 0.45, 0.99, f"stage {stages[k]}", transform=where, **words)  # type: ignore[arg-type]
