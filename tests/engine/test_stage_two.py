"""The semi-automatic stage: confident masks are prefilled, and checked by chance."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from engine_project import Stand, make_engine, masks_of, open_round, truth_of
from hand_clock import HandClock
from PIL import Image

import curate
from curate import cli
from curate.common import files
from curate.demo_dataset.simulated_people import ErrorRates, SimulatedPeople, WorkDone
from curate.engine import prefilling, round_detector, rounds, stage_two
from curate.engine.accepted_iou import count_decided
from curate.engine.coco_writing import ListedImage, no_masks, write_coco
from curate.engine.confident_masks import ConfidentLines, Strictness
from curate.engine.engine_status import NextWork
from curate.engine.missed_objects import find_open_missed
from curate.engine.prefilling import (
    begin_record,
    choose_strictness,
    describe_prefill,
    read_prefilled,
)
from curate.engine.round_record import RoundRecord, read_round
from curate.errors import AuditError
from curate.people.reviews import open_reviews
from curate.people.reviews.current_plan import open_audit
from curate.rle import encode_counts, from_dense
from curate.store.engine_folder import find_open_audit, find_round_kind

NO_ERRORS = ErrorRates(0, 0, 0, 0)
MAX_BAD = 0.3
SEMI: dict[str, Any] = {
    "rounds": 1,
    "round_images": 10,
    "prefill_rounds": 2,
    "max_bad": MAX_BAD,
    "detector_size": 64,
    "detector_epochs": 1,
}
ROUND = "rounds/02"
"""The first round of the second stage."""

Proposer = Callable[..., None]


def propose(truth: dict[str, list[bytes]], is_good: Callable[[str, int], bool]) -> Proposer:
    """Return a proposer in the place of a trained segmenter: true masks, and squares in a corner.

    Its scores tell good masks from bad ones where ``looks_good`` does.

    Args:
        truth: The true masks.
        is_good: Whether a proposal is right: by picture, and its place there.
    """

    def write(folder: Path, _: Path, images: list[ListedImage], *given: Any, **rest: Any) -> None:
        rows = []
        for one in images:
            for k, counts in enumerate(truth[one.file_name]):
                good = is_good(one.file_name, k)
                square = np.zeros((one.height, one.width), bool)
                square[k : k + 9, k : k + 7] = True
                wrong = encode_counts(from_dense(square))[0].as_py()
                score = 0.95 if good else 0.4 + 0.01 * k
                rows.append((one.image_id, counts if good else wrong, "object", score, score))
        frame = pd.DataFrame(rows, columns=list(no_masks().columns))
        write_coco(folder / "proposals.json", images, frame, given[0], rest["first_id"])

    return write


def mostly(name: str, place: int) -> bool:
    """Two proposals in three are right."""
    return (int(name[:2]) + place) % 3 > 0


def people_of(stand: Stand, errors: ErrorRates = NO_ERRORS) -> SimulatedPeople:
    """Return people who know the objects of all pictures."""
    path = stand.folder / "truth.json"
    if not path.is_file():
        images, annotations = [], []
        for k, (name, masks) in enumerate(sorted(stand.truth.items()), 1):
            with Image.open(stand.pictures / name) as picture:
                width, height = picture.size
            images.append({"id": k, "file_name": name, "height": height, "width": width})
            for counts in masks:
                rle = {"size": [height, width], "counts": counts.decode()}
                one = {"id": len(annotations) + 1, "image_id": k, "category_id": 1, "iscrowd": 0}
                annotations.append(one | {"segmentation": rle, "area": 1.0, "bbox": [0, 0, 1, 1]})
        coco = {"images": images, "annotations": annotations}
        path.write_text(json.dumps(coco | {"categories": [{"id": 1, "name": "object"}]}))
    return SimulatedPeople(curate.read(path), errors=errors, good_iou=0.9)


def asked_of(project: Path) -> list[int]:
    """Return the masks of the open round that people are asked about."""
    reviews = open_reviews(open_audit(find_open_audit(project)))
    found: list[int] = reviews.read_draw(1)["mask_id"].tolist()
    return found


def answer(stand: Stand, **options: Any) -> WorkDone:
    """Do what the page asks of people in the open round."""
    if find_round_kind(find_open_audit(stand.project)) is not None:  # they search no images
        return people_of(stand).work(stand.project, clock=stand.clock)
    asked = asked_of(stand.project)
    return people_of(stand).work(stand.project, asked=asked, clock=stand.clock, **options)


def go_on(stand: Stand, **options: Any) -> NextWork:
    """Go on, and decide on proposals for validation images wherever they are asked about first."""
    asked = stand.next(**options)
    while find_open_missed(stand.project) is not None:
        answer(stand)
        asked = stand.next(**options)
    return asked


def die(*_: object, **__: object) -> None:
    """Be killed here."""
    raise KeyboardInterrupt


def record_of(stand: Stand, folder: str = ROUND) -> RoundRecord:
    record = read_round(stand.project / folder)
    assert record is not None
    return record


@pytest.fixture(scope="session")
def first_done(tmp_path_factory: pytest.TempPathFactory) -> Stand:
    """An engine whose first stage is through; the second was killed when it had begun."""
    folder = tmp_path_factory.mktemp("semi")
    clock = HandClock().clock
    engine, truth = make_engine(folder, clock=clock, **SEMI)
    made = Stand(folder, truth, clock)
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(rounds, "write_proposals_of", propose(truth, mostly))
        for _ in range(2):
            assert engine.next(device="cpu").needs == "people"
            answer(made)
        patched.setattr(stage_two, "train_round_detector", die)
        with pytest.raises(KeyboardInterrupt):
            engine.next(device="cpu")
    return made


@pytest.fixture(scope="session")
def second_open(first_done: Stand, tmp_path_factory: pytest.TempPathFactory) -> Stand:
    """The same, with the first round of the second stage open for people."""
    folder = tmp_path_factory.mktemp("open") / "copy"
    shutil.copytree(first_done.folder, folder)
    made = first_done.moved(folder)
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(rounds, "write_proposals_of", propose(made.truth, mostly))
        assert go_on(made).round == 2
    return made


@pytest.fixture
def semi(second_open: Stand, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Stand:
    """A copy of the engine with a prefilled round."""
    shutil.copytree(second_open.folder, tmp_path / "copy")
    made = second_open.moved(tmp_path / "copy")
    monkeypatch.setattr(rounds, "write_proposals_of", propose(made.truth, mostly))
    return made


@pytest.fixture
def before(first_done: Stand, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Stand:
    """A copy of the engine whose first stage is done."""
    shutil.copytree(first_done.folder, tmp_path / "copy")
    made = first_done.moved(tmp_path / "copy")
    monkeypatch.setattr(rounds, "write_proposals_of", propose(made.truth, mostly))
    return made


def test_confident_masks_are_prefilled(semi: Stand) -> None:
    """From the open round to its end: what is asked, what stands, what is known of it."""
    record = record_of(semi)
    prefill = record.prefill
    assert record.stage == 2
    assert prefill is not None
    assert prefill["lines"] is not None
    assert prefill["lines"]["basis"] == "estimated"  # 16 images cannot certify anything
    before = count_decided([semi.project / name for name in ("validation", "rounds/01")])
    assert prefill["good_by"] == asdict(before)
    assert before.accepted >= 20
    assert 0.75 <= prefill["good_iou"] <= 0.9
    found = read_prefilled(semi.project / ROUND)
    assert found is not None
    assert found.draw is not None
    assert 0 < prefill["checks"] < prefill["prefilled"] == len(found.masks)

    audit = open_audit(find_open_audit(semi.project))
    plan = audit.masks(["image_id", "action", "decided_by", "reasons"])
    asked = asked_of(semi.project)
    stands = plan[plan["action"] == "accept"].index
    assert sorted(stands) == sorted(set(plan.index) - set(asked))
    assert set(found.draw.rows["mask_id"]) == set(asked) & set(found.masks.index)
    assert set(stands) | set(found.draw.rows["mask_id"]) == set(found.masks.index)
    assert plan.loc[asked, "reasons"].nunique() == 1  # nothing tells a check from others
    chance = prefill["checks"] / prefill["prefilled"]
    assert found.draw.rows["inclusion_probability"].tolist() == pytest.approx(
        [chance] * prefill["checks"]
    )
    names = audit.images(["file_name"])["file_name"]
    truth = truth_of(semi.truth, names.tolist())
    drawn = audit.masks(["image_id", "segmentation"])
    of = zip(drawn["image_id"].map(names), drawn["segmentation"].map(bytes), strict=True)
    good = pd.Series([pair in truth for pair in of], drawn.index)
    assert good[found.masks.index].mean() >= 1 - MAX_BAD

    work = semi.engine.status().now
    assert f"{len(asked):,} masks of {len(asked):,} to decide on, 10 images of 10" in work.text()
    assert f"{prefill['prefilled']} masks are prefilled" in work.text()
    assert "an estimate, without a promise" in work.text()
    done = answer(semi)
    judged = done.actions[done.actions["mask_id"] >= 0]
    assert set(judged["mask_id"]) == set(asked)
    semi.engine.close_round()

    record = record_of(semi)
    assert record.people is not None
    assert record.people["prefilled"] == len(stands)
    assert record.people["undecided"] == 0
    assert record.prefill is not None
    measured = record.prefill["precision"]
    assert measured is not None
    checks = found.draw.rows["mask_id"]
    assert measured["precision"] == pytest.approx(good[checks].mean())
    assert measured["low"] <= good[found.masks.index].mean() <= measured["high"]

    masks = masks_of(semi.project / ROUND / "masks.json")
    assert truth <= masks  # people added what is missing, and took away what they were asked
    assert len(masks) == len(truth) + (~good[stands]).sum()
    note = pd.read_parquet(semi.project / ROUND / "masks.json.provenance.parquet")
    by = note.set_index("mask_id")["decided_by"]
    assert set(by[stands]) == {"policy"}
    assert set(by[asked]) == {"person"}
    written = semi.engine.write(semi.folder / "all.json")
    assert written.masks["prefilled"] == len(stands)


@pytest.mark.slow  # trains two rounds to the end
def test_the_ledger_and_the_status_say_what_was_prefilled(
    semi: Stand, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    answer(semi)
    asked = go_on(semi)
    assert asked.round == 3
    ledger = semi.engine.status().rounds.set_index("round")
    row, prefill, people = ledger.loc[2], record_of(semi).prefill, record_of(semi).people
    assert prefill is not None
    assert people is not None
    assert (row["stage"], row["prefilled"]) == (2, prefill["prefilled"])
    assert (row["prefilled_checked"], row["lines"]) == (prefill["checks"], "estimated")
    assert 0 <= row["precision_low"] <= row["precision"] <= row["precision_high"] <= 1
    assert (
        row["masks"]
        == people["accepted"] + people["fixed"] + people["added"] + (people["prefilled"])
    )
    assert ledger.loc[[0, 1], ["prefilled", "precision"]].isna().all(axis=None)
    missed = record_of(semi).missed
    assert missed is not None
    assert missed["people"] is not None
    assert row["people_s"] == pytest.approx(people["seconds"] + missed["people"]["seconds"])
    assert row["missed_asked"] == missed["asked"]

    words = ["curate", "engine", "status", str(semi.project)]
    monkeypatch.setattr(sys, "argv", words)
    with pytest.raises(SystemExit) as ended:
        cli.main()
    assert not ended.value.code
    header, *lines = capsys.readouterr().out.splitlines()[3:7]
    assert header.index("prefilled") < header.index("precision") < header.index("IoU")
    assert f"{prefill['prefilled']:>11}" in lines[2]
    assert f"{row['precision']:.3f} (" in lines[2]

    # The detector of the next round starts from the weights of this one.
    training = json.loads((semi.project / "rounds/03/detector/training.json").read_text())
    assert training["settings"]["start"] == str(semi.project / ROUND / "detector")
    assert len(semi.names("rounds/03")) == 4
    answer(semi)
    done = go_on(semi)
    assert done.needs == ""
    assert "the semi-automatic stage is through: no image is left to annotate" in done.text()

    values = json.loads(semi.engine.report(semi.folder / "report.json").read_text())
    plots = {plot["name"]: plot["values"] for plot in values["plots"]}
    assert plots["precision"]["rounds"] == [2, 3]
    assert plots["precision"]["lines"][0]["values"][0] == pytest.approx(row["precision"])
    counts = {name: found[2] for name, found in plots["shares"]["counts"].items()}
    assert counts["prefilled or certified"] == people["prefilled"]
    assert sum(counts.values()) - counts["added"] == people["proposals"]
    assert values["work_left"]["text"] == ["No image is left that nobody has searched for masks."]


def test_a_prefilled_mask_can_still_be_rejected(semi: Stand) -> None:
    """On the page people see it as a mask of the image; nobody asks, but they may say."""
    reviews = open_round(semi.project, semi.clock)
    plan = reviews.audit.masks(["image_id", "action"])
    gone = int(plan.index[plan["action"] == "accept"][0])
    count = int((plan["action"] == "accept").sum())
    reviews.add(
        pd.DataFrame({"mask_id": [gone], "action": ["reject"], "reviewer": ["simulated"]}),
        origin="test",
    )
    answer(semi)
    semi.engine.close_round()
    record = record_of(semi)
    assert record.people is not None
    assert record.people["prefilled"] == count - 1
    assert record.people["undecided"] == 0
    assert gone not in curate.read(semi.project / ROUND / "masks.json").masks.index


def test_a_round_closed_early_keeps_what_was_prefilled(semi: Stand) -> None:
    plan = open_audit(find_open_audit(semi.project)).masks(["action"])
    stands = set(plan.index[plan["action"] == "accept"])
    work = semi.engine.close_round()
    assert work.record["undecided"] == len(plan) - len(stands)
    assert set(curate.read(semi.project / ROUND / "masks.json").masks.index) == stands
    prefill = record_of(semi).prefill
    assert prefill is not None
    measured = prefill["precision"]
    assert measured is not None
    assert (measured["precision"], measured["low"], measured["high"]) == (None, 0.0, 1.0)
    assert choose_strictness([record_of(semi)], MAX_BAD) == Strictness(MAX_BAD)


def files_of(stand: Stand) -> dict[str, bytes]:
    folder = stand.project / ROUND
    names = ("images.txt", "proposals.json", "prefill/prefilled.json", "prefill/masks.json")
    weights = folder / "detector" / "model.safetensors"
    return {name: (folder / name).read_bytes() for name in names} | {"w": weights.read_bytes()}


def test_killed_between_steps_it_ends_the_same(
    before: Stand, second_open: Stand, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module, name in (
        (stage_two, "train_round_detector"),
        (stage_two, "begin_record"),
        (stage_two, "prefill_round"),
        (prefilling, "_write_round"),
        (prefilling, "write_coco"),
        (rounds, "audit_proposals"),
    ):
        with monkeypatch.context() as patched:
            patched.setattr(module, name, die)
            with pytest.raises(KeyboardInterrupt):
                go_on(before)
    asked = go_on(before)
    assert asked.round == 2
    assert files_of(before) == files_of(second_open)
    assert asked_of(before.project) == asked_of(second_open.project)
    prefill, wanted = record_of(before).prefill, record_of(second_open).prefill
    assert prefill is not None
    assert wanted is not None
    assert {**prefill, "detector": ""} == {**wanted, "detector": ""}

    answer(before)
    with monkeypatch.context() as patched:
        patched.setattr(rounds, "measure_prefilled", die)
        with pytest.raises(KeyboardInterrupt):
            go_on(before)
    before.engine.close_round()
    prefill = record_of(before).prefill
    assert prefill is not None
    assert prefill["precision"] is not None


@pytest.mark.slow  # some ten runs
def test_killed_at_any_file_it_ends_the_same(before: Stand, second_open: Stand) -> None:
    """Each run is killed when it would name another file, and comes two files further."""
    kills, most = 0, 3
    while True:
        left = most

        def kill(operation: str, path: Path) -> int | None:
            nonlocal left
            if operation == "replace" and before.project in path.parents:
                left -= 1
                if not left:
                    raise KeyboardInterrupt
            return None

        files._hook = kill
        try:
            go_on(before)
            break
        except KeyboardInterrupt:
            kills, most = kills + 1, most + 2
        finally:
            files._hook = None
    assert kills > 3
    assert files_of(before) == files_of(second_open)
    assert asked_of(before.project) == asked_of(second_open.project)
    assert not [path for path in before.project.rglob("*") if path.name.startswith(".")]


def test_lines_that_cannot_be_had(before: Stand, monkeypatch: pytest.MonkeyPatch) -> None:
    """All proposals are bad on the validation images: nothing is prefilled, and people decide."""
    monkeypatch.setattr(
        rounds, "write_proposals_of", propose(before.truth, lambda name, place: False)
    )
    asked = go_on(before)
    assert "no masks are prefilled: on 16 validation images no lines were found" in asked.text()
    total = len(curate.read(before.project / ROUND / "proposals.json"))
    assert len(asked_of(before.project)) == total
    answer(before)
    before.engine.close_round()
    row = before.engine.status().rounds.set_index("round").loc[2]
    assert (row["prefilled"], row["prefilled_checked"]) == (0, 0)
    assert pd.isna(row["precision"])
    assert pd.isna(row["lines"])
    record = record_of(before)
    assert choose_strictness([record], MAX_BAD) == Strictness(MAX_BAD)


@pytest.mark.slow  # a round, and the next one too
def test_bad_prefilled_masks_make_the_next_round_stricter(
    before: Stand, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The round's images are unlike the validation images: what is right there is wrong here."""
    held = before.names("validation")
    write = propose(before.truth, mostly)

    def shifted(folder: Path, pictures: Path, images: Any, *given: Any, **rest: Any) -> None:
        """Write proposals that look as good as ever, and are of a neighbour on other images."""
        write(folder, pictures, images, *given, **rest)
        path = folder / "proposals.json"
        document = json.loads(path.read_text())
        names = {one["id"]: one["file_name"] for one in document["images"]}
        for one in document["annotations"]:
            if names[one["image_id"]] not in held:
                height, width = one["segmentation"]["size"]
                wrong = np.zeros((height, width), bool)
                at = one["id"] % 8
                wrong[at : at + 12, at : at + 8] = True
                counts = encode_counts(from_dense(wrong))[0].as_py()
                one["segmentation"]["counts"] = counts.decode()
        path.write_text(json.dumps(document))

    monkeypatch.setattr(rounds, "write_proposals_of", shifted)
    go_on(before)
    prefill = record_of(before).prefill
    assert prefill is not None
    assert prefill["prefilled"] > 0
    answer(before)
    asked = go_on(before)
    prefill = record_of(before).prefill
    assert prefill is not None
    assert prefill["precision"] is not None
    assert prefill["precision"]["precision"] < 1 - MAX_BAD
    later = record_of(before, "rounds/03").prefill
    assert later is not None
    strictness = later["strictness"]
    assert strictness["max_bad"] < MAX_BAD
    assert strictness["most_share"] < 1
    assert later["lines"] is not None
    assert later["lines"]["strictness"] == strictness
    assert asked.round == 3


