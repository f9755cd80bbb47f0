"""Folders that say they hold a model: their parts do not fit, or they would run code if let."""

from __future__ import annotations

import json
import pickle
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("transformers")
from tiny_detectors import make
from tiny_models import SIDE, saved

from curate.errors import CurateError, SourceError
from curate.networks.loading import load_detector, load_segmenter
from curate.networks.segmenters.segmenter import Prompts

PICTURE = np.zeros((20, 30, 3), np.uint8)
POINT = Prompts(points=np.array([[[5.0, 5.0]]]), labels=np.ones((1, 1), np.int64))


class Bomb:
    """A pickle that leaves a trace when it is read."""

    def __init__(self, trace: Path) -> None:
        self.trace = trace

    def __reduce__(self) -> tuple[Any, ...]:
        return (Path.touch, (self.trace,))


@pytest.fixture(scope="module")
def segmenter(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return saved("sam", tmp_path_factory.mktemp("segmenter"))


@pytest.fixture(scope="module")
def detector(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("detector")
    make("yolos", folder)
    return folder


def settings(folder: Path, change: Callable[[dict[str, Any]], object]) -> None:
    content = json.loads((folder / "config.json").read_text())
    change(content)
    (folder / "config.json").write_text(json.dumps(content))


def one_sentence(error: CurateError) -> None:
    assert str(error).isprintable()
    assert len(str(error)) < 600


CODE = """
from pathlib import Path
Path({trace!r}).touch()
from transformers import PreTrainedConfig, PreTrainedModel
class Config(PreTrainedConfig): model_type = "own"
class Model(PreTrainedModel): config_class = Config
"""
AUTO_MAP = {
    "AutoConfig": "modeling_own.Config",
    "AutoModel": "modeling_own.Model",
    "AutoModelForObjectDetection": "modeling_own.Model",
    "AutoImageProcessor": "modeling_own.Model",
    "AutoTokenizer": ["modeling_own.Model", None],
}


def _top(content: dict[str, Any]) -> None:
    content["auto_map"] = AUTO_MAP


def _own_type(content: dict[str, Any]) -> None:
    content.update(auto_map=AUTO_MAP, model_type="own", architectures=["Model"])


def _nested(content: dict[str, Any]) -> None:
    content["vision_config"] = {"auto_map": AUTO_MAP, "model_type": "own"}


def _kernel(content: dict[str, Any]) -> None:
    content["_attn_implementation"] = "someone/attention"


@pytest.mark.parametrize("change", [_top, _own_type, _nested, _kernel])
@pytest.mark.parametrize("kind", ["segmenter", "detector"])
def test_code_that_a_configuration_names_is_not_run(
    request: pytest.FixtureRequest, tmp_path: Path, kind: str, change: Any
) -> None:
    folder = shutil.copytree(request.getfixturevalue(kind), tmp_path / "model")
    trace = tmp_path / "trace"
    (folder / "modeling_own.py").write_text(CODE.format(trace=str(trace)))
    settings(folder, change)
    load = load_segmenter if kind == "segmenter" else load_detector
    with pytest.raises(SourceError, match=r"names code to load|is a model of type own") as found:
        load(str(folder))
    one_sentence(found.value)
    assert not trace.exists()


@pytest.mark.parametrize("kind", ["segmenter", "detector"])
def test_processors_and_tokenizers_are_not_loaded(
    request: pytest.FixtureRequest, tmp_path: Path, kind: str
) -> None:
    """A file of settings that is only read for numbers may name code: nothing comes of it."""
    folder = shutil.copytree(request.getfixturevalue(kind), tmp_path / "model")
    trace = tmp_path / "trace"
    (folder / "modeling_own.py").write_text(CODE.format(trace=str(trace)))
    for name in ("processor_config", "tokenizer_config", "image_processor_config"):
        (folder / f"{name}.json").write_text(json.dumps({"auto_map": AUTO_MAP}))
    (folder / "tokenizer.pkl").write_bytes(pickle.dumps(Bomb(trace)))
    preprocessor = folder / "preprocessor_config.json"
    content = json.loads(preprocessor.read_text()) if preprocessor.is_file() else {}
    preprocessor.write_text(json.dumps(content | {"auto_map": AUTO_MAP}))
    if kind == "segmenter":
        assert len(load_segmenter(str(folder)).embed([PICTURE])) == 1
    else:
        assert len(load_detector(str(folder)).detect([PICTURE])) == 1
    assert not trace.exists()


def _as_weights(folder: Path, bomb: bytes) -> None:
    (folder / "model.safetensors").write_bytes(bomb)


def _as_bin(folder: Path, bomb: bytes) -> None:
    (folder / "model.safetensors").unlink()
    (folder / "pytorch_model.bin").write_bytes(bomb)


def _as_shard(folder: Path, bomb: bytes) -> None:
    (folder / "model.safetensors").unlink()
    (folder / "weights.bin").write_bytes(bomb)
    _index(folder, "weights.bin")


def _as_shard_elsewhere(folder: Path, bomb: bytes) -> None:
    (folder / "model.safetensors").unlink()
    (folder.parent / "other.safetensors").write_bytes(bomb)
    _index(folder, "../other.safetensors")


def _as_renamed_shard(folder: Path, bomb: bytes) -> None:
    (folder / "model.safetensors").unlink()
    (folder / "a.safetensors").write_bytes(bomb)
    _index(folder, "a.safetensors")


def _index(folder: Path, name: str) -> None:
    index = {"metadata": {}, "weight_map": {"class_labels_classifier.weight": name}}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))


