"""Verifiers from a dataset's own masks to an audit: trained, killed, resumed, refused, judging."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import tiny_exhaustivity
import torch
from PIL import Image
from shapes_dataset import SIZE, write_shapes

import curate
from curate import cli
from curate.errors import AuditError, CallError, CurateError, SourceError
from curate.networks.runtime import hub
from curate.networks.runtime.devices import AdaptiveBatches
from curate.networks.runtime.picture_keys import hash_pixels
from curate.networks.training import averaged_fitting
from curate.networks.verifier_training import train_on_dataset, verifier_fitting
from curate.networks.verifier_training.corruptions import KINDS, WRONG_CATEGORY
from curate.networks.verifier_training.verifier_result import VerifierTraining
from curate.networks.verifiers import verifier as verifier_module
from curate.networks.verifiers.verifier import load_verifier
from curate.networks.verifiers.verifier_network import VerifierShape
from curate.rle import concat, from_dense

IMAGES = 36
TRIED = 4
SMALL: dict[str, Any] = {"rounds": 2, "batch": 2, "device": "cpu"}


@pytest.fixture(autouse=True, scope="module")
def _small_and_on_one_thread():
    """Of networks this small several threads only wait for each other."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(verifier_fitting, "STEPS_PER_ROUND", 3)
        patch.setattr(train_on_dataset, "TRIED", TRIED)
        patch.setattr(
            train_on_dataset, "VerifierShape", lambda **sizes: VerifierShape(width=4, **sizes)
        )
        tiny_exhaustivity.shrink(patch)
        yield
    torch.set_num_threads(before)


class Killed(BaseException):
    """A process that ends here."""


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    source = write_shapes(tmp_path_factory.mktemp("shapes"), IMAGES)
    (source.parent / "images" / "3.png").write_bytes(b"no picture")
    return source


@pytest.fixture(scope="module")
def trained(dataset, tmp_path_factory):
    return curate.train_verifier(dataset, tmp_path_factory.mktemp("v") / "verifier", **SMALL)


def picture_of(dataset: Path, number: int) -> np.ndarray[Any, Any]:
    return np.asarray(Image.open(dataset.parent / "images" / f"{number}.png").convert("RGB"))


def test_the_record_says_what_it_was_trained_on_and_how_well_it_does(dataset, trained):
    record = json.loads((trained.path / "training.json").read_text())
    assert record["counts"] == {
        "images": IMAGES - 1,
        "masks": 3 * (IMAGES - 1),
        "small_masks": 0,
        "images_beyond_memory": 0,
    }
    assert record["datasets"][0]["left_out"]["images_without_picture"] == 1
    tried = record["held_out"]
    assert tried["masks"] == 3 * TRIED
    assert tried["corrupted"] == 2 * tried["masks"]
    assert all(auc is None or 0 <= auc <= 1 for auc in tried["auc"].values())
    assert list(tried["auc"])[-1] == "wrong category"
    assert -1 <= tried["iou_correlation"] <= 1
    assert record["rounds"] == [2, 2, 2]
    assert [row["round"] for row in record["history"]["fold-1"]] == [1, 2]
    text = trained.text()
    assert "3 networks, trained on 105 masks of 35 images" in text
    assert "1 image without a picture that opens (not judged either)" in text
    assert "history" not in trained.as_dict()


def test_no_image_is_judged_by_a_network_that_was_trained_on_it(dataset, tmp_path, monkeypatch):
    """What each network was given is seen here, and held against who judges each picture."""
    learnt: list[set[str]] = []
    fit = train_on_dataset.fit_verifier

    def watch(objects: Any, *rest: Any, **more: Any) -> Any:
        learnt.append({hash_pixels(np.asarray(one.picture)) for one in objects})
        return fit(objects, *rest, **more)

    monkeypatch.setattr(train_on_dataset, "fit_verifier", watch)
    copied = shutil.copytree(dataset.parent, tmp_path / "copied")
    shutil.copy(copied / "images" / "5.png", copied / "images" / "6.png")  # one picture twice
    made = curate.train_verifier(copied / "instances.json", tmp_path / "v", **SMALL)
    judge = load_verifier(str(made.path), device="cpu")
    assert len(learnt) == 3
    for number in range(IMAGES):
        if number == 3:
            continue
        picture = picture_of(copied / "instances.json", number)
        (only,) = judge.judges_of(picture)
        key = hash_pixels(picture)
        assert key not in learnt[only]
        assert all(key in seen for k, seen in enumerate(learnt) if k != only)
    unseen = np.zeros((*SIZE, 3), np.uint8)
    assert judge.judges_of(unseen) == (0, 1, 2)


