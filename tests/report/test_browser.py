"""The report in a real browser, as people open it: from disk, without a network."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

DESKTOP = {"width": 1280, "height": 900}
PHONE = {"width": 390, "height": 844}


class Opened:
    """A page with everything that it complained about."""

    def __init__(self, browser: Any, report: Path, script: str = "", **options: Any) -> None:
        self.context = browser.new_context(offline=True, **({"viewport": DESKTOP} | options))
        self.context.add_init_script(script)
        self.page = self.context.new_page()
        self.complaints: list[str] = []
        self.page.on("console", lambda message: self.complaints.append(message.text))
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.on("requestfailed", lambda request: self.complaints.append(request.url[:99]))
        self.page.goto(report.as_uri())

    def shown(self, selector: str) -> int:
        return int(self.page.locator(f"{selector}:visible").count())

    def column(self, table: str, column: int) -> list[str]:
        cells = self.page.locator(f"#{table} tbody tr > :nth-child({column})")
        return [str(text).strip() for text in cells.all_inner_texts()]


@pytest.fixture
def opened(browser: Any, report: Path) -> Iterator[Opened]:
    found = Opened(browser, report)
    yield found
    assert found.complaints == []
    assert found.page.evaluate("window.hacked") is None
    found.context.close()


DRAWN = "new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))"
"""Ends when the page has been drawn as it is now."""


def scroll_through(page: Any) -> None:
    for top in range(0, int(page.evaluate("document.documentElement.scrollHeight")), 700):
        page.evaluate(f"scrollTo({{top: {top}, behavior: 'instant'}})")
        page.evaluate(DRAWN)


def test_every_picture_loads(opened: Opened) -> None:
    scroll_through(opened.page)
    opened.page.wait_for_function("[...document.images].every((i) => i.complete)")
    widths = opened.page.evaluate("[...document.images].map((i) => i.naturalWidth)")
    assert len(widths) > 20
    assert all(width > 0 for width in widths)


def test_outlines_lie_over_their_pictures(opened: Opened) -> None:
    card = opened.page.locator(".card[data-mask]:has(img)").first
    card.scroll_into_view_if_needed()
    drawn = card.locator(".mat > svg").evaluate("(e) => e.getBoundingClientRect().toJSON()")
    picture = card.locator("img").evaluate("(e) => e.getBoundingClientRect().toJSON()")
    assert drawn == picture
    outline = card.locator(".mat use").evaluate("(e) => e.getBoundingClientRect().width")
    assert outline > 20


def test_a_column_sorts_both_ways(opened: Opened) -> None:
    head = opened.page.locator("#t-images thead th", has_text=re.compile(r"^Masks"))
    head.get_by_role("button").click()
    falling = [int(n) for n in opened.column("t-images", 3)]
    assert falling == sorted(falling, reverse=True)
    assert head.get_attribute("aria-sort") == "descending"
    head.get_by_role("button").click()
    assert [int(n) for n in opened.column("t-images", 3)] == falling[::-1]
    first = opened.page.locator("#t-images thead th", has_text=re.compile(r"^Image"))
    first.get_by_role("button").click()
    names = opened.column("t-images", 1)
    assert names == sorted(names)


def test_unknown_values_sort_last_either_way(opened: Opened) -> None:
    opened.page.evaluate("document.querySelector('#t-categories tbody tr').cells[6].dataset.v = ''")
    head = opened.page.locator("#t-categories thead th", has_text="Median quality")
    for _ in range(2):
        head.get_by_role("button").click()
        values = opened.page.eval_on_selector_all(
            "#t-categories tbody tr", "(rows) => rows.map((r) => r.cells[6].dataset.v)"
        )
        assert values[-1] == ""
        assert "" not in values[:-1]


def test_tables_filter_by_words(opened: Opened) -> None:
    opened.page.fill("[data-filter=t-categories]", "BLOB 1")
    assert opened.shown("#t-categories tbody tr") == 1
    assert opened.page.inner_text("[data-count=t-categories]").startswith("1 of ")
    opened.page.fill("[data-filter=t-categories]", "")
    assert opened.shown("#t-categories tbody tr") > 5


def test_the_gallery_filters_by_reason_action_and_text(opened: Opened) -> None:
    page, everything = opened.page, opened.shown(".card[data-mask]")
    page.select_option("#g-reason", label="falls into 2 pieces")
    assert opened.shown(".card[data-mask]") == 6
    page.select_option("#g-reason", label="is unlike the others of its category")
    assert opened.shown(".card[data-mask]") == 12  # those in pieces are unlike the others too
    page.select_option("#g-reason", "")
    page.locator(".toggle.accept").click()
    page.locator(".toggle.review").click()
    rejected = page.locator(".card[data-mask]:visible .badge").all_inner_texts()
    assert set(rejected) == {"reject"}
    page.locator(".toggle.accept").click()
    page.locator(".toggle.review").click()
    page.fill("#g-text", "scene_1")
    assert 0 < opened.shown(".card[data-mask]") < everything
    page.fill("#g-text", "no such thing")
    assert opened.shown(".card[data-mask]") == 0
    assert page.is_visible("#g-empty")


def test_a_reason_leads_to_its_masks(opened: Opened) -> None:
    opened.page.get_by_role("link", name="falls into 2 pieces").click()
    assert opened.shown(".card[data-mask]") == 6
    assert opened.page.input_value("#g-reason") != ""
    linked = opened.page.locator("#t-reasons a[data-reason]").count()
    assert linked == opened.page.locator("#t-reasons tbody tr").count()


def test_a_mask_enlarges_and_the_keys_leaf_through(opened: Opened) -> None:
    page = opened.page
    page.locator(".card[data-mask] .mat").first.click()
    first = page.inner_text("#zoom .id")
    assert page.locator("#zoom img, #zoom svg").first.is_visible()
    assert page.locator("#zoom .facts").is_visible()
    page.keyboard.press("ArrowRight")
    assert page.inner_text("#zoom .id") != first
    page.keyboard.press("ArrowLeft")
    assert page.inner_text("#zoom .id") == first
    page.keyboard.press("Escape")
    assert not page.is_visible("#zoom")


def test_outlines_can_be_taken_off(opened: Opened) -> None:
    use = opened.page.locator(".card[data-mask] .mat use").first
    assert use.evaluate("(e) => getComputedStyle(e).visibility") == "visible"
    opened.page.locator(".toggle", has_text="outlines").click()
    assert use.evaluate("(e) => getComputedStyle(e).visibility") == "hidden"


def test_charts_answer(opened: Opened) -> None:
    page = opened.page
    chart = page.locator("#s-charts .hist").first
    chart.scroll_into_view_if_needed()
    chart.hover()
    assert " to " in page.inner_text("#tip")
    assert opened.shown(".cloud") == 1
    page.select_option("#c-x", "shape_score")
    page.select_option("#c-y", "edge_score")
    (label,) = page.locator(".cloud:visible svg").evaluate_all(
        "(all) => all.map((e) => e.getAttribute('aria-label'))"
    )
    assert "shape" in label.lower()
    shown = {"log": ".bars.log", "lin": ".bars.lin"}
    for scale, bars in shown.items():
        page.select_option("#s-log", scale)
        assert opened.shown(f"#s-charts {bars}") == page.locator("#s-charts .hist").count()


LETTERS = """() => [...document.querySelectorAll(".plot svg")].map((e) => {
  const scale = e.getBoundingClientRect().width / e.viewBox.baseVal.width;
  const texts = [...e.querySelectorAll("text")];
  const sizes = texts.map((text) => parseFloat(getComputedStyle(text).fontSize));
  return [e.parentElement.scrollWidth > e.parentElement.clientWidth, scale * Math.min(...sizes)];
})"""
"""Of each plot: whether it is cut, and the size of its smallest letters."""

UNHINTED = """() => [...document.querySelectorAll("*")].filter((e) =>
    e.scrollWidth > e.clientWidth + 1 && ["auto", "scroll"].includes(getComputedStyle(e).overflowX)
    && !e.matches(".plot, pre") && !getComputedStyle(e).backgroundAttachment.includes("local")
  ).map((e) => e.outerHTML.slice(0, 80))"""
"""What is cut at the right without a shadow there; text of a file says so by its cut words."""


def test_it_fits_a_phone(browser: Any, report: Path) -> None:
    opened = Opened(browser, report, viewport=PHONE, has_touch=True, is_mobile=True)
    assert opened.page.evaluate("document.documentElement.scrollWidth") == 390
    assert opened.page.evaluate(UNHINTED) == []
    plots = opened.page.evaluate(LETTERS)
    assert plots
    assert all(not cut and letters > 6 for cut, letters in plots)
    opened.page.locator(".card[data-mask] .mat").first.tap()
    assert opened.page.evaluate("document.documentElement.scrollWidth") == 390
    assert opened.complaints == []
    opened.context.close()


def luminance(colour: str) -> float:
    channels = [int(c) / 255 for c in colour[colour.index("(") + 1 : -1].split(",")[:3]]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_stands_out_in_both_schemes(browser: Any, report: Path, scheme: str) -> None:
    opened = Opened(browser, report, color_scheme=scheme)
    ground = luminance(opened.page.evaluate("getComputedStyle(document.body).backgroundColor"))
    assert (ground < 0.5) == (scheme == "dark")
    for selector in ("body", ".soft", "a[data-reason]", "thead th"):
        colour = opened.page.locator(selector).first.evaluate("(e) => getComputedStyle(e).color")
        low, high = sorted((ground, luminance(colour)))
        assert (high + 0.05) / (low + 0.05) >= 4.5, selector
    opened.context.close()


def test_it_prints(browser: Any, report: Path) -> None:
    opened = Opened(browser, report, color_scheme="dark")
    opened.page.emulate_media(media="print")
    ground = opened.page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert luminance(ground) == pytest.approx(1)
    assert opened.shown("nav") == 0
    assert opened.shown(".tools") == 0
    document = opened.page.pdf(format="A4")
    assert document.startswith(b"%PDF")
    assert len(document) > 50_000
    assert opened.complaints == []
    opened.context.close()


def test_without_script_pictures_and_tables_are_there(browser: Any, report: Path) -> None:
    opened = Opened(browser, report, java_script_enabled=False)
    page = opened.page
    assert (
        page.locator(".card[data-mask]").count() == page.locator(".card[data-mask]:visible").count()
    )
    assert page.locator("#t-images tbody tr:visible").count() == 6
    assert page.locator(".cloud:visible").count() > 1
    assert page.locator(".tools:visible").count() == 0
    opened.context.close()
