from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pytest

from curate.errors import CallError
from curate.reporting.gates import fails, metrics
from curate.reporting.summary import check_gate_names

Masks = Callable[..., pd.DataFrame]


def test_metrics_count_what_they_name(make_audit: Any, masks: Masks) -> None:
    frame = masks(
        4,
        action=["reject", "review", "accept", "accept"],
        status=["empty", "ok", "ok", "ok"],
        stability_score=[0.5, 0.7, np.nan, 0.9],
        duplicate_of=pd.array([None, 10, None, None], dtype="Int64"),
        flagged_by=["rule", "lowest_share", "", ""],
        decided_by="policy",
    )
    found = metrics(make_audit(frame))
    assert found["mask_count"] == 4
    assert found["image_count"] == 2
    assert found["reject_rate"] == found["review_rate"] == 0.25
    assert found["accept_count"] == 2
    assert (found["rule_count"], found["odd_count"], found["lowest_count"]) == (1, 0, 1)
    assert (found["rule_rate"], found["odd_rate"]) == (0.25, 0)
    assert found["empty_count"] == found["broken_count"] == found["duplicate_count"] == 1
    assert found["stability_median"] == pytest.approx(0.7)
    assert found["image_missing_count"] == 0
    assert fails("reject_rate > 0.01", found)
    assert not fails("reject_rate > 0.5 or empty_count > 1", found)


def test_who_decided_is_counted_where_the_plan_says_it(make_audit: Any, masks: Masks) -> None:
    action = ["reject", "review", "accept", "accept"]
    plain = metrics(make_audit(masks(4, action=action), "plain"))
    assert plain["policy_accept_count"] == 2
    assert plain["policy_reject_count"] == 1
    assert plain["person_count"] == plain["person_unsettled_count"] == 0
    assert "model_count" not in plain
    who = ["policy", "model", "certificate", "model"]
    found = metrics(make_audit(masks(4, action=action, decided_by=who)))
    assert (found["model_count"], found["certificate_count"]) == (2, 1)
    assert found["policy_accept_count"] == 2
    with pytest.raises(CallError, match="fail-on"):
        fails("model_count > 0", plain)


def test_gates_that_cannot_see_are_errors(make_audit: Any, masks: Masks) -> None:
    found = metrics(make_audit(masks(4, stability_score=np.nan)))
    for gate in ("stability_median < 0.9", "reject_rate > 0.01", "no_such > 1", "mask_count >"):
        with pytest.raises(CallError, match="fail-on"):
            fails(gate, found)


NUMBERS = {"mask_count": 0, "reject_count": 0, "empty_count": 3, "quality_median": None}


@pytest.mark.parametrize(
    ("gate", "place"),
    [
        ("0/0 > 1", "no value, as of 0 / 0, at character 2"),
        ("reject_count / mask_count > 0.1", "at character 14"),
        ("not (reject_count / mask_count > 0.1)", "at character 19"),
        ("(reject_count / mask_count > 0.1) == false", "at character 15"),
        ("empty_count in (1, 0 * (1 / 0))", "at character 22"),
        ("0.1 < abs(-(0 / 0)) < 0.2", "at character 15"),
        ("quality_median < 0.5", "quality_median is not available here at character 1"),
        ("empty_count < 3 or quality_median < 0.5", "quality_median is not available here"),
        ("empty_count == 3 and not quality_median < 0.5", "quality_median is not available here"),
    ],
)
def test_a_gate_without_a_value_is_no_passed_gate(gate: str, place: str) -> None:
    with pytest.raises(CallError, match=re.escape(place)):
        fails(gate, NUMBERS)


@pytest.mark.parametrize(
    ("gate", "failed"),
    [
        ("mask_count > 0 and reject_count / mask_count > 0.1", False),
        ("reject_count / mask_count > 0.1 and mask_count > 0", False),
        ("mask_count == 0 or reject_count / mask_count > 0.1", True),
        ("not (mask_count > 0 and reject_count / mask_count > 0.1)", True),
        ("empty_count > 2 or quality_median < 0.5", True),
        ("empty_count in (3, 0 / 0)", True),
        ("missing(quality_median)", True),
        ("not missing(quality_median) and quality_median < 0.5", False),
        ("missing(0 / 0)", True),
        ("empty_count / mask_count > 1000", True),
    ],
)
def test_what_does_not_decide_need_not_have_a_value(gate: str, failed: bool) -> None:
    assert fails(gate, NUMBERS) is failed


def test_a_gate_that_never_has_a_value_is_refused_before_all_work() -> None:
    with pytest.raises(CallError, match="no value"):
        check_gate_names(["0/0 > 1"])
    check_gate_names(["mask_count > 0 and reject_count / mask_count > 0.1"])
