"""Effect of a subset: what stays by category, size and image, and what is lost."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from curate.subsets.candidates import Candidates
from curate.subsets.effect import Effect, measure_effect


def candidates() -> Candidates:
    """Return 40 cats in four images, 3 dogs, and one mask without a category, a crowd region."""
    n = 44
    columns = {
        "image_id": np.arange(n) % 4 + 1,
        "category": np.array([0] * 40 + [1] * 3 + [2]),
        "area_px": np.array([100, 2000, 20_000, 1024] * 11),
        "crowd": np.arange(n) == 43,
    }
    masks = pd.DataFrame(columns, pd.RangeIndex(n, name="mask_id"))
    return Candidates(masks, ["cat", "dog", None], 7)


@pytest.fixture
def effect() -> Effect:
    """Return what is left of image 1 and a few masks of image 4."""
    masks = candidates()
    stays = (masks.masks["image_id"] == 1).to_numpy() | (masks.masks.index >= 43)
    return measure_effect(masks, stays, floor=10)


def test_counts(effect: Effect) -> None:
    found = effect.as_dict()
    assert found["masks"] == {"before": 43, "after": 11}
    assert found["images"] == {"before": 4, "after": 1}
    assert (found["images_in_all"], found["emptied_images"], found["partial_images"]) == (7, 3, 0)
    assert found["crowd_regions"] == {"before": 1, "after": 1}
    assert found["sizes"] == [
        {"name": "small", "before": 11, "after": 11},
        {"name": "medium", "before": 21, "after": 0},
        {"name": "large", "before": 11, "after": 0},
    ]
    assert found["categories"] == [
        {"name": "cat", "before": 40, "after": 10},
        {"name": "dog", "before": 3, "after": 1},
        {"name": None, "before": 0, "after": 0},
    ]


def test_rare_categories(effect: Effect) -> None:
    found = effect.as_dict()
    assert (found["categories_lost"], found["categories_under_floor"]) == ([], ["dog"])
    assert "1 category keeps fewer than 10 masks: dog (1 of 3)" in effect.text()
    masks = candidates()
    none = measure_effect(masks, (masks.masks["category"] != 1).to_numpy(), floor=10)
    assert none.as_dict()["categories_lost"] == ["dog"]
    assert "1 category loses all masks: dog (0 of 3)" in none.text()


def test_the_text_lists_what_there_is_most_of(effect: Effect) -> None:
    lines = effect.text().splitlines()
    assert lines[0].split() == ["before", "after"]
    assert lines[1].split() == ["masks", "43", "11", "25.6%"]
    assert [line.split()[0] for line in lines[3:6]] == ["cat", "dog", "no"]
    assert "1 crowd region besides, 1 of them kept" in lines


def test_of_many_categories_some_are_listed() -> None:
    n = 200
    columns = {"image_id": 1, "category": np.arange(n) % 50, "area_px": 5, "crowd": False}
    masks = pd.DataFrame(columns, pd.RangeIndex(n, name="mask_id"))
    effect = measure_effect(
        Candidates(masks, [f"c{k:02}" for k in range(50)], 1), np.arange(n) % 50 > 0
    )
    lines = [line.split() for line in effect.text().splitlines()]
    assert ["40", "further", "categories", "160", "160", "100.0%"] in lines
    assert len(effect.text().splitlines()) < 20


def test_no_masks_at_all() -> None:
    columns = {name: np.empty(0, np.int64) for name in ("image_id", "category", "area_px")}
    masks = pd.DataFrame({**columns, "crowd": np.empty(0, np.bool_)})
    effect = measure_effect(Candidates(masks, [], 0), np.empty(0, np.bool_))
    assert effect.masks.before == effect.emptied_images == 0
    assert "masks" in effect.text()
