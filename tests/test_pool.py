"""Workers: results, errors, and no process left behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from waiting import until

from curate.common.pool import Pool
from curate.errors import CurateError


def double(x: int) -> int:
    return 2 * x


def fail(x: int) -> int:
    raise CurateError(f"task {x} fails", "here", "do that")


def die(x: int) -> int:
    os._exit(x)


def runs(pid: int) -> bool:
    """Whether a process is there and is not just waiting for its end to be noticed."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    stat = Path(f"/proc/{pid}/stat")
    return not stat.exists() or stat.read_text().rpartition(")")[2].split()[0] != "Z"


@pytest.mark.parametrize("workers", [1, 2])
def test_results_and_errors(workers: int) -> None:
    with Pool(workers) as pool:
        assert sorted(pool.run(double, ((x,) for x in range(20)))) == list(range(0, 40, 2))
        assert list(pool.run(double, [])) == []
        with pytest.raises(CurateError, match="here: task 3 fails; do that"):
            list(pool.run(fail, [(3,)]))


def test_a_killed_worker_is_told() -> None:
    with Pool(2) as pool, pytest.raises(CurateError, match="a worker process was killed"):
        list(pool.run(die, [(9,)]))


def test_workers_leave_with_their_parent(tmp_path: Path) -> None:
    script = tmp_path / "parent.py"
    script.write_text(
        "import os, sys\n"
        "from curate.common.pool import Pool\n"
        "if __name__ == '__main__':\n"
        "    with Pool(2) as pool:\n"
        "        for pid in pool.run(os.getpid, [() for _ in range(4)]):\n"
        "            print(pid, flush=True)\n"
        "        print('end', flush=True)\n"
        "        sys.stdin.read()\n"
    )
    piped = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with subprocess.Popen([sys.executable, script], text=True, **piped) as parent:
        assert parent.stdout is not None
        pids = {int(line) for line in iter(parent.stdout.readline, "end\n")}
        parent.send_signal(signal.SIGKILL)
    until(lambda: not any(map(runs, pids)), "the workers to end", 20)


INTERRUPTED = """
import os, signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)  # ignored in what runs in the background
import curate; from curate import cli
from curate.common.pool import Pool

def work():
    print("working", flush=True)
    signal.alarm(60)
    signal.pause()

def version(*_, **__):
    with Pool(2) as pool:
        list(pool.run(work, [(), ()]))

if __name__ == "__main__":
    curate.version = version
    sys.argv = ["curate", "version", __file__]
    cli.main()
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=lambda one: one.name)
def test_stopping_ends_workers_at_once_and_without_a_traceback(
    tmp_path: Path, number: signal.Signals
) -> None:
    """A terminal sends it to all processes of the group."""
    script = tmp_path / "parent.py"
    script.write_text(INTERRUPTED)
    with subprocess.Popen(
        [sys.executable, script],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as parent:
        assert parent.stdout is not None
        assert [parent.stdout.readline() for _ in range(2)] == ["working\n"] * 2
        os.killpg(parent.pid, number)
        _, said = parent.communicate(timeout=150)
    assert parent.returncode == 128 + number
    assert said == "stopped; nothing was changed\n"
