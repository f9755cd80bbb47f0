"""What is seen of an image: a zoom that stays, a map, all masks at once, tiles."""

from __future__ import annotations

import io
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from page import Page
from PIL import Image

from curate.images import Box, ImageFolder, window
from curate.people.webapp.picture_cache import ViewCache, ViewRequest
from curate.people.webapp.picture_tiles import MAX_TOGETHER, Tile, choose_together, span, tile_box
from curate.people.webapp.request_parsing import RequestError

MIDDLE = """(() => {
  const line = document.querySelector('#panel-mine path.line.mine').getBoundingClientRect();
  const panel = document.getElementById('panel-mine').getBoundingClientRect();
  const middle = (box) => [box.x + box.width / 2, box.y + box.height / 2];
  return middle(line).map((each, k) => each - middle(panel)[k]);
})()"""


INSIDE = """(path) => {
  const [box, toScreen] = [path.getBBox(), path.getScreenCTM()];
  for (let k = 1; k < 400; k++) {
    const [x, y] = [box.x + box.width * ((k % 20) / 20), box.y + (box.height * k) / 400];
    const point = new DOMPoint(x, y);
    if (!path.isPointInFill(point)) continue;
    const shown = point.matrixTransform(toScreen);
    return [shown.x, shown.y];
  }
  throw new Error("the path has no inside");
}"""


def alone(tab: Page) -> bool:
    """Whether the mask has a picture, and no twin beside it."""
    return not tab.page.is_visible("#stage-note") and not tab.page.is_visible("#panel-twin")


def test_the_zoom_stays_from_mask_to_mask(tab: Page) -> None:
    page = tab.page
    tab.stocked()
    tab.seek(lambda card: card["pixels"].any() and alone(tab))
    tab.press("z", "z")
    whole = "document.querySelector('#panel-mine svg').viewBox.baseVal.height === 240"
    tab.until(whole)
    tab.step("a")
    tab.seek(lambda card: card["pixels"].any() and alone(tab))  # without a picture there is none
    tab.until("document.getElementById('zoom-words').textContent === 'Whole image'")
    tab.until(whole)
    scale = "document.querySelector('#panel-mine .plane').offsetHeight"
    tab.press("=", "=")
    chosen = page.evaluate(scale)
    tab.step("a")
    tab.seek(lambda card: card["pixels"].any() and alone(tab))
    tab.until(whole)
    assert page.evaluate(scale) == pytest.approx(chosen, abs=1)
    assert page.evaluate(MIDDLE) == pytest.approx([0, 0], abs=2)
    tab.press("z")  # the level's own scale again
    assert page.inner_text("#zoom-words") == "Window"
    assert page.evaluate(scale) != pytest.approx(chosen, abs=1)


def test_the_map_shows_where_the_window_lies_and_moves_it(tab: Page) -> None:
    page = tab.page
    tab.seek(lambda card: card["pixels"].any() and alone(tab))
    small = page.locator("#minimap")
    small.wait_for()
    frame = page.locator("#minimap i")
    before = frame.bounding_box()
    small.focus()
    tab.press("ArrowRight", "ArrowDown")
    after = frame.bounding_box()
    assert after["x"] + after["y"] > before["x"] + before["y"]
    box = small.bounding_box()
    page.mouse.click(box["x"] + 4, box["y"] + 4)  # outside the window: the whole image is shown
    assert page.inner_text("#zoom-words") == "Whole image"
    corner = "(() => { const {left, top} = document.querySelector('#minimap i').style; "
    tab.until(corner + "return left === '0px' && top === '0px'; })()")
    tab.press("z", "z", "z")
    small.wait_for(state="hidden")  # all of the image is seen


def test_a_small_mask_has_its_surroundings() -> None:
    assert window((640, 480), [(300, 200, 14, 14)], least=128) == Box(243, 143, 128, 128)
    assert window((100, 80), [(90, 70, 5, 5)], least=128) == Box(0, 0, 100, 80)


