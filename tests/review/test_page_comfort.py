"""What a person sets for the page: keys, theme, and what says things without being in the way."""

from __future__ import annotations

import numpy as np
from page import Page


def test_keys_are_changed_and_conflicts_are_said(tab: Page) -> None:
    page = tab.page
    tab.press("?")
    page.get_by_role("button", name="Change keys").click()
    page.get_by_role("button", name="Reject: the mask is wrong: R. Change").click()
    tab.press("a")
    words = page.locator("#keys-words")
    assert words.inner_text().startswith("A is taken by “Accept: the mask is right”.")
    tab.press("y")
    assert words.inner_text() == "Y: Reject: the mask is wrong."
    focused = page.evaluate("document.activeElement.getAttribute('aria-label')")
    assert focused == "Reject: the mask is wrong: Y. Change"
    tab.press("Escape")
    page.reload()
    tab.ready()
    assert page.inner_text("#view-single [data-act=reject]") == "Reject Y"
    first = tab.mask_id
    tab.press("r")  # means nothing now
    assert tab.mask_id == first
    tab.decide("y")
    tab.saved()
    assert tab.mine()["action"].tolist() == ["reject"]
    tab.press("?")
    assert "Y\nReject" in page.inner_text("#help-keys")
    page.get_by_role("button", name="Change keys").click()
    page.get_by_role("button", name="All as they were").click()
    tab.press("Escape")
    assert page.inner_text("#view-single [data-act=reject]") == "Reject R"


def test_the_theme_is_chosen_and_kept(tab: Page) -> None:
    page = tab.page
    paper = "getComputedStyle(document.body).backgroundColor"
    page.emulate_media(color_scheme="light")
    light = page.evaluate(paper)
    tab.press("?")
    page.get_by_role("button", name="Theme: system").click()
    page.get_by_role("button", name="Theme: light").click()
    assert page.evaluate(paper) != light
    page.reload()
    tab.ready()
    assert page.evaluate(paper) != light
    page.emulate_media(color_scheme="dark")
    dark = page.evaluate(paper)
    tab.press("?")
    page.get_by_role("button", name="Theme: dark").click()
    assert page.evaluate(paper) == dark  # as the system has it


def test_a_toast_covers_no_button(tab: Page) -> None:
    tab.press("u")
    tab.toasts("There is nothing to undo")
    covered = """(() => {
      const note = document.getElementById('toast').getBoundingClientRect();
      return [...document.querySelectorAll('button')].filter((b) => b.offsetParent).filter((b) => {
        const box = b.getBoundingClientRect();
        const across = box.left < note.right && note.left < box.right;
        return across && box.top < note.bottom && note.top < box.bottom;
      }).map((b) => b.textContent);
    })()"""
    assert tab.page.evaluate(covered) == []
    tab.page.set_viewport_size({"width": 390, "height": 844})
    tab.press("0")
    tab.toasts("The picture is as it was")
    assert tab.page.evaluate(covered) == []


def test_the_brush_begins_at_the_size_of_the_mask(tab: Page) -> None:
    card = tab.seek(lambda card: card["pixels"].any())
    ys, xs = card["pixels"].nonzero()
    tab.press("f")
    tab.mask_loads()
    side = min(np.ptp(xs), np.ptp(ys)) + 1
    assert tab.brush == max(1, min(60, int(side / 6 + 0.5)))
    tab.press("Escape")
    tab.view("single")
