"""The one place where tests wait by the clock: for another process, which gives no event."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

Answer = TypeVar("Answer")

PAUSE_S = 0.02


def until(asked: Callable[[], Answer], what: str, seconds: float = 60) -> Answer:
    """Ask again and again until the answer is true, and return it.

    Args:
        asked: Asks another process, or the system about it.
        what: What is waited for, for the error.
        seconds: How long at most.

    Raises:
        TimeoutError: It never was.
    """
    end = time.monotonic() + seconds
    while not (answer := asked()):
        if time.monotonic() > end:
            raise TimeoutError(f"waited {seconds:g} s for {what}")
        time.sleep(PAUSE_S)
    return answer
