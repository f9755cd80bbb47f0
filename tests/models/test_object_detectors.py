"""Detectors against the library's own processors, and what is no detector."""

from __future__ import annotations

import dataclasses
import json
import shutil
import warnings

import numpy as np
import pytest
from scipy.optimize import linear_sum_assignment
from scipy.spatial.distance import cdist

torch = pytest.importorskip("torch")
t = pytest.importorskip("transformers")

import tiny_detectors  # noqa: E402
from PIL import Image  # noqa: E402
from safetensors.torch import load_file, save_file  # noqa: E402

from curate.dataset.table import concat  # noqa: E402
from curate.errors import CallError, CurateError, SourceError  # noqa: E402
from curate.images import ImageFolder  # noqa: E402
from curate.networks.detectors.detections import Detections, detect_images  # noqa: E402
from curate.networks.detectors.preprocessing import DetectorInput, read_input  # noqa: E402
from curate.networks.detectors.transformers_detector import FAMILIES, load_detector  # noqa: E402
from curate.scorers.detector import detector as detector_scorer  # noqa: E402

pytestmark = pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::UserWarning")

SIZES = [(48, 64), (90, 41), (3, 300)]


def picture(height, width, seed=0):
    random = np.random.default_rng(seed)
    coarse = random.integers(0, 255, (max(1, height // 8), max(1, width // 8), 3), dtype=np.uint8)
    return np.array(Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC))


def processor_of(kind):
    """Return the library's processor that runs without torchvision; RF-DETR has none."""
    names = {"rf_detr": "DeformableDetrImageProcessor"}
    name = names.get(kind, FAMILIES[kind].processor)
    size = {"shortest_edge": 96, "longest_edge": 160}
    if kind in tiny_detectors.SQUARE:
        size = {"height": 96, "width": 96} if "rt" in name.lower() else {"height": 64, "width": 64}
    if kind == "rf_detr":
        size = {"height": 64, "width": 64}
    return getattr(t, name + "Pil")(size=size)


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """Tiny detectors of every kind, saved with the processor that belongs to them."""
    root = tmp_path_factory.mktemp("detectors")
    made = {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for kind in tiny_detectors.KINDS:
            made[kind] = tiny_detectors.make(kind, root / kind)
            processor_of(kind).save_pretrained(root / kind)
    return root, made


@pytest.mark.parametrize("kind", tiny_detectors.KINDS)
def test_boxes_are_those_of_the_library(folders, kind):
    root, made = folders
    processor, model = processor_of(kind), made[kind]
    found = load_detector(str(root / kind), device="cpu")
    assert found.precision == "float32"
    assert found.categories == {0: "kind 0", 1: "kind 1", 2: "kind 2"}
    pictures = [picture(h, w, k) for k, (h, w) in enumerate(SIZES)]
    if kind == "yolos":  # the library cuts such a strip to 0 px
        pictures = pictures[:2]
    answers = found.detect([*pictures, *pictures[:2]])  # one size twice: a real batch
    for image, seen in zip([*pictures, *pictures[:2]], answers, strict=True):
        height, width = image.shape[:2]
        given = {"return_tensors": "pt", "input_data_format": "channels_last"}
        inputs = processor(images=image, **given)["pixel_values"]
        ours = found.input.prepare(image)
        assert ours.shape == inputs.shape[1:]
        np.testing.assert_allclose(ours, inputs[0].numpy(), atol=1e-5)
        with torch.inference_mode():
            answer = model(pixel_values=inputs)
        given = {} if FAMILIES[kind].softmax or kind in tiny_detectors.SQUARE[:4] else {"top_k": 12}
        (reference,) = processor.post_process_object_detection(
            answer, threshold=0.0, target_sizes=[(height, width)], **given
        )
        assert len(seen) == 12
        assert (np.diff(seen.scores) <= 0).all()
        expected = np.clip(reference["boxes"].numpy(), 0, [width, height, width, height])
        expected[:, 2:] -= expected[:, :2]
        # Which of two boxes with nearly equal scores comes first is decided by rounding.
        far = cdist(seen.boxes, expected)
        far += 1e3 * cdist(seen.scores[:, None], reference["scores"].numpy()[:, None])
        order = linear_sum_assignment(far)[1]
        expected = expected[order]
        np.testing.assert_allclose(seen.scores, reference["scores"].numpy()[order], atol=1e-4)
        np.testing.assert_allclose(seen.boxes, expected, atol=0.02)
        np.testing.assert_array_equal(seen.labels, reference["labels"].numpy()[order])
    assert np.ptp(answers[0].boxes, axis=0).max() > 0.5, "the test sees boxes that differ"


@pytest.mark.parametrize("kind", ["rt_detr", "detr"])
def test_boxes_stay_exact_in_bfloat16(folders, kind):
    found = load_detector(str(folders[0] / kind), device="cpu")
    half = dataclasses.replace(found, where=dataclasses.replace(found.where, precision="bfloat16"))
    exact, close = (d.detect([picture(48, 64)])[0] for d in (found, half))
    assert not np.array_equal(exact.scores, close.scores)
    steps = close.boxes[:, 0] * 256 / 64
    assert (np.abs(steps - np.round(steps)) > 1e-3).any(), "boxes are not in steps of 1/256"


def test_a_full_memory_halves_the_batch(folders):
    found = load_detector(str(folders[0] / "detr"), device="cpu")
    images = [picture(48, 64, k) for k in range(5)]
    expected = found.detect(images)
    model, seen = found.model, []

    def tight(pixel_values):
        seen.append(len(pixel_values))
        if len(pixel_values) > 2:
            raise RuntimeError("CUDA out of memory. Tried to allocate")
        return model(pixel_values=pixel_values)

    found.images_at_once.size = 8
    answers = dataclasses.replace(found, model=tight).detect(images)
    assert seen == [5, 4, 2, 2, 1] or seen == [5, 5, 2, 2, 1]
    for one, other in zip(expected, answers, strict=True):
        np.testing.assert_allclose(one.boxes, other.boxes, atol=1e-3)


@pytest.mark.parametrize("kind", ["rt_detr", "detr", "deformable_detr", "yolos"])
@pytest.mark.parametrize("shape", [(1, 1000), (1000, 1), (1, 1)])
def test_strips_and_dots(folders, kind, shape):
    found = load_detector(str(folders[0] / kind), device="cpu")
    (seen,) = found.detect([picture(*shape)])
    assert np.isfinite(seen.boxes).all()
    assert (seen.boxes >= 0).all()
    assert (seen.boxes[:, :2] + seen.boxes[:, 2:] <= np.array(shape[::-1]) + 1e-9).all()


def test_no_images(folders):
    assert load_detector(str(folders[0] / "detr"), device="cpu").detect([]) == []


@pytest.mark.parametrize(
    "image", [np.zeros((4, 4), np.uint8), np.zeros((4, 4, 3)), np.zeros((0, 4, 3), np.uint8)]
)
def test_what_is_no_picture(image):
    with pytest.raises(CallError, match="an image is of shape"):
        DetectorInput().prepare(image)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_answers_that_are_not_finite(folders, tmp_path, value):
    folder = tmp_path / "broken"
    shutil.copytree(folders[0] / "detr", folder)
    weights = load_file(folder / "model.safetensors")
    weights["class_labels_classifier.bias"][0] = value
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(CallError, match="not finite"):
        load_detector(str(folder), device="cpu").detect([picture(20, 30)])


# --- what is no detector --------------------------------------------------------------------------


def copied(folders, tmp_path, kind="detr"):
    shutil.copytree(folders[0] / kind, tmp_path / "model")
    return tmp_path / "model"


def change_config(folder, **values):
    config = json.loads((folder / "config.json").read_text()) | values
    (folder / "config.json").write_text(json.dumps(config))


def test_another_architecture(folders, tmp_path):
    folder = copied(folders, tmp_path)
    change_config(folder, model_type="sam")
    with pytest.raises(SourceError, match="a model of type sam, no object detector"):
        load_detector(str(folder), device="cpu")


def test_weights_of_another_architecture(folders, tmp_path):
    folder = copied(folders, tmp_path)
    shutil.copy(folders[0] / "yolos" / "model.safetensors", folder)
    with pytest.raises(SourceError, match="its weights do not fit"):
        load_detector(str(folder), device="cpu")


def test_weights_of_another_size(folders, tmp_path):
    folder = copied(folders, tmp_path)
    change_config(folder, num_queries=13)
    with pytest.raises(SourceError, match="its weights do not fit"):
        load_detector(str(folder), device="cpu")


def test_weights_cut_off(folders, tmp_path):
    folder = copied(folders, tmp_path)
    whole = (folder / "model.safetensors").read_bytes()
    (folder / "model.safetensors").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(SourceError, match="cannot be loaded"):
        load_detector(str(folder), device="cpu")


def test_a_backbone_of_timm(folders, tmp_path):
    folder = copied(folders, tmp_path)
    change_config(folder, use_timm_backbone=True, backbone="resnet50", backbone_config=None)
    with pytest.raises(SourceError, match="timm, which curate does without"):
        load_detector(str(folder), device="cpu")


def test_no_model(tmp_path):
    with pytest.raises(CurateError, match=r"config\.json"):
        load_detector(str(tmp_path), device="cpu")
    with pytest.raises(CallError, match="there is no folder"):
        load_detector(str(tmp_path / "nothing" / "here"), device="cpu")


# --- inputs ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("config", "size"),
    [
        ({"size": 800, "max_size": 1333}, (800, 1066)),
        ({"size": {"shortest_edge": 800, "longest_edge": 900}}, (675, 900)),
        ({"size": {"max_height": 300, "max_width": 300}}, (225, 300)),
        ({"size": {"height": 640, "width": 320}}, (640, 320)),
        ({"size": [128, 256]}, (128, 256)),
        ({}, (800, 1066)),
    ],
)
def test_sizes_in_all_their_forms(tmp_path, config, size):
    (tmp_path / "preprocessor_config.json").write_text(json.dumps(config))
    assert read_input(tmp_path, DetectorInput()).size(480, 640) == size


@pytest.mark.parametrize(
    "text", ["{", "[]", '{"size": {"height": -3, "width": 9}}', '{"size": {"height": 1e9}}',
             '{"do_resize": false}', '{"image_std": [0, 1, 1]}', '{"resample": 77}',
             '{"size": {"height": 1e999, "width": 9}}', '{"image_mean": [0, NaN, 1]}',
             '{"image_std": [1, 1e999, 1]}', '{"rescale_factor": 1e999}',
             '{"image_mean": [0, 0, 1e300]}', '{"image_std": [1, 1, 1e-300]}']
)  # fmt: skip
def test_an_input_that_makes_no_sense(tmp_path, text):
    (tmp_path / "preprocessor_config.json").write_text(text)
    with pytest.raises(SourceError, match="how to prepare"):
        read_input(tmp_path, DetectorInput())


# --- detections as a table ------------------------------------------------------------------------


class Planted:
    """A detector that knows where the bright square is, and takes two categories in turn."""

    name, fingerprint, device, precision = "planted", "0", "cpu", "float32"
    categories = {0: "cat", 1: "dog"}  # noqa: RUF012

    def __init__(self, seen=()):
        self.seen = seen

    def was_trained_on(self, image):
        return image.shape[:2] in self.seen

    def detect(self, images):
        found = []
        for image in images:
            ys, xs = np.nonzero(image[:, :, 0] > 128)
            if not len(ys):
                found.append(Detections(np.zeros((0, 4)), np.zeros(0), np.zeros(0, np.int64)))
                continue
            box = [xs.min(), ys.min(), np.ptp(xs) + 1, np.ptp(ys) + 1]
            boxes = np.array([box, box], np.float64)
            found.append(Detections(boxes, np.array([0.8, 0.001]), np.array([1, 0])))
        return found


def planted(root, sizes=((60, 80), (80, 60), (50, 50), (40, 40))):
    """Write pictures with a square each; the third is empty, the last is no picture."""
    from tests_tables import squares_table

    root.mkdir(parents=True, exist_ok=True)
    for k, (height, width) in enumerate(sizes):
        image = np.zeros((height, width, 3), np.uint8)
        if k != 2:
            image[10:30, 5:25] = 255
        Image.fromarray(image).save(root / f"{k}.png")
    (root / "3.png").write_bytes(b"no picture")
    return squares_table(sizes), ImageFolder(root)


def test_detections_as_the_scorer_takes_them(tmp_path):
    table, pictures = planted(tmp_path / "images")
    seen = detect_images(table, pictures, Planted())
    assert seen.images.index.tolist() == [0, 1, 2]  # the last does not open
    assert seen.masks["image_id"].tolist() == [0, 1]  # and what is under 0.01 is not kept
    assert seen.masks[["declared_x", "declared_y", "declared_w", "declared_h"]].to_numpy().tolist()
    scores = detector_scorer(table, detections=seen, categories=sorted(Planted.categories.values()))
    assert scores["detector_score"].tolist()[:3] == [0.8, 0.8, 0.0]
    assert np.isnan(scores["detector_score"].iloc[3])
    assert scores["detector_category_score"].tolist()[:2] == pytest.approx([0.2, 0.2])


def test_pictures_that_it_was_trained_on_are_left_out(tmp_path):
    table, pictures = planted(tmp_path / "images")
    knowing = Planted(seen=[(60, 80)])
    assert detect_images(table, pictures, knowing).images.index.tolist() == [1, 2]
    everything = detect_images(table, pictures, knowing, include_trained=True)
    assert everything.images.index.tolist() == [0, 1, 2]


def test_detections_of_no_images(tmp_path):
    (tmp_path / "images").mkdir()
    seen = detect_images(concat([]), ImageFolder(tmp_path / "images"), Planted())
    assert len(seen) == 0
    assert len(seen.images) == 0
    assert "score" in seen.masks


def test_detections_that_do_not_fit():
    with pytest.raises(CallError, match="differ in number"):
        Detections(np.zeros((2, 4)), np.zeros(1), np.zeros(2, np.int64))
