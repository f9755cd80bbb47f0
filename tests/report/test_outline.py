from __future__ import annotations

import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from random_cases import draws

from curate.images import Box
from curate.render.outline_path import MOST_POINTS, path_of, rings_of, sample
from curate.rle import from_dense, to_dense

masks = hnp.arrays(np.bool_, st.tuples(st.integers(1, 14), st.integers(1, 14)))


def area_of(rings: list[np.ndarray]) -> float:
    """Signed area by the shoelace rule: outer rings count up, holes count down."""
    total = 0.0
    for ring in rings:
        x, y = ring[:, 0].astype(float), ring[:, 1].astype(float)
        total += float((x * np.roll(y, -1) - np.roll(x, -1) * y).sum()) / 2
    return total


@given(masks)
def test_exact_rings_enclose_exactly_the_mask(mask: np.ndarray) -> None:
    assert area_of(rings_of(mask, 0.0)) == mask.sum()


@given(masks)
def test_every_edge_of_a_ring_runs_between_inside_and_outside(mask: np.ndarray) -> None:
    length = sum(
        np.abs(np.diff(np.vstack([ring, ring[:1]]), axis=0)).sum() for ring in rings_of(mask, 0.0)
    )
    padded = np.pad(mask, 1).astype(int)
    assert length == np.abs(np.diff(padded, axis=0)).sum() + np.abs(np.diff(padded, axis=1)).sum()


def test_a_hole_and_an_island_have_their_own_rings() -> None:
    mask = np.zeros((12, 20), bool)
    mask[1:11, 1:11] = True
    mask[4:6, 4:6] = False
    mask[3:5, 15:18] = True
    assert [len(ring) for ring in rings_of(mask, 0.0)] == [4, 4, 4]


@given(masks, st.integers(1, 4), st.data())
def test_a_cell_is_set_if_any_of_its_pixels_is(
    mask: np.ndarray, step: int, data: st.DataObject
) -> None:
    height, width = mask.shape
    x, y = data.draw(st.integers(0, width - 1)), data.draw(st.integers(0, height - 1))
    box = Box(x, y, data.draw(st.integers(1, width - x)), data.draw(st.integers(1, height - y)))
    window = np.pad(mask[y : y + box.h, x : x + box.w], ((0, -box.h % step), (0, -box.w % step)))
    cells = window.reshape(window.shape[0] // step, step, window.shape[1] // step, step)
    runs = from_dense(mask)
    np.testing.assert_array_equal(sample(runs, 0, box, step), cells.any(axis=(1, 3)))
    np.testing.assert_array_equal(sample(runs, 0, box, 1), to_dense(runs, 0, (x, y, box.w, box.h)))


def corners(path: str) -> np.ndarray:
    """Read back the corners of path data."""
    x, y, found = 0.0, 0.0, []
    for letter, numbers in re.findall(r"([Mhvl])([^Mhvlz]*)", path):
        v = [float(n) for n in numbers.split()]
        if letter == "M":
            x, y = v
        elif letter == "h":
            x += v[0]
        elif letter == "v":
            y += v[0]
        else:
            x, y = x + v[0], y + v[1]
        found.append((x, y))
    return np.array(found)


def test_a_path_has_the_corners_of_the_mask_in_window_pixels() -> None:
    mask = np.zeros((30, 40), bool)
    mask[10:20, 12:30] = True
    path = path_of(from_dense(mask), 0, Box(8, 6, 30, 20), shown_px=400)
    assert sorted(map(tuple, corners(path))) == [(4, 4), (4, 14), (22, 4), (22, 14)]


def test_no_pixel_in_the_window_gives_no_path() -> None:
    mask = np.zeros((30, 40), bool)
    mask[0, 0] = True
    assert path_of(from_dense(mask), 0, Box(8, 6, 30, 20), shown_px=400) == ""
    assert path_of(from_dense(np.zeros((30, 40))), 0, Box(0, 0, 40, 30), shown_px=400) == ""


@pytest.mark.parametrize("density", [0.02, 0.5])
def test_a_mask_of_noise_gives_a_path_of_bounded_length(density: float) -> None:
    mask = np.random.default_rng(1).random((900, 1400)) < density
    path = path_of(from_dense(mask), 0, Box(0, 0, 1400, 900), shown_px=400)
    assert 0 < len(corners(path)) <= MOST_POINTS + 4
    assert len(path) < 20_000


def test_a_window_on_a_huge_image_costs_no_memory_of_its_size() -> None:
    from curate.rle import Runs

    side = 40_000
    starts = np.arange(0, side, 8, np.int64) * side + 5
    runs = Runs(
        np.array([0, len(starts)]),
        starts.astype(np.int32),
        (starts + side - 10).astype(np.int32),
        np.array([side], np.int32),
        np.array([side], np.int32),
    )
    assert path_of(runs, 0, Box(0, 0, side, side), shown_px=400)


@draws(25)
@given(masks, st.floats(0.1, 1.5))
def test_simplified_outlines_keep_every_ring(mask: np.ndarray, tolerance: float) -> None:
    exact, thin = rings_of(mask, 0.0), rings_of(mask, tolerance)
    assert len(exact) == len(thin)
    assert all(len(ring) >= 3 for ring in thin)
