"""Style of all plots: matplotlib loaded on first use, colours of light and dark, SVG as text."""

from __future__ import annotations

import io
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.resources import as_file, files
from typing import TYPE_CHECKING, Any, TypeVar

from curate.plots.page_axes import PageAxes
from curate.plots.page_marks import Axis as PageAxis
from curate.plots.page_marks import LinkedBox
from curate.policy.grammar import check_choice
from curate.render.formatting import LONGEST_NAME, display_text

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.axis import Axis
    from matplotlib.figure import Figure
    from matplotlib.patches import Rectangle

Value = TypeVar("Value")

FEW_DECADES = 2.5

MOST_LETTERS = 32
"""Letters of a name that an axis shows."""

LEGEND_BELOW = 4.5
"""Distance of a legend from the axes above it, in its letters' size: ticks and a label fit in."""


@dataclass(frozen=True)
class Theme:
    """Colours of plots on a light or a dark ground.

    Attributes:
        actions: Colour of each action; told apart with any kind of colour blindness.
        bars: Bars that stand for no action.
        sides: Datasets side by side.
        soft: Lines and words of less weight.
        on_bar: Words on a bar of an action.
        settings: What differs from the style file, which is that of light pages.
    """

    actions: Mapping[str, str]
    bars: str
    sides: tuple[str, ...]
    soft: str
    on_bar: str
    settings: Mapping[str, str]


_DARK = {
    **dict.fromkeys(("figure.facecolor", "axes.facecolor"), "#1a1e23"),
    **dict.fromkeys(("text.color", "axes.labelcolor"), "#e9e6e0"),
    **dict.fromkeys(("xtick.labelcolor", "ytick.labelcolor"), "#e9e6e0"),
    **dict.fromkeys(("xtick.color", "ytick.color", "axes.edgecolor"), "#a2abb6"),
}

THEMES = {
    "light": Theme(
        {"accept": "#2f86a3", "review": "#c17a05", "reject": "#b3265a"},
        "#50606e",
        ("#14607d", "#c17a05", "#b3265a", "#50606e"),
        "#5a636e",
        "white",
        {},
    ),
    "dark": Theme(
        {"accept": "#57abc8", "review": "#e6a63a", "reject": "#f0719f"},
        "#93a3b1",
        ("#7cc7e4", "#e6a63a", "#f0719f", "#93a3b1"),
        "#a2abb6",
        "black",
        _DARK,
    ),
}


def load_pyplot() -> Any:
    """Return ``matplotlib.pyplot``, loaded with the first plot: most verbs draw none."""
    from matplotlib import pyplot

    return pyplot


@contextmanager
def styled(theme: str = "light") -> Iterator[Theme]:
    """Put the style in force while a plot is made.

    Raises:
        CallError: There is no such theme.
    """
    check_choice(theme, "theme", tuple(THEMES))
    chosen = THEMES[theme]
    with as_file(files("curate.plots") / "styles" / "curate.mplstyle") as path:
        context = load_pyplot().style.context([str(path), dict(chosen.settings)])
    with context:
        yield chosen


def draw(
    plot: Callable[[Axes, Value, Theme], None],
    value: Value,
    ax: Axes | None = None,
    theme: str = "light",
    size: tuple[float, float] | None = None,
) -> Axes:
    """Draw a value into axes, or into new ones of a figure of their own, and return them.

    Args:
        plot: One of the functions of this room.
        value: What it draws.
        ax: The axes; new ones of pyplot if None, which a notebook shows by itself.
        theme: "light" or "dark".
        size: Width and height of a new figure in inches; None: that of the style.
    """
    with styled(theme) as colours:
        axes = load_pyplot().subplots(figsize=size)[1] if ax is None else ax
        plot(axes, value, colours)
    return axes


def draw_figure(
    plot: Callable[[Axes, Value, Theme], None],
    value: Value,
    theme: str = "light",
    size: tuple[float, float] | None = None,
) -> Figure:
    """Draw a value into a figure that pyplot does not keep: for files and pages."""
    from matplotlib.figure import Figure

    with styled(theme) as colours:
        figure = Figure(figsize=size)
        plot(figure.add_subplot(), value, colours)
    return figure


def to_svg(figure: Figure) -> str:
    """Return a figure as SVG: text as text, without a date, the same bytes each time."""
    from matplotlib.backends.backend_svg import FigureCanvasSVG

    out = io.StringIO()
    layout = figure.get_layout_engine()
    with styled(), warnings.catch_warnings():
        # Signs that the measuring font lacks are drawn by the reader's own.
        warnings.filterwarnings("ignore", "Glyph .* missing from font", UserWarning)
        if layout is not None:
            layout.execute(figure)
            figure.set_layout_engine("none")
        # Not by savefig, which draws all of it once before, to find out where things lie.
        FigureCanvasSVG(figure).print_svg(out, metadata={"Date": None, "Creator": None})
    return out.getvalue()


def use_plain_numbers(axis: Axis | PageAxis, decades: float) -> None:
    """Write the numbers of a logarithmic axis out, as "1,000".

    Powers of ten are formulas to matplotlib, and take it longer than all else in a figure.

    Args:
        axis: The axis.
        decades: How many powers of ten it spans; few of them need numbers in between.
    """
    if isinstance(axis, PageAxis):
        return  # its numbers are plain
    from matplotlib.ticker import LogLocator, NullFormatter

    axis.set_major_locator(LogLocator(subs=(1, 2, 5) if decades < FEW_DECADES else (1,)))
    axis.set_major_formatter(lambda value, _: f"{value:,.7g}")
    axis.set_minor_formatter(NullFormatter())


def plain_name(name: object, longest: int = MOST_LETTERS) -> str:
    """Return a stranger's name as an axis can show it: one line, and no formula.

    A long one is shortened in the middle: numbered names differ at their ends.
    """
    text = display_text(name, LONGEST_NAME)
    if len(text) > longest:
        tail = (longest - 1) // 2
        text = f"{text[: longest - 1 - tail].rstrip(' …')}…{text[-tail:].lstrip(' …')}"
    return text.replace("$", r"\$")


def give_whole_names(axis: Axis | PageAxis, names: Sequence[object]) -> None:
    """Let the ticks of a page's axis tell whole names as tooltips, where they are shortened."""
    if isinstance(axis, PageAxis):
        axis.tooltips = [display_text(name, LONGEST_NAME) for name in names]


def put_legend_below(axes: Axes) -> None:
    """Put the legend in a row below the axes and their label, where it hides nothing."""
    axes.legend(loc="upper center", bbox_to_anchor=(0.5, 0), ncols=3, borderaxespad=LEGEND_BELOW)


def add_cell(
    axes: Axes | PageAxes, x: float, y: float, width: float, height: float
) -> Rectangle | LinkedBox:
    """Add a rectangle that is not seen, to carry a link, and return it.

    It lies on what is drawn, so it is left out where limits and layout are worked out: a thousand
    of them would take longer than all else in a figure.
    """
    if isinstance(axes, PageAxes):
        return axes.add_cell(x, y, width, height)
    from matplotlib.patches import Rectangle

    cell = Rectangle((x, y), width, height, alpha=0.0, linewidth=0)
    cell.set_in_layout(False)
    axes.add_artist(cell)
    return cell


def say_no_data(axes: Axes, title: str, why: str) -> None:
    """Write on axes why nothing is drawn."""
    axes.set_title(title)
    axes.set_axis_off()
    axes.text(0.5, 0.5, why, ha="center", va="center", wrap=True, transform=axes.transAxes)
