"""ONNX exports of SAM: the answers of PyTorch, and clear words for what is no such pair."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from curate.errors import CallError, SourceError
from curate.networks.encoders.encoder_loading import load_grid_encoder
from curate.networks.segmenters.onnx_sam import OnnxSegmenter, load_onnx_segmenter
from curate.networks.segmenters.onnx_session import choose_provider, read_onnx
from curate.networks.segmenters.segmenter import Embedding, Frame, Prompts

torch = pytest.importorskip("torch")
onnx = pytest.importorskip("onnx")
pytest.importorskip("transformers")
pytest.importorskip("onnxruntime")

import tiny_onnx as tiny  # noqa: E402
from onnx import TensorProto, helper  # noqa: E402

TOLERANCE = 1e-4
MODEL = tiny.tiny_sam()
HALVES: dict[str, Callable[[Path], None]] = {
    "plain": lambda path: tiny.export_encoder(tiny.Encoder(MODEL), path),
    "batched": lambda path: tiny.export_encoder(tiny.Encoder(MODEL), path, batched=True),
    "raw": lambda path: tiny.export_encoder(tiny.RawEncoder(MODEL), path),
    "bytes": lambda path: tiny.export_encoder(tiny.BytesEncoder(MODEL), path),
    "official": lambda path: tiny.export_decoder(tiny.Decoder(MODEL), path),
    "official batched": lambda path: tiny.export_decoder(tiny.Decoder(MODEL), path, batched=True),
    "extra": lambda path: tiny.export_decoder(tiny.Decoder(MODEL, extra=True), path),
    "single": lambda path: tiny.export_decoder(tiny.Decoder(MODEL, single=True), path),
    "edge": lambda path: tiny.export_decoder(tiny.EdgeDecoder(MODEL), path),
    "edge of 4 points": lambda path: tiny.export_decoder(tiny.EdgeDecoder(MODEL), path, points=4),
    "three": lambda path: tiny.export_decoder(tiny.ThreeDecoder(MODEL), path),
}
PAIRS = [
    ("plain", "official"),
    ("batched", "official batched"),
    ("raw", "extra"),
    ("bytes", "edge"),
]


@pytest.fixture(scope="session")
def half(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Where an export lies, made when it is first asked for."""
    folder = tmp_path_factory.mktemp("halves")

    @cache
    def made(kind: str) -> Path:
        path = folder / f"{kind.replace(' ', '_')}.onnx"
        HALVES[kind](path)
        return path

    return made


@pytest.fixture(scope="session")
def pair(half: Callable[[str], Path]) -> Callable[[str, str], OnnxSegmenter]:
    @cache
    def loaded(encoder: str, decoder: str) -> OnnxSegmenter:
        return load_onnx_segmenter(f"{half(encoder)}:{half(decoder)}", "cpu")

    return loaded


def photo(height: int, width: int, seed: int = 0) -> Any:
    rng = np.random.default_rng(seed)
    return rng.integers(0, 256, (height, width, 3), dtype=np.uint8)


def prompts_on(height: int, width: int, kind: str) -> Prompts:
    """Four prompts of a kind, anywhere on the image."""
    rng = np.random.default_rng(7)
    size = np.array([width, height])
    points = (rng.random((4, 2, 2)) * size).astype(np.float32)
    labels = np.array([[1, 1], [1, 0], [1, -1], [0, 1]], np.int8)
    corners = np.sort(rng.random((4, 2, 2)), axis=1) * size
    boxes = corners.reshape(4, 4).astype(np.float32)
    masks = rng.normal(0, 4, (4, tiny.LOW, tiny.LOW)).astype(np.float32)
    return {
        "point": Prompts(points[:, :1], labels[:, :1]),
        "points": Prompts(points, labels),
        "box": Prompts(boxes=boxes),
        "points and box": Prompts(points, labels, boxes),
        "point and mask": Prompts(points[:, :1], labels[:, :1], None, masks),
        "box and mask": Prompts(None, None, boxes, masks),
    }[kind]


