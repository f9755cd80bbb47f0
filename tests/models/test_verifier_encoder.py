"""Verifiers on an image encoder that is brought along: its grids, out of fold, found again."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny_exhaustivity
import tiny_models
import torch
from shapes_dataset import SIZE, write_shapes
from striped_patches import write_stripe_encoder, write_striped

pytest.importorskip("transformers")
import onnx
from onnx import TensorProto, helper
from PIL import Image
from transformers import Dinov2Config, Dinov2Model, SwinConfig, SwinModel

import curate
from curate.errors import AuditError, CallError, SourceError
from curate.networks.encoders.encoder_loading import load_grid_encoder
from curate.networks.encoders.feature_grids import FeatureGrid
from curate.networks.encoders.grid_encoders import PictureGrids, TileEncoder, WindowPlan
from curate.networks.runtime.devices import Device
from curate.networks.segmenter_training.training_masks import read_training_masks
from curate.networks.segmenters.embedding_cache import EmbeddingCache
from curate.networks.segmenters.segmenter_loading import load_segmenter
from curate.networks.training import averaged_fitting
from curate.networks.verifier_training import (
    encoded_pictures,
    train_on_dataset,
    verifier_fitting,
)
from curate.networks.verifier_training.corruptions import KINDS
from curate.networks.verifier_training.decided_masks import DecidedMask
from curate.networks.verifier_training.decision_tuning import NumberedDecisions, rate_decided
from curate.networks.verifier_training.training_examples import collect_objects
from curate.networks.verifier_training.verifier_fitting import VerifierSchedule, VerifierTrial
from curate.networks.verifiers.mask_frames import ImageCover
from curate.networks.verifiers.verifier import load_verifier
from curate.networks.verifiers.verifier_network import VerifierShape
from curate.rle import from_dense

SMALL: dict[str, Any] = {"rounds": 2, "batch": 2, "folds": 2, "device": "cpu"}
IMAGES = 34


@pytest.fixture(autouse=True, scope="module")
def _small_and_on_one_thread(tmp_path_factory):
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CURATE_CACHE", str(tmp_path_factory.mktemp("own_cache")))
        patch.setattr(verifier_fitting, "STEPS_PER_ROUND", 3)
        patch.setattr(train_on_dataset, "TRIED", 6)
        patch.setattr(
            train_on_dataset, "VerifierShape", lambda **sizes: VerifierShape(width=4, **sizes)
        )
        tiny_exhaustivity.shrink(patch)
        yield
    torch.set_num_threads(before)


def save_dinov2(folder: Path, seed: int = 0) -> Path:
    torch.manual_seed(seed)
    sizes = {"hidden_size": 12, "num_hidden_layers": 1, "num_attention_heads": 2}
    config = Dinov2Config(**sizes, intermediate_size=12, image_size=32, patch_size=8)
    Dinov2Model(config).save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def dataset(tmp_path_factory) -> Path:
    return write_shapes(tmp_path_factory.mktemp("shapes"), IMAGES)


@pytest.fixture(scope="module")
def encoder(tmp_path_factory) -> Path:
    return save_dinov2(tmp_path_factory.mktemp("encoder") / "dinov2")


def fit_watched(seen: list[tuple[list[Any], Any]]) -> Any:
    fit = train_on_dataset.fit_verifier

    def watch(objects: Any, *rest: Any, **more: Any) -> Any:
        seen.append((list(objects), more["statistics"]))
        return fit(objects, *rest, **more)

    return watch


@pytest.fixture(scope="module")
def learnt() -> list[tuple[list[Any], Any]]:
    """What each network of the fixture below was given."""
    return []


@pytest.fixture(scope="module")
def trained(dataset, encoder, learnt, tmp_path_factory):
    """A verifier whose encoder counts as better, as it would after a longer training."""
    out = tmp_path_factory.mktemp("trained") / "verifier"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(train_on_dataset, "fit_verifier", fit_watched(learnt))
        patch.setattr(train_on_dataset, "measure_encoder", measure_as_better)
        return curate.train_verifier(dataset, out, **SMALL, encoder=str(encoder))


def measure_as_better(*given: Any) -> Any:
    return {**encoded_pictures.measure_encoder(*given), "used": True, "why_not": ""}


def picture_of(dataset: Path, number: int) -> np.ndarray[Any, Any]:
    return np.asarray(Image.open(dataset.parent / "images" / f"{number}.png").convert("RGB"))


def mean_colours(path: Path, cell: int = 8, shape: tuple[Any, ...] = ("n", 3, 32, 32)) -> Path:
    """Write an ONNX encoder whose features are the mean colours of cells."""
    given = helper.make_tensor_value_info("x", TensorProto.FLOAT, list(shape))
    answer = helper.make_tensor_value_info("y", TensorProto.FLOAT, None)
    sizes = {"kernel_shape": [cell, cell], "strides": [cell, cell]}
    nodes = [helper.make_node("AveragePool", ["x"], ["y"], **sizes)]
    graph = helper.make_graph(nodes, "colours", [given], [answer])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    onnx.save(model, str(path))
    return path


def test_features_are_sampled_where_the_window_lies():
    down, across = np.mgrid[:6, :8] + 0.5
    grid = FeatureGrid(np.stack([4.0 * across, 5.0 * down]), (5.0, 4.0), (30, 32))
    found = grid.sample((6.0, 10.0, 14.0, 18.0), 4)  # x 6 to 14, y 10 to 18
    np.testing.assert_allclose(found[0, 0], [7, 9, 11, 13], atol=1e-5)
    np.testing.assert_allclose(found[1, :, 0], [11, 13, 15, 17], atol=1e-5)
    beyond = grid.sample((-40.0, 0.0, -36.0, 4.0), 2)
    np.testing.assert_allclose(beyond[0], 2.0)  # the middle of the first column
    whole = grid.sample((0.0, 0.0, 32.0, 32.0), 1)  # coarser than the grid: a mean, no pick
    assert whole[0, 0, 0] == pytest.approx(16.0)
    low = FeatureGrid(grid.values, (5.0, 4.0), (9, 32))  # cells under the picture are not read
    assert low.sample((0.0, 0.0, 16.0, 16.0), 8)[1].max() == pytest.approx(7.5)


@pytest.mark.parametrize(
    ("size", "object_side"), [((480, 640), 60.0), ((100, 900), 9.0), ((50, 30), 400.0)]
)
def test_windows_cover_the_picture_and_are_few(size, object_side):
    plan = WindowPlan.of(size, (16, 14), 3.5, object_side)
    for starts, cells, count, side in zip(
        (plan.tops, plan.lefts), (16, 14), (plan.rows, plan.columns), size, strict=True
    ):
        covered = {c for first in starts for c in range(first, first + cells)}
        assert set(range(count)) <= covered
        assert count * plan.step >= side - 1e-6
    assert len(plan.tops) * len(plan.lefts) <= 16
    assert WindowPlan.of(size, (16, 14), 3.5, 1e9).tops == (0,)


def test_the_windows_of_an_onnx_file_are_one_grid(tmp_path):
    loaded = load_grid_encoder(str(mean_colours(tmp_path / "colours.onnx")), device="cpu")
    picture = np.zeros((64, 96, 3), np.uint8)
    picture[:, 48:] = 255
    seeing = loaded.at_scale(8.0)
    grid = seeing.encode_picture(picture)
    assert grid.channels == loaded.channels == 3
    assert grid.step[0] < 8  # finer than one window would give
    left, right = grid.values[:, :, 0].astype(float), grid.values[:, :, -1].astype(float)
    np.testing.assert_allclose(left[0], -0.485 / 0.229, atol=1e-2)  # ImageNet's mean
    np.testing.assert_allclose(right[0], (1 - 0.485) / 0.229, atol=1e-2)
    size = EmbeddingCache().folder
    kept = max(path.stat().st_size for path in size.iterdir())
    assert kept <= seeing.kept_bytes((64, 96))


def test_networks_that_join_patches_have_a_grid_too(tmp_path):
    sizes = {"image_size": 64, "patch_size": 4, "embed_dim": 8, "window_size": 4}
    SwinModel(SwinConfig(**sizes, depths=[1, 1], num_heads=[1, 2])).save_pretrained(tmp_path)
    loaded: Any = load_grid_encoder(str(tmp_path), device="cpu")
    assert loaded.cells == (8, 8)
    picture = np.random.default_rng(0).integers(0, 255, (64, 64, 3)).astype(np.uint8)
    picture[:, :32] = 0
    strength = loaded.encode_picture(picture).values.astype(float).std((0, 1))
    assert np.ptp(strength[:3]) < np.ptp(strength[4:])  # the left half is the same all over


def test_a_batch_of_windows_is_halved_where_memory_runs_out(tmp_path, monkeypatch):
    path = mean_colours(tmp_path / "colours.onnx", cell=4)
    loaded: Any = load_grid_encoder(str(path), device="cpu").at_scale(8.0)
    run, seen = loaded.network.run, []

    def scarce(inputs: np.ndarray[Any, Any]) -> Any:
        seen.append(len(inputs))
        if len(inputs) > 2:
            raise MemoryError("out of memory")
        return run(inputs)

    monkeypatch.setattr(loaded.network, "run", scarce)
    grid = loaded.encode_picture(np.full((61, 97, 3), 9, np.uint8))
    assert max(seen) > 2
    assert loaded.network.batches.size == 2
    assert np.isfinite(grid.values).all()


def test_only_few_grids_are_held_in_memory(tmp_path):
    loaded = load_grid_encoder(str(mean_colours(tmp_path / "colours.onnx")), device="cpu")
    pictures = [np.full((40, 40, 3), k, np.uint8) for k in range(4)]
    one = PictureGrids(loaded).of(pictures[0]).values.nbytes
    grids = PictureGrids(loaded, 2 * one)
    for picture in (*pictures, pictures[2]):
        assert grids.of(picture).size == (40, 40)
    assert len(grids._held) == 2


def test_a_segmenter_is_asked_through_the_cache_of_audits(tmp_path, monkeypatch):
    folder = tiny_models.saved("sam", tmp_path)
    picture = np.random.default_rng(0).integers(0, 255, (40, 80, 3)).astype(np.uint8)
    loaded: Any = load_grid_encoder(str(folder), device="cpu")
    (embedded,) = EmbeddingCache().embed(load_segmenter(str(folder), device="cpu"), [picture])

    def fail(_: object) -> None:
        raise AssertionError("embedded again")

    monkeypatch.setattr(loaded.segmenter, "embed", fail)
    grid = loaded.at_scale(5.0).encode_picture(picture)
    np.testing.assert_array_equal(grid.values, embedded.parts[0][0].numpy())
    assert grid.step == (20.0, 20.0)  # 4 x 4 cells of 16 px, of a picture brought to 64 px
    assert grid.on_picture().shape == (32, 2, 4)  # the lower half is padding


@pytest.mark.parametrize(
    ("name", "error", "words"),
    [
        ("handcrafted", CallError, "handcrafted features are of whole masks"),
        ("vector.onnx", SourceError, "no grid of features"),
        ("nowhere", CallError, "no folder"),
        ("notes.txt", SourceError, "no ONNX file"),
    ],
)
def test_what_gives_no_grid_is_refused_before_pictures_are_read(
    dataset, name, error, words, tmp_path, monkeypatch
):
    mean_colours(tmp_path / "vector.onnx", cell=32)  # one cell
    (tmp_path / "notes.txt").write_text("mine")
    monkeypatch.chdir(tmp_path)

    def fail(*_: object) -> None:
        raise AssertionError("pictures are read")

    monkeypatch.setattr(train_on_dataset, "read_training_masks", fail)
    with pytest.raises(error, match=words):
        curate.train_verifier(dataset, tmp_path / "v", **SMALL, encoder=name)
    assert not (tmp_path / "v").exists()


def test_features_that_do_not_fit_into_the_cache_are_refused(
    dataset, encoder, tmp_path, monkeypatch
):
    monkeypatch.setenv("CURATE_CACHE_GB", "0.00001")
    with pytest.raises(CallError, match=r"of 34 pictures take .* GB, the cache keeps 1e-05"):
        curate.train_verifier(dataset, tmp_path / "v", **SMALL, encoder=str(encoder))


def test_the_record_says_what_the_encoder_adds(trained, encoder):
    found = trained.record["encoder"]
    assert found["name"] == str(encoder)
    assert found["channels"] == 12
    assert found["pictures"] == IMAGES
    assert 10 < found["object_side"] < 26
    low, gain, high = found["gain"]
    assert low <= gain <= high
    assert gain == pytest.approx(found["auc_with"] - found["auc_without"])
    assert found["auc_with"] == pytest.approx(trained.record["held_out"]["mean_auc"])
    assert f"with the features of the encoder {encoder} the AUC is" in trained.text()
    assert "audits need the encoder, too" in trained.text()
    assert trained.record["settings"]["encoder"] == str(encoder)


def test_a_network_is_given_features_of_the_images_it_learns_from_alone(
    dataset, encoder, trained, learnt
):
    judge = load_verifier(str(trained.path), device="cpu")
    assert judge.grids is not None
    for network, (objects, statistics) in zip(judge.networks, learnt, strict=True):
        pictures = {one.image: np.asarray(one.picture) for one in objects}
        assert len(pictures) < IMAGES
        cells = [judge.grids.of(one).values.reshape(12, -1) for one in pictures.values()]
        mean = np.mean([one.astype(np.float64).mean(1) for one in cells], axis=0)
        np.testing.assert_allclose(statistics.mean, mean, rtol=1e-4, atol=1e-5)
        np.testing.assert_array_equal(network.encoded_mean.numpy(), statistics.mean)
        assert (statistics.deviation > 0).all()


def test_the_same_training_gives_the_same_weights_also_after_a_kill_and_a_lost_cache(
    dataset, encoder, trained, tmp_path, monkeypatch
):
    monkeypatch.setenv("CURATE_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(averaged_fitting, "CHECKPOINT_S", 0.0)
    monkeypatch.setattr(train_on_dataset, "measure_encoder", measure_as_better)
    encoded: list[str] = []
    see = TileEncoder.see

    def watch(self: Any, picture: Any) -> Any:
        encoded.append(picture.tobytes())
        return see(self, picture)

    monkeypatch.setattr(TileEncoder, "see", watch)

    class KilledError(BaseException):
        pass

    kills = [("encoding pictures", 9.0), ("network 2 of 2", 2 / 3)]

    def kill(stage: str, done: float, of: int, masks: int) -> None:
        del of, masks
        if kills and kills[0][0] == stage and done >= kills[0][1]:
            kills.pop(0)
            raise KilledError

    out = tmp_path / "v"
    for _ in range(2):
        with pytest.raises(KilledError):
            curate.train_verifier(dataset, out, **SMALL, encoder=str(encoder), progress=kill)
    curate.train_verifier(dataset, out, **SMALL, encoder=str(encoder), progress=kill)
    assert len(set(encoded)) == len(encoded) == IMAGES  # each picture once, over three runs
    for name in ("model.safetensors", "config.json"):
        assert (out / name).read_bytes() == (trained.path / name).read_bytes()


def test_an_audit_finds_the_encoder_again(dataset, trained, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    images = dataset.parent / "images"
    audit = curate.audit(
        dataset, tmp_path / "a", images=images, verifier=str(trained.path), device="cpu"
    )
    assert audit.masks()["verifier_score"].between(0, 1).all()
    assert audit.info.models["verifier"]["encoder"] == trained.record["encoder"]["name"]


def test_the_features_are_looked_at(dataset, trained):
    judge = load_verifier(str(trained.path), device="cpu")
    picture = picture_of(dataset, 0)
    mask = from_dense(picture.mean(axis=2) > 130)
    before = judge.judge(picture, mask, ["disc"])
    assert judge.grids is not None
    grid = judge.grids.of(picture)
    values = grid.values[:, ::-1].copy()
    (held,) = judge.grids._held
    judge.grids._held[held] = FeatureGrid(values, grid.step, grid.size)
    after = judge.judge(picture, mask, ["disc"])
    assert after.good[0] != before.good[0]


def test_decided_masks_are_seen_with_their_features(dataset, trained):
    judge = load_verifier(str(trained.path), device="cpu")
    picture = picture_of(dataset, 0)
    frame = ImageCover.of(from_dense(picture.mean(axis=2) > 130)).cut(0)
    bare = DecidedMask(Image.fromarray(picture), "key", frame, "disc", False, 1.0)
    ratings = []
    for mask in (bare, replace(bare, grids=judge.grids)):
        decided = NumberedDecisions([mask], np.array([1]))
        ratings.append(rate_decided(judge.networks[0], decided, Device("cpu", "float32")))
    assert np.isfinite(ratings).all()
    assert ratings[0] != ratings[1]


def test_an_encoder_that_is_gone_or_another_one_is_refused(
    dataset, encoder, trained, tmp_path, monkeypatch
):
    moved = tmp_path / "moved"
    folder = shutil.copytree(trained.path, tmp_path / "v")
    config = json.loads((folder / "config.json").read_text())
    assert config["encoder"]["name"] == str(encoder)
    config["encoder"]["name"] = str(moved)
    (folder / "config.json").write_text(json.dumps(config))
    with pytest.raises(SourceError, match=f"which cannot be used .*bring it back to {moved}"):
        load_verifier(str(folder), device="cpu")
    save_dinov2(moved, seed=1)
    with pytest.raises(SourceError, match=f"another encoder than lies at {moved} now"):
        load_verifier(str(folder), device="cpu")
    shutil.rmtree(moved)
    shutil.copytree(encoder, moved)
    load_verifier(str(folder), device="cpu")
    config["encoder"] |= {"channels": 13}
    (folder / "config.json").write_text(json.dumps(config))
    with pytest.raises(SourceError, match="another encoder"):
        load_verifier(str(folder), device="cpu")
    config["encoder"] |= {"channels": 10**9}
    (folder / "config.json").write_text(json.dumps(config))
    with pytest.raises(SourceError, match="it does not describe a verifier"):
        load_verifier(str(folder), device="cpu")


def test_an_encoder_that_adds_nothing_is_not_needed(dataset, trained, tmp_path):
    folder = shutil.copytree(trained.path, tmp_path / "v")
    config = json.loads((folder / "config.json").read_text())
    config["encoder"] |= {"used": False, "name": str(tmp_path / "gone")}
    (folder / "config.json").write_text(json.dumps(config))
    judge = load_verifier(str(folder), device="cpu")
    assert judge.grids is None
    picture = np.zeros((*SIZE, 3), np.uint8)
    mask = np.zeros(SIZE, bool)
    mask[20:40, 20:50] = True
    assert 0 < judge.judge(picture, from_dense(mask)).good[0] < 1


def test_another_encoder_is_another_training(dataset, trained, tmp_path):
    other = save_dinov2(tmp_path / "other", seed=2)
    with pytest.raises(AuditError, match=r"encoder was .* is .* now"):
        curate.train_verifier(dataset, trained.path, **SMALL, encoder=str(other))
    with pytest.raises(AuditError, match=r"encoder was .* now"):
        curate.train_verifier(dataset, trained.path, **SMALL)


def make_trial(good: np.ndarray[Any, Any], unaided: VerifierTrial | None = None) -> VerifierTrial:
    kind, image = np.tile([0, 1, 2], 40), np.repeat(np.arange(40), 3)
    return VerifierTrial(good, good, good, kind, kind, image, unaided)


def test_an_encoder_is_used_where_it_is_better_by_more_than_luck(encoder):
    loaded = load_grid_encoder(str(encoder), device="cpu")
    random = np.random.default_rng(0)
    chance, right = random.random(120), np.tile([1.0, 0.0, 0.0], 40)
    pictures = encoded_pictures.EncodedPictures(PictureGrids(loaded), 20.0, {0: np.zeros(1)})
    good = make_trial(right, make_trial(chance))
    found = encoded_pictures.measure_encoder(pictures, [good], 0)
    assert found["used"]
    assert found["auc_with"] == 1.0
    luck = make_trial(chance, make_trial(chance + random.normal(0, 0.1, 120)))
    found = encoded_pictures.measure_encoder(pictures, [luck], 0)
    assert not found["used"]
    assert found["why_not"] == "luck may explain the gain"
    assert found["gain"] is not None
    low, _, high = found["gain"]
    assert low < 0 < high


def test_a_network_learns_from_features_what_its_crops_do_not_show(tmp_path):
    source = write_striped(tmp_path / "striped", 36)
    images = read_training_masks([source], [source.parent / "images"], None, None).images
    objects = collect_objects(images, [[0] * len(one.runs) for one in images])
    loaded = load_grid_encoder(str(write_stripe_encoder(tmp_path / "stripes.onnx")), device="cpu")
    encoded = encoded_pictures.encode_pictures(loaded, objects, 73.0)
    seen = [replace(one, grids=encoded.grids) for one in objects]
    learnt, held = seen[:72], seen[72:]
    shape = VerifierShape(width=4, kinds=len(KINDS), encoded=loaded.channels)
    cpu, schedule = Device("cpu", "float32"), VerifierSchedule(5, batch=6)
    statistics = encoded.statistics({one.image for one in learnt})
    fitted = verifier_fitting.fit_verifier(learnt, shape, schedule, cpu, statistics=statistics)
    trial = verifier_fitting.try_verifier(fitted.network, held, shape, cpu, 0)
    found = encoded_pictures.measure_encoder(encoded, [trial], 0)
    assert found["used"]
    assert found["gain"] is not None
    assert found["gain"][0] > 0.05
    assert found["auc_with"] is not None
    assert found["auc_with"] > 0.9
