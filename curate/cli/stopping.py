"""Signal handlers that stop a command: Ctrl-C, SIGTERM, a closed terminal.

Until the command is loaded they end the process at once, for nothing is done yet; then they raise
:class:`~curate.errors.Stopped`, so that what was begun is left as after Ctrl-C. A signal that
whoever called wants ignored, or has a handler for, stays so. Little is loaded here: until it is,
Ctrl-C shows Python's own traceback.
"""

from __future__ import annotations

import os
import signal

from curate.common.stop_signals import STOP_SIGNALS

TYPE_CHECKING = False

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from types import FrameType
    from typing import NoReturn

    Handler = Callable[[int, FrameType | None], NoReturn]


def install(handler: Handler) -> list[int]:
    """Let a handler have the signals that have none; return which these were.

    None are where this is not the main thread, which alone gets signals.
    """
    found = []
    try:
        for number in STOP_SIGNALS:
            if signal.getsignal(number) in (signal.SIG_DFL, signal.default_int_handler):
                signal.signal(number, handler)
                found.append(number)
    except ValueError:
        return []
    return found


def restore(numbers: Iterable[int]) -> None:
    """Give signals back what Python does by itself."""
    for number in numbers:
        own = signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL
        signal.signal(number, own)


def end(number: int, frame: FrameType | None) -> NoReturn:
    """End the process at once: a handler for as long as nothing is done."""
    del frame
    try:
        os.write(2, b"stopped before anything was done\n")
    finally:
        os._exit(128 + number)


def stop(number: int, frame: FrameType | None) -> NoReturn:
    """Raise :class:`~curate.errors.Stopped`: a handler for as long as something is done."""
    from curate.errors import Stopped

    del frame
    raise Stopped(number)
