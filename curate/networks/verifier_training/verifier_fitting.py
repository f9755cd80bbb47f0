"""Fitting of a verifier's network to a dataset's own masks against corruptions of them.

Every round draws its masks, its corruptions and its changes of crops from the seed and its own
number, so that a resumed training gives the weights of an uninterrupted one.
"""

from __future__ import annotations

import copy
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from curate.common.arrays import FloatArray, IntArray
from curate.errors import CallError
from curate.networks.runtime.devices import Device
from curate.networks.runtime.hub import import_optional
from curate.networks.training.adaptive_step import AdaptiveStep, ema_decay
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
from curate.networks.verifier_training.training_examples import (
    VerifierExample,
    VerifierObject,
    make_examples,
)
from curate.networks.verifiers.verifier_network import (
    VerifierShape,
    build_network,
    run_network,
    stack_crops,
)

STEPS_PER_ROUND = 25
"""Steps between two moments at which a training can be resumed."""

CHECKPOINT_S = 20.0
"""Seconds between two checkpoints."""

MAX_DECAY = 0.98
"""Share of the averaged weights that a step leaves as they were: trainings here are short."""

WARM_UP = 0.05
"""Share of a training in which the learning rate rises."""

LOSS_WEIGHTS = {"good": 1.0, "pair": 1.0, "iou": 1.0, "kind": 0.4, "mask": 1.0}
"""Weight of each loss: of good or bad, of the order of a mask and its corruption, and so on."""


@dataclass(frozen=True)
class VerifierSchedule:
    """Hyperparameters of a verifier's training.

    Attributes:
        rounds: Rounds of :data:`STEPS_PER_ROUND` steps.
        batch: Masks of the dataset a step, each with its corruptions.
        learning_rate: Highest of AdamW.
        seconds: Time after which it comes to its end; None for no limit.
        seed: Of order, corruptions and first weights.
    """

    rounds: int
    batch: int = 16
    learning_rate: float = 2e-3
    seconds: float | None = None
    seed: int = 0


@dataclass(frozen=True)
class FittedVerifier:
    """A network that was trained, and how it went.

    Attributes:
        network: With the averaged weights, on its device.
        history: A row a round: its number, its losses, and its seconds.
        stopped_early: Whether its time was over before its rounds were.
    """

    network: Any
    history: tuple[dict[str, float], ...]
    stopped_early: bool