def by_torch(image: Any, prompts: Prompts, *, multimask: bool) -> tuple[Any, Any]:
    """What the PyTorch model answers, with transformers' own preprocessing, prompt by prompt."""
    from transformers import SamImageProcessorPil

    side = tiny.SIDE
    prepare = SamImageProcessorPil(
        size={"longest_edge": side}, pad_size={"height": side, "width": side}
    )
    form = "channels_last"  # it takes an image 1 or 3 px high for colours first
    pixels = prepare(image, return_tensors="pt", input_data_format=form)["pixel_values"]
    high, wide = image.shape[:2]
    by = side / max(high, wide)
    scale = np.array([int(wide * by + 0.5) / wide, int(high * by + 0.5) / high])
    logits, scores = [], []
    for n in range(len(prompts)):
        given: dict[str, Any] = {}
        if prompts.points is not None and prompts.labels is not None:
            given["input_points"] = torch.tensor(prompts.points[n] * scale)[None, None].float()
            given["input_labels"] = torch.tensor(prompts.labels[n])[None, None].long()
        if prompts.boxes is not None:
            box = (prompts.boxes[n].reshape(2, 2) * scale).reshape(4)
            given["input_boxes"] = torch.tensor(box)[None, None].float()
        if prompts.masks is not None:
            given["input_masks"] = torch.tensor(prompts.masks[n])[None, None]
        with torch.no_grad():
            answer = MODEL(pixel_values=pixels, multimask_output=multimask, **given)
        logits.append(answer.pred_masks[0, 0].numpy())
        scores.append(answer.iou_scores[0, 0].numpy())
    return np.stack(logits), np.stack(scores)


@pytest.mark.parametrize("multimask", [True, False])
@pytest.mark.parametrize("kind", ["point", "points", "box", "points and box"])
@pytest.mark.parametrize(
    "halves",
    [*PAIRS[:1], *(pytest.param(pair, marks=pytest.mark.slow) for pair in PAIRS[1:])],
    ids="+".join,
)
def test_answers_are_those_of_pytorch(
    pair: Any, halves: tuple[str, str], kind: str, multimask: bool
) -> None:
    segmenter = pair(*halves)
    # Bytes cannot be padded with the exact mean, so there is nothing to pad.
    size = (50, 50) if "bytes" in halves else (30, 50)
    image = photo(*size)
    prompts = prompts_on(*size, kind)
    answer = segmenter.segment(segmenter.embed([image])[0], prompts, multimask=multimask)
    logits, scores = by_torch(image, prompts, multimask=multimask)
    # A decoder that mixed its prompts up would pass if they all got the same answer.
    assert logits.std(axis=0).max() > 100 * TOLERANCE
    np.testing.assert_allclose(answer.logits, logits, atol=TOLERANCE * np.abs(logits).max())
    np.testing.assert_allclose(answer.predicted_iou, scores, atol=TOLERANCE)
    assert answer.logits.dtype == answer.predicted_iou.dtype == np.float32
    assert answer.frame == Frame.longest_side(*size, tiny.SIDE)


def test_bytes_are_padded_with_the_rounded_mean(pair: Any) -> None:
    image = photo(30, 50)
    one, other = (pair(kind, "edge").embed([image])[0].parts[0] for kind in ("bytes", "plain"))
    np.testing.assert_allclose(one, other, atol=0.05 * np.abs(other).max())


@pytest.mark.parametrize("kind", ["point and mask", "box and mask"])
@pytest.mark.parametrize("decoder", ["official", "official batched"])
def test_masks_as_prompts(pair: Any, decoder: str, kind: str) -> None:
    segmenter = pair("plain", decoder)
    assert segmenter.takes_masks
    image = photo(40, 25)
    prompts = prompts_on(40, 25, kind)
    answer = segmenter.segment(segmenter.embed([image])[0], prompts, multimask=True)
    logits, scores = by_torch(image, prompts, multimask=True)
    np.testing.assert_allclose(answer.logits, logits, atol=TOLERANCE * np.abs(logits).max())
    np.testing.assert_allclose(answer.predicted_iou, scores, atol=TOLERANCE)
    without = segmenter.segment(
        segmenter.embed([image])[0], replace(prompts, masks=None), multimask=True
    )
    assert np.abs(without.logits - answer.logits).max() > 100 * TOLERANCE


