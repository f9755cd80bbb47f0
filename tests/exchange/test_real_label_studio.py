"""A real Label Studio, its page in a real browser: what it shows, and what comes back from it.

``make test-tools`` installs it into an environment of its own and runs this. Where that is not
there, the tests are skipped. ``KEEP_EXPORT=PATH`` keeps the export for the tests that need no
server.
"""

from __future__ import annotations

import io
import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from drawn_pictures import drawn_audit
from label_studio_server import PASSWORD, PROGRAM, USER, Server, running
from PIL import Image

import curate
from curate.formats.label_studio.brush_rle import decode_brush
from curate.people.exchange import import_file, write_queue
from curate.people.exchange.registry import ExportOptions
from curate.people.reviews import open_reviews
from curate.rle import paste, to_dense
from curate.store.audit import StoredAudit
from curate.store.rows_by_id import encode_canonical

pytestmark = pytest.mark.skipif(
    not PROGRAM.is_file(), reason="Label Studio is not installed: make test-tools"
)

SLOW = 30_000
"""Milliseconds after which a page that does not answer fails a test."""


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> StoredAudit:
    return drawn_audit(tmp_path_factory.mktemp("drawn") / "here")


@pytest.fixture(scope="module")
def folders(drawn: StoredAudit) -> dict[str, Path]:
    """One-mask crops, and whole images, beside each other."""
    rows = curate.queue(drawn, actions=("accept", "review", "reject"))
    files = drawn.path.parent / "queues"
    files.mkdir()
    for name, crops in (("one-mask crops", True), ("whole", False)):
        assert (
            write_queue(drawn, rows, files / name, "label-studio", how=ExportOptions(crops)) == 12
        )
    return {"crops": files / "one-mask crops", "whole": files / "whole"}