def test_only_the_judges_of_a_picture_are_asked(dataset, trained, monkeypatch):
    judge = load_verifier(str(trained.path), device="cpu")
    asked: list[Any] = []
    run = verifier_module.run_network

    def watch(network: Any, *inputs: Any) -> Any:
        asked.append(network)
        return run(network, *inputs)

    monkeypatch.setattr(verifier_module, "run_network", watch)
    picture = picture_of(dataset, 0)
    mask = from_dense(picture.mean(axis=2) > 130)
    alone = judge.judge(picture, mask, ["disc"])
    (only,) = judge.judges_of(picture)
    assert {id(one) for one in asked} == {id(judge.networks[only])}
    asked.clear()
    changed = picture.copy()
    changed[0, 0] ^= 255
    mean = judge.judge(changed, mask, ["disc"])
    assert {id(one) for one in asked} == {id(one) for one in judge.networks}
    for found in (alone, mean):
        assert 0 <= found.good[0] <= 1


def test_masks_too_small_to_be_trained_on_are_not_judged(dataset, trained):
    judge = load_verifier(str(trained.path), device="cpu")
    drawn = np.zeros((3, *SIZE), np.bool_)
    drawn[0, 10:13, 10:23] = True  # 39 px
    drawn[1, 10:14, 10:20] = True  # 40 px
    found = judge.judge(
        picture_of(dataset, 0), concat([from_dense(one) for one in drawn]), ["disc"] * 3
    )
    np.testing.assert_array_equal(np.isnan(found.good), [True, False, True])
    assert np.isnan(found.iou[[0, 2]]).all()
    assert (found.kind[[0, 2]] == -1).all()


def test_the_result_says_what_was_not_trained_on_and_not_measured(trained):
    record = trained.record
    unmeasured = {**record["exhaustivity"], "images_auc": None, "images_auc_low": None}
    changed = {"counts": {**record["counts"], "small_masks": 2}, "exhaustivity": unmeasured}
    said = VerifierTraining(trained.path, {**record, **changed}).text()
    assert "not trained on: 2 masks under 40 px (not judged either)" in said
    assert "whether it sees objects without a mask was not measured: it was tried on" in said
    assert "unknown" not in said


def test_the_same_seed_gives_the_same_weights_also_after_a_kill(
    dataset, trained, tmp_path, monkeypatch
):
    monkeypatch.setattr(averaged_fitting, "CHECKPOINT_S", 0.0)
    out = tmp_path / "v"

    steps: list[str] = []

    def kill(stage: str, done: float, of: int, masks: int) -> None:
        del done, of
        steps.extend([stage] if masks else [])
        if steps.count("network 2 of 3") == 4:  # within its second round, of 3 steps
            raise Killed

    with pytest.raises(Killed):
        curate.train_verifier(dataset, out, **SMALL, progress=kill)
    with pytest.raises(SourceError, match="its training has not ended"):
        load_verifier(str(out), device="cpu")
    resumed: list[str] = []
    curate.train_verifier(
        dataset,
        out,
        **SMALL,
        progress=lambda stage, done, of, masks: resumed.extend([stage] if masks else []),
    )
    missing = [f"missing masks, network {k} of 3" for k in (1, 2, 3) for _ in range(4)]
    assert resumed == 2 * ["network 2 of 3"] + 6 * ["network 3 of 3"] + missing
    for name in ("model.safetensors", "config.json"):
        assert (out / name).read_bytes() == (trained.path / name).read_bytes()
    assert sorted(path.name for path in out.iterdir()) == sorted(
        path.name for path in trained.path.iterdir()
    )
    again = curate.train_verifier(dataset, out, **SMALL)
    assert again.record["history"] == json.loads((out / "training.json").read_text())["history"]
    for fold, rows in again.record["history"].items():
        for row, uninterrupted in zip(rows, trained.record["history"][fold], strict=True):
            assert row | {"s": 0} == uninterrupted | {"s": 0}


