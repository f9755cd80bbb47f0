"""Segmenters of the transformers library against the library itself and direct definitions."""

import json
import shutil
from dataclasses import replace

import numpy as np
import pytest
import tiny_models
import torch
import torch.nn.functional as F
from transformers.models.sam.image_processing_pil_sam import SamImageProcessorPil

from curate.errors import CallError, SourceError
from curate.networks.loading import load_segmenter
from curate.networks.segmenters.segmenter import Frame, Prompts
from curate.rle import to_dense
from curate.rle.logits import draw

SIZES = [(48, 64), (64, 48), (1, 100), (100, 1), (37, 61), (200, 150)]


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    root = tmp_path_factory.mktemp("models")
    return {name: tiny_models.saved(name, root) for name in tiny_models.NAMES}


QUICK = ("sam", "sam2")
"""The two families; what is tried with these goes for the others in ``make test-slow``."""


@pytest.fixture(
    params=[
        pytest.param(name, marks=[] if name in QUICK else pytest.mark.slow)
        for name in tiny_models.NAMES
    ]
)
def segmenter(request, folders):
    return load_segmenter(str(folders[request.param]), device="cpu")


def picture(height, width, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def triangle_resize(image, side):
    """Antialiased bilinear resizing by its definition, in float64: a triangle as wide as a step."""

    def weights(source):
        scale = source / side
        reach = max(scale, 1.0)
        centres = (np.arange(side) + 0.5) * scale
        at = np.arange(source) + 0.5
        raw = np.clip(1 - np.abs(at[None] - centres[:, None]) / reach, 0, None)
        return raw / raw.sum(axis=1, keepdims=True)

    values = image.astype(np.float64) / 255
    return np.einsum("yh,hwc,xw->cyx", weights(len(image)), values, weights(image.shape[1]))


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("name", ["sam2", "sam3_tracker"])
def test_squashed_images_are_prepared_as_the_reference_does(folders, name, size):
    segmenter = load_segmenter(str(folders[name]), device="cpu")
    image = picture(*size)
    mean, std = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
    if name == "sam3_tracker":
        mean = std = (0.5, 0.5, 0.5)
    expected = triangle_resize(image, tiny_models.SIDE) - np.array(mean)[:, None, None]
    expected /= np.array(std)[:, None, None]
    np.testing.assert_allclose(segmenter.prepare(image).numpy(), expected, atol=2e-5)


@pytest.mark.parametrize("size", SIZES)
def test_padded_images_are_prepared_as_the_reference_does(folders, size):
    segmenter = load_segmenter(str(folders["sam"]), device="cpu")
    side = tiny_models.SIDE
    processor = SamImageProcessorPil(
        size={"longest_edge": side}, pad_size={"height": side, "width": side}
    )
    image = picture(*size)
    expected = processor(image, return_tensors="np", input_data_format="channels_last")
    found = segmenter.prepare(image).numpy()
    np.testing.assert_allclose(found, expected["pixel_values"][0], atol=2e-5)
    frame = segmenter.frame(*size)
    reshaped = tuple(int(v) for v in expected["reshaped_input_sizes"][0])
    assert (frame.resized_height, frame.resized_width) == reshaped


def model_answer(segmenter, image, prompts, multimask):
    """What the library's own forward says, everything in one call."""
    frame = segmenter.frame(*image.shape[:2])
    inputs = {"pixel_values": segmenter.prepare(image)[None], "multimask_output": multimask}
    if prompts.points is not None:
        inputs["input_points"] = torch.from_numpy(frame.to_input(prompts.points))[None]
        inputs["input_labels"] = torch.from_numpy(prompts.labels.astype(np.int32))[None]
    if prompts.boxes is not None:
        boxes = frame.to_input(prompts.boxes.reshape(-1, 2, 2)).reshape(1, -1, 4)
        inputs["input_boxes"] = torch.from_numpy(boxes)
    if prompts.masks is not None:
        inputs["input_masks"] = torch.from_numpy(prompts.masks)[:, None]
    with torch.inference_mode():
        found = segmenter.model(**inputs)
    return found.pred_masks[0].numpy(), found.iou_scores[0].numpy()


POINTS = np.array([[[5, 6], [30, 20]], [[40, 20], [0, 0]]], np.float32)
LABELS = np.array([[1, 0], [1, -1]], np.int8)
BOXES = np.array([[2, 3, 20, 30], [0, 0, 64, 48]], np.float32)


@pytest.mark.parametrize("multimask", [True, False])
@pytest.mark.parametrize(
    "prompts",
    [Prompts(POINTS, LABELS), Prompts(boxes=BOXES), Prompts(POINTS, LABELS, BOXES)],
    ids=["points", "boxes", "both"],
)
def test_answers_are_the_models_own(segmenter, prompts, multimask):
    image = picture(48, 64)
    embedding = segmenter.embed([picture(20, 30, seed=1), image])[1]
    answer = segmenter.segment(embedding, prompts, multimask=multimask)
    logits, iou = model_answer(segmenter, image, prompts, multimask)
    assert answer.logits.shape == (2, 3 if multimask else 1, segmenter.low_side, segmenter.low_side)
    np.testing.assert_allclose(answer.logits, logits, atol=2e-4)
    np.testing.assert_allclose(answer.predicted_iou, iou, atol=2e-4)


def test_each_mask_prompt_goes_with_its_own_point(segmenter):
    image = picture(48, 64)
    embedding = segmenter.embed([image])[0]
    masks = np.random.default_rng(3).normal(size=(2, segmenter.low_side, segmenter.low_side))
    masks = masks.astype(np.float32) * 5
    answer = segmenter.segment(embedding, Prompts(POINTS, LABELS, masks=masks), multimask=True)
    for k in range(2):
        one = Prompts(POINTS[k : k + 1], LABELS[k : k + 1], masks=masks[k : k + 1])
        logits, iou = model_answer(segmenter, image, one, True)
        np.testing.assert_allclose(answer.logits[k : k + 1], logits, atol=2e-4)
        np.testing.assert_allclose(answer.predicted_iou[k : k + 1], iou, atol=2e-4)
    without = segmenter.segment(embedding, Prompts(POINTS, LABELS), multimask=True)
    assert np.abs(without.logits - answer.logits).max() > 1e-3


MASK = np.random.default_rng(3).normal(size=(1, 16, 16)).astype(np.float32) * 5


@pytest.mark.parametrize("multimask", [True, False])
@pytest.mark.parametrize(
    "prompts",
    [
        Prompts(POINTS[:1], LABELS[:1]),
        Prompts(boxes=BOXES[:1]),
        Prompts(POINTS[:1], LABELS[:1], BOXES[:1]),
        Prompts(POINTS[:1], LABELS[:1], masks=MASK),
        Prompts(np.tile(POINTS[:1], (1, 20, 1)), np.tile(LABELS[:1], (1, 20)), masks=MASK),
    ],
    ids=["points", "box", "both", "mask", "many points"],
)
def test_one_prompt_is_answered_as_the_library_answers_it(folders, prompts, multimask):
    """In another order of sums: the masks are the same, logits and scores to rounding."""
    segmenter = load_segmenter(str(folders["sam"]), device="cpu")
    image = picture(48, 64)
    answer = segmenter.segment(segmenter.embed([image])[0], prompts, multimask=multimask)
    logits, iou = model_answer(segmenter, image, prompts, multimask)
    assert answer.logits.std() > 1e-2
    np.testing.assert_array_equal(answer.logits > 0, logits > 0)
    np.testing.assert_allclose(answer.logits, logits, rtol=1e-4, atol=2e-5)
    np.testing.assert_allclose(answer.predicted_iou, iou, rtol=1e-4, atol=2e-5)


@pytest.mark.parametrize("last", [False, True], ids=["as it comes", "channels last"])
def test_to_answer_one_prompt_changes_no_embedding(folders, last):
    """Features with their channels last are rows already: they are not to be written into."""
    segmenter = load_segmenter(str(folders["sam"]), device="cpu")
    (found,) = segmenter.embed([picture(48, 64)])
    if last:
        form = torch.channels_last
        parts = (part.contiguous(memory_format=form) for part in found.parts)
        found = replace(found, parts=tuple(parts))
    before = [part.clone() for part in found.parts]
    prompts = Prompts(POINTS[:1], LABELS[:1])
    first, again = (segmenter.segment(found, prompts, multimask=True) for _ in range(2))
    np.testing.assert_array_equal(first.logits, again.logits)
    assert all((a == b).all() for a, b in zip(before, found.parts, strict=True))


def test_batches_change_nothing(segmenter):
    rng = np.random.default_rng(0)
    points = rng.uniform(0, 47, (9, 1, 2)).astype(np.float32)
    prompts = Prompts(points, np.ones((9, 1), np.int8))
    embedding = segmenter.embed([picture(48, 64)])[0]
    whole = segmenter.segment(embedding, prompts, multimask=True)
    segmenter.prompts_at_once.size = 2
    parts = segmenter.segment(embedding, prompts, multimask=True)
    np.testing.assert_allclose(parts.logits, whole.logits, atol=1e-5)
    assert len(segmenter.segment(embedding, prompts[:0], multimask=False)) == 0


def test_out_of_memory_halves_the_batch_and_goes_on(segmenter, monkeypatch):
    """The network says that memory is full for more than two prompts; the answer stays."""
    points = np.random.default_rng(0).uniform(0, 47, (9, 1, 2)).astype(np.float32)
    prompts = Prompts(points, np.ones((9, 1), np.int8))
    embedding = segmenter.embed([picture(48, 64)])[0]
    expected = segmenter.segment(embedding, prompts, multimask=True)
    forward = segmenter.model.forward

    def small(**inputs):
        if inputs["input_points"].shape[1] > 2:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 1 GiB")
        return forward(**inputs)

    monkeypatch.setattr(segmenter.model, "forward", small)
    found = segmenter.segment(embedding, prompts, multimask=True)
    np.testing.assert_allclose(found.logits, expected.logits, atol=1e-5)
    assert segmenter.prompts_at_once.size == 2


def test_memory_for_not_even_one(segmenter, monkeypatch):
    def none(*_, **__):
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 1 GiB")

    embedding = segmenter.embed([picture(48, 64)])[0]
    monkeypatch.setattr(segmenter.model, "forward", none)
    monkeypatch.setattr(segmenter.model.prompt_encoder, "forward", none)
    with pytest.raises(CallError, match="not enough memory for a single one; use a smaller model"):
        segmenter.segment(embedding, Prompts(POINTS, LABELS), multimask=True)


def test_embeddings_are_packed_without_loss(segmenter):
    embedding = segmenter.embed([picture(48, 64)])[0]
    arrays = segmenter.pack(embedding)
    assert all(isinstance(a, np.ndarray) for a in arrays.values())
    again = segmenter.unpack(arrays, embedding.frame)
    one = segmenter.segment(embedding, Prompts(POINTS, LABELS), multimask=True)
    other = segmenter.segment(again, Prompts(POINTS, LABELS), multimask=True)
    np.testing.assert_array_equal(one.logits, other.logits)
    with pytest.raises(CallError, match="embed again"):
        segmenter.unpack({"other": arrays["part0"]}, embedding.frame)


@pytest.mark.parametrize("size", [(48, 64), (64, 48), (480, 640), (1, 1000), (37, 100)])
@pytest.mark.parametrize("lay", [Frame.longest_side, Frame.stretch])
def test_low_res_logits_return_to_the_image_as_the_models_code_does(size, lay):
    """The library's post-processing: bilinear to the input, padding off, bilinear to the image."""
    height, width = size
    frame = lay(height, width, 1024)
    generator = torch.Generator().manual_seed(1)
    coarse = torch.randn(2, 1, 9, 9, generator=generator) * 4
    low = F.interpolate(coarse, (256, 256), mode="bicubic", align_corners=False)
    full = low
    if frame.upsampling == "through_input":
        full = F.interpolate(full, (1024, 1024), mode="bilinear", align_corners=False)
        full = full[..., : frame.resized_height, : frame.resized_width]
    full = F.interpolate(full, size, mode="bilinear", align_corners=False)[:, 0].double().numpy()
    drawn = draw(low[:, 0].numpy(), frame.taps(256))
    for k in range(2):
        sure = np.abs(full[k]) > 1e-4
        np.testing.assert_array_equal(to_dense(drawn.runs, k)[sure], (full[k] > 0)[sure])
        for found, level in ((drawn.under, -1), (drawn.area, 0), (drawn.over, 1)):
            unsure = (np.abs(full[k] - level) < 1e-4).sum()
            assert abs(found[k] - (full[k] > level).sum()) <= unsure


def test_wrong_prompts(segmenter):
    embedding = segmenter.embed([picture(48, 64)])[0]
    off = Prompts(np.array([[[5, 6]], [[70, 6]]], np.float32), np.ones((2, 1), np.int8))
    with pytest.raises(CallError, match=r"prompt 1: the point \[70.0, 6.0\] is not on the image"):
        segmenter.segment(embedding, off, multimask=True)
    off = Prompts(boxes=np.array([[0, 0, np.nan, 5]], np.float32))
    with pytest.raises(CallError, match="prompt 0: the box"):
        segmenter.segment(embedding, off, multimask=True)
    with pytest.raises(CallError, match="a point or a box"):
        Prompts()
    with pytest.raises(CallError, match="differ in number"):
        Prompts(POINTS, LABELS, BOXES[:1])


@pytest.mark.parametrize("image", [np.zeros((4, 4)), np.zeros((4, 0, 3), np.uint8)])
def test_wrong_images(segmenter, image):
    with pytest.raises(CallError, match="uint8, RGB"):
        segmenter.embed([image])


def test_weights_of_another_architecture(folders, tmp_path):
    mixed = tmp_path / "mixed"
    shutil.copytree(folders["sam2"], mixed)
    shutil.copy(folders["sam"] / "config.json", mixed)
    with pytest.raises(SourceError, match="its weights do not fit SamModel"):
        load_segmenter(str(mixed))


def test_wrong_folders(folders, tmp_path):
    def changed(name):
        shutil.copytree(folders["sam"], tmp_path / name)
        return tmp_path / name

    other = changed("other")
    config = json.loads((other / "config.json").read_text())
    (other / "config.json").write_text(json.dumps(config | {"model_type": "bert"}))
    with pytest.raises(SourceError, match="of type bert, no segmenter"):
        load_segmenter(str(other))
    pickled = changed("pickled")
    (pickled / "model.safetensors").rename(pickled / "pytorch_model.bin")
    with pytest.raises(SourceError, match="only pickled weights, which can run code"):
        load_segmenter(str(pickled))
    bare = changed("bare")
    (bare / "model.safetensors").unlink()
    with pytest.raises(SourceError, match="no weights"):
        load_segmenter(str(bare))
    cut = changed("cut")
    whole = (cut / "model.safetensors").read_bytes()
    (cut / "model.safetensors").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(SourceError, match="cannot be loaded as SamModel"):
        load_segmenter(str(cut))
    (bare / "config.json").write_text("{")
    (bare / "model.safetensors").write_bytes(whole)
    with pytest.raises(SourceError, match="it is no JSON"):
        load_segmenter(str(bare))
    (bare / "config.json").unlink()
    with pytest.raises(SourceError, match=r"no config\.json"):
        load_segmenter(str(bare))


def test_an_encoder_that_cannot_run_here(folders, tmp_path):
    """EdgeTAM as published: its config names an encoder of timm."""
    published = shutil.copytree(folders["edgetam"], tmp_path / "edgetam")
    config = json.loads((published / "config.json").read_text())
    config["vision_config"]["backbone_config"] = {"model_type": "timm_wrapper"}
    (published / "config.json").write_text(json.dumps(config))
    with pytest.raises(SourceError, match="comes from the package timm"):
        load_segmenter(str(published))


def test_no_weights_and_no_network(tmp_path, monkeypatch):
    monkeypatch.setenv("HF_HOME", str(tmp_path))
    with pytest.raises(CallError, match="give the path of a folder with its files"):
        load_segmenter("facebook/sam-vit-base")
    with pytest.raises(CallError, match="there is no folder"):
        load_segmenter("./nothing/here")


def test_a_device_that_is_not_there(folders):
    for name in ("cuda:9", "tpu", "cuda:x"):
        with pytest.raises(CallError, match=f"there is no device {name} here"):
            load_segmenter(str(folders["sam"]), device=name)


def test_the_fingerprint_is_of_the_weights(folders, tmp_path):
    first = load_segmenter(str(folders["sam"]))
    copy = shutil.copytree(folders["sam"], tmp_path / "copy")
    assert load_segmenter(str(copy)).fingerprint == first.fingerprint
    other = tiny_models.saved("sam", tmp_path, seed=1)
    assert load_segmenter(str(other)).fingerprint != first.fingerprint
