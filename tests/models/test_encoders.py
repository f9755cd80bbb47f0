"""Image encoders: vectors of masks, whatever a network answers with, and what is refused."""

from __future__ import annotations

import json
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("transformers")
import onnx
from onnx import TensorProto, helper, numpy_helper
from transformers import (
    CLIPVisionConfig,
    CLIPVisionModel,
    ConvNextConfig,
    ConvNextModel,
    Dinov2Config,
    Dinov2Model,
    ViTConfig,
    ViTModel,
)

from curate.errors import CallError, CurateError, SourceError
from curate.networks.encoders.mask_windows import cut_windows
from curate.networks.encoders.pooling import pool
from curate.networks.loading import load_encoder
from curate.rle import as_runs

HEIGHT, WIDTH = 40, 60
VIT = {
    "hidden_size": 16,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "intermediate_size": 16,
    "image_size": 32,
    "patch_size": 8,
}


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache"


def scene() -> tuple[np.ndarray, Any]:
    picture = np.random.default_rng(0).integers(0, 255, (HEIGHT, WIDTH, 3)).astype(np.uint8)
    masks = np.zeros((3, HEIGHT, WIDTH), bool)
    masks[0, 5:15, 5:20] = True
    masks[1, 30:, 50:] = True  # at the corner: its window reaches beyond the picture
    masks[2, 20, 3:55] = True  # a line
    return picture, as_runs(list(masks))


def models() -> dict[str, Any]:
    conv = ConvNextConfig(num_stages=2, hidden_sizes=[8, 12], depths=[1, 1], image_size=32)
    return {
        "vit": ViTModel(ViTConfig(**VIT), add_pooling_layer=False),
        "dinov2": Dinov2Model(Dinov2Config(**VIT)),
        "clip": CLIPVisionModel(CLIPVisionConfig(**VIT)),
        "convnext": ConvNextModel(conv),
    }


@pytest.mark.parametrize("name", ["vit", "dinov2", "clip", "convnext"])
def test_any_encoder_of_transformers_gives_vectors(name: str, tmp_path: Path) -> None:
    models()[name].save_pretrained(tmp_path / "model")
    encoder = load_encoder(str(tmp_path / "model"), device="cpu")
    picture, runs = scene()
    first = encoder.encode(picture, runs)
    numbers = 12 if name == "convnext" else 16
    assert first.shape == (3, 2 * numbers)  # inside the mask, and of the window
    assert np.isfinite(first).all()
    alone = encoder.encode(picture, runs[[1]])
    np.testing.assert_allclose(alone[0], first[1], atol=1e-4)