@pytest.mark.parametrize("size", [(64, 64), (20, 64), (200, 40), (1, 100), (300, 7), (1, 1)])
@pytest.mark.parametrize("encoder", ["plain", pytest.param("raw", marks=pytest.mark.slow)])
def test_images_of_any_shape(pair: Any, encoder: str, size: tuple[int, int]) -> None:
    segmenter = pair(encoder, "official")
    image = photo(*size)
    prompts = prompts_on(*size, "points and box")
    answer = segmenter.segment(segmenter.embed([image])[0], prompts, multimask=True)
    logits, _ = by_torch(image, prompts, multimask=True)
    np.testing.assert_allclose(answer.logits, logits, atol=TOLERANCE * np.abs(logits).max())
    assert (answer.frame.height, answer.frame.width) == size


@pytest.mark.parametrize("encoder", ["plain", "batched", "raw"])
def test_many_images_are_embedded_as_each_alone(pair: Any, encoder: str) -> None:
    segmenter = pair(encoder, "official")
    images = [photo(30 + k, 50 - 3 * k, k) for k in range(6)]
    together = segmenter.embed(images)
    assert len(together) == 6
    for image, embedding in zip(images, together, strict=True):
        (alone,) = segmenter.embed([image])
        assert embedding.frame == alone.frame
        for one, other in zip(embedding.parts, alone.parts, strict=True):
            np.testing.assert_allclose(one, other, atol=TOLERANCE * np.abs(other).max())
    assert segmenter.embed([]) == []


def test_which_decoders_answer_several_prompts_at_once(pair: Any) -> None:
    assert pair("plain", "official batched").decoder.batched
    assert not pair("plain", "official").decoder.batched


def test_no_prompts_no_answers(pair: Any) -> None:
    segmenter = pair("plain", "official")
    embedding = segmenter.embed([photo(9, 9)])[0]
    none = Prompts(boxes=np.zeros((0, 4), np.float32))
    assert segmenter.segment(embedding, none, multimask=True).logits.shape == (0, 3, 16, 16)
    assert segmenter.segment(embedding, none, multimask=False).predicted_iou.shape == (0, 1)


def test_a_decoder_of_one_mask_gives_one(pair: Any) -> None:
    """The exporter's choice: for one point the best of the three, for more SAM's single one."""
    segmenter = pair("plain", "single")
    image = photo(30, 50)
    embedding = segmenter.embed([image])[0]
    for kind, multimask in (("point", True), ("points", False)):
        prompts = prompts_on(30, 50, kind)
        answer = segmenter.segment(embedding, prompts, multimask=multimask)
        logits, scores = by_torch(image, prompts, multimask=multimask)
        best = scores.argmax(axis=1)
        rows = np.arange(len(prompts))
        assert answer.logits.shape[1] == 1
        np.testing.assert_allclose(answer.logits[:, 0], logits[rows, best], atol=1e-2)
        np.testing.assert_allclose(answer.predicted_iou[:, 0], scores[rows, best], atol=TOLERANCE)


def test_a_decoder_of_three_masks_gives_the_best_where_one_is_asked_for(pair: Any) -> None:
    segmenter = pair("plain", "three")
    image = photo(30, 50)
    prompts = prompts_on(30, 50, "points")
    embedding = segmenter.embed([image])[0]
    logits, scores = by_torch(image, prompts, multimask=True)
    three = segmenter.segment(embedding, prompts, multimask=True)
    np.testing.assert_allclose(three.predicted_iou, scores, atol=TOLERANCE)
    one = segmenter.segment(embedding, prompts, multimask=False)
    np.testing.assert_allclose(one.predicted_iou[:, 0], scores.max(axis=1), atol=TOLERANCE)
    best = logits[np.arange(4), scores.argmax(axis=1)]
    np.testing.assert_allclose(one.logits[:, 0], best, atol=TOLERANCE * np.abs(best).max())


def test_a_fixed_number_of_points_is_filled_with_padding(pair: Any) -> None:
    fixed, free = pair("plain", "edge of 4 points"), pair("plain", "edge")
    embedding = fixed.embed([photo(30, 50)])[0]
    points = np.array([[[20, 10], [30, 20]]], np.float32)
    labels = np.array([[1, 0]], np.int8)
    padding = np.array([[[0, 0]]], np.float32)
    padded = Prompts(
        np.concatenate([points, padding], 1), np.append(labels, [[-1]], 1).astype(np.int8)
    )
    a = fixed.segment(embedding, Prompts(points, labels), multimask=True)
    b = free.segment(embedding, padded, multimask=True)
    np.testing.assert_allclose(a.logits, b.logits, atol=TOLERANCE * np.abs(b.logits).max())
    many = Prompts(np.tile(points, (1, 3, 1)), np.tile(labels, (1, 3)))
    with pytest.raises(CallError, match="takes 4 points a prompt, and here are 7"):
        fixed.segment(embedding, many, multimask=True)


