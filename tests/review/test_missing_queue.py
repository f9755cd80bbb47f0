"""Proposed missing masks: added, edited, refused, taken back; what comes of them."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from asgi import App, Tab
from page import Page, dense, opened
from PIL import Image
from server import Hosted, now_ms

import curate
from curate.errors import AuditError, CallError, SourceError
from curate.people.queues.missing_proposals import count_proposals, read_proposals
from curate.people.reviews import open_reviews
from curate.people.reviews.current_plan import open_audit, read_added_masks
from curate.rle import encode, from_dense
from curate.store.audit import StoredAudit
from curate.store.audit_files import part_paths
from curate.testing.bright_segmenter import BrightSegmenter

HEIGHT, WIDTH = 64, 96
NAMES = ["cat", "dog", "emu"]

SEEN = [
    (1, [60, 10, 20, 30], 0.9, 2, False),  # a box without a mask, near no mask
    (2, [8, 8, 24, 24], 0.8, 1, True),  # an image without any mask
    (2, [60, 30, 20, 20], 0.7, 9, True),  # of a category that the dataset does not list
    (1, [10, 10, 30, 30], 0.9, 1, True),  # there is a mask
]
"""Image, box, confidence, category, and whether the detector has a mask."""


def disc(box: list[int]) -> np.ndarray:
    """Return the ellipse in a box, as pixels of the image."""
    x, y, w, h = box
    ys, xs = np.mgrid[:HEIGHT, :WIDTH] + 0.5
    return (((xs - x - w / 2) / (w / 2)) ** 2 + ((ys - y - h / 2) / (h / 2)) ** 2) < 1


def counts_of(pixels: np.ndarray) -> dict[str, Any]:
    (rle,) = encode(from_dense(pixels))
    counts = rle["counts"]
    text = counts.decode() if isinstance(counts, bytes) else counts
    return {"size": [HEIGHT, WIDTH], "counts": text}


@pytest.fixture(scope="session")
def proposed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a dataset with its pictures and detections, audited."""
    folder = tmp_path_factory.mktemp("missing")
    (folder / "images").mkdir()
    random = np.random.default_rng(3)
    for number in (1, 2, 3):
        grey = random.integers(60, 90, (HEIGHT, WIDTH, 3), dtype=np.uint8)
        for image, box, *_ in SEEN:
            if image == number:
                grey[disc(box)] = (200, 180, 40)
        Image.fromarray(grey).save(folder / "images" / f"{number}.png")
    images = [
        {"id": n, "file_name": f"{n}.png", "height": HEIGHT, "width": WIDTH} for n in (1, 2, 3)
    ]
    masks = [
        {"id": 1, "image_id": 1, "category_id": 1, "box": [10, 10, 30, 30]},
        {"id": 2, "image_id": 3, "category_id": 2, "box": [20, 20, 30, 30]},
    ]
    annotations = [
        {
            **{name: one[name] for name in ("id", "image_id", "category_id")},
            "segmentation": counts_of(disc(one["box"])),
            "bbox": one["box"],
            "area": int(disc(one["box"]).sum()),
            "iscrowd": 0,
        }
        for one in masks
    ]
    named = [{"id": k + 1, "name": name} for k, name in enumerate(NAMES)]
    source = {"images": images, "annotations": annotations, "categories": named}
    (folder / "source.json").write_text(json.dumps(source))
    results = [
        {"image_id": image, "bbox": box, "score": score, "category_id": category}
        | ({"segmentation": counts_of(disc(box))} if drawn else {})
        for image, box, score, category, drawn in SEEN
    ]
    (folder / "seen.json").write_text(json.dumps(results))
    curate.audit(
        folder / "source.json",
        folder / "audit",
        images=folder / "images",
        detections=folder / "seen.json",
    )
    return folder


@pytest.fixture
def lacking(proposed: Path, tmp_path: Path) -> StoredAudit:
    """A copy of the audit in which masks are missing."""
    shutil.copytree(proposed / "audit", tmp_path / "audit")
    return open_audit(tmp_path / "audit")


@pytest.fixture
def app(lacking: StoredAudit) -> Iterator[App]:
    app = App(lacking, kind="missing")
    yield app
    app.close()


def cards(tab: Tab, count: int = 10) -> list[dict[str, Any]]:
    status, answer = tab.ask("/api/next", count=count, holding=[])
    assert status == 200, answer
    return list(answer["cards"])


