"""Effective numbers: by hand, their invariances, and of masks."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from curate.engine.diversity import (
    CLUSTERS,
    assign_clusters,
    effective_number,
    find_clusters,
    measure_diversity,
)
from curate.errors import CallError

COUNTS = st.lists(st.integers(0, 1000), min_size=1, max_size=20).filter(any)


@given(COUNTS, st.integers(2, 50))
def test_what_an_effective_number_depends_on(counts: list[int], times: int) -> None:
    number = effective_number(counts)
    kinds = sum(count > 0 for count in counts)
    assert 1 <= number <= kinds
    assert effective_number([*reversed(counts), 0, 0]) == pytest.approx(number)
    assert effective_number([times * count for count in counts]) == pytest.approx(number)
    # Two datasets that share no kind, of equal size and diversity: twice as diverse (Hill's law).
    assert effective_number(counts + counts) == pytest.approx(2 * number)
    # Telling kinds apart that were one never makes it less diverse.
    split = [count // 2 for count in counts] + [count - count // 2 for count in counts]
    assert effective_number(split) >= number - 1e-9


def test_effective_numbers_by_hand() -> None:
    assert effective_number([7]) == 1
    assert effective_number([3, 3, 3]) == pytest.approx(3)
    # Half, a quarter and a quarter: 1.5 bits.
    assert effective_number([2, 1, 1]) == pytest.approx(2**1.5)
    assert math.isnan(effective_number([]))
    assert math.isnan(effective_number([0, 0]))
    assert effective_number([1e308, 1e308]) == pytest.approx(2)
    for wrong in ([-1, 2], [np.nan], [np.inf, 1]):
        with pytest.raises(CallError, match="negative or not finite"):
            effective_number(wrong)


def test_masks() -> None:
    masks = pd.DataFrame(
        {
            "category": pd.array(["cat", "dog", None, "cat", "cow"], "str"),
            "area_px": [1, 2, 3, 4, 0],  # octaves 0, 1, 1, 2; the last has no pixel
            "cluster": [4, 4, -1, 9, 1],
        }
    )
    found = measure_diversity(masks)
    assert found.categories == pytest.approx(2**1.5)
    assert found.sizes == pytest.approx(2**1.5)
    # Two of three masks in one cluster; the one without features says nothing.
    assert found.clusters == pytest.approx(3 / 2 ** (2 / 3))
    bare = measure_diversity(masks[["area_px"]])
    assert bare.categories == 1
    assert bare.as_dict() == {"categories": 1.0, "sizes": found.sizes, "clusters": None}
    none = measure_diversity(masks[:0])
    assert all(value is None for value in none.as_dict().values())


@pytest.mark.parametrize("power", [1, 10, 40, 52])
def test_an_octave_ends_before_its_double(power: int) -> None:
    areas = [2**power - 1, 2**power, 2 ** (power + 1) - 1]
    assert measure_diversity(pd.DataFrame({"area_px": areas})).sizes == pytest.approx(
        3 / 2 ** (2 / 3)
    )


def test_clusters_of_images() -> None:
    random = np.random.default_rng(0)
    centres = np.array([[0.0, 0], [50, 0], [0, 50]])
    owner = np.array([0] * 60 + [1] * 3 + [2] * 3)
    features = centres[owner] + random.normal(size=(66, 2))
    features[5] = np.nan
    ids = np.arange(66)
    found = find_clusters(ids, features)
    assert len(found) == 9
    of = assign_clusters(features, found)
    assert of[5] == -1
    for k in range(3):
        others = of[(owner != k) & (of >= 0)]
        assert not set(of[(owner == k) & (of >= 0)]) & set(others.tolist())
    mixed = random.permutation(66)
    np.testing.assert_array_equal(find_clusters(ids[mixed], features[mixed]), found)
    few = masks_of(of[60:])
    assert measure_diversity(few).clusters > measure_diversity(masks_of(of[60:63])).clusters


def masks_of(clusters: np.ndarray) -> pd.DataFrame:
    return pd.DataFrame({"area_px": 9, "cluster": clusters})


def test_clusters_are_bounded_and_need_features() -> None:
    random = np.random.default_rng(0)
    many = random.normal(size=(9000, 2))
    assert len(find_clusters(np.arange(9000), many)) == CLUSTERS
    none = find_clusters(np.arange(4), np.full((4, 3), np.nan))
    assert none.shape == (0, 3)
    assert assign_clusters(np.zeros((2, 3)), none).tolist() == [-1, -1]
    assert len(find_clusters(np.arange(30), np.zeros((30, 2)))) == 1  # all alike
    with pytest.raises(CallError, match="2 numbers and centres 3"):
        assign_clusters(np.zeros((2, 2)), np.zeros((1, 3)))
