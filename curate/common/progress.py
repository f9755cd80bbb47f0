"""Progress of long work on stderr: a bar in a terminal, a line now and then elsewhere."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

Progress = Callable[[str, int, int, int], None]
"""Called with (stage, parts done, parts in all, masks in the part just done)."""


@contextmanager
def show_progress() -> Iterator[Progress]:
    """Show progress on stderr: a bar in a terminal, a line now and then elsewhere."""
    if not sys.stderr.isatty():
        yield _plain_progress()
        return
    # Loaded here: a refusal, or a run without a terminal, shows no bar.
    from rich import console, progress

    columns = (
        progress.TextColumn("{task.description}"),
        progress.BarColumn(),
        progress.MofNCompleteColumn(),
        progress.TextColumn("{task.fields[rate]}"),
        progress.TimeRemainingColumn(),
    )
    stderr = console.Console(stderr=True)
    with progress.Progress(*columns, console=stderr, transient=True) as bar:
        tasks: dict[str, progress.TaskID] = {}
        masks: dict[str, int] = {}
        started = time.monotonic()

        def show(stage: str, done: int, total: int, count: int) -> None:
            if stage not in tasks:
                tasks[stage] = bar.add_task(stage, total=total, rate="")
            masks[stage] = masks.get(stage, 0) + count
            rate = masks[stage] / max(time.monotonic() - started, 1e-9)
            words = f"{rate:,.0f} masks/s" if masks[stage] else ""
            bar.update(tasks[stage], completed=done, total=total, rate=words)

        yield show


def _plain_progress(every: float = 5.0) -> Progress:
    started = time.monotonic()
    last = started
    masks = 0

    def show(stage: str, done: int, total: int, count: int) -> None:
        nonlocal last, masks
        masks += count
        now = time.monotonic()
        if now - last >= every and done:
            last = now
            left = (now - started) / done * (total - done)
            rate = f", {masks / (now - started):,.0f} masks/s" if masks else ""
            line = f"{stage}: {done} of {total} parts{rate}, about {left:.0f} s left"
            print(line, file=sys.stderr, flush=True)

    return show
