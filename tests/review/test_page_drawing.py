"""The editor where it needs a server of its own: large images, late categories, a segmenter."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from page import Page, blob, centre, opened
from PIL import Image
from server import Hosted, Server

import curate
from curate.people.reviews import open_reviews
from curate.rle import encode_counts, from_dense
from curate.store.audit import StoredAudit

sys.path.insert(0, str(Path(__file__).parents[1] / "models"))
import pytest
import tiny_models
from waiting import until

Serve = Callable[..., Server]
GAP = ","
"""Between groups of digits."""


def write_one(folder: Path, mask: np.ndarray) -> StoredAudit:
    """Write an audit of one image of which two masks are this one."""
    height, width = mask.shape
    Image.fromarray(np.full((height, width, 3), 90, np.uint8)).save(folder / "one.jpg")
    ys, xs = np.nonzero(mask)
    box = [int(xs.min()), int(ys.min()), int(np.ptp(xs)) + 1, int(np.ptp(ys)) + 1]
    counts = encode_counts(from_dense(mask)).to_pylist()[0].decode()
    each = {"image_id": 1, "category_id": 1, "iscrowd": 0, "bbox": box, "area": int(mask.sum())}
    each["segmentation"] = {"size": [height, width], "counts": counts}
    coco = {
        "images": [{"id": 1, "file_name": "one.jpg", "height": height, "width": width}],
        "categories": [{"id": 1, "name": "field"}],
        "annotations": [each | {"id": k} for k in (1, 2)],
    }
    (folder / "one.json").write_text(json.dumps(coco))
    policy = {"rule": [{"when": "area_px > 0", "action": "review", "reason": "shown"}]}
    return curate.audit(folder / "one.json", folder / "audit", images=folder, policy=policy)


@contextmanager
def one_opened(browser: Any, audit: StoredAudit) -> Iterator[Page]:
    server = Hosted(audit.path, "--reviewer", "ann").start()
    try:
        with opened(browser, server) as tab:
            yield tab
    finally:
        server.kill()


def test_large_images_are_edited_to_the_pixel(browser: Any, tmp_path: Path) -> None:
    mask = np.zeros((2000, 3000), bool)
    mask[300:1700, 400:2600] = True
    mask[900:1000, 1000:1200] = np.random.default_rng(5).random((100, 200)) < 0.5
    large = write_one(tmp_path, mask)
    with one_opened(browser, large) as tab:
        tab.edit("b")
        x, y = 2600.0, 1100.0
        tab.page.mouse.move(*tab.spot(x, y)[0])
        for _ in range(12):
            tab.page.mouse.wheel(0, -700)
        tab.press(*["["] * 24)
        assert tab.page.inner_text("#size-words") == "1 px"
        tab.until("document.getElementById('canvas').dataset.place.endsWith(' 64')")
        place = tab.click(x + 0.5, y + 0.5)
        tab.save()
    expected = mask.copy()
    expected[int(place[1]), int(place[0])] = True
    assert expected.sum() == mask.sum() + 1
    assert (tab.fixed() == expected).all()


def test_large_pictures_come_sharp_in_tiles(browser: Any, tmp_path: Path) -> None:
    mask = np.zeros((2000, 3000), bool)
    mask[900:1100, 1400:1600] = True
    with one_opened(browser, write_one(tmp_path, mask)) as tab:
        page = tab.page
        tab.press("z", "z")
        tab.until("document.querySelector('#panel-mine svg').viewBox.baseVal.height === 2000")
        tab.press(*"=====")
        page.locator("#panel-mine .tile").first.wait_for()
        tile, line = page.locator("#panel-mine .tile").first, "#panel-mine .plane"
        inside = tile.evaluate("(t) => [t.naturalWidth, t.naturalHeight]")
        assert max(inside) == 512
        scale = page.locator(line).bounding_box()["width"] / 3000
        assert abs(tile.bounding_box()["width"] / inside[0] - scale) < 0.02
        tab.press("f")
        tab.mask_loads()
        tab.press("z", "=", "=", "=", "=")
        tab.until("Number(document.getElementById('canvas').dataset.tiles) > 0")
        tab.press("Escape")
        tab.view("single")


def test_a_split_into_too_many_parts_is_refused(browser: Any, tmp_path: Path) -> None:
    comb = np.zeros((60, 900), bool)
    comb[5:55, ::3] = True
    with one_opened(browser, write_one(tmp_path, comb)) as tab:
        tab.edit("x")
        tab.drag([(0, 30), (450, 30), (899, 30)])
        tab.toasts("too many parts: at most 254 masks")
        assert tab.page.inner_text("#editor-words") == "15,000 px"
        tab.drag([(0, 30), (120, 30), (300, 30)])
        words = tab.page.inner_text("#editor-words")
        assert "new masks" in words
        data = "import('/static/regions.js').then(({split}) => (%s)())"
        lost = """() => {
          const data = new Uint8Array(2700).map((_, k) => (k % 3 ? 0 : 1));
          const raster = {width: 900, height: 3, data};
          const before = raster.data.slice();
          const answers = [2, 30].map((first) => split(raster, [[0, 1.5], [750, 1.5]], first));
          return [answers, raster.data.every((label, k) => label === before[k])];
        }"""
        assert tab.page.evaluate(data % lost) == [[None, None], True]
        tab.press("Escape")
        tab.page.get_by_role("button", name="Leave", exact=True).click()
        tab.view("single")


FILTERS = ("categories", "kinds", "reasons", "scores")


def test_a_missing_mask_waits_for_the_categories(
    wide: StoredAudit, browser: Any, serve_wide: Serve
) -> None:
    tab = Page(browser, serve_wide("--reviewer", "ann"))
    late: list[dict[str, Any]] = [{"categories": [], "filters_ready": False}]

    def about(route: Any) -> None:
        """As of a large audit: what can be chosen is known a little later."""
        answer = route.fetch()
        more = late[0] | {"filters": {key: [] for key in FILTERS}}
        route.fulfill(response=answer, json=answer.json() | (more if late else {}))

    tab.page.route("**/api/about", lambda route: about(route) if late else route.continue_())
    tab.open()
    tab.press("i")
    tab.view("editor")
    tab.until("document.getElementById('canvas').dataset.place")
    tab.drag([(60, 60), (80, 70)])
    tab.press("Enter")
    tab.toasts("still being read")
    late.clear()
    tab.until("!document.getElementById('filter-button').hidden")
    tab.page.locator("#canvas").focus()
    tab.press("Enter")
    tab.toasts("Choose its category first.")
    tab.page.select_option("#category", label="blob 1")
    tab.page.locator("#canvas").focus()
    tab.press("Enter")
    tab.view("single")
    assert tab.page.evaluate("document.activeElement.id") == "single-title"
    tab.saved()
    tab.close()
    assert tab.complaints == []
    assert open_reviews(wide).missing()["category"].tolist() == ["blob 1"]


@pytest.mark.slow  # test_clicks.py does it quickly, without a browser
def test_a_real_segmenter_answers_clicks(wide: StoredAudit, browser: Any, tmp_path: Path) -> None:
    model = tiny_models.saved("sam", tmp_path / "sam")
    server = Server(
        *(wide.path, "--reviewer", "ann", "--segmenter", str(model), "--device", "cpu"),
        env={"CURATE_CACHE": str(tmp_path / "cache")},
    ).start()
    try:
        with opened(browser, server) as tab:
            card = tab.seek(blob)
            tab.edit("c")
            before = tab.page.inner_text("#editor-words")

            def redrawn() -> bool:
                tab.click(*centre(card["pixels"]))
                tab.until("document.getElementById('editor-words').textContent.endsWith('px')")
                if tab.page.inner_text("#editor-words") != before:
                    return True
                tab.press("c")
                return False

            until(redrawn, "the segmenter to be loaded")  # beside the first masks
            drawn = int(tab.page.inner_text("#editor-words").removesuffix(" px").replace(GAP, ""))
            assert 0 < drawn != card["pixels"].sum()
            tab.save()
        assert tab.fixed().sum() == drawn
    finally:
        server.kill()


def test_clicks_redraw_the_mask(wide: StoredAudit, browser: Any, serve_wide: Serve) -> None:
    tab = Page(browser, serve_wide("--reviewer", "ann"))
    asked: list[dict[str, Any]] = []
    answers: list[str] = []

    def about(route: Any) -> None:
        answer = route.fetch()
        route.fulfill(response=answer, json=answer.json() | {"segmenter": True})

    def segment(route: Any) -> None:
        """Draw a square around the last click, the larger the more there are."""
        asked.append(route.request.post_data_json)
        x, y = (int(v) for v in asked[-1]["points"][-1])
        square = np.zeros((240, tab.mask()["width"]), bool)
        half = 5 * len(asked)
        square[y - half : y + half, x - half : x + half] = True
        answers.append(encode_counts(from_dense(square)).to_pylist()[0].decode())
        route.fulfill(json={"counts": answers[-1], "predicted_iou": 0.9})

    tab.page.route("**/api/about", about)
    tab.page.route("**/api/segment", segment)
    tab.open()
    card = tab.seek(blob)
    mask_id = str(tab.mask_id)
    tab.edit("c")
    first = tab.click(100, 100)
    tab.until("document.getElementById('editor-words').textContent === '100 px'")
    tab.page.keyboard.down("Shift")
    second = tab.click(60, 120)
    tab.page.keyboard.up("Shift")
    tab.until("document.getElementById('editor-words').textContent === '400 px'")
    for shown in ("900 px", "1,600 px"):  # right after an answer, then after an undo
        tab.page.keyboard.press("c")
        tab.click(130, 110)
        tab.until(f"document.getElementById('editor-words').textContent === '{shown}'")
        assert asked[-1]["counts"] == answers[1]
        tab.page.keyboard.press("Control+z")
        tab.until("document.getElementById('editor-words').textContent === '400 px'")
    tab.save()
    tab.close()
    assert tab.complaints == []
    assert [one["labels"] for one in asked] == [[1], [1, 0], [1], [1]]
    assert np.allclose(asked[1]["points"], [first, second])
    assert {one["mask_id"] for one in asked} == {mask_id}
    assert [one["counts"] for one in asked[:2]] == [card["counts"]] * 2
    ys, xs = np.nonzero(tab.fixed())
    assert (xs.min(), ys.min()) == (int(second[0]) - 10, int(second[1]) - 10)
