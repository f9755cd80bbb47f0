"""Filters of the report in a real browser: plots link to masks, the address keeps the state."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pandas as pd
import pytest
from scenes import HandMade
from test_browser import Opened

from curate.notebook.report_view import ReportView
from curate.render.formatting import hash_reason
from curate.reporting.finding_index import index_findings
from curate.reporting.queries import ReportSource
from curate.reporting.report_values import gather_report

FOUND = "action in ('review', 'reject')"


@pytest.fixture(scope="module")
def masks(scenes: tuple[HandMade, Path]) -> pd.DataFrame:
    return scenes[0].query(f"select * from masks where {FOUND} order by rank")


@pytest.fixture
def opened(browser: Any, report: Path) -> Iterator[Opened]:
    found = Opened(browser, report)
    yield found
    assert found.complaints == []
    assert found.page.evaluate("window.hacked") is None
    found.context.close()


def listed(opened: Opened) -> list[int]:
    cells = opened.page.locator("#m-table tbody tr td:nth-child(2) > :first-child")
    return [int(text) for text in cells.all_inner_texts()]


def test_the_index_holds_every_mask_with_a_finding(
    scenes: tuple[HandMade, Path], masks: pd.DataFrame
) -> None:
    source = ReportSource(scenes[0])
    found = index_findings(source, [])
    assert found.mask_ids == masks["mask_id"].tolist()
    assert (found.total, found.listed) == (len(masks), len(masks))
    row = masks.iloc[3]
    assert found.category_names[found.categories[3]] == row["category"]
    assert found.quality[3] == round(row["quality_score"] * 1000)
    assert found.areas[3] == row["area_px"]
    few = index_findings(source, [0], most=2)
    assert few.mask_ids[:2] == masks["mask_id"].tolist()[:2]
    assert (len(few.mask_ids), few.total, few.listed) == (3, len(masks), 2)
    assert 0 in few.mask_ids  # of the gallery, and accepted


def test_a_plot_filters_the_gallery_and_the_table(opened: Opened, masks: pd.DataFrame) -> None:
    page = opened.page
    wanted = masks[(masks["category"] == "blob 1") & (masks["action"] == "review")]
    address = urlencode({"category": "blob 1", "action": "review"})
    bar = page.locator(f"#plots a[href='#?{address}']")
    assert bar.first.locator("title").text_content() == f"blob 1, review: {len(wanted)} masks"
    bar.first.focus()
    page.keyboard.press("Enter")
    page.locator("#g-chips button", has_text="category: blob 1").wait_for()
    assert listed(opened) == wanted["mask_id"].tolist()
    cards = page.locator(".card[data-mask]:visible")
    shown = [int(cards.nth(k).get_attribute("data-mask") or 0) for k in range(cards.count())]
    assert set(shown) <= set(wanted["mask_id"])
    page.locator("#g-chips button").click()
    assert len(listed(opened)) > len(wanted)
    assert "category" not in page.evaluate("location.hash")


def test_the_address_keeps_the_filters(browser: Any, report: Path, masks: pd.DataFrame) -> None:
    opened = Opened(browser, report)
    page = opened.page
    page.select_option("#g-reason", label="falls into 2 pieces")
    page.fill("#g-text", "scene_1")
    kept = page.evaluate("location.hash")
    wanted = masks[masks["reasons"].str.startswith("falls") & (masks["image_id"] == 1)]
    assert listed(opened) == wanted["mask_id"].tolist() != []
    page.goto("about:blank")
    page.goto(f"{report.as_uri()}{kept}")
    assert listed(opened) == wanted["mask_id"].tolist()
    assert page.input_value("#g-text") == "scene_1"
    assert page.input_value("#g-reason") == hash_reason("falls into … pieces")
    assert opened.complaints == []
    opened.context.close()


def test_what_is_listed_is_saved_as_csv(opened: Opened, masks: pd.DataFrame) -> None:
    page = opened.page
    page.fill("#g-text", "scene_1")
    with page.expect_download() as saved:
        page.locator("#m-csv").click()
    rows = list(csv.DictReader(io.StringIO(Path(saved.value.path()).read_text())))
    assert [int(row["mask_id"]) for row in rows] == listed(opened)
    assert {row["image"] for row in rows} == {"scene_1.jpg"}


COUNT_REVOKED = """window.revoked = 0;
URL.revokeObjectURL = () => { window.revoked += 1; };"""


def test_what_is_saved_can_be_read_after_the_click(browser: Any, report: Path) -> None:
    opened = Opened(browser, report, COUNT_REVOKED)
    with opened.page.expect_download():
        opened.page.locator("#m-csv").click()
    assert opened.page.evaluate("window.revoked") == 0
    opened.context.close()


def test_a_mask_id_is_copied(browser: Any, report: Path) -> None:
    opened = Opened(browser, report, permissions=["clipboard-read", "clipboard-write"])
    button = opened.page.locator("#m-table .copy").first
    button.click()
    opened.page.locator("#m-table .copy", has_text="copied").wait_for()
    assert opened.page.evaluate("navigator.clipboard.readText()") == str(listed(opened)[0])
    opened.context.close()


def test_the_table_sorts_by_numbers(opened: Opened, masks: pd.DataFrame) -> None:
    opened.page.locator("#m-table th", has_text="Area").get_by_role("button").click()
    opened.page.locator(".toggle.accept").click()
    areas = masks.set_index("mask_id")["area_px"]
    assert areas[listed(opened)].is_monotonic_increasing
    assert len(listed(opened)) == len(masks)


def test_plots_have_own_ids_and_no_style_of_their_own(scenes: tuple[HandMade, Path]) -> None:
    values: dict[str, Any] = gather_report(scenes[0])
    names = [plot["name"] for plot in values["plots"]]
    assert {"categories", "trouble", "reasons", "places", "bad-places", "means"} <= set(names)
    for plot in values["plots"]:
        assert "style=" not in plot["svg"]
        assert "<script" not in plot["svg"]
        assert "<img" not in plot["svg"]
    assert "{fill: var(--reject)" in values["plot_style"]
    assert "#1c2127" not in values["plot_style"]


def test_in_a_notebook_the_report_stands_in_a_frame(browser: Any, report: Path) -> None:
    view = ReportView(report.read_text(), "a <b> audit")
    page = browser.new_page()
    complaints: list[str] = []
    page.on("console", lambda message: complaints.append(message.text))
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.set_content(view._repr_html_())
    frame = page.frame_locator("iframe")
    bar = frame.locator("#plot-trouble a, #plots a[href*='action=review']").first
    bar.focus()
    bar.press("Enter")
    frame.locator("#g-chips button", has_text="category").wait_for()
    assert frame.locator("h1").inner_text().startswith("<i>scenes")
    frame.get_by_role("link", name="Categories", exact=True).click()
    assert frame.locator("#t-categories").is_visible()
    assert complaints == []
    page.close()
    assert repr(view).startswith("report of a <b> audit, ")
