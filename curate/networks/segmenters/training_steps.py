"""Training steps of a promptable segmenter on images and their masks, as the SAM paper trains it.

Each image is embedded once; some of its objects are then prompted, half by a box with jitter and
half by a point inside, and prompted again with what the model drew. Everything is drawn with a
seed, so that two runs on one machine give the same weights.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import cos, pi
from typing import Any, Protocol

import numpy as np

from curate.errors import CallError
from curate.networks.runtime.devices import Device
from curate.networks.runtime.hub import import_optional
from curate.networks.segmenters.small_sam import wrap_small_sam
from curate.networks.segmenters.trainable_segmenter import TrainableSegmenter
from curate.networks.segmenters.training_prompts import (
    Masks,
    PromptedImages,
    PromptSet,
    Scene,
    Tensor,
    lay_out_image,
    make_first_prompts,
    refine_prompts,
    stack_images,
)

FOCAL, DICE = 2.0, 1.0
"""Weights of the masks' losses. SAM's are 20 and 1, its focal loss being a mean over all pixels."""
EVEN_IOU = 0.7
"""Mean IoU from which on each pixel counts the same, see :func:`mask_loss`."""


@dataclass(frozen=True)
class SegmenterSchedule:
    """Hyperparameters of a segmenter's training.

    Attributes:
        steps: Updates of the weights.
        images: Images an update; with fewer than four a new model hardly begins to learn.
        prompts: Objects prompted an image, at most.
        rounds: Times that each is prompted; from the second on with the mask drawn before.
        learning_rate: The highest; it rises over the first 5% of the steps and falls as a cosine.
        weight_decay: AdamW's.
        jitter: Standard deviation of a box corner as a share of the box's side. With SAM's, 0.1, a
            model in training for minutes sees too few bad masks to learn to tell them.
        iou_weight: Of the predicted IoU's squared error; SAM's is 1.
    """

    steps: int
    images: int = 4
    prompts: int = 8
    rounds: int = 2
    learning_rate: float = 1e-3
    weight_decay: float = 0.05
    jitter: float = 0.1
    iou_weight: float = 1.0

    def rate(self, step: int) -> float:
        """Return the learning rate of a step, counted from 0."""
        rising = min(1.0, (step + 1) / max(1, self.steps // 20))
        return self.learning_rate * rising * (0.01 + 0.99 * (1 + cos(pi * step / self.steps)) / 2)


@dataclass(frozen=True)
class StepMetrics:
    """Metrics of one update, averaged over its images and rounds.

    Attributes:
        step: Counted from 0.
        loss: The weighted sum that is minimised.
        iou: Mean IoU of what was drawn with the truth, in the input's pixels.
        iou_error: Root mean square of predicted minus true IoU.
    """

    step: int
    loss: float
    iou: float
    iou_error: float


class PromptingSchedule(Protocol):
    """The numbers of a schedule that a single update needs; see :class:`SegmenterSchedule`."""

    @property
    def rounds(self) -> int:
        """Times that each object is prompted."""

    @property
    def jitter(self) -> float:
        """Standard deviation of a box corner as a share of the box's side."""

    @property
    def iou_weight(self) -> float:
        """Weight of the predicted IoU's squared error."""


# --- what is minimised ---------------------------------------------------------------------------


