"""A kill, a full or broken disk, missing rights: at operations of `audit` and `decide`."""

from __future__ import annotations

import cases_audit
import pytest
from fault_harness import check_every, check_some

NAMES = list(cases_audit.CASES)


@pytest.mark.parametrize(("name", "count"), [("audit", 8), ("decide", 4)])
def test_a_fault_at_some_operations_is_harmless(name: str, count: int) -> None:
    check_some(cases_audit.__file__, name, count)


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_a_fault_at_any_operation_is_harmless(name: str) -> None:
    assert check_every(cases_audit.__file__, name) > 300
