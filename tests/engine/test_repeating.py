"""A round that is repeated with other settings: what becomes of it, of the one it replaces."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from engine_project import Stand, masks_of, truth_of

import curate
from curate.cli.exit_codes import run
from curate.common import files
from curate.common.locks import hold_directory
from curate.engine.repeating import RepeatSettings
from curate.engine.round_record import RoundRecord, read_round
from curate.engine.rounds import EngineRounds
from curate.errors import AuditError, CallError
from curate.people.reviews.current_plan import open_audit
from curate.people.webapp.request_parsing import RequestError
from curate.people.webapp.session import ReviewSession
from curate.people.webapp.startup import ReviewSettings
from curate.store.engine_folder import find_open_audit, refuse_closed_round

MORE: dict[str, Any] = {"points_per_side": 3}


def record_of(stand: Stand, number: int) -> RoundRecord:
    record = read_round(stand.project / "rounds" / f"{number:02d}")
    assert record is not None
    return record


def content(folder: Path) -> dict[str, bytes]:
    """Return all files of a folder but hidden ones."""
    found = (path for path in folder.rglob("*") if path.is_file() and path.name[:1] != ".")
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in found}


def again(stand: Stand, **options: Any) -> Any:
    return stand.engine.repeat(device="cpu", **({"settings": MORE} | options))


def test_a_round_is_repeated_with_other_settings(stand: Stand) -> None:
    first = stand.project / "rounds/01"
    before = content(first)
    asked = again(stand)
    assert (asked.needs, asked.round) == ("people", 2)
    assert "it replaces round 1: the same images, proposed anew" in asked.text()
    assert stand.names("rounds/02") == stand.names("rounds/01")
    assert find_open_audit(stand.project) == stand.project / "rounds/02/audit"

    after = content(first)
    old, new = (json.loads(one.pop("round.json")) for one in (before, after))
    assert after == before
    assert (old["replaced_by"], new["replaced_by"]) == (None, 2)
    assert new["result"]["reason"] == "replaced by round 2"
    record = record_of(stand, 2)
    assert record.replaces == 1
    assert record.settings["recipe"] == {**record_of(stand, 1).settings["recipe"], **MORE}  # type: ignore[dict-item]
    masks = [curate.read(stand.project / f"rounds/0{k}/proposals.json").masks for k in (1, 2)]
    assert len(masks[1]) > len(masks[0])  # of more points
    assert not set(masks[0].index) & set(masks[1].index)

    stand.work()
    done = stand.next(another=True)
    assert (done.needs, done.round) == ("people", 3)  # the first stage wants two rounds that count
    assert not set(stand.names("rounds/03")) & set(stand.names("rounds/02"))
    ledger = pq.read_table(stand.project / "ledger.parquet").to_pandas().set_index("round")
    assert ledger.index.tolist() == [0, 1, 2]
    assert ledger["replaced_by"].fillna(0).tolist() == [0, 2, 0]
    assert ledger.loc[1, ["images", "masks", "undecided", "people_s"]].tolist() == [0, 0, 0, 0]
    assert ledger.loc[1, "proposals"] == len(masks[0])
    assert ledger.loc[2, "masks"] == len(truth_of(stand.truth, stand.names("rounds/02")))
    assert ledger.loc[2, "images"] == 4


def test_what_is_written_has_each_mask_once(stand: Stand) -> None:
    again(stand)
    stand.work()
    stand.engine.close_round()
    page = stand.engine.report()
    assert "replaced by round 2" in page.read_text()
    values = json.loads((stand.project / "report.json").read_text())
    drawn = {tuple(plot["values"]["rounds"]) for plot in values["plots"] if plot["name"] == "masks"}
    assert drawn == {(0, 2)}
    basis = values["figures"][0]["basis"]
    assert "on the 20 images of closed rounds, of 40 pictures in all" in basis
    stand.engine.write(stand.folder / "all.json")
    names = [*stand.names("validation"), *stand.names("rounds/02")]
    assert masks_of(stand.folder / "all.json") == truth_of(stand.truth, names)
    status = stand.engine.status()
    assert status.left == 20
    assert "replaced by round 2" in status.text()


def test_it_is_refused_while_masks_are_with_a_tool(stand: Stand) -> None:
    asked = stand.next(to="csv").written
    assert asked is not None
    with pytest.raises(AuditError, match=r"were written for a tool: queue-csv.csv; import what"):
        again(stand)
    asked.unlink()
    assert again(stand).round == 2
    stand.engine.close_round()
    with pytest.raises(AuditError, match=r"round 2 is closed: what people made of it was taken"):
        again(stand)


def test_it_is_refused_where_there_is_nothing_to_repeat(stand: Stand) -> None:
    with pytest.raises(CallError, match=r"round 1 is proposed with these settings already"):
        again(stand, settings=None)
    with pytest.raises(CallError, match=r"--mask-choice"):
        again(stand, mask_choice="best")
    with pytest.raises(CallError, match="no setting"):
        again(stand, settings={"points": 3})
    with (
        hold_directory(stand.project, "engine next"),
        pytest.raises(AuditError, match="engine next"),
    ):
        again(stand)
    assert stand.engine.status().now.round == 1
    stand.work()
    stand.next(another=True)
    stand.work()
    stand.next()
    with pytest.raises(AuditError, match="no round is open that could be repeated"):
        again(stand)


def test_the_validation_images_are_not_repeated(stand: Stand) -> None:
    record = record_of(stand, 1)
    folder = stand.project / "rounds/01"
    record.segmenter = None
    record.write(folder)
    with pytest.raises(AuditError, match="in round 1 nothing is proposed"):
        again(stand)
    shutil.rmtree(folder)
    validation = read_round(stand.project / "validation")
    assert validation is not None
    validation.people = None
    validation.write(stand.project / "validation")
    with pytest.raises(AuditError, match="the validation images are annotated once"):
        again(stand)


def test_a_replaced_round_takes_no_decision(stand: Stand) -> None:
    first = find_open_audit(stand.project)
    session = ReviewSession(open_audit(first), ReviewSettings(), stand.clock)
    asked = {"queue": session.name}
    try:
        session.check_queue(asked)
        again(stand)
        with pytest.raises(RequestError, match=r"was replaced by round 2; stop the server and"):
            session.check_queue(asked)
    finally:
        session.close()
    with pytest.raises(AuditError, match=r"round 01 of the engine was replaced by round 2"):
        refuse_closed_round(first)
    refuse_closed_round(find_open_audit(stand.project))


def test_killed_once_it_is_begun_it_goes_on(stand: Stand, monkeypatch: pytest.MonkeyPatch) -> None:
    """The file that names the replaced round is all that it takes."""

    def kill(operation: str, path: Path) -> int | None:
        if operation == "replace" and path == stand.project / "rounds/01/round.json":
            raise KeyboardInterrupt
        return None

    monkeypatch.setattr(files, "_hook", kill)
    with pytest.raises(KeyboardInterrupt):
        again(stand)
    monkeypatch.setattr(files, "_hook", None)
    assert record_of(stand, 1).replaced_by is None
    with pytest.raises(AuditError, match="people are needed in no round"):
        find_open_audit(stand.project)
    assert stand.engine.status().now.needs == "machine"
    asked = again(stand)
    assert (asked.needs, asked.round) == ("people", 2)
    assert record_of(stand, 1).replaced_by == 2
    with pytest.raises(CallError, match="round 2 is proposed with these settings already"):
        again(stand)
    assert again(stand, settings={"points_per_side": 4}).round == 3
    assert record_of(stand, 2).replaced_by == 3
    assert stand.names("rounds/03") == stand.names("rounds/01")


def test_cuts_are_set_and_left_open_again(stand: Stand) -> None:
    rounds, record = EngineRounds(stand.project, stand.engine.settings), record_of(stand, 1)
    assert rounds.settings.set_cuts == ("pred_iou", "stability")
    found = RepeatSettings("popular").apply(rounds, record)
    assert found["set_cuts"] == []
    record.settings = found
    found = RepeatSettings(None, {"stability": 0.5}).apply(rounds, record)
    assert found["set_cuts"] == ["stability"]


def test_the_command_says_what_is_to_be_done(
    stand: Stand, capfd: pytest.CaptureFixture[str]
) -> None:
    project = str(stand.project)
    words = ["engine", "repeat", project, "--device", "cpu"]
    assert run([*words, "--set", "points_per_side=3"]) == 0
    said = capfd.readouterr()
    assert "people are needed for round 2" in said.out
    assert f"curate review {project}" in said.err
    assert run(words) == 2
    assert "give others with `--recipe`, `--set` or `--mask-choice`" in capfd.readouterr().err
    assert open_audit(find_open_audit(stand.project)).info.mask_count
