"""How many random cases a test draws, by the profile that the tests run in."""

from __future__ import annotations

from typing import Any

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
