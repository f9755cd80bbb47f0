"""Two processes that would write into one directory: one does, the other says who is there."""

from __future__ import annotations

import errno
import fcntl
import json
import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from boxes import dataset

import curate
from curate.common import locks
from curate.common.locks import LOCK, find_holder, hold_directory
from curate.errors import AuditError
from curate.store.audit_files import write_info
from curate.store.audit_info import DECIDING, read_info
from curate.store.audit_records import EstimateRecord


@contextmanager
def held_by_another(folder: Path, doing: str = "audit") -> Iterator[int]:
    """Hold a folder in another process, whose number is given."""
    ready, tell = os.pipe()
    child = os.fork()
    if child == 0:
        with hold_directory(folder, doing):
            os.write(tell, b".")
            signal.pause()
    os.read(ready, 1)
    try:
        yield child
    finally:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        os.close(ready)
        os.close(tell)


@pytest.fixture(scope="module")
def audited(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("locks")
    (folder / "source.json").write_text(json.dumps(dataset()))
    curate.audit(folder / "source.json", folder / "audit")
    return folder


def test_one_process_holds_a_directory_and_the_other_says_who_does(tmp_path: Path) -> None:
    with held_by_another(tmp_path, "learn") as process:
        with pytest.raises(AuditError) as refused, hold_directory(tmp_path, "audit"):
            pass
        assert f"`curate learn`, process {process} on " in refused.value.what
        assert refused.value.where == str(tmp_path)
        owner = find_holder(tmp_path)
        assert owner is not None
        assert (owner.pid, owner.doing) == (process, "learn")
    assert find_holder(tmp_path) is None  # it was killed


def test_what_a_killed_process_left_is_taken_over_and_removed(tmp_path: Path) -> None:
    with held_by_another(tmp_path):
        pass
    assert (tmp_path / LOCK).exists()
    with hold_directory(tmp_path, "audit"):
        owner = find_holder(tmp_path)
        assert owner is not None
        assert owner.pid == os.getpid()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"host": 1}', b"\xff" * 9000])
def test_a_lock_with_any_content_is_taken_over(tmp_path: Path, content: bytes) -> None:
    (tmp_path / LOCK).write_bytes(content)
    assert find_holder(tmp_path) is None
    with hold_directory(tmp_path, "audit"):
        pass


def test_a_directory_that_was_made_for_nothing_goes_again(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="nothing"), hold_directory(tmp_path / "a", "audit"):
        raise ValueError("nothing")
    assert not (tmp_path / "a").exists()


def test_a_file_is_no_directory_to_hold(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with (
        pytest.raises(AuditError, match="it is a file"),
        hold_directory(tmp_path / "file", "audit"),
    ):
        pass


@pytest.mark.parametrize(
    ("host", "is_alive", "free"),
    [("this", False, True), ("this", True, False), ("other", False, False)],
)
def test_without_locks_of_the_system_the_owner_is_believed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, host: str, is_alive: bool, free: bool
) -> None:
    def no_locks(*_: Any) -> None:
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr(fcntl, "flock", no_locks)
    monkeypatch.setattr(locks.files, "is_alive", lambda pid: is_alive)
    here = locks.files.process_tag().rpartition("-")[0]
    said = {"host": here if host == "this" else "elsewhere", "pid": 999_999, "doing": "audit"}
    (tmp_path / LOCK).write_text(json.dumps(said | {"since": 0}))
    assert (find_holder(tmp_path) is None) == free
    if free:
        with hold_directory(tmp_path, "audit"):
            pass
        assert list(tmp_path.iterdir()) == []
    else:
        with (
            pytest.raises(AuditError, match="process 999999 on"),
            hold_directory(tmp_path, "audit"),
        ):
            pass


WRITERS: dict[str, Callable[[Path, Path], Any]] = {
    "audit": lambda audit, source: curate.audit(source, audit),
    "audit --restart": lambda audit, source: curate.audit(source, audit, restart=True),
    "decide": lambda audit, source: curate.decide(audit, policy="sa1b"),
    "learn": lambda audit, source: curate.learn(audit),
    "certify": lambda audit, source: curate.certify(audit),
    "estimate": lambda audit, source: curate.estimate(audit),
}


@pytest.mark.parametrize("verb", WRITERS)
def test_no_verb_writes_into_an_audit_that_another_process_is_writing(
    audited: Path, verb: str
) -> None:
    path = audited / "audit"
    before = {p: p.read_bytes() for p in path.rglob("*") if p.is_file()}
    with held_by_another(path, "decide") as process:
        writing = f"`curate decide`, process {process} on .* is writing"
        with pytest.raises(AuditError, match=writing):
            WRITERS[verb](path, audited / "source.json")
    (path / LOCK).unlink()
    assert {p: p.read_bytes() for p in path.rglob("*") if p.is_file()} == before


def test_who_reads_a_half_made_audit_hears_who_is_writing_it(audited: Path) -> None:
    path = audited / "audit"
    info = read_info(path)
    assert info is not None
    write_info(path, replace(info, state=DECIDING))
    with held_by_another(path, "decide"), pytest.raises(AuditError, match="is writing here"):
        curate.open_audit(path)
    with pytest.raises(AuditError, match="was interrupted"):
        curate.open_audit(path)
    write_info(path, info)


def test_nothing_is_written_from_a_plan_that_was_made_anew_meanwhile(
    audited: Path, tmp_path: Path
) -> None:
    opened = curate.open_audit(audited / "audit")
    opened.check_unchanged()
    estimate: EstimateRecord = {
        "confidence": 0.95,
        "masks": 10,
        "reviewed": 5,
        "unit": "mask",
        "intervals": {},
        "zero_failures": {},
        "notes": [],
    }
    write_info(opened.path, replace(opened.info, estimate=estimate))  # is no new plan
    opened.check_unchanged()
    curate.decide(opened.path, policy="sa1b")
    with pytest.MonkeyPatch.context() as changed:
        for module in ("writer", "pruning"):  # as if it was opened before
            changed.setattr(f"curate.writing.{module}.open_audit", lambda _: opened)
        for write in (
            lambda: curate.write(opened, tmp_path / "better.json", yes=True),
            lambda: curate.prune(opened, tmp_path / "pruned.json", yes=True),
        ):
            with pytest.raises(AuditError, match="decided anew while it was read"):
                write()
    assert list(tmp_path.iterdir()) == []
    curate.write(opened, tmp_path / "better.json", yes=True)  # opens it again
