"""Runs ``curate write`` in children that can be killed, so that imports are paid once.

    python write_server.py SOURCE AUDIT

reads and looks through these first, so that all is loaded. Then it reads a JSON list a line: a
limit on the size of files in bytes (or null), the number of the operation on files at which the
child is killed (0: none, and at the end it says how many there were; or null), the seconds after
which it is killed (or null), and the arguments. It prints the child's exit status, negative where
it was killed, and the last line it said.
"""

from __future__ import annotations

import json
import os
import resource
import signal
import sys
import traceback
from contextlib import suppress

import curate
from curate import cli
from curate.common import files
from curate.errors import CurateError


class Counter:
    """Counts operations on files, and kills this process before one of them."""

    def __init__(self, kill_at: int) -> None:
        self.kill_at, self.count = kill_at, 0

    def __call__(self, operation: str, path: object) -> None:
        self.count += 1
        if self.count == self.kill_at:
            os.kill(os.getpid(), signal.SIGKILL)


def run(limit: int | None, kill_at: int | None, arguments: list[str]) -> int:
    """Run one command and return its exit code."""
    if kill_at is not None:
        files._hook = counter = Counter(kill_at)
        code = run(limit, None, arguments)
        print(counter.count)
        return code
    if limit is not None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
    sys.argv = ["curate", *arguments]
    try:
        cli.main()
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else int(end.code is not None)
    return 0


source, audit = sys.argv[1:]
curate.diff(source, source)
with suppress(CurateError):  # a format may ask for a category first
    curate.write(audit)
print("ready", flush=True)
for line in sys.stdin:
    limit, kill_at, kill_after, *arguments = json.loads(line)
    readable, writable = os.pipe()
    child = os.fork()
    if child == 0:
        code = 70
        try:
            for number in (1, 2):
                os.dup2(writable, number)
            if kill_after is not None:  # by a signal that nothing here catches
                signal.setitimer(signal.ITIMER_REAL, kill_after)
            code = run(limit, kill_at, arguments)
        except BaseException:
            traceback.print_exc()
            raise
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(code)
    os.close(writable)
    with open(readable, encoding="utf-8") as pipe:
        said = pipe.read().splitlines() or [""]
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    print(json.dumps([status, said[-1]]), flush=True)
