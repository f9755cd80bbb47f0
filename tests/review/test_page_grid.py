"""The grid: a screen of masks at one key, exceptions clicked out."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from page import Page, decisions, opened
from server import Server

from curate.store.audit import StoredAudit

Serve = Callable[..., Server]


def open_grid(tab: Page) -> list[int]:
    """Open the grid; return its masks once their pictures are there."""
    tab.press("g")
    tab.view("grid")
    tab.until(
        "document.querySelectorAll('.cell').length >= 12 &&"
        " [...document.querySelectorAll('.cell')].every((c) => c.dataset.ready === 'true')"
    )
    return masks(tab)


def masks(tab: Page) -> list[int]:
    items = tab.page.eval_on_selector_all(".cell", "(all) => all.map((c) => c.dataset.item)")
    return [int(item.partition(".")[0]) for item in items]


def unseen(tab: Page) -> list[int]:
    """Return the masks of the screen whose picture is missing: nobody can accept those so."""
    items = tab.page.eval_on_selector_all(
        '.cell[data-state="out"]', "(all) => all.map((c) => c.dataset.item)"
    )
    return [int(item.partition(".")[0]) for item in items]


def test_a_screen_is_accepted_but_for_the_exceptions(
    wide: StoredAudit, browser: Any, serve_wide: Serve
) -> None:
    with opened(browser, serve_wide("--reviewer", "ann")) as tab:
        screen = open_grid(tab)
        out = unseen(tab)
        kept = [mask for mask in screen if mask not in out]
        cells = tab.page.locator('.cell[data-state="accept"]')
        cells.nth(2).click()
        cells.nth(0).focus()
        tab.press("r")
        out, rejected = [*out, kept.pop(2)], kept.pop(0)
        assert f"Accept {len(kept)}" in tab.page.inner_text("#screen-words")
        tab.press("Enter")
        tab.view("single")
        alone = [tab.decide("r") for _ in range(len(out))]
        tab.view("grid")
        tab.saved()
        assert not set(masks(tab)) & set(screen)
    assert sorted(alone) == sorted(out)
    said = decisions(wide).set_index("mask_id")["action"]
    assert sorted(said.index) == sorted(screen)
    assert sorted(said.index[said == "reject"]) == sorted([*out, rejected])


def test_on_a_phone_every_button_of_the_screen_is_in_view(tab: Page) -> None:
    tab.page.set_viewport_size({"width": 390, "height": 844})
    tab.press("g")
    tab.view("grid")
    outside = """[...document.querySelectorAll('#view-grid .actions button')]
      .map((b) => b.getBoundingClientRect()).filter((b) => b.right > innerWidth).length"""
    assert tab.page.locator("#view-grid .actions button").count() == 5
    assert tab.page.evaluate(outside) == 0


def test_undo_takes_the_whole_screen_back(
    wide: StoredAudit, browser: Any, serve_wide: Serve
) -> None:
    with opened(browser, serve_wide("--reviewer", "ann")) as tab:
        screen = open_grid(tab)
        while unseen(tab):
            tab.page.locator('.cell[data-state="out"]').first.focus()
            tab.press("r")
        tab.press("Enter")
        tab.saved()
        assert len(decisions(wide)) == len(screen)
        tab.press("u")
        tab.toasts("Taken back: screen of")
        tab.saved()
        assert masks(tab) == screen
    assert len(decisions(wide)) == 0


def test_the_grid_begins_with_the_best(wide: StoredAudit, browser: Any, serve_wide: Serve) -> None:
    with opened(browser, serve_wide("--reviewer", "ann")) as tab:
        screen = open_grid(tab)
    ranked = wide.query("select mask_id, quality_score from masks").set_index("mask_id")
    shown = ranked.loc[screen, "quality_score"].tolist()
    assert shown == sorted(shown, reverse=True)
    assert min(shown) >= ranked["quality_score"].nlargest(len(screen)).min()


def test_arrows_move_through_the_screen(tab: Page) -> None:
    screen = open_grid(tab)
    columns = int(tab.page.evaluate("getComputedStyle(grid).gridTemplateColumns.split(' ').length"))
    tab.press("ArrowRight", "ArrowDown", "ArrowLeft", "ArrowDown", "ArrowUp")
    focused = tab.page.evaluate("document.activeElement.dataset.item")
    assert int(focused.partition(".")[0]) == screen[columns]
    before = tab.page.evaluate("document.activeElement.getAttribute('aria-checked')")
    tab.press("Space")
    assert tab.page.evaluate("document.activeElement.getAttribute('aria-checked')") != before


def test_g_leads_back_to_one_at_a_time(wide: StoredAudit, browser: Any, serve_wide: Serve) -> None:
    with opened(browser, serve_wide("--reviewer", "ann")) as tab:
        tab.ready()
        first = tab.mask_id
        open_grid(tab)
        tab.press("g")
        tab.view("single")
        tab.ready()
        assert tab.mask_id == first
        tab.decide("a")
        tab.saved()
    assert decisions(wide)["mask_id"].tolist() == [first]
