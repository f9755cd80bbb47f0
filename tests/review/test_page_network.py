"""What happens when the server, the network or another person gets in the way."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from page import Page, decisions, opened
from server import Client, Server

from curate.people.reviews import open_reviews
from curate.store.audit import StoredAudit

Serve = Callable[..., Server]
EVENTS = "**/api/events"
CUT = """
const real = window.fetch;  // also what a page sends as it goes, which no route of ours would see
window.fetch = (url, options) => localStorage.cut && String(url).includes('/api/events')
  ? Promise.reject(new TypeError('cut')) : real(url, options);
"""


@pytest.mark.slow  # test_kills.py does it quickly, without a browser
def test_a_killed_server_loses_and_doubles_nothing(
    wide: StoredAudit, browser: Any, run_wide: Serve
) -> None:
    server = run_wide("--reviewer", "ann")
    with opened(browser, server) as tab:
        pressed = []
        for k in range(36):
            pressed.append((tab.decide("ar"[k % 2]), ("accept", "reject")[k % 2]))
            if k in (8, 22):
                tab.stocked()
                server.kill()
            if k in (12, 28):
                assert tab.page.get_attribute("#saved", "data-state") != "saved"
                server.start()
                tab.online()
        tab.saved()
    kept = decisions(wide)
    assert list(zip(kept["mask_id"], kept["action"], strict=True)) == sorted(pressed)


def test_undo_while_the_server_is_down_counts(
    wide: StoredAudit, browser: Any, serve_wide: Serve
) -> None:
    server = serve_wide("--reviewer", "ann")
    with opened(browser, server) as tab:
        first = tab.decide("a")
        tab.saved()
        tab.stocked()
        server.kill()
        second = tab.decide("r")
        third = tab.decide("a")
        tab.press("u")
        tab.toasts("Taken back")
        assert tab.mask_id == third
        tab.decide("r")
        server.start()
        tab.saved()
    kept = decisions(wide)
    said = list(zip(kept["mask_id"], kept["action"], strict=True))
    assert said == sorted([(first, "accept"), (second, "reject"), (third, "reject")])


def test_offline_and_back(wide: StoredAudit, browser: Any, serve_wide: Serve) -> None:
    with opened(browser, serve_wide("--reviewer", "ann")) as tab:
        tab.decide("a")
        tab.saved()
        tab.stocked()
        tab.context.set_offline(True)
        for _ in range(4):
            tab.decide("r")
        tab.page.locator("#saved-words", has_text="Offline, 4 decisions kept").wait_for()
        assert len(decisions(wide)) == 1
        tab.context.set_offline(False)
        tab.saved()
    assert sorted(decisions(wide)["action"]) == ["accept"] + 4 * ["reject"]


def test_a_reload_with_a_full_outbox_sends_it(
    wide: StoredAudit, browser: Any, serve_wide: Serve
) -> None:
    tab = Page(browser, serve_wide("--reviewer", "ann"))
    tab.context.add_init_script(CUT)
    tab.open()
    tab.page.evaluate("localStorage.cut = 'yes'")
    pressed = [tab.decide("r") for _ in range(5)]
    tab.page.reload()
    tab.ready()
    assert tab.mask_id not in pressed
    tab.page.locator("#saved-words", has_text="5 decisions kept").wait_for()
    pressed.append(tab.decide("r"))
    assert len(decisions(wide)) == 0
    tab.page.evaluate("localStorage.removeItem('cut')")
    tab.online()
    tab.saved()
    tab.close()
    assert tab.complaints == []
    assert decisions(wide)["mask_id"].tolist() == sorted(pressed)


def test_an_answer_that_got_lost_doubles_nothing(
    wide: StoredAudit, browser: Any, serve_wide: Serve
) -> None:
    with opened(browser, serve_wide("--reviewer", "ann")) as tab:
        lost = []

        def lose(route: Any) -> None:
            """Let the server have it, and keep its answer from the page."""
            if len(lost) < 3:
                lost.append(route.fetch().status)
                route.abort()
            else:
                route.continue_()

        tab.page.route(EVENTS, lose)
        pressed = [tab.decide("a") for _ in range(6)]
        tab.saved()
        assert lost == [200, 200, 200]
    assert decisions(wide)["mask_id"].tolist() == sorted(pressed)


def test_another_tab_sends_what_a_closed_one_kept(
    wide: StoredAudit, browser: Any, serve_wide: Serve
) -> None:
    server = serve_wide("--reviewer", "ann")
    tab = Page(browser, server).open()
    tab.page.route(EVENTS, lambda route: route.abort())
    pressed = [tab.decide("a"), tab.decide("a")]
    tab.page.locator("#saved-words", has_text="2 decisions kept").wait_for()
    other = tab.context.new_page()
    tab.page.close()
    other.goto(server.url)
    other.wait_for_selector('#stage[data-ready="true"]')
    other.wait_for_selector('#saved[data-state="saved"]')
    tab.close()
    assert decisions(wide)["mask_id"].tolist() == sorted(pressed)


# A busy disk: what is deleted from the browser's store is gone only some time later.
SLOW_DELETE = """() => {
    const { delete: remove } = IDBObjectStore.prototype;
    IDBObjectStore.prototype.delete = function (key) {
        for (let i = 0; i < 20000; i++) this.count();
        return remove.call(this, key);
    };
}"""


def test_a_refused_event_is_said_and_kept_aside(
    wide: StoredAudit, browser: Any, serve_wide: Serve
) -> None:
    with opened(browser, serve_wide("--reviewer", "ann")) as tab:

        def spoil(route: Any) -> None:
            data = route.request.post_data.replace('"action":"reject"', '"action":"what"')
            route.continue_(post_data=data)

        page = tab.page
        page.route(EVENTS, spoil)
        refused = tab.decide("r")
        tab.toasts("Not taken: the action is not")
        kept = tab.decide("a")
        tab.saved()
        page.reload()
        tab.ready()
        page.get_by_text("1 decision was not taken by the server").wait_for()
        page.get_by_role("button", name="Show", exact=True).click()
        page.get_by_text(f"reject, mask {refused}: the action is not").wait_for()
        page.evaluate(SLOW_DELETE)
        page.get_by_role("button", name="Forget them").click()
        tab.until("document.getElementById('strip').hidden")
        page.reload()
        tab.ready()
        assert page.locator("#strip").is_hidden()
    assert decisions(wide)["mask_id"].tolist() == [kept]


FOREIGN: list[dict[str, Any]] = [
    {"status": 404, "content_type": "text/html", "body": "<h1>Not found</h1>"},
    {"status": 400, "content_type": "text/html", "body": "<h1>Bad request</h1>"},
    {"status": 403, "json": {"message": "sign in to the proxy"}},
    {"status": 200, "content_type": "text/html", "body": "<h1>Welcome</h1>"},
    {"status": 200, "json": {"done": None}},
    {"status": 200, "json": None},
]


def test_what_others_answer_in_the_servers_place_drops_nothing(
    wide: StoredAudit, browser: Any, serve_wide: Serve
) -> None:
    with opened(browser, serve_wide("--reviewer", "ann")) as tab:
        answers = list(FOREIGN)
        tab.page.route(
            EVENTS, lambda route: route.fulfill(**answers.pop()) if answers else route.continue_()
        )
        pressed = [tab.decide("a") for _ in range(3)]
        tab.page.locator("#saved-words", has_text="3 decisions kept").wait_for()
        while answers:
            with tab.page.expect_response(EVENTS):
                tab.online()
        tab.saved()
        assert tab.page.locator("#strip").is_hidden()
    assert decisions(wide)["mask_id"].tolist() == sorted(pressed)


def test_a_closed_page_gives_its_masks_to_others(
    wide: StoredAudit, browser: Any, serve_wide: Serve
) -> None:
    server = serve_wide("--reviewer", "ann")
    tab = Page(browser, server).open()
    shown = tab.item
    tab.page.close(run_before_unload=False)
    tab.close()
    other = Client(server, "B")
    for _ in range(50):
        items = [card["item"] for card in other.next(48)["cards"]]
        if shown in items:
            break
    assert shown in items
    assert len(open_reviews(wide).decisions()) == 0