def test_all_masks_have_the_colours_of_their_categories(tab: Page) -> None:
    page = tab.page
    tab.seek(lambda card: card["pixels"].any() and alone(tab))
    tab.press("z", "z", "e")
    page.locator("#legend li").first.wait_for()
    paths = page.locator("#panel-mine .every path")
    labels = [path.get_attribute("data-label") for path in paths.all()]
    name = str(page.text_content("#single-file"))
    masks = tab.audit.query("select * from masks").set_index("mask_id")
    shown = {int(re.search(r"mask (\d+)", str(label))[1]): str(label) for label in labels}  # type: ignore[index]
    assert set(masks.loc[list(shown), "file_name"]) == {name}
    for mask_id, label in shown.items():
        assert label.endswith(f"quality {masks.loc[mask_id, 'quality_score']:.2f}")
    fills = "(all) => all.map((p) => [p.dataset.label.split(' · mask')[0], p.style.fill])"
    first = dict(page.eval_on_selector_all("#panel-mine .every path", fills))
    assert len(set(first.values())) == len(first)  # each has its own
    page.mouse.move(*page.locator("#panel-mine .every path.own").evaluate(INSIDE))
    page.locator("#mask-label", has_text="· mask").wait_for()
    while page.text_content("#single-file") == name:
        tab.step("s")
    tab.until("document.querySelectorAll('#panel-mine .every path').length > 0")
    second = dict(page.eval_on_selector_all("#panel-mine .every path", fills))
    both = first.keys() & second.keys()
    assert both
    assert {k: first[k] for k in both} == {k: second[k] for k in both}
    tab.press("e")
    assert page.locator("#panel-mine .every path").count() == 0
    assert not page.is_visible("#legend")


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, np.ndarray]:
    """A picture of over 16 megapixels, as PNG, and its pixels."""
    folder = tmp_path_factory.mktemp("large")
    small = np.random.default_rng(0).integers(0, 255, (33, 65, 3), np.uint8)
    picture = Image.fromarray(small).resize((6000, 3000), Image.Resampling.BICUBIC)
    picture.save(folder / "wide.png", compress_level=1)
    return folder, np.asarray(picture)


def ask_tile(views: ViewCache, tile: Tile) -> Any:
    size = (3000, 6000)
    view = ViewRequest("wide.png", size, tile_box(size, tile), 512, None, tile)
    return views.ask(view)


def test_tiles_are_the_picture(large: tuple[Path, np.ndarray]) -> None:
    views = ViewCache(ImageFolder(large[0]))
    for tile in (Tile(0, 3, 2), Tile(1, 5, 2), Tile(3, 1, 0)):
        packed = ask_tile(views, tile).result(60)
        found = np.asarray(Image.open(io.BytesIO(packed)).convert("RGB"), float)
        box, side = tile_box((3000, 6000), tile), 1 << tile.level
        want = large[1][box.y : box.y + box.h, box.x : box.x + box.w]
        rows, columns = -(-box.h // side), -(-box.w // side)
        assert found.shape == (rows, columns, 3)
        whole = want[: box.h // side * side, : box.w // side * side].astype(float)
        means = whole.reshape(box.h // side, side, box.w // side, side, 3).mean(axis=(1, 3))
        assert abs(found[: len(means), : means.shape[1]] - means).mean() < 4
    views.close()


def test_one_decoding_serves_the_tiles_beside_each_other(
    large: tuple[Path, np.ndarray], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, loaded = ImageFolder(large[0]), []
    real = folder.load_or_why
    monkeypatch.setattr(
        folder, "load_or_why", lambda *a, **more: loaded.append(more["box"]) or real(*a, **more)
    )
    views = ViewCache(folder)
    views._tiling.acquire()
    futures = [ask_tile(views, Tile(0, x, y)) for x in range(4) for y in range(3)]
    views._tiling.release()
    assert len({future.result(60) for future in futures}) == 12
    assert len([box for box in loaded if box]) == 1
    views.close()


@pytest.mark.parametrize("tile", [(0, 12, 0), (0, 0, 6), (13, 0, 0), (-1, 0, 0), (0, -1, 0)])
def test_tiles_that_are_none_are_refused(tile: tuple[int, int, int]) -> None:
    with pytest.raises(RequestError, match="no such tile"):
        tile_box((3000, 6000), Tile(*tile))
    assert tile_box((3000, 6000), Tile(0, 11, 5)) == Box(5632, 2560, 368, 440)


def test_no_more_tiles_are_rendered_together_than_fit() -> None:
    waiting = [Tile(0, x, y) for x in range(20) for y in range(20)] + [Tile(1, 5, 5)]
    chosen = choose_together(Tile(0, 5, 5), waiting)
    size = (20 * 512, 20 * 512)
    around = span(tile_box(size, tile) for tile in chosen)
    assert chosen[0] == Tile(0, 5, 5)
    assert {tile.level for tile in chosen} == {0}
    assert 6 < len(chosen) <= MAX_TOGETHER
    assert around.w * around.h <= MAX_TOGETHER * 512 * 512