def mask_loss(logits: Tensor, soft: Tensor, inside: Tensor, evenness: float) -> Tensor:
    """Return focal and dice loss, for truth that may be a share between 0 and 1.

    Small objects are a hundredth of the image and less. If every pixel counts the same, a model
    without experience learns first to draw nothing, and then has little left to learn from. So
    at first object and ground count the same, and the better the model draws, the more do pixels.

    Args:
        logits: Shape (n, m, h, w).
        soft: Shape (n, 1, h, w): how much of each pixel lies on the object.
        inside: Same shape: 1 on the image, 0 on padding.
        evenness: From 0 (the ground counts as much as the object) to 1 (each pixel the same).

    Returns:
        Shape (n, m). The focal part is Lin et al.'s with gamma 2, by the object's area; where the
        truth is a share it is least when the probability equals it, so that the zero line comes
        to lie on the outline, finer than a low-res pixel.
    """
    torch = import_optional("torch", "training")
    probability = logits.sigmoid() * inside
    entropy = torch.nn.functional.binary_cross_entropy_with_logits(
        logits, soft.expand_as(logits), reduction="none"
    )
    focal = entropy * (probability - soft) ** 2 * inside
    area = soft.sum(dim=(-2, -1)).clamp(min=1)
    ground = (inside - soft).clamp(min=0).sum(dim=(-2, -1)).clamp(min=1)
    on = (focal * soft).sum(dim=(-2, -1)) / area
    off = (focal * (1 - soft)).sum(dim=(-2, -1)) / (area**evenness * ground ** (1 - evenness))
    shared = (probability * soft).sum(dim=(-2, -1))
    dice = 1 - (2 * shared + 1) / (probability.sum(dim=(-2, -1)) + area + 1)
    return FOCAL * (on + off) + DICE * dice


def _cut_and_iou(logits: Tensor, truth: Tensor, inside: Tensor) -> tuple[Tensor, Tensor]:
    """Return masks cut at 0 and their IoU with the truth, both on twice the low-res grid.

    Low-res pixels would be too coarse a measure: a small object is a few of them wide.
    """
    torch = import_optional("torch", "training")
    resize = torch.nn.functional.interpolate
    drawn = resize(logits, scale_factor=2, mode="bilinear") > 0
    drawn = drawn & (resize(inside, scale_factor=2) > 0)
    both = (drawn & truth[:, None]).sum(dim=(-2, -1))
    either = (drawn | truth[:, None]).sum(dim=(-2, -1))
    return drawn, both / either.clamp(min=1)


def _prompt_round(
    trained: TrainableSegmenter,
    features: tuple[Tensor, ...],
    asked: PromptSet,
    sample: PromptedImages,
    evenness: float,
    schedule: PromptingSchedule,
) -> tuple[Tensor, Tensor, Masks, Tensor]:
    """Prompt once; return the loss, logits for the next round, masks, and metrics."""
    torch = import_optional("torch", "training")
    device = trained.segmenter.device
    rows = torch.from_numpy(asked.rows).to(device)
    logits, predicted = trained.decode(
        features, sample.owner[rows], asked.inputs(device), asked.ambiguous
    )
    inside = sample.inside[rows][:, None]
    losses = mask_loss(logits, sample.soft[rows][:, None], inside, evenness)
    with torch.no_grad():
        drawn, ious = _cut_and_iou(logits, sample.halved[rows], inside)
    each = torch.arange(len(rows), device=device)
    # Of three masks only the best is taught; the model's own choice is what it is shown next.
    best, chosen = losses.detach().argmin(dim=1), predicted.detach().argmax(dim=1)
    errors = (predicted - ious) ** 2
    loss = losses[each, best].mean() + schedule.iou_weight * errors.mean()
    numbers = torch.stack([loss.detach(), ious[each, best].mean(), errors.detach().mean()])
    return loss, logits[each, chosen], drawn[each, chosen].cpu().numpy(), numbers


# --- training ------------------------------------------------------------------------------------


