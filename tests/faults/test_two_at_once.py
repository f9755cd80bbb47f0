"""Two processes that do the same at once, a few tries each; many are in the study."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from fault_harness import find_cases

QUICK = ("decide",)
SCRIPT = Path(__file__).with_name("two_at_once.py")


def ran(case: str, tries: int) -> list[int]:
    """Return tries, both well, one refused and wrong ones of a case."""
    command = [sys.executable, str(SCRIPT), str(tries), case]
    done = subprocess.run(command, capture_output=True, text=True, timeout=600, check=True)
    assert done.stderr == ""
    row = done.stdout.splitlines()[-1]
    return [int(cell) for cell in row.strip("| ").split(" | ")[1:]]


@pytest.mark.parametrize("case", QUICK)
def test_of_two_at_once_one_works_and_one_is_refused(case: str) -> None:
    tries, both, refused, wrong = ran(case, 1)
    assert (tries, both + refused, wrong) == (1, 1, 0)


@pytest.mark.slow
@pytest.mark.parametrize("case", [case for case in find_cases() if case not in QUICK])
def test_of_two_at_once_nothing_is_lost(case: str) -> None:
    tries, both, refused, wrong = ran(case, 10)
    assert (tries, both + refused, wrong) == (10, 10, 0)
