"""Choice among the masks of a point, by what people decided in earlier rounds."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from engine_project import Stand, make_engine, work
from hand_clock import HandClock
from PIL import Image
from test_stage_two import mostly, people_of, propose

import curate
from curate.engine import candidate_choice, learned_quality, proposing, rounds
from curate.engine.candidate_choice import describe_choice, pick_candidates
from curate.engine.candidate_masks import CANDIDATE_COLUMNS, read_candidate_masks
from curate.engine.coco_writing import MASK_COLUMNS, ListedImage
from curate.engine.round_record import ChoiceRecord, read_round
from curate.engine.settings import read_settings
from curate.networks.generation.generating import generate
from curate.rle import area, decode_counts
from curate.testing.bright_segmenter import BrightSegmenter

SECOND = "rounds/02"
RECIPE: dict[str, Any] = {
    "extends": "popular",
    "points_per_side": 4,
    "pred_iou": 0.5,
    "stability": 0.0,
}


class Killed(BaseException):
    """A process that ends here."""


def die(*_: object, **__: object) -> None:
    raise Killed


def choice_of(stand: Stand, folder: str = SECOND) -> ChoiceRecord:
    record = read_round(stand.project / folder)
    assert record is not None
    assert record.choice is not None
    return record.choice


def areas_of(masks: Any) -> list[int]:
    sides = np.full(len(masks), 80)
    return area(decode_counts(list(masks["segmentation"]), sides, sides)[0]).tolist()


@pytest.fixture
def drawn(tmp_path: Path) -> Path:
    """A generation on pictures of two bright squares and of none; each point draws three masks."""
    pictures = tmp_path / "pictures"
    pictures.mkdir()
    picture = np.full((80, 80, 3), 20, np.uint8)
    Image.fromarray(picture).save(pictures / "dark.png")
    picture[8:32, 8:32] = 220
    picture[48:72, 48:72] = 220
    Image.fromarray(picture).save(pictures / "two.png")
    generate(pictures, tmp_path / "generated", segmenter=BrightSegmenter(), recipe=RECIPE)
    return tmp_path / "generated"


LISTED = [ListedImage(7, "two.png", 80, 80), ListedImage(3, "dark.png", 80, 80)]


def test_candidates_are_the_masks_of_each_proposals_point(drawn: Path) -> None:
    found = read_candidate_masks(drawn, LISTED, 0)
    assert list(found.columns) == list(CANDIDATE_COLUMNS)
    own = found[found["slot"] == 0]
    assert sorted(own["proposal"]) == list(range(len(own)))
    kept = curate.read(drawn).masks
    assert set(own["segmentation"]) == set(kept["segmentation"].map(bytes))
    assert set(found["image_id"]) == {7}
    right = found[found["proposal"] == own.loc[own["predicted_iou"].idxmax(), "proposal"]]
    assert right["slot"].tolist() == [0, 1, 2]
    assert right["predicted_iou"].tolist() == pytest.approx([0.95, 0.7, 0.8])
    # The first of the others is a part of the thing, the second is more than it.
    middle, part, more = areas_of(right)
    assert part < middle < more
    assert read_candidate_masks(drawn, LISTED[1:], 0).empty
    filled = read_candidate_masks(drawn, LISTED, 2000)
    assert filled.empty  # each mask is an island under that


def test_the_best_of_three_is_proposed_and_once(drawn: Path) -> None:
    """Whatever the segmenter thinks of it; of equals and of unknown ones its own choice stays."""
    found = read_candidate_masks(drawn, LISTED, 0)
    sizes = np.array(areas_of(found), np.float64)
    masks, record = pick_candidates(found, sizes, LISTED, 0.7)
    assert list(masks.columns) == list(MASK_COLUMNS)
    assert areas_of(masks) == [sizes.max(), sizes.max()]  # one an object
    assert record["by"] == "learned"
    assert record["changed"] > 0
    assert record["proposals"] - record["merged"] == 2
    for same in (np.zeros(len(found)), np.full(len(found), np.nan)):
        stay, record = pick_candidates(found, same, LISTED, 1.0)
        assert record["changed"] == record["merged"] == 0
        assert (
            stay["segmentation"].tolist() == found.loc[found["slot"] == 0, "segmentation"].tolist()
        )
    none, record = pick_candidates(found.iloc[:0], sizes[:0], LISTED, 0.7)
    assert none.empty
    assert record["proposals"] == 0


def test_with_too_few_decisions_predicted_iou_chooses(stand: Stand) -> None:
    """People rejected or redrew all that random weights proposed."""
    first = choice_of(stand, "rounds/01")
    assert first["by"] == "predicted"
    assert first["reason"] == "people have decided on no proposal of a round yet"
    stand.work()
    text = stand.next(another=True).text()
    found = choice_of(stand)
    assert found["by"] == "predicted"
    assert "too few of a kind to learn" in found["reason"]
    assert describe_choice(found) in text


def test_a_run_that_is_killed_behind_the_proposals_notes_how_they_were_chosen(
    stand: Stand, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Only the record knows it, and what the proposals were made from may be half gone."""
    stand.work()
    with monkeypatch.context() as patched:
        patched.setattr(proposing, "_remove_work", die)
        with pytest.raises(Killed):
            stand.next(another=True)
    folder = stand.project / SECOND
    before = (folder / "proposals.json").read_bytes()
    assert (folder / "generated").is_dir()
    for path in (folder / "generated").glob("*.json"):
        if path.name != "generation.json":
            path.unlink()
    stand.next(another=True)
    assert (folder / "proposals.json").read_bytes() == before
    assert choice_of(stand)["reason"] != ""
    assert not (folder / "generated").exists()