def test_a_padding_point_that_is_nan_is_only_padding(pair: Any) -> None:
    segmenter = pair("plain", "official")
    embedding = segmenter.embed([photo(30, 50)])[0]
    points = np.array([[[20, 10], [np.nan, np.nan]]], np.float32)
    labels = np.array([[1, -1]], np.int8)
    answer = segmenter.segment(embedding, Prompts(points, labels), multimask=True)
    assert np.isfinite(answer.logits).all()


def test_logits_that_are_not_finite_pass_through(pair: Any) -> None:
    segmenter = pair("plain", "official")
    embedding = segmenter.embed([photo(30, 50)])[0]
    broken = Embedding(embedding.frame, (np.full_like(embedding.parts[0], np.nan),))
    answer = segmenter.segment(broken, prompts_on(30, 50, "box"), multimask=False)
    assert np.isnan(answer.logits).all()
    assert np.isnan(answer.predicted_iou).all()


def test_prompts_are_checked(pair: Any) -> None:
    segmenter = pair("bytes", "edge")
    embedding = segmenter.embed([photo(30, 50)])[0]
    with pytest.raises(CallError, match="not on the image of 50 x 30 px"):
        segmenter.segment(embedding, Prompts(boxes=np.array([[0, 0, 60, 9.0]])), multimask=True)
    assert not segmenter.takes_masks
    with pytest.raises(CallError, match="takes no masks as prompts"):
        segmenter.segment(embedding, prompts_on(30, 50, "box and mask"), multimask=True)
    official = pair("plain", "official")
    wrong = Prompts(boxes=np.array([[0, 0, 9, 9.0]]), masks=np.zeros((1, 8, 8), np.float32))
    with pytest.raises(CallError, match=r"masks are of \(8, 8\) and the decoder takes \(16, 16\)"):
        official.segment(official.embed([photo(9, 9)])[0], wrong, multimask=True)


def test_pack_and_unpack(pair: Any) -> None:
    segmenter = pair("plain", "official")
    embedding = segmenter.embed([photo(30, 50)])[0]
    packed = segmenter.pack(embedding)
    again = segmenter.unpack(packed, embedding.frame)
    assert again.frame == embedding.frame
    assert [p.tobytes() for p in again.parts] == [p.tobytes() for p in embedding.parts]
    (name,) = packed
    for wrong in (
        {},
        {"other": packed[name]},
        {name: packed[name][:, :3]},
        {name: packed[name].astype(np.float64)},
    ):
        with pytest.raises(CallError, match="of another model"):
            segmenter.unpack(wrong, embedding.frame)


def test_what_a_segmenter_says_of_itself(pair: Any, half: Any, tmp_path: Path) -> None:
    segmenter = pair("plain", "official")
    said = (segmenter.device, segmenter.precision, segmenter.low_side, segmenter.side)
    assert said == ("cpu", "float32", tiny.LOW, tiny.SIDE)
    # Its fingerprint is of what the files hold, not of where they are.
    shutil.copy(half("plain"), tmp_path / "b.onnx")
    shutil.copy(half("official"), tmp_path / "a.onnx")
    copy = load_onnx_segmenter(tmp_path, "cpu")
    assert copy.name == str(tmp_path)
    assert copy.fingerprint == segmenter.fingerprint
    assert pair("plain", "edge").fingerprint != segmenter.fingerprint
    swapped = load_onnx_segmenter(f"{half('official')}:{half('plain')}", "cpu")
    assert swapped.fingerprint == segmenter.fingerprint


def test_the_encoder_of_a_pair_gives_a_grid_of_features(
    pair: Any, half: Any, tmp_path: Path
) -> None:
    shutil.copy(half("plain"), tmp_path / "b.onnx")
    shutil.copy(half("official"), tmp_path / "a.onnx")
    loaded = load_grid_encoder(str(tmp_path), device="cpu")
    picture = photo(30, 50)
    grid = loaded.encode_picture(picture)
    (embedded,) = pair("plain", "official").embed([picture])
    np.testing.assert_array_equal(grid.values, embedded.parts[0][0])
    assert grid.on_picture().shape == (tiny.CHANNELS, 3, 4)  # of 4 x 4 cells; the rest is padding


