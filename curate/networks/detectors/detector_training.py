"""Training of a class-agnostic detector ("object") on boxes, resumable after each epoch.

Every epoch draws its order, its augmentation and its noise from the seed and its own number, so
that a resumed training gives the weights of an uninterrupted one.
"""

from __future__ import annotations

import copy
import dataclasses
import hashlib
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from curate.common.ranges import check_numbers
from curate.errors import CallError
from curate.networks.detectors.box_precision import BoxPrecision, average_precision
from curate.networks.detectors.initial_weights import InitialDetector
from curate.networks.detectors.training_images import DetectorImage, make_example
from curate.networks.detectors.transformers_detector import TransformersDetector
from curate.networks.runtime.devices import Device
from curate.networks.runtime.hub import import_optional
from curate.networks.training.adaptive_step import AdaptiveStep, ema_decay, move_average
from curate.networks.training.checkpoints import (
    Tensors,
    flatten_tensors,
    load_checkpoint,
    load_optimiser,
    optimiser_tensors,
    save_checkpoint,
    unflatten_tensors,
)
from curate.networks.training.reading_ahead import read_batches


@dataclass(frozen=True)
class DetectorSchedule:
    """Hyperparameters of a detector's training.

    Attributes:
        epochs: Most rounds over the images.
        patience: Rounds without a better held-out precision after which it ends.
        batch: Images a step.
        learning_rate: Of AdamW, reached after a first round of rising.
        seed: Of order, augmentation and first weights.
    """

    epochs: int = 100
    patience: int = 15
    batch: int = 8
    learning_rate: float = 1e-3
    seed: int = 0

    def __post_init__(self) -> None:
        check_numbers(**vars(self))


@dataclass(frozen=True)
class EpochResult:
    """Result of one epoch: loss, held-out precision, time.

    Attributes:
        epoch: Counted from 1.
        loss: The library's own for the architecture, averaged over steps.
        precision: Of the averaged weights on the held-out images.
        seconds: It took, with the trial on the held-out images.
    """

    epoch: int
    loss: float
    precision: BoxPrecision
    seconds: float

    def as_dict(self) -> dict[str, float]:
        """Return it as one flat row."""
        return {"epoch": self.epoch, "loss": self.loss, **asdict(self.precision), "s": self.seconds}


@dataclass(frozen=True)
class TrainedDetector:
    """A trained detector, with the history of its training.

    Attributes:
        model: The library's, with the weights of the best epoch, on its device.
        best: The epoch with the highest held-out average precision.
        history: All epochs.
        stopped_early: Whether it ended before the last epoch it might have had.
    """

    model: Any
    best: EpochResult
    history: tuple[EpochResult, ...]
    stopped_early: bool


def fit_detector(
    scenes: tuple[Sequence[DetectorImage], Sequence[DetectorImage]],
    start: InitialDetector,
    schedule: DetectorSchedule,
    device: Device,
    *,
    checkpoint: Path | None = None,
    progress: Callable[[EpochResult], None] | None = None,
) -> TrainedDetector:
    """Train a detector on some images and keep the weights with the best held-out precision.

    AdamW at a constant rate after a first epoch of warm-up; an exponential moving average of the
    weights is evaluated and kept. Always in float32.

    Args:
        scenes: Training images, and held-out images.
        start: The model to train, see
            :func:`curate.networks.detectors.initial_weights.load_pretrained`.
        schedule: Hyperparameters.
        device: Where.
        checkpoint: A file, written after every epoch; where it exists already, training resumes
            from it.
        progress: Called after every epoch.

    Raises:
        CallError: There are no images on one side, or the loss is not finite, or a single image
            does not fit into memory.
        SourceError: The checkpoint is of another training.
    """
    learnt, held_out = scenes
    if not learnt or not held_out:
        raise CallError("there are no images on one side of the split", "train-detector", "")
    run = _TrainingRun(start, schedule, device)
    identity = _fingerprint_training(scenes, start, schedule)
    history, best = run.resume(checkpoint, identity)
    while not _is_over(history, schedule):
        began = time.monotonic()
        epoch = len(history) + 1
        loss = run.train_epoch(learnt, epoch)
        precision = run.evaluate(held_out)
        history.append(EpochResult(epoch, loss, precision, round(time.monotonic() - began, 3)))
        if _best_epoch(history) is history[-1]:
            best = {k: v.detach().clone().cpu() for k, v in run.average.state_dict().items()}
        if checkpoint is not None:
            save_checkpoint(checkpoint, run.state(best), identity, [e.as_dict() for e in history])
        if progress:
            progress(history[-1])
    run.average.load_state_dict(best)
    return TrainedDetector(
        run.average.eval(), _best_epoch(history), tuple(history), len(history) < schedule.epochs
    )


def _best_epoch(history: Sequence[EpochResult]) -> EpochResult:
    """Return the first of the epochs with the highest precision."""
    return max(history, key=lambda e: (e.precision.ap, e.precision.ap50, -e.epoch))


def _is_over(history: Sequence[EpochResult], schedule: DetectorSchedule) -> bool:
    if not history:
        return False
    waited = len(history) - _best_epoch(history).epoch
    return len(history) >= schedule.epochs or waited >= schedule.patience


def _fingerprint_training(
    scenes: tuple[Sequence[DetectorImage], Sequence[DetectorImage]],
    start: InitialDetector,
    schedule: DetectorSchedule,
) -> str:
    """Return a short hash of all that must be equal for a training to resume."""
    digest = hashlib.blake2b(repr((start.fingerprint, asdict(schedule))).encode(), digest_size=16)
    for side in scenes:
        for scene in side:
            digest.update(f"{scene.image_id}:{scene.key}".encode())
            digest.update(np.ascontiguousarray(scene.boxes, np.float64).tobytes())
        digest.update(b";")
    return digest.hexdigest()


