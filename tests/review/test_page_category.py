"""Categories in a real browser: a person puts a wrong one right, and chooses a missing mask's."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from page import Page, blob, centre, opened
from PIL import Image
from server import Hosted, Server

import curate
from curate.people.reviews import open_reviews
from curate.people.reviews.current_plan import open_audit
from curate.rle import encode_counts, from_dense
from curate.store.audit import StoredAudit

Serve = Callable[..., Server]


def drawn(tab: Page, x: float = 90) -> None:
    """Draw a missing mask in the open editor."""
    tab.view("editor")
    tab.until("document.getElementById('canvas').dataset.place")
    tab.drag([(60, 60), (x, 80)])


def test_a_wrong_category_is_put_right_by_keyboard(
    wide: StoredAudit, browser: Any, serve_wide: Serve
) -> None:
    with opened(browser, serve_wide("--reviewer", "ann")) as tab:
        page = tab.page
        tab.until("!document.getElementById('filter-button').hidden")
        now = page.inner_text("#single-title")  # as it is seen
        assert now == page.text_content("#single-title")
        assert now == now.lower()  # else nothing could turn its first letter
        first = tab.mask_id
        tab.press("c")
        page.locator("#relabel-words", has_text=f"Now it is: {now}.").wait_for()
        assert page.locator(f'#relabel-list li[data-name="{now}"]').count() == 0
        tab.press("Escape")
        assert tab.mask_id == first
        page.locator("#relabel").wait_for(state="hidden")
        page.evaluate("new Promise(requestAnimationFrame)")  # it is told of being closed after that
        tab.press("c")
        page.locator("#relabel").wait_for()
        tab.press("Enter")  # nothing is chosen yet
        page.keyboard.type("BLOB")
        tab.press("ArrowDown")
        wanted = page.get_attribute("#relabel-list [aria-selected=true]", "data-name")
        tab.press("Enter")
        tab.toasts(f"Relabelled: {wanted}.")
        tab.ready()
        page.get_by_role("button", name="Wrong category").click()
        page.keyboard.type("no such thing")
        page.get_by_role("option", name="no such thing (no mask has it yet)").click()
        tab.toasts("Relabelled: no such thing.")
        tab.press("u")
        tab.toasts("Taken back: Relabelled: no such thing.")
        tab.saved()
    (row,) = open_reviews(wide).decisions().to_dict("records")
    assert (row["mask_id"], row["action"], row["category"]) == (first, "fix", wanted)
    people = open_audit(wide.path).people()
    assert people is not None
    assert people["change"].to_pylist() == ["relabelled"]


def test_a_category_among_eighty_takes_three_keys(
    wide: StoredAudit, browser: Any, serve_wide: Serve
) -> None:
    part = wide.path / "masks" / "part-00000.parquet"
    masks = pd.read_parquet(part)
    names = [f"kind {chr(97 + k // 10)}{k % 10}" for k in range(80)]
    masks["category"] = [names[k % 80] for k in range(len(masks))]
    masks["detector_category"] = "kind c7"
    masks.to_parquet(part, index=False)
    with opened(browser, serve_wide("--reviewer", "ann")) as tab:
        tab.until("!document.getElementById('filter-button').hidden")
        first = tab.mask_id
        tab.press("c", "6", "8")  # its number, the same on every mask
        tab.toasts("Relabelled: kind g7.")
        tab.ready()
        tab.press("c", "ArrowDown", "Enter")  # what the detector says stands first
        tab.toasts("Relabelled: kind c7.")
        tab.saved()
    decided = open_reviews(wide).decisions()
    assert decided["category"].tolist() == ["kind g7", "kind c7"]
    assert decided["mask_id"].iloc[0] == first


def test_a_fix_may_give_another_category_too(tab: Page) -> None:
    tab.until("!document.getElementById('filter-button').hidden")
    card = tab.seek(blob)
    now = tab.page.inner_text("#single-title")
    tab.edit("b")
    names = tab.page.locator("#category option").all_inner_texts()
    other = next(name for name in names if name != now)
    tab.page.select_option("#category", label=other)
    tab.drag([centre(card["pixels"]), (90, 95)])
    tab.save()
    (row,) = tab.mine().to_dict("records")
    assert (row["action"], row["category"]) == ("fix", other)
    assert row["segmentation"]


def test_nobody_chooses_the_category_of_a_missing_mask_but_a_person(
    wide: StoredAudit, browser: Any, serve_wide: Serve
) -> None:
    with opened(browser, serve_wide("--reviewer", "ann")) as tab:
        page = tab.page
        tab.until("!document.getElementById('filter-button').hidden")
        tab.press("i")
        drawn(tab)
        assert page.input_value("#category") == ""
        tab.press("Enter")
        tab.toasts("Choose its category first.")
        page.select_option("#category", label="blob 2")
        page.locator("#canvas").focus()
        tab.press("Enter")
        tab.toasts("Added: blob 2.")
        tab.view("single")
        tab.press("i")
        drawn(tab, 110)
        assert page.is_visible("#category-note")  # it says that this is what was chosen last
        assert page.evaluate("document.getElementById('category').selectedOptions[0].text") == (
            "blob 2"
        )
        tab.press("Enter")
        tab.view("single")
        tab.saved()
    assert open_reviews(wide).missing()["category"].tolist() == ["blob 2", "blob 2"]


def test_masks_that_are_not_settled_are_named(
    wide: StoredAudit, browser: Any, serve_wide: Serve
) -> None:
    mask = int(wide.query("select max(mask_id) from masks").iloc[0, 0])
    said = {"mask_id": [mask, mask], "reviewer": ["bob", "cid"], "action": ["accept", "reject"]}
    open_reviews(wide, create=True).add(pd.DataFrame(said), origin="a table")
    with opened(browser, serve_wide("--reviewer", "ann")) as tab:
        assert tab.mask_id == mask
        words = tab.page.inner_text("#reasons .unsettled").lower()
        assert words == "not settled: people disagree"
        tab.press("g")
        cell = tab.page.locator(f'.cell[data-item="{mask}.0"]')
        tab.page.wait_for_selector(".cell")
        if cell.count():  # it may be on a later screen
            assert cell.get_attribute("data-state") == "out"
        tab.press("g")


def test_a_page_of_an_audit_that_was_made_anew_says_so(
    wide: StoredAudit, browser: Any, serve_wide: Serve
) -> None:
    with opened(browser, serve_wide("--reviewer", "ann")) as tab:
        tab.decide("a")
        tab.saved()
        info = json.loads((wide.path / "audit.json").read_text())
        info["source"]["fingerprint"] = "f" * 32
        (wide.path / "audit.json").write_text(json.dumps(info))
        tab.decide("a")
        tab.page.get_by_role("heading", name="The audit has changed").wait_for()
        words = tab.page.inner_text("#rest-words")
        assert "made anew, of another version of its source; stop the server" in words
        assert "kept in this browser" in words


def write_nameless(folder: Path) -> StoredAudit:
    """Write an audit of three masks of no category, as a round with two classes has them."""
    mask = np.zeros((120, 160), bool)
    mask[30:90, 40:120] = True
    Image.fromarray(np.where(mask[:, :, None], 200, 60).repeat(3, 2).astype(np.uint8)).save(
        folder / "one.png"
    )
    counts = encode_counts(from_dense(mask)).to_pylist()[0].decode()
    each = {"image_id": 1, "iscrowd": 0, "bbox": [40, 30, 80, 60], "area": int(mask.sum())}
    each["segmentation"] = {"size": [120, 160], "counts": counts}
    coco = {
        "images": [{"id": 1, "file_name": "one.png", "height": 120, "width": 160}],
        "categories": [{"id": k, "name": name} for k, name in enumerate(("cell", "debris"), 1)],
        "annotations": [each | {"id": k} for k in (1, 2, 3)],
    }
    (folder / "one.json").write_text(json.dumps(coco))
    policy = {"rule": [{"when": "true", "action": "review", "reason": "shown", "always": True}]}
    found = curate.audit(folder / "one.json", folder / "audit", images=folder, policy=policy)
    drawn = pd.DataFrame({"mask_id": [1, 2, 3]})
    settings = {"kind": "errors", "unit": "", "categories": ["cell", "debris"]}
    open_reviews(found, create=True).record_draw("errors", drawn, settings)
    return found


def test_a_mask_without_a_class_is_accepted_with_one(browser: Any, tmp_path: Path) -> None:
    """In a round with several classes: one at a time, in the editor, and not as a whole screen."""
    audit = write_nameless(tmp_path)
    server = Hosted(audit.path, "--reviewer", "ann").start()
    try:
        with opened(browser, server) as tab:
            tab.press("a")
            tab.page.locator("#relabel-words", has_text="Now it is: no category.").wait_for()
            tab.page.keyboard.type("debris")
            tab.press("ArrowDown", "Enter")
            tab.toasts("Relabelled: debris.")
            tab.ready()
            tab.press("g")
            tab.view("grid")
            ready = "document.querySelectorAll('.cell[data-ready=true]').length === 2"
            tab.until(ready)
            tab.press("a")
            tab.page.evaluate("new Promise(requestAnimationFrame)")
            tab.until(ready)
            tab.saved()
    finally:
        server.kill()
    (row,) = open_reviews(audit).decisions().to_dict("records")
    assert (row["action"], row["category"]) == ("fix", "debris")
