"""Batches that are read in threads, one ahead of the one that is trained on."""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import pairwise
from typing import TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")

READER_THREADS = 4
"""Threads that decode pictures."""


def read_batches(
    items: Sequence[Item], size: int, read: Callable[[Item], Result]
) -> Generator[list[Result], None, None]:
    """Yield results of a function for all items, in batches; the next batch is read meanwhile.

    Args:
        items: In the order in which they are wanted.
        size: Items a batch.
        read: Called in one of several threads.
    """
    bounds = [*range(0, len(items), size), len(items)]
    with ThreadPoolExecutor(READER_THREADS) as readers:
        waiting: list[list[Future[Result]]] = []
        for first, stop in pairwise(bounds):
            waiting.append([readers.submit(read, item) for item in items[first:stop]])
            if len(waiting) > 1:
                yield [future.result() for future in waiting.pop(0)]
        for batch in waiting:
            yield [future.result() for future in batch]
