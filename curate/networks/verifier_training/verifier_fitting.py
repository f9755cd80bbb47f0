"""Fitting of a verifier's network to a dataset's own masks against corruptions, and its trial."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from curate.common.arrays import FloatArray, IntArray
from curate.networks.runtime.devices import Device
from curate.networks.runtime.hub import import_optional
from curate.networks.training.averaged_fitting import (
    FittedNetwork,
    FittingSchedule,
    FittingTask,
    fit_averaged,
)
from curate.networks.training.checkpoints import Tensors
from curate.networks.training.reading_ahead import read_batches
from curate.networks.verifier_training.training_examples import (
    VerifierExample,
    VerifierObject,
    make_examples,
)
from curate.networks.verifiers.verifier_network import (
    FeatureStatistics,
    VerifierShape,
    build_network,
    run_network,
    stack_crops,
    stack_encoded,
)

COMMAND = "train-verifier"

STEPS_PER_ROUND = 25
"""Steps for which masks are drawn at once; a row of the history."""

LOSS_WEIGHTS = {"good": 1.0, "pair": 1.0, "iou": 1.0, "kind": 0.4, "mask": 1.0}
"""Weight of each loss: of good or bad, of the order of a mask and its corruption, and so on."""


@dataclass(frozen=True)
class VerifierSchedule:
    """Hyperparameters of a verifier's training.

    Attributes:
        rounds: Rounds of :data:`STEPS_PER_ROUND` steps.
        batch: Masks of the dataset a step, each with its corruptions.
        learning_rate: Highest of AdamW.
        seconds: Time after which it comes to its end, earlier runs included; over 0, None for no
            limit.
        seed: Of order, corruptions and first weights.
    """

    rounds: int
    batch: int = 16
    learning_rate: float = 2e-3
    seconds: float | None = None
    seed: int = 0

    def in_rounds(self, steps: int) -> FittingSchedule:
        """Return it with so many steps a round."""
        return FittingSchedule(
            self.rounds, steps, self.batch, self.learning_rate, self.seconds, self.seed
        )


def fit_verifier(
    objects: Sequence[VerifierObject],
    shape: VerifierShape,
    schedule: VerifierSchedule,
    device: Device,
    *,
    statistics: FeatureStatistics | None = None,
    identity: str = "",
    checkpoint: Path | None = None,
    progress: Callable[[float, int, int], None] | None = None,
) -> FittedNetwork:
    """Train a network on masks and corruptions of them; averaged weights are kept.

    Args:
        objects: Masks of the dataset.
        shape: Sizes of the network.
        schedule: Hyperparameters.
        device: Where.
        statistics: Of an encoder's features on the pictures of these masks; None without one.
        identity: See :func:`curate.networks.training.averaged_fitting.fit_averaged`.
        checkpoint: Likewise.
        progress: Likewise.
    """

    def read(item: VerifierObject, random: np.random.Generator) -> list[VerifierExample]:
        return make_examples(item, random, shape.categories)

    return fit_averaged(
        build_network(shape, schedule.seed, statistics),
        FittingTask(COMMAND, objects, read, compute_losses),
        schedule.in_rounds(STEPS_PER_ROUND),
        device,
        identity=identity,
        checkpoint=checkpoint,
        progress=progress,
    )


def stack_examples(examples: Sequence[VerifierExample], place: str) -> tuple[Any, ...]:
    """Return the inputs of a network for a batch."""
    torch = import_optional("torch", COMMAND)
    crops = [one.crops for one in examples]
    category = torch.tensor([one.category for one in examples], device=place)
    return (*stack_crops(crops, place), category, stack_encoded(crops, place))


def compute_losses(
    network: Any, groups: Sequence[Sequence[VerifierExample]], place: str
) -> Tensors:
    """Return the losses of a batch, each a scalar tensor; ``loss`` is their weighted sum.

    Args:
        network: The network.
        groups: Of each mask the right one first, then its corruptions; equally many.
        place: torch's name of the device.
    """
    torch = import_optional("torch", COMMAND)
    function = torch.nn.functional
    examples = [one for group in groups for one in group]
    answers = run_network(network, *stack_examples(examples, place))
    truth = torch.from_numpy(np.stack([one.truth for one in examples])).to(place)

    def values(name: str) -> Any:
        return torch.tensor([float(getattr(one, name)) for one in examples], device=place)

    good, iou = values("good"), values("iou")
    ordered = answers["good"].view(len(groups), -1)
    worse = 1 - good.view(len(groups), -1)[:, 1:]
    gaps = function.softplus(1 - (ordered[:, :1] - ordered[:, 1:]))
    pixels = function.binary_cross_entropy_with_logits(answers["mask"], truth, reduction="none")
    drawn = values("drawn")
    losses = {
        "good": function.binary_cross_entropy_with_logits(answers["good"], good),
        "pair": (gaps * worse).sum() / worse.sum().clamp_min(1e-3),
        "iou": function.binary_cross_entropy_with_logits(answers["iou"], iou),
        "kind": function.cross_entropy(answers["kind"], values("kind").long()),
        "mask": (pixels.mean((1, 2)) * drawn).sum() / drawn.sum().clamp_min(1.0),
    }
    total = sum(LOSS_WEIGHTS[name] * loss for name, loss in losses.items())
    return {"loss": total, **losses}


@dataclass(frozen=True)
class VerifierTrial:
    """Answers of a network to masks it was not trained on, and to corruptions of them.

    Attributes:
        good: P(good), shape (n,).
        predicted_iou: Shape (n,).
        iou: The true one.
        kind: 0 for a mask of the dataset, else one more than its place in the kinds.
        predicted_kind: The most probable kind of error, as one more than its place.
        image: Position of its image.
        unaided: The same without an encoder's features; None without an encoder.
    """

    good: FloatArray
    predicted_iou: FloatArray
    iou: FloatArray
    kind: IntArray
    predicted_kind: IntArray
    image: IntArray
    unaided: VerifierTrial | None = None


def try_verifier(
    network: Any,
    objects: Sequence[VerifierObject],
    shape: VerifierShape,
    device: Device,
    seed: int,
    batch: int = 32,
    seconds: float | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> VerifierTrial:
    """Ask a network about held-out masks and corruptions of them.

    Args:
        network: In its mode of evaluation.
        objects: Masks of images that it was not trained on, in an order by chance.
        shape: Its sizes.
        device: Where it is.
        seed: Of the corruptions.
        batch: Masks at once.
        seconds: Time after which no more batches are asked about; None for no limit.
        progress: Called with the masks that are done, and those in all.
    """
    torch = import_optional("torch", COMMAND)
    random = np.random.default_rng([seed, 1 << 20])
    began = time.monotonic()
    items = list(zip(objects, random.spawn(len(objects)), strict=True))
    with_encoder = any(one.grids is not None for one in objects)
    rows: tuple[list[FloatArray], list[FloatArray]] = ([], [])
    done = 0
    for groups in read_batches(
        items, batch, lambda item: make_examples(*item, shape.categories, change=False)
    ):
        done += len(groups)
        examples = [one for group in groups for one in group]
        inputs = stack_examples(examples, device.name)
        for found, given in zip(rows, [inputs, inputs[:-1]][: 1 + with_encoder], strict=False):
            with torch.inference_mode():
                answers = run_network(network, *given)
            found.append(_answer_rows(answers, examples))
        if progress:
            progress(done, len(objects))
        if seconds is not None and time.monotonic() - began >= seconds:
            break
    of_image = [one.image for one in objects[:done]]
    unaided = _make_trial(rows[1], of_image) if with_encoder else None
    return _make_trial(rows[0], of_image, unaided)


def _answer_rows(answers: Mapping[str, Any], examples: Sequence[VerifierExample]) -> FloatArray:
    """Return a row an example: P(good), predicted IoU, true IoU, kind, most probable kind."""
    torch = import_optional("torch", COMMAND)
    columns = [
        torch.sigmoid(answers["good"]).cpu().numpy(),
        torch.sigmoid(answers["iou"]).cpu().numpy(),
        [one.iou for one in examples],
        [one.kind for one in examples],
        1 + answers["kind"][:, 1:].argmax(1).cpu().numpy(),
    ]
    return np.asarray(np.column_stack(columns), np.float64)


def _make_trial(
    rows: Sequence[FloatArray], images: Sequence[int], unaided: VerifierTrial | None = None
) -> VerifierTrial:
    """Return a trial.

    Args:
        rows: Of :func:`_answer_rows`, in batches.
        images: Position of the image of each mask that was tried.
        unaided: The trial without an encoder.
    """
    table = np.concatenate(rows) if rows else np.zeros((0, 5))
    image = np.repeat(images, len(table) // max(1, len(images))).astype(np.int64)
    kinds = table[:, 3:5].astype(np.int64)
    own, named = kinds[:, 0], kinds[:, 1]
    return VerifierTrial(table[:, 0], table[:, 1], table[:, 2], own, named, image, unaided)
