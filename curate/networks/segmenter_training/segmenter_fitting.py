"""Training of a segmenter by epochs with early stopping, resumable after each.

Every epoch draws its order, its objects and its prompts from the seed and its own number, so that a
resumed training gives the weights of an uninterrupted one.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

import numpy as np

from curate.common.ranges import check_numbers
from curate.errors import CallError
from curate.networks.runtime.hub import import_optional
from curate.networks.segmenter_training.training_masks import MaskedImage, hash_runs
from curate.networks.segmenter_training.validation import ValidationIou, validate
from curate.networks.segmenters.embedding_cache import EmbeddingCache
from curate.networks.segmenters.segmenter import Embedding
from curate.networks.segmenters.trainable_segmenter import TrainableSegmenter
from curate.networks.segmenters.training_prompts import (
    SampleImage,
    lay_out_image,
    lay_out_objects,
    stack_images,
)
from curate.networks.segmenters.training_steps import (
    compute_gradients,
    evenness_of,
    update_skill,
)
from curate.networks.segmenters.transformers_sam import TransformersSegmenter
from curate.networks.training.adaptive_step import AdaptiveStep, ema_decay, move_average
from curate.networks.training.checkpoints import (
    Rows,
    Tensors,
    flatten_tensors,
    load_checkpoint,
    load_optimiser,
    optimiser_tensors,
    save_checkpoint,
    unflatten_tensors,
)
from curate.networks.training.reading_ahead import read_batches

WEIGHT_DECAY = 0.05

MEMORY_BYTES = 4_000_000_000
"""Embeddings that are held in memory; more of them stay in the cache on disk."""

MIRRORED = 0.5
"""Share of images that are mirrored left to right where the image encoder is trained."""


@dataclass(frozen=True)
class EpochSchedule:
    """Hyperparameters of a segmenter's training by epochs.

    Attributes:
        epochs: Most rounds over the images.
        patience: Rounds without a better validation IoU after which it ends.
        batch: Images a step.
        prompts: Objects prompted an image and step, at most.
        learning_rate: Of AdamW, reached after a first round of rising; an image encoder that has
            learnt before learns at a tenth of it.
        seed: Of order, objects, prompts and first weights.
        rounds: Times that each object is prompted; see
            :class:`curate.networks.segmenters.training_steps.SegmenterSchedule`.
        jitter: As there.
        iou_weight: As there.
    """

    epochs: int = 100
    patience: int = 10
    batch: int = 4
    prompts: int = 8
    learning_rate: float = 1e-3
    seed: int = 0
    rounds: int = 2
    jitter: float = 0.1
    iou_weight: float = 1.0

    def __post_init__(self) -> None:
        check_numbers(**vars(self))


@dataclass(frozen=True)
class SegmenterEpoch:
    """Result of one epoch.

    Attributes:
        epoch: Counted from 1.
        loss: Averaged over steps.
        train_iou: Mean IoU of the masks drawn in training, in the input's pixels.
        iou_error: Root mean square of predicted minus true IoU there.
        iou: Validation IoU of the averaged weights; see :class:`ValidationIou`.
        seconds: It took, with the validation.
    """

    epoch: int
    loss: float
    train_iou: float
    iou_error: float
    iou: float
    seconds: float

    def as_dict(self) -> dict[str, float]:
        """Return it as one flat row."""
        row = asdict(self)
        return row | {"s": row.pop("seconds")}


@dataclass(frozen=True)
class FittedSegmenter:
    """Result of a training; the weights of the best epoch are in the model.

    Attributes:
        best: The epoch with the highest validation IoU.
        history: All epochs.
        stopped_early: Whether it ended before the last epoch it might have had.
    """

    best: SegmenterEpoch
    history: tuple[SegmenterEpoch, ...]
    stopped_early: bool


class EmbeddedImages:
    """Embeddings of images by an encoder that does not change, each computed once.

    They are kept in the cache of embeddings on disk, and in memory as long as there is room.
    """

    def __init__(self, segmenter: TransformersSegmenter, limit: int = MEMORY_BYTES) -> None:
        self._segmenter = segmenter
        self._held: dict[str, Embedding] = {}
        self._room = limit
        self._cache = EmbeddingCache()

    def __call__(self, image: MaskedImage) -> Embedding:
        """Return the embedding of an image."""
        if image.key in self._held:
            kept = self._held[image.key]
            place = self._segmenter.device
            return Embedding(kept.frame, tuple(part.to(place) for part in kept.parts))
        found = self._cache.embed(self._segmenter, [image.picture()])[0]
        size = sum(part.element_size() * part.nelement() for part in found.parts)
        if size <= self._room:  # of this machine, not of the device, which has less
            self._room -= size
            parts = tuple(part.cpu() for part in found.parts)
            self._held[image.key] = Embedding(found.frame, parts)
        return found


def fit_segmenter(
    sides: tuple[Sequence[MaskedImage], Sequence[MaskedImage]],
    trained: TrainableSegmenter,
    schedule: EpochSchedule,
    embedded: EmbeddedImages | None,
    *,
    checkpoint: Path,
    progress: Callable[[SegmenterEpoch], None] | None = None,
) -> FittedSegmenter:
    """Train a segmenter in place and keep the weights with the best validation IoU.

    AdamW at a constant rate after a first epoch of warm-up; an exponential moving average of the
    weights is validated and kept. Gradients are always in float32.

    Args:
        sides: Training images, and held-out images.
        trained: With the weights to start from.
        schedule: Hyperparameters.
        embedded: Embeddings of all images where the image encoder stays as it is; None where it is
            trained too.
        checkpoint: A file, written after every epoch; where it exists already, training resumes
            from it.
        progress: Called after every epoch.

    Raises:
        CallError: The loss is not finite, no mask is left in the input, or a single image does not
            fit into memory.
        SourceError: The checkpoint is of another training, or a picture is gone.
    """
    learnt, held_out = sides
    run = _SegmenterRun(trained, schedule, embedded)
    identity = _fingerprint_run(sides, trained, schedule)
    history, best = run.resume(checkpoint, identity)
    while not _is_over(history, schedule):
        began = time.monotonic()
        epoch = len(history) + 1
        loss, iou, error = run.train_epoch(learnt, epoch)
        with run.averaged_weights():
            reached = validate(trained.segmenter, held_out, run.embed, schedule.seed).mean
        seconds = round(time.monotonic() - began, 3)
        history.append(SegmenterEpoch(epoch, loss, iou, error, reached, seconds))
        if _best_epoch(history) is history[-1]:
            best = {name: values.clone() for name, values in run.average.items()}
        rows = [one.as_dict() for one in history]
        save_checkpoint(checkpoint, run.state(best), identity, rows)
        if progress:
            progress(history[-1])
    run.load(best)
    trained.model.eval()
    return FittedSegmenter(
        _best_epoch(history), tuple(history), stopped_early=len(history) < schedule.epochs
    )


def measure(
    trained: TrainableSegmenter,
    images: Sequence[MaskedImage],
    embedded: EmbeddedImages | None,
    seed: int,
) -> ValidationIou:
    """Measure the weights as they are on held-out images; arguments as in :func:`fit_segmenter`."""
    trained.model.eval()
    embed = embedded or partial(_embed_now, trained.segmenter)
    return validate(trained.segmenter, images, embed, seed)


def _embed_now(segmenter: TransformersSegmenter, image: MaskedImage) -> Embedding:
    return segmenter.embed([image.picture()])[0]


def _best_epoch(history: Sequence[SegmenterEpoch]) -> SegmenterEpoch:
    """Return the first of the epochs with the highest validation IoU."""
    return max(history, key=lambda one: (one.iou, -one.epoch))


def _is_over(history: Sequence[SegmenterEpoch], schedule: EpochSchedule) -> bool:
    if not history:
        return False
    waited = len(history) - _best_epoch(history).epoch
    return len(history) >= schedule.epochs or waited >= schedule.patience


def _fingerprint_run(
    sides: tuple[Sequence[MaskedImage], Sequence[MaskedImage]],
    trained: TrainableSegmenter,
    schedule: EpochSchedule,
) -> str:
    """Return a short hash of all that must be equal for a training to resume."""
    start = (trained.segmenter.fingerprint, trained.encoder, asdict(schedule))
    digest = hashlib.blake2b(repr(start).encode(), digest_size=16)
    for side in sides:
        for image in side:
            digest.update(f"{image.dataset}:{image.image_id}:{image.key}".encode())
            digest.update(hash_runs(image.runs))
        digest.update(b";")
    return digest.hexdigest()


class _SegmenterRun:
    """State of a training: weights, their moving average, optimiser."""

    def __init__(
        self,
        trained: TrainableSegmenter,
        schedule: EpochSchedule,
        embedded: EmbeddedImages | None,
    ) -> None:
        torch = import_optional("torch", "train-segmenter")
        self.trained, self.schedule, self.embedded = trained, schedule, embedded
        self.embed = embedded or partial(_embed_now, trained.segmenter)
        self.weights = trained.parameters()
        for name, values in trained.model.named_parameters():
            values.requires_grad_(name in self.weights)
        self.average = {name: values.detach().clone() for name, values in self.weights.items()}
        slow, fast = trained.split_by_rate()
        rate = schedule.learning_rate
        self.optimiser = torch.optim.AdamW(
            [{"params": fast, "top": rate}, {"params": slow, "top": rate / 10}],
            lr=rate,
            weight_decay=WEIGHT_DECAY,
        )
        self.steps = 0
        self.skill: float | None = None
        self.adaptive = AdaptiveStep(schedule.batch, "give fewer --prompts or another --device")

    def load(self, values: Tensors) -> None:
        """Give the model weights by name."""
        torch = import_optional("torch", "train-segmenter")
        with torch.no_grad():
            for name, own in self.weights.items():
                own.copy_(values[name])

    @contextmanager
    def averaged_weights(self) -> Iterator[None]:
        """Give the model the averaged weights for the block."""
        before = {name: values.detach().clone() for name, values in self.weights.items()}
        self.load(self.average)
        self.trained.model.eval()
        try:
            yield
        finally:
            self.load(before)

    def resume(self, path: Path, identity: str) -> tuple[list[SegmenterEpoch], Tensors]:
        """Load a checkpoint; return the epochs so far and the best weights."""
        if not path.is_file():
            return [], {}
        tensors, rows = load_checkpoint(path, identity)
        parts = unflatten_tensors(tensors)
        self.load(parts["model"])
        for name, values in self.average.items():
            values.copy_(parts["average"][name])
        load_optimiser(self.optimiser, parts.get("optimiser", {}))
        self.steps = int(parts["run"]["steps"])
        skill = float(parts["run"]["skill"])
        self.skill = None if np.isnan(skill) else skill
        place = self.trained.segmenter.device
        best = {name: values.to(place) for name, values in parts["best"].items()}
        return _epochs_of(rows), best

    def state(self, best: Tensors) -> Tensors:
        """Return the tensors of a checkpoint: state of the training, and the best weights so
        far."""
        torch = import_optional("torch", "train-segmenter")
        skill = torch.tensor(np.nan if self.skill is None else self.skill, dtype=torch.float64)
        parts: Mapping[str, Tensors] = {
            "model": self.weights,
            "average": self.average,
            "best": best,
            "optimiser": optimiser_tensors(self.optimiser),
            "run": {"steps": torch.tensor(self.steps), "skill": skill},
        }
        return flatten_tensors(parts)

    def train_epoch(self, images: Sequence[MaskedImage], epoch: int) -> tuple[float, float, float]:
        """Train for one epoch; return mean loss, IoU and error of the predicted IoU.

        Raises:
            CallError: No mask is left in the input, or what :func:`fit_segmenter` raises.
        """
        self.trained.model.train()
        random = np.random.default_rng([self.schedule.seed, epoch])
        order = random.permutation(len(images))
        warm_up = max(1, -(-len(images) // self.schedule.batch))
        items = list(zip([images[k] for k in order], random.spawn(len(images)), strict=True))
        numbers = []
        for k, laid in enumerate(read_batches(items, self.schedule.batch, self._lay_out)):
            batch = [one for one in laid if one is not None]
            if not batch:
                continue
            for group in self.optimiser.param_groups:
                group["lr"] = group["top"] * min(1.0, (self.steps + 1) / warm_up)
            numbers.append(self._step(batch, [self.schedule.seed, epoch, k]))
        if not numbers:
            raise CallError(
                f"no mask is left once images are {self.trained.segmenter.side} px wide",
                "train-segmenter",
                "give a larger --size, or images with larger objects",
            )
        loss, iou, error = np.mean(numbers, axis=0).tolist()
        return loss, iou, error**0.5

    def _lay_out(
        self, item: tuple[MaskedImage, np.random.Generator]
    ) -> tuple[MaskedImage, SampleImage] | None:
        """Return an image with some of its objects in the input; None if none is left."""
        image, random = item
        segmenter, most = self.trained.segmenter, self.schedule.prompts
        if self.embedded is not None:
            frame = segmenter.frame(int(image.runs.heights[0]), int(image.runs.widths[0]))
            laid = lay_out_objects(segmenter, image.runs, frame, most, random)
        else:
            mirrored = random.random() < MIRRORED
            scene = (image.picture(), image.runs)
            laid = lay_out_image(segmenter, scene, most, random, mirrored=mirrored)
        return None if laid is None else (image, laid)

    def _step(self, batch: list[tuple[MaskedImage, SampleImage]], seed: list[int]) -> list[float]:
        """Do one optimiser step; return loss, IoU and squared error of the predicted IoU."""
        torch = import_optional("torch", "train-segmenter")
        numbers = self.adaptive.run(partial(self._backward, batch, seed))
        if not np.isfinite(numbers).all():
            raise CallError(
                f"the loss is {numbers[0]} after {self.steps} steps",
                "train-segmenter",
                "give a lower --learning-rate; masks and pictures were checked before",
            )
        torch.nn.utils.clip_grad_norm_(list(self.weights.values()), 1.0)
        self.optimiser.step()
        kept = ema_decay(self.steps)
        move_average(self.average, self.weights, kept)
        self.steps += 1
        self.skill = update_skill(self.skill, numbers[1])
        return numbers

    def _backward(
        self, batch: list[tuple[MaskedImage, SampleImage]], seed: list[int], at_once: int
    ) -> list[float]:
        """Compute the gradients of a batch, some images at a time."""
        torch = import_optional("torch", "train-segmenter")
        self.optimiser.zero_grad()
        objects = sum(len(laid.shares) for _, laid in batch)
        segmenter, total = self.trained.segmenter, np.zeros(3)
        for first in range(0, len(batch), at_once):
            part = batch[first : first + at_once]
            sample = stack_images([laid for _, laid in part], segmenter.low_side, segmenter.device)
            if self.embedded is None:
                features = self.trained.encode(sample.pixels)
            else:
                embeddings = [self.embedded(image) for image, _ in part]
                features = self.trained.stack(embeddings, torch)
            weight = len(sample.truth) / objects
            found = compute_gradients(
                self.trained,
                features,
                sample,
                self.schedule,
                evenness_of(self.skill),
                np.random.default_rng([*seed, first]),
                weight,
            )
            total += np.array(found.tolist()) * weight
        numbers: list[float] = total.tolist()
        return numbers


def _epochs_of(rows: Rows) -> list[SegmenterEpoch]:
    """Return the epochs of a checkpoint."""
    return [
        SegmenterEpoch(
            int(row["epoch"]),
            row["loss"],
            row["train_iou"],
            row["iou_error"],
            row["iou"],
            row["s"],
        )
        for row in rows
    ]
