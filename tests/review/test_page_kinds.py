"""Kinds of error that a verifier names: the queue is filtered by them, by key and by address."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pandas as pd
from asgi import App, Tab
from page import opened
from server import Server, now_ms

from curate.store.audit import StoredAudit

NAMED = {3: "too large", 5: "too large", 7: "holes"}


def name_kinds(audit: StoredAudit) -> None:
    """Let a verifier have named the kind of error of some masks."""
    part = audit.path / "masks" / "part-00000.parquet"
    masks = pd.read_parquet(part)
    masks["verifier_kind"] = masks["mask_id"].map(NAMED).astype("string")
    masks.to_parquet(part, index=False)


def test_kinds_are_listed_with_counts_and_filter_the_queue(wide: StoredAudit) -> None:
    name_kinds(wide)
    app = App(wide)
    try:
        tab = Tab(app, "ann", now_ms)
        kinds = app.review.filters.list_filters()["kinds"]
        assert kinds == [{"name": "too large", "masks": 2}, {"name": "holes", "masks": 1}]
        _, answer = tab.ask("/api/next", count=9, holding=[], filter={"kind": "too large"})
        assert sorted(card["mask_id"] for card in answer["cards"]) == ["3", "5"]
        both = {"kind": "too large", "category": "no such category"}
        assert tab.ask("/api/next", count=9, holding=[], filter=both)[1]["cards"] == []
        bulk = {"action": "reject", "filter": {"kind": "holes"}}
        _, preview = tab.ask("/api/bulk/preview", **bulk)
        assert preview["masks"] == 1
        assert "kind of error is “holes”" in preview["condition"]
        status, refused = tab.ask("/api/next", count=9, holding=[], filter={"kind": "magic"})
        assert (status, refused["error"]) == (
            400,
            "no mask has this kind of error; choose another filter",
        )
        assert tab.ask("/api/next", count=9, holding=[], filter={"kind": 3})[0] == 400
    finally:
        app.close()


def test_without_a_verifier_no_kind_is_offered(wide: StoredAudit) -> None:
    app = App(wide)
    try:
        assert app.review.filters.list_filters()["kinds"] == []
    finally:
        app.close()


def test_a_kind_is_chosen_by_keyboard_and_by_address(
    wide: StoredAudit, browser: Any, serve_wide: Callable[..., Server]
) -> None:
    name_kinds(wide)
    with opened(browser, serve_wide("--reviewer", "ann")) as tab:
        page = tab.page
        tab.press("/")
        select = page.get_by_label("Kind of error")
        assert select.locator("option").all_inner_texts() == ["all", "too large (2)", "holes (1)"]
        select.focus()
        tab.press("h", "Enter")  # the option that begins so; Enter sends the form
        if page.locator("#filter").is_visible():  # where it only closed the list
            page.get_by_role("button", name="Show these").press("Enter")
        tab.until("document.getElementById('stage').dataset.item === '7.0'")
        tab.ready()
        page.goto(f"{tab.server.url}/#kind=too+small")
        page.reload()
        tab.toasts("Nothing in this queue has the kind of error “too small”: all of it is shown.")
        page.goto(f"{tab.server.url}/#kind=too+large")
        page.reload()
        tab.until("['3.0', '5.0'].includes(document.getElementById('stage').dataset.item)")
        assert page.locator("#filter-button.on").is_visible()