def test_a_folder_with_another_training_is_left_alone(dataset, trained, tmp_path):
    before = (trained.path / "model.safetensors").read_bytes()
    with pytest.raises(AuditError, match="seed"):
        curate.train_verifier(dataset, trained.path, **SMALL, seed=1)
    assert (trained.path / "model.safetensors").read_bytes() == before
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(AuditError):
        curate.train_verifier(dataset, tmp_path, **SMALL)


def test_a_time_limit_ends_it_early(dataset, tmp_path):
    done = curate.train_verifier(dataset, tmp_path / "v", minutes=1e-6, **(SMALL | {"rounds": 9}))
    assert done.record["steps"] == [1, 1, 1]
    assert done.record["stopped_early"]
    assert done.record["held_out"]["masks"] == 3 * TRIED
    assert "its time was over after 1 of 27 steps a network" in done.text()


def test_a_time_limit_holds_within_a_round_and_is_shared(dataset, tmp_path, monkeypatch):
    """A clock that goes on by a second each time a step asks for it stands for a slow machine."""
    seconds = iter(range(10**6))
    monkeypatch.setattr(averaged_fitting.time, "monotonic", lambda: float(next(seconds)))
    monkeypatch.setattr(verifier_fitting, "STEPS_PER_ROUND", 50)
    monkeypatch.setattr(train_on_dataset, "TRIAL_SHARE", 0.1)
    told: list[tuple[str, float, int, int]] = []
    out = tmp_path / "v"
    done = curate.train_verifier(
        dataset, out, minutes=1, **SMALL, progress=lambda *one: told.append(one)
    )
    steps = done.record["steps"]
    assert min(steps) > 2
    assert max(steps) < 20
    assert max(steps) - min(steps) <= 4
    first = [one for one in told if one[0] == "network 1 of 3"]
    assert len(first) == steps[0] + 1
    assert {masks for *_, masks in first[1:]} == {2}
    assert first[-1][1] == first[-1][2] == 2  # all of its time is over, and so is the bar


def test_a_limit_after_a_kill_leaves_the_other_networks_their_share(dataset, tmp_path, monkeypatch):
    seconds = iter(range(10**6))
    monkeypatch.setattr(averaged_fitting.time, "monotonic", lambda: float(next(seconds)))
    monkeypatch.setattr(verifier_fitting, "STEPS_PER_ROUND", 50)
    monkeypatch.setattr(averaged_fitting, "CHECKPOINT_S", 0.0)
    told: list[str] = []

    def kill(stage: str, done: float, of: int, masks: int) -> None:
        del done, of
        told.extend([stage] if masks else [])
        if len(told) == 15:
            raise Killed

    with pytest.raises(Killed):
        curate.train_verifier(dataset, tmp_path / "v", **SMALL, progress=kill)
    done = curate.train_verifier(dataset, tmp_path / "v", **SMALL, minutes=0.5)  # 10 s a network
    assert done.record["steps"][0] == 15
    assert min(done.record["steps"]) > 1


def test_more_time_trains_on_to_the_same_end(dataset, trained, tmp_path):
    """What ended early goes on, with more minutes or none; without a limit the end is the same."""
    out = tmp_path / "v"
    early = curate.train_verifier(dataset, out, minutes=1e-6, **SMALL)
    weights = (out / "model.safetensors").read_bytes()
    load_verifier(str(out), device="cpu")
    again = curate.train_verifier(dataset, out, minutes=1e-6, **SMALL)
    assert again.record == early.record
    more = curate.train_verifier(dataset, out, minutes=2e-6, **SMALL)
    assert more.record["minutes"] == 2e-6
    assert min(more.record["steps"]) >= 1
    whole = curate.train_verifier(dataset, out, **SMALL)
    assert whole.record["steps"] == trained.record["steps"] == [6, 6, 6]
    assert not whole.record["stopped_early"]
    assert (out / "model.safetensors").read_bytes() != weights
    assert sorted(path.name for path in out.iterdir()) == sorted(
        path.name for path in trained.path.iterdir()
    )
    load_verifier(str(out), device="cpu")
    with pytest.raises(AuditError, match="batch was 2, is 5 now"):
        curate.train_verifier(dataset, out, **(SMALL | {"batch": 5}))


