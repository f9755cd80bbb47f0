"""Proposals matched with people's masks: one to one, by IoU, on the same images."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from curate.engine.proposal_truth import compare_with_truth
from curate.errors import CallError
from curate.testing.scene import table_of


def box(x: int, width: int) -> np.ndarray:
    mask = np.zeros((10, 100), bool)
    mask[:, x : x + width] = True
    return mask


def test_matches_by_hand() -> None:
    truth = table_of([box(0, 20), box(30, 20), box(0, 20)], [1, 1, 2], [7, 8, 9])
    proposals = table_of(
        [box(0, 19), box(0, 20), box(30, 10), box(60, 5), box(0, 20), box(0, 20)],
        [1, 1, 1, 1, 2, 3],
        [50, 51, 52, 53, 54, 55],
    )
    found = compare_with_truth(proposals, truth)
    assert found.index.tolist() == [50, 51, 52, 53, 54, 55]
    # The first covers 95% of an object that the second has exactly: it is a duplicate.
    assert found["truth_iou"].tolist() == [0, 1, 0.5, 0, 1, 0]
    assert found["truth_id"].to_list() == [pd.NA, 7, 8, pd.NA, 9, pd.NA]
    assert found["good"].tolist() == [False, True, False, False, True, False]
    assert found["image_id"].tolist() == [1, 1, 1, 1, 2, 3]
    assert compare_with_truth(proposals, truth, good_iou=0.5)["good"].sum() == 3


def test_nothing_on_either_hand() -> None:
    some = table_of([box(0, 9), None], [1, 1])
    none = table_of([])
    assert len(compare_with_truth(none, some)) == 0
    assert compare_with_truth(some, none)["truth_iou"].tolist() == [0, 0]
    assert compare_with_truth(some, some)["good"].tolist() == [True, False]
    with pytest.raises(CallError, match="0 is no IoU"):
        compare_with_truth(some, some, good_iou=0)


@given(st.integers(0, 10_000))
def test_what_holds_of_every_match(seed: int) -> None:
    random = np.random.default_rng(seed)
    tables = []
    for count in random.integers(0, 6, 2).tolist():
        masks = [box(int(x), int(w)) for x, w in random.integers([0, 1], [80, 40], (count, 2))]
        tables.append(table_of(masks, random.integers(1, 3, count).tolist()))
    found = compare_with_truth(tables[0], tables[1], good_iou=0.3)
    taken = found["truth_id"].dropna()
    assert taken.is_unique
    assert (found["truth_id"].isna() == (found["truth_iou"] == 0)).all()
    images = tables[1].masks["image_id"]
    for row in found.dropna().itertuples():
        assert images[row.truth_id] == row.image_id
