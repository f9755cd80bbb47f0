"""The editor in a real browser: what is drawn is what is stored, to the pixel."""

from __future__ import annotations

import json
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from page import Page, Point, decisions, dense, opened
from PIL import Image
from scipy import ndimage
from server import Server

import curate
from curate.decisions import open_reviews
from curate.rle import encode, from_dense
from curate.store import Audit

EIGHT = np.ones((3, 3))
Serve = Callable[..., Server]


def brushed(shape: tuple[int, ...], places: list[Point], size: float) -> np.ndarray:
    """Return the pixels whose centre is within half of ``size`` of a drawn line."""
    ys, xs = np.mgrid[: shape[0], : shape[1]] + 0.5
    out = np.zeros(shape, bool)
    for (ax, ay), (bx, by) in pairwise([places[0], *places]):
        length = (bx - ax) ** 2 + (by - ay) ** 2
        along = ((xs - ax) * (bx - ax) + (ys - ay) * (by - ay)) / length if length else 0 * xs
        along = np.clip(along, 0, 1)
        away = (xs - ax - along * (bx - ax)) ** 2 + (ys - ay - along * (by - ay)) ** 2
        out |= away <= (size / 2) ** 2
    return out


def inside(shape: tuple[int, ...], corners: list[Point]) -> np.ndarray:
    """Return the pixels whose centre lies in a polygon, by the even-odd rule."""
    ys, xs = np.mgrid[: shape[0], : shape[1]] + 0.5
    out = np.zeros(shape, bool)
    for (ax, ay), (bx, by) in pairwise([*corners, corners[0]]):
        if ay != by:
            out ^= ((ay <= ys) != (by <= ys)) & (xs >= ax + (ys - ay) / (by - ay) * (bx - ax))
    return out


def fixed(audit: Audit) -> np.ndarray:
    """Return the only fix that stands in the file."""
    (row,) = decisions(audit).to_dict("records")
    assert row["action"] == "fix"
    size = audit.query(f"select height, width from masks where mask_id = {row['mask_id']}").iloc[0]
    return dense(row["segmentation"], int(size["height"]), int(size["width"]))


def centre(pixels: np.ndarray) -> Point:
    ys, xs = np.nonzero(pixels)
    return float(xs.mean()), float(ys.mean())


def blob(card: dict[str, Any]) -> bool:
    """Whether a mask is one piece without a hole, well inside its image."""
    pixels = card["pixels"]
    border = np.concatenate([pixels[0], pixels[-1], pixels[:, 0], pixels[:, -1]])
    whole = ndimage.binary_fill_holes(pixels)
    return bool(pixels.sum() > 800 and not border.any() and (whole == pixels).all()) and (
        ndimage.label(pixels, EIGHT)[1] == 1
    )


def holed(card: dict[str, Any]) -> bool:
    pixels = card["pixels"]
    return int((ndimage.binary_fill_holes(pixels) & ~pixels).sum()) == 80


def in_pieces(card: dict[str, Any]) -> bool:
    sizes = np.bincount(ndimage.label(card["pixels"], EIGHT)[0].ravel())[1:]
    return len(sizes) == 2 and sizes.min() > 100


@pytest.fixture
def tab(browser: Any, serve_wide: Serve) -> Any:
    with opened(browser, serve_wide("--reviewer", "ann")) as tab:
        yield tab


def test_the_brush_changes_the_mask_as_drawn(wide: Audit, tab: Page) -> None:
    card = tab.seek(blob)
    x, y = centre(card["pixels"])
    tab.edit("b")
    places = tab.drag([(x, y), (x + 30, y - 12), (x + 41, y + 20)])
    tab.save()
    expected = card["pixels"] | brushed(card["pixels"].shape, places, 20)
    assert (expected != card["pixels"]).any()
    assert (fixed(wide) == expected).all()


def test_eraser_size_undo_and_redo(wide: Audit, tab: Page) -> None:
    card = tab.seek(blob)
    x, y = centre(card["pixels"])
    tab.edit("e")
    tab.press("[", "[", "[")
    size = int(tab.page.inner_text("#size-words").split()[0])
    assert size < 20
    first = tab.drag([(x - 20, y), (x + 20, y)])
    second = tab.drag([(x, y - 15), (x, y + 15)])
    tab.press("u")
    tab.press("u")
    tab.press("Shift+U")
    tab.save()
    shape = card["pixels"].shape
    assert (fixed(wide) == card["pixels"] & ~brushed(shape, first, size)).all()
    assert brushed(shape, second, size).any()


