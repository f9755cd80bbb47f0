"""A clock that stands where a test sets it."""

from __future__ import annotations

import time

from curate.common.clock import Clock


class HandClock:
    """Both hands of a clock: ``clock`` is what is passed in.

    Attributes:
        wall_us: Microseconds since 1970.
        passed_us: Microseconds by the clock that never goes back.
    """

    def __init__(self) -> None:
        self.wall_us, self.passed_us = time.time_ns() // 1000, time.monotonic_ns() // 1000
        self.clock = Clock(lambda: 1000 * self.wall_us, lambda: 1000 * self.passed_us)

    def wait(self, seconds: float) -> None:
        """Let time pass on both."""
        self.jump(seconds)
        self.passed_us += int(1e6 * seconds)

    def jump(self, seconds: float) -> None:
        """Set the wall clock forward or back, as people and machines do."""
        self.wall_us += int(1e6 * seconds)

    def now_ms(self) -> int:
        """Return the time as a page says it."""
        return self.wall_us // 1000
