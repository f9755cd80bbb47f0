"""The IoU from which people take proposals, from what they accepted and redrew."""

from __future__ import annotations

import numpy as np
import pytest

from curate.engine.accepted_iou import AcceptedIou, DecidedProposals, find_accepted_iou


@pytest.mark.parametrize("accepts_from", [0.78, 0.85])
def test_it_is_where_people_begin_to_accept(accepts_from: float) -> None:
    random = np.random.default_rng(0)
    seen, compared = random.beta(8, 2, 2000), random.beta(8, 2, 2000)
    seen = seen[seen >= 0.5]
    decided = DecidedProposals(int((seen >= accepts_from).sum()), int((seen < accepts_from).sum()))
    found = find_accepted_iou(decided, compared)
    assert found.iou == pytest.approx(accepts_from, abs=0.02)
    assert (
        f"of {len(seen):,} proposals of an object people redrew {decided.redrawn:,}" in found.text()
    )


def test_it_stays_in_its_range() -> None:
    ious = np.linspace(0.5, 1, 100)
    assert find_accepted_iou(DecidedProposals(50, 0), ious).iou == 0.75
    assert find_accepted_iou(DecidedProposals(0, 50), ious).iou == 0.9


def test_proposals_of_no_object_are_passed_over() -> None:
    ious = np.append(np.linspace(0.75, 0.9, 40), np.zeros(1000))
    found = find_accepted_iou(DecidedProposals(50, 50), ious)
    assert 0.8 < found.iou < 0.85


def test_nothing_is_read_from_a_few() -> None:
    many, few = np.full(30, 0.8), np.append(np.full(19, 0.8), np.zeros(50))
    assert find_accepted_iou(DecidedProposals(19, 0), many) == AcceptedIou(0.9, None)
    assert find_accepted_iou(DecidedProposals(30, 0), few) == AcceptedIou(0.9, None)
    assert "too few" in AcceptedIou(0.9, None).text()
    assert find_accepted_iou(DecidedProposals(30, 0), many).iou == 0.8
