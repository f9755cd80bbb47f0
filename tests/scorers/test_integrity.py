import numpy as np
import pytest

from curate.scorers.integrity import integrity
from curate.testing.scene import disc, table_of


def score(*masks, **columns):
    return integrity(table_of(masks, **columns))


def wavy(noise: float, radius: float = 60, size: int = 200) -> np.ndarray:
    y, x = np.mgrid[:size, :size] - size / 2
    return np.hypot(x, y) + np.random.default_rng(0).normal(0, noise, x.shape) < radius


def test_scores_of_a_sound_disc():
    row = score(disc(80, 60, 40)).iloc[0]
    for name in ("fragment_score", "hole_score", "outline_score", "hairline_score"):
        assert row[name] == 1
    assert row["compact_score"] > 0.95
    assert row["solidity_score"] > 0.98
    assert np.isnan(row["crop_score"])


def test_definitions():
    mask = np.zeros((100, 100), bool)
    mask[10:50, 10:60] = True  # 2000 px
    mask[20:30, 20:30] = False  # a hole of 100 px
    mask[70:75, 70:75] = True  # an island of 25 px
    row = score(mask).iloc[0]
    assert row["fragment_score"] == 1900 / 1925
    assert row["hole_score"] == 1925 / 2025
    assert (row["fragment_count"], row["hole_count"]) == (2, 1)
    assert (row["small_island_px"], row["small_hole_px"]) == (25, 0)
    assert row["coverage_score"] == 1 - 0.1925
    assert row["straight_score"] == 1 - 50 / 100


def test_raggedness_grows_with_noise_and_not_with_size():
    noise = [0.0, 0.3, 0.6, 1.2]
    frame = score(*(wavy(n) for n in noise))
    assert (np.diff(frame["outline_score"]) < 0).all()
    assert frame["outline_score"].iloc[0] == 1
    sizes = score(wavy(1, 40), wavy(1, 80, 300), wavy(1, 160, 500))["outline_score"]
    assert np.ptp(sizes) < 0.08


def test_a_coarse_polygon_is_not_ragged():
    # A star of straight edges with deep notches: concave, and drawn on purpose.
    y, x = np.mgrid[:200, :200] - 100
    angle = np.arctan2(y, x)
    star = np.hypot(x, y) < 50 + 30 * np.abs((angle / np.pi * 5) % 2 - 1)
    assert score(star)["outline_score"].iloc[0] > 0.98


def test_a_comb_is_ragged():
    comb = np.zeros((40, 80), bool)
    comb[20:30, 10:70] = True
    comb[18:20, 10:70:2] = True
    assert score(comb)["outline_score"].iloc[0] < 0.6


@pytest.mark.parametrize("shape", [(1, 1), (1, 30), (30, 1), (7, 9)])
def test_a_full_image(shape):
    row = score(np.ones(shape, bool)).iloc[0]
    assert row["coverage_score"] == 0
    assert row["outline_score"] == 1
    assert row["border_px"] == row["outline_px"] == 2 * sum(shape)
