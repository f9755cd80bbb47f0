"""What belongs to whom: decisions to a queue and a person, masks to one tab at a time."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from typing import Any

from page import Page, decisions, leases, opened
from server import Client, Hosted, Server
from waiting import until

import curate
from curate.people.reviews import open_reviews
from curate.store.audit import StoredAudit, open_audit

Serve = Callable[..., Server]
HIDE = (
    "Object.defineProperty(document, 'hidden', {value: %s, configurable: true});"
    "document.dispatchEvent(new Event('visibilitychange'))"
)


def another(wide: StoredAudit) -> StoredAudit:
    """Return an audit of other data under the same name."""
    folder = wide.path.parent / "other" / wide.path.name
    shutil.copytree(wide.path, folder, ignore=shutil.ignore_patterns("*.sqlite*"))
    about = json.loads((folder / "audit.json").read_text())
    about["source"]["fingerprint"] = "0f" * 16
    (folder / "audit.json").write_text(json.dumps(about))
    return open_audit(folder)


def test_decisions_go_to_no_other_queue(wide: StoredAudit, browser: Any, serve_wide: Serve) -> None:
    server = serve_wide("--reviewer", "ann")
    other = another(wide)
    stranger = Hosted(other.path, "--reviewer", "ann")
    with opened(browser, server) as tab:
        page = tab.page
        tab.stocked()
        server.kill()
        pressed = [tab.decide("r"), tab.decide("a")]
        stranger.port = server.port
        stranger.start()
        try:
            page.get_by_role("heading", name="Another queue is open here now").wait_for()
            tab.press("u")
            page.get_by_role("button", name="Reload the page").click()
            tab.ready()
            page.get_by_text("2 decisions of another queue wait in this browser.").wait_for()
            mine = tab.decide("a")
            tab.saved()
        finally:
            stranger.kill()
        server.start()
        page.reload()
        tab.ready()
        tab.saved()
        assert page.locator("#strip").is_hidden()
    assert decisions(other)["mask_id"].tolist() == [mine]
    kept = decisions(wide)
    said = sorted(zip(pressed, ("reject", "accept"), strict=True))
    assert list(zip(kept["mask_id"], kept["action"], strict=True)) == said


def test_masks_that_went_to_others_are_given_up(
    wide: StoredAudit, browser: Any, serve_wide: Serve
) -> None:
    server = serve_wide("--reviewer", "ann")
    tab = Page(browser, server)
    asking: set[Any] = set()
    # Playwright marks the functions that it is given, which methods of a set do not take.
    tab.page.on("request", lambda request: asking.add(request))  # noqa: PLW0108
    for ended in ("requestfinished", "requestfailed"):
        tab.page.on(ended, lambda request: asking.discard(request))  # noqa: PLW0108
    tab.page.clock.install()
    tab.open().stocked()
    # A long absence: the page itself knows that the leases ran out.
    tab.page.evaluate(HIDE % "true")
    tab.page.clock.fast_forward(660_000)
    leases(wide, "update leases set until = 0")
    bea = Client(server, "bea")
    theirs = {card["item"] for card in bea.next(12)["cards"]}
    assert tab.item in theirs
    tab.page.evaluate(HIDE % "false")
    tab.toasts("You were away for long")
    tab.until(
        f"!{json.dumps(sorted(theirs))}.includes(document.getElementById('stage').dataset.item)"
    )
    tab.stocked()
    # A page that was there all the time is told by the server.
    first = tab.item
    until(lambda: tab.page.evaluate("true") and not asking, "the page to have all that it asked")
    leases(wide, "delete from leases")
    theirs |= {card["item"] for card in bea.next(12, sorted(theirs))["cards"]}
    theirs |= {card["item"] for card in bea.next(12, sorted(theirs))["cards"]}
    assert first in theirs
    tab.page.clock.fast_forward(61_000)
    tab.toasts("This mask was assigned to another reviewer")
    mine = [tab.decide("a") for _ in range(4)]
    tab.saved()
    tab.close()
    assert tab.complaints == []
    assert not {f"{mask}.0" for mask in mine} & theirs
    assert decisions(wide)["mask_id"].tolist() == sorted(mine)


def test_a_duplicated_tab_is_a_tab_of_its_own(browser: Any, serve_wide: Serve) -> None:
    own = "sessionStorage.getItem('curate-client')"
    with opened(browser, serve_wide("--reviewer", "ann")) as tab:
        page = tab.page
        name = page.evaluate(own)
        page.reload()
        tab.ready()
        assert page.evaluate(own) == name
        with tab.context.expect_page() as found:
            page.evaluate("void window.open(location.href)")  # takes the session along
        copy = found.value
        copy.wait_for_selector('#stage[data-ready="true"]')
        assert copy.evaluate(own) != name
        assert copy.get_attribute("#stage", "data-item") != tab.item
    spoken = Page(browser, tab.server)  # where browsers have no locks
    spoken.context.add_init_script("Object.defineProperty(navigator, 'locks', {value: undefined})")
    page = spoken.open().page
    with spoken.context.expect_page() as found:
        page.evaluate("void window.open(location.href)")
    copy = found.value
    copy.wait_for_selector('#stage[data-ready="true"]')
    assert copy.evaluate(own) != page.evaluate(own)
    spoken.close()


def test_a_skip_is_undone_without_the_server(
    wide: StoredAudit, browser: Any, serve_wide: Serve
) -> None:
    with opened(browser, serve_wide("--reviewer", "ann")) as tab:
        tab.stocked()
        tab.context.set_offline(True)
        skipped = tab.decide("s")
        tab.press("u")
        tab.toasts("Taken back: Skipped")
        assert tab.mask_id == skipped
        tab.context.set_offline(False)
        tab.saved()
        assert leases(wide, "select * from skips") == []
        assert tab.mask_id == skipped
        tab.page.reload()  # it is still this tab's, and no later than it was
        tab.ready()
        assert tab.mask_id == skipped


def test_the_name_is_asked_once_and_can_be_changed(
    wide: StoredAudit, browser: Any, serve_wide: Serve
) -> None:
    server = serve_wide("--reviewer", "ann")
    with opened(browser, server) as tab:
        page = tab.page
        page.evaluate("localStorage.clear()")
        page.add_init_script("delete localStorage['curate-reviewer']")
        page.reload()
        tab.view("entry")
        assert page.input_value("#entry-value") == "ann"
        said = {}
        for name in ("bea", "<b>cy</b>"):
            page.get_by_label("Your name").fill(name)
            tab.press("Enter")
            page.get_by_role("button", name=f"Reviewer: {name}").wait_for()
            said[tab.decide("r")] = name
            tab.saved()
            tab.ready()
            page.locator("#who").click()
            tab.view("entry")
            assert page.input_value("#entry-value") == name
        tab.press("Escape")
        tab.ready()
        tab.press("u", "u")
        tab.toasts("There is nothing to undo.")  # of what the other one said
        tab.saved()
    kept = decisions(wide)
    assert kept["reviewer"].tolist() == ["bea"]
    assert said[kept["mask_id"].iloc[0]] == "bea"


def test_what_this_browser_remembers_is_not_asked(
    wide: StoredAudit, browser: Any, serve_wide: Serve
) -> None:
    tab = Page(browser, serve_wide())
    tab.page.goto(tab.server.url)
    tab.page.get_by_label("Your name").fill("bea")
    tab.press("Enter")
    tab.decide("a")
    tab.saved()
    tab.server.kill()
    tab.server.options = ("--reviewer", "ann")
    tab.server.start()
    tab.page.reload()
    tab.decide("a")
    tab.saved()
    tab.close()
    assert tab.complaints == []
    assert decisions(wide)["reviewer"].tolist() == ["bea", "bea"]


def finish(tab: Page, words: str) -> dict[int, str]:
    """Accept all that comes until the page says that there is no more; return what it was."""
    said = {}
    for _ in range(60):
        tab.until("['single', 'rest'].includes(document.body.dataset.view)")
        if tab.page.get_attribute("body", "data-view") == "single":
            tab.ready()
            said[tab.mask_id] = "accept"
            tab.step("a")
        elif (title := tab.page.inner_text("#rest-title")) == words:
            tab.saved()
            return said
        else:
            shown = "document.body.dataset.view + document.getElementById('rest-title').textContent"
            tab.until(f"{shown} !== {json.dumps('rest' + title)}")
    raise AssertionError(f"it never said: {words}")


def test_two_people_with_undo_absence_and_a_restart(
    wide: StoredAudit, browser: Any, serve_wide: Serve
) -> None:
    curate.write_queue(wide.path, kind="estimate", budget=24, overlap=0.5)
    server = serve_wide("--kind", "estimate")
    tabs = {name: Page(browser, server) for name in ("ann", "bea")}
    for name, tab in tabs.items():
        tab.page.goto(server.url)
        tab.page.get_by_label("Your name").fill(name)
        tab.press("Enter")
    last: dict[str, dict[int, str]] = {"ann": {}, "bea": {}}
    for k in range(5):
        for name, tab in tabs.items():
            last[name][tab.decide("ar"[k % 2])] = ("accept", "reject")[k % 2]
        if k == 2:
            tabs["ann"].press("u")
            tabs["ann"].toasts("Taken back")
            last["ann"].popitem()
            tabs["bea"].page.evaluate(HIDE % "true")
            server.kill()
            server.start()
            tabs["bea"].page.evaluate(HIDE % "false")
    tabs["bea"].page.close(run_before_unload=True)  # what she had in hand goes back
    last["ann"] |= finish(tabs["ann"], "Your part is done")
    tabs["bea"].page = tabs["bea"].context.new_page()
    tabs["bea"].open()
    last["bea"] |= finish(tabs["bea"], "All is decided")
    for tab in tabs.values():
        assert tab.complaints == []
        tab.close()
    drawn = open_reviews(wide).read_draw(1)
    kept = open_reviews(wide).decisions()
    assert not kept.duplicated(["mask_id", "reviewer"]).any()
    assert kept["mask_id"].value_counts().to_dict() == drawn["mask_id"].value_counts().to_dict()
    for name, said in last.items():
        mine = kept[kept["reviewer"] == name].set_index("mask_id")["action"]
        assert mine.to_dict() == said
