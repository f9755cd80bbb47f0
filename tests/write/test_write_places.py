"""Where a dataset and its provenance go: never over anything else, whatever else runs or died."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from mask_files import tree

import curate
from curate.errors import AuditError, CallError, SourceError
from curate.people.reviews import current_plan
from curate.pipeline.scoring import audit
from curate.policy.policy import load_policy
from curate.writing import naming, output


def content(path: Path) -> Any:
    return tree(path) if path.is_dir() else path.read_bytes()


@pytest.fixture(scope="module")
def dead() -> int:
    """The number of a process that has ended."""
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return process.pid


def note_of(out: Path) -> Path:
    return out.with_name(out.name + ".provenance.parquet")


# --- two at once ---------------------------------------------------------------------------------


@pytest.mark.parametrize("links", [True, False], ids=["links", "no links"])
@pytest.mark.parametrize("name", ["coco", "yolo"])
def test_the_later_of_two_writes_to_one_place_leaves_all_alone(
    case: Any, name: str, links: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = case(name)
    one.say("reject")
    if not links:
        monkeypatch.setattr(os, "link", refuse_links)
    both = []

    def name_after_another(*arguments: Any, **named: Any) -> None:
        monkeypatch.setattr(output, "name_both", naming.name_both)
        one.say("reject", int(one.table.masks.index[1]))
        both.append(curate.write(one.audit, one.out))
        both.append((content(one.out), note_of(one.out).read_bytes()))
        naming.name_both(*arguments, **named)

    monkeypatch.setattr(output, "name_both", name_after_another)
    with pytest.raises(CallError, match="it exists already") as raised:
        curate.write(one.audit, one.out)
    assert raised.value.where == str(one.out)
    assert both[0].counts()["removed_by_people"] == 2
    assert (content(one.out), note_of(one.out).read_bytes()) == both[1]
    assert {p.name for p in one.folder.iterdir()} == {"audit", one.out.name, note_of(one.out).name}


def refuse_links(*_: Any) -> None:
    raise PermissionError(1, "Operation not permitted")


@pytest.mark.parametrize("name", ["coco", "yolo"])
def test_pruning_names_nothing_twice(case: Any, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    one = case(name)
    one.say("reject")

    def name_after_another(made: Path, out: Path, *notes: Path, renew: bool) -> None:
        monkeypatch.setattr(output, "name_both", naming.name_both)
        curate.prune(one.audit, out)
        (out / "mine" if out.is_dir() else out).write_text("mine")
        naming.name_both(made, out, *notes, renew=renew)

    monkeypatch.setattr(output, "name_both", name_after_another)
    with pytest.raises(CallError, match="it exists already"):
        curate.prune(one.audit, one.out)
    assert (one.out / "mine" if one.out.is_dir() else one.out).read_text() == "mine"


def test_naming_waits_for_another_run_that_names_there(tmp_path: Path) -> None:
    hold = (
        f"import os, fcntl; fcntl.flock(os.open({str(tmp_path)!r}, 0), fcntl.LOCK_EX); "
        "print('held', flush=True); input()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", hold], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as other:
        assert other.stdin
        assert other.stdout
        assert other.stdout.readline() == "held\n"
        waits = []

        def wait(seconds: float) -> None:
            waits.append(seconds)
            other.communicate("\n")

        with pytest.MonkeyPatch.context() as patched:
            patched.setattr(naming.time, "sleep", wait)
            (tmp_path / "made").write_text("data")
            (tmp_path / "note").write_text("why")
            places = tmp_path / "out", tmp_path / "note", tmp_path / "out.note"
            naming.name_both(tmp_path / "made", *places, renew=False)
    assert len(waits) == 1
    assert (tmp_path / "out").read_text() == "data"
    assert (tmp_path / "out.note").read_text() == "why"


# --- killed --------------------------------------------------------------------------------------


def as_if_killed(one: Any, note: Path, pid: int) -> Path:
    """Put things as a write leaves them that is killed between its two names."""
    folder = one.folder / f".{one.out.name}.{socket.gethostname()[:40]}-{pid}-abc.partial"
    (folder / naming.DATASET).mkdir(parents=True)
    one.out.rename(folder / naming.DATASET / one.source.name)
    os.link(note, folder / f"{naming.NOTE}{note.suffix}")
    return folder


@pytest.mark.parametrize("ending", [".parquet", ".json"])
def test_a_provenance_left_by_a_killed_write_is_renewed(case: Any, ending: str, dead: int) -> None:
    one = case("coco")
    one.say("reject")
    note = one.folder / f"what{ending}"
    curate.write(one.audit, one.out, provenance=note)
    left = as_if_killed(one, note, dead)
    one.say("reject", int(one.table.masks.index[1]))
    curate.write(one.audit, one.out, provenance=note)
    assert not left.exists()
    other = one.folder / f"other{ending}"
    curate.write(one.audit, one.folder / "2.json", provenance=other)
    assert note.read_bytes() == other.read_bytes()


def test_a_provenance_of_the_same_write_is_no_obstacle_and_of_another_is(case: Any) -> None:
    """The folder of the killed write is gone, so nothing but the content says whose it is."""
    one = case("coco")
    one.say("reject")
    note = one.folder / "what.parquet"
    curate.write(one.audit, one.out, provenance=note)
    one.out.unlink()
    curate.write(one.audit, one.out, provenance=note)
    before = note.read_bytes()
    one.out.unlink()
    one.say("reject", int(one.table.masks.index[1]))
    refused = one.refused(CallError, where=note, provenance=note)
    assert "provenance of another write" in refused.what
    assert "killed" in refused.do
    assert note.read_bytes() == before
    note.write_text("mine")
    assert "exists already" in one.refused(CallError, where=note, provenance=note).what


def test_a_write_that_still_runs_is_left_alone(case: Any) -> None:
    one = case("coco")
    one.say("reject")
    note = one.folder / "what.parquet"
    curate.write(one.audit, one.out, provenance=note)
    left = as_if_killed(one, note, os.getpid())
    one.say("reject", int(one.table.masks.index[1]))
    one.refused(CallError, where=note, provenance=note)
    assert left.exists()


def test_temporary_files_of_killed_processes_are_removed_from_the_audit(
    case: Any, dead: int
) -> None:
    one = case("coco")
    host = socket.gethostname()[:40]
    names = [f".people.parquet.{who}.tmp" for who in (f"{host}-{dead}", f"{host}-{os.getppid()}")]
    names.append(f".people.parquet.another-machine-{dead}.tmp")
    for name in names:
        (one.audit / name).write_bytes(b"half")
    one.say("reject")
    curate.write(one.audit)
    assert sorted(p.name for p in one.audit.glob(".*")) == sorted(names[1:])


# --- places that are not free --------------------------------------------------------------------


@pytest.mark.parametrize(
    ("lies", "place"),
    [
        ("output", lambda one: one.out),
        ("output", lambda one: one.out / "what.parquet"),
        ("source", lambda one: one.source / "what.parquet"),
        ("audit", lambda one: one.audit / "what.parquet"),
        ("audit", lambda one: one.audit / "masks" / "part-000009.parquet"),
    ],
)
def test_a_provenance_never_lies_in_what_it_is_about(
    case: Any, lies: str, place: Callable[[Any], Path]
) -> None:
    one = case("yolo")
    one.out = one.folder / "out.parquet"
    one.say("reject")
    before = content(one.source)
    refused = one.refused(CallError, where=place(one), provenance=place(one))
    assert refused.what == f"the provenance would lie in the {lies}"
    assert content(one.source) == before


def test_a_provenance_is_not_the_source_itself(own_case: Any) -> None:
    one = own_case("coco")
    named = one.source.with_suffix(".json")
    assert named == one.source
    refused = one.refused(CallError, where=one.source, provenance=one.source)
    assert refused.what in ("the provenance would lie in the source", "it exists already")


def test_a_source_may_be_called_as_the_provenance_is(own_case: Any, tmp_path: Path) -> None:
    one = own_case("coco")
    source = tmp_path / "named" / "provenance.json"
    source.parent.mkdir()
    shutil.move(one.source, source)
    audit(source, tmp_path / "named-audit", policy=load_policy({"name": "all"}))
    note = tmp_path / "what.json"
    curate.write(tmp_path / "named-audit", one.out, provenance=note)
    assert one.out.read_bytes() == source.read_bytes()
    assert note.read_bytes().startswith(b'{"about"')


def test_a_single_file_that_was_moved_must_keep_its_name(own_case: Any) -> None:
    one = own_case("coco")
    one.say("reject")
    moved = one.source.rename(one.source.with_name("other.json"))
    for verb in (curate.write, curate.prune):
        with pytest.raises(SourceError, match="its name differs from that") as raised:
            verb(one.audit, one.out, source=moved)
        assert one.source.name in raised.value.do


def test_advice_fits_what_the_system_says(case: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    one = case("coco")
    one.say("reject")

    def forbid(file: int) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(os, "fsync", forbid)
    refused = one.refused(AuditError, where=one.out)
    assert "permission denied" in refused.what
    assert "right to do it" in refused.do
    assert "room" not in refused.do


def test_the_provenance_beside_a_dataset_that_is_gone_is_renewed(case: Any) -> None:
    one = case("coco")
    one.say("reject")
    curate.write(one.audit, one.out)
    one.out.unlink()
    one.say("reject", int(one.table.masks.index[1]))
    curate.write(one.audit, one.out)
    changes = pq.read_table(note_of(one.out)).to_pandas()["change"]
    assert (changes == "removed").sum() == 2


# --- an audit that cannot be written -------------------------------------------------------------


def test_an_audit_that_cannot_be_written_can_be_read(
    case: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = case("coco")
    one.say("reject")
    one.add(one.dot(), "cat")
    before = tree(one.audit)
    assert "people.parquet" not in before
    access = os.access

    def refuse(path: Any, mode: int) -> bool:
        return not Path(path).is_relative_to(one.audit) and access(path, mode)

    def fail(*_: Any) -> None:
        raise AssertionError("it writes into the audit")

    monkeypatch.setattr(os, "access", refuse)
    monkeypatch.setattr(current_plan, "writing", fail)
    counts = curate.write(one.audit, one.out).counts()
    assert (counts["removed_by_people"], counts["added"]) == (1, 1)
    assert curate.diff(one.audit, one.out).masks["change"].tolist() == ["removed", "added"]
    assert tree(one.audit) == before