@pytest.mark.parametrize(
    ("images", "settings", "what"),
    [
        (17, {}, "only 51 masks of 40 px or more; training needs 100"),
        (1, {}, "only 1 different image with masks and a picture that opens; 3 networks need 6"),
        (
            5,
            {},
            "only 5 different images with masks and a picture that opens; 3 networks need 6",
        ),
        (40, {"folds": 1}, "every mask would be judged by one that was trained on it"),
        (40, {"minutes": 0}, "minutes"),
        (40, {"images": "nowhere"}, "there is no such folder of images"),
    ],
)
def test_what_cannot_be_trained_is_refused(tmp_path, images, settings, what):
    source = write_shapes(tmp_path / "data", images)
    with pytest.raises(CurateError, match=what):
        curate.train_verifier(source, tmp_path / "v", **(SMALL | settings))
    assert not (tmp_path / "v" / "training.json").exists()


def test_one_category_is_none(tmp_path):
    source = write_shapes(tmp_path / "data", categories=1)
    done = curate.train_verifier(source, tmp_path / "v", **SMALL)
    assert "wrong category" not in done.record["held_out"]["auc"]
    assert json.loads((done.path / "config.json").read_text())["categories"] == []


def test_an_audit_has_its_columns_and_reasons(dataset, trained, tmp_path):
    out = tmp_path / "a.audit"
    images = dataset.parent / "images"
    audit = curate.audit(dataset, out, images=images, verifier=str(trained.path), device="cpu")
    masks = audit.masks()
    without = masks["image_id"] == 3
    assert masks.loc[~without, "verifier_score"].between(0, 1).all()
    assert masks.loc[without, "verifier_score"].isna().all()
    model = audit.info.models["verifier"]
    assert model["name"] == str(trained.path)
    assert model["held_out_auc"] == trained.record["held_out"]["mean_auc"]
    (signal,) = [one for one in audit.info.signals if one["name"] == "verifier"]
    assert signal["available"]
    assert "verifier_score" in audit.info.references["quality"]
    other = curate.audit(dataset, tmp_path / "b.audit", images=images)
    (signal,) = [one for one in other.info.signals if one["name"] == "verifier"]
    assert "--verifier MODEL" in signal["why"]


def rate(folder: Path, auc: float, r: float, precision: dict[str, float]) -> None:
    """Write into a verifier's folder what was measured of it."""
    config = json.loads((folder / "config.json").read_text())
    shares = dict.fromkeys(config["kinds"], None) | precision
    config["held_out"] = {"mean_auc": auc, "iou_correlation": r, "kind_precision": shares}
    (folder / "config.json").write_text(json.dumps(config))


@pytest.fixture
def audit_rated(dataset, trained, tmp_path, monkeypatch):
    """Return what audits with a verifier that doubts every mask and of which so much is known."""
    monkeypatch.setattr(verifier_module, "_sigmoid", lambda logits: np.full(len(logits), 0.2))

    def audit(name: str, *rated: Any) -> Any:
        folder = shutil.copytree(trained.path, tmp_path / f"{name}-model")
        rate(folder, *rated)
        images = dataset.parent / "images"
        out = tmp_path / name
        return curate.audit(dataset, out, images=images, verifier=str(folder), device="cpu")

    return audit


def test_a_weak_verifier_counts_for_nothing_and_names_nothing(audit_rated):
    """As after minutes too few: what it says of kinds and IoU is a guess, and nobody hears it."""
    audit = audit_rated("weak", 0.58, 0.1, {"holes": 0.3})
    masks = audit.masks()
    assert masks["verifier_score"].notna().any()
    assert masks["verifier_kind"].isna().all()
    assert masks["verifier_iou"].isna().all()
    assert not masks["reasons"].fillna("").str.contains("looks wrong in its picture").any()
    assert audit.info.references["quality"]["verifier_score"]["weight"] == 0
    (note,) = [one for one in audit.info.notes if one["kind"] == "weak_verifier"]
    assert (note["of"], note["examples"]) == ("models", [])
    assert "its AUC is 0.58 on held-out images" in note["text"]
    assert "does not count in quality_score" in note["text"]


def test_a_reason_names_only_what_was_measured_to_be_right(audit_rated):
    known = audit_rated("known", 0.9, 0.8, dict.fromkeys((*KINDS, WRONG_CATEGORY), 0.6))
    masks = known.masks()
    judged = masks["verifier_score"].notna()
    assert masks.loc[judged, "verifier_kind"].notna().all()
    assert masks.loc[judged, "verifier_iou"].notna().all()
    assert not [one for one in known.info.notes if one["kind"] == "weak_verifier"]
    half = audit_rated("half", 0.725, 0.8, {})
    assert half.info.references["quality"]["verifier_score"]["weight"] == 0.5
    (note,) = [one for one in half.info.notes if one["kind"] == "weak_verifier"]
    assert "counts for 50% in quality_score" in note["text"]


