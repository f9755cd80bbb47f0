"""Figures as SVG inside a page: colours of the page's theme, own ids, links to filtered masks.

A page draws each figure once: colours of the light theme become the page's variables, which its
style sheet sets for light, dark and paper. The style attributes that matplotlib writes become
classes, for a page that allows only its own style sheet applies no other.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import urlencode
from xml.etree.ElementTree import Element, fromstring

from markupsafe import escape

from curate.plots.figure_style import THEMES, Theme, to_svg
from curate.plots.page_axes import PageAxes
from curate.plots.page_drawing import draw_page_svg
from curate.plots.page_marks import LinkedBox
from curate.render.formatting import display_text

if TYPE_CHECKING:
    from matplotlib.artist import Artist
    from matplotlib.figure import Figure

Value = TypeVar("Value")

VARIABLES = {
    "#1c2127": "--ink",
    "#5a636e": "--soft",
    "#8a929b": "--soft",
    "#ffffff": "--card",
    "#2f86a3": "--accept",
    "#c17a05": "--review",
    "#b3265a": "--reject",
    "#50606e": "--bars",
    "#14607d": "--link",
}
"""Colours of the light theme, and the page's variables that have them."""

_DROPPED = ("metadata", "title", "style")
_LINK = "#?"
_HREF = "{http://www.w3.org/1999/xlink}href"
_REFERENCE = re.compile(r"url\(#([^)]+)\)")


def link_to(artist: Artist | LinkedBox, words: str, **filters: object) -> None:
    """Let an artist link to the masks that it stands for.

    Args:
        artist: A bar or a cell.
        words: What it is, for a tooltip and for those who cannot see it.

    The keywords are filters of the page's gallery.
    """
    shown = {name: display_text(value) for name, value in filters.items()}
    artist.set_url(f"{_LINK}{urlencode(shown)}")
    artist.set_gid(display_text(words, 200))


@dataclass
class StyleClasses:
    """Classes that stand for style attributes, shared by the figures of a page."""

    names: dict[str, str] = field(default_factory=dict)

    def name(self, style: str) -> str:
        """Return the class of a style."""
        return self.names.setdefault(style, f"m{len(self.names)}")

    def sheet(self) -> str:
        """Return the style sheet of all classes so far."""
        return "".join(f".{name}{{{_use_variables(style)}}}" for style, name in self.names.items())


def _use_variables(style: str) -> str:
    """Return a style with the page's colours and fonts, and no more than a style can hold."""
    style = re.sub(r"[{}<>@\\]", "", style)
    font = r"font: (?:\w+ )*?([0-9.]+px) [^;]*"
    style = re.sub(font, r"font-size: \1; font-family: var(--sans)", style)
    for colour, name in VARIABLES.items():
        style = style.replace(colour, f"var({name})")
    return style


def to_page_svg(figure: Figure, name: str, label: str, classes: StyleClasses) -> str:
    """Return a figure as an SVG element of a page.

    Args:
        figure: The figure, drawn in the light theme.
        name: Begins the ids in it; another in each figure of the page.
        label: What it shows, for those who cannot see it.
        classes: The classes of the page's figures.
    """
    text = to_svg(figure)
    root = fromstring(text[text.index("<svg") :])  # noqa: S314  (our own, from the line above)
    used = {found for one in root.iter() for found in _references(one)}
    drawn = "".join(_write(one, name, used, classes) for one in root)
    box = escape(root.get("viewBox", ""))
    return f'<svg viewBox="{box}" role="group" aria-label="{escape(label)}">{drawn}</svg>'


def draw_page_plot(
    plot: Callable[[Any, Value, Theme], None],
    value: Value,
    size: tuple[float, float],
    *,
    name: str,
    label: str,
    classes: StyleClasses,
) -> str:
    """Return a plot as an SVG element of a page, drawn without matplotlib.

    Args:
        plot: One of the functions of this room, which uses no more of ``Axes`` than
            :class:`~curate.plots.page_axes.PageAxes` has.
        value: What it draws.
        size: Width and height in inches.
        name: Begins the ids in it; another in each figure of the page.
        label: What it shows, for those who cannot see it.
        classes: The classes of the page's figures.
    """
    axes = PageAxes((72 * size[0], 72 * size[1]))
    plot(axes, value, THEMES["light"])
    return draw_page_svg(axes, name, label, classes.name)


def _references(one: Element) -> Iterator[str]:
    """Yield the ids that an element names."""
    for key, value in one.attrib.items():
        yield from _REFERENCE.findall(value)
        if key == _HREF and value.startswith("#") and not value.startswith(_LINK):
            yield value[1:]


def _write(one: Element, name: str, used: set[str], classes: StyleClasses) -> str:
    """Write an element and all in it as text."""
    tag = one.tag.rpartition("}")[2]
    if tag in _DROPPED:
        return ""
    inner = "".join(_write(child, name, used, classes) for child in one)
    attributes = "".join(
        f' {key}="{escape(value)}"' for key, value in _attributes(one, name, used, classes)
    )
    words = one.get("id", "")
    links = [child for child in one if child.tag.endswith("}a")]
    if links and words:  # the group's words are those of the link in it
        return inner.replace(">", f"><title>{escape(words)}</title>", 1)
    return f"<{tag}{attributes}>{escape((one.text or '').strip())}{inner}</{tag}>"


def _attributes(
    one: Element, name: str, used: set[str], classes: StyleClasses
) -> Iterator[tuple[str, str]]:
    for key, value in one.attrib.items():
        own = key.rpartition("}")[2]
        if own == "id":
            if value in used:
                yield "id", f"{name}-{value}"
        elif own == "style":
            yield "class", classes.name(value)
        elif own == "href":
            linked = value.startswith(_LINK) or not value.startswith("#")
            yield "href", value if linked else f"#{name}-{value[1:]}"
        elif own not in ("target",) and not key.startswith("xmlns"):
            yield own, _REFERENCE.sub(rf"url(#{name}-\1)", value)