class Stingy:
    """A session whose device has room for so many items."""

    def __init__(self, inner: Any, room: int) -> None:
        self.inner, self.room, self.sizes = inner, room, list[int]()

    def run(self, outputs: Any, feeds: dict[str, Any], options: Any) -> Any:
        size = len(feeds.get("point_coords", next(iter(feeds.values()))))
        self.sizes.append(size)
        if size > self.room:
            raise RuntimeError("Failed to allocate memory for requested buffer of size 1")
        return self.inner.run(outputs, feeds, options)


def test_out_of_memory_halves_the_batch(half: Any) -> None:
    segmenter = load_onnx_segmenter(f"{half('batched')}:{half('official batched')}", "cpu")
    images = [photo(20, 20, k) for k in range(5)]
    prompts = prompts_on(20, 20, "points")
    wanted = [segmenter.segment(e, prompts, multimask=True).logits for e in segmenter.embed(images)]
    encoder, decoder = segmenter.encoder, segmenter.decoder
    tight, small = Stingy(encoder.inner, 2), Stingy(decoder.session.inner, 1)
    limited = replace(
        segmenter,
        encoder=replace(encoder, inner=tight),
        decoder=replace(decoder, session=replace(decoder.session, inner=small)),
    )
    embeddings = limited.embed(images)
    assert tight.sizes == [4, 2, 2, 1]
    for embedding, logits in zip(embeddings, wanted, strict=True):
        found = limited.segment(embedding, prompts, multimask=True).logits
        np.testing.assert_allclose(found, logits, atol=TOLERANCE * np.abs(logits).max())
    tight.room = 0
    with pytest.raises(CallError, match="not enough memory for a single one"):
        limited.embed(images)


def test_weights_beside_the_model(half: Any, tmp_path: Path) -> None:
    """As exports above 2 GB have them."""
    model = onnx.load(half("plain"))
    onnx.save(model, tmp_path / "e.onnx", save_as_external_data=True, location="e.bin")
    shutil.copy(half("official"), tmp_path / "d.onnx")
    segmenter = load_onnx_segmenter(tmp_path, "cpu")
    plain = load_onnx_segmenter(f"{half('plain')}:{half('official')}", "cpu")
    image = photo(30, 50)
    one, other = (s.embed([image])[0].parts[0] for s in (segmenter, plain))
    np.testing.assert_array_equal(one, other)
    first = segmenter.fingerprint
    weights = bytearray((tmp_path / "e.bin").read_bytes())
    weights[-1] ^= 1
    (tmp_path / "e.bin").write_bytes(weights)
    assert load_onnx_segmenter(tmp_path, "cpu").fingerprint != first
    (tmp_path / "e.bin").unlink()
    with pytest.raises(SourceError, match=r"weights are in 'e\.bin', which is not there"):
        load_onnx_segmenter(tmp_path, "cpu")