def test_the_precision_of_a_kind_is_of_the_masks_named_after_it():
    kind = np.array([0] * 10 + [1] * 10 + [2] * 10)
    named = np.array([2] * 10 + [1] * 10 + [2] * 6 + [1] * 4)
    good = np.array([0.4] * 2 + [0.9] * 8 + [0.1] * 20)
    trial = verifier_fitting.VerifierTrial(good, good, good, kind, named, kind)
    found = train_on_dataset.measure_trials([trial], ["shifted", "holes"])
    assert found["kind_precision"] == {"shifted": 10 / 14, "holes": None}  # 8 named: too few
    assert found["kind_accuracy"] == 16 / 20


def test_a_verifier_needs_pictures(trained, tmp_path):
    source = write_shapes(tmp_path / "data", 3)
    shutil.rmtree(source.parent / "images")
    with pytest.raises(CallError, match="needs pictures"):
        curate.audit(source, tmp_path / "a.audit", verifier=str(trained.path), device="cpu")


@pytest.mark.parametrize("kind", ["16 bit", "gray"])
def test_pictures_of_other_depths_are_judged(trained, tmp_path, kind):
    source = write_shapes(tmp_path / "data", 4)
    for path in (source.parent / "images").iterdir():
        gray = np.asarray(Image.open(path).convert("L"))
        Image.fromarray(gray.astype(np.uint16) * 200 if kind == "16 bit" else gray).save(path)
    audit = curate.audit(
        source,
        tmp_path / "a.audit",
        images=source.parent / "images",
        verifier=str(trained.path),
        device="cpu",
    )
    assert audit.masks()["verifier_score"].notna().all()


def test_the_batch_is_halved_where_memory_runs_out(dataset, trained, monkeypatch):
    judge = load_verifier(str(trained.path), device="cpu")
    picture = picture_of(dataset, 0)
    mask = picture.mean(axis=2) > 130
    runs = from_dense(mask)[np.zeros(5, int)]
    whole = judge.judge(picture, runs)
    run = verifier_module.run_network

    def scarce(network: Any, close: Any, *rest: Any) -> Any:
        if len(close) > 2:
            raise MemoryError
        return run(network, close, *rest)

    monkeypatch.setattr(verifier_module, "run_network", scarce)
    few = load_verifier(str(trained.path), device="cpu")
    halved = few.judge(picture, runs)
    assert isinstance(few.batches, AdaptiveBatches)
    assert few.batches.size == 2
    np.testing.assert_allclose(halved.good, whole.good, atol=1e-5)


def test_the_training_batch_is_halved_where_memory_runs_out(dataset, tmp_path, monkeypatch):
    compute, seen = verifier_fitting.compute_losses, []

    def scarce(network: Any, groups: Any, place: str) -> Any:
        seen.append(len(groups))
        if len(groups) > 1:
            raise MemoryError
        return compute(network, groups, place)

    monkeypatch.setattr(verifier_fitting, "compute_losses", scarce)
    settings = SMALL | {"rounds": 1, "batch": 4, "folds": 2}
    done = curate.train_verifier(dataset, tmp_path / "v", **settings)
    assert done.record["rounds"] == [1, 1]
    assert seen[:4] == [4, 2, 1, 1]


def damage(folder: Path, how: str) -> None:
    config = json.loads((folder / "config.json").read_text())
    if how == "type":
        config["model_type"] = "detr"
    elif how == "sizes":
        config["width"] = 2000
    elif how == "other sizes":
        config["width"] = 8
    elif how == "folds":
        config["folds"] = "all"
    elif how == "weights":  # of another training: they fit, and would be used
        path = folder / "model.safetensors"
        content = bytearray(path.read_bytes())
        content[-1] ^= 1
        path.write_bytes(bytes(content))
    elif how == "no weights":
        (folder / "model.safetensors").unlink()
    elif how == "worth":
        config["held_out"]["mean_auc"] = "good"
    (folder / "config.json").write_text(json.dumps(config))


