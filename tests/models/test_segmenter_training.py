"""From annotated masks to a segmenter and back: trained, killed, resumed, refused."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import tiny_models
import tiny_sam
import torch
from PIL import Image

import curate
from curate.common.files import umask
from curate.common.fingerprint import fingerprint
from curate.errors import AuditError, CallError, SourceError
from curate.networks.loading import load_segmenter
from curate.networks.segmenter_training import segmenter_fitting, train_on_datasets
from curate.networks.segmenter_training.training_masks import read_training_masks
from curate.networks.segmenter_training.validation import bootstrap_interval
from curate.networks.segmenters.small_sam import build_small_sam
from curate.networks.segmenters.trainable_segmenter import TrainableSegmenter
from curate.networks.segmenters.transformers_sam import TransformersSegmenter
from curate.people.reviews import Reviews
from curate.rle import encode_counts, from_dense

IMAGES = 14
SMALL: dict[str, Any] = {"size": 64, "epochs": 2, "device": "cpu"}


@pytest.fixture(autouse=True, scope="module")
def _one_thread():
    """Of networks this small several threads only wait for each other."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


class Killed(BaseException):
    """A process that ends here."""


def write_dataset(
    folder: Path, count: int = IMAGES, seed: int = 0, *, inverted: bool = False
) -> Path:
    """Write drawings as COCO with its pictures: a crowd region, an empty mask, a bare image."""
    (folder / "images").mkdir(parents=True)
    images: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    for k, drawn in enumerate(tiny_sam.drawings(count, seed)):
        height, width = drawn.image.shape[:2]
        shown = 255 - drawn.image if inverted else drawn.image
        Image.fromarray(shown).save(folder / "images" / f"{k}.png")
        images.append({"id": k, "file_name": f"{k}.png", "height": height, "width": width})
        for mask in drawn.masks:
            counts = encode_counts(from_dense(mask))[0].as_py().decode()
            annotations.append(
                {"id": len(annotations) + 1, "image_id": k, "category_id": 1, "iscrowd": 0}
                | {"segmentation": {"size": [height, width], "counts": counts}}
                | {"bbox": [0, 0, 1, 1], "area": int(mask.sum())}
            )
    crowd = annotations[0] | {"id": 1001, "iscrowd": 1}
    empty = annotations[0] | {"id": 1002, "segmentation": []}
    Image.new("RGB", (64, 64)).save(folder / "images" / "bare.png")
    images.append({"id": count, "file_name": "bare.png", "height": 64, "width": 64})
    coco = {"images": images, "annotations": [*annotations, crowd, empty]}
    source = folder / "instances.json"
    source.write_text(json.dumps(coco | {"categories": [{"id": 1, "name": "shape"}]}))
    return source


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    source = write_dataset(tmp_path_factory.mktemp("shapes"))
    (source.parent / "images" / "3.png").write_bytes(b"no picture")
    return source


@pytest.fixture(scope="module")
def trained(dataset, tmp_path_factory):
    return curate.train_segmenter(dataset, tmp_path_factory.mktemp("s") / "sam", **SMALL)


