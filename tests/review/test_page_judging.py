"""A suggested fix is taken by one key; a mask and its twin are judged in one look."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from asgi import App, Tab
from page import Page, dense, opened
from scipy import ndimage
from server import Server, now_ms

import curate
from curate.people.reviews import open_reviews
from curate.people.reviews.current_plan import open_audit
from curate.rle import encode_counts, from_dense
from curate.store.audit import StoredAudit
from curate.store.mask_corrections import MaskCorrection, write_corrections


def cards(tab: Tab, count: int = 48) -> list[dict[str, Any]]:
    status, answer = tab.ask("/api/next", count=count, holding=[])
    assert status == 200, answer
    return list(answer["cards"])


def outcome(audit: StoredAudit, mask_id: int) -> dict[str, Any]:
    people = open_audit(audit.path).people()
    assert people is not None
    (row,) = [one for one in people.to_pylist() if one["mask_id"] == mask_id]
    return dict(row)


def test_a_suggested_fix_is_written_with_what_it_did(wide: StoredAudit) -> None:
    app = App(wide)
    try:
        tab = Tab(app, "ann", now_ms)
        card = next(card for card in cards(tab) if card["suggested"])
        words = card["suggested"]["words"]
        assert "filled" in words
        assert card["suggested"]["path"] != card["path"]
        take = {"action": "fix", "suggested": "mechanical", "seconds": 1.0}
        assert tab.send(tab.event("decide", item=card["item"], **take))[1]["refused"] == []
        clean = next(card for card in cards(tab) if not card["suggested"])
        refused = tab.send(tab.event("decide", item=clean["item"], **take))[1]["refused"]
        assert refused[0]["error"] == "no fix is suggested of this mask any more"
        _, answer = tab.send(
            tab.event("decide", item=clean["item"], **(take | {"suggested": "magic"}))
        )
        assert answer["refused"][0]["error"] == "there is no such suggestion"
    finally:
        app.close()
    row = outcome(wide, int(card["mask_id"]))
    assert (row["change"], row["action"]) == ("redrawn", "accept")
    assert row["reasons"].endswith(f", as suggested: {words}")
    assert 0 < row["iou"] < 1


def test_a_mask_that_is_not_beside_one_of_the_queue_is_no_twin(wide: StoredAudit) -> None:
    app = App(wide)
    try:
        tab = Tab(app, "ann", now_ms)
        card = cards(tab, 1)[0]
        other = {"action": "reject", "seconds": None, "beside": "987654.0"}
        refused = tab.send(tab.event("decide", item=card["item"], **other))[1]["refused"]
        assert refused[0]["error"] == "the queue has no such mask"
        merge = {"action": "fix", "suggested": "merge", "seconds": 1.0}
        lone = next(card for card in cards(Tab(app, "bob", now_ms)) if card["twin"] is None)
        refused = tab.send(tab.event("decide", item=lone["item"], **merge))[1]["refused"]
        assert refused[0]["error"] == "it has no twin to merge with"
    finally:
        app.close()
    assert not len(open_reviews(wide).decisions())


def test_a_twin_outside_the_queue_is_decided_on_beside_its_mask(wide: StoredAudit) -> None:
    part = wide.path / "masks" / "part-00000.parquet"
    masks = pd.read_parquet(part)
    twins = masks.loc[masks["duplicate_of"].notna()]
    kept = int(twins["duplicate_of"].iloc[0])
    masks.loc[masks["mask_id"] == kept, "action"] = "accept"
    masks.to_parquet(part, index=False)
    app = App(open_audit(wide.path))
    try:
        tab = Tab(app, "ann", now_ms)
        one = f"{int(twins['mask_id'].iloc[0])}.0"
        held: list[dict[str, Any]] = []
        while not any(card["item"] == one for card in held):
            items = [card["item"] for card in held]
            held += tab.ask("/api/next", count=48, holding=items)[1]["cards"]
        card = next(card for card in held if card["item"] == one)
        assert card["twin"]["item"] == f"{kept}.0"
        fix = tab.event("decide", item=one, action="fix", suggested="merge", seconds=2.0)
        gone = tab.event("decide", item=f"{kept}.0", action="reject", seconds=None, beside=one)
        assert tab.send(fix, gone)[1]["refused"] == []
    finally:
        app.close()
    decided = open_reviews(wide).decisions().set_index("mask_id")
    assert decided["action"].to_dict() == {int(card["mask_id"]): "fix", kept: "reject"}
    assert decided.loc[kept, "queue_kind"] == "errors"
    merged = outcome(wide, int(card["mask_id"]))
    assert merged["reasons"].endswith(f", as suggested: merged with mask {kept}")
    sizes = {"height": card["height"], "width": card["width"]}
    both = masks.set_index("mask_id")["segmentation"]
    union = dense(both[int(card["mask_id"])], **sizes) | dense(both[kept], **sizes)
    assert (dense(merged["segmentation"], **sizes) == union).all()


def test_one_key_takes_the_suggestion_and_one_judges_the_twin(tab: Page) -> None:
    page = tab.page
    shown = "!document.getElementById('{0}').hidden"
    while not page.evaluate(shown.format("suggested-box")):
        tab.step("s")
    taken = tab.mask_id
    before = tab.mask()["pixels"]
    words = page.inner_text("#suggested-words").removeprefix("Suggested: ")
    assert page.locator("#panel-mine path.changed").count() == 1
    tab.step("t")
    tab.toasts(f"Fixed: {words}.")
    while not page.evaluate(shown.format("twin-box")):
        tab.step("s")
    first = tab.mask_id
    assert "mask" in page.inner_text("#single-twin").lower()
    tab.step("2")
    tab.toasts("Kept the other, rejected this.")
    tab.step("u")
    assert tab.mask_id == first
    tab.step("1")
    tab.saved()
    mine = tab.mine().set_index("mask_id")
    assert mine.loc[taken, "action"] == "fix"
    fixed = dense(mine.loc[taken, "segmentation"], *before.shape)
    assert (fixed != before).any()
    actions = mine["action"].drop(taken).to_dict()
    assert actions.pop(first) == "accept"
    assert list(actions.values()) == ["reject"]
    tab.press("t")
    assert isinstance(before, np.ndarray)


def test_what_a_verifier_corrects_is_dashed_and_taken_by_one_key(
    wide: StoredAudit, browser: Any, serve_wide: Callable[..., Server]
) -> None:
    mask_id, corrected = write_correction(wide)
    with opened(browser, serve_wide("--reviewer", "ann")) as tab:
        page = tab.page
        words = "outline drawn in by 2 px (expected IoU 0.51, then 0.87)"
        assert page.inner_text("#suggested-words") == f"Suggested: {words}"
        assert page.locator("#panel-mine path.line.suggested").count() == 1
        assert page.locator("#panel-mine path.changed").count() == 0  # the edge stays visible
        dashes = "getComputedStyle(document.querySelector('.line.suggested')).strokeDasharray"
        assert page.evaluate(dashes) != "none"
        assert tab.mask_id == mask_id
        tab.step("t")
        tab.step("u")
        assert tab.mask_id == mask_id
        tab.step("t")
        tab.saved()
    row = outcome(wide, mask_id)
    assert (row["change"], row["action"]) == ("redrawn", "accept")
    assert row["reasons"].endswith(f", as suggested: {words}")
    assert (dense(row["segmentation"], *corrected.shape) == corrected).all()


def test_a_merged_mask_is_split_by_the_same_key(
    wide: StoredAudit, browser: Any, serve_wide: Callable[..., Server]
) -> None:
    mask_id, whole = write_split(wide)
    words = "split in two (expected IoU 0.51, then 0.91 and 0.88)"
    with opened(browser, serve_wide("--reviewer", "ann")) as tab:
        page = tab.page
        assert page.inner_text("#suggested-words") == f"Suggested: {words}"
        path = page.get_attribute("#panel-mine path.line.suggested", "d")
        assert path is not None
        assert path.count("M") >= 2  # the outlines of both
        tab.step("t")
        tab.toasts(f"Fixed: {words}.")
        tab.step("u")
        tab.saved()
        assert tab.mask_id == mask_id
        assert open_reviews(wide).missing().empty
        tab.step("t")
        tab.saved()
        assert len(open_reviews(wide).missing()) == 1
        tab.page.reload()
        assert tab.rest_or_mask() == "All is decided"
        tab.press("u")
        tab.toasts("Taken back: Fixed, before the page was loaded.")
        tab.ready()
        tab.saved()
        assert tab.mask_id == mask_id
        assert open_reviews(wide).missing().empty
        tab.step("t")
        tab.saved()
    row = outcome(wide, mask_id)
    assert (row["change"], row["action"]) == ("redrawn", "accept")
    assert row["reasons"].endswith(f", as suggested: {words}")
    (added,) = open_reviews(wide).missing().to_dict("records")
    first, second = (dense(one["segmentation"], *whole.shape) for one in (row, added))
    assert ((first | second) == whole).all()
    assert not (first & second).any()


def test_a_split_that_was_taken_is_written_as_two_masks_and_taken_back_as_one(
    tmp_path: Path,
) -> None:
    whole = np.zeros((40, 60), np.bool_)
    whole[10:30, 10:50] = True
    source = tmp_path / "instances.json"
    one = {"id": 5, "image_id": 1, "category_id": 3, "iscrowd": 0, "area": 800}
    one |= {"bbox": [0, 0, 5, 5], "segmentation": [[10, 10, 50, 10, 50, 30, 10, 30]]}
    images = [{"id": 1, "file_name": "a.png", "height": 40, "width": 60}]
    categories = [{"id": 3, "name": "nut"}]
    source.write_text(
        json.dumps({"images": images, "annotations": [one], "categories": categories})
    )
    audit = curate.audit(source, tmp_path / "a.audit")
    left, right = split_in_two(audit.path, 5, whole)
    app = App(open_audit(audit.path))
    try:
        tab = Tab(app, "ann", now_ms)
        (card,) = cards(tab)
        suggested = card["suggested"]
        fix = tab.event("decide", item=card["item"], action="fix", suggested="verifier")
        part = {"image_id": card["image_id"], "category": card["category"]}
        part["counts"] = suggested["added"][0]
        added = tab.event("missing", **part)
        assert tab.send(fix, added)[1]["refused"] == []
        assert written_masks(audit.path, tmp_path / "split.json", whole.shape) == [
            ("nut", left.tolist()),
            ("nut", right.tolist()),
        ]
        back = tab.event("withdraw", item=card["item"], of=fix["key"])
        gone = tab.event("withdraw_missing", of=added["key"], **part)
        assert tab.send(back, gone)[1]["refused"] == []
    finally:
        app.close()
    found = written_masks(audit.path, tmp_path / "back.json", whole.shape)
    assert found == [("nut", whole.tolist())]


def test_the_mask_of_others_is_taken_by_the_words_that_say_whose_it_is(wide: StoredAudit) -> None:
    mask_id, before = leave_one_to_review(wide)
    theirs = ndimage.binary_dilation(before, iterations=3)
    found = MaskCorrection(mask_id, "unlike others", pack(theirs), 0.0, np.nan, np.nan)
    found = replace(found, drawn_by="SUNS", drawn_iou=0.54, agreeing=2, agreeing_iou=0.93)
    write_corrections(wide.path, 0, [found])
    words = "as drawn by SUNS, IoU 0.54 with this one (2 others agree with it: IoU 0.93)"
    app = App(wide)
    try:
        tab = Tab(app, "ann", now_ms)
        (card,) = cards(tab)
        assert (card["suggested"]["words"], card["suggested"]["source"]) == (words, "others")
        take = tab.event("decide", item=card["item"], action="fix", suggested="others")
        assert tab.send(take)[1]["refused"] == []
    finally:
        app.close()
    row = outcome(wide, mask_id)
    assert row["reasons"].endswith(f", as suggested: {words}")
    assert (dense(row["segmentation"], *before.shape) == theirs).all()


def test_an_exact_copy_is_rejected_by_the_same_key(
    wide: StoredAudit, browser: Any, serve_wide: Callable[..., Server]
) -> None:
    part = wide.path / "masks" / "part-00000.parquet"
    masks = pd.read_parquet(part)
    copies = masks["duplicate_of"].notna()
    masks.loc[copies, "duplicate_iou"] = 1.0
    masks["action"] = masks["action"].where(copies, "accept")
    masks.to_parquet(part, index=False)
    with opened(browser, serve_wide("--reviewer", "ann")) as tab:
        kept = int(masks.set_index("mask_id").loc[tab.mask_id, "duplicate_of"])
        words = f"Suggested: reject it, an exact copy of mask {kept}"
        assert tab.page.inner_text("#suggested-words") == words
        rejected = tab.mask_id
        tab.step("t")
        tab.toasts("Rejected: an exact copy.")
        tab.saved()
    assert open_reviews(wide).decisions().set_index("mask_id")["action"].to_dict() == {
        rejected: "reject"
    }


def write_correction(audit: StoredAudit) -> tuple[int, np.ndarray]:
    """Let a verifier have found a correction of the only mask to review; return its pixels then."""
    mask_id, before = leave_one_to_review(audit)
    corrected = ndimage.binary_erosion(before, iterations=2)
    found = MaskCorrection(mask_id, "too large", pack(corrected), 2.04, 0.512, 0.87)
    write_corrections(audit.path, 0, [found])
    return mask_id, corrected


def write_split(audit: StoredAudit) -> tuple[int, np.ndarray]:
    """Let a verifier have split the only mask to review; return its pixels before."""
    mask_id, before = leave_one_to_review(audit)
    split_in_two(audit.path, mask_id, before)
    return mask_id, before


def split_in_two(audit: Path, mask_id: int, pixels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Let a verifier have split a mask into a left and a right half; return both."""
    columns = np.flatnonzero(pixels.any(0))
    left = pixels & (np.arange(pixels.shape[1]) < columns[len(columns) // 2])
    right = pixels & ~left
    ious = {"verifier_iou": 0.512, "corrected_iou": 0.91, "split_off_iou": (0.88,)}
    found = MaskCorrection(mask_id, "merged", pack(left), 0.0, split_off=(pack(right),), **ious)
    write_corrections(audit, 0, [found])
    return left, right


def written_masks(audit: Path, out: Path, size: tuple[int, ...]) -> list[tuple[str, Any]]:
    """Return category and pixels of the masks of the dataset as it is written now."""
    curate.write(audit, out)
    masks = curate.read(out).masks.sort_index()
    rows = zip(masks["category"], masks["segmentation"], strict=True)
    return [(str(name), dense(counts, *size).tolist()) for name, counts in rows]


def leave_one_to_review(audit: StoredAudit) -> tuple[int, np.ndarray]:
    """Accept all masks but one without reasons; return its pixels."""
    part = audit.path / "masks" / "part-00000.parquet"
    masks = pd.read_parquet(part)
    row = masks[(masks["reasons"] == "") & (masks["area_px"] > 400)].iloc[0]
    masks["action"] = masks["action"].where(masks["mask_id"] == row["mask_id"], "accept")
    masks.to_parquet(part, index=False)
    return int(row["mask_id"]), dense(row["segmentation"], row["height"], row["width"])


def pack(pixels: np.ndarray) -> bytes:
    """Return a mask's compressed counts."""
    return bytes(encode_counts(from_dense(pixels)).to_pylist()[0])
