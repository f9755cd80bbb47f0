"""A kill, a full or broken disk, missing rights: at operations of `audit` and `decide`."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Literal

import cases_audit
import pytest
from fault_harness import KILL, Server, check_some, wrong_points
from test_pipeline import write_sa1b

import curate
from curate.common import files
from curate.errors import AuditError


def test_a_fault_at_some_operations_is_harmless() -> None:
    check_some(cases_audit.__file__, "audit", 3)


def test_no_room_for_temporary_files_is_a_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_sa1b(tmp_path / "in", 1)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "gone"))
    with pytest.raises(AuditError, match=r"no folder for temporary files .* TMPDIR"):
        curate.read(tmp_path / "in")


def test_scratch_of_a_killed_process_goes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    files._sweep_scratch.cache_clear()
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    host = files.process_tag().rpartition("-")[0]
    for pid in (dead.pid, os.getppid()):
        (tmp_path / f"curate.{host}-{pid}-abc").mkdir()
    with files.scratch() as made:
        names = {path.name for path in tmp_path.iterdir()}
        assert names == {made.name, f"curate.{host}-{os.getppid()}-abc"}


def test_temporaries_of_whatever_run_go_but_those_of_one_at_work(tmp_path: Path) -> None:
    host, pid = files.process_tag().rsplit("-", 1)
    gone = [".part-000001.arrow.another-machine-7.tmp", f".part-000002.arrow.{host}-{pid}.tmp"]
    stays = f".part-000003.arrow.{host}-{os.getppid()}.tmp"
    for name in (*gone, stays, "part-000001.arrow"):
        (tmp_path / name).write_bytes(b"")
    files.remove_temporaries(tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {stays, "part-000001.arrow"}


@pytest.mark.parametrize("mode", ["wb", "xb", "r+b"])
def test_a_write_that_the_system_cuts_short_is_gone_on_with(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mode: Literal["wb", "xb", "r+b"]
) -> None:
    path, data = tmp_path / "file", os.urandom(1_000_000)
    if mode == "r+b":
        path.write_bytes(b"")
    monkeypatch.setattr(files, "_hook", lambda operation, _: 70_001)
    with files.open_file(path, mode) as file:
        for at in range(0, len(data), 9_999):
            file.write(data[at : at + 9_999])
    assert path.read_bytes() == data


def test_a_kill_while_renumbered_parts_take_their_places_is_harmless() -> None:
    """Each move but the first leaves new masks beside old images."""
    with Server(Path(cases_audit.__file__), "audit") as server:
        names = [path.rpartition("/")[2] for _, path in server.after.operations]
        switch = names.index("renumbered") + 1
        moves = [(KILL, at) for at in range(switch + 1, names.index("renumbered", switch) + 1)]
        assert len(moves) > 6
        assert not list(wrong_points(server, moves[1:3]))
