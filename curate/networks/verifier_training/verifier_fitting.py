"""Fitting of a verifier's network to a dataset's own masks against corruptions of them.

Every round draws its masks, its corruptions and its changes of crops from the seed and its own
number, so that a training that is resumed within a round gives the weights of an uninterrupted one.
"""

from __future__ import annotations

import copy
import time
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from curate.common.arrays import FloatArray, IntArray
from curate.errors import CallError
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
"""Steps for which masks are drawn at once; a row of the history."""

CHECKPOINT_S = 10.0
"""Seconds between two checkpoints, and before the first."""

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
        seconds: Time after which it comes to its end, earlier runs included; over 0, None for no
            limit.
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
        history: A row a round: its number, its steps, their mean losses, and their seconds.
        steps: Steps done.
        planned: Steps that it would have done without a time limit.
    """

    network: Any
    history: tuple[dict[str, float], ...]
    steps: int
    planned: int

    @property
    def stopped_early(self) -> bool:
        """Whether its time was over before its rounds were."""
        return self.steps < self.planned

    @property
    def elapsed(self) -> float:
        """Seconds that it was trained for."""
        return sum(row["s"] for row in self.history)


def fit_verifier(
    objects: Sequence[VerifierObject],
    shape: VerifierShape,
    schedule: VerifierSchedule,
    device: Device,
    *,
    identity: str = "",
    checkpoint: Path | None = None,
    progress: Callable[[float, int, int], None] | None = None,
) -> FittedVerifier:
    """Train a network on masks and corruptions of them; averaged weights are kept.

    Args:
        objects: Masks of the dataset.
        shape: Sizes of the network.
        schedule: Hyperparameters.
        device: Where.
        identity: What must be equal for a checkpoint to be of this training.
        checkpoint: A file that is written every :data:`CHECKPOINT_S`; where it exists, training
            resumes.
        progress: Called after each step with rounds done, those in all, and the masks of the step.
            With a time limit the share of the time that is over counts as rounds done.

    Raises:
        CallError: The loss is not finite, or a single mask does not fit into memory.
        SourceError: The checkpoint is of another training.
    """
    run = _VerifierRun(objects, shape, schedule, device)
    run.resume(checkpoint, identity)
    saved = time.monotonic()

    def end_step(masks: int) -> bool:
        """Keep what is there and tell of it; return whether to go on."""
        nonlocal saved
        over = run.is_over()
        late = time.monotonic() - saved >= CHECKPOINT_S
        if checkpoint is not None and (over or late):
            save_checkpoint(checkpoint, run.state(), identity, run.rows)
            saved = time.monotonic()
        if progress:
            progress(run.share() * schedule.rounds, schedule.rounds, masks)
        return not over

    if progress:
        progress(run.share() * schedule.rounds, schedule.rounds, 0)
    while not run.is_over():
        run.train_round(end_step)
    planned = schedule.rounds * STEPS_PER_ROUND
    history = tuple(_average_losses(row) for row in run.rows)
    return FittedVerifier(run.average.eval(), history, run.steps, planned)


def _average_losses(row: dict[str, float]) -> dict[str, float]:
    """Return a row of the history: losses are sums over steps before, and means from here on."""
    kept = {"round": row["round"], "steps": row["steps"]}
    losses = {name: value / row["steps"] for name, value in row.items() if name not in (*kept, "s")}
    return {**kept, **losses, "s": round(row["s"], 3)}


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
        self.rows: list[dict[str, float]] = []
        self.adaptive = AdaptiveStep(schedule.batch, "give --device cpu")

    def resume(self, path: Path | None, identity: str) -> None:
        """Load a checkpoint, where there is one."""
        if path is None or not path.is_file():
            return
        tensors, self.rows = load_checkpoint(path, identity)
        parts = unflatten_tensors(tensors)
        self.network.load_state_dict(parts["network"])
        self.average.load_state_dict(parts["average"])
        self.steps = int(parts["run"]["steps"])
        load_optimiser(self.optimiser, parts["optimiser"])

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

    def elapsed(self) -> float:
        """Return the seconds that it has been trained for, earlier runs included."""
        return sum(row["s"] for row in self.rows)

    def is_over(self) -> bool:
        """Return whether all rounds are done, or the time is over; one step is done always."""
        seconds = self.schedule.seconds
        late = seconds is not None and self.steps > 0 and self.elapsed() >= seconds
        return late or self.steps >= self.schedule.rounds * STEPS_PER_ROUND

    def share(self) -> float:
        """Return the share of the training that is done.

        It goes by steps alone where there is no time limit, so that weights depend on no clock.
        """
        done = self.steps / (self.schedule.rounds * STEPS_PER_ROUND)
        if self.schedule.seconds is not None:
            done = max(done, self.elapsed() / self.schedule.seconds)
        return min(1.0, done)

    def train_round(self, end_step: Callable[[int], bool]) -> None:
        """Train to the end of a round, or until it is told to stop.

        Args:
            end_step: Called after each step with its masks; returns whether to go on.
        """
        torch = import_optional("torch", "train-verifier")
        began = time.monotonic()
        before, done = divmod(self.steps, STEPS_PER_ROUND)
        random = np.random.default_rng([self.schedule.seed, before + 1])
        chosen = self._draw(random)
        items = list(zip(chosen, random.spawn(len(chosen)), strict=True))
        seeds = random.integers(2**62, size=STEPS_PER_ROUND).tolist()
        if not done:
            self.rows.append({"round": before + 1, "steps": 0, "s": 0.0})
        row = self.rows[-1]

        def read(item: tuple[int, np.random.Generator]) -> list[VerifierExample]:
            return make_examples(self.objects[item[0]], item[1], self.shape.categories)

        devices = [self.place] if self.place.startswith("cuda") else []
        batches = read_batches(items[done * self.schedule.batch :], self.schedule.batch, read)
        with torch.random.fork_rng(devices=devices), closing(batches):
            for seed, batch in zip(seeds[done:], batches, strict=True):
                torch.manual_seed(seed)
                rate = _rate(self.share()) * self.schedule.learning_rate
                for group in self.optimiser.param_groups:
                    group["lr"] = rate
                for name, loss in self._step(batch).items():
                    row[name] = row.get(name, 0.0) + loss
                row["steps"] += 1
                now = time.monotonic()
                row["s"], began = row["s"] + now - began, now
                if not end_step(len(batch)):
                    return

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
        move_average(self.average.state_dict(), self.network.state_dict(), kept)
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
    torch = import_optional("torch", "train-verifier")
    random = np.random.default_rng([seed, 1 << 20])
    began = time.monotonic()
    items = list(zip(objects, random.spawn(len(objects)), strict=True))
    rows: list[FloatArray] = []
    done = 0
    for groups in read_batches(
        items, batch, lambda item: make_examples(*item, shape.categories, change=False)
    ):
        done += len(groups)
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
        if progress:
            progress(done, len(objects))
        if seconds is not None and time.monotonic() - began >= seconds:
            break
    table = np.concatenate(rows) if rows else np.zeros((0, 5))
    each = len(table) // max(1, done)
    image = np.repeat([one.image for one in objects[:done]], each).astype(np.int64)
    kinds = table[:, 3:5].astype(np.int64)
    return VerifierTrial(table[:, 0], table[:, 1], table[:, 2], kinds[:, 0], kinds[:, 1], image)