def test_a_detector_that_was_changed_is_not_used(
    before: Stand, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patched:
        patched.setattr(stage_two, "prefill_round", die)
        with pytest.raises(KeyboardInterrupt):
            go_on(before)
    path = before.project / ROUND / "detector" / "model.safetensors"
    data = path.read_bytes()
    path.write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
    with pytest.raises(AuditError, match="detector's files are not what they were"):
        go_on(before)
    path.write_bytes(data)
    assert go_on(before).round == 2


def change(stand: Stand, **settings: Any) -> None:
    path = stand.project / "engine.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | settings))


def test_masks_of_several_classes_are_not_prefilled(before: Stand) -> None:
    """No proposal says of which class it is."""
    change(before, classes=["object", "debris"])
    asked = go_on(before)
    assert "no masks are prefilled: there are several classes" in asked.text()
    total = len(curate.read(before.project / ROUND / "proposals.json"))
    assert len(asked_of(before.project)) == total


def test_too_few_images_for_a_detector(stand: Stand) -> None:
    """The round is one of the ordinary kind: people are asked about every proposal."""
    change(stand, rounds=1, prefill_rounds=1)
    stand.work()
    asked = stand.next()
    record = record_of(stand)
    assert record.stage == 2
    assert "no masks are prefilled: 4 images with masks are too few to train" in asked.text()
    assert not (stand.project / ROUND / "detector").exists()
    names = stand.names(ROUND)
    total = len(curate.read(stand.project / ROUND / "proposals.json"))
    assert len(asked_of(stand.project)) == total
    stand.work()
    done = stand.next()
    assert "all 1 rounds with prefilled masks are done" in done.text()
    assert masks_of(stand.project / ROUND / "masks.json") == truth_of(stand.truth, names)


def test_engines_and_rounds_written_before_open(stand: Stand) -> None:
    """They end after the first stage, as they were set up to."""
    path = stand.project / "engine.json"
    settings = json.loads(path.read_text())
    for name in ("prefill_rounds", "max_bad", "detector"):
        del settings[name]
    path.write_text(json.dumps(settings))
    path = stand.project / "rounds/01/round.json"
    record = json.loads(path.read_text())
    del record["prefill"]
    path.write_text(json.dumps(record))
    path = stand.project / "validation/round.json"
    record = json.loads(path.read_text())
    del record["people"]["prefilled"]
    path.write_text(json.dumps(record))
    assert stand.engine.settings.prefill_rounds == 0
    assert stand.engine.status().rounds["masks"].notna().all()
    assert stand.next().round == 1


def test_no_detector_without_different_pictures(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Twelve copies of one picture: its refusal is the reason, and the engine goes on."""
    (tmp_path / "pictures").mkdir()
    images, rows = [], []
    square = np.zeros((40, 48), bool)
    square[5:20, 6:30] = True
    counts = encode_counts(from_dense(square))[0].as_py()
    for k in range(12):
        Image.new("RGB", (48, 40)).save(tmp_path / "pictures" / f"{k}.png")
        images.append(ListedImage(k + 1, f"{k}.png", 40, 48))
        rows.append((k + 1, counts, "object", np.nan, np.nan))
    masks = pd.DataFrame(rows, columns=list(no_masks().columns))
    (tmp_path / "prefill").mkdir()
    found = round_detector.train_round_detector(
        tmp_path,
        tmp_path / "pictures",
        images,
        masks,
        round_detector.RoundDetector(None, 64, 1),
        seed=0,
        device="cpu",
        progress=None,
    )
    assert found.startswith("no detector can be trained: ")
    assert "1 different images" in found or "training needs 10" in found


def lines_of(bad: float, strictness: Strictness) -> RoundRecord:
    """Return a record of a round whose checks were bad at some share."""
    lines = ConfidentLines((0.5, 0.5, 0.5), "estimated", strictness, 0.95, 20, 100, 60, 1, 0.6)
    record = RoundRecord(3, 2, {})
    record.prefill = {
        **begin_record(strictness, "", "f"),
        "lines": lines.as_dict(),
        "prefilled": 60,
        "precision": {"precision": 1 - bad},
    }
    assert ConfidentLines.from_dict(json.loads(json.dumps(lines.as_dict()))) == lines
    return record


def test_strictness_follows_the_last_round_that_knew() -> None:
    ordinary = RoundRecord(4, 2, {})
    ordinary.prefill = begin_record(Strictness(0.05), "there are too few", None)
    trained = RoundRecord(5, 2, {"images": 0})
    assert choose_strictness([], 0.05) == Strictness(0.05)
    worse = lines_of(0.1, Strictness(0.05))
    found = choose_strictness([worse, ordinary, trained], 0.05)
    assert (found.max_bad, found.most_share) == pytest.approx((0.025, 0.3))
    eased = choose_strictness([worse, lines_of(0.0, Strictness(0.02, 0.5))], 0.05)
    assert (eased.max_bad, eased.most_share) == pytest.approx((0.03, 0.75))
    assert "no masks are prefilled: there are too few" in describe_prefill(ordinary.prefill)
    assert worse.prefill is not None
    none = {**worse.prefill, "prefilled": 0}
    assert "none of this round's is over them" in describe_prefill(none)  # type: ignore[arg-type]


def test_settings_of_the_second_stage_are_checked(first_done: Stand, tmp_path: Path) -> None:
    refused: list[tuple[str, dict[str, Any]]] = [
        ("--max-bad is 0", {"max_bad": 0}),
        ("--prefill-rounds is -1", {"prefill_rounds": -1}),
        ("--detector-size is 8", {"detector_size": 8}),
        ("--detector-epochs is 0", {"detector_epochs": 0}),
    ]
    for message, given in refused:
        with pytest.raises(curate.CurateError, match=message):
            curate.new_engine(tmp_path / "new", images=first_done.pictures, **given)
        assert not (tmp_path / "new").exists()
