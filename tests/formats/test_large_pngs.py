"""Large PNGs of masks and ids are read some rows at a time, with the same result."""

from __future__ import annotations

import weakref
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from curate import rle
from curate.formats.ids import strip_runs
from curate.formats.png import id_masks, png_reading
from curate.formats.png.id_masks import NoIds, read_ids
from curate.formats.png.png_reading import (
    PictureProblem,
    read_header,
    read_mask,
    read_pixels,
    read_strips,
)

HEIGHT, WIDTH = 90, 70


def blobs(ids: int, kind: type[np.integer] = np.uint8) -> np.ndarray:
    rng = np.random.default_rng(ids)
    seeds = rng.integers(0, (HEIGHT, WIDTH), (3 * ids, 2))
    y, x = np.mgrid[:HEIGHT, :WIDTH]
    near = ((y[..., None] - seeds[:, 0]) ** 2 + (x[..., None] - seeds[:, 1]) ** 2).argmin(axis=2)
    return (near % (ids + 1)).astype(kind)


@pytest.fixture
def in_strips(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (png_reading, id_masks):
        monkeypatch.setattr(module, "SMALL_PIXELS", 0)
    monkeypatch.setattr(png_reading, "_STRIP_PIXELS", 300)


def saved(path: Path, pixels: np.ndarray, mode: str = "") -> Path:
    image = Image.fromarray(pixels)
    (image.convert(mode) if mode else image).save(path)
    return path


@pytest.mark.parametrize("mode", ["", "1", "P", "LA", "RGB", "RGBA"])
def test_a_mask_in_strips_is_the_mask(tmp_path: Path, in_strips: None, mode: str) -> None:
    pixels = (blobs(9) > 4).astype(np.uint8) * 255
    path = saved(tmp_path / "a.png", pixels, mode)
    read = read_mask(path, read_header(path))
    assert read.counts == rle.encode_counts(rle.from_dense(pixels))[0].as_py()
    black = saved(tmp_path / "b.png", pixels * 0, mode)
    assert (
        read_mask(black, read_header(black)).counts
        == rle.encode_counts(rle.from_dense(pixels * 0))[0].as_py()
    )


@pytest.mark.parametrize("kind", [np.uint8, np.uint16])
def test_ids_in_strips_are_the_ids(tmp_path: Path, in_strips: None, kind: type) -> None:
    for pixels in (blobs(40, kind), np.full((HEIGHT, WIDTH), 7, kind), blobs(1, kind)):
        path = saved(tmp_path / "a.png", pixels)
        found = read_ids(path, read_header(path))
        ids, runs = rle.from_label_image(pixels)
        assert found.ids.tolist() == ids.tolist()
        assert rle.encode_counts(found.runs).to_pylist() == rle.encode_counts(runs).to_pylist()


def test_colours_in_strips_are_ids(tmp_path: Path, in_strips: None) -> None:
    ids = blobs(300, np.uint16)
    colours = np.dstack([ids % 256, ids // 256, ids * 0]).astype(np.uint8)
    path = saved(tmp_path / "a.png", colours)
    found = read_ids(path, read_header(path), known=True)
    assert found.ids.tolist() == np.unique(ids)[1:].tolist()
    strips, _ = read_strips(path, read_header(path))
    assert np.concatenate([one for _, one in strips]).tolist() == colours.tolist()
    assert read_pixels(path, read_header(path))[0].tolist() == colours.tolist()


def test_seams_of_strips_are_no_runs(
    tmp_path: Path, in_strips: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A whole picture of one id is cut at each column of each strip, and is one run after all."""
    monkeypatch.setattr(strip_runs, "MOST_RUNS", 300)
    path = saved(tmp_path / "a.png", np.full((HEIGHT, WIDTH), 7, np.uint8))
    found = read_ids(path, read_header(path))
    assert (found.runs.starts.tolist(), found.runs.ends.tolist()) == ([0], [HEIGHT * WIDTH])


def test_noise_is_refused_before_it_takes_memory(
    tmp_path: Path, in_strips: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(strip_runs, "MOST_RUNS", 2_000)
    noise = np.random.default_rng(0).integers(0, 2, (HEIGHT, WIDTH), np.uint8)
    path = saved(tmp_path / "a.png", noise)
    read = read_mask(path, read_header(path))
    assert (read.status, read.counts) == ("undecodable", None)
    assert read.detail == "its pixels change over 1,000 times, as those of no mask do"
    with pytest.raises(NoIds, match="change over 1,000 times"):
        read_ids(path, read_header(path))


def test_a_large_png_cut_off_says_so(tmp_path: Path, in_strips: None) -> None:
    path = saved(
        tmp_path / "a.png", np.random.default_rng(0).integers(0, 256, (HEIGHT, WIDTH), np.uint8)
    )
    path.write_bytes(path.read_bytes()[:3000])
    read = read_mask(path, read_header(path))
    assert read.status == "undecodable"
    assert "truncated" in read.detail
    with pytest.raises(PictureProblem, match="cut off"):
        read_ids(path, read_header(path), known=True)


def test_what_is_looked_at_keeps_no_strip_in_memory(
    tmp_path: Path, in_strips: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Views of the middle columns kept the whole picture: 338 MB of 13,000 x 13,000 ids."""
    path = saved(tmp_path / "a.png", blobs(40, np.uint16))
    alive: list[weakref.ref[np.ndarray]] = []
    most = 0

    def strips(*given: object) -> tuple[Iterator[tuple[int, np.ndarray]], object]:
        found, palette = read_strips(*given)  # type: ignore[arg-type]

        def watched() -> Iterator[tuple[int, np.ndarray]]:
            nonlocal most
            for top, pixels in found:
                own = pixels.copy()
                alive.append(weakref.ref(own))
                most = max(most, sum(ref() is not None for ref in alive))
                yield top, own
                del own, pixels

        return watched(), palette

    monkeypatch.setattr(id_masks, "read_strips", strips)
    assert len(read_ids(path, read_header(path)).ids)
    assert most <= 3 < len(alive)