@pytest.fixture(scope="module")
def untrained_sam(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tiny") / "sam"
    tiny_models.tiny("sam").save_pretrained(folder)
    return str(folder)


def weights_of(folder: Path) -> bytes:
    return (folder / "model.safetensors").read_bytes()


def test_the_record_says_what_it_was_trained_on_and_how_well_it_does(dataset, trained):
    record = json.loads((trained.path / "training.json").read_text())
    assert record["difference"] == trained.record["difference"]
    reached, before = record["validation"], record["before"]
    assert record["difference"]["iou"] == pytest.approx(reached["iou"] - before["iou"])
    for one in (reached, before):
        assert 0 <= one["low"] <= one["iou"] <= one["high"] <= 1
        assert one["iou"] == pytest.approx((one["box_iou"] + one["point_iou"]) / 2)
    assert reached["iou"] == pytest.approx(max(epoch["iou"] for epoch in record["history"]))
    counts, (about,) = record["counts"], record["datasets"]
    assert counts["images"] + counts["held_out_images"] == about["images"] == IMAGES - 1
    assert counts["masks"] + counts["held_out_masks"] == about["masks"]
    assert about["fingerprint"] == fingerprint(dataset)
    assert about["left_out"] == {
        "crowd_regions": 1,
        "unusable_masks": 1,
        "images_without_masks": 1,
        "images_without_picture": 1,
    }
    assert len(record["history"]) == 2
    assert record["start"]["name"] is None
    keys = record["picture_keys"]
    assert not set(keys["train"]) & set(keys["held_out"])
    names = [one["file_name"] for side in record["images"].values() for one in side]
    assert sorted(names) == sorted(f"{k}.png" for k in range(IMAGES) if k != 3)
    text = trained.text()
    assert "the mean IoU of its masks is" in text
    assert "1 image without a picture that opens, 1 image without masks, 1 crowd region" in text
    assert "picture_keys" not in trained.as_dict()


def test_it_is_loaded_as_a_segmenter_and_by_the_library(dataset, trained):
    import transformers

    segmenter = load_segmenter(str(trained.path), device="cpu")
    picture = np.asarray(Image.open(dataset.parent / "images" / "0.png").convert("RGB"))
    assert segmenter.embed([picture])[0].frame.side == 64
    model = transformers.SamModel.from_pretrained(trained.path, local_files_only=True)
    assert model.config.vision_config.image_size == 64
    about = json.loads((trained.path / "preprocessor_config.json").read_text())
    assert about["size"] == {"longest_edge": 64}
    rights = {path.stat().st_mode & 0o777 for path in trained.path.iterdir()}
    assert rights == {0o666 & ~umask()}


def test_a_killed_training_resumes_to_the_same_weights(dataset, trained, tmp_path, monkeypatch):
    save = segmenter_fitting.save_checkpoint

    def save_and_die(*arguments):
        save(*arguments)
        raise Killed

    out = tmp_path / "sam"
    with monkeypatch.context() as patched:
        patched.setattr(segmenter_fitting, "save_checkpoint", save_and_die)
        with pytest.raises(Killed):
            curate.train_segmenter(dataset, out, **SMALL)
    assert not (out / "training.json").exists()
    with pytest.raises(SourceError, match="its training has not ended"):
        load_segmenter(str(out), device="cpu")

    def die(*_):
        raise Killed

    with monkeypatch.context() as patched:  # all is there but the record
        patched.setattr(train_on_datasets, "write_json", die)
        with pytest.raises(Killed):
            curate.train_segmenter(dataset, out, **SMALL)
    assert weights_of(out) == weights_of(trained.path)
    with pytest.raises(SourceError, match="its training has not ended"):
        load_segmenter(str(out), device="cpu")
    again = curate.train_segmenter(dataset, out, **SMALL)
    assert weights_of(out) == weights_of(trained.path)
    for name in ("validation", "before", "difference", "weights"):
        assert again.record[name] == trained.record[name]
    assert {p.name for p in out.iterdir()} == {p.name for p in trained.path.iterdir()}


def test_finished_it_is_not_trained_again(dataset, trained):
    before = (trained.path / "model.safetensors").stat().st_mtime_ns
    assert curate.train_segmenter(dataset, trained.path, **SMALL).record == trained.record
    assert (trained.path / "model.safetensors").stat().st_mtime_ns == before
    with pytest.raises(AuditError, match=r"\(seed was 0, is 1 now\); .* pass --restart"):
        curate.train_segmenter(dataset, trained.path, **(SMALL | {"seed": 1}))


def test_a_checkpoint_of_another_training_is_refused_and_thrown_away(dataset, tmp_path):
    out = tmp_path / "sam"
    work = out / "work"
    work.mkdir(parents=True)
    (work / "checkpoint.safetensors").write_bytes(b"half of one")
    once = SMALL | {"epochs": 1}
    with pytest.raises(SourceError, match="it is no checkpoint of a training; pass --restart"):
        curate.train_segmenter(dataset, out, **once)
    done = curate.train_segmenter(dataset, out, restart=True, **once)
    assert done.record["best_epoch"] == 1
    assert not work.exists()


def test_with_a_frozen_encoder_images_are_embedded_once(
    dataset, untrained_sam, tmp_path, monkeypatch
):
    embedded, embed = [], TransformersSegmenter._embed

    def count(self, images):
        embedded.extend(images)
        return embed(self, images)

    monkeypatch.setattr(TransformersSegmenter, "_embed", count)
    call = {"start": untrained_sam, "epochs": 3, "device": "cpu"}
    done = curate.train_segmenter(dataset, tmp_path / "sam", **call)
    assert len(embedded) == IMAGES - 1
    assert not done.record["encoder_trained"]
    assert "image encoder left as it was" in done.text()
    before, after = (load_segmenter(str(p), device="cpu") for p in (untrained_sam, done.path))
    assert isinstance(before, TransformersSegmenter)
    assert isinstance(after, TransformersSegmenter)
    changed = {
        name.partition(".")[0]
        for (name, old), new in zip(
            before.model.named_parameters(), after.model.parameters(), strict=True
        )
        if not torch.equal(old, new)
    }
    assert changed == {"mask_decoder", "prompt_encoder"}


@pytest.mark.parametrize("name", ["sam", "sam_hq", "sam2"])
@pytest.mark.parametrize("encoder", [False, True])
def test_each_architecture_is_trained_and_loaded_again(name, encoder, dataset, tmp_path):
    tiny_models.tiny(name).save_pretrained(tmp_path / "start")
    call = {"start": str(tmp_path / "start"), "epochs": 1, "device": "cpu", "encoder": encoder}
    done = curate.train_segmenter(dataset, tmp_path / "made", **call)
    assert done.record["encoder_trained"] is encoder
    made = load_segmenter(str(done.path), device="cpu")
    assert isinstance(made, TransformersSegmenter)
    old = load_segmenter(str(tmp_path / "start"), device="cpu")
    assert isinstance(old, TransformersSegmenter)
    assert made.kind == old.kind
    same = [
        torch.equal(a, b)
        for (n, a), b in zip(old.model.named_parameters(), made.model.parameters(), strict=True)
        if n.startswith("vision_encoder.") and a.ndim > 1
    ]
    assert all(same) is not encoder


@pytest.mark.parametrize("name", ["sam", "sam_hq", "sam2"])
def test_features_with_gradients_are_those_without(name, tmp_path):
    tiny_models.tiny(name).save_pretrained(tmp_path)
    segmenter = load_segmenter(str(tmp_path), device="cpu")
    assert isinstance(segmenter, TransformersSegmenter)
    picture = tiny_sam.drawings(1, seed=3)[0].image
    found = TrainableSegmenter(segmenter, True).encode(segmenter.prepare(picture)[None])
    for mine, theirs in zip(found, segmenter.embed([picture])[0].parts, strict=True):
        torch.testing.assert_close(mine.detach(), theirs)
        assert mine.requires_grad


def test_a_few_epochs_raise_the_validation_iou(tmp_path):
    model = build_small_sam(side=64, patch=8, hidden=32, layers=1, decoder=32)
    model.save_pretrained(tmp_path / "start")
    source = write_dataset(tmp_path / "more", count=24, seed=1)
    call = {"start": str(tmp_path / "start"), "encoder": True, "learning_rate": 5e-3}
    done = curate.train_segmenter(
        source, tmp_path / "sam", epochs=4, prompts=4, device="cpu", **call
    )
    assert done.record["difference"]["low"] > 0.1
    losses = [epoch["loss"] for epoch in done.record["history"]]
    assert losses == sorted(losses, reverse=True)


@pytest.mark.slow  # a segmenter that draws shapes is trained first
def test_a_segmenter_gets_used_to_other_pictures(trained_sam, tmp_path):
    """Dark shapes on a bright ground, where it has only seen the contrary."""
    source = write_dataset(tmp_path / "dark", count=50, seed=2, inverted=True)
    call = {"start": str(trained_sam), "learning_rate": 5e-4}
    done = curate.train_segmenter(source, tmp_path / "sam", epochs=12, device="cpu", **call)
    assert done.record["difference"]["low"] > 0.4
    assert done.record["validation"]["box_iou"] > 0.5
    assert not done.record["encoder_trained"]


def test_accepted_masks_of_an_audit_are_taken_as_people_left_them(dataset, tmp_path):
    keep_all = {"name": "all", "rule": []}
    audit = curate.audit(dataset, tmp_path / "a", images=dataset.parent / "images", policy=keep_all)
    before = {one.image_id: one for one in read_training_masks([audit], [None], None, None).images}
    assert 3 not in before  # its picture does not open
    first = next(iter(audit.masks(["image_id"], where="image_id = 0").index))
    height, width = int(before[0].runs.heights[0]), int(before[0].runs.widths[0])
    square = np.zeros((height, width), bool)
    square[5:15, 5:20] = True
    new = encode_counts(from_dense(square))[0].as_py()
    frame = pd.DataFrame({"mask_id": [first], "action": ["fix"], "reviewer": "ann"})
    frame["segmentation"] = [new]
    missing = pd.DataFrame({"image_id": [0], "segmentation": [new], "reviewer": "ann"})
    Reviews(audit.pin()).add(frame, origin="test", missing=missing)
    found = read_training_masks([tmp_path / "a"], [None], None, None)
    after = {one.image_id: one for one in found.images}
    assert len(after[0].runs) == len(before[0].runs) + 1
    drawn = [bytes(one.as_py()) for one in encode_counts(after[0].runs)]
    assert drawn.count(bytes(new)) == 2
    assert found.datasets[0]["kind"] == "audit"


def test_what_looks_like_a_held_out_picture_is_not_trained_on(dataset, tmp_path):
    """In a second dataset a picture comes again, compressed."""
    other = tmp_path / "other"
    source = write_dataset(other, count=3, seed=9)
    shown = Image.open(dataset.parent / "images" / "0.png").convert("RGB")
    coco = json.loads(source.read_text())
    shown.save(other / "images" / "0.jpg", quality=90)
    (other / "images" / "0.png").unlink()
    size = {"file_name": "0.jpg", "width": shown.width, "height": shown.height}
    coco["images"][0] |= size
    whole = [0, 0, shown.width, 0, shown.width, shown.height]
    own = {"id": 1, "image_id": 0, "category_id": 1, "iscrowd": 0, "segmentation": [whole]}
    rest = [one for one in coco["annotations"] if one["image_id"] != 0]
    source.write_text(json.dumps(coco | {"annotations": [own | {"id": 1}, *rest]}))
    names = tmp_path / "names.txt"
    names.write_text("0.png\n1.png\n\n")
    call = SMALL | {"epochs": 1, "validation": names}
    done = curate.train_segmenter([dataset, source], tmp_path / "sam", **call)
    held = {(one["dataset"], one["file_name"]) for one in done.record["images"]["held_out"]}
    train = {(one["dataset"], one["file_name"]) for one in done.record["images"]["train"]}
    assert held == {(0, "0.png"), (0, "1.png"), (1, "1.png")}
    assert (1, "0.jpg") not in train
    assert done.record["counts"]["too_close"] == 1
    assert "1 image that looks like a held-out one" in done.text()
    assert [one["kind"] for one in done.record["datasets"]] == ["dataset", "dataset"]


def test_where_memory_runs_out_the_batch_is_halved(dataset, tmp_path, monkeypatch):
    sizes, compute = [], segmenter_fitting.compute_gradients

    def short_of_memory(trained, features, sample, *others):
        sizes.append(len(sample.pixels))
        if sizes[-1] > 2:
            raise RuntimeError("CUDA out of memory")
        return compute(trained, features, sample, *others)

    monkeypatch.setattr(segmenter_fitting, "compute_gradients", short_of_memory)
    curate.train_segmenter(dataset, tmp_path / "sam", **(SMALL | {"epochs": 1}))
    assert sizes[0] == 4
    assert max(sizes[1:]) == 2


def test_wrong_calls(dataset, untrained_sam, tmp_path):
    out = tmp_path / "sam"

    def refuse(message: str, error: type[Exception] = CallError, **call: Any) -> None:
        given = {"datasets": dataset, "out": out} | SMALL | call
        with pytest.raises(error, match=message):
            curate.train_segmenter(**given)
        assert not out.exists()

    refuse("--epochs is 0", epochs=0)
    refuse("--prompts is 0", prompts=0)
    refuse("--held-out is 2", held_out=2)
    refuse("--size is 100; give a multiple of 8", size=100)
    refuse("--size is the input of a new segmenter", start=untrained_sam)
    refuse("no dataset is given", datasets=[])
    refuse("2 folders of pictures are given for 1 dataset", images=[tmp_path, tmp_path])
    refuse("there is no such file or folder", SourceError, datasets=tmp_path / "none.json")
    refuse("1 of 2 pictures to hold out .* nothing.png first", validation=["0.png", "nothing.png"])
    refuse("names no picture to hold out", validation=[])
    refuse("it is a folder; give a text file", SourceError, validation=tmp_path)
    few = tmp_path / "few"
    refuse("training needs 10; give more images", datasets=write_dataset(few, count=4))
    (few / "images").rename(few / "elsewhere")
    refuse("no pictures beside it; give --images DIR", datasets=few / "instances.json")
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "text").write_text("mine")
    with pytest.raises(AuditError, match="it holds something else"):
        curate.train_segmenter(dataset, tmp_path / "mine", **SMALL)