PLACES = [_as_weights, _as_bin, _as_shard, _as_shard_elsewhere, _as_renamed_shard]


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("kind", ["segmenter", "detector"])
@pytest.mark.filterwarnings("ignore")
def test_a_pickle_under_any_name_is_not_read(
    request: pytest.FixtureRequest, tmp_path: Path, kind: str, place: Any
) -> None:
    folder = shutil.copytree(request.getfixturevalue(kind), tmp_path / "model")
    trace = tmp_path / "trace"
    place(folder, pickle.dumps(Bomb(trace)))
    with pytest.raises(SourceError) as found:
        (load_segmenter if kind == "segmenter" else load_detector)(str(folder))
    one_sentence(found.value)
    assert not trace.exists()


def test_pickles_in_a_folder_of_onnx_files(tmp_path: Path) -> None:
    trace = tmp_path / "trace"
    folder = tmp_path / "onnx"
    folder.mkdir()
    for name in ("encoder.onnx", "decoder.onnx", "model.pt", "encoder.onnx.data"):
        (folder / name).write_bytes(pickle.dumps(Bomb(trace)))
    with pytest.raises(CurateError) as found:
        load_segmenter(str(folder))
    one_sentence(found.value)
    assert not trace.exists()


def _segmenter_of(folder: Path, **changes: dict[str, Any]) -> Path:
    """Save a SAM whose weights are those of its configuration, though its parts do not fit."""
    import transformers

    config = transformers.SamConfig.from_pretrained(str(folder))
    for part, values in changes.items():
        for name, value in values.items():
            setattr(getattr(config, part), name, value)
    made = folder.parent / "made"
    transformers.SamModel(config).save_pretrained(made)
    return made


@pytest.mark.parametrize(
    "changes",
    [
        {"vision_config": {"output_channels": 16}},
        {"vision_config": {"image_size": 2 * SIDE}},
        {"prompt_encoder_config": {"image_embedding_size": 3}},
        {"mask_decoder_config": {"num_multimask_outputs": 2}},
    ],
    ids=str,
)
def test_a_segmenter_whose_parts_do_not_fit_each_other(
    segmenter: Path, tmp_path: Path, changes: dict[str, Any]
) -> None:
    folder = _segmenter_of(shutil.copytree(segmenter, tmp_path / "sam"), **changes)
    model = load_segmenter(str(folder), device="cpu")
    with pytest.raises(SourceError, match="do not fit each other or are damaged") as found:
        model.segment(model.embed([PICTURE])[0], POINT, multimask=True)
    one_sentence(found.value)


@pytest.mark.parametrize("size", [0, -1, 1 << 20, "x", [], None, True])
def test_a_segmenter_of_an_impossible_size(segmenter: Path, tmp_path: Path, size: Any) -> None:
    folder = shutil.copytree(segmenter, tmp_path / "sam")
    settings(folder, lambda content: content["prompt_encoder_config"].update(image_size=size))
    with pytest.raises(SourceError) as found:
        load_segmenter(str(folder), device="cpu")
    one_sentence(found.value)


FOLDS = [".", "..", "", "/", "a/b", "../model", "\0", "a\nb"]


@pytest.mark.parametrize("name", FOLDS, ids=repr)
def test_a_fold_that_is_no_folder_of_its_own(detector: Path, tmp_path: Path, name: str) -> None:
    folder = shutil.copytree(detector, tmp_path / "model")
    record = {"picture_keys": {"train": [], "folds": {name: []}}}
    (folder / "training.json").write_text(json.dumps(record))
    with pytest.raises(SourceError, match="is no name of a folder in it"):
        load_detector(str(folder))


def test_a_fold_that_has_folds_itself(detector: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(detector, tmp_path / "model")
    (folder / "again").symlink_to(".")
    record = {"picture_keys": {"train": [], "folds": {"again": []}}}
    (folder / "training.json").write_text(json.dumps(record))
    with pytest.raises(SourceError, match="says that it is several itself"):
        load_detector(str(folder))
