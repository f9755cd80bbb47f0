"""The assisted manual stage: from a folder of pictures to a segmenter that people have taught."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
from engine_project import Stand, masks_of, open_round, truth_of

import curate
from curate import cli
from curate.common import files
from curate.common.locks import hold_directory
from curate.engine.accepted_iou import count_decided
from curate.engine.ledger import LEDGER_TYPES, make_ledger
from curate.engine.round_record import RoundResult, read_round
from curate.engine.training_round import count_images_needed, is_within_noise, skip_result
from curate.errors import AuditError, CurateError, SourceError
from curate.networks.segmenter_training.segmenter_record import IouRecord
from curate.people.reviews import open_reviews
from curate.people.reviews.current_plan import open_audit
from curate.rle import encode_counts, from_dense
from curate.store.engine_folder import find_open_audit, find_round_segmenter


def weights(folder: Path) -> bytes:
    return (folder / "segmenter" / "model.safetensors").read_bytes()


def test_rounds_end_with_what_people_made(stand: Stand) -> None:
    """Two rounds: masks, ledger, training without the validation images, status."""
    stand.work()
    asked = stand.next(another=True)
    assert (asked.needs, asked.round) == ("people", 2)
    stand.work()
    done = stand.next()
    assert done.needs == ""
    assert "all 2 rounds are done" in done.text()

    names = {folder: stand.names(folder) for folder in ("validation", "rounds/01", "rounds/02")}
    assert [len(one) for one in names.values()] == [16, 4, 4]
    assert len({name for some in names.values() for name in some}) == 24
    for folder, some in names.items():
        assert masks_of(stand.project / folder / "masks.json") == truth_of(stand.truth, some)

    for number, learnt in ((1, names["rounds/01"]), (2, names["rounds/01"] + names["rounds/02"])):
        folder = stand.project / "rounds" / f"{number:02d}" / "segmenter"
        record = json.loads((folder / "training.json").read_text())
        used = {one["file_name"] for one in record["images"]["train"]}
        assert used == set(learnt)
        held = {one["file_name"] for one in record["images"]["held_out"]}
        assert held == set(names["validation"])

    ledger = pq.read_table(stand.project / "ledger.parquet").to_pandas()
    assert list(ledger.columns) == list(LEDGER_TYPES)
    assert ledger["round"].tolist() == [0, 1, 2]
    for row, folder in zip(ledger.to_dict("records"), names, strict=True):
        truth = truth_of(stand.truth, names[folder])
        assert row["masks"] == len(truth)
        assert row["fixed"] + row["added"] == len(truth)
        assert row["proposals"] == row["fixed"] + row["rejected"]
        assert row["accepted"] == row["undecided"] == row["untimed"] == 0
        seconds = 2 * row["proposals"] + 20 * row["added"] + 3 * row["images"]
        assert row["people_s"] == pytest.approx(seconds)
        assert 0 < row["proposal_iou"] < 1
        decided = count_decided([stand.project / folder])
        assert decided.accepted == 0
        assert decided.redrawn <= row["fixed"]
        assert row["effective_categories"] == 1
        assert 1 < row["effective_sizes"] < row["masks"]
        assert 1 <= row["effective_clusters"] <= row["images"]
    first = json.loads((stand.project / "rounds/01/segmenter/training.json").read_text())
    assert ledger.loc[1, "iou"] == first["validation"]["iou"]
    assert ledger.loc[1, "gain_low"] == first["difference"]["low"]
    assert bool(ledger.loc[1, "kept"]) is (first["difference"]["iou"] > 0)

    rebuilt = [read_round(stand.project / folder) for folder in names]
    again = make_ledger([record for record in rebuilt if record is not None])
    pd.testing.assert_frame_equal(again, ledger)
    text = stand.engine.status().text()
    assert "validation IoU" in text
    assert "16 to validate on" in text


def test_ids_of_rounds_do_not_meet(stand: Stand) -> None:
    """A file of one round cannot be imported into another."""
    first = curate.read(stand.project / "validation/proposals.json").masks
    second = curate.read(stand.project / "rounds/01/proposals.json").masks
    assert not set(first.index) & set(second.index)


def test_people_are_asked_until_every_image_was_searched(stand: Stand) -> None:
    status = stand.engine.status()
    assert (status.now.needs, status.now.round) == ("people", 1)
    stand.work(images=3)
    asked = stand.next()
    assert (asked.needs, asked.round) == ("people", 1)
    assert "1 image of 4 to search" in asked.text()
    audit = open_audit(find_open_audit(stand.project))
    (left,) = set(audit.query("select image_id from images")["image_id"]) - set(
        open_reviews(audit).reviewed_images()["image_id"]
    )
    rest = audit.query(f"select mask_id from masks where image_id = {left}")["mask_id"].tolist()
    decisions = pd.DataFrame({"mask_id": rest, "action": "accept"})
    open_round(stand.project, stand.clock).add(decisions, origin="test")
    assert "0 masks of" in stand.engine.status().now.text()
    assert stand.engine.status().now.needs == "people"  # nobody has searched it


def test_a_round_closed_early_keeps_what_was_done(stand: Stand) -> None:
    stand.work(images=2)
    done = stand.engine.close_round()
    assert done.record["checked"] == 2
    assert not done.is_done
    names = stand.names("rounds/01")
    taken = masks_of(stand.project / "rounds/01/masks.json")
    assert taken == truth_of(stand.truth, names[:2])
    stand.next(another=True)
    record = read_round(stand.project / "rounds/01")
    assert record is not None
    assert record.closed_early
    assert record.result is not None
    with pytest.raises(AuditError, match="the round 01 of the engine is closed"):
        curate.import_decisions(__file__, stand.project / "rounds/01/audit")


def test_nobody_is_asked_where_no_round_is_open(stand: Stand) -> None:
    stand.engine.close_round()
    with pytest.raises(AuditError, match="no round is open for people now"):
        stand.engine.close_round()
    with pytest.raises(AuditError, match="people are needed in no round"):
        curate.status(stand.project)
    assert stand.engine.status().now.needs == "machine"
    done = stand.next()  # nobody has made a mask: nothing can be trained
    assert done.needs == "people"
    assert "no image has a mask to train on" in stand.engine.status().text()


def test_verbs_of_people_find_the_round(stand: Stand, tmp_path: Path) -> None:
    assert curate.status(stand.project).path == stand.project / "rounds/01/audit"
    table = tmp_path / "queue.csv"
    curate.write_queue(stand.project, table, record=False)
    rows = pd.read_csv(table)
    assert len(rows) == len(curate.read(stand.project / "rounds/01/proposals.json"))
    rows["decision"] = "accept"
    rows.to_csv(table, index=False)
    assert curate.import_decisions(table, stand.project, reviewer="ann").text()
    status = stand.engine.status()
    assert f"0 masks of {len(rows)} to decide on, 4 images of 4" in status.now.text()


def test_work_is_written_for_a_tool(stand: Stand) -> None:
    asked = stand.next(to="csv")
    assert asked.written == stand.project / "rounds/01/queue-csv.csv"
    assert asked.written.is_file()
    assert "import EXPORT" in asked.steps[0].command
    before = asked.written.read_bytes()
    assert "is there already" in stand.next(to="csv").text()
    assert asked.written.read_bytes() == before
    with pytest.raises(CurateError, match="somewhere"):
        stand.next(to="somewhere")


def test_two_at_once(stand: Stand) -> None:
    with hold_directory(stand.project, "engine next"):
        with pytest.raises(AuditError, match=r"`curate engine next`, process .* is writing"):
            stand.next()
        with pytest.raises(AuditError, match="is writing here"):
            stand.engine.close_round()
    assert stand.next().needs == "people"


def test_a_picture_that_goes_away_is_passed_over(stand: Stand) -> None:
    stand.work()
    taken = {*stand.names("validation"), *stand.names("rounds/01")}
    free = sorted(set(stand.truth) - taken)
    for name in free[:-3]:
        (stand.pictures / name).unlink()
    (stand.pictures / free[-1]).write_bytes(b"another picture")
    asked = stand.next(another=True)
    assert stand.names("rounds/02") == free[-3:-1]
    assert "were passed over" in asked.text()
    record = read_round(stand.project / "rounds/02")
    assert record is not None
    reasons = {one["file_name"]: one["reason"] for one in record.passed_over}
    assert reasons[free[-1]] == "has changed"
    assert "cannot be read" in reasons[free[0]]


def test_an_annotated_picture_that_changes_stops_the_training(stand: Stand) -> None:
    stand.work()
    name = stand.names("rounds/01")[0]
    before = (stand.pictures / name).read_bytes()
    (stand.pictures / name).write_bytes(
        (stand.pictures / stand.names("validation")[0]).read_bytes()
    )
    with pytest.raises(SourceError, match=f"1 of 20 pictures with masks .*{name} has changed"):
        stand.next()
    (stand.pictures / name).write_bytes(before)
    assert stand.next(another=True).round == 2


def test_a_segmenter_that_was_changed_is_not_used(stand: Stand) -> None:
    stand.work()
    path = stand.folder / "sam" / "model.safetensors"
    before = path.read_bytes()
    path.write_bytes(before[:-1] + bytes([before[-1] ^ 1]))
    with pytest.raises(AuditError, match="files are not what they were when it came into force"):
        stand.next()
    path.write_bytes(before)
    stand.next()
    record = read_round(stand.project / "rounds/01")
    assert record is not None
    assert record.result is not None


def test_weights_that_were_changed_after_training_are_not_measured(
    stand: Stand, monkeypatch: pytest.MonkeyPatch
) -> None:
    from curate.engine import rounds

    def die(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    stand.work()
    with monkeypatch.context() as patched:
        patched.setattr(rounds, "make_result", die)
        with pytest.raises(KeyboardInterrupt):
            stand.next()
    path = stand.project / "rounds/01/segmenter/model.safetensors"
    before = path.read_bytes()
    path.write_bytes(before[:-1] + bytes([before[-1] ^ 1]))
    with pytest.raises(AuditError, match="its weights are not those that were measured"):
        stand.next()
    path.write_bytes(before)
    stand.next()


def test_the_segmenter_is_trained_once_more(stand: Stand) -> None:
    with pytest.raises(AuditError, match="a round is open"):
        stand.engine.train_again(epochs=2, device="cpu")
    stand.work()
    stand.next()
    text = stand.engine.train_again(epochs=2, learning_rate=0.01, device="cpu").text()
    record = json.loads((stand.project / "rounds/02/segmenter/training.json").read_text())
    assert len(record["history"]) == 2
    assert record["settings"]["learning_rate"] == 0.01
    assert stand.names("rounds/02") == []
    assert "is within its noise" in text or "round 3 can begin" in text
    assert stand.engine.status().rounds["images"].tolist() == [16, 4, 0]
    assert stand.next(another=True).round == 3
    assert len(stand.names("rounds/03")) == 4


def test_names_that_people_give_are_offered_from_then_on(stand: Stand) -> None:
    """Half way through they call some objects otherwise."""
    stand.work()
    reviews = open_round(stand.project, stand.clock)
    image = int(reviews.audit.query("select min(image_id) as i from images")["i"].iloc[0])
    new = masks_of(stand.project / "validation/masks.json")
    size = curate.read(stand.project / "rounds/01/proposals.json").images.loc[image]
    drawn = encode_counts(from_dense(np.eye(size["height"], size["width"], dtype=bool)))[0].as_py()
    added = pd.DataFrame({"image_id": [image], "segmentation": [drawn], "category": "debris"})
    reviews.add(
        pd.DataFrame({"mask_id": pd.Series([], dtype="int64"), "action": []}),
        origin="test",
        missing=added,
    )
    stand.next(another=True)
    table = curate.read(stand.project / "rounds/01/masks.json")
    assert set(table.masks["category"]) == {"object", "debris"}
    document = json.loads((stand.project / "rounds/02/proposals.json").read_text())
    assert [one["name"] for one in document["categories"]] == ["object", "debris"]
    assert masks_of(stand.project / "validation/masks.json") == new
    audit = open_audit(find_open_audit(stand.project))
    settings = open_reviews(audit).draws()["settings"].iloc[0]
    assert settings["categories"] == ["object", "debris"]


def test_clicks_go_to_the_segmenter_that_proposed(stand: Stand) -> None:
    audit = find_open_audit(stand.project)
    assert find_round_segmenter(audit) == str(stand.folder / "sam")
    assert find_round_segmenter(stand.project) is None


def test_prompts_are_compared_on_the_validation_images(
    stand: Stand, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    before = {path: path.stat().st_mtime_ns for path in stand.project.rglob("*")}
    found = stand.engine.search_prompts(device="cpu")
    after = {path: path.stat().st_mtime_ns for path in stand.project.rglob("*")}
    made = {path for path in after if path.is_file() and after[path] != before.get(path)}
    assert {path.parent.name for path in made} == {"prompts"}
    assert len(made) == 1
    truth = truth_of(stand.truth, stand.names("validation"))
    assert len(found.masks) == len(truth)
    assert found.masks["image_id"].nunique() == 16
    assert set(found.masks["category"]) == {"object"}
    assert found.table()["chosen"].sum() == 1
    words = ["curate", "engine", "prompts", str(stand.project), "--device", "cpu", "--json"]
    monkeypatch.setattr(sys, "argv", words)
    with pytest.raises(SystemExit) as ended:
        cli.main()
    assert not ended.value.code
    said = json.loads(capsys.readouterr().out)
    assert said["chosen"] == found.best().name
    assert [row["iou"] for row in said["recipes"]] == found.table()["iou"].tolist()
    (stand.pictures / stand.names("validation")[0]).write_bytes(b"other")
    with pytest.raises(SourceError, match="of the validation set are not as they were"):
        stand.engine.search_prompts(device="cpu")
    (stand.project / "validation" / "masks.json").unlink()
    with pytest.raises(AuditError, match="no masks of the validation images yet"):
        stand.engine.search_prompts(device="cpu")


def test_a_corrected_file_of_a_tool_is_a_round(stand: Stand, tmp_path: Path) -> None:
    """Another tool takes the proposals, removes one, and draws another mask."""
    written = stand.next(to="coco").written
    assert written is not None
    document = json.loads(written.read_text())
    first = document["annotations"].pop(0)
    gone = first["id"]
    image = next(one for one in document["images"] if one["id"] == first["image_id"])
    square = [[1, 1, 9, 1, 9, 9, 1, 9]]
    new = {"id": 10**6, "image_id": image["id"], "category_id": first["category_id"]}
    document["annotations"].append(
        new | {"segmentation": square, "bbox": [1, 1, 8, 8], "area": 64, "iscrowd": 0}
    )
    file = tmp_path / "corrected.json"
    file.write_text(json.dumps(document))
    curate.import_decisions(file, stand.project, reviewer="ann")
    work = stand.engine.close_round()
    record = work.record
    held = {one["image_id"] for one in document["annotations"]}
    assert (record["rejected"], record["added"], record["undecided"]) == (1, 1, 0)
    assert record["accepted"] == record["proposals"] - 1
    assert record["checked"] == len(held)  # images without proposals are not in the file
    assert record["untimed"] >= record["proposals"]  # the tool has no clock
    left = curate.read(stand.project / "rounds/01/masks.json").masks
    assert gone not in left.index
    assert len(left) == record["proposals"]


def result_of(low: float | None, high: float | None) -> RoundResult:
    gain: IouRecord = {"iou": 0.01, "low": low, "high": high, "box_iou": 0.01, "point_iou": 0.01}
    return {**skip_result(""), "kept": True, "difference": gain}  # type: ignore[typeddict-item]


def test_a_gain_is_told_from_noise_by_its_interval() -> None:
    assert is_within_noise(result_of(-0.01, 0.03))
    assert is_within_noise(result_of(None, None))
    assert not is_within_noise(result_of(0.001, 0.03))
    assert not is_within_noise(skip_result("nothing was trained"))
    assert count_images_needed(result_of(-0.04, 0.04), 16) == 64
    assert count_images_needed(result_of(None, None), 16) is None


def test_what_a_killed_run_left_in_the_project_goes(stand: Stand) -> None:
    tag = files.process_tag().rpartition("-")[0] + "-99999999"
    left = [stand.project / f".{name}.{tag}.tmp" for name in ("looks.parquet", "ledger.parquet")]
    for path in left:
        path.write_bytes(b"half")
    stand.next()
    assert not any(path.exists() for path in left)