def test_places_that_a_detector_sees_and_no_mask_covers_are_proposed(lacking: StoredAudit) -> None:
    found = read_proposals(lacking)
    assert found["image_id"].tolist() == [1, 2, 2]
    assert found["confidence"].tolist() == [0.9, 0.8, 0.7]
    assert found["category"].tolist()[:2] == ["dog", "cat"]
    assert pd.isna(found["category"].iloc[2])
    assert (found["proposal_id"] < 0).all()
    again = read_proposals(open_audit(lacking.path))
    assert again["proposal_id"].tolist() == found["proposal_id"].tolist()


def test_a_card_shows_the_detectors_mask_or_its_box(app: App) -> None:
    first, second, third = cards(Tab(app, "ann", now_ms))
    assert (first["proposed"], second["proposed"]) == ("box", "mask")
    assert (first["category"], third["category"]) == ("dog", None)
    assert first["reasons"][0]["words"] == (
        "a detector sees “dog” here (confidence 0.90); no mask matches it"
    )
    whole = app.ask(f"/api/mask/{second['mask_id']}")[1]
    assert (dense(whole["counts"], HEIGHT, WIDTH) == disc([8, 8, 24, 24])).all()
    box = dense(app.ask(f"/api/mask/{first['mask_id']}")[1]["counts"], HEIGHT, WIDTH)
    assert box.sum() == 20 * 30
    assert box[10:40, 60:80].all()
    bare = app.ask("/api/image/2")[1]
    assert (bare["masks"], bare["picture"]) == ([], "/api/scene/2")


def test_added_ones_are_written_and_refused_ones_do_not_come_again(
    proposed: Path, lacking: StoredAudit, app: App, tmp_path: Path
) -> None:
    tab = Tab(app, "ann", now_ms)
    first, second, third = cards(tab)
    status, answer = tab.send(
        tab.decide(first["item"]),
        tab.decide(second["item"], "reject"),
        tab.decide(third["item"]),
    )
    assert status == 200
    assert [one["error"] for one in answer["refused"]] == [
        "a missing mask needs a category: choose one"
    ]
    assert answer["progress"]["decided"] == 2
    smaller = counts_of(disc([62, 32, 16, 16]))["counts"]
    fix = {"action": "fix", "counts": smaller, "category": "emu"}
    status, answer = tab.send(tab.event("decide", item=third["item"], seconds=2.0, **fix))
    assert answer["refused"] == []
    assert cards(Tab(app, "bob", now_ms)) == []
    counts = count_proposals(lacking)
    assert (counts.added, counts.refused, counts.left) == (2, 1, 0)
    assert counts.text() == "missing masks proposed: 3 (2 added, 1 refused)"
    for ask in (
        lambda: App(lacking, kind="missing"),
        lambda: curate.write_queue(lacking, kind="missing"),
    ):
        with pytest.raises(AuditError, match="all 3 proposed missing masks are answered"):
            ask()
    assert not len(open_reviews(lacking).decisions())  # nothing is said of any mask
    curate.write(lacking.path, tmp_path / "better.json")
    better = json.loads((tmp_path / "better.json").read_text())
    new = [one for one in better["annotations"] if one["id"] > 2]
    names = {one["id"]: one["name"] for one in better["categories"]}
    assert [(one["image_id"], names[one["category_id"]]) for one in new] == [(1, "dog"), (2, "emu")]
    table = curate.read(tmp_path / "better.json")
    areas = table.masks["area_px"].loc[[one["id"] for one in new]].tolist()
    assert areas == [600, int(disc([62, 32, 16, 16]).sum())]


def test_an_answer_is_taken_back_with_the_mask_that_it_added(
    lacking: StoredAudit, app: App
) -> None:
    tab = Tab(app, "ann", now_ms)
    first, second, _ = cards(tab)
    added, refused = tab.decide(first["item"]), tab.decide(second["item"], "reject")
    tab.send(added, refused, added)  # what comes twice counts once
    assert len(read_added_masks(lacking)) == 1
    for one in (added, refused):
        back = tab.event("withdraw", item=one["item"], of=one["key"])
        assert tab.send(back, back)[1]["refused"] == []
    assert not len(read_added_masks(lacking))
    assert count_proposals(lacking).left == 3
    back = tab.event("withdraw", item=first["item"], of="00000000-none")
    refusals = tab.send(back)[1]["refused"]
    assert refusals[0]["error"] == "there is no such decision of that person"
    tab.send(tab.decide(first["item"]))
    assert len(read_added_masks(lacking)) == 1