def test_segmenters_that_cannot_be_trained(dataset, tmp_path):
    (tmp_path / "onnx").mkdir()
    (tmp_path / "onnx" / "encoder.onnx").write_bytes(b"")
    tiny_models.tiny("sam3_tracker").save_pretrained(tmp_path / "sam3")
    call = {"device": "cpu"}
    with pytest.raises(CallError, match="it holds ONNX exports, which have no weights"):
        curate.train_segmenter(dataset, tmp_path / "a", start=str(tmp_path / "onnx"), **call)
    with pytest.raises(CallError, match="a Sam3TrackerModel, which curate cannot train"):
        curate.train_segmenter(dataset, tmp_path / "a", start=str(tmp_path / "sam3"), **call)
    with pytest.raises(CallError, match="cannot be had from the hub"):
        curate.train_segmenter(dataset, tmp_path / "a", start="nobody/nothing", **call)


def test_a_loss_that_is_not_finite_ends_it(dataset, tmp_path):
    model = tiny_models.tiny("sam")
    with torch.no_grad():
        model.mask_decoder.iou_prediction_head.proj_out.weight.fill_(1e30)
    model.save_pretrained(tmp_path / "start")
    start = str(tmp_path / "start")
    with pytest.raises(CallError, match=r"the loss is (inf|nan) after 0 steps.*--learning-rate"):
        curate.train_segmenter(dataset, tmp_path / "a", start=start, device="cpu")


def test_the_interval_is_over_images():
    sums, counts = np.array([1.0, 30.0]), np.array([10.0, 30.0])
    assert bootstrap_interval(sums, counts) == pytest.approx((0.1, 1.0))
    assert bootstrap_interval(sums[:1], counts[:1]) == (None, None)


def test_the_command_prints_what_to_do_next(dataset, tmp_path, capfd):
    from curate.cli.exit_codes import run

    words = ["train-segmenter", str(dataset), "--out", str(tmp_path / "sam"), "--size", "64"]
    assert run([*words, "--epochs", "1", "--device", "cpu"]) == 0
    said = capfd.readouterr()
    assert "the mean IoU of its masks is" in said.out
    assert f"--segmenter {tmp_path / 'sam'}" in said.err
    assert "curate generate" in said.err
    assert "curate audit" in said.err
    assert run([*words, "--epochs", "1", "--device", "cpu", "--json"]) == 0
    assert json.loads(capfd.readouterr().out)["counts"]["images"] > 0
    shutil.rmtree(tmp_path / "sam")
