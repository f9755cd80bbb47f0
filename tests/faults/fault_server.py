"""The process that runs a case's functions in children; see ``fault_harness.py``.

It reads a line for each child, [what, folder, fault, operation], and writes the child's exit
status; what else the child has to say it leaves in a file.
"""

from __future__ import annotations

import errno
import gc
import json
import os
import pickle
import shutil
import signal
import sqlite3
import sys
import traceback
import warnings
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent), str(HERE.parent / "formats"), str(HERE.parents[1])]

import fault_harness as harness  # noqa: E402

from curate.common import files  # noqa: E402
from curate.common.garbage_collection import relax_collector  # noqa: E402
from curate.errors import CurateError  # noqa: E402

CODES = {
    harness.FULL: (errno.ENOSPC, sqlite3.SQLITE_FULL, "database or disk is full"),
    harness.DENIED: (errno.EACCES, sqlite3.SQLITE_CANTOPEN, "unable to open database file"),
    harness.BROKEN: (errno.EIO, sqlite3.SQLITE_IOERR, "disk I/O error"),
}
SOME_BYTES = 64


class Disturbance:
    """The hook: counts operations, and lets one of them fail."""

    def __init__(self, fault: str, at: int) -> None:
        self.fault, self.at = fault, at
        self.operations: list[tuple[str, str]] = []

    def __call__(self, operation: str, path: Path) -> int | None:
        self.operations.append((operation, str(path)))
        count, fault = len(self.operations), self.fault
        if fault in (harness.SHORT, harness.TORN):
            if count == self.at:
                return SOME_BYTES
            if count > self.at:
                fault = harness.FULL if fault == harness.SHORT else harness.KILL
        elif count < self.at:
            return None
        if fault == harness.KILL and count >= self.at:
            os._exit(harness.KILLED)
        if fault == harness.FULL and count >= self.at and operation in harness.GROWS:
            self.fail(fault, operation, path)
        if fault in (harness.DENIED, harness.BROKEN) and count == self.at:
            self.fail(fault, operation, path)
        return None

    def fail(self, fault: str, operation: str, path: Path) -> None:
        number, code, text = CODES[fault]
        if path.suffix == ".sqlite" and operation in ("open", "commit"):
            error = sqlite3.OperationalError(text)
            error.sqlite_errorcode = code
            raise error
        raise OSError(number, os.strerror(number), str(path))


def check_whole(folder: Path) -> None:
    """Read every visible file of a known kind, outside work folders."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    for path in sorted(folder.rglob("*")):
        parts = path.relative_to(folder).parts
        if not path.is_file() or "work" in parts or any(p.startswith(".") for p in parts):
            continue
        try:
            if path.suffix == ".parquet":
                pq.read_table(path)
            elif path.suffix == ".arrow":
                with pa.memory_map(str(path)) as file:
                    pa.ipc.open_file(file).read_all()
            elif path.suffix == ".json":
                json.loads(path.read_bytes())
            elif path.suffix == ".html":
                assert path.read_bytes().rstrip().endswith(b"</html>")
        except Exception as error:
            raise AssertionError(f"{'/'.join(parts)} is not whole: {error}") from error


def act(case: harness.Case, what: str, folder: Path, hook: Disturbance | None) -> harness.Outcome:
    """Do it in this process."""
    said = ""
    try:
        with warnings.catch_warnings(record=True):
            warnings.simplefilter("always")
            if what == "prepare":
                case.prepare(folder)
                return harness.Outcome(0)
            if what == "run":
                files._hook = hook
                case.run(folder)
                files._hook = None
        if what == "see":
            check_whole(folder)
        return harness.Outcome(0, said, case.result(folder))
    except CurateError as error:
        return harness.Outcome(2, str(error))
    except Exception:
        return harness.Outcome(3, traceback.format_exc()[-700:])


LONGEST_S = 300


def child(case: harness.Case, home: Path, what: str, folder: str, fault: str, at: int) -> int:
    pid = os.fork()
    if pid:
        return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    status = 99
    signal.alarm(LONGEST_S)  # what hangs is a failure, and not the end of the test run
    try:
        hook = Disturbance(fault, at) if fault else Disturbance("", sys.maxsize)
        made = act(case, what, Path(folder), hook)
        files._hook = None
        made.operations = hook.operations
        (home / "answer.part").write_bytes(pickle.dumps(made))
        os.replace(home / "answer.part", home / "answer")
        status = made.status
    finally:
        os._exit(status)


def warm_up(case: harness.Case, home: Path) -> None:
    """Warm the case up in this process, so that kernels are loaded."""
    folder = home / "warm"
    folder.mkdir()
    with warnings.catch_warnings(record=True):
        case.warm_up(folder)
    shutil.rmtree(folder)


def main() -> None:
    module, name, home = Path(sys.argv[1]), sys.argv[2], Path(sys.argv[3])
    answers = os.dup(1)
    os.dup2(2, 1)  # what a verb prints is no answer
    case = harness.load_case(module, name)
    warm_up(case, home)
    gc.freeze()  # no child's collector walks over what is loaded, and copies its pages
    relax_collector()
    for line in sys.stdin:
        request: list[Any] = json.loads(line)
        status = child(case, home, *request)
        os.write(answers, f"{json.dumps(status)}\n".encode())


if __name__ == "__main__":
    main()
