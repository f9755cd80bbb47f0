"""Logits cut in one pass, against the definition on the full field in float64."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from curate.rle import bbox, perimeter, to_dense
from curate.rle.logits import Taps, bilinear_taps, concat_drawn, count_over, draw, stability_of


def step(values, target, axis):
    """One bilinear step by its definition, in float64."""
    source = values.shape[axis]
    at = np.clip((np.arange(target) + 0.5) * source / target - 0.5, 0, source - 1)
    low = np.floor(at).astype(int)
    high = np.minimum(low + 1, source - 1)
    share = np.expand_dims(at - low, [k for k in range(values.ndim) if k != axis])
    return np.take(values, low, axis) * (1 - share) + np.take(values, high, axis) * share


def identity(length):
    return Taps(np.arange(length, dtype=np.int32), np.ones((length, 1), np.float32), length)


@given(
    source=st.integers(1, 12),
    middle=st.integers(1, 40),
    target=st.integers(1, 60),
    data=st.data(),
)
def test_taps_are_two_bilinear_steps(source, middle, target, data):
    kept = data.draw(st.integers(1, middle))
    values = np.random.default_rng(0).normal(size=source)
    expected = step(step(values, middle, 0)[:kept], target, 0)
    taps = bilinear_taps(source, target, middle, kept)
    padded = np.concatenate([values, np.zeros(taps.weights.shape[1])])
    found = [w @ padded[f : f + len(w)] for f, w in zip(taps.first, taps.weights, strict=True)]
    np.testing.assert_allclose(found, expected, atol=1e-5)
    assert (np.diff(taps.first) >= 0).all()


@given(
    height=st.integers(1, 40), width=st.integers(1, 40), low=st.integers(1, 9), seed=st.integers(0)
)
def test_drawn_masks_are_those_of_the_full_field(height, width, low, seed):
    logits = (np.random.default_rng(seed).normal(size=(3, low, low)) * 4).astype(np.float32)
    full = step(step(logits.astype(float), height, 1), width, 2)
    drawn = draw(logits, (bilinear_taps(low, height), bilinear_taps(low, width)))
    for k in range(3):
        sure = np.abs(full[k]) > 1e-5
        found = to_dense(drawn.runs, k)
        np.testing.assert_array_equal(found[sure], (full[k] > 0)[sure])
        assert drawn.area[k] == found.sum()
        for count, level in ((drawn.under, -1), (drawn.over, 1)):
            unsure = (np.abs(full[k] - level) <= 1e-5).sum()
            assert abs(count[k] - (full[k] > level).sum()) <= unsure
    runs = drawn.runs
    starts, ends = runs.starts, runs.ends
    assert (starts < ends).all()
    for k in range(3):  # runs of a mask are apart, also where one goes on in the next column
        a, b = runs.offsets[k], runs.offsets[k + 1]
        assert (starts[a + 1 : b] > ends[a : b - 1]).all()


def test_stability_is_its_definition_in_float64():
    rng = np.random.default_rng(2)
    field = rng.normal(0, 2, size=(20, 30, 17)).astype(np.float32)
    for threshold, offset in ((0.0, 1.0), (0.5, 0.05)):  # logits, probabilities
        values = field if offset == 1 else (1 / (1 + np.exp(-field.astype(float)))).astype("f4")
        low, high = np.float32(threshold - offset), np.float32(threshold + offset)
        expected = [(v > high).sum() / (v > low).sum() for v in values.astype(np.float64)]
        counts = count_over(values, float(low), float(high))
        np.testing.assert_array_equal(stability_of(counts[:, 1], counts[:, 0]), expected)
        drawn = draw(values, (identity(30), identity(17)), threshold=threshold, offset=offset)
        np.testing.assert_array_equal(drawn.stability, expected)


def test_empty_masks_have_no_stability():
    logits = np.full((2, 4, 4), -5, np.float32)
    logits[1, 1, 1] = -0.5  # nothing over the upper cut, something over the lower
    drawn = draw(logits, (identity(4), identity(4)))
    assert np.isnan(drawn.stability[0])
    assert drawn.stability[1] == 0
    assert np.isnan(drawn.edge_band_px).all()
    np.testing.assert_array_equal(drawn.area, [0, 0])
    np.testing.assert_array_equal(bbox(drawn.runs), np.zeros((2, 4)))
    assert drawn.finite.all()
    np.testing.assert_array_equal(count_over(logits, -1, 1), [[0, 0], [1, 0]])


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_what_is_not_finite_is_said(value):
    logits = np.full((3, 6, 6), 4, np.float32)
    logits[1, 5, 5] = value
    drawn = draw(logits, (bilinear_taps(6, 9), bilinear_taps(6, 9)))
    np.testing.assert_array_equal(drawn.finite, [True, False, True])
    np.testing.assert_array_equal(drawn.area, [81, 0, 81])
    assert np.isnan(drawn.stability[1])
    np.testing.assert_array_equal(count_over(logits, -1, 1), [[36, 36], [-1, -1], [36, 36]])


def test_a_crop_lies_where_it_was_cut():
    logits = np.full((1, 5, 4), 3, np.float32)
    logits[0, 0] = -3
    drawn = draw(logits, (identity(5), identity(4)), origin=(7, 2), size=(7, 20))
    expected = np.zeros((7, 20), bool)
    expected[3:7, 7:11] = True
    np.testing.assert_array_equal(to_dense(drawn.runs, 0), expected)
    whole = draw(np.full((1, 7, 4), 3, np.float32), (identity(7), identity(4)), size=(7, 20))
    assert len(whole.runs.starts) == 1  # full columns are one run


def test_the_edge_band_is_the_undecided_pixels_by_the_outline():
    y, x = np.mgrid[:80, :80] + 0.5
    field = (20 - np.hypot(x - 40, y - 40))[None].astype(np.float32) * 0.5  # 4 px between the cuts
    drawn = draw(field, (identity(80), identity(80)))
    ring = np.pi * (22**2 - 18**2)
    assert drawn.edge_band_px[0] == pytest.approx(ring / perimeter(drawn.runs)[0], rel=0.02)


def test_drawn_masks_can_be_joined():
    logits = np.random.default_rng(0).normal(size=(5, 6, 6)).astype(np.float32)
    taps = (bilinear_taps(6, 11), bilinear_taps(6, 13))
    whole = draw(logits, taps)
    joined = concat_drawn([draw(logits[:2], taps), draw(logits[2:], taps)])
    np.testing.assert_array_equal(joined.runs.starts, whole.runs.starts)
    np.testing.assert_array_equal(joined.stability, whole.stability)
    assert len(draw(logits[:0], taps)) == 0
    assert len(concat_drawn([])) == 0


def test_memory_is_a_strip_not_the_field(monkeypatch):
    """A mask of 200 px on an image of 400 megapixels, whose field would take 1.6 GB."""
    import tracemalloc

    logits = np.full((1, 256, 256), -9, np.float32)
    logits[0, 100:103, 50:53] = 9
    taps = (bilinear_taps(256, 20_000), bilinear_taps(256, 20_000))
    draw(logits, taps)
    tracemalloc.start()
    drawn = draw(logits, taps)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert drawn.area[0] > 50_000
    assert peak < 20_000_000
