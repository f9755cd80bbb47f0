"""The IoU from which people take proposals, from what they redrew."""

from __future__ import annotations

import numpy as np
import pytest

from curate.engine.accepted_iou import AcceptedIou, find_accepted_iou


@pytest.mark.parametrize("accepts_from", [0.78, 0.85])
def test_it_is_about_where_people_begin_to_accept(accepts_from: float) -> None:
    drawn = np.random.default_rng(0).uniform(0.3, 1, 2000)
    redrawn = drawn[drawn < accepts_from]
    found = find_accepted_iou(redrawn)
    assert found.iou == pytest.approx(accepts_from, abs=0.04)
    assert (redrawn > found.iou).mean() <= 0.05
    assert found.redrawn == len(redrawn)
    assert f"95th percentile of {len(redrawn):,} redrawn proposals" in found.text()


def test_it_stays_in_its_range() -> None:
    assert find_accepted_iou(np.full(30, 0.4)).iou == 0.75
    assert find_accepted_iou(np.full(30, 0.97)).iou == 0.9


def test_nothing_is_read_from_a_few() -> None:
    few = np.append(np.full(19, 0.8), [np.nan] * 5)
    assert find_accepted_iou(few) == AcceptedIou(0.9, 19)
    assert "19 of their proposals, too few" in find_accepted_iou(few).text()
    assert find_accepted_iou(np.append(few, 0.8)).iou == 0.8
    assert find_accepted_iou(np.zeros(0)) == AcceptedIou(0.9, 0)
