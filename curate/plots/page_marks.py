"""Parts of a page's plot: marks, axes with their ticks, widths of texts, colours."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from curate.common.arrays import AnyArray, FloatArray

CIVIDIS = (
    *("00224e", "002e6a", "1a386f", "32436d", "434e6c", "535a6d", "61656f", "6f7073", "7d7c78"),
    *("8c8878", "9b9476", "aba072", "bcae6c", "cdbb63", "dec958", "f0d846", "fee838"),
)
"""Colours at equal steps from low to high: equally readable with any kind of colour vision (Nuñez,
Anderton and Renslow, 2018)."""

_RAMP = np.array([[int(one[k : k + 2], 16) for k in (0, 2, 4)] for one in CIVIDIS], np.float64)

_WIDTHS = (
    "32 40 46 84 64 95 78 27 39 39 50 84 32 36 32 34 64 64 64 64 64 64 64 64 "
    "64 64 34 34 84 84 84 53 100 68 69 70 77 63 58 77 75 29 29 66 56 86 75 79 "
    "60 79 69 63 61 73 68 99 69 61 69 39 34 39 84 50 50 61 63 55 63 62 35 63 "
    "63 28 28 58 28 97 63 61 63 63 41 52 39 63 59 82 59 59 52 64 34 64 84"
)
"""Widths of the signs of ASCII from the blank on, in hundredths of the size: those of DejaVu Sans,
wider than the fonts that pages are shown in."""

_ASCII = dict(zip(map(chr, range(32, 127)), map(int, _WIDTHS.split()), strict=True))

_STEPS = (1.0, 2.0, 2.5, 5.0, 10.0)

_FEW_DECADES = 2.5

_MOST_COUNTS = 6

BLANK = 0.05
"""Share of an axis that stays blank beyond its values."""


def text_width(text: str, size: float) -> float:
    """Return about how wide a line of text is, in points; rather too much than too little."""
    return size * sum(_ASCII.get(sign, 64 if ord(sign) < 0x1100 else 100) for sign in text) / 100


def wrap_text(text: str, size: float, room: float) -> list[str]:
    """Return the lines of a text that is no wider than some points, about equally long ones."""
    lines = _wrap_greedily(text, size, room)
    shares = (0.5, 0.6, 0.7, 0.8, 0.9) if len(lines) > 1 else ()
    for share in shares:
        more_equal = _wrap_greedily(text, size, share * room)
        if len(more_equal) == len(lines):
            return more_equal
    return lines


def _wrap_greedily(text: str, size: float, room: float) -> list[str]:
    lines = [""]
    for word in text.split(" "):
        longer = f"{lines[-1]} {word}".strip()
        if lines[-1] and text_width(longer, size) > room:
            lines.append(word)
        else:
            lines[-1] = longer
    return lines


def lowest_count(counts: AnyArray) -> int:
    """Return where a scale of counts above 0 begins: at 1, or at the only count there is."""
    above = counts[counts > 0]
    return int(above[0]) if len(above) and (above == above[0]).all() else 1


def count_ticks(low: int, high: int) -> list[int]:
    """Return whole numbers to write beside counts: the lowest, and round ones above it."""
    least = max(1.0, (high - low) / _MOST_COUNTS)
    power = 10 ** math.floor(math.log10(least))
    step = next(k * power for k in (1, 2, 5, 10) if k * power >= least)
    first = math.ceil((low + 0.6 * step) / step)
    return [low, *range(first * step, high + 1, step)]


def colours(shares: FloatArray) -> AnyArray:
    """Return the colours of shares of a scale: shape (n, 3), whole numbers from 0 to 255."""
    at = np.linspace(0, 1, len(_RAMP))
    columns = [np.interp(shares, at, _RAMP[:, k]) for k in range(3)]
    return np.stack(columns, axis=1).round().astype(np.uint8)


@dataclass
class LinkedBox:
    """A box in the units of the axes that may carry a link.

    Attributes:
        link: The address; "" for none.
        words: What it shows, for a tooltip.
    """

    x: float
    y: float
    width: float
    height: float
    link: str = ""
    words: str = ""

    def set_url(self, address: str) -> None:
        """Let it link to an address."""
        self.link = address

    def set_gid(self, words: str) -> None:
        """Set what it shows."""
        self.words = words


@dataclass(frozen=True)
class Line:
    """A line through points, shape (n, 2)."""

    points: FloatArray
    colour: str
    width: float
    dotted: bool


@dataclass(frozen=True)
class FilledArea:
    """An area around which points go, shape (n, 2)."""

    points: FloatArray
    colour: str
    opacity: float


@dataclass(frozen=True)
class Boxes:
    """Boxes of one colour; not seen where that is ""."""

    boxes: Sequence[LinkedBox]
    colour: str


@dataclass(frozen=True)
class Cells:
    """A table of coloured cells.

    Attributes:
        values: Shape (down, across); NaN where nothing is drawn.
        edges: Of the columns, shape (across + 1,), and of the rows, shape (down + 1,).
        low: What the lowest colour stands for.
        high: What the highest stands for; where it is the same, all have the colour between.
        logarithmic: Whether colours are equal in the logarithm.
    """

    values: FloatArray
    edges: tuple[AnyArray, AnyArray]
    low: float
    high: float
    logarithmic: bool = False

    def shares(self) -> FloatArray:
        """Return the places of the values on the scale, from 0 to 1; NaN stays."""
        axis = Axis(limits=(self.low, self.high), logarithmic=self.logarithmic)
        return np.clip(axis.share(self.values), 0, 1)


@dataclass(frozen=True)
class Label:
    """Words at a place of the axes.

    Attributes:
        text: The words; several lines where it has several.
        at: The place, in the units of the axes.
        across: Which side of the words is there: "left", "center".
        up: Which part of them is there: "center", "bottom".
        moved: Points by which they are moved to the right.
        in_shares: Whether the place is in shares of the sides of the axes.
        tooltip: What a pointer over it is told; "" for nothing.
    """

    text: str
    at: tuple[float, float]
    across: str
    up: str
    size: float
    colour: str
    moved: float = 0.0
    in_shares: bool = False
    tooltip: str = ""


@dataclass(frozen=True)
class Swatch:
    """An entry of a legend: a box, or a line of some width."""

    text: str
    colour: str
    opacity: float = 1.0
    line: float = 0.0
    dotted: bool = False


@dataclass
class Legend:
    """A legend: inside the axes at the lower right, or in a row below them."""

    swatches: list[Swatch]
    below: bool = False
    shown: bool = False


@dataclass
class Spine:
    """The line of an axis."""

    shown: bool = True

    def set_visible(self, shown: bool) -> None:
        """Show it or not."""
        self.shown = shown


@dataclass
class Axis:
    """An axis: its limits, its ticks, its words.

    Attributes:
        limits: The values at its ends; from the values drawn if None.
        ticks: (value, words); chosen if None.
        tooltips: Of the ticks that are given, the whole names; none where nothing is shortened.
        label: The words beside it.
        turned: Whether the words of the ticks are turned by 45 degrees.
        logarithmic: Whether it is logarithmic.
        inverted: Whether values grow the other way.
        margin: Share that stays blank beyond the values drawn.
        sticky: Whether nothing stays blank below 0.
        whole: Whether ticks are at whole numbers only.
        reached: The least and the greatest value drawn.
    """

    limits: tuple[float, float] | None = None
    ticks: Sequence[tuple[float, str]] | None = None
    tooltips: Sequence[str] = ()
    label: str = ""
    turned: bool = False
    logarithmic: bool = False
    inverted: bool = False
    margin: float = BLANK
    sticky: bool = False
    whole: bool = False
    reached: tuple[float, float] = field(default=(math.inf, -math.inf))

    def reach(self, values: AnyArray) -> None:
        """Take note of values that are drawn."""
        if len(values):
            low, high = self.reached
            self.reached = (min(low, float(values.min())), max(high, float(values.max())))

    def ends(self) -> tuple[float, float]:
        """Return the values at its ends."""
        if self.limits is not None:
            return self.limits
        low, high = self.reached if self.reached[0] <= self.reached[1] else (0.0, 1.0)
        blank = self.margin * ((high - low) or 1.0)
        low, high = low if self.sticky and low >= 0 else low - blank, high + blank
        return (high, low) if self.inverted else (low, high)

    def share(self, values: AnyArray | float) -> FloatArray:
        """Return where values lie between the ends, from 0 to 1; in the middle of equal ends."""
        low, high = self.ends()
        found = np.asarray(values, np.float64)
        if low == high:
            return np.asarray(found * 0 + 0.5, np.float64)
        if self.logarithmic:
            low, high, found = math.log(low), math.log(high), np.log(found)
        return np.asarray((found - low) / (high - low), np.float64)

    def tooltips_of(self, words: Sequence[str]) -> Sequence[str]:
        """Return the tooltip of each tick, "" where its words are the whole name."""
        if len(self.tooltips) != len(words):
            return [""] * len(words)
        pairs = zip(self.tooltips, words, strict=True)
        return [whole if "…" in word else "" for whole, word in pairs]

    def find_ticks(self, length: float, each: float) -> Sequence[tuple[float, str]]:
        """Return (value, words) of its ticks.

        Args:
            length: How long the axis is, in points.
            each: How many of these a tick needs.
        """
        if self.ticks is not None:
            return self.ticks
        low, high = sorted(self.ends())
        if low == high:
            return [(low, f"{low:,.7g}")]
        if self.logarithmic:
            few = math.log10(high / low) < _FEW_DECADES
            powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
            values = [10.0**power * k for power in powers for k in ((1, 2, 5) if few else (1,))]
            return [(v, f"{v:,.7g}") for v in values if low * 0.999 <= v <= high * 1.001]
        return _even_ticks(low, high, max(1, min(9, int(length / each))), self.whole)


def _even_ticks(low: float, high: float, most: int, whole: bool) -> list[tuple[float, str]]:
    """Return ticks at equal steps that are read at a glance."""
    raw = (high - low) / most
    power = 10.0 ** math.floor(math.log10(raw))
    step = next(k * power for k in _STEPS if k * power >= raw * 0.999)
    if whole:
        step = max(1.0, step if step == round(step) else 2 * step)
    decimals = next((d for d in range(12) if abs(step * 10**d % 1) < 1e-6), 12)
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    return [(k * step, f"{k * step:,.{decimals}f}") for k in range(first, last + 1)]


@dataclass
class ColourScale:
    """The scale of the colours of cells.

    Attributes:
        yaxis: Its axis.
        shrink: Its height as a share of the plot's.
    """

    yaxis: Axis
    shrink: float = 1.0

    @property
    def ax(self) -> ColourScale:
        """Axes of its own: itself."""
        return self
