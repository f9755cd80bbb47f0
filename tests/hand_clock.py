"""A clock that stands where a test sets it."""

from __future__ import annotations

import time

from curate.clock import Clock


class HandClock:
    """Both hands of a clock: ``clock`` is what is passed in.

    Attributes:
        wall_s: Seconds since 1970.
        passed_s: Seconds by the clock that never goes back.
    """

    def __init__(self) -> None:
        self.wall_s, self.passed_s = time.time(), time.monotonic()
        self.clock = Clock(lambda: int(1e9 * self.wall_s), lambda: int(1e9 * self.passed_s))

    def wait(self, seconds: float) -> None:
        """Let time pass on both."""
        self.wall_s += seconds
        self.passed_s += seconds

    def jump(self, seconds: float) -> None:
        """Set the wall clock forward or back, as people and machines do."""
        self.wall_s += seconds

    def now_ms(self) -> int:
        """Return the time as a page says it."""
        return int(1000 * self.wall_s)
