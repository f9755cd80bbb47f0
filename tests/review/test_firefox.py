"""The review page in Firefox: the tests of the page, and a hundred decisions by keyboard alone."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from page import Page, decisions, opened
from server import Server

# The same tests as in Chromium: only ``browser`` is another one.
from test_missing_queue import (  # noqa: F401
    lacking,
    proposed,
    test_one_key_adds_edits_or_refuses_a_proposal,
)
from test_page_access import (  # noqa: F401
    test_letters_in_a_field_decide_nothing,
    test_the_help_lists_every_key,
    test_what_happens_is_said,
)
from test_page_belonging import (  # noqa: F401
    test_a_duplicated_tab_is_a_tab_of_its_own,
    test_the_name_is_asked_once_and_can_be_changed,
    test_two_people_with_undo_absence_and_a_restart,
)
from test_page_bulk import (  # noqa: F401
    test_a_screen_is_rejected_as_a_whole,
    test_all_that_fit_are_rejected_by_keyboard_and_taken_back,
)
from test_page_category import (  # noqa: F401
    test_a_category_among_eighty_takes_three_keys,
    test_a_wrong_category_is_put_right_by_keyboard,
)
from test_page_comfort import (  # noqa: F401
    test_a_toast_covers_no_button,
    test_keys_are_changed_and_conflicts_are_said,
    test_the_theme_is_chosen_and_kept,
)
from test_page_drawing import (  # noqa: F401
    test_a_real_segmenter_answers_clicks,
    test_large_pictures_come_sharp_in_tiles,
)
from test_page_editor import (  # noqa: F401
    test_a_split_is_made_by_keyboard,
    test_eraser_size_undo_and_redo,
    test_holes_are_filled,
    test_polygons_add_and_take_away,
    test_the_brush_changes_the_mask_as_drawn,
    test_the_editor_works_without_a_pointer,
)
from test_page_flow import (  # noqa: F401
    test_a_closed_page_frees_its_masks_at_once,
    test_ones_own_second_tab_waits_for_nothing,
    test_the_end_says_what_comes_next,
    test_undo_goes_on_after_a_reload,
)
from test_page_grid import (  # noqa: F401
    test_a_screen_is_accepted_but_for_the_exceptions,
    test_arrows_move_through_the_screen,
    test_undo_takes_the_whole_screen_back,
)
from test_page_guidelines import folder, test_the_panel_follows_the_mask_that_is_shown  # noqa: F401
from test_page_images import test_each_image_is_asked_about_once  # noqa: F401
from test_page_judging import (  # noqa: F401
    test_one_key_takes_the_suggestion_and_one_judges_the_twin,
)
from test_page_keys import (  # noqa: F401
    test_a_link_of_the_report_opens_its_reason,
    test_a_missing_mask_is_added_and_taken_back,
    test_filters_narrow_the_queue,
    test_names_never_become_markup,
    test_undo_takes_decisions_back_one_by_one,
    test_what_is_shown_can_be_turned,
)
from test_page_network import (  # noqa: F401
    test_a_killed_server_loses_and_doubles_nothing,
    test_a_reload_with_a_full_outbox_sends_it,
)
from test_page_notes import test_a_person_says_why_by_keyboard_alone  # noqa: F401
from test_page_picture import (  # noqa: F401
    test_the_panel_says_and_sets_what_the_keys_do,
    test_the_picture_is_adjusted_by_keys_and_stays_so,
)
from test_page_seeing import (  # noqa: F401
    test_all_masks_have_the_colours_of_their_categories,
    test_the_map_shows_where_the_window_lies_and_moves_it,
    test_the_zoom_stays_from_mask_to_mask,
)

from curate.store.audit import StoredAudit

pytestmark = pytest.mark.slow


@pytest.fixture
def browser(firefox: Any) -> Any:
    """What the imported tests and the fixture ``tab`` open their tabs in."""
    return firefox


def test_a_hundred_decisions_by_keyboard_alone(
    wide: StoredAudit, browser: Any, serve_wide: Callable[..., Server]
) -> None:
    said = {"a": "accept", "r": "reject", "Enter": "accept"}
    with opened(browser, serve_wide("--reviewer", "ann")) as tab:
        pressed = [(tab.decide(key), said[key]) for key in ["a", "r", "Enter", "a", "r"] * 20]
        tab.saved()
        assert "100 of 156" in tab.page.inner_text("#progress-words")
    kept = decisions(wide)
    assert list(zip(kept["mask_id"], kept["action"], strict=True)) == sorted(pressed)


def test_every_control_shows_that_it_has_the_focus(tab: Page) -> None:
    focused = "document.activeElement.dataset.act || document.activeElement.tagName"
    outline = "getComputedStyle(document.activeElement).outlineStyle"
    tab.page.locator("#single-title").focus()
    reached = {}
    tab.press("Tab")
    while (name := tab.page.evaluate(focused)) != "BODY":
        reached[name] = tab.page.evaluate(outline)
        tab.press("Tab")
    assert {"relabel", "undo", "skip", "reject", "fix", "accept"} <= set(reached)
    assert set(reached.values()) == {"solid"}