def test_the_choice_can_be_left_to_the_segmenter(stand: Stand) -> None:
    """So it is in engines that were set up before."""
    path = stand.project / "engine.json"
    content = json.loads(path.read_text())
    assert content.pop("mask_choice") == "learned"
    path.write_text(json.dumps(content))
    assert read_settings(stand.project).mask_choice == "predicted"
    stand.work()
    stand.next(another=True)
    record = read_round(stand.project / SECOND)
    assert record is not None
    assert record.choice is None


def test_a_killed_choice_goes_on(stand: Stand, monkeypatch: pytest.MonkeyPatch) -> None:
    """The quality is label-free here, as there is too little to learn from; all else is as ever."""
    stand.work()
    learnt = SimpleNamespace(outcome="learned", record={})
    monkeypatch.setattr(candidate_choice, "describe_too_few", lambda _: "")
    monkeypatch.setattr(learned_quality, "learn", lambda *_, **__: learnt)
    for module, name in (
        (candidate_choice, "make_audit"),
        (candidate_choice, "pick_candidates"),
        (proposing, "write_coco"),
    ):
        with monkeypatch.context() as patched:
            patched.setattr(module, name, die)
            with pytest.raises(Killed):
                stand.next(another=True)
        assert (stand.project / SECOND / "choice").is_dir()
    text = stand.next(another=True).text()
    assert "which people would most likely accept" in text
    found = choice_of(stand)
    assert found["by"] == "learned"
    assert found["proposals"] > 0
    assert not (stand.project / SECOND / "choice").exists()
    proposed = curate.read(stand.project / SECOND / "proposals.json")
    assert len(proposed) == found["proposals"] - found["merged"]
    assert set(proposed.images["file_name"]) == set(stand.names(SECOND))
    again = proposed.masks["segmentation"].map(bytes).tolist()
    shutil.rmtree(stand.project / SECOND)
    stand.next(another=True)
    masks = curate.read(stand.project / SECOND / "proposals.json").masks
    assert masks["segmentation"].map(bytes).tolist() == again


@pytest.mark.slow  # three rounds of reviews
def test_what_people_decided_chooses_among_three_masks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In the first round they get right and wrong masks, from which a quality is learned."""
    clock = HandClock().clock
    engine, truth = make_engine(tmp_path, rounds=2, round_images=10, clock=clock)
    stand = Stand(tmp_path, truth, clock)
    engine.next(device="cpu")
    work(engine.path, truth, clock)
    with monkeypatch.context() as patched:
        patched.setattr(rounds, "write_proposals_of", propose(truth, mostly))
        stand.next()
    people_of(stand).work(stand.project, clock=clock)
    stand.next(another=True)
    found = choice_of(stand)
    assert found["by"] == "learned", found["reason"]
    assert found["proposals"] > 0
