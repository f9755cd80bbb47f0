"""Plots of a page, drawn without matplotlib: what they link to, and that no text is cut off."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scenes import HandMade
from test_browser import Opened

from curate.plots import category_plots, effort_plot, place_plots, score_plots
from curate.plots.figure_style import MOST_LETTERS, draw_figure, plain_name
from curate.plots.page_marks import Axis, colours, count_ticks, lowest_count, text_width, wrap_text
from curate.plots.page_svg import StyleClasses, draw_page_plot, to_page_svg
from curate.plots.plot_values import CategoryCounts, Effort, MeanMask, Positions
from curate.reporting.plot_queries import (
    category_queries,
    effort_query,
    place_queries,
    score_queries,
)
from curate.reporting.queries import ReportSource
from curate.reporting.report_plots import draw_plots, state_errors

SPLITS = CategoryCounts(
    "masks",
    ["train", "validation $x$"],
    {"accept": np.array([90, 3]), "review": np.array([8, 1]), "reject": np.array([2, 0])},
    0,
    104,
)

PLOTS = {
    "effort": (effort_plot.draw_effort, effort_query.effort),
    "categories": (category_plots.draw_categories, category_queries.count_categories),
    "reasons": (category_plots.draw_reasons, category_queries.count_reasons),
    "together": (category_plots.draw_co_occurrence, category_queries.count_co_occurrence),
    "places": (place_plots.draw_positions, place_queries.count_positions),
    "means": (place_plots.draw_mean_masks, lambda source: place_queries.mean_masks(source, 4, 9)),
    "sizes": (score_plots.draw_size_quality, score_queries.count_size_quality),
    "splits": (score_plots.draw_splits, lambda _: SPLITS),
}


def links(svg: str) -> list[tuple[str, str]]:
    """Return (address, words) of the links of a plot, sorted."""
    return sorted(re.findall(r'<a href="([^"]*)"[^>]*><title>([^<]*)</title>', svg))


@pytest.mark.parametrize("name", PLOTS)
def test_it_links_to_what_matplotlib_links_to(scenes: tuple[HandMade, Path], name: str) -> None:
    plot, query = PLOTS[name]
    value = query(ReportSource(scenes[0]))
    classes = StyleClasses()
    drawn = draw_page_plot(plot, value, (6.4, 4.0), name=name, label=name, classes=classes)
    figure: Any = draw_figure(plot, value, size=(6.4, 4.0))
    assert links(drawn) == links(to_page_svg(figure, name, name, classes))
    assert links(drawn) or name == "together"
    (title, *_) = figure.axes[0].get_title("left").split("\n")
    words = re.findall(r"<text [^>]*>([^<]*)</text>", drawn)
    assert title in words
    assert figure.axes[0].get_xlabel() in [word.replace("&#39;", "'") for word in words]


def test_a_report_needs_no_matplotlib(
    scenes: tuple[HandMade, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in [name for name in sys.modules if name.partition(".")[0] == "matplotlib"]:
        monkeypatch.delitem(sys.modules, module)
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    plots, style = draw_plots(ReportSource(scenes[0]))
    assert len(plots) > 5
    assert style


def test_the_number_of_errors_that_the_effort_assumes_is_told() -> None:
    looked = np.array([0.0, 500.0])
    curve = np.array([0.0, 1.0])
    guess = Effort(looked, curve, curve, curve, "policy", 4.21, 0)
    sentences = state_errors(guess).split(". ")
    assert sentences[0] == "It assumes about 4.2 bad of 500 masks (0.8%), by rules of thumb"
    learned = Effort(looked, curve, curve, curve, "learned", 60, 0)
    assert "about 60 bad of 500 masks (12.0%), by the learned model." in state_errors(learned)
    sample = Effort(looked, curve, curve, curve, "sample", 3, 40)
    assert state_errors(sample) == "It rests on the 3 bad of 40 reviewed masks."


CUT_OFF = """() => [...document.querySelectorAll(".plot svg")].flatMap((plot) => {
  const box = plot.getBoundingClientRect();
  return [...plot.querySelectorAll("text")].filter((text) => {
    const own = text.getBoundingClientRect();
    return own.left < box.left - 1 || own.right > box.right + 1
      || own.top < box.top - 1 || own.bottom > box.bottom + 1;
  }).map((text) => text.textContent);
})"""
"""Texts that are not all inside of their plot."""

OVERLAPPING = """() => [...document.querySelectorAll(".plot svg")].flatMap((plot) => {
  const texts = [...plot.querySelectorAll("text:not([transform])")]
    .map((text) => [text.textContent, text.getBoundingClientRect()]);
  return texts.flatMap(([a, one], k) => texts.slice(k + 1).filter(([b, other]) =>
    Math.min(one.right, other.right) - Math.max(one.left, other.left) > 1
    && Math.min(one.bottom, other.bottom) - Math.max(one.top, other.top) > 4)
    .map(([b, _]) => [a, b]));
})"""
"""Level texts that lie on each other; four pixels are the blank above and below letters."""


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_no_text_is_cut_off_or_lies_on_another(browser: Any, report: Path, scheme: str) -> None:
    opened = Opened(browser, report, color_scheme=scheme)
    assert opened.page.locator(".plot svg text").count() > 50
    assert opened.page.evaluate(CUT_OFF) == []
    assert opened.page.evaluate(OVERLAPPING) == []
    opened.context.close()


def test_long_names_differ_and_tell_the_whole_name() -> None:
    names = [f"a category of so long a name that no axis can show it, number {k}" for k in (1, 2)]
    counts = {action: np.array([3, 1]) for action in ("accept", "review", "reject")}
    found = CategoryCounts("count", names, counts, 0, 12)
    drawn = draw_page_plot(
        category_plots.draw_categories,
        found,
        (6.4, 2.0),
        name="long",
        label="long",
        classes=StyleClasses(),
    )
    titled = re.findall(r"<text [^>]*><title>([^<]*)</title>([^<]*)</text>", drawn)
    assert [whole for whole, _ in titled] == names
    assert [shown[-8:] for _, shown in titled] == ["number 1", "number 2"]
    assert max(len(shown) for _, shown in titled) <= 32


def test_ticks_are_round_numbers() -> None:
    def words(axis: Axis, length: float = 200) -> list[str]:
        return [text for _, text in axis.find_ticks(length, 24)]

    assert words(Axis(limits=(0, 1))) == ["0.0", "0.2", "0.4", "0.6", "0.8", "1.0"]
    assert words(Axis(limits=(0, 1234))) == ["0", "200", "400", "600", "800", "1,000", "1,200"]
    assert words(Axis(limits=(0, 2), whole=True)) == ["0", "1", "2"]
    assert words(Axis(limits=(102, 0)), 140) == ["0", "25", "50", "75", "100"]
    assert words(Axis(limits=(1, 60), logarithmic=True)) == ["1", "2", "5", "10", "20", "50"]
    assert words(Axis(limits=(3, 4e6), logarithmic=True))[:3] == ["10", "100", "1,000"]


def test_counts_have_whole_numbers_from_the_lowest_one_on() -> None:
    assert count_ticks(1, 1) == [1]
    assert count_ticks(1, 3) == [1, 2, 3]
    assert count_ticks(1, 27) == [1, 5, 10, 15, 20, 25]
    assert count_ticks(400, 503) == [400, 420, 440, 460, 480, 500]
    assert lowest_count(np.array([[0, 3], [7, 0]])) == 1
    assert lowest_count(np.array([[0, 7], [7, 0]])) == 7


def test_where_all_counts_are_equal_the_scale_has_one_number() -> None:
    counts = np.array([[7, 0], [0, 7]])
    found = Positions(counts, counts)
    drawn = draw_page_plot(
        place_plots.draw_positions, found, (6.4, 4), name="p", label="p", classes=StyleClasses()
    )
    assert "url(#p-ramp)" not in drawn
    assert re.findall(r"<text [^>]*>(\d+)</text>", drawn) == ["7"]


def test_mean_masks_leave_no_blank_above_and_below() -> None:
    mean = [MeanMask("cat", np.ones((8, 8)), 2, 3)] * 4
    drawn = draw_page_plot(
        place_plots.draw_mean_masks, mean, (6.4, 4), name="m", label="m", classes=StyleClasses()
    )
    wide, high = map(float, re.findall(r'viewBox="0 0 ([\d.]+) ([\d.]+)"', drawn)[0])
    assert wide == pytest.approx(72 * 6.4)
    assert high < 72 * 2.6


def test_a_name_is_cut_once() -> None:
    assert plain_name("only in the lowest …% by quality", 24) == "only in the…by quality"
    assert plain_name("only in the lowest …% by quality", 32) == "only in the lowest …% by quality"
    assert len(plain_name("x" * 10**6)) == MOST_LETTERS


def test_words_that_are_too_long_go_on_below() -> None:
    assert wrap_text("short", 9, 200) == ["short"]
    text = "masks (N = 922, 184 further categories not shown); at each bar: share not accepted"
    lines = wrap_text(text, 9, 366)
    assert " ".join(lines) == text
    assert len(lines) == 2
    widths = [text_width(line, 9) for line in lines]
    assert max(widths) < 366
    assert min(widths) > 100


def test_an_axis_ends_beyond_its_values() -> None:
    axis = Axis(margin=0.1)
    assert axis.ends() == pytest.approx((-0.1, 1.1))
    axis.reach(np.array([0.0, 20.0]))
    assert axis.ends() == pytest.approx((-2, 22))
    axis.sticky = True
    assert axis.ends() == pytest.approx((0, 22))
    axis.inverted = True
    assert axis.share(np.array([0.0, 22.0])).tolist() == pytest.approx([1, 0])


def test_colours_go_from_blue_to_yellow() -> None:
    assert colours(np.array([0.0, 1.0])).tolist() == [[0, 34, 78], [254, 232, 56]]
    assert text_width("iii", 10) < text_width("mmm", 10) < text_width("漢字漢", 10) == 30
