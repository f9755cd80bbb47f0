"""Progress of long work on stderr: a bar in a terminal, a line now and then elsewhere."""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass

Progress = Callable[[str, float, int, int], None]
"""Called with (stage, parts done, parts in all, masks just done).

Of a part that is at work the done share may count. No part in all: nobody knows yet how many.
"""

FIRST_S, EVERY_S = 1.0, 5.0
"""Where there is no terminal: seconds from a stage's beginning to its first line, and from line to
line. A pace is known after the former."""

_FASTEST = 1e-3


@dataclass
class StageProgress:
    """Progress of one stage since it began here: what was done before is no measure of its pace.

    Attributes:
        began: When, in seconds.
        first: Parts that were done by then.
        done: Parts that are done.
        total: Parts in all.
        masks: Masks done since it began.
        started: Whether a line has said that it began.
    """

    began: float
    first: float
    done: float
    total: int
    masks: int = 0
    started: bool = False

    def add(self, done: float, total: int, masks: int) -> None:
        """Note what is done by now."""
        self.done, self.total = max(self.done, done), total
        self.masks += masks

    @property
    def share(self) -> float:
        """Share of the stage that is done, in [0, 1]."""
        return min(self.done / self.total, 1.0) if self.total else 0.0

    def left_s(self, now: float) -> float | None:
        """Return the seconds left at the pace so far; None where there is no pace yet, or no rest.

        The first moments of a stage load and compile things, and say nothing of its pace.
        """
        did, rest, passed = self.done - self.first, self.total - self.done, now - self.began
        return passed / did * rest if did > 0 and rest > 0 and passed >= FIRST_S else None

    def text(self, now: float) -> str:
        """Return masks, pace and time left in at most 45 columns."""
        said = []
        if self.masks:
            pace = self.masks / max(now - self.began, _FASTEST)
            said += [f"{self.masks:,} masks", f"{pace:,.0f}/s"]
        elif self.total > 1 and self.done:
            said.append(f"{self.share:.0%}")
        left = self.left_s(now)
        if left is not None:
            said.append(f"{duration_text(left)} left")
        return ", ".join(said)


def duration_text(seconds: float) -> str:
    """Return a duration as people say it: "12 s", "3 min 20 s", "2 h 5 min"."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"


@dataclass
class MaskCounter:
    """Counts the masks of a stage as they are done.

    Attributes:
        progress: What is called with progress; None for nobody.
        stage: Name of the stage.
        total: Masks in all; 0 where nobody knows yet how many.
        done: Masks that are done.
    """

    progress: Progress | None
    stage: str
    total: int = 0
    done: int = 0

    def add(self, masks: int) -> None:
        """Note how many more masks are done; 0 to say that the stage begins."""
        self.done += masks
        if self.progress is not None:
            self.progress(self.stage, self.done, self.total, masks)


COMPILING = "compiling, once in this environment: about a minute"
"""Stage of the first run: kernels are compiled and kept."""


@contextmanager
def show_progress(*, compiling: bool = True, at_once: bool = True) -> Iterator[Progress]:
    """Show progress on stderr: a bar in a terminal, a line now and then elsewhere.

    Args:
        compiling: Whether it is said that kernels are compiled first.
        at_once: Whether the bar stands from the beginning; else from the first call, before which
            other text may be printed.
    """
    if not sys.stderr.isatty() or os.environ.get("TERM") == "dumb":
        with _watched(PlainProgress(compiling=compiling)) as plain:
            yield plain
        return
    # Loaded here: a refusal, or a run without a terminal, shows no bar.
    from rich import console, progress

    columns = (
        progress.TextColumn("{task.description}"),
        progress.BarColumn(14),
        progress.TextColumn("{task.fields[said]}"),
        progress.TimeElapsedColumn(),
    )
    stderr = console.Console(stderr=True)
    bar = progress.Progress(*columns, console=stderr, transient=True)
    waiting: list[progress.TaskID] = []
    with ExitStack() as running:
        if at_once:
            waiting.append(bar.add_task("reading", total=None, said=""))
            running.enter_context(bar)
        tasks: dict[str, progress.TaskID] = {}
        stages: dict[str, StageProgress] = {}

        def show(stage: str, done: float, total: int, masks: int) -> None:
            if stage == COMPILING:
                if compiling:
                    bar.console.print(stage)  # a line that stays: the bar says what goes on
                return
            now = time.monotonic()
            if not bar.live.is_started:
                running.enter_context(bar)
            while waiting:
                bar.remove_task(waiting.pop())
            if stage not in tasks:
                tasks[stage] = bar.add_task(stage, total=total or None, said="")
                stages[stage] = StageProgress(now, done, done, total)
            stages[stage].add(done, total, masks)
            said = stages[stage].text(now)
            bar.update(tasks[stage], completed=done, total=total or None, said=said)

        yield show


class PlainProgress:
    """Lines on stderr: that a stage has started, then now and then how far it is.

    Args:
        clock: Seconds that go on.
        compiling: Whether it is said that kernels are compiled first.
    """

    def __init__(
        self, clock: Callable[[], float] = time.monotonic, *, compiling: bool = True
    ) -> None:
        self._clock, self._compiling = clock, compiling
        self._stages: dict[str, StageProgress] = {}
        self._stage = ""
        self._due = 0.0
        self._lock = threading.Lock()

    def __call__(self, stage: str, done: float, total: int, masks: int) -> None:
        """Note what is done by now, and say so where it is time; a :data:`Progress`."""
        if stage == COMPILING:
            if self._compiling:  # at once: nothing else is heard for as long
                print(stage, file=sys.stderr, flush=True)
            return
        with self._lock:
            self._stage, now = stage, self._clock()
            one = self._stages.setdefault(stage, StageProgress(now, done, done, total))
            one.add(done, total, masks)
            self._say(one, one.text(now), now)

    def say_started(self) -> None:
        """Say that a stage has started of which nothing is done :data:`EVERY_S` after it began."""
        with self._lock:
            one = self._stages.get(self._stage)
            if one is None or one.masks or one.done > one.first or one.share == 1:
                return
            now = self._clock()
            if not one.started and now >= one.began + EVERY_S:
                self._say(one, "started", now)

    def _say(self, one: StageProgress, words: str, now: float) -> None:
        if words and now >= max(self._due, one.began + FIRST_S):
            one.started, self._due = True, now + EVERY_S
            print(f"{self._stage}: {words}", file=sys.stderr, flush=True)


@contextmanager
def _watched(plain: PlainProgress) -> Iterator[PlainProgress]:
    """Let a thread say that a stage has started: its first news may be minutes away."""
    ended = threading.Event()

    def watch() -> None:
        while not ended.wait(FIRST_S / 4):
            with suppress(OSError, ValueError):  # nobody reads it any more
                plain.say_started()

    watching = threading.Thread(target=watch, name="progress", daemon=True)
    watching.start()
    try:
        yield plain
    finally:
        ended.set()
        watching.join()
