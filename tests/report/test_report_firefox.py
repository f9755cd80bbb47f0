"""The report in Firefox: the tests of Chromium, and what only a browser of its own can show."""

from __future__ import annotations

import csv
import io
from pathlib import Path
from typing import Any

import pytest
from browsers import DARK, launch_firefox

# The same tests as in Chromium: only ``browser`` is another one.
from test_browser import (  # noqa: F401
    PHONE,
    Opened,
    luminance,
    opened,
    scroll_through,
    test_a_column_sorts_both_ways,
    test_a_mask_enlarges_and_the_keys_leaf_through,
    test_a_reason_leads_to_its_masks,
    test_charts_answer,
    test_every_picture_loads,
    test_outlines_can_be_taken_off,
    test_outlines_lie_over_their_pictures,
    test_tables_filter_by_words,
    test_the_gallery_filters_by_reason_action_and_text,
    test_unknown_values_sort_last_either_way,
)
from test_report_filters import (  # noqa: F401
    listed,
    masks,
    test_a_mask_id_is_copied,
    test_a_plot_filters_the_gallery_and_the_table,
    test_in_a_notebook_the_report_stands_in_a_frame,
    test_the_address_keeps_the_filters,
    test_the_table_sorts_by_numbers,
)
from waiting import until

pytestmark = pytest.mark.slow


@pytest.fixture
def browser(firefox: Any) -> Any:
    """What the imported tests and the fixture ``opened`` open the report in."""
    return firefox


def test_firefox_saves_what_is_listed_as_csv(opened: Opened, downloads: Path) -> None:  # noqa: F811
    opened.page.fill("#g-text", "scene_1")
    opened.page.locator("#m-csv").click()
    until(lambda: [one for one in downloads.glob("*.csv") if one.stat().st_size], "the file")
    (saved,) = downloads.glob("*.csv")
    rows = list(csv.DictReader(io.StringIO(saved.read_text())))
    assert [int(row["mask_id"]) for row in rows] == listed(opened) != []
    assert {row["image"] for row in rows} == {"scene_1.jpg"}


def test_firefox_prints_it(opened: Opened) -> None:  # noqa: F811
    document = opened.page.pdf(format="A4")
    assert document.startswith(b"%PDF")
    assert len(document) > 50_000


def test_it_fits_a_phone_in_firefox(browser: Any, report: Path) -> None:
    opened = Opened(browser, report, viewport=PHONE)  # noqa: F811
    widths = "[document.documentElement.scrollWidth, document.documentElement.clientWidth]"
    needed, there = opened.page.evaluate(widths)
    assert needed == there
    opened.page.locator(".card[data-mask] .mat").first.click()
    assert opened.page.is_visible("#zoom")
    assert opened.complaints == []
    opened.context.close()


def test_text_stands_out_where_dark_pages_are_preferred(playwright: Any, report: Path) -> None:
    dark = launch_firefox(playwright, firefox_user_prefs=DARK)
    opened = Opened(dark, report)  # noqa: F811
    ground = luminance(opened.page.evaluate("getComputedStyle(document.body).backgroundColor"))
    assert ground < 0.05
    for selector in ("body", ".soft", "a[data-reason]", "thead th"):
        colour = opened.page.locator(selector).first.evaluate("(e) => getComputedStyle(e).color")
        assert (luminance(colour) + 0.05) / (ground + 0.05) >= 4.5, selector
    assert opened.complaints == []
    dark.close()
