"""Clock passed to whatever reads the time, so that a test can set it."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class Clock:
    """Two clocks: one for times that are stored, one for how long something takes.

    Attributes:
        wall: Nanoseconds since 1970, UTC. It goes back and jumps when somebody sets it.
        monotonic: Nanoseconds since some moment that is the same for all processes of this machine
            until it starts anew. It never goes back.
    """

    wall: Callable[[], int] = time.time_ns
    monotonic: Callable[[], int] = time.monotonic_ns

    def now_us(self) -> int:
        """Return the time in microseconds since 1970: what is stored of decisions."""
        return self.wall() // 1000

    def now_s(self) -> float:
        """Return the time in seconds since 1970."""
        return self.wall() / 1e9

    def elapsed_ms(self) -> int:
        """Return milliseconds by the clock that never goes back: what leases run out by."""
        return self.monotonic() // 1_000_000


SYSTEM = Clock()
"""This machine's own."""
