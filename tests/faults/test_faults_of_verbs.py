"""A kill, a full or broken disk, missing rights: at operations of the verbs after an audit."""

from __future__ import annotations

from pathlib import Path

import pytest
from fault_harness import DENIED, KILL, Server, check_every, check_some, find_cases, wrong_points

HERE = Path(__file__).parent
CASES = {name: path for name, path in find_cases().items() if path.stem != "cases_engine_steps"}
STEPS = {name: path for name, path in find_cases().items() if name not in CASES}
"""Steps of the engine with networks: a point takes seconds, so points are drawn."""
SAMPLED = (
    ("cases_people", "import of a corrected file", 1),
    ("cases_writing", "write of coco", 1),
    ("cases_engine", "engine close", 1),
)
"""Module, case, points that are tried whenever the tests run; the slow ones try all operations."""


@pytest.mark.parametrize(("module", "name", "count"), SAMPLED)
def test_a_fault_at_some_operations_is_harmless(module: str, name: str, count: int) -> None:
    check_some(HERE / f"{module}.py", name, count)


@pytest.mark.slow  # the case of a training without folds is tried at all of its operations below
def test_a_training_is_whole_or_not_to_be_used() -> None:
    """Killed before a record is written, or not let to remove what it worked with."""
    with Server(HERE / "cases_training.py", "train-detector of folds") as server:
        made = [
            (operation, path.partition("/made/")[2]) for operation, path in server.after.operations
        ]
        replaced, used = ("replace", "fold-1/training.json"), "fold-1/work/checkpoint.safetensors"
        points = [
            (KILL, 1 + made.index(replaced)),
            (DENIED, 1 + made.index(("unlink", used))),
            (KILL, 1 + made.index(("replace", "training.json"))),
        ]
        assert not list(wrong_points(server, points))


@pytest.mark.slow
@pytest.mark.parametrize("name", CASES)
def test_a_fault_at_any_operation_is_harmless(name: str) -> None:
    assert check_every(CASES[name], name) >= 8


@pytest.mark.slow
@pytest.mark.parametrize("name", STEPS)
def test_a_fault_in_a_step_of_the_engine_is_harmless(name: str) -> None:
    check_some(STEPS[name], name, 16)
