"""Images of a round, chosen by how unsure the segmenter is of its masks there."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from engine_project import Stand
from test_stage_two import change

import curate
from curate.engine import round_images
from curate.engine.image_choice import measure_unsureness
from curate.engine.round_images import describe_doubt
from curate.engine.round_record import RoundRecord, read_round
from curate.engine.rounds import EngineRounds
from curate.engine.settings import read_settings
from curate.errors import AuditError

SECOND = "rounds/02"


class Killed(BaseException):
    """A process that ends here."""


def die(*_: object, **__: object) -> None:
    raise Killed


def second(stand: Stand) -> RoundRecord:
    record = read_round(stand.project / SECOND)
    assert record is not None
    return record


def rounds_of(stand: Stand) -> EngineRounds:
    return EngineRounds(stand.project, read_settings(stand.project))


def doubts(stand: Stand) -> dict[str, float | None]:
    content = json.loads((stand.project / SECOND / "doubt.json").read_text())
    return {one["file_name"]: one["unsureness"] for one in content["images"]}


@pytest.fixture(scope="module")
def gone_on(begun: Stand, tmp_path_factory: pytest.TempPathFactory) -> Stand:
    """An engine that looked at eight images to choose four for its second round."""
    folder = tmp_path_factory.mktemp("unsure") / "engine"
    shutil.copytree(begun.folder, folder)
    stand = begun.moved(folder)
    change(stand, image_rule="unsure")
    stand.work()
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(round_images, "LOOKED_AT", 2)
        stand.next(another=True)
    return stand


@pytest.fixture
def again(gone_on: Stand, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Stand:
    """A copy of it in which that round is to begin."""
    monkeypatch.setattr(round_images, "LOOKED_AT", 2)
    shutil.copytree(gone_on.folder, tmp_path / "copy")
    stand = gone_on.moved(tmp_path / "copy")
    shutil.rmtree(stand.project / SECOND)
    return stand


def test_a_bounded_number_of_images_is_looked_at(gone_on: Stand) -> None:
    """They are recorded with what was seen, and the round's images are among them."""
    found = doubts(gone_on)
    assert len(found) == 8
    names = gone_on.names(SECOND)
    assert len(names) == 4
    assert set(names) <= set(found)
    assert not set(found) & {*gone_on.names("validation"), *gone_on.names("rounds/01")}
    record = second(gone_on)
    assert record.doubt is not None
    assert record.doubt == {
        "looked_at": 8,
        "left": 20,
        "without": sum(value is None for value in found.values()),
    }
    assert describe_doubt(record.doubt) in gone_on.engine.status().now.text()
    assert not (gone_on.project / SECOND / "generated").exists()
    first = read_round(gone_on.project / "rounds/01")
    assert first is not None
    assert first.doubt is None


def test_doubt_is_that_of_the_proposals_for_all_images_looked_at(again: Stand) -> None:
    """With all of them in the round, its proposals give the same."""
    change(again, round_images=8)
    again.next(another=True)
    found = doubts(again)
    proposals = curate.read(again.project / SECOND / "proposals.json")
    known = {name: k for k, name in proposals.images["file_name"].items()}
    chosen = [name for name in found if name in known]
    assert len(chosen) == 8
    ids = np.array([known[name] for name in chosen])
    if len(found) == 8:
        doubt = measure_unsureness(proposals.masks, ids)
        assert doubt.tolist() == pytest.approx([found[name] for name in chosen], nan_ok=True)


def test_a_killed_look_goes_on(
    again: Stand, gone_on: Stand, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("generate_masks", "measure_unsureness", "take_images"):
        with monkeypatch.context() as patched:
            patched.setattr(round_images, name, die)
            with pytest.raises(Killed):
                again.next(another=True)
    again.next(another=True)
    assert again.names(SECOND) == gone_on.names(SECOND)
    assert doubts(again) == doubts(gone_on)
    masks, same = (
        curate.read(one.project / SECOND / "proposals.json").masks for one in (again, gone_on)
    )
    assert masks["segmentation"].map(bytes).tolist() == same["segmentation"].map(bytes).tolist()


def test_pictures_that_are_gone_are_passed_over(again: Stand, gone_on: Stand) -> None:
    """They are not looked at either; where none is left to look at, others are taken."""
    gone = gone_on.names(SECOND)
    for name in gone:
        (again.pictures / name).unlink()
    again.next(another=True)
    rest = set(doubts(gone_on)) - set(gone)
    assert set(again.names(SECOND)) == rest
    for name in rest:
        (again.pictures / name).unlink()
    shutil.rmtree(again.project / SECOND)
    again.next(another=True)
    taken = set(again.names(SECOND))
    assert len(taken) == 4
    assert not taken & set(doubts(gone_on))
    assert {one["file_name"] for one in second(again).passed_over} <= rest | set(gone)
    assert doubts(again) == {}


def test_a_damaged_look_is_refused(again: Stand, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patched:
        patched.setattr(round_images, "take_images", die)
        with pytest.raises(Killed):
            again.next(another=True)
    path = again.project / SECOND / "doubt.json"
    path.write_text("{")
    with pytest.raises(AuditError):
        again.next(another=True)


def test_a_cold_start_is_chosen_by_difference(again: Stand) -> None:
    """So is the first round, of any engine."""
    change(again, segmenter=None)
    record = RoundRecord(3, 1, {}, None)
    assert not round_images.asks_for_doubt(rounds_of(again), record)
    used = {"name": "sam", "fingerprint": "f"}
    for number, stage, wanted in ((1, 1, False), (2, 1, True), (2, 2, True), (5, 3, False)):
        record = RoundRecord(number, stage, {}, used)  # type: ignore[arg-type]
        assert round_images.asks_for_doubt(rounds_of(again), record) is wanted
    change(again, image_rule="random")
    assert not round_images.asks_for_doubt(rounds_of(again), record)