def test_polygons_add_and_take_away(wide: Audit, tab: Page) -> None:
    card = tab.seek(blob)
    x, y = centre(card["pixels"])
    tab.edit("p")
    added = [tab.click(*corner) for corner in ((x, y), (x + 40, y + 3), (x + 22, y + 37))]
    tab.press("Enter")
    tab.page.keyboard.down("Shift")
    taken = [tab.click(*corner) for corner in ((x - 9, y - 9), (x + 9, y - 7), (x, y + 11))]
    tab.page.keyboard.up("Shift")
    tab.press("Enter")
    tab.save()
    shape = card["pixels"].shape
    expected = (card["pixels"] | inside(shape, added)) & ~inside(shape, taken)
    assert (fixed(wide) == expected).all()


@pytest.mark.parametrize("by_click", [True, False])
def test_holes_are_filled(wide: Audit, tab: Page, by_click: bool) -> None:
    card = tab.seek(holed)
    whole = ndimage.binary_fill_holes(card["pixels"])
    tab.edit("h")
    tab.click(2, 2)
    tab.toasts("no hole")
    if by_click:
        x, y = centre(whole & ~card["pixels"])
        tab.click(x + 0.5, y + 0.5)
    else:
        tab.press("Shift+H")
    tab.save()
    assert (fixed(wide) == whole).all()


