"""How many random cases a test draws, by the profile that the tests run in."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pytest
from hypothesis import settings

PROFILES = {"quick": 5, "curate": 20, "thorough": 300}
"""Cases of a test that names no number: ``make test-quick``, ``make test``, ``make test-slow``."""


def draws(count: int, **more: Any) -> settings:
    """Return settings under which ``make test`` draws ``count`` cases, other targets in proportion.

    Args:
        count: For a test whose cases take long, or are worth more than those of most tests.
        more: Other settings of Hypothesis.
    """
    share = settings().max_examples / PROFILES["curate"]
    return settings(max_examples=max(1, round(count * share)), **more)


def some_of(cases: Iterable[Any], count: int) -> list[Any]:
    """Return parameters of a test, all but ``count`` of them for ``make test-slow`` alone.

    Args:
        cases: Where each is as good as another to see that something works at all.
        count: How many ``make test`` tries: the first, the last, and others evenly between.
    """
    listed = list(cases)
    tried = {round(k * (len(listed) - 1) / max(1, count - 1)) for k in range(count)}
    slow = pytest.mark.slow
    return [case if k in tried else pytest.param(case, marks=slow) for k, case in enumerate(listed)]