@pytest.mark.parametrize(
    ("how", "what"),
    [
        ("type", "it is no verifier, but of the type 'detr'"),
        ("sizes", "its layers are over 1024 wide"),
        ("other sizes", "its weights do not fit its config.json"),
        ("folds", "it does not describe a verifier"),
        ("weights", "its weights are not those that were trained"),
        ("no weights", "its weights cannot be read"),
        ("worth", "what was measured of it is no number"),
    ],
)
def test_damaged_folders_are_refused(trained, tmp_path, how, what):
    folder = shutil.copytree(trained.path, tmp_path / "v")
    damage(folder, how)
    with pytest.raises(SourceError, match=what):
        load_verifier(str(folder), device="cpu")


def test_what_is_no_folder_of_a_verifier_is_refused(tmp_path):
    with pytest.raises(CallError, match="there is no folder"):
        load_verifier(str(tmp_path / "none"), device="cpu")
    with pytest.raises(SourceError, match=r"it holds no config\.json"):
        load_verifier(str(tmp_path), device="cpu")


def test_a_learned_verifier_finds_what_was_planted(tmp_path, monkeypatch):
    """Discs and boxes on plain ground are easy: some rounds are enough to see moved masks."""
    monkeypatch.setattr(verifier_fitting, "STEPS_PER_ROUND", 20)
    monkeypatch.setattr(train_on_dataset, "TRIED", 20)
    monkeypatch.setattr(
        train_on_dataset, "VerifierShape", lambda **sizes: VerifierShape(width=8, **sizes)
    )
    source = write_shapes(tmp_path / "data", 36, seed=3)
    settings = {"rounds": 2, "batch": 4, "device": "cpu", "folds": 2, "learning_rate": 4e-3}
    done = curate.train_verifier(source, tmp_path / "v", **settings)
    tried = done.record["held_out"]
    assert tried["auc"]["shifted"] > 0.8
    assert tried["auc"]["in the wrong place"] > 0.9
    assert tried["iou_correlation"] > 0.6
    coco = json.loads(source.read_text())
    for one in coco["annotations"][:108:9]:
        counts = one["segmentation"]["counts"]
        moved = 8 * SIZE[0]  # eight columns to the right
        one["segmentation"]["counts"] = [counts[0] + moved, *counts[1:-1], counts[-1] - moved]
    source.write_text(json.dumps(coco))
    audit = curate.audit(
        source,
        tmp_path / "a.audit",
        images=source.parent / "images",
        verifier=str(done.path),
        device="cpu",
    )
    scores: pd.Series[Any] = audit.masks()["verifier_score"].sort_index()
    planted = np.isin(scores.index, [one["id"] for one in coco["annotations"][:108:9]])
    assert scores[planted].median() < scores[~planted].quantile(0.2)


def run_command() -> None:
    """Run the command in ``sys.argv``, which succeeds."""
    with pytest.raises(SystemExit) as stop:
        cli.main()
    assert not stop.value.code


def test_without_the_extra_one_line_says_what_to_install(dataset, tmp_path, monkeypatch):
    def missing(name: str) -> Any:
        raise ModuleNotFoundError(f"No module named {name!r}", name=name)

    monkeypatch.setattr(hub, "import_module", missing)
    with pytest.raises(CallError, match="torch is not installed"):
        curate.train_verifier(dataset, tmp_path / "v")
    assert not (tmp_path / "v").exists()


def test_the_command_says_how_well_it_does_and_what_to_do_next(
    dataset, trained, monkeypatch, capsys
):
    """The training is finished: the command gives its record."""
    options = ["--rounds", "2", "--batch", "2", "--device", "cpu", "--out", str(trained.path)]
    monkeypatch.setattr("sys.argv", ["curate", "train-verifier", str(dataset), *options])
    run_command()
    said = capsys.readouterr()
    assert "AUC by kind of error: shifted" in said.out
    assert "it names the kind of error of" in said.out
    weak = trained.worth.weight == 0
    assert ("it hardly tells wrong masks from right ones" in said.out) == weak
    assert ("next, audit the dataset with it:" in said.err) == (not weak)
    monkeypatch.setattr("sys.argv", ["curate", "train-verifier", str(dataset), *options, "--json"])
    run_command()
    printed = json.loads(capsys.readouterr().out)
    assert printed["held_out"] == trained.record["held_out"]