def test_vectors_are_kept_by_content(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    models()["vit"].save_pretrained(tmp_path / "model")
    encoder: Any = load_encoder(str(tmp_path / "model"), device="cpu")
    picture, runs = scene()
    first = encoder.encode(picture, runs)

    def fail(inputs: object) -> None:
        raise AssertionError("it is asked again")

    monkeypatch.setattr(encoder.encoder, "run", fail)
    np.testing.assert_array_equal(encoder.encode(picture.copy(), runs), first)
    with pytest.raises(AssertionError, match="asked again"):
        encoder.encode(picture, runs[[0, 2]])
    with pytest.raises(AssertionError, match="asked again"):
        encoder.encode(255 - picture, runs)


def test_a_batch_that_is_too_large_is_halved(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    models()["vit"].save_pretrained(tmp_path / "model")
    encoder: Any = load_encoder(str(tmp_path / "model"), device="cpu")
    picture, runs = scene()
    run = encoder.encoder.run

    def small_device(inputs: np.ndarray) -> np.ndarray:
        if len(inputs) > 1:
            raise MemoryError("out of memory")
        found: np.ndarray = run(inputs)
        return found

    monkeypatch.setattr(encoder.encoder, "run", small_device)
    assert encoder.encode(picture, runs).shape == (3, 32)
    assert encoder.encoder.batches.size == 1


def test_the_mask_weighs_the_cells() -> None:
    picture, runs = scene()
    windows = cut_windows(_image(picture), runs, np.array([0]), (32, 32))
    left = np.zeros((1, 1, 2, 2), np.float32)
    left[..., 0] = 1.0
    shares = np.zeros_like(windows.shares)
    shares[:, :, :16] = 1.0
    halves = type(windows)(windows.pixels, shares)
    np.testing.assert_allclose(pool(left, halves, 0, "it"), [[1.0, 0.5]])
    tokens = np.concatenate(
        [np.full((1, 1, 1), 9.0), left.reshape(1, 4, 1)], 1
    )  # a class token first
    np.testing.assert_allclose(pool(tokens, halves, 16, "it"), [[1.0, 0.5]])
    empty = type(windows)(windows.pixels, np.zeros_like(shares))
    np.testing.assert_allclose(pool(left, empty, 0, "it"), [[0.5, 0.5]])
    np.testing.assert_allclose(pool(np.ones((1, 5)), halves, 0, "it"), np.ones((1, 5)))


def _image(picture: np.ndarray) -> Any:
    from PIL import Image

    return Image.fromarray(picture)


def onnx_file(path: Path, shape: list[Any], weight: float = 1.0, inputs: int = 1) -> Path:
    """Write an encoder that gives the mean of each channel, times a weight."""
    given = [
        helper.make_tensor_value_info(f"x{k}", TensorProto.FLOAT, shape) for k in range(inputs)
    ]
    answer = helper.make_tensor_value_info("y", TensorProto.FLOAT, None)
    factor = numpy_helper.from_array(np.array(weight, np.float32), "w")
    nodes = [
        helper.make_node("GlobalAveragePool", ["x0"], ["mean"]),
        helper.make_node("Flatten", ["mean"], ["flat"]),
        helper.make_node("Mul", ["flat", "w"], ["y"]),
    ]
    graph = helper.make_graph(nodes, "means", given, [answer], [factor])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    onnx.save(model, str(path))
    return path


@pytest.mark.parametrize("shape", [["n", 3, 32, 32], [1, 3, 32, 32], [2, 3, "h", "w"]])
def test_an_onnx_file_gives_vectors(shape: list[Any], tmp_path: Path) -> None:
    encoder = load_encoder(str(onnx_file(tmp_path / "means.onnx", shape)), device="cpu")
    picture, runs = scene()
    found = encoder.encode(picture, runs)
    assert found.shape == (3, 3)
    one: Any = encoder.encode(np.full_like(picture, 124), runs)
    np.testing.assert_allclose(one[0], [0.01, 0.14, 0.36], atol=0.05)  # ImageNet's mean is 124


@pytest.mark.parametrize(
    ("shape", "inputs", "words"),
    [
        (["n", 32, 32, 3], 1, "its input is of shape any x 32 x 32 x 3"),
        (["n", 3, 4, 4], 1, "its input is 4 x 4 px"),
        (["n", 10], 1, "its input is of shape any x 10"),
        (["n", 3, 32, 32], 2, "it has 2 inputs"),
    ],
)
def test_an_onnx_file_of_another_input_is_refused(
    shape: list[Any], inputs: int, words: str, tmp_path: Path
) -> None:
    with pytest.raises(SourceError, match=words):
        load_encoder(str(onnx_file(tmp_path / "other.onnx", shape, inputs=inputs)), device="cpu")


def test_an_answer_that_is_not_finite_is_refused(tmp_path: Path) -> None:
    path = onnx_file(tmp_path / "nan.onnx", ["n", 3, 32, 32], weight=float("nan"))
    with pytest.raises(SourceError, match="not finite"):
        load_encoder(str(path), device="cpu").encode(*scene())


def test_code_and_pickles_are_refused(tmp_path: Path) -> None:
    folder = tmp_path / "model"
    models()["vit"].save_pretrained(folder)
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "auto_map": {"AutoModel": "m.M"}}))
    with pytest.raises(SourceError, match="names code to load"):
        load_encoder(str(folder), device="cpu")
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "model.safetensors").unlink()
    (folder / "pytorch_model.bin").write_bytes(pickle.dumps({}))
    with pytest.raises(SourceError, match="only pickled weights"):
        load_encoder(str(folder), device="cpu")


def test_an_input_of_another_size_than_the_network_is_refused(tmp_path: Path) -> None:
    folder = tmp_path / "model"
    models()["vit"].save_pretrained(folder)
    prepared = {
        "size": {"height": 48, "width": 48},
        "image_mean": [0.5] * 3,
        "image_std": [0.5] * 3,
    }
    (folder / "preprocessor_config.json").write_text(json.dumps(prepared))
    with pytest.raises(SourceError, match="it fails on a picture"):
        load_encoder(str(folder), device="cpu").encode(*scene())
    prepared["size"] = {"height": 4, "width": 4}
    (folder / "preprocessor_config.json").write_text(json.dumps(prepared))
    with pytest.raises(SourceError, match="its input is 4 x 4 px"):
        load_encoder(str(folder), device="cpu")


def test_other_things_are_refused(tmp_path: Path) -> None:
    (tmp_path / "weights.pt").write_bytes(b"x")
    (tmp_path / "bad.onnx").write_bytes(b"no graph")
    (tmp_path / "two").mkdir()
    for name in ("a", "b"):
        (tmp_path / "two" / f"{name}.onnx").write_bytes(b"x")
    for path, words in (
        ("weights.pt", "no ONNX file"),
        ("bad.onnx", "no ONNX file"),
        ("two", "2 ONNX files"),
    ):
        with pytest.raises(SourceError, match=words):
            load_encoder(str(tmp_path / path), device="cpu")
    with pytest.raises(CallError, match="no folder"):
        load_encoder(str(tmp_path / "none"), device="cpu")


def test_a_model_of_words_is_refused(tmp_path: Path) -> None:
    from transformers import BertConfig, BertModel

    small = BertConfig(
        vocab_size=10,
        hidden_size=8,
        num_hidden_layers=1,
        num_attention_heads=1,
        intermediate_size=8,
    )
    BertModel(small).save_pretrained(tmp_path / "words")
    with pytest.raises(CurateError, match="sees no pictures"):
        load_encoder(str(tmp_path / "words"), device="cpu")
