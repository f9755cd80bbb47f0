"""Whole images: after the last mask of a drawn image people say whether anything is missing."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from page import Page, opened
from server import Server

import curate
from curate.decisions import open_reviews
from curate.store import Audit

Serve = Callable[..., Server]


def through(tab: Page) -> int:
    """Accept the masks of one image; return the image once it is asked about."""
    images = set()
    while tab.page.get_attribute("body", "data-view") != "looked":
        tab.ready()
        images.add(tab.page.text_content("#single-file"))
        tab.press("a")
        tab.page.wait_for_timeout(30)
    (name,) = images
    assert tab.page.text_content("#looked-file") == name
    tab.until("document.getElementById('looked-words').textContent.includes('drawn on')")
    return int(str(name).partition("_")[2].partition(".")[0] or 0)


def test_each_image_is_asked_about_once(wide: Audit, browser: Any, serve_wide: Serve) -> None:
    curate.write_queue(wide.path, kind="estimate", budget=30, whole_images=True)
    with opened(browser, serve_wide("--kind", "estimate", "--reviewer", "ann")) as tab:
        page = tab.page
        assert not page.is_visible("#filter-button")
        assert not page.is_visible("#why")
        through(tab)
        tab.press("i")
        tab.view("editor")
        tab.page.select_option("#category", "blob 2")
        tab.drag([(60, 60), (80, 70)])
        tab.press("Enter")
        tab.view("looked")
        page.locator("#panel-looked path.fill.new").wait_for(state="attached")
        tab.press("a")
        through(tab)
        tab.press("u")  # the last mask comes back, and is asked about anew
        tab.view("single")
        tab.ready()
        tab.press("r")
        tab.view("looked")
        page.get_by_role("button", name="Nothing is missing").click()
        page.get_by_role("heading", name="All is decided").wait_for()
        tab.saved()
    reviews = open_reviews(wide)
    drawn = reviews.drawn(1)
    kept = reviews.decisions()
    images = wide.query("select mask_id, image_id from masks").set_index("mask_id")["image_id"]
    assert sorted(kept["mask_id"]) == sorted(drawn["mask_id"])
    assert kept["action"].tolist().count("reject") == 1
    assert sorted(reviews.looked()["image_id"]) == sorted(set(images[drawn["mask_id"]]))
    assert reviews.missing()["category"].tolist() == ["blob 2"]
