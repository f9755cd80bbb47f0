"""Whole images: after the last mask of a drawn image people say whether anything is missing."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pandas as pd
from page import Page, decisions, opened
from server import Server

import curate
from curate.people.reviews import open_reviews
from curate.store.audit import StoredAudit
from curate.store.audit_files import part_paths

Serve = Callable[..., Server]
SPOT = """(mask) => {
  const path = document.querySelector(`#panel-looked .every path[data-mask="${mask}"]`);
  const box = path?.getBoundingClientRect();
  for (let k = 1; box && k < 400; k++) {
    const at = [box.x + (box.width * (k % 20)) / 20, box.y + (box.height * k) / 400];
    if (document.elementFromPoint(...at)?.dataset.mask === String(mask)) return at;
  }
  return null;
}"""
"""Where a mask of the whole image lies on top."""

BROKEN = {"status": 404, "json": {"error": "there is no picture, or it cannot be read"}}


def through(tab: Page, words: str = "drawn on") -> int:
    """Accept the masks of one image; return the image once it is asked about."""
    images = set()
    while tab.settle() != "looked":
        images.add(tab.page.text_content("#single-file"))
        tab.step("a")
    (name,) = images
    assert tab.page.text_content("#looked-file") == name
    tab.until(f"document.getElementById('looked-words').textContent.includes('{words}')")
    return int(str(name).partition("_")[2].partition(".")[0] or 0)


def test_each_image_is_asked_about_once(wide: StoredAudit, browser: Any, serve_wide: Serve) -> None:
    curate.write_queue(wide.path, kind="estimate", budget=30, whole_images=True)
    with opened(browser, serve_wide("--kind", "estimate", "--reviewer", "ann")) as tab:
        page = tab.page
        assert not page.is_visible("#filter-button")
        assert not page.is_visible("#why")
        through(tab)
        for end in ((80, 70), (90, 95)):
            tab.press("i")
            tab.view("editor")
            tab.page.select_option("#category", label="blob 2")
            tab.drag([(60, 60), end])
            tab.press("Enter")
            tab.view("looked")
        tab.press("u")  # one of them is taken back, and the image is still asked about
        tab.toasts("Taken back: Added mask")
        tab.view("looked")
        tab.until("document.querySelectorAll('#panel-looked path.fill.new').length === 1")
        tab.until("!document.getElementById('looked-nothing').disabled")
        tab.press("a")
        # The other image cannot be shown: then nobody can say that nothing is missing on it.
        page.route("**/api/picture/*view=whole*", lambda route: route.fulfill(**BROKEN))
        through(tab, "cannot be shown")
        tab.press("a")
        assert page.locator("#looked-nothing").is_disabled()
        page.unroute("**/api/picture/*view=whole*")
        page.get_by_role("button", name="Try again").click()
        tab.until("!document.getElementById('looked-nothing').disabled")
        tab.press("u")  # the last mask comes back, and is asked about anew
        tab.view("single")
        tab.ready()
        tab.saved()
        assert len(open_reviews(wide).reviewed_images()) == 1
        tab.press("r")
        tab.view("looked")
        page.get_by_role("button", name="Nothing is missing").click()
        page.get_by_role("heading", name="All is decided").wait_for()
        tab.press("u")  # at the end of the queue, too
        tab.view("looked")
        tab.press("a")
        page.get_by_role("heading", name="All is decided").wait_for()
        tab.saved()
    reviews = open_reviews(wide)
    drawn = reviews.read_draw(1)
    kept = reviews.decisions()
    images = wide.query("select mask_id, image_id from masks").set_index("mask_id")["image_id"]
    assert sorted(kept["mask_id"]) == sorted(drawn["mask_id"])
    assert kept["action"].tolist().count("reject") == 1
    assert set(reviews.reviewed_images()["image_id"]) == set(images[drawn["mask_id"]])
    assert reviews.missing()["category"].tolist() == ["blob 2"]
    assert 0 < reviews.missing()["seconds"].iloc[0] < 60
    assert reviews.reviewed_images()["seconds"].between(0, 60, inclusive="right").all()


def test_without_pictures_nobody_is_asked(
    wide: StoredAudit, browser: Any, serve_wide: Serve
) -> None:
    about = wide.info.as_dict()
    about["inputs"] = {}
    (wide.path / "audit.json").write_text(json.dumps(about))
    curate.write_queue(wide.path, kind="estimate", budget=14, whole_images=True)
    with opened(browser, serve_wide("--kind", "estimate", "--reviewer", "ann")) as tab:
        views = tab.decide_all()
        tab.saved()
        assert "looked" not in views
    assert len(open_reviews(wide).reviewed_images()) == 0
    assert len(decisions(wide)) > 0


def test_drawn_images_without_masks_are_asked_about(
    wide: StoredAudit, browser: Any, serve_wide: Serve
) -> None:
    path = part_paths(wide.path, "images")[-1]
    images = pd.read_parquet(path)
    bare = images.head(2).assign(image_id=[1000, 1001])
    pd.concat([images, bare]).to_parquet(path, index=False)
    held = int(images["image_id"].iloc[0])
    masks = wide.query(f"select mask_id from masks where image_id = {held}")
    whole = {"unit": "image", "images": {"ids": [1000, held, 1001]}}
    drawn = masks.assign(inclusion_probability=1.0)
    open_reviews(wide, create=True).record_draw("estimate", drawn, whole)
    with opened(browser, serve_wide("--kind", "estimate", "--reviewer", "ann")) as tab:
        page = tab.page
        through(tab)
        tab.press("a")
        words = page.locator("#looked-words", has_text="0 masks are drawn on this image.")
        words.wait_for()
        tab.press("i")
        tab.view("editor")
        page.select_option("#category", label="blob 2")
        tab.until("document.getElementById('canvas').dataset.place")
        tab.drag([(60, 60), (80, 70)])
        tab.press("Enter")
        tab.view("looked")
        page.locator("#panel-looked path.fill.new").wait_for(state="attached")
        page.locator("#looked-words", has_text="1 mask is drawn on this image.").wait_for()
        tab.until("!document.getElementById('looked-nothing').disabled")
        tab.press("a")
        page.locator("#panel-looked path.fill.new").wait_for(state="detached")
        tab.until("!document.getElementById('looked-nothing').disabled")
        tab.press("a")
        page.get_by_role("heading", name="All is decided").wait_for()
        tab.press("u")
        tab.view("looked")
        tab.press("a")
        page.get_by_role("heading", name="All is decided").wait_for()
        tab.saved()
    assert set(open_reviews(wide).reviewed_images()["image_id"]) == {1000, held, 1001}
    assert open_reviews(wide).missing()["image_id"].tolist() == [1000]


def test_a_round_without_masks_begins_with_its_images(
    wide: StoredAudit, browser: Any, serve_wide: Serve
) -> None:
    """A cold start of the engine: no mask is proposed, and people draw all of them."""
    path = part_paths(wide.path, "images")[-1]
    images = pd.read_parquet(path)
    pd.concat([images, images.head(1).assign(image_id=1000)]).to_parquet(path, index=False)
    drawn = pd.DataFrame({"mask_id": pd.Series([], dtype="int64")})
    settings = {"images": {"population": 1, "drawn": 1, "ids": [1000]}, "categories": ["cell"]}
    open_reviews(wide, create=True).record_draw("errors", drawn, settings)
    tab = Page(browser, serve_wide("--reviewer", "ann"))
    try:
        page = tab.page
        page.goto(tab.server.url)
        tab.view("looked")
        tab.until("!document.getElementById('looked-nothing').disabled")
        tab.press("i")
        tab.view("editor")
        page.select_option("#category", label="cell")
        tab.until("document.getElementById('canvas').dataset.place")
        tab.drag([(60, 60), (80, 70)])
        tab.press("Enter")
        tab.view("looked")
        tab.until("!document.getElementById('looked-nothing').disabled")
        tab.press("a")
        page.get_by_role("heading", name="All is decided").wait_for()
        tab.saved()
        assert tab.complaints == []
    finally:
        tab.close()
    reviews = open_reviews(wide)
    assert reviews.missing()["category"].tolist() == ["cell"]
    assert reviews.reviewed_images()["image_id"].tolist() == [1000]


def test_masks_of_the_image_that_stand_are_rejected_and_fixed(
    wide: StoredAudit, browser: Any, serve_wide: Serve
) -> None:
    """Prefilled masks of a round: nobody asks about them, and a click says that one is wrong."""
    held = wide.query("select image_id, mask_id from masks order by image_id, mask_id")
    image = int(held["image_id"].iloc[0])
    asked, *stands = held.loc[held["image_id"] == image, "mask_id"].tolist()
    settings = {"kind": "errors", "unit": "", "images": {"ids": [image]}}
    drawn = pd.DataFrame({"mask_id": [asked]})
    open_reviews(wide, create=True).record_draw("errors", drawn, settings)
    words = "document.getElementById('looked-words').textContent.startsWith('{} masks')"
    with opened(browser, serve_wide("--reviewer", "ann")) as tab:
        page = tab.page
        through(tab)
        tab.until(words.format(len(stands) + 1))
        tab.press("e")

        def pick(mask: int, button: str) -> None:
            tab.until(f"({SPOT})({mask}) !== null")
            page.mouse.click(*page.evaluate(f"({SPOT})({mask})"))
            page.get_by_role("heading", name=f"Mask {mask}").wait_for()
            page.get_by_role("button", name=button).click()

        pick(stands[0], "Leave it as it is")
        pick(stands[0], "Reject it")
        tab.until(words.format(len(stands)))
        tab.press("u")
        tab.toasts(f"Taken back: Rejected mask {stands[0]}")
        tab.until(words.format(len(stands) + 1))
        pick(stands[1], "Reject it")
        tab.until(words.format(len(stands)))
        pick(stands[2], "Fix it")
        tab.mask_loads()
        tab.see_whole()
        tab.drag([(60, 60), (80, 70)])
        tab.press("Enter")
        tab.view("looked")
        page.locator("#panel-looked path.fill.new").wait_for(state="attached")
        tab.until("!document.getElementById('looked-nothing').disabled")
        tab.press("a")
        page.get_by_role("heading", name="All is decided").wait_for()
        tab.saved()
    kept = open_reviews(wide).decisions().set_index("mask_id")["action"]
    assert kept.to_dict() == {asked: "accept", stands[1]: "reject", stands[2]: "fix"}
    assert open_reviews(wide).reviewed_images()["image_id"].tolist() == [image]


def test_where_nothing_is_proposed_the_search_is_counted(
    wide: StoredAudit, browser: Any, serve_wide: Serve
) -> None:
    """A round of the engine without proposals: people only draw, and have no mask to decide on."""
    images = wide.query("select image_id from images order by image_id limit 2")["image_id"]
    counts = {"population": 2, "drawn": 2, "ids": images.tolist()}
    none = pd.DataFrame({"mask_id": pd.Series([], dtype="int64")})
    settings: Any = {"kind": "errors", "unit": "", "images": counts, "categories": ["blob 2"]}
    open_reviews(wide, create=True).record_draw("errors", none, settings)
    tab = Page(browser, serve_wide("--reviewer", "ann"))
    try:
        tab.page.goto(tab.server.url)
        said = "document.getElementById('progress-words').textContent === '{} of 2 images searched'"
        tab.view("looked")
        tab.until(said.format(0))
        tab.until("!document.getElementById('looked-nothing').disabled")
        tab.press("a")
        tab.until(said.format(1))
        assert tab.complaints == []
    finally:
        tab.close()


def test_a_size_that_nobody_knows_is_not_said_to_be_none(
    wide: StoredAudit, browser: Any, serve_wide: Serve
) -> None:
    """A dataset whose sizes are those of its pictures, and a picture that cannot be read."""

    def forget(route: Any) -> None:
        answer = route.fetch()
        found = answer.json()
        for card in found["cards"]:
            card |= {"width": 0, "height": 0, "area_px": 0}
        route.fulfill(response=answer, json=found)

    del wide
    with opened(browser, serve_wide("--reviewer", "ann")) as tab:
        tab.page.route("**/api/next", forget)
        tab.page.reload()
        tab.view("single")
        tab.until("document.getElementById('facts').textContent.includes('size not known')")
        assert "0 × 0" not in str(tab.page.text_content("#facts"))