def test_what_people_added_otherwise_is_not_proposed(lacking: StoredAudit, app: App) -> None:
    own = {"image_id": [2], "segmentation": [counts_of(disc([9, 8, 24, 25]))["counts"]]}
    reviews = open_reviews(lacking)
    nothing = pd.DataFrame({"mask_id": np.zeros(0, np.int64), "action": []})
    reviews.add(nothing, origin="by hand", missing=pd.DataFrame(own))
    assert [card["image_id"] for card in cards(Tab(app, "ann", now_ms))] == ["1", "2"]
    assert "1 covered by a mask that was added otherwise" in count_proposals(lacking).text()


def test_two_people_get_different_proposals(app: App) -> None:
    first, second = (
        {card["item"] for card in cards(Tab(app, name, now_ms), 2)} for name in ("ann", "bob")
    )
    assert (len(first), len(second), first & second) == (2, 1, set())


def test_a_category_narrows_the_proposals(app: App) -> None:
    tab = Tab(app, "ann", now_ms)
    about = app.ask("/api/about")[1]
    assert about["kind"] == "missing"
    assert about["filters"]["categories"][0] == {"name": "dog", "masks": 1}
    only = {"category": "cat", "reason": None, "score": None}
    answer = tab.ask("/api/next", count=10, holding=[], filter=only)[1]
    assert [card["category"] for card in answer["cards"]] == ["cat"]


def test_the_queue_is_a_table_too(lacking: StoredAudit, tmp_path: Path) -> None:
    printed = curate.write_queue(lacking, kind="missing", budget=2)
    rows = printed.splitlines()
    assert rows[0].startswith(
        "decision,dataset_version,proposal_id,image_id,file_name,category,confidence"
    )
    assert len(rows) == 3
    said = curate.write_queue(lacking, tmp_path / "missing.json", kind="missing")
    assert said.startswith("3 proposed missing masks in ")
    listed = json.loads((tmp_path / "missing.json").read_text())["proposals"]
    assert [one["bbox_w"] for one in listed] == [20, 24, 20]
    with pytest.raises(CallError, match="written as a table"):
        curate.write_queue(lacking, tmp_path / "missing.coco", kind="missing")
    with pytest.raises(CallError, match="of all of them"):
        curate.write_queue(lacking, kind="missing", overlap=0.5)


def filled_in(audit: StoredAudit, path: Path, decisions: list[str], **cells: list[str]) -> Path:
    """Write the table of proposals as people filled it in."""
    curate.write_queue(audit, path, kind="missing")
    rows = pd.read_csv(path, dtype=str, keep_default_na=False)
    for name, values in ({"decision": decisions} | cells).items():
        rows[name] = values
    rows.to_csv(path, index=False)
    return path


def test_a_table_that_people_filled_in_comes_back(lacking: StoredAudit, tmp_path: Path) -> None:
    own = json.dumps(counts_of(disc([62, 32, 16, 16])))
    table = filled_in(
        lacking,
        tmp_path / "missing.csv",
        ["accept", "reject", "fix"],
        category=["dog", "cat", "emu"],
        segmentation=["", "", own],
        proposal_id=["-1.2E+18"] * 3,  # a spreadsheet has no room for its digits
        reviewer=["", "bob", ""],
    )
    done = curate.import_decisions(table, lacking, reviewer="ann")
    assert "answers to proposed missing masks: 2 added, 1 refused" in done.text()
    assert done.as_dict()["reviewers"] == {"ann": 2, "bob": 1}
    added = read_added_masks(lacking)
    assert added["category"].tolist() == ["dog", "emu"]
    runs = [dense(counts.decode(), HEIGHT, WIDTH) for counts in added["segmentation"]]
    assert runs[0].sum() == 20 * 30  # the detector has no mask of it: its box
    assert (runs[1] == disc([62, 32, 16, 16])).all()
    counts = count_proposals(lacking)
    assert (counts.added, counts.refused, counts.left) == (2, 1, 0)
    again = curate.import_decisions(table, lacking, reviewer="ann")
    assert again.as_dict()["answered_before"] == 3
    assert len(read_added_masks(lacking)) == 2

    back = curate.take_back(table, lacking, reviewer="ann")
    assert (back.decisions, back.missing) == (2, 2)
    assert count_proposals(lacking).left == 2
    with pytest.raises(CallError, match="no answer of this file counts"):
        curate.take_back(table, lacking, reviewer="ann")
    once_more = curate.import_decisions(table, lacking, reviewer="ann")
    assert once_more.as_dict()["missing_added"] == 2
    assert len(read_added_masks(lacking)) == 2


