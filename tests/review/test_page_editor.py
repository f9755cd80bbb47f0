"""The editor in a real browser: what is drawn is what is stored, to the pixel."""

from __future__ import annotations

import json
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from page import Page, Point, blob, centre, dense
from scipy import ndimage
from waiting import until

EIGHT = np.ones((3, 3))


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


def holed(card: dict[str, Any]) -> bool:
    pixels = card["pixels"]
    return int((ndimage.binary_fill_holes(pixels) & ~pixels).sum()) == 80


def in_pieces(card: dict[str, Any]) -> bool:
    sizes = np.bincount(ndimage.label(card["pixels"], EIGHT)[0].ravel())[1:]
    return len(sizes) == 2 and sizes.min() > 100


def test_the_brush_changes_the_mask_as_drawn(tab: Page) -> None:
    card = tab.seek(blob)
    x, y = centre(card["pixels"])
    tab.edit("b")
    places = tab.drag([(x, y), (x + 30, y - 12), (x + 41, y + 20)])
    tab.save()
    expected = card["pixels"] | brushed(card["pixels"].shape, places, tab.brush)
    assert (expected != card["pixels"]).any()
    assert (tab.fixed() == expected).all()


def test_eraser_size_undo_and_redo(tab: Page) -> None:
    card = tab.seek(blob)
    x, y = centre(card["pixels"])
    tab.edit("e")
    begun = tab.brush
    tab.press("[", "[", "[")
    size = tab.brush
    assert size < begun
    first = tab.drag([(x - 20, y), (x + 20, y)])
    second = tab.drag([(x, y - 15), (x, y + 15)])
    tab.press("u")
    tab.press("u")
    tab.press("Shift+U")
    tab.save()
    shape = card["pixels"].shape
    assert (tab.fixed() == card["pixels"] & ~brushed(shape, first, size)).all()
    assert brushed(shape, second, size).any()


def test_polygons_add_and_take_away(tab: Page) -> None:
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
    assert (tab.fixed() == expected).all()


@pytest.mark.parametrize("by_click", [True, False])
def test_holes_are_filled(tab: Page, by_click: bool) -> None:
    tab.narrow("has holes")
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
    assert (tab.fixed() == whole).all()


@pytest.mark.parametrize("by_click", [True, False])
def test_islands_are_deleted(tab: Page, by_click: bool) -> None:
    tab.narrow("falls into")
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
    assert (tab.fixed() == (labels == 1 + sizes.argmax())).all()


def test_a_split_loses_no_pixel(tab: Page) -> None:
    card = tab.seek(blob)
    pixels = card["pixels"]
    x, _ = centre(pixels)
    tab.edit("x")
    height = pixels.shape[0]
    tab.drag([(x + 4, 0), (x + 4, height / 2), (x + 4, height - 1)])
    assert "1 new mask" in tab.page.inner_text("#editor-words")
    tab.save()
    kept = tab.fixed()
    (part,) = tab.mine("missing").to_dict("records")
    cut = dense(part["segmentation"], *pixels.shape)
    assert ((kept | cut) == pixels).all()
    assert not (kept & cut).any()
    assert kept.sum() >= cut.sum() > 100
    columns = np.arange(pixels.shape[1])
    assert abs(columns[cut.any(0)].min() - (x + 4)) < 3
    tab.press("u")
    tab.toasts("Taken back")
    tab.saved()
    assert len(tab.mine()) == len(tab.mine("missing")) == 0


def test_a_fix_must_change_something_and_leave_something(tab: Page) -> None:
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
    assert tab.mine()["action"].tolist() == ["reject"]


def test_nothing_is_drawn_or_saved_before_the_mask_is_there(tab: Page) -> None:
    card = tab.seek(blob)
    held: list[Any] = []

    def hold(route: Any) -> None:
        held.append(route)

    tab.page.route("**/api/mask/*", hold)
    tab.press("f")
    tab.view("editor")
    until(lambda: tab.page.title() and held, "the mask to be asked for")  # asking lets it be heard
    tab.drag([(5, 5), (40, 40)])
    tab.press("Enter", "h", "Backspace")
    assert tab.page.inner_text("#editor-words") == "The mask is loading …"
    assert not tab.page.is_visible("#choice")
    held[0].continue_()
    tab.mask_loads()
    pixels = card["pixels"].sum()
    assert tab.page.inner_text("#editor-words") == f"{pixels:,} px"
    tab.press("Enter")
    tab.page.get_by_role("heading", name="No pixel has changed").wait_for()


def test_escape_leaves_the_mask_as_it_was(tab: Page) -> None:
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
    assert tab.mine()["action"].tolist() == ["accept"]


def cross(tab: Page) -> Point:
    """Return where the arrow keys' cross stands at first: the middle of what is seen."""
    canvas = tab.page.locator("#canvas")
    left, top, scale = (float(v) for v in str(canvas.get_attribute("data-place")).split())
    box = canvas.bounding_box()
    return (
        np.floor(left + box["width"] / 2 / scale) + 0.5,
        np.floor(top + box["height"] / 2 / scale) + 0.5,
    )


def test_the_editor_works_without_a_pointer(tab: Page) -> None:
    tab.narrow("has holes")
    card = tab.seek(holed)
    tab.edit("b")
    begun = tab.brush
    tab.page.mouse.move(*tab.spot(100.3, 90.7)[0])
    place = "document.getElementById('canvas').dataset.place"
    before = tab.page.evaluate(place)
    tab.page.mouse.wheel(0, -150)  # else the middle lies on the line between two pixels
    tab.until(f"{place} !== {json.dumps(before)}")
    x, y = cross(tab)
    right, down = "Shift+ArrowRight", "Shift+ArrowDown"
    tab.press(right, right, down, "Space", "Shift+H", "e", "[", "[", "[", "[", down, "Space")
    size = tab.brush
    tab.save()
    assert tab.page.evaluate("document.activeElement.id") == "single-title"
    shape = card["pixels"].shape
    painted = card["pixels"] | brushed(shape, [(x + 2, y + 1)], begun)
    erased = brushed(shape, [(x + 2, y + 2)], size)
    assert erased.any()
    assert (tab.fixed() == ndimage.binary_fill_holes(painted) & ~erased).all()


def test_a_split_is_made_by_keyboard(tab: Page) -> None:
    card = tab.seek(blob)
    tab.edit("x")
    ys, xs = np.nonzero(card["pixels"])
    (x, y), step = cross(tab), stride(tab)
    across = round((xs.mean() - x) / step)
    tab.press(*["ArrowLeft" if across < 0 else "ArrowRight"] * abs(across))
    up = int((y - ys.min()) / step) + 2
    down = int((ys.max() - ys.min()) / step) + 5
    tab.press(*["ArrowUp" if up > 0 else "ArrowDown"] * abs(up), "Space", *["ArrowDown"] * down)
    tab.press("Space")
    assert "1 new mask" in tab.page.inner_text("#editor-words")
    tab.press("u", "Space", *["ArrowUp"] * down, "Enter")  # Enter ends the line, and saves nothing
    assert "1 new mask" in tab.page.inner_text("#editor-words")
    tab.save()
    (part,) = tab.mine("missing").to_dict("records")
    cut = dense(part["segmentation"], *card["pixels"].shape)
    assert ((tab.fixed() | cut) == card["pixels"]).all()
    assert cut.sum() > 100


def stride(tab: Page) -> int:
    """Return how many pixels an arrow key goes."""
    scale = float(str(tab.page.get_attribute("#canvas", "data-place")).split()[2])
    return max(1, int(8 / scale + 0.5))
