"""Writing that is killed, or whose disk is full, at any moment leaves nothing half written."""

from __future__ import annotations

import errno
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from drawn_decisions import Source, decide_all_sorts, default_label, hand_in
from mask_files import tree

import curate
from curate.common import files
from curate.errors import AuditError

NAMES = ("coco", "yolo")
"""A single file and a folder of many."""


def content(path: Path) -> dict[str, bytes]:
    return tree(path) if path.is_dir() else {"": path.read_bytes()}


@dataclass
class Job:
    """A dataset with decisions, and what must be written of it.

    Attributes:
        source: The dataset.
        audit: Its audit, with decisions.
        folder: Where it is written; empty before and after.
        right: What must be there, once it is there.
        rows: The provenance.
    """

    source: Source
    audit: Path
    folder: Path
    right: dict[str, bytes]
    rows: list[dict[str, Any]]

    @property
    def out(self) -> Path:
        return self.folder / "out"

    @property
    def category(self) -> str:
        return str(default_label(self.source.kind))

    @property
    def arguments(self) -> list[str]:
        return ["write", str(self.audit), "--out", str(self.out), "--category", self.category]

    def write(self) -> None:
        curate.write(self.audit, self.out, category=self.category)

    def check_all_or_nothing(self, before: dict[str, bytes]) -> None:
        """What stands at its place is right; the source is as it was."""
        if self.out.exists():
            self.check_done()
        assert content(self.source.path) == before

    def check_done(self) -> None:
        assert content(self.out) == self.right
        note = self.out.with_name("out.provenance.parquet")
        assert pq.read_table(note).to_pylist() == self.rows

    def check_only_that_is_there(self) -> None:
        assert {p.name for p in self.folder.iterdir()} == {"out", "out.provenance.parquet"}

    def clear(self) -> None:
        for path in self.folder.iterdir():
            if path.name.startswith("out"):
                shutil.rmtree(path) if path.is_dir() else path.unlink()


@pytest.fixture(scope="module", params=NAMES)
def one_job(
    request: pytest.FixtureRequest,
    prepared: Callable[[str], Source],
    tmp_path_factory: pytest.TempPathFactory,
) -> Job:
    source, folder = prepared(request.param), tmp_path_factory.mktemp("job")
    shutil.copytree(source.audit, folder / "audit")
    hand_in(source, folder / "audit", decide_all_sorts(source))
    made = Job(source, folder / "audit", folder / "written", {}, [])
    made.write()
    made.right = content(made.out)
    made.rows = pq.read_table(made.out.with_name("out.provenance.parquet")).to_pylist()
    return made


@pytest.fixture
def job(one_job: Job) -> Job:
    shutil.rmtree(one_job.folder)
    one_job.folder.mkdir()
    return one_job


# --- killed --------------------------------------------------------------------------------------


class Server:
    """Runs ``curate write`` in children that can be killed; see write_server.py."""

    def __init__(self, job: Job) -> None:
        script = str(Path(__file__).with_name("write_server.py"))
        command = [sys.executable, script, str(job.source.path), str(job.audit)]
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        assert self._line() == "ready"

    def run(
        self,
        arguments: list[str],
        limit: int | None = None,
        kill_at: int | None = None,
        kill_after: float | None = None,
    ) -> tuple[int, str]:
        """Run it; return its exit status and the last line that it said."""
        assert self.process.stdin
        self.process.stdin.write(json.dumps([limit, kill_at, kill_after, *arguments]) + "\n")
        self.process.stdin.flush()
        status, said = json.loads(self._line())
        return status, said

    def _line(self) -> str:
        assert self.process.stdout
        return self.process.stdout.readline().strip()

    def close(self) -> None:
        assert self.process.stdin
        assert self.process.stdout
        self.process.stdin.close()
        self.process.stdout.close()
        self.process.wait(30)


@pytest.fixture(scope="module")
def server(one_job: Job) -> Iterator[Server]:
    made = Server(one_job)
    yield made
    made.close()


