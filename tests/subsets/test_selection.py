"""Order of a subset: floors, nesting, no dependence on rows, quality before novelty."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from curate.errors import CallError
from curate.subsets.selection import (
    NOVELTY,
    order_masks,
    rank_quality,
    traverse_farthest_first,
)
from curate.subsets.subset import SubsetOptions, parse_keep


def frame(n: int, seed: int = 0, categories: int = 4) -> pd.DataFrame:
    """Return masks of rare and frequent categories, of all sizes."""
    random = np.random.default_rng(seed)
    w, h = (np.exp(random.normal(3, 1, n)).astype(np.int64) + 1 for _ in range(2))
    columns = {
        "category": np.minimum(random.geometric(0.6, n) - 1, categories - 1),
        "quality": np.round(random.random(n), 1),
        "eligible": random.random(n) < 0.85,
        "area_px": np.maximum((w * h * random.uniform(0.2, 1, n)).astype(np.int64), 1),
        "bbox_w": w,
        "bbox_h": h,
        "height": 480,
        "width": 640,
    }
    ids = random.permutation(10 * n)[:n]
    return pd.DataFrame(columns, pd.Index(np.sort(ids), name="mask_id"))


masks = st.builds(frame, st.integers(1, 300), st.integers(0, 2**16), st.integers(1, 12))


@given(masks, st.integers(0, 30), st.integers(0, 2**32 - 1), st.randoms(use_true_random=False))
def test_rows_may_come_in_any_order(
    masks: pd.DataFrame, floor: int, seed: int, random: Any
) -> None:
    pictures = np.random.default_rng(1).normal(size=(len(masks), 5))
    order = order_masks(masks, pictures, floor=floor, seed=seed)
    rows = list(range(len(masks)))
    random.shuffle(rows)
    again = order_masks(masks.iloc[rows], pictures[rows], floor=floor, seed=seed)
    pd.testing.assert_frame_equal(order, again)


@given(masks, st.integers(0, 30))
def test_who_may_stay_is_in_the_order_once(masks: pd.DataFrame, floor: int) -> None:
    order = order_masks(masks, floor=floor)
    assert set(order.index) == set(masks.index[masks["eligible"]])
    assert order.index.is_unique
    assert order["gain"].between(0, 1 + NOVELTY).all()


@given(masks, st.integers(0, 20), st.integers(1, 300))
def test_floors_hold_where_there_is_room(masks: pd.DataFrame, floor: int, n: int) -> None:
    available = masks["category"][masks["eligible"]].value_counts()
    owed = available.clip(upper=floor)
    first = order_masks(masks, floor=floor).index[:n]
    kept = masks["category"].loc[first].value_counts().reindex(available.index, fill_value=0)
    if n >= owed.sum():
        assert (kept >= owed).all()
    elif floor:  # room is shared: no category has two more than one that could have more
        open_ones = kept[kept < owed]
        assert kept.max() <= open_ones.min() + 1


@given(masks)
def test_a_new_kind_never_beats_a_much_better_mask(masks: pd.DataFrame) -> None:
    order = order_masks(masks)
    best_after = order["quality"][::-1].cummax()[::-1]
    assert (best_after - order["quality"] <= NOVELTY + 1e-12).all()


@given(masks)
def test_in_a_cell_better_masks_come_first(masks: pd.DataFrame) -> None:
    for _, cell in order_masks(masks).groupby("cell"):
        assert cell["quality"].is_monotonic_decreasing


@given(masks)
def test_the_order_is_the_greedy_one(masks: pd.DataFrame) -> None:
    """Each mask is the one of largest gain given all before it, so the sum is the largest."""
    order = order_masks(masks)
    seen: dict[int, int] = {}
    for cell, quality, gain in order[["cell", "quality", "gain"]].itertuples(index=False):
        seen[cell] = seen.get(cell, 0) + 1
        assert gain == pytest.approx(quality + NOVELTY / np.sqrt(seen[cell]))
    assert order["gain"].is_monotonic_decreasing


def test_the_seed_decides_among_equals_only() -> None:
    equal = frame(200).assign(quality=0.5, eligible=True)
    first, second = (order_masks(equal, seed=seed) for seed in (1, 2))
    assert list(first.index) != list(second.index)
    distinct = equal.assign(quality=np.linspace(0.2, 0.9, len(equal)), category=0, area_px=1)
    distinct = distinct.assign(bbox_w=1, bbox_h=1)
    first, second = (order_masks(distinct, seed=seed) for seed in (1, 2))
    assert list(first.index) == list(second.index)


def test_errors_go_first_though_they_are_odd() -> None:
    """Bad masks are outliers: a choice by difference alone would take every one of them."""
    random = np.random.default_rng(5)
    good = frame(800, 1, 1).assign(quality=random.uniform(0.6, 1, 800), bbox_w=30, bbox_h=30)
    bad = frame(200, 2, 1).assign(quality=random.uniform(0, 0.2, 200))
    both = pd.concat([good.assign(area_px=700), bad.set_axis(bad.index + 10**6)])
    both = both.assign(eligible=True).rename_axis("mask_id")
    assert (order_masks(both).index[:800] < 10**6).all()


def test_pictures_that_differ_are_all_there() -> None:
    """Of four kinds of pictures, one of them of one mask in a hundred, all are in a tenth."""
    masks = frame(2000, 3, 1).assign(eligible=True, quality=0.9, bbox_w=20, bbox_h=20, area_px=300)
    kind = np.where(np.arange(2000) % 100 == 7, 3, np.arange(2000) % 3)
    pictures = np.eye(4)[kind]
    first = order_masks(masks, pictures).index[:200]
    counts = pd.Series(kind, masks.index).loc[first].value_counts()
    assert set(counts.index) == {0, 1, 2, 3}
    assert counts[3] >= 15


def test_masks_without_a_picture_are_no_obstacle() -> None:
    masks = frame(50).assign(eligible=True)
    pictures = np.random.default_rng(0).normal(size=(50, 3))
    pictures[::2] = np.nan
    assert len(order_masks(masks, pictures)) == 50
    assert len(order_masks(masks, np.full((50, 3), np.nan))) == 50


def test_nothing_in_nothing_out() -> None:
    assert len(order_masks(frame(5).assign(eligible=False))) == 0


def test_ties_of_quality_share_their_rank() -> None:
    quality = np.array([0.2, 0.9, 0.9, np.nan, 0.1])
    counted = np.array([True, True, True, True, False])
    assert rank_quality(quality, counted).tolist() == pytest.approx([1 / 6, 2 / 3, 2 / 3, 0, 0])


def test_farthest_first() -> None:
    line = np.array([[0.0], [1], [2], [10], [10]])
    assert traverse_farthest_first(line, 3).tolist() == [2, 3, 0]
    assert len(traverse_farthest_first(line, 9)) == 4
    assert len(traverse_farthest_first(line[:0], 3)) == 0


@pytest.mark.parametrize(
    ("keep", "meant"),
    [
        ("50%", 0.5),
        ("0.5", 0.5),
        ("500", 500),
        ("1", 1),
        ("1.0", 1.0),
        (" 12.5 %", 0.125),
        (7, 7),
        (0.25, 0.25),
        (np.int64(3), 3),
        ("100%", 1.0),
    ],
)
def test_a_number_or_a_share(keep: Any, meant: float) -> None:
    assert parse_keep(keep) == meant
    assert type(parse_keep(keep)) is type(meant)


@pytest.mark.parametrize(
    "keep",
    [
        "",
        "half",
        "0",
        "0%",
        "101%",
        "1.5",
        "-3",
        "٥",
        "1e3",
        "9" * 30,
        0,
        -1,
        1.5,
        0.0,
        True,
        float("nan"),
        None,
        2**70,
    ],
)
def test_what_is_no_number_of_masks_is_refused(keep: Any) -> None:
    with pytest.raises(CallError):
        parse_keep(keep)


def test_options_are_checked() -> None:
    with pytest.raises(CallError, match="--floor"):
        SubsetOptions(floor=-1)
    with pytest.raises(CallError, match="--seed"):
        SubsetOptions(seed=-1)
