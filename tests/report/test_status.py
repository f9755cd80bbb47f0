"""Status of an audit, and the next steps that it leads to."""

from __future__ import annotations

import json
import os
import shlex
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from counted_audit import counted

import curate
from curate.cli.next_steps import print_audit_step
from curate.common.locks import hold_directory
from curate.errors import AuditError
from curate.people.reviews import open_reviews
from curate.reporting.next_steps import find_next_steps, make_audit_step, propose_output
from curate.reporting.status import AuditStatus, DrawStatus
from curate.store.audit import StoredAudit
from curate.store.audit_files import write_info
from curate.store.audit_info import COMPLETE, SCORING, AuditInfo

__all__ = ["counted"]


@pytest.fixture
def copied(counted: StoredAudit, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of an audit that people have decided on, in the working folder."""
    monkeypatch.chdir(tmp_path)
    shutil.copytree(counted.path, tmp_path / "my audit")
    return Path("my audit")


def commands(found: AuditStatus) -> list[str]:
    return [step.command for step in found.next_steps()]


def bare(**values: object) -> AuditStatus:
    """The status of an audit that nobody has decided on and nothing is wrong with."""
    actions = {"accept": 10, "review": 0, "reject": 0}
    found = AuditStatus(
        *(Path("a b.audit"), "complete", "", __file__, "coco", "0123456789ab", "", 1, 10, 2),
        *(actions, {}, {}, 0, (), (), "", "default", (), None, {}, True),
    )
    return replace(found, **values)  # type: ignore[arg-type]


def test_the_status_counts_masks_and_decisions_as_the_summary_does(counted: StoredAudit) -> None:
    found = curate.status(counted.path)
    assert (found.state, found.holder, found.masks, found.images) == ("complete", "", 14, 3)
    assert dict(found.actions) == {"accept": 10, "review": 1, "reject": 3}
    assert dict(found.changes) == {"accepted": 2, "rejected": 2, "redrawn": 1, "relabelled": 1}
    assert (found.decided, sum(found.unsettled.values()), found.added) == (6, 1, 1)
    assert found.version == counted.info.version[:12] if counted.info.version else False
    text = found.text()
    assert "14 masks in 3 images: 10 accept, 1 review, 3 reject" in text
    assert "people decided on 6 masks" in text
    assert max(map(len, text.splitlines()[1:])) < 200


def test_only_reads(copied: Path) -> None:
    (copied / "people.parquet").unlink(missing_ok=True)
    before = {one: one.stat().st_mtime_ns for one in copied.rglob("*") if one.is_file()}
    curate.status(copied)
    after = {one: one.stat().st_mtime_ns for one in copied.rglob("*") if one.is_file()}
    assert after == before


@pytest.mark.usefixtures("with_report")
def test_a_report_older_than_decisions_is_stale_and_written_again_next(copied: Path) -> None:
    curate.report(copied)
    os.utime(copied / "report.html", (0, 0))
    found = curate.status(copied)
    assert any("report.html is older than" in text for text in found.stale)
    assert "curate report 'my audit'" in commands(found)
    curate.report(copied)
    assert not [text for text in curate.status(copied).stale if "report" in text]
    (copied / "report.html").unlink()
    assert "there is no report.html" in curate.status(copied).stale


@pytest.mark.usefixtures("with_report")
def test_a_stale_report_counts_masks_and_not_clicks(copied: Path) -> None:
    curate.report(copied)
    reviews = open_reviews(curate.open_audit(copied))
    written = (copied / "report.html").stat().st_mtime
    after = pd.to_datetime([written + k for k in range(1, 5)], unit="s", utc=True)
    again = {"mask_id": [6, 6, 7, 8], "action": ["accept", "reject", "accept", "accept"]}
    frame = pd.DataFrame({**again, "reviewer": "ann", "time": after, "key": list("abcd")})
    reviews.add(frame, origin="test")

    def taken_back(key: str) -> None:
        rows = {"decision_key": [key], "reviewer": ["ann"], "key": [f"{key} back"]}
        reviews.withdraw(pd.DataFrame({**rows, "time": after[-1:]}))

    taken_back("d")
    stale = curate.status(copied).stale
    assert stale == ("report.html is older than people's decisions on 2 masks",)
    os.utime(copied / "report.html", (0, written + 3.5))
    assert not curate.status(copied).stale, "what was taken back was not in it"
    taken_back("a")
    assert "decisions on 1 mask" in curate.status(copied).stale[0], "6 is taken back since"
    os.utime(copied / "report.html", (0, 0))
    assert "decisions on 10 masks and 1 added mask" in curate.status(copied).stale[0]


def test_a_dataset_that_changed_or_is_gone_is_stale(copied: Path, tmp_path: Path) -> None:
    source = tmp_path / "source.json"
    shutil.copy(curate.status(copied).source, source)
    opened = curate.open_audit(copied)
    moved = {**opened.info.source, "path": str(source)}
    write_info(copied, replace(opened.info, source=moved))  # type: ignore[arg-type]
    assert not [text for text in curate.status(copied).stale if "dataset" in text]
    source.write_text(source.read_text() + " ")
    assert "has changed since it was audited" in " ".join(curate.status(copied).stale)
    source.unlink()
    found = curate.status(copied)
    assert "is not there any more" in " ".join(found.stale)
    assert not [command for command in commands(found) if command.startswith("curate write")]


def test_an_interrupted_audit_names_the_command_that_goes_on(copied: Path) -> None:
    opened = curate.open_audit(copied)
    inputs = {"images": "/data/my images", "compare second": "/data/b.json"}
    write_info(copied, replace(opened.info, state=SCORING, inputs=inputs))
    found = curate.status(copied)
    assert "interrupted while scoring" in found.text()
    (command,) = commands(found)
    assert shlex.split(command) == [
        *("curate", "audit", str(opened.info.source["path"]), "--out", "my audit"),
        *("--images", "/data/my images", "--compare", "second=/data/b.json"),
    ]


def test_an_audit_that_is_being_written_is_left_alone(copied: Path) -> None:
    with hold_directory(copied, "decide"):
        found = curate.status(copied)
        assert "being written: `curate decide`" in found.text()
        assert found.next_steps() == ()


def test_of_no_audit_there_is_no_status(tmp_path: Path) -> None:
    with pytest.raises(AuditError, match="there is no audit here"):
        curate.status(tmp_path)


def test_a_draw_is_finished_before_anything_else_and_then_certified() -> None:
    drawn = DrawStatus(2, "estimate", 30, 12)
    begun = bare(draws=(drawn,), actions={"accept": 5, "review": 5, "reject": 0})
    assert commands(begun)[0] == "curate review 'a b.audit' --draw 2"
    done = replace(begun, draws=(replace(drawn, decided=30),))
    assert "curate certify 'a b.audit' --max-bad 0.05" in commands(done)
    certified = replace(done, certificate=("at most 5% bad",))
    assert not [one for one in commands(certified) if "certify" in one]


def test_steps_follow_what_is_left_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert commands(bare()) == []
    waiting = bare(actions={"accept": 5, "review": 4, "reject": 1})
    assert commands(waiting) == [
        "curate review 'a b.audit'",
        "curate prune 'a b.audit' --out test_status.curated.py",
    ]
    decided = bare(changes={"accepted": 30, "rejected": 6})
    assert commands(decided) == [
        "curate learn 'a b.audit'",
        "curate write 'a b.audit' --out test_status.curated.py",
    ]
    tried = replace(decided, learned_from=30)
    assert commands(tried) == commands(decided)[1:], "the same decisions teach the same"
    assert commands(replace(tried, learned_from=24)) == commands(decided)
    most = replace(waiting, unsettled={"disputed": 2}, stale=("report.html",), added=1)
    assert len(find_next_steps(most)) == 3


def test_a_free_name_is_proposed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert propose_output(Path("/data/cells.json")) == Path("cells.curated.json")
    Path("cells.curated.json").touch()
    assert propose_output(Path("/data/cells.json")) == Path("cells.curated2.json")
    assert propose_output(Path("x/cells.tar.gz")) == Path("cells.curated.tar.gz")
    (tmp_path / "v1.2").mkdir()
    assert propose_output(tmp_path / "v1.2") == Path("v1.2.curated")
    assert propose_output(Path("cells.json"), ending="") == Path("cells.curated")
    assert propose_output(Path("queue.csv"), "") == Path("queue.csv")
    Path("cells.audit").mkdir()
    assert propose_output(Path("cells.audit"), "", ending=".audit") == Path("cells2.audit")
    assert propose_output(Path("cells.audit"), "new", ending=".audit") == Path("cells.new.audit")


def test_the_name_of_another_audit_ends_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert make_audit_step("audit it", Path("b.json")).command == "curate audit b.json"
    for name in ("b.audit", "b2.audit"):
        Path(name).mkdir()
    command = make_audit_step("audit it", Path("b.json")).command
    assert command == "curate audit b.json --out b3.audit"
    found = propose_output(Path("b.audit"), "detector", ending=".audit")
    assert found == Path("b.detector.audit")


def test_an_audited_dataset_lends_its_pictures_to_the_next_audit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    first, better = tmp_path / "a.json", tmp_path / "better.json"
    for path in (first, better):
        path.write_text("{}")
    monkeypatch.chdir(tmp_path)
    print_audit_step(better, like=first)
    assert "--images" not in capsys.readouterr().err
    source: dict[str, Any] = {"path": str(first.resolve()), "format": "coco"}
    for name, inputs in (("bare", {}), ("my", {"images": "pictures"})):
        folder = tmp_path / f"{name}.audit"
        folder.mkdir()
        write_info(folder, AuditInfo(COMPLETE, source=source, inputs=inputs))
    (tmp_path / "damaged.audit").mkdir()
    (tmp_path / "damaged.audit" / "audit.json").write_text("{")
    print_audit_step(better, like=first)
    assert f"curate audit {shlex.quote(str(better))} --images pictures" in capsys.readouterr().err


def test_the_status_is_json(copied: Path) -> None:
    drawn = open_reviews(curate.open_audit(copied)).draws()
    found = json.loads(json.dumps(curate.status(copied).as_dict()))
    assert (found["decided"], found["actions"]["accept"]) == (6, 10)
    assert len(found["draws"]) == len(drawn)
    assert found["next"][0]["command"].startswith("curate ")
