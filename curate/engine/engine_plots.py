"""Plots of the engine's report: which there are, by what the ledger knows, and their captions."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from curate.engine.round_numbers import (
    MOST_UNTIMED,
    LedgerRow,
    count_standing,
    find_iou_curve,
    join_words,
    name_untimed,
    number,
    seconds_per_mask,
    whole,
)
from curate.plots.figure_style import Theme, draw_figure
from curate.plots.page_svg import StyleClasses, to_page_svg
from curate.plots.round_plots import (
    OUTCOMES,
    RoundLine,
    RoundLines,
    RoundShares,
    draw_iou_curve,
    draw_round_lines,
    draw_round_shares,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes

SIZE = (6.4, 3.6)
"""Width and height of a plot in inches."""


@dataclass(frozen=True)
class RoundPlot:
    """A plot of the rounds.

    Attributes:
        name: For addresses and ids.
        title: Its heading.
        about: What is measured, and what is left out.
        svg: The figure as an SVG element; "" where nothing is known to draw.
        values: What it draws.
    """

    name: str
    title: str
    about: str
    svg: str
    values: object


@dataclass(frozen=True)
class _Wanted:
    """A plot to draw; ``known`` is whether there is something to draw."""

    name: str
    about: str
    draw: Callable[[Axes, Any, Theme], None]
    values: RoundLines | RoundShares | Any
    known: bool
    missing: str


def draw_round_plots(rows: Sequence[LedgerRow], *, max_bad: float) -> tuple[list[RoundPlot], str]:
    """Draw the plots of the rounds.

    Args:
        rows: Of the ledger, in order; none: no plot.
        max_bad: Largest allowed share of bad masks among the prefilled.

    Returns:
        The plots, and the style sheet of their classes.
    """
    classes = StyleClasses()
    plots = [_draw(one, classes) for one in _choose(rows, max_bad)] if rows else []
    return plots, classes.sheet()


def _draw(one: _Wanted, classes: StyleClasses) -> RoundPlot:
    title = one.values.title
    if not one.known:
        return RoundPlot(one.name, title, one.missing, "", one.values)
    figure = draw_figure(one.draw, one.values, size=SIZE)
    svg = to_page_svg(figure, f"plot-{one.name}", title, classes)
    return RoundPlot(one.name, title, one.about, svg, one.values)


def _choose(rows: Sequence[LedgerRow], max_bad: float) -> Iterator[_Wanted]:
    yield _seconds(rows)
    yield _masks(rows)
    yield _iou(rows)
    yield _shares(rows)
    if any(whole(row, "stage") == 2 for row in rows):
        yield _precision([row for row in rows if whole(row, "stage") == 2], max_bad)
    yield _diversity(rows)


def _lines(rows: Sequence[LedgerRow], title: str, unit: str, *lines: RoundLine) -> RoundLines:
    numbers = [whole(row, "round") for row in rows]
    return RoundLines(title, unit, numbers, [whole(row, "stage") for row in rows], lines)


def _wanted(name: str, about: str, values: RoundLines, missing: str) -> _Wanted:
    known = any(value is not None for line in values.lines for value in line.values)
    return _Wanted(name, about, draw_round_lines, values, known, missing)


def _seconds(rows: Sequence[LedgerRow]) -> _Wanted:
    line = RoundLine("", [seconds_per_mask(row) for row in rows])
    values = _lines(rows, "Seconds a mask", "people's seconds a mask", line)
    about = "People's time in a round (by the page's clock, or as it was imported), by all masks "
    about += "that the round has in the end, those that stand as they were proposed too."
    untimed = name_untimed(rows)
    if untimed:
        about += f" Left out: {join_words(untimed)}; over {MOST_UNTIMED:.0%} is too many."
    missing = "Not drawn: people's seconds are not known of any round with masks."
    return _wanted("seconds", about, values, missing)


def _masks(rows: Sequence[LedgerRow]) -> _Wanted:
    line = RoundLine("", [number(row, "masks_per_image") for row in rows])
    values = _lines(rows, "Masks an image", "masks an image", line)
    about = "Masks that a round has in the end, by its images. Rounds have different images, so a "
    about += "difference can be theirs."
    return _wanted("masks", about, values, "Not drawn: no round has images.")


def _iou(rows: Sequence[LedgerRow]) -> _Wanted:
    curve = find_iou_curve(rows, "Validation IoU over people's time")
    about = "Mean IoU of people's masks of the validation images with what each segmenter draws "
    about += "for their boxes and points, with its 95% interval over images; numbers name the "
    about += "rounds. Hollow: it was not better, and the one before stays in force (the line). "
    about += "The time is that of all rounds and of the validation images. The best epoch was "
    about += "chosen on the same images, so the values are a little too high."
    if untimed := name_untimed(rows):
        about += f" More time was spent than is drawn: {join_words(untimed)}."
    missing = "Not drawn: no round has trained a segmenter, or people's time is not known."
    return _Wanted("iou", about, draw_iou_curve, curve, bool(curve.points), missing)


def _shares(rows: Sequence[LedgerRow]) -> _Wanted:
    # In the order of the bars; what nobody decided on and nobody was asked about stands.
    own = ("accepted", "fixed", "rejected", "added")
    counts = {name: [whole(row, name) for row in rows] for name in own}
    counts["prefilled or certified"] = [count_standing(row) for row in rows]
    counts["refused by a rule"] = [_count_refused(row) for row in rows]
    counts["undecided"] = [whole(row, "undecided") for row in rows]
    numbers = [whole(row, "round") for row in rows]
    stages = [whole(row, "stage") for row in rows]
    ordered = {name: counts[name] for name in OUTCOMES}
    values = RoundShares("What became of the proposals", numbers, stages, ordered)
    about = "Each bar is all proposals of a round and the masks that people added, which no "
    about += "proposal had found. Fixed is redrawn or given another class."
    if any(counts["prefilled or certified"]):
        about += " People were not asked about prefilled and certified ones."
    if any(counts["undecided"]):
        about += " Undecided ones are of rounds that were closed early, and count as no mask."
    known = any(any(parts) for parts in ordered.values())
    missing = "Not drawn: there are no proposals and no added masks."
    return _Wanted("shares", about, draw_round_shares, values, known, missing)


def _count_refused(row: LedgerRow) -> int:
    """Return the proposals that a rule alone has refused, in the automatic stage."""
    known = ("accepted", "fixed", "rejected", "undecided")
    others = sum(whole(row, name) for name in known) + count_standing(row)
    return max(whole(row, "proposals") - others, 0)


def _precision(rows: Sequence[LedgerRow], max_bad: float) -> _Wanted:
    names = ("precision", "precision_low", "precision_high")
    line = RoundLine("", *([number(row, name) for row in rows] for name in names))
    found = _lines(rows, "Precision of prefilled masks", "share that is good", line)
    values = RoundLines(
        found.title, found.unit, found.rounds, found.stages, found.lines, 1 - max_bad, ".2f", False
    )
    about = "Share of good masks among those of a round that were over its lines, by the ones that "
    about += "people were asked about unmarked, with its exact 95% interval. It is of the round's "
    about += f"own masks, not of later ones. Dotted: {1 - max_bad:.0%}, what is wanted."
    without = [whole(row, "round") for row in rows if number(row, "precision") is None]
    if without:
        said = join_words([str(n) for n in without])
        about += f" Without a number, as nothing was prefilled or checked: round {said}."
    missing = "Not drawn: no prefilled mask was checked by people yet."
    return _wanted("precision", about, values, missing)


def _diversity(rows: Sequence[LedgerRow]) -> _Wanted:
    kinds = {"sizes": "sizes (octaves of area)", "clusters": "kinds of pictures"}
    if any((number(row, "effective_categories") or 0) > 1 for row in rows):
        kinds["categories"] = "categories"
    lines = [
        RoundLine(words, [number(row, f"effective_{name}") for row in rows])
        for name, words in kinds.items()
    ]
    values = _lines(rows, "Diversity of the masks", "effective number", *lines)
    about = "As many equally common kinds would be as diverse (the exponential of Shannon's "
    about += "entropy) as the masks of a round. Few masks cannot show many kinds, so rounds "
    about += "compare only where they have about as many."
    return _wanted("diversity", about, values, "Not drawn: no round has masks.")
