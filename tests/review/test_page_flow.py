"""Closed pages free their masks, undo goes on after a reload, the end says what comes next."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from page import Page, decisions, leases, opened
from server import Server
from waiting import until

from curate.store.audit import StoredAudit

Serve = Callable[..., Server]


def test_a_closed_page_frees_its_masks_at_once(
    wide: StoredAudit, browser: Any, serve_wide: Serve
) -> None:
    server = serve_wide("--reviewer", "ann")
    tab = Page(browser, server).open()
    tab.stocked()
    assert len(leases(wide, "select * from leases")) >= 9
    tab.page.close(run_before_unload=True)
    until(lambda: not leases(wide, "select * from leases"), "the leases to end")
    tab.close()


def test_an_open_page_says_so_every_few_seconds(browser: Any, shared: Server) -> None:
    tab = Page(browser, shared, reviewer="heard")
    tab.page.clock.install()
    tab.open().stocked()
    with tab.page.expect_request("**/api/alive") as asked:
        tab.page.clock.fast_forward(11_000)
    assert asked.value.response().json() == {"gone": []}
    tab.close()
    assert tab.complaints == []


def test_ones_own_second_tab_waits_for_nothing(browser: Any, serve: Serve) -> None:
    server = serve("--reviewer", "ann")
    with opened(browser, server) as tab, opened(browser, server) as second:
        assert "left" in tab.page.inner_text("#progress-words")
        first = second.decide("a")  # the first tab holds the whole queue
        second.saved()
        assert second.mine()["mask_id"].tolist() == [first]


def test_undo_goes_on_after_a_reload(wide: StoredAudit, browser: Any, serve_wide: Serve) -> None:
    with opened(browser, serve_wide("--reviewer", "ann")) as tab:
        first, second = tab.decide("r"), tab.decide("a")
        tab.saved()
        tab.page.reload()
        tab.ready()
        third = tab.decide("r")
        tab.press("u")
        tab.ready()
        assert tab.mask_id == third
        for expected, said in ((second, "Accepted"), (first, "Rejected")):
            tab.press("u")
            tab.toasts(f"Taken back: {said}, before the page was loaded.")
            tab.ready()
            assert tab.mask_id == expected
        tab.press("u")
        tab.toasts("There is nothing to undo.")
        tab.saved()
        assert len(decisions(wide)) == 0
        tab.decide("a")
        assert not tab.page.is_visible("#toast"), "it speaks of the step before"
        tab.saved()
    kept = decisions(wide)
    assert list(zip(kept["mask_id"], kept["action"], strict=True)) == [(first, "accept")]


def test_the_end_is_asked_about_until_the_server_answers(
    audit: StoredAudit, browser: Any, serve: Serve
) -> None:
    refused = []

    def refuse(route: Any) -> None:
        refused.append(route.request.url)
        route.abort() if len(refused) < 3 else route.continue_()

    with opened(browser, serve("--reviewer", "ann")) as tab:
        tab.page.route("**/api/end", refuse)
        tab.decide_all()
        tab.page.get_by_role("heading", name="What comes next").wait_for()
    assert len(refused) == 3


def test_masks_that_come_late_are_decided_as_well(
    audit: StoredAudit, browser: Any, serve: Serve
) -> None:
    total = len(audit.query("select mask_id from masks where action = 'review'"))
    held: list[Any] = []

    def hold(route: Any) -> None:
        held.append(route)

    with opened(browser, serve("--reviewer", "ann")) as tab:
        tab.page.route("**/api/next", hold, times=1)
        while tab.rest_or_mask("One moment") != "One moment":
            tab.step("a")
        held[0].continue_()
        tab.decide_all()
        tab.saved()
    assert len(decisions(audit)) == total


def test_the_end_says_what_comes_next(audit: StoredAudit, browser: Any, serve: Serve) -> None:
    with opened(browser, serve("--reviewer", "ann")) as tab:
        page = tab.page
        tab.decide_all()
        page.get_by_role("heading", name="What comes next").wait_for()
        commands = page.locator("#ending-steps code").all_inner_texts()
        assert commands
        assert all(command.startswith("curate ") for command in commands)
        assert any(audit.path.name in command.split() for command in commands)
        assert str(audit.path) not in page.inner_text("body")
        numbers = page.inner_text("#ending-numbers")
        total = int(page.inner_text("#progress-words").split(" of ")[1].split()[0])
        assert numbers.startswith(f"This session: {total} masks, ")
        (pace,) = re.findall(r"[\d.]+ s a mask", numbers)
        assert pace in page.inner_text("#progress-words"), "one speed, not two"
        tab.press("u")
        tab.ready()
        tab.decide_all()
        again = page.locator("#ending-numbers", has_text="This session")
        again.wait_for()
        assert again.inner_text().startswith(f"This session: {total} masks, "), "one was undone"
