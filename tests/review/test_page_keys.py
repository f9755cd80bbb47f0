"""One mask at a time, in a real browser: what is pressed is what stands in the file."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pandas as pd
from page import Page, decisions, opened
from server import Server

from curate.people.reviews import open_reviews
from curate.render.formatting import hash_reason
from curate.store.audit import StoredAudit

SAID = {"a": "accept", "r": "reject", "Enter": "accept"}


def test_a_whole_queue_lands_as_pressed_and_ends_with_thanks(
    wide: StoredAudit, browser: Any, serve_wide: Callable[..., Server]
) -> None:
    keys = ["a", "r", "Enter", "a", "r"] * 12
    part = wide.path / "masks" / "part-00000.parquet"
    masks = pd.read_parquet(part)
    masks.loc[masks["rank"] > len(keys), "action"] = "accept"
    masks.to_parquet(part, index=False)
    with opened(browser, serve_wide("--reviewer", "ann")) as tab:
        pressed = [(tab.decide(key), SAID[key]) for key in keys]
        tab.page.get_by_role("heading", name="All is decided").wait_for()
        tab.saved()
        assert "60 of 60" in tab.page.inner_text("#progress-words")
        assert tab.page.get_attribute("#progress", "aria-valuenow") == "100"
        tab.press("u")
        last, _ = pressed.pop()
        assert tab.decide("r") == last
        tab.page.get_by_role("heading", name="All is decided").wait_for()
        tab.saved()
    kept = decisions(wide)
    said = sorted([*pressed, (last, "reject")])
    assert list(zip(kept["mask_id"], kept["action"], strict=True)) == said
    assert set(kept["reviewer"]) == {"ann"}
    assert kept["seconds"].between(0, 60).all()


def test_undo_takes_decisions_back_one_by_one(
    wide: StoredAudit, browser: Any, serve_wide: Callable[..., Server]
) -> None:
    with opened(browser, serve_wide("--reviewer", "ann")) as tab:
        seen = [tab.decide(key) for key in "arar"]
        skipped = tab.decide("s")
        tab.saved()
        for expected in (skipped, seen[3], seen[2]):
            tab.press("u")
            tab.ready()
            assert tab.mask_id == expected
        tab.saved()
        assert decisions(wide)["mask_id"].tolist() == sorted(seen[:2])
        tab.press("Control+z", "u")
        tab.toasts("Taken back")
        assert tab.mask_id == seen[0]
        tab.press("u")
        tab.toasts("nothing to undo")
        tab.decide("r")
        tab.saved()
    kept = decisions(wide)
    assert list(zip(kept["mask_id"], kept["action"], strict=True)) == [(seen[0], "reject")]


def test_a_skipped_mask_comes_last(browser: Any, serve: Callable[..., Server]) -> None:
    with opened(browser, serve("--reviewer", "ann")) as tab:
        skipped = tab.decide("s")
        tab.saved()
        tab.ready()
        seen = []
        while tab.mask_id != skipped:
            seen.append(tab.decide("a"))
            tab.ready()
        assert skipped not in seen
        total = int(tab.page.inner_text("#progress-words").split(" of ")[1].split()[0])
        assert len(seen) == total - 1


def test_what_is_shown_can_be_turned(tab: Page) -> None:
    page = tab.page
    tab.seek(lambda card: card["pixels"].any() and not page.is_visible("#stage-note"))
    line = page.locator("#panel-mine path.line.mine")
    assert line.is_visible()
    wide_box = page.locator("#panel-mine .plane").bounding_box()
    drawn = line.bounding_box()["width"]
    tab.press("m")
    assert not line.is_visible()
    tab.press("m", "z")
    assert page.inner_text("#zoom-words") == "Near"
    width = "document.querySelector('#panel-mine path.line.mine').getBoundingClientRect().width"
    tab.until(f"{width} > {drawn}")
    tab.press("z")
    assert page.inner_text("#zoom-words") == "Whole image"
    tab.until("document.querySelector('#panel-mine svg').viewBox.baseVal.height === 240")
    tab.press("o")
    assert page.locator("#panel-mine path.line.others").is_visible()
    tab.press("z")
    assert page.locator("#panel-mine .plane").bounding_box() == wide_box
    page.mouse.move(400, 300)
    page.mouse.wheel(0, -600)
    assert page.locator("#panel-mine .plane").bounding_box()["width"] > wide_box["width"]


def test_a_twin_stands_beside_its_mask(tab: Page) -> None:
    for _ in range(150):
        tab.ready()
        if tab.page.locator("#panel-twin").is_visible():
            break
        tab.press("s")
    assert "a better mask of the same object" in tab.page.inner_text("#single-twin")
    left = tab.page.locator("#panel-mine .plane").bounding_box()
    right = tab.page.locator("#panel-twin .plane").bounding_box()
    assert (left["width"], left["height"]) == (right["width"], right["height"])
    assert left["x"] < right["x"]
    assert tab.page.locator("#panel-twin path.line.twin").is_visible()


def test_reasons_are_gone_through_by_key(tab: Page) -> None:
    tab.press("/")
    tab.page.select_option("#filter-reason", label="falls into … pieces (12)")
    tab.page.get_by_role("button", name="Show these").click()
    tab.until("document.querySelectorAll('#reasons li').length === 2")
    tab.press("n")
    assert tab.page.text_content("#reasons .now") == "falls into 2 pieces"
    tab.press("n")
    assert tab.page.text_content("#reasons .now") == "is unlike the others of its category"


def test_filters_narrow_the_queue(
    wide: StoredAudit, browser: Any, serve_wide: Callable[..., Server]
) -> None:
    with opened(browser, serve_wide("--reviewer", "ann")) as tab:
        page = tab.page
        tab.press("/")
        page.select_option("#filter-reason", label="has holes (… px) (12)")
        page.get_by_role("button", name="Show these").click()
        seen = []
        for _ in range(12):
            tab.until("document.getElementById('reasons').textContent.startsWith('has holes')")
            seen.append(tab.decide("a"))
        page.get_by_role("heading", name="Nothing more fits the filter").wait_for()
        page.get_by_role("button", name="Show all masks").click()
        tab.ready()
        tab.saved()
    holed = wide.query("select mask_id from masks where reasons like 'has holes%'")
    assert sorted(seen) == sorted(holed["mask_id"].tolist())
    assert sorted(decisions(wide)["mask_id"]) == sorted(seen)


def test_a_link_of_the_report_opens_its_reason(
    wide: StoredAudit, browser: Any, serve_wide: Callable[..., Server]
) -> None:
    with opened(browser, serve_wide("--reviewer", "ann")) as tab:
        tab.page.goto(f"{tab.page.url}#reason={hash_reason('has holes (… px)')}")
        tab.page.reload()
        for _ in range(3):
            tab.until("document.getElementById('reasons').textContent.startsWith('has holes')")
            tab.decide("s")
        assert tab.page.locator("#filter-button.on").is_visible()


def test_a_score_filter_takes_its_range(tab: Page) -> None:
    tab.press("/")
    tab.page.select_option("#filter-score", index=1)
    tab.page.fill("#filter-low", "2")
    tab.page.get_by_role("button", name="Show these").click()
    tab.page.get_by_role("heading", name="Nothing more fits the filter").wait_for()


def test_names_never_become_markup(
    wide: StoredAudit, browser: Any, serve_wide: Callable[..., Server]
) -> None:
    said = set(wide.query("select distinct category from masks")["category"])
    evil = {name for name in said if "<" in name}
    shown = set()
    with opened(browser, serve_wide("--reviewer", "<img src=x onerror=window.hacked=3>")) as tab:
        for _ in range(40):
            tab.ready()
            shown.add(tab.page.text_content("#single-title"))
            tab.press("s")
        tab.press("g")
        tab.page.wait_for_selector('.cell[data-ready="true"]')
        tab.press("/", "Escape")
    assert evil & shown


def test_a_token_is_asked_for(
    wide: StoredAudit, browser: Any, serve_wide: Callable[..., Server]
) -> None:
    server = serve_wide("--reviewer", "ann", env={"CURATE_REVIEW_TOKEN": "a-long-token-of-a-test"})
    tab = Page(browser, server)
    tab.page.goto(server.url)
    tab.page.get_by_label("Token").fill("wrong")
    tab.press("Enter")
    tab.page.get_by_text("this is not the token").wait_for()
    tab.page.get_by_label("Token").fill("a-long-token-of-a-test")
    tab.press("Enter")
    tab.decide("a")
    tab.saved()
    tab.close()
    assert len(decisions(wide)) == 1


def test_a_missing_mask_is_added_and_taken_back(
    wide: StoredAudit, browser: Any, serve_wide: Callable[..., Server]
) -> None:
    with opened(browser, serve_wide("--reviewer", "ann")) as tab:
        tab.ready()
        shown = tab.mask_id
        for end in ((90, 80), (70, 95)):
            tab.press("i")
            tab.view("editor")
            tab.until("document.getElementById('canvas').dataset.place")
            tab.page.select_option("#category", "blob 1")
            tab.drag([(60, 60), end])
            tab.press("Enter")
            tab.view("single")
        tab.saved()
        assert len(open_reviews(wide).missing()) == 2
        assert tab.mask_id == shown
        tab.press("u")
        tab.toasts("Added mask")
        tab.saved()
    added = open_reviews(wide).missing()
    assert added["category"].tolist() == ["blob 1"]
    image_id = wide.query(f"select image_id from masks where mask_id = {shown}")["image_id"][0]
    assert added["image_id"].tolist() == [image_id]
    assert len(decisions(wide)) == 0


def test_pauses_and_hidden_tabs_do_not_count(
    wide: StoredAudit, browser: Any, serve_wide: Callable[..., Server]
) -> None:
    tab = Page(browser, serve_wide("--reviewer", "ann"))
    tab.page.clock.install()
    tab.open()
    expected = {tab.decide("a"): (0, 30)}
    tab.ready()
    tab.page.clock.fast_forward(90_000)
    expected[tab.decide("a")] = (90, 120)
    tab.ready()
    tab.page.clock.fast_forward(500_000)  # longer than anybody looks at one mask
    expected[tab.decide("a")] = (0, 30)
    tab.ready()
    hidden = "Object.defineProperty(document, 'hidden', {value: %s, configurable: true});"
    turned = "document.dispatchEvent(new Event('visibilitychange'))"
    tab.page.evaluate(hidden % "true" + turned)
    tab.page.clock.fast_forward(90_000)
    tab.page.evaluate(hidden % "false" + turned)
    expected[tab.decide("a")] = (0, 30)
    tab.saved()
    tab.close()
    kept = decisions(wide).set_index("mask_id")["seconds"]
    assert len(kept) == 4
    for mask_id, (low, high) in expected.items():
        assert low <= kept[mask_id] < high
