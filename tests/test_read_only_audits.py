"""An audit that lies where nothing can be written is read like any other."""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from counted_audit import counted
from typer.testing import CliRunner

import curate
from curate.cli.commands import app
from curate.common import files
from curate.errors import CallError, CurateError
from curate.people.reviews import open_reviews
from curate.store.audit import StoredAudit
from curate.store.people_overlay import PEOPLE

__all__ = ["counted"]

pytestmark = pytest.mark.usefixtures("with_report")


@pytest.fixture(params=["as it was", "right after an import", "while it was written to"])
def audit(
    request: pytest.FixtureRequest,
    counted: StoredAudit,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[Path]:
    """Return a copy of the audit in a folder that the operating system lets nobody write."""
    counted.people()
    path = tmp_path / "audit"
    shutil.copytree(counted.path, path)
    held = None
    if request.param != "as it was":
        (path / PEOPLE).unlink()
    if request.param == "while it was written to":  # its log stays beside it
        held = files.open_database(path / "reviews.sqlite", 1.0)
        held.execute("pragma journal_mode = wal")
        held.execute("select count(*) from decisions").fetchone()
    before = {one: one.stat().st_mtime_ns for one in path.rglob("*")}
    may = os.access

    def inside(place: object) -> bool:
        return Path(str(place)).resolve().is_relative_to(path)

    def hook(operation: str, place: Path) -> None:
        if inside(place):
            raise OSError(errno.EROFS, os.strerror(errno.EROFS), str(place))

    def access(place: str | Path, mode: int, **how: bool) -> bool:
        return may(place, mode, **how) and not (mode & os.W_OK and inside(place))

    with monkeypatch.context() as changed:
        changed.setattr(files, "_hook", hook)
        changed.setattr(os, "access", access)
        yield path
    assert {one: one.stat().st_mtime_ns for one in path.rglob("*")} == before
    if held is not None:
        held.close()


def test_reading_verbs_give_what_they_give_elsewhere(
    audit: Path, counted: StoredAudit, tmp_path: Path
) -> None:
    opened = curate.open_audit(audit)
    for frame in (opened.masks(), opened.images(), opened.query("select * from people")):
        assert len(frame)
    assert opened.masks(["action"])["action"].equals(counted.masks(["action"])["action"])
    assert open_reviews(opened).decisions().equals(open_reviews(counted).decisions())
    assert curate.agreement(audit).as_dict() == curate.agreement(counted.path).as_dict()
    dry = [curate.write(path, category="dog").as_dict() for path in (audit, counted.path)]
    assert dry[0] == dry[1]
    assert curate.prune(audit).as_dict() == curate.prune(counted.path).as_dict()
    assert curate.write_queue(audit, record=False) == curate.write_queue(counted.path, record=False)
    assert curate.queue(audit, actions=["accept"]).equals(
        curate.queue(counted.path, actions=["accept"])
    )
    assert curate.version(audit) == curate.version(counted.path)
    assert curate.diff(audit, counted.path).equal
    assert curate.report(audit, tmp_path / "r.html").stat().st_size
    curate.write(audit, tmp_path / "better.json", category="dog")
    assert curate.version(tmp_path / "better.json") != curate.version(audit)
    with pytest.raises(CallError, match="no random sample"):
        curate.certify(audit, dry_run=True)


@pytest.mark.parametrize(
    "words",
    [
        ("decide",),
        ("learn",),
        ("certify",),
        ("estimate",),
        ("report",),
        ("queue", "--kind", "estimate", "--budget", "3", "--out", "q.csv"),
        ("import", "decided.csv", "--audit"),
    ],
    ids=" ".join,
)
def test_writing_verbs_say_that_nothing_can_be_written(
    audit: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: tuple[str, ...]
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "decided.csv").write_text("mask_id,decision,reviewer\n1,reject,carl\n")
    done = CliRunner().invoke(app, [words[0], *words[1:], str(audit)])
    assert isinstance(done.exception, CurateError | OSError)
    said = str(done.exception).lower()
    assert any(words in said for words in ("read-only", "nothing can be written in its folder"))
    assert not (tmp_path / "q.csv").exists()