class _TrainingRun:
    """State of a training: model, averaged weights, optimiser."""

    def __init__(self, start: InitialDetector, schedule: DetectorSchedule, device: Device) -> None:
        torch = import_optional("torch", "train-detector")
        self.start, self.schedule, self.device = start, schedule, device
        self.model = start.model.to(device.name).train()
        self.average = copy.deepcopy(self.model).eval()
        slow, fast = start.groups(self.model)
        rate = schedule.learning_rate
        self.optimiser = torch.optim.AdamW(
            [{"params": fast, "top": rate}, {"params": slow, "top": rate / 10}],
            lr=rate,
            weight_decay=1e-4,
        )
        self.steps = 0
        self.adaptive = AdaptiveStep(schedule.batch, "give --size")

    def resume(self, path: Path | None, identity: str) -> tuple[list[EpochResult], Tensors]:
        """Load a checkpoint; return the epochs so far and the best weights."""
        if path is None or not path.is_file():
            return [], {}
        tensors, rows = load_checkpoint(path, identity)
        parts = unflatten_tensors(tensors)
        self.model.load_state_dict(parts["model"])
        self.average.load_state_dict(parts["average"])
        self.steps = int(parts["run"]["steps"])
        load_optimiser(self.optimiser, parts.get("optimiser", {}))
        history = []
        for row in rows:
            precision = BoxPrecision(row["ap"], row["ap50"], row["ap75"])
            history.append(EpochResult(int(row["epoch"]), row["loss"], precision, row["s"]))
        return history, parts["best"]

    def state(self, best: Tensors) -> Tensors:
        """Return the tensors of a checkpoint: state of the training, and the best weights so
        far."""
        torch = import_optional("torch", "train-detector")
        parts = {
            "model": self.model.state_dict(),
            "average": self.average.state_dict(),
            "best": best,
            "optimiser": optimiser_tensors(self.optimiser),
            "run": {"steps": torch.tensor(self.steps)},
        }
        return flatten_tensors(parts)

    def train_epoch(self, scenes: Sequence[DetectorImage], epoch: int) -> float:
        """Train for one epoch; return the mean loss."""
        torch = import_optional("torch", "train-detector")
        random = np.random.default_rng([self.schedule.seed, epoch])
        order = random.permutation(len(scenes))
        warm_up = max(1, -(-len(scenes) // self.schedule.batch))
        losses = []
        devices = [self.device.name] if self.device.name.startswith("cuda") else []
        with torch.random.fork_rng(devices=devices):
            torch.manual_seed(int(random.integers(2**62)))
            for batch in self._batches([scenes[k] for k in order], random):
                for group in self.optimiser.param_groups:
                    group["lr"] = group["top"] * min(1.0, (self.steps + 1) / warm_up)
                losses.append(self._step(batch))
                self._update_average()
        return float(np.mean(losses))

    def _batches(
        self, scenes: list[DetectorImage], random: np.random.Generator
    ) -> Iterator[list[Any]]:
        """Yield batches of (input, boxes)."""

        def read(item: tuple[DetectorImage, np.random.Generator]) -> Any:
            scene, own = item
            return make_example(scene.picture(), scene.boxes, self.start.input, own)

        items = list(zip(scenes, random.spawn(len(scenes)), strict=True))
        return read_batches(items, self.schedule.batch, read)

    def _step(self, batch: list[Any]) -> float:
        """Do one optimiser step; where memory runs out, halve the batch from now on."""
        torch = import_optional("torch", "train-detector")
        loss = self.adaptive.run(partial(self._backward, batch))
        if not np.isfinite(loss):
            raise CallError(
                f"the loss is {loss} after {self.steps} steps",
                "train-detector",
                "give a lower --learning-rate; boxes and pictures were checked before",
            )
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        self.optimiser.step()
        self.steps += 1
        return loss

    def _backward(self, batch: list[Any], at_once: int) -> float:
        torch = import_optional("torch", "train-detector")
        self.optimiser.zero_grad()
        total = 0.0
        for first in range(0, len(batch), at_once):
            part = batch[first : first + at_once]
            place = self.device.name
            labels = [
                {
                    "class_labels": torch.zeros(len(boxes), dtype=torch.long, device=place),
                    "boxes": torch.from_numpy(boxes).to(place),
                }
                for _, boxes in part
            ]
            inputs = torch.from_numpy(np.stack([values for values, _ in part]))
            answer = self.model(pixel_values=inputs.to(place), labels=labels)
            loss = answer.loss * (len(part) / len(batch))
            loss.backward()
            total += float(loss.detach())
        return total

    def _update_average(self) -> None:
        """Update the moving average of the weights."""
        kept = ema_decay(self.steps)
        move_average(self.average.state_dict(), self.model.state_dict(), kept)

    def evaluate(self, scenes: Sequence[DetectorImage]) -> BoxPrecision:
        """Return the precision of the averaged weights on held-out images."""
        place = dataclasses.replace(self.device, precision="float32")
        detector = TransformersDetector(
            "training", self.average, self.start.family, self.start.input, "", place
        )
        found = []
        for first in range(0, len(scenes), self.schedule.batch):
            some = scenes[first : first + self.schedule.batch]
            found += detector.detect([scene.picture() for scene in some])
        return average_precision([scene.boxes for scene in scenes], found)
