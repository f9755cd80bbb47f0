"""Whole images: after the last mask of a drawn image people say whether anything is missing."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from page import Page, decisions, opened
from server import Server

import curate
from curate.decisions import open_reviews
from curate.store import Audit

Serve = Callable[..., Server]
BROKEN = {"status": 404, "json": {"error": "there is no picture, or it cannot be read"}}


def through(tab: Page, words: str = "drawn on") -> int:
    """Accept the masks of one image; return the image once it is asked about."""
    images = set()
    while tab.page.get_attribute("body", "data-view") != "looked":
        tab.ready()
        images.add(tab.page.text_content("#single-file"))
        tab.press("a")
        tab.page.wait_for_timeout(30)
    (name,) = images
    assert tab.page.text_content("#looked-file") == name
    tab.until(f"document.getElementById('looked-words').textContent.includes('{words}')")
    return int(str(name).partition("_")[2].partition(".")[0] or 0)


def test_each_image_is_asked_about_once(wide: Audit, browser: Any, serve_wide: Serve) -> None:
    curate.write_queue(wide.path, kind="estimate", budget=30, whole_images=True)
    with opened(browser, serve_wide("--kind", "estimate", "--reviewer", "ann")) as tab:
        page = tab.page
        assert not page.is_visible("#filter-button")
        assert not page.is_visible("#why")
        through(tab)
        for _ in range(2):
            tab.press("i")
            tab.view("editor")
            tab.page.select_option("#category", label="blob 2")
            tab.drag([(60, 60), (80, 70)])
            tab.press("Enter")
            tab.view("looked")
        tab.press("u")  # one of them is taken back, and the image is still asked about
        tab.toasts("Taken back: Added mask")
        tab.view("looked")
        page.locator("#panel-looked path.fill.new").wait_for(state="attached")
        tab.until("!document.getElementById('looked-nothing').disabled")
        tab.press("a")
        # The other image cannot be shown: then nobody can say that nothing is missing on it.
        page.route("**/api/picture/*view=whole*", lambda route: route.fulfill(**BROKEN))
        through(tab, "cannot be shown")
        tab.press("a")
        assert page.locator("#looked-nothing").is_disabled()
        page.unroute("**/api/picture/*view=whole*")
        page.get_by_role("button", name="Try again").click()
        tab.until("!document.getElementById('looked-nothing').disabled")
        tab.press("u")  # the last mask comes back, and is asked about anew
        tab.view("single")
        tab.ready()
        tab.saved()
        assert len(open_reviews(wide).looked()) == 1
        tab.press("r")
        tab.view("looked")
        page.get_by_role("button", name="Nothing is missing").click()
        page.get_by_role("heading", name="All is decided").wait_for()
        tab.press("u")  # at the end of the queue, too
        tab.view("looked")
        tab.press("a")
        page.get_by_role("heading", name="All is decided").wait_for()
        tab.saved()
    reviews = open_reviews(wide)
    drawn = reviews.drawn(1)
    kept = reviews.decisions()
    images = wide.query("select mask_id, image_id from masks").set_index("mask_id")["image_id"]
    assert sorted(kept["mask_id"]) == sorted(drawn["mask_id"])
    assert kept["action"].tolist().count("reject") == 1
    assert set(reviews.looked()["image_id"]) == set(images[drawn["mask_id"]])
    assert reviews.missing()["category"].tolist() == ["blob 2"]


def test_without_pictures_nobody_is_asked(wide: Audit, browser: Any, serve_wide: Serve) -> None:
    about = wide.info
    about["inputs"] = {}
    (wide.path / "audit.json").write_text(json.dumps(about))
    curate.write_queue(wide.path, kind="estimate", budget=14, whole_images=True)
    with opened(browser, serve_wide("--kind", "estimate", "--reviewer", "ann")) as tab:
        views = set()
        while "rest" not in views:
            tab.press("a")
            tab.page.wait_for_timeout(30)
            views.add(tab.page.get_attribute("body", "data-view"))
        tab.page.get_by_role("heading", name="All is decided").wait_for()
        tab.saved()
        assert "looked" not in views
    assert len(open_reviews(wide).looked()) == 0
    assert len(decisions(wide)) > 0