def graph(
    inputs: dict[str, Any], outputs: dict[str, Any], nodes: list[Any], weights: list[Any] = ()
) -> Any:
    """An ONNX model by hand."""
    sides = [
        [helper.make_tensor_value_info(n, TensorProto.FLOAT, s) for n, s in side.items()]
        for side in (inputs, outputs)
    ]
    made = helper.make_graph(nodes, "g", *sides, list(weights))
    return helper.make_model(made, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


IMAGE = {"image": (1, 3, 64, 64)}
OUT = {"image_embeddings": (1, 3, 64, 64)}


def outside(location: str) -> Any:
    tensor = helper.make_tensor("w", TensorProto.FLOAT, (4,), np.zeros(4, np.float32))
    tensor.ClearField("float_data")
    tensor.data_location = TensorProto.EXTERNAL
    entry = tensor.external_data.add()
    entry.key, entry.value = "location", location
    return tensor


def with_weights(location: str, place: str) -> Any:
    """A model with its weights in a file, named at one of the places where the format can."""
    tensor = outside(location)
    if place == "initializer":
        node = helper.make_node("Identity", ["image"], ["image_embeddings"])
        return graph(IMAGE, OUT, [node], [tensor])
    if place == "attribute":
        node = helper.make_node("Constant", [], ["image_embeddings"], value=tensor)
        return graph(IMAGE, OUT, [node])
    if place == "branch":
        inner = helper.make_node("Identity", ["w"], ["y"])
        value = helper.make_tensor_value_info("y", TensorProto.FLOAT, (4,))
        branch = helper.make_graph([inner], "b", [], [value], [tensor])
        node = helper.make_node(
            "If", ["image"], ["image_embeddings"], then_branch=branch, else_branch=branch
        )
        return graph(IMAGE, OUT, [node])
    if place == "sparse":
        model = graph(IMAGE, OUT, [helper.make_node("Identity", ["image"], ["image_embeddings"])])
        model.graph.sparse_initializer.add().values.CopyFrom(tensor)
        return model
    model = graph(IMAGE, OUT, [helper.make_node("F", ["image"], ["image_embeddings"], domain="f")])
    constant = helper.make_node("Constant", [], ["y"], value=tensor)
    function = helper.make_function("f", "F", ["x"], ["y"], [constant], [], [])
    model.functions.append(function)
    return model


@pytest.mark.parametrize("place", ["initializer", "attribute", "branch", "sparse", "function"])
def test_weights_outside_the_folder_are_never_opened(tmp_path: Path, place: str) -> None:
    folder = tmp_path / "model"
    folder.mkdir()
    secret = tmp_path / "secret.bin"
    secret.write_bytes(bytes(64))
    (folder / "link.bin").symlink_to(secret)
    for location, why in {
        "../secret.bin": "which is no file in its folder",
        "sub/../../secret.bin": "which is no file in its folder",
        str(secret): "which is no file in its folder",
        "C:\\secret.bin": "which is no file in its folder",
        "*/_ORT_MEM_ADDR_/*": "which is no file in its folder",
        "a\0b": "which is no file in its folder",
        "link.bin": "a link that leaves its folder",
        "gone.bin": "which is not there",
        ".": "which is not there",
    }.items():
        (folder / "e.onnx").write_bytes(with_weights(location, place).SerializeToString())
        with pytest.raises(SourceError, match=why):
            load_onnx_segmenter(folder, "cpu")


def test_a_hub_cache_of_links_is_read(half: Any, tmp_path: Path) -> None:
    """There a model is a folder of links to files elsewhere, all in one place."""
    blobs, snapshot = tmp_path / "blobs", tmp_path / "snapshots" / "1"
    blobs.mkdir()
    snapshot.mkdir(parents=True)
    model = onnx.load(half("plain"))
    onnx.save(model, blobs / "1", save_as_external_data=True, location="e.bin")
    os.replace(blobs / "e.bin", blobs / "2")
    shutil.copy(half("official"), blobs / "3")
    for name, blob in (("e.onnx", "1"), ("e.bin", "2"), ("d.onnx", "3")):
        (snapshot / name).symlink_to(f"../../blobs/{blob}")
    assert load_onnx_segmenter(snapshot, "cpu").embed([photo(5, 5)])


def test_a_file_that_is_no_model_or_is_cut_off(half: Any, tmp_path: Path) -> None:
    shutil.copy(half("official"), tmp_path / "d.onnx")
    path = tmp_path / "e.onnx"
    whole = half("plain").read_bytes()
    rng = np.random.default_rng(0)
    for content, why in (
        (b"", "it is empty"),
        (b"PK\x03\x04 a zip file", "no ONNX file"),
        (rng.bytes(5000), "no ONNX file"),
        (b"<html>404</html>", "no ONNX file"),
        (b"\x08\x08", "no ONNX file"),
        (whole[: len(whole) // 2], "no ONNX file, or damaged"),
        (b"\x3a" * 4000, "no ONNX file"),
    ):
        path.write_bytes(content)
        with pytest.raises(SourceError, match=why):
            load_onnx_segmenter(tmp_path, "cpu")
    path.unlink()
    path.mkdir()
    with pytest.raises(SourceError, match="cannot be read"):
        load_onnx_segmenter(tmp_path, "cpu")


def test_a_file_larger_than_any_model_is_not_read(tmp_path: Path) -> None:
    with (tmp_path / "e.onnx").open("wb") as file:
        file.truncate(2**31)
    with pytest.raises(SourceError, match="larger than any ONNX file"):
        read_onnx(tmp_path / "e.onnx")


def test_damage_of_any_byte_is_an_error_of_ours_or_unseen(half: Any, tmp_path: Path) -> None:
    """The reader walks lengths that a file gives: none may lead it astray."""
    whole = half("edge").read_bytes()
    path = tmp_path / "d.onnx"
    rng = np.random.default_rng(1)
    for _ in range(60):
        damaged = bytearray(whole)
        for at in rng.integers(0, len(whole), 3):
            damaged[at] = rng.integers(0, 256)
        path.write_bytes(damaged)
        with suppress(SourceError):
            read_onnx(path)


def test_messages_within_messages_end(tmp_path: Path) -> None:
    """A graph in a graph in a graph ..., deeper than any exporter goes."""
    content = helper.make_graph([], "g", [], []).SerializeToString()
    for _ in range(200):
        attribute = b"\x32" + size_of(content) + content  # AttributeProto.g
        node = b"\x2a" + size_of(attribute) + attribute  # NodeProto.attribute
        content = b"\x0a" + size_of(node) + node  # GraphProto.node
    (tmp_path / "e.onnx").write_bytes(b"\x3a" + size_of(content) + content)
    with pytest.raises(SourceError, match="no ONNX file"):
        read_onnx(tmp_path / "e.onnx")


def test_of_a_name_given_twice_the_last_counts(tmp_path: Path) -> None:
    """As protocol buffers have it: a harmless first one hides nothing."""
    entry = b"\x0a\x01x" + b"\x0a\x08location" + b"\x12\x01y" + b"\x12\x09../secret"
    tensor = b"\x6a" + size_of(entry) + entry
    more = b"\x2a" + size_of(tensor) + tensor
    model = graph_of_nothing() + b"\x3a" + size_of(more) + more
    (tmp_path / "e.onnx").write_bytes(model)
    with pytest.raises(SourceError, match=r"'\.\./secret', which is no file in its folder"):
        read_onnx(tmp_path / "e.onnx")


def graph_of_nothing() -> bytes:
    node = helper.make_node("Identity", ["image"], ["image_embeddings"])
    return graph(IMAGE, OUT, [node]).SerializeToString()


def size_of(content: bytes) -> bytes:
    size, out = len(content), b""
    while size >= 128:
        out += bytes([size % 128 + 128])
        size //= 128
    return out + bytes([size])


def test_a_half_is_missing_or_there_are_two(half: Any, tmp_path: Path) -> None:
    with pytest.raises(CallError, match="there is no such folder"):
        load_onnx_segmenter(tmp_path / "none")
    with pytest.raises(CallError, match=r"it holds no \.onnx file"):
        load_onnx_segmenter(tmp_path)
    with pytest.raises(CallError, match="it is one file, and a segmenter has two"):
        load_onnx_segmenter(half("plain"))
    with pytest.raises(SourceError, match="no such file"):
        load_onnx_segmenter(f"{half('plain')}:{tmp_path / 'd.onnx'}")
    shutil.copy(half("plain"), tmp_path / "one.onnx")
    with pytest.raises(CallError, match=r"no.* SAM-style decoder.*one\.onnx \(x -> image_embed"):
        load_onnx_segmenter(tmp_path)
    shutil.copy(half("plain"), tmp_path / "two.onnx")
    shutil.copy(half("official"), tmp_path / "three.onnx")
    with pytest.raises(CallError, match=r"holds 2 encoders: one\.onnx, two\.onnx"):
        load_onnx_segmenter(tmp_path)
    for name in ("one", "two"):
        (tmp_path / f"{name}.onnx").unlink()
    with pytest.raises(CallError, match="SAM-style encoder, which takes an image of 3 colours"):
        load_onnx_segmenter(tmp_path)


def test_a_model_that_is_no_sam(half: Any, tmp_path: Path) -> None:
    shutil.copy(half("plain"), tmp_path / "e.onnx")
    node = helper.make_node("Identity", ["tokens"], ["text"])
    (tmp_path / "x.onnx").write_bytes(
        graph({"tokens": (1, 77)}, {"text": (1, 77)}, [node]).SerializeToString()
    )
    with pytest.raises(CallError, match=r"x\.onnx \(tokens -> text\)"):
        load_onnx_segmenter(tmp_path)


def save_decoder(path: Path, inputs: dict[str, Any], outputs: dict[str, Any]) -> None:
    """A model of those names and shapes that gives zeros."""
    nodes = [
        helper.make_node(
            "Constant",
            [],
            [name],
            value=helper.make_tensor(name, TensorProto.FLOAT, shape, np.zeros(shape).ravel()),
        )
        for name, shape in outputs.items()
    ]
    path.write_bytes(graph(inputs, outputs, nodes).SerializeToString())


POINTS = {"point_coords": (1, "p", 2), "point_labels": (1, "p")}
EMBEDDING = {"image_embeddings": (1, 16, 4, 4)}
ANSWER = {"scores": (1, 4), "masks": (1, 4, 16, 16)}


@pytest.mark.parametrize(
    ("inputs", "outputs", "why"),
    [
        (
            {"image_embed": (1, 16, 4, 4), "high_res_feats_0": (1, 2, 16, 16)} | POINTS,
            ANSWER,
            "takes image_embed high_res_feats_0, and the encoder gives image_embeddings; .*SAM 2",
        ),
        (POINTS, ANSWER, "takes no embedding"),
        ({"image_embeddings": (1, 16, "h", "w")} | POINTS, ANSWER, "lengths of the embedding"),
        (EMBEDDING | POINTS, {"masks": (1, 4, 32, 32)}, r"gives masks \(1, 4, 32, 32\), and not"),
        (
            EMBEDDING | POINTS,
            {"scores": (1, 2), "masks": (1, 2, 16, 16)},
            "of 1, 3 or 4 masks",
        ),
        ({"image_embeddings": (1, 32, 4, 4)} | POINTS, ANSWER, "same model"),
    ],
)
def test_a_decoder_that_is_none(
    half: Any, tmp_path: Path, inputs: dict[str, Any], outputs: dict[str, Any], why: str
) -> None:
    shutil.copy(half("plain"), tmp_path / "e.onnx")
    save_decoder(tmp_path / "d.onnx", inputs, outputs)
    with pytest.raises(SourceError, match=why):
        load_onnx_segmenter(tmp_path, "cpu").embed([photo(8, 8)])


def test_an_encoder_of_another_form(half: Any, tmp_path: Path) -> None:
    shutil.copy(half("official"), tmp_path / "d.onnx")
    path = tmp_path / "e.onnx"
    node = helper.make_node("Sharpen", ["image"], ["image_embeddings"], domain="com.acme")
    model = graph(IMAGE, OUT, [node])
    model.opset_import.append(helper.make_opsetid("com.acme", 1))
    path.write_bytes(model.SerializeToString())
    with pytest.raises(SourceError, match=r"operator com\.acme:Sharpen, which onnxruntime does"):
        load_onnx_segmenter(tmp_path, "cpu")
    node = helper.make_node("Identity", ["image"], ["image_embeddings"])
    wide = {"image": (1, 3, 48, 64)}, {"image_embeddings": (1, 3, 48, 64)}
    path.write_bytes(graph(*wide, [node]).SerializeToString())
    with pytest.raises(SourceError, match="64 x 48 px is not square"):
        load_onnx_segmenter(tmp_path, "cpu")
    astray = helper.make_node("Relu", ["x"], ["y"])
    path.write_bytes(graph(IMAGE, OUT, [astray]).SerializeToString())
    with pytest.raises(SourceError, match="onnxruntime cannot load it"):
        load_onnx_segmenter(tmp_path, "cpu")


def test_the_device_is_checked(monkeypatch: pytest.MonkeyPatch) -> None:
    import onnxruntime

    def offers(*providers: str) -> None:
        monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: list(providers))

    offers("CPUExecutionProvider")
    assert choose_provider() == choose_provider("cpu") == "cpu"
    with pytest.raises(CallError, match="without CUDA"):
        choose_provider("cuda:1")
    with pytest.raises(CallError, match="runs on no mps"):
        choose_provider("mps")
    offers("CUDAExecutionProvider", "CPUExecutionProvider")
    assert (choose_provider(), choose_provider("cuda:1")) == ("cuda:0", "cuda:1")