def test_the_table_as_json_comes_back(lacking: StoredAudit, tmp_path: Path) -> None:
    path = tmp_path / "missing.json"
    curate.write_queue(lacking, path, kind="missing")
    document = json.loads(path.read_text())
    document["proposals"][1]["decision"] = "Accept"
    path.write_text(json.dumps(document))
    done = curate.import_decisions(path, lacking)
    assert done.as_dict()["rows_without_a_decision"] == 2
    (counts,) = read_added_masks(lacking)["segmentation"]
    assert (dense(counts.decode(), HEIGHT, WIDTH) == disc([8, 8, 24, 24])).all()


@pytest.mark.parametrize(
    ("cells", "message"),
    [
        (
            {"decision": ["yes", "", ""]},
            "row 2, proposal -.*'yes' is no decision; use accept",
        ),
        ({"decision": ["", "", "accept"]}, "row 4.*needs a category that the dataset has"),
        ({"decision": ["fix", "", ""]}, "row 2.*no mask is given"),
        ({"decision": ["accept", "", ""], "image_id": ["3", "2", "2"]}, "proposes no such mask"),
        ({"decision": ["", "", ""]}, "no decisions found in this file"),
        ({"decision": ["accept", "", ""], "bbox_x": ["x", "8", "60"]}, "bbox_x is 'x', not a num"),
    ],
)
def test_a_wrong_row_of_the_table_is_named_and_nothing_is_imported(
    lacking: StoredAudit, tmp_path: Path, cells: dict[str, list[str]], message: str
) -> None:
    more = {name: values for name, values in cells.items() if name != "decision"}
    table = filled_in(lacking, tmp_path / "missing.csv", cells["decision"], **more)
    with pytest.raises(SourceError, match=message):
        curate.import_decisions(table, lacking)
    assert count_proposals(lacking).left == 3
    with pytest.raises(CallError, match="it is for corrected datasets"):
        curate.import_decisions(table, lacking, assume_reviewed=True)


WHAT = ["“dog”", "“cat”", "an object"]


def change_listed(audit: StoredAudit, **changes: Any) -> None:
    """Give the places that an audit lists other values; a callable makes them of the entry."""
    (path,) = part_paths(audit.path, "images")
    frame = pd.read_parquet(path)
    listed = [json.loads(text) for text in frame["missing_detections_json"].fillna("[]")]
    for entry in (one for some in listed for one in some):
        entry.update({k: v(dict(entry)) if callable(v) else v for k, v in changes.items()})
    frame["missing_detections_json"] = [json.dumps(some) for some in listed]
    frame.to_parquet(path)


@pytest.mark.parametrize(
    ("seen_by", "who"),
    [
        ("verifier", ["a verifier sees an object here"]),
        ("both", [f"a detector sees {what} here, and a verifier an object" for what in WHAT]),
    ],
)
def test_a_card_says_who_saw_the_object(lacking: StoredAudit, seen_by: str, who: list[str]) -> None:
    change_listed(lacking, seen_by=seen_by)
    app = App(open_audit(lacking.path), kind="missing")
    words = {card["reasons"][0]["words"] for card in cards(Tab(app, "ann", now_ms))}
    app.close()
    assert {said.split(" (confidence")[0] for said in words} == set(who)


def test_what_is_near_a_mask_comes_last_and_is_said_to_be_inexact(lacking: StoredAudit) -> None:
    change_listed(lacking, explained=lambda one: 0.4 if one["score"] == 0.9 else 0.2)
    assert read_proposals(lacking)["confidence"].tolist() == [0.8, 0.7, 0.9]
    app = App(open_audit(lacking.path), kind="missing")
    said = [card["reasons"][0]["words"] for card in cards(Tab(app, "ann", now_ms))]
    app.close()
    assert said[0].endswith("; no mask matches it (best match 0.20)")
    assert said[2] == (
        "a detector sees “dog” here (confidence 0.90); "
        "it probably has a mask, with an inexact outline (best match 0.40)"
    )