@pytest.fixture(scope="module")
def server(folders: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with running(tmp_path_factory.mktemp("server"), folders["crops"].parent) as started:
        yield started


@pytest.fixture(scope="module")
def projects(server: Server, folders: dict[str, Path]) -> dict[str, int]:
    return {name: server.project(folder) for name, folder in folders.items()}


@pytest.fixture
def fresh(drawn: StoredAudit, tmp_path: Path) -> StoredAudit:
    """The audit, nothing decided yet."""
    shutil.copytree(drawn.path, tmp_path / "audit")
    return StoredAudit(tmp_path / "audit", drawn.info)


@pytest.fixture(scope="module")
def page(server: Server, browser: Any) -> Iterator[Any]:
    """Its page, somebody logged in."""
    opened = browser.new_page(viewport={"width": 1500, "height": 1500})
    opened.set_default_timeout(SLOW)
    opened.goto(server.url + "/user/login/")
    opened.fill("input[name=email]", USER)
    opened.fill("input[name=password]", PASSWORD)
    opened.press("input[name=password]", "Enter")
    opened.wait_for_url(server.url + "/")
    yield opened
    opened.close()


def show(page: Any, server: Server, project: int, task: int) -> dict[str, float]:
    """Open a task and return where its picture stands on the page."""
    page.goto(f"{server.url}/projects/{project}/data?task={task}")
    page.get_by_role("button", name="Submit").wait_for()
    page.locator("[class*=outliner-item]").first.wait_for()
    page.locator(".konvajs-content canvas").first.wait_for()
    page.wait_for_timeout(1500)  # masks are drawn some time after they are listed
    box: dict[str, float] = page.locator(".konvajs-content").first.bounding_box()
    return box


def submit(page: Any) -> None:
    with page.expect_response(
        lambda answer: "/annotations" in answer.url and answer.request.method == "POST"
    ) as sent:
        page.get_by_role("button", name="Submit").first.click()
    assert sent.value.status == 201


def stroke(page: Any, start: tuple[float, float], end: tuple[float, float]) -> None:
    page.mouse.move(*start)
    page.mouse.down()
    page.mouse.move(*end, steps=6)
    page.mouse.up()
    page.wait_for_timeout(300)


def test_it_keeps_what_we_wrote(
    server: Server, projects: dict[str, int], folders: dict[str, Path]
) -> None:
    """Predictions are as written, in our order, and pictures are served."""
    for name, folder in folders.items():
        ours = json.loads((folder / "tasks.json").read_bytes())
        theirs = server.tasks(projects[name])
        assert [task["data"] for task in theirs] == [task["data"] for task in ours]
        for task, own in zip(theirs, ours, strict=True):
            assert task["predictions"][0]["result"] == own["predictions"][0]["result"]
        scores = [task["predictions"][0]["score"] for task in theirs]
        assert scores == sorted(scores)
        for task in ours:
            address = task["data"]["image"]
            file = folder / "images" / address.rpartition("/")[2]
            assert server.get(address) == file.read_bytes()


def shot(page: Any, box: dict[str, float]) -> np.ndarray:
    """Return the colours of a part of the page."""
    page.mouse.move(5, 5)
    return np.asarray(Image.open(io.BytesIO(page.screenshot(clip=box))).convert("RGB"), np.int16)


def likeness(shown: np.ndarray, mask: np.ndarray) -> float:
    """Return the IoU of what is marked on the page with a mask, at the zoom that fits best."""
    height, width = mask.shape
    y, x = (np.arange(n) + 0.5 for n in mask.shape)
    scale = min(shown.shape[1] / width, shown.shape[0] / height)
    best = 0.0
    for zoom in np.linspace(1, 1.25, 26):  # the page shows a picture somewhat enlarged
        rows = ((y - height / 2) * zoom + height / 2) * scale
        columns = ((x - width / 2) * zoom + width / 2) * scale
        at = np.ix_(
            np.clip(rows.astype(int), 0, shown.shape[0] - 1),
            np.clip(columns.astype(int), 0, shown.shape[1] - 1),
        )
        best = max(best, float((shown[at] & mask).sum() / (shown[at] | mask).sum()))
    return best


def test_the_page_shows_the_mask_where_it_is(
    server: Server, projects: dict[str, int], page: Any
) -> None:
    tasks = server.tasks(projects["crops"])
    seen = 0
    for task in tasks:
        own = task["data"]["curate"]
        if task["data"]["mask_id"] not in (1, 2, 3, 7):  # holes, parts, border, another size
            continue
        box = show(page, server, projects["crops"], task["id"])
        size = own["h"], own["w"]
        with_mask = shot(page, box)
        page.keyboard.press("Control+h")  # hides all regions
        page.wait_for_timeout(500)
        without = shot(page, box)
        tinted = np.abs(with_mask - without).sum(axis=2) > 40
        bright = without.sum(axis=2) > 230
        assert (tinted & bright).sum() / tinted.sum() > 0.95  # on an object, as it was drawn
        region = task["predictions"][0]["result"][0]
        rle = np.array(region["value"]["rle"], np.uint8)
        assert likeness(tinted, to_dense(decode_brush(rle, *size), 0)) > 0.85
        seen += 1
    assert seen == 4


def test_what_people_do_comes_back(
    server: Server,
    projects: dict[str, int],
    folders: dict[str, Path],
    page: Any,
    fresh: StoredAudit,
    tmp_path: Path,
) -> None:
    """Kept, changed by the brush, removed, added, skipped: on the page itself."""
    project = projects["crops"]
    number = {task["data"]["mask_id"]: task["id"] for task in server.tasks(project)}
    kept = [2, 3, 4, 7]
    for mask in kept:
        show(page, server, project, number[mask])
        submit(page)
    box = show(page, server, project, number[1])
    page.locator("[class*=outliner-item]").first.click()
    middle = box["x"] + box["width"] / 4, box["y"] + box["height"] / 4
    stroke(page, middle, (middle[0] + 60, middle[1] + 20))
    submit(page)
    show(page, server, project, number[6])
    page.locator("[class*=outliner-item]").first.click()
    page.keyboard.press("Backspace")
    submit(page)
    box = show(page, server, project, number[12])
    page.keyboard.press("1")
    stroke(page, (box["x"] + 40, box["y"] + 40), (box["x"] + 120, box["y"] + 60))
    submit(page)
    skipped = {"result": [], "was_cancelled": True}
    server.call(f"/api/tasks/{number[5]}/annotations?project={project}", skipped)
    export = server.export(project, tmp_path / "export.json")
    if os.environ.get("KEEP_EXPORT"):
        shutil.copyfile(export, os.environ["KEEP_EXPORT"])
    done = import_file(fresh, export)
    assert done.format == "label-studio"
    assert done.notes["annotations that were skipped"] == 1
    decisions = open_reviews(fresh).decisions().set_index("mask_id")
    said = decisions["action"].to_dict()
    assert said == dict.fromkeys([*kept, 12], "accept") | {1: "fix", 6: "reject"}
    assert 0.5 < decisions.loc[1, "iou"] < 1
    assert (decisions["seconds"] > 0).all()
    assert set(decisions["reviewer"]) == {"user 1"}
    _same_as_drawn(json.loads(export.read_bytes()), decisions)
    added = open_reviews(fresh).missing()
    assert added["image_id"].tolist() == [2]
    assert added["category"].tolist() == ['dog "x"']


def _same_as_drawn(tasks: list[Any], decisions: pd.DataFrame) -> None:
    """See that the fixed mask is the one that the page sent, in its place."""
    task = next(task for task in tasks if task["data"]["mask_id"] == 1)
    own = task["data"]["curate"]
    rle = task["annotations"][0]["result"][0]["value"]["rle"]
    piece = decode_brush(np.array(rle, np.uint8), own["h"], own["w"])
    whole = paste(piece, [(own["x"], own["y"])], [own["height"]], [own["width"]])
    assert decisions.loc[1, "segmentation"] == encode_canonical(whole)[0]


def test_whole_images_come_back_as_they_went(
    server: Server, projects: dict[str, int], page: Any, fresh: StoredAudit, tmp_path: Path
) -> None:
    """Submitted from the page, which packs every mask anew."""
    tasks = server.tasks(projects["whole"])
    for task in tasks:
        show(page, server, projects["whole"], task["id"])
        submit(page)
    export = server.export(projects["whole"], tmp_path / "export.json")
    import_file(fresh, export)
    reviews = open_reviews(fresh)
    decisions = reviews.decisions()
    assert decisions["action"].tolist() == ["accept"] * 12
    assert (decisions["iou"] == 1).all()
    assert sorted(reviews.reviewed_images()["image_id"]) == [1, 2]
