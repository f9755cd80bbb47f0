"""A kill, a full or broken disk, missing rights: at operations of the verbs after an audit."""

from __future__ import annotations

from pathlib import Path

import pytest
from fault_harness import check_every, check_some, find_cases

HERE = Path(__file__).parent
SAMPLED = (
    ("cases_people", "import of a corrected file", 6),
    ("cases_writing", "write of coco", 8),
)
"""Module, case, points that are tried whenever the tests run; the slow ones try all of all."""


@pytest.mark.parametrize(("module", "name", "count"), SAMPLED)
def test_a_fault_at_some_operations_is_harmless(module: str, name: str, count: int) -> None:
    check_some(HERE / f"{module}.py", name, count)


@pytest.mark.slow
@pytest.mark.parametrize(
    "module", sorted(p.stem for p in HERE.glob("cases_*.py") if p.stem != "cases_audit")
)
def test_a_fault_at_any_operation_is_harmless(module: str) -> None:
    path = HERE / f"{module}.py"
    names = [name for name, where in find_cases().items() if where == path]
    assert names
    for name in names:
        assert check_every(path, name) >= 13, name