@pytest.mark.parametrize("by_click", [True, False])
def test_islands_are_deleted(wide: Audit, tab: Page, by_click: bool) -> None:
    card = tab.seek(in_pieces)
    labels, _ = ndimage.label(card["pixels"], EIGHT)
    sizes = np.bincount(labels.ravel())[1:]
    tab.edit("d")
    if by_click:
        ys, xs = np.nonzero(labels == 1 + sizes.argmin())
        tab.click(xs[len(xs) // 2] + 0.5, ys[len(ys) // 2] + 0.5)
    else:
        tab.press("Shift+D")
    tab.save()
    assert (fixed(wide) == (labels == 1 + sizes.argmax())).all()


def test_a_split_loses_no_pixel(wide: Audit, tab: Page) -> None:
    card = tab.seek(blob)
    pixels = card["pixels"]
    x, _ = centre(pixels)
    tab.edit("x")
    height = pixels.shape[0]
    tab.drag([(x + 4, 0), (x + 4, height / 2), (x + 4, height - 1)])
    assert "1 new mask" in tab.page.inner_text("#editor-words")
    tab.save()
    kept = fixed(wide)
    (part,) = open_reviews(wide).missing().to_dict("records")
    cut = dense(part["segmentation"], *pixels.shape)
    assert ((kept | cut) == pixels).all()
    assert not (kept & cut).any()
    assert kept.sum() >= cut.sum() > 100
    columns = np.arange(pixels.shape[1])
    assert abs(columns[cut.any(0)].min() - (x + 4)) < 3
    tab.press("u")
    tab.toasts("Taken back")
    tab.saved()
    assert len(decisions(wide)) == len(open_reviews(wide).missing()) == 0


def test_a_fix_must_change_something_and_leave_something(wide: Audit, tab: Page) -> None:
    card = tab.seek(blob)
    tab.edit("b")
    tab.press("Enter")
    tab.page.get_by_role("heading", name="No pixel has changed").wait_for()
    tab.page.get_by_role("button", name="Go on drawing").click()
    tab.press("e")
    for _ in range(12):
        tab.press("]")
    ys, xs = np.nonzero(card["pixels"])
    tab.drag([(xs.min(), ys.mean()), (xs.max(), ys.mean())])
    assert tab.page.inner_text("#editor-words") == "0 px"
    tab.press("Enter")
    tab.page.get_by_role("button", name="Reject it").click()
    tab.view("single")
    tab.saved()
    assert decisions(wide)["action"].tolist() == ["reject"]


def test_escape_leaves_the_mask_as_it_was(wide: Audit, tab: Page) -> None:
    card = tab.seek(blob)
    shown = tab.mask_id
    tab.edit("b")
    tab.drag([centre(card["pixels"]), (5, 5)])
    tab.press("Escape")
    tab.page.get_by_role("button", name="Leave", exact=True).click()
    tab.view("single")
    assert tab.mask_id == shown
    tab.decide("a")
    tab.saved()
    assert decisions(wide)["action"].tolist() == ["accept"]


def test_the_editor_works_without_a_pointer(wide: Audit, tab: Page) -> None:
    card = tab.seek(holed)
    tab.edit("b")
    tab.press("[", "ArrowRight", "ArrowDown", "Space", "ArrowDown", "Space")
    tab.press("Shift+H")
    tab.save()
    changed = fixed(wide)
    assert (changed >= ndimage.binary_fill_holes(card["pixels"])).all()


@pytest.fixture
def large(tmp_path: Any) -> Audit:
    """An audit of one image of 2000 x 3000 px whose mask is a frame with a ragged hole."""
    rng = np.random.default_rng(5)
    mask = np.zeros((2000, 3000), bool)
    mask[300:1700, 400:2600] = True
    mask[900:1000, 1000:1200] = rng.random((100, 200)) < 0.5
    Image.fromarray(np.full((2000, 3000, 3), 90, np.uint8)).save(tmp_path / "large.jpg")
    counts = encode(from_dense(mask)).to_pylist()[0].decode()
    box = [400, 300, 2200, 1400]
    coco = {
        "images": [{"id": 1, "file_name": "large.jpg", "height": 2000, "width": 3000}],
        "categories": [{"id": 1, "name": "field"}],
        "annotations": [
            {
                "id": k,
                "image_id": 1,
                "category_id": 1,
                "iscrowd": 0,
                "bbox": box,
                "area": int(mask.sum()),
                "segmentation": {"size": [2000, 3000], "counts": counts},
            }
            for k in (1, 2)
        ],
    }
    (tmp_path / "large.json").write_text(json.dumps(coco))
    policy = {"rule": [{"when": "area_px > 0", "action": "review", "reason": "large"}]}
    return curate.audit(
        tmp_path / "large.json", tmp_path / "large.audit", images=tmp_path, policy=policy
    )


@pytest.fixture
def large_server(large: Audit) -> Any:
    server = Server(large.path, "--reviewer", "ann").start()
    yield server
    server.kill()


def test_large_images_are_edited_to_the_pixel(
    large: Audit, browser: Any, large_server: Server
) -> None:
    with opened(browser, large_server) as tab:
        tab.ready()
        card = tab.mask()
        tab.edit("b")
        x, y = 2600.0, 1100.0
        tab.page.mouse.move(*tab.spot(x, y)[0])
        for _ in range(12):
            tab.page.mouse.wheel(0, -700)
        tab.press("[", "[", "[", "[", "[", "[", "[", "[", "[", "[", "[", "[", "[", "[")
        assert tab.page.inner_text("#size-words") == "1 px"
        tab.until("document.getElementById('canvas').dataset.place.endsWith(' 64')")
        place = tab.click(x + 0.5, y + 0.5)
        tab.save()
    expected = card["pixels"].copy()
    expected[int(place[1]), int(place[0])] = True
    assert expected.sum() == card["pixels"].sum() + 1
    assert (fixed(large) == expected).all()


def test_clicks_redraw_the_mask(wide: Audit, browser: Any, serve_wide: Serve) -> None:
    tab = Page(browser, serve_wide("--reviewer", "ann"))
    asked: list[dict[str, Any]] = []

    def about(route: Any) -> None:
        answer = route.fetch()
        route.fulfill(response=answer, json=answer.json() | {"segmenter": True})

    def segment(route: Any) -> None:
        """Draw a square around the last click."""
        asked.append(route.request.post_data_json)
        x, y = (int(v) for v in asked[-1]["points"][-1])
        square = np.zeros((240, tab.mask()["width"]), bool)
        square[y - 5 : y + 5, x - 5 : x + 5] = True
        counts = encode(from_dense(square)).to_pylist()[0].decode()
        route.fulfill(json={"counts": counts, "predicted_iou": 0.9})

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
    tab.page.wait_for_timeout(500)
    tab.save()
    tab.close()
    assert tab.complaints == []
    assert [one["labels"] for one in asked] == [[1], [1, 0]]
    assert np.allclose(asked[1]["points"], [first, second])
    assert {one["mask_id"] for one in asked} == {mask_id}
    assert [one["counts"] for one in asked] == [card["counts"]] * 2
    ys, xs = np.nonzero(fixed(wide))
    assert (xs.min(), ys.min()) == (int(second[0]) - 5, int(second[1]) - 5)
