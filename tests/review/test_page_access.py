"""Everybody can work with the page: by keyboard alone, by touch, with a screen reader."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from importlib.resources import files
from typing import Any

import pytest
from page import TABLET, Page, decisions, opened
from server import Server

import curate
from curate.store.audit import StoredAudit

Serve = Callable[..., Server]
PHONE = {"width": 390, "height": 844}


def complaints(tab: Page) -> list[str]:
    """Return what axe-core finds serious."""
    if not tab.page.evaluate("Boolean(window.axe)"):
        tab.page.evaluate(files("axe_playwright_python").joinpath("axe.min.js").read_text())
    found = tab.page.evaluate("axe.run(document, {resultTypes: ['violations']})")
    return [
        f"{each['id']}: {node['html'][:200]} {node['failureSummary']}"
        for each in found["violations"]
        if each["impact"] in ("serious", "critical")
        for node in each["nodes"]
    ]


LOOKS = [
    pytest.param({"color_scheme": "light", "viewport": {"width": 1280, "height": 800}}, id="light"),
    pytest.param({"color_scheme": "dark", "viewport": PHONE}, id="dark-phone"),
]


@pytest.mark.parametrize("look", LOOKS)
def test_axe_finds_nothing_serious(browser: Any, shared: Server, look: dict[str, Any]) -> None:
    with opened(browser, shared, reviewer="axe", **look) as tab:
        assert complaints(tab) == []
        tab.press("n", "e", "q")
        assert complaints(tab) == []
        tab.press("Escape", "e", "?")
        assert complaints(tab) == []
        tab.page.get_by_role("button", name="Change keys").click()
        assert complaints(tab) == []
        tab.press("Escape", "?")
        tab.press("Escape", "/")
        assert complaints(tab) == []
        tab.press("Escape", "f")
        tab.view("editor")
        assert complaints(tab) == []
        tab.press("Enter")
        tab.page.get_by_role("heading", name="No pixel has changed").wait_for()
        assert complaints(tab) == []
        tab.press("Escape", "Escape")
        tab.view("single")
        tab.press("g")
        tab.page.wait_for_selector('.cell[data-ready="true"]')
        tab.press("x", "ArrowRight", "r")
        assert complaints(tab) == []


@pytest.mark.parametrize("look", LOOKS)
def test_axe_on_what_is_seen_less_often(
    wide: StoredAudit, browser: Any, serve_wide: Serve, look: dict[str, Any]
) -> None:
    curate.write_queue(wide.path, kind="estimate", budget=14, whole_images=True)
    server = serve_wide("--kind", "estimate", env={"CURATE_REVIEW_TOKEN": "a-long-token-of-a-test"})
    tab = Page(browser, server, **look)
    page = tab.page
    page.goto(server.url)
    page.get_by_label("Token").wait_for()
    assert complaints(tab) == []
    page.get_by_label("Token").fill("a-long-token-of-a-test")
    tab.press("Enter")
    page.get_by_label("Your name").wait_for()
    assert complaints(tab) == []
    page.get_by_label("Your name").fill("ann")
    tab.press("Enter")
    tab.ready()
    page.locator("#who").click()  # asked anew, which can be left
    assert complaints(tab) == []
    page.get_by_role("button", name="Cancel").click()
    tab.press("i")
    tab.view("editor")
    assert complaints(tab) == []
    tab.press("Escape")
    tab.stocked()
    tab.context.set_offline(True)
    tab.decide("a")
    page.locator("#saved-words", has_text="1 decision kept").wait_for()
    assert complaints(tab) == []
    tab.context.set_offline(False)
    tab.saved()
    while tab.settle() != "looked":
        tab.step("a")
    tab.until("!document.getElementById('looked-nothing').disabled")
    assert complaints(tab) == []
    assert page.evaluate("document.activeElement.id") == "looked-title"
    tab.press("a")
    page.get_by_role("heading", name="All is decided").wait_for()
    assert complaints(tab) == []
    assert page.evaluate("document.activeElement.id") == "rest-title"
    tab.close()
    assert tab.complaints == []


@pytest.mark.slow
@pytest.mark.parametrize("look", LOOKS)
def test_axe_on_panels_and_dialogs(
    wide: StoredAudit, browser: Any, serve_wide: Serve, look: dict[str, Any]
) -> None:
    guide = wide.path / "guidelines"
    guide.mkdir()
    (guide / "index.md").write_text("# Rules\n\n- **to the pixel**, `code`, [all](https://a.org)\n")
    with opened(browser, serve_wide("--reviewer", "ann"), **look) as tab:
        page = tab.page
        tab.press("d")
        page.locator("#guide-text a").wait_for()
        assert complaints(tab) == []
        tab.press("d")
        tab.seek(lambda card: card["pixels"].any() and not page.is_visible("#stage-note"))
        page.locator("#minimap").wait_for()
        assert complaints(tab) == []
        tab.press("c")
        page.locator("#relabel").wait_for()
        assert complaints(tab) == []
        tab.press("Escape")
        for box in ("suggested-box", "twin-box"):
            while page.locator(f"#{box}").is_hidden():
                tab.step("s")
                tab.ready()
            assert complaints(tab) == []
        tab.step("r")
        tab.ready()
        tab.press("w")
        page.locator("#note").wait_for()
        assert complaints(tab) == []
        tab.press("Escape")
        page.locator("#note").wait_for(state="hidden")
        tab.narrow("has holes")
        tab.press("b")
        tab.until("document.querySelectorAll('#bulk-pictures figure').length > 3")
        assert complaints(tab) == []
        tab.press("Escape")
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")


def test_every_control_is_reached_by_keyboard(tab: Page) -> None:
    focused = "document.activeElement.dataset.act || document.activeElement.tagName"
    reached = set()
    for _ in range(45):
        tab.press("Tab")
        reached.add(tab.page.evaluate(focused))
    buttons = "[...document.querySelectorAll('#view-single button, .bar button')]"
    shown = f"{buttons}.filter((b) => b.offsetParent).map((b) => b.dataset.act || b.tagName)"
    assert set(tab.page.evaluate(shown)) <= reached
    first = tab.mask_id
    while tab.page.evaluate(focused) != "reject":
        tab.press("Tab")
    assert tab.page.evaluate("getComputedStyle(document.activeElement).outlineStyle") == "solid"
    tab.press("Enter")
    tab.saved()
    kept = tab.mine()
    assert list(zip(kept["mask_id"], kept["action"], strict=True)) == [(first, "reject")]


def test_what_happens_is_said(tab: Page) -> None:
    tab.step("a")
    tab.ready()
    title = str(tab.page.text_content("#single-title"))
    assert title
    tab.page.locator("#announcer", has_text=re.compile(f"^{re.escape(title)}")).wait_for(
        state="attached"
    )
    tab.press("u")
    tab.toasts("Taken back: Accepted.")


def test_the_help_lists_every_key(tab: Page) -> None:
    tab.press("?")
    text = tab.page.inner_text("#help-keys")
    shown = tab.page.eval_on_selector_all(
        "button[data-act] kbd", "(all) => all.map((k) => k.textContent)"
    )
    names = {"⇧H": "Shift+H", "⇧D": "Shift+D", "⇧U": "Shift+U", "⇧R": "Shift+R"}
    assert len(shown) > 20
    assert [key for key in shown if names.get(key, key) not in text] == []


def test_letters_in_a_field_decide_nothing(tab: Page) -> None:
    shown = tab.mask_id
    tab.press("/")
    tab.page.focus("#filter-category")
    tab.press("a", "r", "Escape")
    assert tab.mask_id == shown
    tab.page.keyboard.down("a")
    for _ in range(5):
        tab.page.keyboard.down("a")  # held down: it repeats
    tab.page.keyboard.up("a")
    tab.saved()
    assert tab.mine()["mask_id"].tolist() == [shown]


def test_a_tablet_decides_zooms_and_draws(
    wide: StoredAudit, browser: Any, serve_wide: Serve
) -> None:
    server = serve_wide("--reviewer", "ann")
    with opened(browser, server, viewport=TABLET, has_touch=True, is_mobile=True) as tab:
        page = tab.page
        first = tab.mask_id
        page.get_by_role("button", name="Accept").tap()
        tab.until(f"!document.getElementById('stage').dataset.item.startsWith('{first}.')")
        tab.seek(lambda card: card["pixels"].any())
        before = page.locator("#panel-mine .plane").bounding_box()["width"]
        pinch(tab, "#panel-mine")
        assert page.locator("#panel-mine .plane").bounding_box()["width"] > 1.5 * before
        card = tab.mask()
        page.get_by_role("button", name="Fix").tap()
        tab.mask_loads()
        pinch(tab, "#canvas")
        page.get_by_role("button", name="Save the fix").tap()
        page.get_by_role("heading", name="No pixel has changed").wait_for()
        page.get_by_role("button", name="Go on drawing").tap()
        box = page.locator("#canvas").bounding_box()
        page.touchscreen.tap(box["x"] + 40, box["y"] + 40)
        page.get_by_role("button", name="Save the fix").tap()
        tab.view("single")
        tab.saved()
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    kept = decisions(wide)
    assert sorted(kept["action"]) == ["accept", "fix"]
    assert card["counts"].encode() != kept.set_index("action")["segmentation"]["fix"]


def pinch(tab: Page, selector: str) -> None:
    """Put two fingers down and move them apart."""
    box = tab.page.locator(selector).bounding_box()
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    cdp = tab.context.new_cdp_session(tab.page)
    before = time.time() - 2  # a tap right after it would count as part of the gesture
    for kind, apart in (("touchStart", 30), ("touchMove", 60), ("touchMove", 90), ("touchEnd", 0)):
        points = [{"x": x + side * apart, "y": y, "id": k} for k, side in enumerate((-1, 1))]
        said = {"type": kind, "touchPoints": points if apart else [], "timestamp": before}
        cdp.send("Input.dispatchTouchEvent", said)
