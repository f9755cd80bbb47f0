"""Order of an errors queue by finds per second: what it divides by, and by whose times."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pytest

from curate.errors import CallError
from curate.people.queues.draw_queue import draw_queue
from curate.people.queues.look_times import (
    LEAST_TIMED,
    LookTimes,
    finds_per_second,
    measure_times,
    outline_length,
)
from curate.people.reviews import open_reviews
from curate.rle import encode_counts, from_dense
from curate.store.audit import StoredAudit
from curate.store.audit_files import write_info
from curate.store.mask_corrections import MaskCorrection, write_corrections

Masks = Callable[..., pd.DataFrame]


@pytest.fixture
def audit(make_audit: Any, masks: Masks) -> StoredAudit:
    """Four masks to review, alike but for what is told of each."""
    found: StoredAudit = make_audit(
        masks(
            4,
            action=["review"] * 4,
            priority=[0.9, 0.8, 0.7, 0.6],
            rank=[1, 2, 3, 4],
            quality_score=[0.5] * 4,
            height=[640] * 4,
            width=[640] * 4,
            bbox_w=[300, 10, 300, 300],
            bbox_h=[300, 10, 300, 300],
            duplicate_of=pd.array([None, None, 10, None], dtype="Int64"),
        ),
        source={"path": "a.json", "format": "coco", "fingerprint": "0123"},
    )
    return found


def test_the_outline_is_as_long_as_it_is_on_the_screen() -> None:
    sizes = {"bbox_w": [20, 20], "bbox_h": [20, 20], "height": [640, 640], "width": [640, 1280]}
    assert outline_length(pd.DataFrame(sizes)).tolist() == [80, 40]


def test_small_masks_copies_and_known_corrections_come_before_long_outlines(
    audit: StoredAudit,
) -> None:
    def drawn(order: str) -> list[int]:
        found = draw_queue(audit, order=order)
        assert found.settings.get("order") == (None if order == "priority" else order)
        return [int(i) for i in found.rows["mask_id"]]

    assert drawn("priority") == [10, 11, 12, 13]
    assert drawn("seconds") == [12, 11, 10, 13]
    assert len(draw_queue(audit, order="seconds", budget=2).rows) == 2
    write_corrections(audit.path, 0, [MaskCorrection(13, "too large", b"0", 1.0, 0.4, 0.8)])
    assert drawn("seconds") == [12, 13, 11, 10]


def test_a_find_a_second_is_priority_by_seconds(audit: StoredAudit) -> None:
    masks = audit.query("select * from masks order by mask_id")
    rate = finds_per_second(audit, masks, LookTimes(2.0, 1.0, 0.1))
    assert rate[0] == pytest.approx(0.9 / (2 + 0.5 * (1 + 0.1 * 1200)))
    assert rate[2] == pytest.approx(0.7 / 2)
    masks["priority"] = np.nan
    assert np.isnan(finds_per_second(audit, masks, LookTimes())).all()


def test_other_kinds_have_an_order_of_their_own(audit: StoredAudit) -> None:
    with pytest.raises(CallError, match="has an order of its own"):
        draw_queue(audit, kind="estimate", budget=2, order="seconds")
    with pytest.raises(CallError, match="--order"):
        draw_queue(audit, order="size")


def test_people_are_taken_at_their_own_pace_once_enough_is_timed(audit: StoredAudit) -> None:
    assert measure_times(audit) == LookTimes()
    timed = pd.DataFrame(
        {
            "mask_id": 10,
            "action": ["accept", "reject"] * (LEAST_TIMED // 2),
            "reviewer": [f"person {k}" for k in range(LEAST_TIMED)],
            "seconds": 5.0,
            "time": pd.Timestamp("2026-01-01", tz="UTC"),
        }
    )
    write_info(audit.path, audit.info)
    reviews = open_reviews(audit, create=True)
    reviews.add(timed.iloc[:-1], origin="a page")
    assert measure_times(audit) == LookTimes()
    reviews.add(timed.iloc[-1:], origin="a page")
    assert measure_times(audit) == LookTimes(judge_s=5.0)
    redrawn = encode_counts(from_dense(np.eye(640)))[0].as_py()
    fixed = timed.assign(action="fix", segmentation=redrawn, seconds=19.4, mask_id=13)
    reviews.add(fixed, origin="a page")
    found = measure_times(audit)
    assert found.judge_s == 5.0
    assert found.draw_s_per_px == pytest.approx((19.4 - 5.0 - found.start_s) / 1200)