def kill_at_random(job: Job, server: Server, kills: int) -> None:
    """Kill it at random moments, then let it end; what dead ones left is in the way of each.

    Half of the kills come at a random operation on files, so they hit the writing itself.
    """
    chance = random.Random(0)
    before = content(job.source.path)
    started = time.monotonic()
    status, operations = server.run(job.arguments, kill_at=0)
    assert status == 0
    whole = time.monotonic() - started
    job.check_done()
    ends: list[int] = []
    halfway = 0
    for number in range(kills):
        job.clear()
        (job.audit / "people.parquet").unlink(missing_ok=True)
        if number % 2:
            ends.append(server.run(job.arguments, kill_at=chance.randint(1, int(operations)))[0])
        else:
            moment = chance.uniform(0.001, whole)
            ends.append(server.run(job.arguments, kill_after=moment)[0])
        halfway += number % 2 and ends[-1] == -signal.SIGKILL
        job.check_all_or_nothing(before)
    assert set(ends) <= {-signal.SIGKILL, -signal.SIGALRM, 0}
    assert kills - ends.count(0) >= kills / 2  # those at a moment may come too late
    assert halfway == kills // 2
    if job.out.exists():
        job.clear()
    # Where only the provenance got its name, it is made anew.
    assert server.run(job.arguments)[0] == 0
    job.check_done()
    job.check_only_that_is_there()


def test_killed_at_random_moments(job: Job, server: Server) -> None:
    kill_at_random(job, server, 4)


@pytest.mark.slow
def test_killed_at_a_hundred_random_moments(job: Job, server: Server) -> None:
    kill_at_random(job, server, 100)


def test_no_room_for_files_of_some_size(job: Job, server: Server) -> None:
    """The system refuses to write beyond a limit, whoever writes: this, Arrow or SQLite."""
    before = content(job.source.path)
    largest = max(len(data) for data in job.right.values())
    for limit in (0, 100, largest - 1):
        status, said = server.run(job.arguments, limit)
        assert (status, said[:7]) == (2, "error: "), said
        assert not list(job.folder.iterdir())
        job.check_all_or_nothing(before)
    assert server.run(job.arguments)[0] == 0
    job.check_done()
    job.check_only_that_is_there()


# --- full disks ----------------------------------------------------------------------------------


class FullDisk:
    """Lets the k-th call that writes into a folder fail as on a full disk.

    Args:
        folder: The folder.
        at: Which call fails; 0 for none.

    Attributes:
        calls: How many there were.
    """

    def __init__(self, folder: Path, at: int) -> None:
        self.folder, self.at, self.calls = str(folder), at, 0

    def __call__(self, operation: str, path: Path) -> None:
        if operation in ("unlink", "rmdir") or not str(path).startswith(self.folder):
            return
        self.calls += 1
        if self.calls == self.at:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))


@pytest.mark.slow  # make test draws from the same faults in tests/faults
def test_a_full_disk_at_every_step(job: Job) -> None:
    before = content(job.source.path)
    step, steps = 1, 1
    while step <= steps:
        disk = FullDisk(job.folder, step)
        with pytest.MonkeyPatch.context() as patched:
            patched.setattr(files, "_hook", disk)
            with pytest.raises(AuditError) as refused:
                job.write()
        assert refused.value.where.removesuffix(".provenance.parquet") == str(job.out), step
        assert "no space left on device" in refused.value.what
        assert "room on the disk" in refused.value.do
        assert not list(job.folder.iterdir()), step
        job.check_all_or_nothing(before)
        if steps == 1:
            disk = FullDisk(job.folder, 0)
            with pytest.MonkeyPatch.context() as patched:
                patched.setattr(files, "_hook", disk)
                job.write()
            job.check_done()
            job.clear()
            steps = disk.calls
        step += 1
    assert steps > 6
    job.write()
    job.check_done()
    job.check_only_that_is_there()
