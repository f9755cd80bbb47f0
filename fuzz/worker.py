"""The process in which inputs are read; another takes its place when it dies."""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
import time
import traceback
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from fuzz.guards import TooSlowError, Watch, resident_bytes

READ, REFUSED, FOUND = "read", "refused", "found"

PACKAGE = Path(__file__).resolve().parents[1] / "curate"


@dataclass
class Outcome:
    """What became of one input.

    Attributes:
        kind: :data:`READ`, :data:`REFUSED` or :data:`FOUND`.
        what: The kind of find: the same for the same fault; "" for none.
        detail: More of it, for people.
        seconds: How long it took.
        passed: Whether it got past the parser: it was read, or a plain parser takes it.
    """

    kind: str
    what: str = ""
    detail: str = ""
    seconds: float = 0.0
    passed: bool = False


@dataclass
class Tally:
    """What became of many inputs of one reader."""

    inputs: int = 0
    read: int = 0
    refused: int = 0
    passed: int = 0
    seconds: float = 0.0
    slowest: float = 0.0
    finds: list[tuple[int, str, str]] = field(default_factory=list)

    def add(self, number: int, outcome: Outcome) -> None:
        """Count one input."""
        self.inputs += 1
        self.read += outcome.kind == READ
        self.refused += outcome.kind == REFUSED
        self.passed += outcome.passed
        self.seconds += outcome.seconds
        self.slowest = max(self.slowest, outcome.seconds)
        if outcome.kind == FOUND:
            self.finds.append((number, outcome.what, outcome.detail))


def run_one(reader: Any, number: int, scratch: Path, watch: Watch) -> Outcome:
    """Read one input and say what became of it."""
    from fuzz.inputs import make_input, remove_input

    given, is_syntax_right = make_input(reader, number, scratch)
    started = time.perf_counter()
    outcome = Outcome(READ)
    try:
        with watch.watching():
            try:
                reader.read(given)
            except BaseException as error:
                outcome = _outcome_of(error)
    except TooSlowError:
        outcome = Outcome(FOUND, "too slow", "over 20 s")
    outcome.seconds = time.perf_counter() - started
    outcome.passed = outcome.kind == READ or is_syntax_right
    if watch.found and outcome.kind != FOUND:
        outcome.kind, outcome.what = FOUND, _general(watch.found[0])
        outcome.detail = "; ".join(watch.found)[:500]
    remove_input(given)
    return outcome


def _general(text: str) -> str:
    return "".join("#" if c.isdigit() else c for c in text)[:100]


def _outcome_of(error: BaseException) -> Outcome:
    from curate.errors import CurateError
    from fuzz.checks import WrongSuccess

    if isinstance(error, CurateError):
        text = str(error)
        if "\n" in text or len(text) > 3000:
            return Outcome(FOUND, f"no sentence at {_place(error)}", repr(text)[:300])
        return Outcome(REFUSED)
    if isinstance(error, TooSlowError):
        return Outcome(FOUND, f"too slow at {_place(error)}", _trace(error))
    if isinstance(error, WrongSuccess):
        return Outcome(FOUND, f"wrong: {_general(str(error).split(': ')[-1])}", str(error)[:500])
    if isinstance(error, OSError) and error.strerror:
        return Outcome(REFUSED)  # the command line says it in one sentence
    if isinstance(error, KeyboardInterrupt):
        raise error
    return Outcome(FOUND, f"{type(error).__name__} at {_place(error)}", _trace(error))


def _place(error: BaseException) -> str:
    """Return where in curate an error was raised, or went through last."""
    frames = traceback.extract_tb(error.__traceback__)
    own = [one for one in frames if one.filename.startswith(str(PACKAGE))]
    if not own:
        own = frames[-1:]
    return f"{Path(own[-1].filename).name}:{own[-1].lineno} {own[-1].name}" if own else "nowhere"


def _trace(error: BaseException) -> str:
    return "".join(traceback.format_exception(error))[-1500:]


def main(connection: Connection, now: Any, name: str) -> None:
    """Read inputs as asked until there is nothing more asked.

    Args:
        connection: Gives (reader, first number, seconds, most inputs), takes a :class:`Tally`.
        now: Shared: the number that is read now, for whoever finds this process dead.
        name: Of the folder for all it writes.
    """
    scratch = Path(tempfile.mkdtemp(prefix=f"{name}-", dir=_fast_folder()))
    os.environ["TMPDIR"] = tempfile.tempdir = str(scratch)
    try:
        _serve(connection, now, scratch)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def _serve(connection: Connection, now: Any, scratch: Path) -> None:
    errors = (scratch / "stderr").open("wb")
    os.dup2(errors.fileno(), 2)
    sys.stderr = open(2, "w", closefd=False)  # noqa: SIM115 - for the rest of the process
    watch = Watch(scratch)
    watch.start()
    warm: set[str] = set()
    while (asked := connection.recv()) is not None:
        try:
            connection.send((_turn(asked, warm, now, scratch, watch), resident_bytes()))
        except Exception:  # of this harness: it is mended, not counted
            connection.send((traceback.format_exc(), 0))


def _turn(asked: Any, warm: set[str], now: Any, scratch: Path, watch: Watch) -> Tally:
    from fuzz.readers import BY_NAME

    name, first, seconds, most = asked
    reader, tally = BY_NAME[name], Tally()
    if name not in warm:
        _warm_up(reader, scratch)
        warm.add(name)
    ends = time.monotonic() + seconds
    while time.monotonic() < ends and tally.inputs < most:
        number = first + tally.inputs
        now.value = number
        tally.add(number, run_one(reader, number, scratch, watch))
    return tally


def _warm_up(reader: Any, scratch: Path) -> None:
    """Read every seed as it is, so that all is imported and compiled; each has to be read."""
    from fuzz.inputs import make_seed, remove_input

    for number in range(len(reader.seeds())):
        given = make_seed(reader, number, scratch)
        reader.read(given)
        remove_input(given)


def _fast_folder() -> str | None:
    return "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
