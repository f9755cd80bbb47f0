"""Readers take turns in a worker process; what became of the inputs is kept between runs."""

from __future__ import annotations

import json
import multiprocessing
import shutil
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from fuzz import worker
from fuzz.guards import SECONDS, Watch
from fuzz.worker import Tally

TURN_S = 5.0
"""How long a reader's turn is."""

_TIRED_BYTES = 2 << 30
"""A worker that has grown to this is replaced."""

_EXAMPLES = 3
"""How many inputs of one kind of find are kept."""

_COUNTED = ("inputs", "read", "refused", "passed", "seconds", "slowest")


@dataclass
class State:
    """What became of all inputs so far, by reader.

    Attributes:
        folder: Where it is kept: ``state.json``, and a file a find in ``finds``.
        counts: By reader: the fields of :class:`Tally` that count.
        finds: By reader and kind: the numbers of the first inputs, and how many there were.
    """

    folder: Path
    counts: dict[str, dict[str, float]] = field(default_factory=dict)
    finds: dict[str, dict[str, Any]] = field(default_factory=dict)

    @classmethod
    def load(cls, folder: Path) -> State:
        """Return what was kept in a folder; nothing where it is new."""
        path = folder / "state.json"
        kept = json.loads(path.read_bytes()) if path.exists() else {}
        return cls(folder, kept.get("counts", {}), kept.get("finds", {}))

    def save(self) -> None:
        """Keep it; whole or not at all."""
        self.folder.mkdir(parents=True, exist_ok=True)
        text = json.dumps({"counts": self.counts, "finds": self.finds}, indent=1)
        part = self.folder / "state.json.part"
        part.write_text(text)
        part.replace(self.folder / "state.json")

    def next_number(self, reader: str) -> int:
        """Return the number of a reader's next input."""
        return int(self.counts.get(reader, {}).get("inputs", 0))

    def add(self, reader: str, tally: Tally) -> None:
        """Count a turn."""
        counts = self.counts.setdefault(reader, dict.fromkeys(_COUNTED, 0))
        for name in _COUNTED[:-1]:
            counts[name] += getattr(tally, name)
        counts["slowest"] = max(counts["slowest"], tally.slowest)
        for number, what, detail in tally.finds:
            self.add_find(reader, number, what, detail)

    def add_find(self, reader: str, number: int, what: str, detail: str) -> None:
        """Keep a find: the number that makes its input, and what it was."""
        key = f"{reader}: {what}"
        find = self.finds.setdefault(key, {"count": 0, "numbers": [], "detail": detail})
        find["count"] += 1
        if len(find["numbers"]) < _EXAMPLES:
            find["numbers"].append(number)
            print(f"found: {reader}:{number} {what}", flush=True)


class Worker:
    """A worker process, replaced when it dies or hangs."""

    def __init__(self) -> None:
        self._context = multiprocessing.get_context("spawn")
        self._process: Any = None

    def turn(self, reader: str, first: int, seconds: float, most: int = 1 << 40) -> Tally:
        """Let it read inputs for some time."""
        if self._process is None or not self._process.is_alive():
            self._start()
        self._connection.send((reader, first, seconds, most))
        last, since = -1, time.monotonic() + 60  # the first seeds of a reader take a while
        while not self._connection.poll(0.5):
            if self._now.value != last:
                last, since = self._now.value, time.monotonic() + 60 * (last < 0)
            hangs = time.monotonic() - since > 2 * SECONDS
            if hangs or not self._process.is_alive():
                return self._died(first, hangs)
        try:
            tally, size = self._connection.recv()
        except EOFError:
            return self._died(first, False)
        if not isinstance(tally, Tally):
            raise RuntimeError(f"the harness fails on {reader}:{self._now.value}\n{tally}")
        if size > _TIRED_BYTES:
            self.close()
        return tally

    def _start(self) -> None:
        self._connection, theirs = self._context.Pipe()
        self._now = self._context.Value("q", -1)
        arguments = (theirs, self._now, "curate-fuzz")
        self._process = self._context.Process(target=worker.main, args=arguments, daemon=True)
        self._process.start()
        theirs.close()

    def _died(self, first: int, hangs: bool) -> Tally:
        """Count the turn of a worker that is dead, up to the input that killed it."""
        number = max(int(self._now.value), first)
        code = self._process.exitcode
        self._process.kill()
        self._process.join()
        what = "hangs" if hangs else f"the process dies ({code})"
        self._process = None
        return Tally(inputs=number - first + 1, finds=[(number, what, "")])

    def close(self) -> None:
        """Let the process end."""
        if self._process is not None and self._process.is_alive():
            self._connection.send(None)
            self._process.join(30)
            if self._process.is_alive():
                self._process.kill()
        self._process = None


def run(state: State, seconds: float, only: list[str] | None = None) -> None:
    """Let all readers take turns for some time."""
    from fuzz.readers import BY_NAME

    names = list(only or BY_NAME)
    ends = time.monotonic() + seconds
    at, turn = Worker(), min(TURN_S, max(0.5, seconds / len(names)))
    try:
        while time.monotonic() < ends:
            name = min(names, key=lambda one: state.counts.get(one, {}).get("seconds", 0))
            left = ends - time.monotonic()
            state.add(name, at.turn(name, state.next_number(name), max(0.1, min(turn, left))))
            state.save()
    finally:
        at.close()


def table_of(state: State) -> str:
    """Return what became of the inputs, a line a reader."""
    lines = [
        f"{'reader':22}{'inputs':>9}{'read':>8}{'refused':>9}{'past parser':>13}{'a second':>10}"
    ]
    total = dict.fromkeys(_COUNTED, 0.0)
    for name, counts in state.counts.items():
        lines.append(_line(name, counts))
        for key in _COUNTED:
            total[key] += counts[key]
    lines.append(_line("all", total))
    lines += [f"{one['count']:6} x {key} {one['numbers']}" for key, one in state.finds.items()]
    return "\n".join(lines)


def _line(name: str, counts: dict[str, float]) -> str:
    inputs = max(1.0, counts["inputs"])
    return (
        f"{name:22}{int(counts['inputs']):9,}{counts['read'] / inputs:8.0%}"
        f"{counts['refused'] / inputs:9.0%}{counts['passed'] / inputs:13.0%}"
        f"{inputs / max(1e-9, counts['seconds']):10.0f}"
    )


def run_again(which: str, keep: Path | None) -> int:
    """Read one input again in this process, and print what becomes of it."""
    from fuzz.inputs import make_input
    from fuzz.readers import BY_NAME

    name, _, number = which.rpartition(":")
    scratch = Path(tempfile.mkdtemp(prefix="curate-fuzz-"))
    tempfile.tempdir = str(scratch)
    try:
        if keep is not None:
            given, _ = make_input(BY_NAME[name], int(number), keep)
            print(given.path)
        watch = Watch(scratch)
        watch.start()
        outcome = worker.run_one(BY_NAME[name], int(number), scratch, watch)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    print(outcome.kind, outcome.what, outcome.detail, sep="\n")
    return int(outcome.kind == worker.FOUND)
