"""Why a mask was rejected, in a real browser: by keyboard, kept with the decision."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from page import opened
from server import Server

from curate.people.reviews import open_reviews
from curate.people.reviews.current_plan import open_audit
from curate.store.audit import StoredAudit

Serve = Callable[..., Server]


def test_a_person_says_why_by_keyboard_alone(
    wide: StoredAudit, browser: Any, serve_wide: Serve
) -> None:
    with opened(browser, serve_wide("--reviewer", "ann")) as tab:
        page = tab.page
        tab.ready()
        tab.press("w")
        tab.toasts("Reject or fix a mask, then say why.")
        first = tab.mask_id
        tab.decide("r")
        second = tab.mask_id
        tab.press("w")
        page.locator("#note-words", has_text="Rejected").wait_for()
        tab.press("3")
        tab.press("1")
        tab.press("1")
        page.locator("#note-comment").focus()
        page.keyboard.type("2 cells; <b>touch</b>")
        tab.press("Enter")
        tab.toasts("Saved why.")
        assert tab.mask_id == second, "Enter saved the note, and accepted nothing"
        page.get_by_role("button", name="Say why the last one was wrong").click()
        assert page.inner_text("#note-tags [aria-pressed=true]").startswith("several objects")
        assert page.input_value("#note-comment") == "2 cells; <b>touch</b>"
        tab.press("Escape")
        page.locator("#note").wait_for(state="hidden")
        tab.saved()
    (note,) = open_reviews(wide).notes().values()
    assert note == (("several objects",), "2 cells; <b>touch</b>")
    plan = open_audit(wide.path).masks(["reasons"])
    words = "rejected by ann (several objects: 2 cells, <b>touch</b>)"
    assert plan.loc[first, "reasons"] == words
