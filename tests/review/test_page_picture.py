"""The picture is shown as somebody wants it: adjusted, with a window of its values."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import pytest
from page import Page
from PIL import Image
from waiting import until

from curate.images import Box, ImageFolder
from curate.people.webapp.picture_cache import ViewCache, ViewRequest
from curate.people.webapp.request_parsing import RequestError, parse_levels


def seen(tab: Page, selector: str) -> np.ndarray:
    """Return the middle of an element, without outlines, once it has stopped changing."""
    box = tab.page.locator(selector).bounding_box()
    x, y = box["x"] + box["width"] / 2 - 60, box["y"] + box["height"] / 2 - 60
    clip = {"x": x, "y": y, "width": 120, "height": 120}
    last = [b""]

    def steady() -> bytes:
        before, last[0] = last[0], tab.page.screenshot(clip=clip, animations="disabled")
        return last[0] if last[0] == before else b""

    packed = until(steady, "a picture that stays as it is", 20)
    return np.asarray(Image.open(io.BytesIO(packed)).convert("RGB"), float)


def seek_plain(tab: Page) -> None:
    """Skip to a mask on a picture, without a twin beside it: a line stands between the two."""
    for _ in range(160):
        tab.ready()
        shown = tab.page.locator("#stage-note, #tag-mine").evaluate_all(
            "all => all.map(one => one.hidden)"
        )
        if all(shown):
            return
        tab.step("s")
    raise AssertionError("there is no such mask in the queue")


def test_the_picture_is_adjusted_by_keys_and_stays_so(tab: Page) -> None:
    seek_plain(tab)
    tab.press("m")  # without the mask
    before = seen(tab, "#stage")
    tab.press("9")
    tab.toasts("Inverted")
    assert abs(seen(tab, "#stage") - (255 - before)).mean() < 3
    tab.step("a")
    tab.ready()
    tab.page.reload()
    seek_plain(tab)
    tab.press("m")
    inverted = seen(tab, "#stage")
    tab.press("f")
    tab.mask_loads()
    assert tab.page.evaluate("getComputedStyle(document.getElementById('ground')).filter") != "none"
    tab.press("Escape")
    tab.view("single")
    assert abs(seen(tab, "#stage") - inverted).mean() < 1
    tab.press("0")
    tab.toasts("The picture is as it was.")
    assert abs(seen(tab, "#stage") - (255 - inverted)).mean() < 3


def test_the_panel_says_and_sets_what_the_keys_do(tab: Page) -> None:
    page = tab.page
    shown = tab.mask_id
    tab.press("q")
    page.get_by_label("Brightness").wait_for()
    assert page.evaluate("document.activeElement.id") == "picture-brightness"
    panel = page.locator("#picture").bounding_box()
    stage = page.locator("#stage").bounding_box()
    assert panel["x"] >= stage["x"] + stage["width"], "the mask is seen beside it"
    page.set_viewport_size({"width": 390, "height": 844})
    panel = page.locator("#picture").bounding_box()
    stage = page.locator("#stage").bounding_box()
    assert panel["y"] >= stage["y"] + stage["height"], "or above it"
    tab.press("ArrowRight", "8", "8")
    assert page.input_value("#picture-brightness") == "5"
    assert page.input_value("#picture-contrast") == "10"
    page.get_by_label("Channel").select_option("green")
    assert page.locator("#picture-filter feColorMatrix").count() == 1
    assert not page.get_by_label("Black at").is_visible()  # the picture has 8 bit
    page.focus("#picture-gamma")
    tab.press("Escape")
    assert not page.locator("#picture").is_visible()
    tab.press("0")
    assert page.evaluate("document.documentElement.classList.contains('adjusted')") is False
    assert tab.mask_id == shown


@pytest.fixture
def deep(tmp_path: Any) -> ImageFolder:
    """A folder with a picture of 16 bit, whose values rise from left to right."""
    ramp = np.tile(np.linspace(1000, 3000, 200).astype(np.uint16), (100, 1))
    Image.fromarray(ramp).save(tmp_path / "deep.png")
    Image.fromarray((ramp // 256).astype(np.uint8)).save(tmp_path / "plain.png")
    return ImageFolder(tmp_path)


def shades(views: ViewCache, name: str, levels: tuple[float, float] | None) -> np.ndarray:
    view = ViewRequest(name, (100, 200), Box(0, 0, 200, 100), 1024, levels)
    packed = views.ask(view).result(30)
    assert isinstance(packed, bytes)
    drawn: np.ndarray = np.asarray(Image.open(io.BytesIO(packed)).convert("L"), float)
    return drawn[50]


def test_a_window_of_deep_values_is_drawn_from_them(deep: ImageFolder) -> None:
    views = ViewCache(deep)
    found = views.value_range("deep.png", (100, 200))
    assert found is not None
    assert (found.least, found.most) == (1000, 3000)
    row = shades(views, "deep.png", (1500.0, 2000.0))
    assert row[45] < 6
    assert row[105] > 249
    assert abs(row[75] - 128) < 8  # its value is about 1754
    usual = shades(views, "deep.png", None)
    assert abs(usual[75] - 96) < 8
    assert views.value_range("plain.png", (100, 200)) is None
    assert (shades(views, "plain.png", (1.0, 2.0)) == shades(views, "plain.png", None)).all()
    views.close()


@pytest.mark.parametrize(
    "ends", [("5", None), ("9", "8"), ("1", "1"), ("nan", "2"), ("1e9", "2e9"), ("0", "9" * 11)]
)
def test_windows_that_are_none_are_refused(ends: tuple[str, str | None]) -> None:
    with pytest.raises(RequestError):
        parse_levels(*ends)
    assert parse_levels(None, None) is None
    assert parse_levels("-1.5", "65535") == (-1.5, 65535.0)
