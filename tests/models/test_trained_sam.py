"""A SAM that has learned something: prompts, logits, upsampling and IoU head are wired right."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
import torch
from tiny_sam import SIDE, Drawing, drawing, drawings

from curate import rle
from curate.errors import CallError
from curate.networks.loading import load_segmenter
from curate.networks.runtime.devices import Device
from curate.networks.segmenters.prompting import pairwise_iou, prompt_masks
from curate.networks.segmenters.segmenter import Prompts, Segmenter
from curate.networks.segmenters.small_sam import build_small_sam, wrap_small_sam
from curate.networks.segmenters.training_prompts import jitter_boxes, sample_points
from curate.networks.segmenters.training_steps import (
    SegmenterSchedule,
    StepMetrics,
    mask_loss,
    train_on_scenes,
)
from curate.rle.logits import draw

pytestmark = pytest.mark.slow  # a network is trained first
UNSEEN = 40


@dataclass(frozen=True)
class Asked:
    """What came of prompts: the IoU with the shape that was meant, and what the model thought."""

    iou: npt.NDArray[np.float64]
    predicted: npt.NDArray[np.float64]


def exact_boxes(masks: npt.NDArray[np.bool_]) -> npt.NDArray[np.float32]:
    return jitter_boxes(masks, np.random.default_rng(0), jitter=0)


def ask(segmenter: Segmenter, drawn: Drawing, prompts: Prompts, multimask: bool) -> Asked:
    embedding = segmenter.embed([drawn.image])[0]
    answer = segmenter.segment(embedding, prompts, multimask=multimask)
    each = np.arange(len(prompts))
    chosen = answer.predicted_iou.argmax(axis=1)
    taps = answer.frame.taps(segmenter.low_side)
    found = draw(answer.logits[each, chosen], taps)
    truth = rle.concat([rle.from_dense(mask) for mask in drawn.masks])
    return Asked(pairwise_iou(truth, found.runs), answer.predicted_iou[each, chosen])


def together(parts: list[Asked]) -> Asked:
    return Asked(
        np.concatenate([part.iou for part in parts]),
        np.concatenate([part.predicted for part in parts]),
    )


@pytest.fixture(scope="module")
def segmenter(trained_sam: Path) -> Segmenter:
    return load_segmenter(str(trained_sam), device="cpu")


def test_boxes_bring_unseen_shapes_back(segmenter: Segmenter) -> None:
    found = together(
        [
            ask(segmenter, drawn, Prompts(boxes=exact_boxes(drawn.masks)), False)
            for drawn in drawings(UNSEEN, seed=1)
        ]
    )
    assert found.iou.mean() >= 0.8


def test_predicted_iou_goes_with_the_true_one(segmenter: Segmenter) -> None:
    random, parts = np.random.default_rng(2), []
    for drawn in drawings(UNSEEN, seed=2):
        points = sample_points(drawn.masks, random)[:, None]
        one = Prompts(points, np.ones(points.shape[:2], np.int8))
        parts.append(ask(segmenter, drawn, Prompts(boxes=exact_boxes(drawn.masks)), False))
        parts.append(ask(segmenter, drawn, one, True))
        for jitter in (0.1, 0.3):
            moved = Prompts(boxes=jitter_boxes(drawn.masks, random, jitter))
            parts.append(ask(segmenter, drawn, moved, False))
    found = together(parts)
    assert np.corrcoef(found.predicted, found.iou)[0, 1] >= 0.5


def test_every_way_of_asking_works(segmenter: Segmenter) -> None:
    ious: dict[str, list[float]] = {}
    for drawn in drawings(10, seed=3):
        truth = rle.concat([rle.from_dense(mask) for mask in drawn.masks])
        embedding = segmenter.embed([drawn.image])[0]
        for way, found in prompt_masks(segmenter, embedding, truth).items():
            ious.setdefault(way, []).extend(pairwise_iou(truth, found.drawn.runs))
    assert min(np.mean(values) for values in ious.values()) >= 0.5


@pytest.mark.parametrize("size", [(64, 128), (128, 64), (200, 300)])
def test_shapes_come_back_where_they_were(segmenter: Segmenter, size: tuple[int, int]) -> None:
    random = np.random.default_rng(4)
    parts = []
    for _ in range(12):
        drawn = drawing(random, *size)
        parts.append(ask(segmenter, drawn, Prompts(boxes=exact_boxes(drawn.masks)), False))
    assert together(parts).iou.mean() >= 0.7


# --- the training itself -------------------------------------------------------------------------


def tiny(seed: int = 0):
    return build_small_sam(side=64, patch=8, hidden=32, layers=1, decoder=32, seed=seed)


SHORT = SegmenterSchedule(steps=3, images=2, prompts=3, rounds=3)


def scenes():
    return [(drawn.image, drawn.masks) for drawn in drawings(3, seed=5)]


def weights(model) -> torch.Tensor:
    return torch.cat([p.detach().flatten() for p in model.parameters()])


def test_a_seed_gives_the_same_weights_whatever_form_the_masks_have() -> None:
    trained = []
    runs = [(image, rle.concat([rle.from_dense(m) for m in masks])) for image, masks in scenes()]
    for given in (scenes(), scenes(), runs):
        model = tiny()
        train_on_scenes(model, given, SHORT, seed=0)
        trained.append(weights(model))
    assert torch.equal(trained[0], trained[1])
    assert torch.equal(trained[0], trained[2])
    other = tiny()
    train_on_scenes(other, scenes(), SHORT, seed=1)
    assert not torch.equal(trained[0], weights(other))


def test_the_global_generator_is_left_alone() -> None:
    torch.manual_seed(7)
    before = torch.get_rng_state()
    assert not torch.equal(weights(tiny(0)), weights(tiny(1)))
    assert torch.equal(before, torch.get_rng_state())


def test_places_keep_their_code() -> None:
    model = tiny()
    before = model.shared_image_embedding.positional_embedding.clone()
    train_on_scenes(model, scenes(), SHORT, seed=0)
    assert torch.equal(before, model.shared_image_embedding.positional_embedding)
    assert torch.equal(before, model.prompt_encoder.shared_embedding.positional_embedding)
    assert not model.training


def test_every_update_is_told_and_scenes_can_be_changed() -> None:
    told, changed = [], []

    def augment(scene, random):
        changed.append(random.random())
        return scene[0][:, ::-1], scene[1][:, :, ::-1]

    train_on_scenes(tiny(), scenes(), SHORT, seed=0, augment=augment, progress=told.append)
    assert [progress.step for progress in told] == [0, 1, 2]
    assert all(0 <= progress.iou <= 1 and progress.loss > 0 for progress in told)
    assert len(changed) == SHORT.steps * SHORT.images


def test_images_with_nothing_to_prompt() -> None:
    image = np.zeros((40, 50, 3), np.uint8)
    nothing = (image, np.zeros((0, 40, 50), bool))
    with pytest.raises(CallError, match="no image has a mask"):
        train_on_scenes(tiny(), [nothing], SHORT, seed=0)
    empty = (image, np.zeros((2, 40, 50), bool))
    model = tiny()
    before = weights(model)
    train_on_scenes(model, [empty, nothing], SHORT, seed=0)
    assert torch.equal(before, weights(model))


def test_a_loss_that_is_no_number_is_an_error() -> None:
    model = tiny()
    with torch.no_grad():
        model.mask_decoder.iou_token.weight.fill_(torch.nan)
    with pytest.raises(CallError, match="the loss is nan at step 0"):
        train_on_scenes(model, scenes(), SHORT, seed=0)


@pytest.mark.parametrize("weight", [1.0, 5.0])
def test_the_error_of_the_predicted_iou_weighs_what_it_is_said_to(weight: float) -> None:
    told: dict[float, list[StepMetrics]] = {0.0: [], weight: []}
    for given, progress in told.items():
        schedule = replace(SHORT, steps=1, iou_weight=given)
        train_on_scenes(tiny(), scenes(), schedule, seed=0, progress=progress.append)
    without, with_it = told[0.0][0], told[weight][0]
    assert with_it.iou_error == without.iou_error > 0
    assert with_it.loss - without.loss == pytest.approx(weight * without.iou_error**2, rel=1e-4)


def test_without_weight_no_iou_is_learned() -> None:
    """And with weight it is, of one mask and of each of three."""
    for weight, learns in ((0.0, False), (1.0, True)):
        model = tiny()
        last = model.mask_decoder.iou_prediction_head.proj_out
        before = last.weight.detach().clone()
        schedule = replace(SHORT, rounds=1, iou_weight=weight, weight_decay=0.0)
        train_on_scenes(model, scenes(), schedule, seed=0)
        assert (last.weight != before).any(dim=1).tolist() == [learns] * 4


def test_sizes_that_do_not_fit() -> None:
    with pytest.raises(CallError, match="side 100, patch 16"):
        build_small_sam(side=100, patch=16)


@pytest.mark.parametrize("size", [(64, 64), (40, 100), (333, 17)])
def test_images_are_prepared_as_by_the_library(size: tuple[int, int]) -> None:
    from transformers.models.sam.image_processing_pil_sam import SamImageProcessorPil

    image = np.random.default_rng(0).integers(0, 256, (*size, 3)).astype(np.uint8)
    model = build_small_sam(side=SIDE, patch=8, hidden=32, layers=1, decoder=32)
    segmenter = wrap_small_sam(model, "tiny", "", Device("cpu", "float32"))
    frame = segmenter.frame(*size)
    values = segmenter.prepare(image)
    processor = SamImageProcessorPil(
        size={"longest_edge": SIDE}, pad_size={"height": SIDE, "width": SIDE}
    )
    reference = np.asarray(processor(image, return_tensors="np")["pixel_values"])[0]
    np.testing.assert_allclose(values, reference, atol=1e-5)
    assert max(frame.resized_height, frame.resized_width) == SIDE


def test_prompts_stay_on_the_image() -> None:
    random = np.random.default_rng(0)
    masks = np.zeros((2, 30, 40), bool)
    masks[0, :5, 35:] = masks[1, 10:20, 10:20] = True
    np.testing.assert_array_equal(exact_boxes(masks), [[35, 0, 40, 5], [10, 10, 20, 20]])
    for _ in range(20):
        boxes = jitter_boxes(masks, random, 0.5)
        assert (boxes >= 0).all()
        assert (boxes <= [40, 30, 40, 30]).all()
        assert (boxes[:, :2] <= boxes[:, 2:]).all()
        x, y = sample_points(masks, random).astype(int).T
        assert masks[[0, 1], y, x].all()
    assert np.isnan(sample_points(np.zeros((1, 4, 4), bool), random)).all()


@pytest.mark.parametrize("evenness", [0.0, 0.5, 1.0])
def test_the_loss_is_least_at_the_truth(evenness: float) -> None:
    soft = torch.zeros(1, 1, 8, 8)
    soft[..., 2:5, 2:5] = 1
    inside = torch.ones_like(soft)
    right = mask_loss(20 * (2 * soft - 1), soft, inside, evenness)
    assert right.item() == pytest.approx(0, abs=1e-4)
    for wrong in (-20 * (2 * soft - 1), torch.full_like(soft, -20), torch.zeros_like(soft)):
        assert mask_loss(wrong, soft, inside, evenness).item() > 0.3


def test_padding_costs_nothing() -> None:
    random = torch.Generator().manual_seed(0)
    soft, inside = torch.zeros(1, 1, 8, 8), torch.zeros(1, 1, 8, 8)
    soft[..., 1:3, 1:3], inside[..., :4, :] = 1, 1
    logits = torch.randn(1, 3, 8, 8, generator=random)
    other = logits.clone()
    other[..., 4:, :] = 5
    assert torch.equal(mask_loss(logits, soft, inside, 0.5), mask_loss(other, soft, inside, 0.5))


def test_the_grid_of_logits() -> None:
    model = tiny()
    assert wrap_small_sam(model, "tiny", "", Device("cpu", "float32")).low_side == 32
    answer = model(
        pixel_values=torch.zeros(1, 3, 64, 64), input_points=torch.full((1, 1, 1, 2), 9.0)
    )
    assert answer.pred_masks.shape == (1, 1, 3, 32, 32)
