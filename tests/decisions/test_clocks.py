"""Clocks that go back or jump: what is decided later counts more, and nothing is dropped."""

from __future__ import annotations

from typing import Any

import pandas as pd
import pytest
from boxes import box, rle
from hand_clock import HandClock

from curate.people.reviews import Reviews
from curate.people.reviews.outcomes import resolve_outcomes
from curate.store.audit import StoredAudit

DAY = 24 * 3600.0


@pytest.fixture
def hands() -> HandClock:
    return HandClock()


@pytest.fixture
def kept(reviews: Reviews, hands: HandClock) -> Reviews:
    return Reviews(reviews.audit, hands.clock)


def said(action: str, reviewer: str = "ann", mask: int = 1, **more: Any) -> pd.DataFrame:
    return pd.DataFrame([{"mask_id": mask, "action": action, "reviewer": reviewer, **more}])


def now(hands: HandClock, ago: float = 0) -> pd.Timestamp:
    return pd.Timestamp(hands.wall_us - int(1e6 * ago), unit="us", tz="UTC")


def change(reviews: Reviews, rule: str = "majority") -> str:
    with reviews.connect() as connection:
        return str(resolve_outcomes(connection, rule)["change"].loc[1])


@pytest.mark.parametrize("back", [0, 1e-6, 3600, 400 * DAY])
@pytest.mark.parametrize("live", [True, False])
def test_the_later_decision_counts_after_the_clock_was_set_back(
    kept: Reviews, hands: HandClock, back: float, live: bool
) -> None:
    for k, action in enumerate(("reject", "accept", "reject", "accept")):
        stamp = {"time": now(hands), "key": f"key {k}"} if live else {}
        kept.add(said(action, **stamp), origin="page" if live else f"file {k}", live=live)
        hands.jump(-back)
    assert len(kept.decisions()) == 4
    assert change(kept) == "kept"
    assert kept.resolve_labels("latest")["good"].tolist() == [True]
    kept.add(said("reject", "bea"), origin="b")
    assert change(kept, "latest") == "removed"


def test_a_decision_that_waited_offline_keeps_its_place(kept: Reviews, hands: HandClock) -> None:
    kept.add(said("accept", "bea", time=now(hands, ago=60)), origin="page", live=True)
    late = said("reject", time=now(hands, ago=300))  # of before bea's, and sent after it
    kept.add(late, origin="page", live=True)
    assert change(kept, "latest") == "kept"


def test_what_a_file_says_of_its_times_stands(kept: Reviews, hands: HandClock) -> None:
    kept.add(said("accept"), origin="page")
    kept.add(said("reject", time=now(hands, ago=DAY)), origin="an older file")
    assert change(kept) == "kept"
    assert kept.decisions()["time"].min() == now(hands, ago=DAY)


def test_a_clock_set_back_while_a_decision_is_on_its_way_refuses_nothing(
    kept: Reviews, hands: HandClock
) -> None:
    time = now(hands)
    hands.jump(-DAY)
    kept.add(said("reject", time=time, key="one"), origin="page", live=True)
    back = pd.DataFrame([{"decision_key": "one", "reviewer": "ann", "key": "two", "time": time}])
    assert kept.withdraw(back, live=True) == 1
    assert len(kept.decisions()) == 0


def test_masks_added_and_withdrawn_at_one_moment_by_the_clock_all_count(kept: Reviews) -> None:
    mask = {"image_id": [1], "segmentation": [rle(box(30, 30, 5, 5))], "reviewer": ["ann"]}
    none = said("accept").head(0)
    for k in range(5):
        kept.add(none, origin=f"file {k}", missing=pd.DataFrame(mask | {"withdrawn": [k % 2]}))
        assert len(kept.missing()) == 1 - k % 2


@pytest.mark.parametrize("ahead", [0.0, 3 * DAY])
def test_decisions_belong_to_the_draw_that_showed_them_though_its_clock_was_ahead(
    kept: Reviews, hands: HandClock, ahead: float
) -> None:
    drawn = pd.DataFrame({"mask_id": [1, 2], "inclusion_probability": 0.5})
    hands.jump(ahead)
    first = kept.record_draw("estimate", drawn, {})
    hands.jump(-ahead)
    hands.wait(60)
    kept.add(said("accept", time=now(hands)), origin="table")
    hands.wait(60)
    second = kept.record_draw("estimate", drawn, {})
    hands.wait(60)
    before = said("accept", "bea", time=now(hands, ago=90))
    kept.add(pd.concat([before, said("reject", "cid", time=now(hands))]), origin="another")
    found = kept.decisions().set_index("reviewer")["draw_id"].to_dict()
    assert found == {"ann": first, "bea": first, "cid": second}
    label = kept.resolve_labels(draw_id=first)
    assert label["inclusion_probability"].tolist() == [0.5]


def test_an_estimate_counts_what_was_imported_by_a_clock_that_went_back(
    audit: StoredAudit, hands: HandClock
) -> None:
    kept = Reviews(audit, hands.clock)
    masks = audit.query("select mask_id from masks order by 1")["mask_id"].tolist()
    drawn = pd.DataFrame({"mask_id": masks, "inclusion_probability": 1.0})
    number = kept.record_draw("estimate", drawn, {})
    for action in ("reject", "accept"):
        hands.jump(-3600)
        kept.add(pd.DataFrame({"mask_id": masks, "action": action}), origin=action)
    labels = kept.resolve_labels(draw_id=number)
    assert labels.index.tolist() == masks
    assert labels["good"].all()
