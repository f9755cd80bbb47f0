"""Decisions in bulk from the page's filter: previewed, confirmed by their count, undone at once."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from asgi import App, Tab
from page import Page, opened
from server import Server, now_ms

from curate.people.reviews import open_reviews
from curate.people.reviews.bulk import list_bulk
from curate.people.reviews.current_plan import open_audit
from curate.store.audit import StoredAudit

Serve = Callable[..., Server]
ALL = {"category": None, "reason": None, "score": None}


@pytest.fixture
def app(wide: StoredAudit) -> Iterator[App]:
    app = App(wide)
    yield app
    app.close()


def reason(app: App, begins: str) -> dict[str, Any]:
    """Return a filter by the reason that begins with some words, and how many masks have it."""
    found = app.ask("/api/about")[1]["filters"]["reasons"]
    one = next(each for each in found if each["words"].startswith(begins))
    return {"filter": ALL | {"reason": one["id"]}, "masks": one["masks"], "words": one["words"]}


def test_all_with_a_reason_are_rejected_once_their_number_is_confirmed(
    wide: StoredAudit, app: App
) -> None:
    tab = Tab(app, "ann", now_ms)
    wanted = reason(app, "has holes")
    wish = {"action": "reject", "filter": wanted["filter"]}
    status, seen = tab.ask("/api/bulk/preview", **wish)
    assert (status, seen["masks"], seen["looked"]) == (200, wanted["masks"], 0)
    assert 0 < len(seen["cards"]) <= 24
    assert all(card["reasons"][0]["words"].startswith("has holes") for card in seen["cards"])
    status, answer = tab.ask("/api/bulk", count=seen["masks"] + 1, **wish)
    assert status == 409
    assert answer["error"].endswith("nothing was decided")
    assert not len(open_reviews(wide).decisions())
    looked = next(card for card in seen["cards"])
    tab.send(tab.decide(looked["item"]))
    again = tab.ask("/api/bulk/preview", **wish)[1]
    assert (again["masks"], again["looked"]) == (seen["masks"] - 1, 1)
    status, done = tab.ask("/api/bulk", count=again["masks"], **wish)
    assert (status, done["masks"]) == (200, again["masks"])
    rows = open_reviews(wide).decisions()
    in_bulk = rows[rows["queue_kind"] == "bulk"]
    assert set(in_bulk["action"]) == {"reject"}
    assert in_bulk["seconds"].isna().all()
    assert not set(open_reviews(wide).resolve_labels().index) & set(in_bulk["mask_id"])
    people = open_audit(wide.path).people()
    assert people is not None
    said = {row["mask_id"]: row["reasons"] for row in people.to_pylist()}
    text = said[int(in_bulk["mask_id"].iloc[0])]
    assert text.startswith("rejected by ann in bulk, with all masks where a reason is “has holes")
    assert said[int(looked["mask_id"])] == "accepted by ann"


def test_what_was_decided_in_bulk_leaves_the_queue_until_it_is_undone(app: App) -> None:
    tab = Tab(app, "ann", now_ms)
    wanted = reason(app, "has holes")
    wish = {"action": "accept", "filter": wanted["filter"]}
    total = tab.ask("/api/next", count=1, holding=[])[1]["progress"]["left"]
    done = tab.ask("/api/bulk", count=wanted["masks"], **wish)[1]
    left = tab.ask("/api/next", count=1, holding=[])[1]["progress"]["left"]
    assert left == total - wanted["masks"]
    again = tab.ask("/api/bulk/preview", **wish)[1]
    assert (again["masks"], again["already"], again["cards"]) == (0, wanted["masks"], [])
    narrowed = tab.ask("/api/next", count=48, holding=[], filter=wanted["filter"])[1]
    assert (narrowed["cards"], narrowed["left"]) == ([], 0)
    nobody = {"number": done["number"]}
    other = Tab(app, "bob", now_ms).ask("/api/bulk/undo", **nobody)
    assert other == (400, {"error": "there is no such decision in bulk of that person"})
    assert tab.ask("/api/bulk/undo", **nobody)[1]["masks"] == wanted["masks"]
    assert tab.ask("/api/next", count=1, holding=[])[1]["progress"]["left"] == total
    assert tab.ask("/api/bulk/undo", **nobody)[0] == 400
    assert not any(one.stands for one in list_bulk(open_reviews(app.review.audit)))


@pytest.mark.parametrize(
    ("wish", "why"),
    [
        ({"action": "reject", "filter": ALL}, "filter first"),
        ({"action": "fix", "filter": ALL}, "action is missing or not what it must be"),
    ],
)
def test_a_decision_in_bulk_needs_a_filter(app: App, wish: dict[str, Any], why: str) -> None:
    status, answer = Tab(app, "ann", now_ms).ask("/api/bulk", count=3, **wish)
    assert status == 400
    assert answer["error"].startswith(why)


def test_a_random_sample_is_not_decided_on_in_bulk(wide: StoredAudit) -> None:
    ids = wide.query("select mask_id from masks order by mask_id limit 9")
    draw = ids.assign(inclusion_probability=0.5)
    number = open_reviews(wide, create=True).record_draw("estimate", draw, {"unit": "mask"})
    app = App(wide, draw_id=number)
    try:
        assert app.ask("/api/about")[1]["bulk"] is False
        wish = {"action": "reject", "filter": ALL | {"category": "blob 1"}}
        status, answer = Tab(app, "ann", now_ms).ask("/api/bulk/preview", **wish)
        assert (status, answer["error"]) == (400, "this queue needs a look at each mask")
    finally:
        app.close()


def test_all_that_fit_are_rejected_by_keyboard_and_taken_back(
    wide: StoredAudit, browser: Any, serve_wide: Serve
) -> None:
    with opened(browser, serve_wide("--reviewer", "ann")) as tab:
        page = tab.page
        tab.until("!document.getElementById('filter-button').hidden")
        tab.press("b")
        tab.toasts("Filter first, then decide on all that fit.")
        tab.narrow("has holes")
        tab.press("b")
        page.locator("#bulk").wait_for()
        tab.until("document.querySelectorAll('#bulk-pictures figure').length > 3")
        total = page.inner_text("#bulk-ask").removeprefix("Type ").removesuffix(" to confirm")
        tab.press("Enter")  # nothing is confirmed
        page.keyboard.type(total)
        assert page.inner_text("#bulk-go").startswith(f"Reject all {total}")
        tab.press("Enter")
        tab.toasts(f"Rejected in bulk: {total} masks. U takes all of it back.")
        tab.view("rest")
        assert len(open_reviews(wide).decisions()) == int(total)
        tab.press("u")
        tab.toasts(f"Taken back: Rejected in bulk: {total} masks.")
        tab.ready()
    assert not len(open_reviews(wide).decisions())


def test_a_screen_is_rejected_as_a_whole(tab: Page) -> None:
    tab.press("g")
    tab.view("grid")
    cells = "[...document.querySelectorAll('.cell')]"
    tab.until(f"{cells}.length >= 12 && {cells}.every((c) => c.dataset.ready === 'true')")
    cell = tab.page.locator('.cell[data-state="accept"]').nth(1)
    cell.focus()
    tab.press("r")
    ready = tab.page.locator('.cell[data-state="accept"]').count()
    words = tab.page.inner_text("#screen-words")
    assert words == f"Accept {ready}, reject 1"
    tab.press("Shift+R")
    tab.saved()
    assert set(tab.mine()["action"]) == {"reject"}
    assert len(tab.mine()) == ready + 1
    tab.press("u")
    tab.toasts(f"Taken back: screen of {ready + 1}.")
    tab.saved()
    assert not len(tab.mine())


def test_no_key_means_two_things_in_one_view(tab: Page) -> None:
    keys = tab.page.evaluate(
        "import('/static/keys.js').then(({ KEYS }) => KEYS.flatMap("
        "(each) => each.in.flatMap((view) => each.keys.map((key) => `${view} ${key}`))))"
    )
    assert len(keys) > 80
    assert sorted(key for key in set(keys) if keys.count(key) > 1) == []
