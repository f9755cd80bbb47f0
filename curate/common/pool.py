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
from multiprocessing import get_context
from types import TracebackType
from typing import Any, TypeVar

from curate.errors import CurateError, WorkerFault

R = TypeVar("R")


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

    def run(self, function: Callable[..., R], tasks: Iterable[tuple[Any, ...]]) -> Iterator[R]:
        """Yield ``function(*task)`` for every task, as they are done.

        Raises:
            CurateError: A worker died, as when the machine runs out of memory.
        """
        if self.workers == 1:
            for task in tasks:
                yield function(*task)
            return
        if self._executor is None:
            self._executor = ProcessPoolExecutor(
                self.workers,
                mp_context=get_context("spawn"),  # Arrow's and DuckDB's threads do not survive fork
                initializer=_leave_with_parent,
                initargs=(os.getpid(),),
            )
        try:
            yield from self._drain(self._executor, function, iter(tasks))
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
            done, running = wait(running, return_when=FIRST_COMPLETED)
            for future in done:
                yield future.result()
