"""Worker pool: one function over many tasks, in this process or in several."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from functools import partial
from multiprocessing import get_context
from types import TracebackType
from typing import Any, TypeVar

from curate.common.garbage_collection import relax_collector
from curate.errors import CurateError, WorkerFault

R = TypeVar("R")

_LISTEN_S = 0.2
"""How often workers' progress is looked for."""


_TICKS: Any = None
"""In a worker, the queue on which it tells the parent of its progress; None elsewhere."""


def tell_parent(*values: object) -> None:
    """Tell the process that started this worker of progress; nobody listens elsewhere."""
    if _TICKS is not None:
        _TICKS.put(values)


def _begin(parent: int, ticks: Any) -> None:
    """Begin a worker."""
    global _TICKS  # noqa: PLW0603
    relax_collector()
    _TICKS = ticks
    _leave_with_parent(parent)


def _leave_with_parent(parent: int) -> None:
    """End this worker when its parent is gone, so that a killed run leaves nothing running."""

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(0.5)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def _call(function: Callable[..., R], *task: Any) -> R:
    """Call a function in a worker, so that whatever it raises can be sent to the parent."""
    try:
        return function(*task)
    except Exception as error:
        if type(error).__module__ in ("builtins", CurateError.__module__):
            raise
        raise WorkerFault(f"{type(error).__name__}: {error}") from error


@contextmanager
def _block_interrupts() -> Iterator[None]:
    """Start processes that never see Ctrl-C: this one does, afterwards, and ends them.

    A terminal sends it to all of them, and each would print a traceback, even while it starts.
    """
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


class Pool:
    """Some workers; with one, everything runs in this process."""

    def __init__(self, workers: int) -> None:
        self.workers = workers
        self._executor: ProcessPoolExecutor | None = None
        self._ticks: Any = None

    def __enter__(self) -> Pool:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._executor:
            if kind is not None and not issubclass(kind, Exception):  # stopped: nobody waits
                for process in list(self._executor._processes.values()):
                    process.kill()
            self._executor.shutdown(wait=kind is None, cancel_futures=True)

    def run(
        self,
        function: Callable[..., R],
        tasks: Iterable[tuple[Any, ...]],
        listen: Callable[..., object] | None = None,
    ) -> Iterator[R]:
        """Yield ``function(*task)`` for every task, as they are done.

        Args:
            function: The function; where somebody listens it is given ``tell`` as well.
            tasks: Its arguments.
            listen: Called here with what the function calls its ``tell`` with, from this or another
                process, while it is at work; all before the last result is yielded.

        Raises:
            CurateError: A worker died, as when the machine runs out of memory.
        """
        if self.workers == 1:
            here = function if listen is None else partial(function, tell=listen)
            for task in tasks:
                yield here(*task)
            return
        if self._executor is None:
            context = get_context("spawn")  # Arrow's and DuckDB's threads do not survive fork
            self._ticks = context.SimpleQueue()
            self._executor = ProcessPoolExecutor(
                self.workers,
                mp_context=context,
                initializer=_begin,
                initargs=(os.getpid(), self._ticks),
            )
        try:
            there = function if listen is None else partial(function, tell=tell_parent)
            yield from self._drain(self._executor, there, iter(tasks), listen)
        except BrokenProcessPool as error:
            raise CurateError(
                "a worker process was killed, perhaps for want of memory",
                "",
                "what is done is kept; run the same command again with fewer --workers",
            ) from error

    def _drain(
        self,
        executor: ProcessPoolExecutor,
        function: Callable[..., R],
        tasks: Iterator[tuple[Any, ...]],
        listen: Callable[..., object] | None,
    ) -> Iterator[R]:
        running: set[Future[R]] = set()
        more = True
        while more or running:
            while more and len(running) < 2 * self.workers:
                task = next(tasks, None)
                if task is None:
                    more = False
                else:
                    with _block_interrupts():
                        running.add(executor.submit(_call, function, *task))
            timeout = None if listen is None else _LISTEN_S
            done, running = wait(running, timeout, return_when=FIRST_COMPLETED)
            while listen is not None and not self._ticks.empty():
                listen(*self._ticks.get())
            for future in done:
                yield future.result()