def train_on_scenes(
    model: Any,
    scenes: Sequence[Scene],
    schedule: SegmenterSchedule,
    *,
    seed: int,
    augment: Callable[[Scene, np.random.Generator], Scene] | None = None,
    progress: Callable[[StepMetrics], None] | None = None,
) -> None:
    """Train all of a transformers ``SamModel`` in place, on the device where it is.

    Args:
        model: With random weights, or with those of an earlier training.
        scenes: RGB images (height, width, 3), uint8, each with the masks of its objects: a bool
            array (n, height, width) or ``Runs``. Empty masks are left out.
        schedule: How long, and on how much at once.
        seed: Of the order of images, of the objects and of the prompts.
        augment: Changes a scene at random before it is used.
        progress: Called after each update.

    Raises:
        CallError: No scene has a mask, or the loss is not finite.
    """
    torch = import_optional("torch", "training")
    random = np.random.default_rng(seed)
    useful = [k for k in range(len(scenes)) if len(scenes[k][1])]
    if not useful:
        raise CallError("no image has a mask", "train_on_scenes", "give images with masks")
    device = Device(str(next(model.parameters()).device), "float32")
    trained = TrainableSegmenter(wrap_small_sam(model, "scenes", "", device), encoder=True)
    weights = list(trained.parameters().values())
    optimizer = torch.optim.AdamW(
        weights, lr=schedule.learning_rate, weight_decay=schedule.weight_decay
    )
    order: list[int] = []
    skill: float | None = None
    model.train()
    for step in range(schedule.steps):
        chosen = []
        for _ in range(schedule.images):
            order = order or random.permutation(useful).tolist()
            scene = scenes[order.pop()]
            chosen.append(augment(scene, random) if augment else scene)
        laid = [lay_out_image(trained.segmenter, one, schedule.prompts, random) for one in chosen]
        images = [image for image in laid if image is not None]
        if not images:
            continue
        sample = stack_images(images, trained.segmenter.low_side, device.name)
        for group in optimizer.param_groups:
            group["lr"] = schedule.rate(step)
        optimizer.zero_grad()
        features = trained.encode(sample.pixels)
        evenness = evenness_of(skill)
        numbers = compute_gradients(trained, features, sample, schedule, evenness, random)
        torch.nn.utils.clip_grad_norm_(weights, 1.0)
        optimizer.step()
        loss, iou, error = numbers.tolist()
        if not np.isfinite(loss):
            raise CallError(
                f"the loss is {loss} at step {step}", "train_on_scenes", "lower learning_rate"
            )
        skill = update_skill(skill, iou)
        if progress:
            progress(StepMetrics(step, loss, iou, error**0.5))
    model.eval()


def evenness_of(skill: float | None) -> float:
    """Return the evenness of :func:`mask_loss` for a model that draws masks of a mean IoU."""
    return min(1.0, (skill or 0.0) / EVEN_IOU)


def update_skill(skill: float | None, iou: float) -> float:
    """Return the moving average of the masks' IoU after one more update; None before the first."""
    return iou if skill is None else skill + (iou - skill) / 30


def compute_gradients(
    trained: TrainableSegmenter,
    features: tuple[Tensor, ...],
    sample: PromptedImages,
    schedule: PromptingSchedule,
    evenness: float,
    random: np.random.Generator,
    weight: float = 1.0,
) -> Tensor:
    """Add the gradients of a sample to those that are there.

    Args:
        trained: What is trained.
        features: Of the sample's images.
        sample: The images and their objects.
        schedule: How they are prompted, and what counts how much.
        evenness: See :func:`mask_loss`.
        random: Where the prompts come from.
        weight: Of the sample, where it is part of a batch.

    Returns:
        Loss, IoU and squared error of the predicted IoU: means over the sample's objects.
    """
    torch = import_optional("torch", "training")
    losses, numbers = [], []
    for asked in make_first_prompts(sample, random, schedule.jitter):
        share = len(asked.rows) / len(sample.truth) / schedule.rounds
        for round_ in range(schedule.rounds):
            loss, logits, drawn, seen = _prompt_round(
                trained, features, asked, sample, evenness, schedule
            )
            losses.append(loss * share)
            numbers.append(seen * share)
            if round_ + 1 < schedule.rounds:
                refine_prompts(asked, logits, sample, drawn, random)
    (torch.stack(losses).sum() * weight).backward()
    return torch.stack(numbers).sum(dim=0)