def fit_verifier(
    objects: Sequence[VerifierObject],
    shape: VerifierShape,
    schedule: VerifierSchedule,
    device: Device,
    *,
    identity: str = "",
    checkpoint: Path | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> FittedVerifier:
    """Train a network on masks and corruptions of them; averaged weights are kept.

    Args:
        objects: Masks of the dataset.
        shape: Sizes of the network.
        schedule: Hyperparameters.
        device: Where.
        identity: What must be equal for a checkpoint to be of this training.
        checkpoint: A file that is written between rounds; where it exists, training resumes.
        progress: Called with rounds done, and in all, after each.

    Raises:
        CallError: The loss is not finite, or a single mask does not fit into memory.
        SourceError: The checkpoint is of another training.
    """
    run = _VerifierRun(objects, shape, schedule, device)
    history = run.resume(checkpoint, identity)
    saved = time.monotonic()
    while not _is_over(history, schedule):
        began = time.monotonic()
        losses = run.train_round(len(history) + 1, _progress_of(history, schedule))
        now = time.monotonic()
        history.append({"round": len(history) + 1, **losses, "s": round(now - began, 3)})
        over = _is_over(history, schedule)
        if checkpoint is not None and (over or now - saved > CHECKPOINT_S):
            save_checkpoint(checkpoint, run.state(), identity, history)
            saved = time.monotonic()
        if progress:
            progress(len(history), schedule.rounds)
    early = len(history) < schedule.rounds
    return FittedVerifier(run.average.eval(), tuple(history), early)


def _elapsed(history: Sequence[dict[str, float]]) -> float:
    return sum(row["s"] for row in history)


def _is_over(history: Sequence[dict[str, float]], schedule: VerifierSchedule) -> bool:
    late = schedule.seconds is not None and _elapsed(history) >= schedule.seconds
    return len(history) >= schedule.rounds or bool(history and late)


def _progress_of(
    history: Sequence[dict[str, float]], schedule: VerifierSchedule
) -> Callable[[float], float]:
    """Return the share of the training that is done, as a function of the share of the round.

    It goes by rounds alone where there is no time limit, so that weights depend on no clock.
    """
    elapsed = _elapsed(history)
    last = history[-1]["s"] if history else 0.0

    def share(part: float) -> float:
        done = (len(history) + part) / schedule.rounds
        if schedule.seconds is not None:
            done = max(done, (elapsed + part * last) / schedule.seconds)
        return min(1.0, done)

    return share


class _VerifierRun:
    """State of a training: network, averaged weights, optimiser."""

    def __init__(
        self,
        objects: Sequence[VerifierObject],
        shape: VerifierShape,
        schedule: VerifierSchedule,
        device: Device,
    ) -> None:
        torch = import_optional("torch", "train-verifier")
        self.objects, self.shape, self.schedule = objects, shape, schedule
        self.place = device.name
        self.network = build_network(shape, schedule.seed).to(self.place).train()
        self.average = copy.deepcopy(self.network).eval()
        decayed = [p for p in self.network.parameters() if p.ndim > 1]
        others = [p for p in self.network.parameters() if p.ndim <= 1]
        self.optimiser = torch.optim.AdamW(
            [
                {"params": decayed, "weight_decay": 0.02},
                {"params": others, "weight_decay": 0.0},
            ],
            lr=schedule.learning_rate,
        )
        self.steps = 0
        self.adaptive = AdaptiveStep(schedule.batch, "give --device cpu")

    def resume(self, path: Path | None, identity: str) -> list[dict[str, float]]:
        """Load a checkpoint; return the rounds so far."""
        if path is None or not path.is_file():
            return []
        tensors, rows = load_checkpoint(path, identity)
        parts = unflatten_tensors(tensors)
        self.network.load_state_dict(parts["network"])
        self.average.load_state_dict(parts["average"])
        self.steps = int(parts["run"]["steps"])
        load_optimiser(self.optimiser, parts["optimiser"])
        return rows

    def state(self) -> Tensors:
        """Return the tensors of a checkpoint."""
        torch = import_optional("torch", "train-verifier")
        return flatten_tensors(
            {
                "network": self.network.state_dict(),
                "average": self.average.state_dict(),
                "optimiser": optimiser_tensors(self.optimiser),
                "run": {"steps": torch.tensor(self.steps)},
            }
        )

    def train_round(self, number: int, share: Callable[[float], float]) -> dict[str, float]:
        """Train for one round; return its mean losses."""
        torch = import_optional("torch", "train-verifier")
        random = np.random.default_rng([self.schedule.seed, number])
        chosen = self._draw(random)
        items = list(zip(chosen, random.spawn(len(chosen)), strict=True))

        def read(item: tuple[int, np.random.Generator]) -> list[VerifierExample]:
            return make_examples(self.objects[item[0]], item[1], self.shape.categories)

        found: list[dict[str, float]] = []
        devices = [self.place] if self.place.startswith("cuda") else []
        with torch.random.fork_rng(devices=devices):
            torch.manual_seed(int(random.integers(2**62)))
            for batch in read_batches(items, self.schedule.batch, read):
                rate = _rate(share(len(found) / STEPS_PER_ROUND)) * self.schedule.learning_rate
                for group in self.optimiser.param_groups:
                    group["lr"] = rate
                found.append(self._step(batch))
        return {name: float(np.mean([one[name] for one in found])) for name in found[0]}

    def _draw(self, random: np.random.Generator) -> list[int]:
        """Draw the masks of a round: all of them in turn, before any comes again."""
        wanted = STEPS_PER_ROUND * self.schedule.batch
        drawn: list[int] = []
        while len(drawn) < wanted:
            drawn += random.permutation(len(self.objects)).tolist()
        return drawn[:wanted]

    def _step(self, batch: list[list[VerifierExample]]) -> dict[str, float]:
        """Do one optimiser step; where memory runs out, halve the batch from now on."""
        torch = import_optional("torch", "train-verifier")
        losses: dict[str, float] = self.adaptive.run(partial(self._backward, batch))
        if not np.isfinite(losses["loss"]):
            raise CallError(
                f"the loss is {losses['loss']} after {self.steps} steps",
                "train-verifier",
                "train with another --seed",
            )
        torch.nn.utils.clip_grad_norm_(self.network.parameters(), 2.0)
        self.optimiser.step()
        self.steps += 1
        kept = min(ema_decay(self.steps), MAX_DECAY)
        with torch.no_grad():
            old, new = self.average.state_dict(), self.network.state_dict()
            for name, values in old.items():
                if values.is_floating_point():
                    values.lerp_(new[name], 1 - kept)
                else:
                    values.copy_(new[name])
        return losses

    def _backward(self, batch: list[list[VerifierExample]], at_once: int) -> dict[str, float]:
        self.optimiser.zero_grad()
        total: dict[str, float] = {}
        for first in range(0, len(batch), at_once):
            part = batch[first : first + at_once]
            losses = compute_losses(self.network, part, self.place)
            weight = len(part) / len(batch)
            (losses["loss"] * weight).backward()
            for name, value in losses.items():
                total[name] = total.get(name, 0.0) + float(value.detach()) * weight
        return total


def _rate(share: float) -> float:
    """Return the learning rate as a share of its highest: up in a line, then down by a cosine."""
    if share < WARM_UP:
        return max(0.05, share / WARM_UP)
    return float(0.01 + 0.99 * 0.5 * (1 + np.cos(np.pi * (share - WARM_UP) / (1 - WARM_UP))))


def stack_examples(examples: Sequence[VerifierExample], place: str) -> tuple[Any, ...]:
    """Return the inputs of a network for a batch."""
    torch = import_optional("torch", "train-verifier")
    inputs = stack_crops([one.crops for one in examples], place)
    return (*inputs, torch.tensor([one.category for one in examples], device=place))


def compute_losses(
    network: Any, groups: Sequence[Sequence[VerifierExample]], place: str
) -> Tensors:
    """Return the losses of a batch, each a scalar tensor; ``loss`` is their weighted sum.

    Args:
        network: The network.
        groups: Of each mask the right one first, then its corruptions; equally many.
        place: torch's name of the device.
    """
    torch = import_optional("torch", "train-verifier")
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
    """

    good: FloatArray
    predicted_iou: FloatArray
    iou: FloatArray
    kind: IntArray
    predicted_kind: IntArray
    image: IntArray


def try_verifier(
    network: Any,
    objects: Sequence[VerifierObject],
    shape: VerifierShape,
    device: Device,
    seed: int,
    batch: int = 32,
) -> VerifierTrial:
    """Ask a network about held-out masks and corruptions of them.

    Args:
        network: In its mode of evaluation.
        objects: Masks of images that it was not trained on.
        shape: Its sizes.
        device: Where it is.
        seed: Of the corruptions.
        batch: Masks at once.
    """
    torch = import_optional("torch", "train-verifier")
    random = np.random.default_rng([seed, 1 << 20])
    items = list(zip(objects, random.spawn(len(objects)), strict=True))
    rows: list[FloatArray] = []
    for groups in read_batches(
        items, batch, lambda item: make_examples(*item, shape.categories, change=False)
    ):
        examples = [one for group in groups for one in group]
        with torch.inference_mode():
            answers = run_network(network, *stack_examples(examples, device.name))
        rows.append(
            np.column_stack(
                [
                    torch.sigmoid(answers["good"]).cpu().numpy(),
                    torch.sigmoid(answers["iou"]).cpu().numpy(),
                    [one.iou for one in examples],
                    [one.kind for one in examples],
                    1 + answers["kind"][:, 1:].argmax(1).cpu().numpy(),
                ]
            )
        )
    table = np.concatenate(rows) if rows else np.zeros((0, 5))
    each = len(table) // max(1, len(objects))
    image = np.repeat([one.image for one in objects], each).astype(np.int64)
    kinds = table[:, 3:5].astype(np.int64)
    return VerifierTrial(table[:, 0], table[:, 1], table[:, 2], kinds[:, 0], kinds[:, 1], image)
