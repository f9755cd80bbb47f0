"""From an audit to a detector and back: accepted masks teach it, and it confirms masks."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from boxes import box, dataset
from PIL import Image

sys.path.insert(0, str(Path(__file__).parent / "models"))
import drawn_scenes

import curate
from curate.common.files import umask
from curate.errors import AuditError, CallError, SourceError
from curate.networks.detectors import train_on_audit
from curate.networks.detectors.initial_weights import load_pretrained
from curate.networks.detectors.train_on_audit import _accepted_boxes
from curate.networks.detectors.transformers_detector import load_detector
from curate.people.reviews import Reviews
from curate.rle import encode_counts, from_dense

IMAGES = 12
SMALL = {"size": 64, "epochs": 2, "batch": 4, "device": "cpu"}


@pytest.fixture(scope="module")
def audited(tmp_path_factory):
    """An audit of drawn shapes; one picture is no picture."""
    folder = tmp_path_factory.mktemp("shapes")
    (folder / "images").mkdir()
    random, images, annotations = np.random.default_rng(0), [], []
    for k in range(IMAGES):
        picture, boxes = drawn_scenes.draw(random)
        name = f"{k}.png"
        Image.fromarray(picture).save(folder / "images" / name)
        images.append({"id": k, "file_name": name, "height": 64, "width": 80})
        for x, y, w, h in boxes.tolist():
            polygon = [x, y, x + w, y, x + w, y + h, x, y + h]
            annotations.append(
                {"id": len(annotations), "image_id": k, "segmentation": [polygon], "area": w * h}
                | {"bbox": [x, y, w, h], "iscrowd": 0, "category_id": 1}
            )
    (folder / "images" / "3.png").write_bytes(b"no picture")
    coco = {"images": images, "annotations": annotations}
    coco["categories"] = [{"id": 1, "name": "shape"}]
    source = folder / "instances.json"
    source.write_text(json.dumps(coco))
    keep_all = {"name": "all", "rule": []}
    return curate.audit(source, folder / "a", images=folder / "images", policy=keep_all)


@pytest.fixture(scope="module")
def trained(audited, tmp_path_factory):
    return curate.train_detector(audited.path, tmp_path_factory.mktemp("d") / "detector", **SMALL)


def test_it_is_split_by_image_and_tells_how_well_it_does(trained):
    record = json.loads((trained.path / "training.json").read_text())
    assert record["held_out"] == trained.record["held_out"]
    assert 0 <= record["held_out"]["ap"] <= record["held_out"]["ap50"] <= 1
    counts = record["counts"]
    assert counts["images"] + counts["held_out_images"] == IMAGES - 1
    assert record["images"]["left_out"] == [3]
    assert len(record["history"]) == 2
    assert "average precision is" in trained.text()
    assert (trained.path / "model.safetensors").is_file()
    assert not list(trained.path.rglob("*.bin"))


def test_it_confirms_masks_of_images_it_has_not_seen(audited, trained, tmp_path):
    source = audited.info.source["path"]
    images = audited.info.inputs["images"]
    done = curate.audit(source, tmp_path / "b", images=images, detector=str(trained.path))
    scores = done.masks(["image_id", "detector_score"])
    seen = set(trained.record["images"]["train"])
    known = scores[~scores["image_id"].isin(seen) & (scores["image_id"] != 3)]
    assert known["detector_score"].notna().all()
    assert scores[scores["image_id"].isin(seen)]["detector_score"].isna().all()
    assert done.info.models["detector"]["name"] == str(trained.path)


def test_a_killed_training_goes_on_to_the_same_weights(audited, trained, tmp_path, monkeypatch):
    from curate.networks.detectors import detector_training

    class Killed(BaseException):
        pass

    save = detector_training.save_checkpoint

    def save_and_die(*arguments):
        save(*arguments)
        raise Killed

    out = tmp_path / "detector"
    with monkeypatch.context() as patched:
        patched.setattr(detector_training, "save_checkpoint", save_and_die)
        with pytest.raises(Killed):
            curate.train_detector(audited.path, out, **SMALL)
    assert not (out / "training.json").exists()
    again = curate.train_detector(audited.path, out, **SMALL)
    name = "model.safetensors"
    assert (out / name).read_bytes() == (trained.path / name).read_bytes()
    losses = [[e["loss"] for e in t.record["history"]] for t in (again, trained)]
    assert losses[0] == losses[1]


def test_a_detector_whose_training_has_not_ended_is_refused(trained, tmp_path):
    """Without its record nothing says which pictures it was trained on."""
    name = tmp_path / "detector"
    shutil.copytree(trained.path, name)
    load_detector(str(name))
    (name / "training.json").unlink()
    (name / "work").mkdir()
    for use in (load_detector, load_pretrained):
        with pytest.raises(SourceError, match="detector: its training has not ended; wait"):
            use(str(name))


def test_what_a_kill_left_of_the_weights_is_not_taken_along(
    audited, trained, tmp_path, monkeypatch
):
    """The library writes them under a name that it draws."""

    def killed(start, model, folder):
        folder.mkdir()
        (folder / ".tmpAbC").write_bytes(b"half of the weights")
        raise KeyboardInterrupt

    out = tmp_path / "detector"
    with monkeypatch.context() as patched:
        patched.setattr(train_on_audit, "save_detector", killed)
        with pytest.raises(KeyboardInterrupt):
            curate.train_detector(audited.path, out, **SMALL)
    again = curate.train_detector(audited.path, out, **SMALL)
    assert {p.name for p in again.path.iterdir()} == {p.name for p in trained.path.iterdir()}


def test_others_may_read_a_detector(trained):
    rights = {p.name: p.stat().st_mode & 0o777 for p in trained.path.iterdir()}
    assert set(rights.values()) == {0o666 & ~umask()}, rights


def test_finished_it_is_not_trained_again(audited, trained):
    before = (trained.path / "model.safetensors").stat().st_mtime_ns
    again = curate.train_detector(audited.path, trained.path, **SMALL)
    assert again.record == trained.record
    assert (trained.path / "model.safetensors").stat().st_mtime_ns == before
    with pytest.raises(AuditError, match=r"\(seed was 0, is 1 now\); .* pass --restart"):
        curate.train_detector(audited.path, trained.path, **(SMALL | {"seed": 1}))


def test_wrong_calls(audited, tmp_path):
    with pytest.raises(CallError, match="--epochs is 0"):
        curate.train_detector(audited.path, tmp_path / "d", **(SMALL | {"epochs": 0}))
    with pytest.raises(CallError, match="--held-out is 2"):
        curate.train_detector(audited.path, tmp_path / "d", held_out=2)
    (tmp_path / "mine.txt").write_text("mine")
    with pytest.raises(AuditError, match="it holds something else"):
        curate.train_detector(audited.path, tmp_path, **SMALL)
    few = tmp_path / "few"
    few.mkdir()
    shutil.copy(Path(audited.info.inputs["images"]) / "1.png", few)
    with pytest.raises(CallError, match="training needs 10"):
        curate.train_detector(audited.path, tmp_path / "d", images=few, **SMALL)
    assert not (tmp_path / "d").exists()


def test_it_learns_from_the_masks_as_people_left_them(tmp_path):
    (tmp_path / "source.json").write_text(json.dumps(dataset()))
    audit = curate.audit(tmp_path / "source.json", tmp_path / "audit", policy={"name": "all"})
    before = _accepted_boxes(audit)[1]
    new = encode_counts(from_dense(box(30, 20, 7, 9)))[0].as_py()
    frame = pd.DataFrame({"mask_id": [1, 2], "action": ["fix", "reject"], "reviewer": "ann"})
    missing = pd.DataFrame({"image_id": [3], "segmentation": [new], "reviewer": "ann"})
    frame["segmentation"] = [new, None]
    Reviews(audit.pin()).add(frame, origin="test", missing=missing)
    after = _accepted_boxes(audit)[1]
    assert (before[2] == after[2]).all()
    assert [30, 20, 7, 9] in after[1].tolist()
    assert [30, 20, 7, 9] in after[3].tolist()
    assert [len(after[k]) - len(before[k]) for k in (1, 2, 3)] == [-1, 0, 1]
    old = audit.masks(["bbox_x", "bbox_y", "bbox_w", "bbox_h"]).loc[[1, 2]].to_numpy().tolist()
    assert all(one not in after[1].tolist() for one in old)