def test_proposals_without_a_category_are_a_filter_and_go_when_answered(
    lacking: StoredAudit,
) -> None:
    change_listed(lacking, category_id=lambda one: 1 if one["score"] == 0.8 else None)
    app = App(open_audit(lacking.path), kind="missing")
    try:
        listed = app.ask("/api/about")[1]["filters"]["categories"]
        assert listed == [{"name": "", "masks": 2}, {"name": "cat", "masks": 1}]
        tab = Tab(app, "ann", now_ms)
        only = {"category": "", "reason": None, "score": None}
        found = tab.ask("/api/next", count=10, holding=[], filter=only)[1]["cards"]
        assert [card["category"] for card in found] == [None, None]
        tab.send(*(tab.decide(card["item"], "reject") for card in found))
        listed = app.ask("/api/about")[1]["filters"]["categories"]
        assert listed == [{"name": "cat", "masks": 1}]
        kind = tab.ask("/api/next", count=10, holding=[], filter={"kind": "too large"})
        assert kind[1]["cards"] == []
    finally:
        app.close()


def test_an_audit_without_detections_says_what_it_lacks(audit: StoredAudit) -> None:
    images = audit.path / "images" / "part-00000.parquet"
    frame = pd.read_parquet(images).drop(columns=["missing_detections", "missing_detections_json"])
    frame.to_parquet(images, index=False)
    with pytest.raises(AuditError, match="give `curate audit` detections"):
        App(audit, kind="missing")
    with pytest.raises(AuditError, match="there are no detections"):
        curate.write_queue(audit, kind="missing")


def test_a_verifier_at_chance_is_said_not_to_have_been_asked(lacking: StoredAudit) -> None:
    record = json.loads((lacking.path / "audit.json").read_text())
    record["inputs"].pop("detections", None)
    weak = {"name": "weak", "fingerprint": "f", "device": "cpu", "precision": "float32"}
    record["models"] = {"verifier": {**weak, "proposes_masks": False}}
    (lacking.path / "audit.json").write_text(json.dumps(record))
    (path,) = part_paths(lacking.path, "images")
    pd.read_parquet(path).assign(missing_detections=np.nan).to_parquet(path)
    said = "not asked: it sees missing masks no better than chance.*train it longer.*--detections"
    with pytest.raises(AuditError, match=said):
        App(open_audit(lacking.path), kind="missing")
    with pytest.raises(AuditError, match=said):
        curate.write_queue(lacking.path, kind="missing")


def test_a_segmenter_draws_in_the_box_of_a_proposal(
    lacking: StoredAudit, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(
        "curate.people.webapp.click_prompts.load_segmenter", lambda name, device: BrightSegmenter()
    )
    monkeypatch.setenv("CURATE_CACHE", str(tmp_path))
    app = App(lacking, kind="missing", segmenter="bright")
    try:
        for thread in app.review.redrawing.threads:
            thread.join(30)
        tab = Tab(app, "ann", now_ms)
        first = cards(tab)[0]
        status, drawn = tab.ask("/api/redraw", mask_id=first["mask_id"])
        assert status == 200
        seen = dense(drawn["counts"], HEIGHT, WIDTH)
        there = disc([60, 10, 20, 30])
        assert (seen & there).sum() / (seen | there).sum() > 0.9
        assert drawn["path"].startswith("M")
    finally:
        app.close()


def test_one_key_adds_edits_or_refuses_a_proposal(browser: Any, lacking: StoredAudit) -> None:
    server = Hosted(lacking.path, "--kind", "missing", "--reviewer", "ann").start()
    try:
        with opened(browser, server) as tab:
            answer_by_keys(tab)
    finally:
        server.kill()
    counts = count_proposals(lacking)
    assert (counts.added, counts.refused, counts.left) == (2, 0, 1)
    added = read_added_masks(lacking)
    assert added["category"].tolist() == ["dog", "cat"]


def answer_by_keys(tab: Page) -> None:
    page = tab.page
    assert page.inner_text("#single-title") == "dog"
    assert page.inner_text("[data-act=accept]").startswith("Add it")
    assert page.inner_text("#marked").startswith("The outline is the detector's box")
    tab.press("a")  # one key for a right proposal
    tab.until("document.getElementById('single-title').textContent === 'cat'")
    tab.step("r")
    tab.press("u")
    tab.toasts("Taken back: Refused.")
    tab.press("f")
    tab.view("editor")
    tab.until("document.getElementById('editor-words').textContent.includes('px')")
    assert page.inner_text("#editor-title") == "Edit the proposed mask"
    tab.press("z", "b")
    tab.drag([(20, 20), (28, 44)])
    tab.save()
    tab.until("document.getElementById('single-title').textContent === 'No category'")
    tab.press("a")  # a person must say what it is
    page.locator("#relabel").wait_for()
    tab.press("Escape")
