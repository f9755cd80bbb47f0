"""Fitting of a network with averaged weights: resumable, timed, deterministic from a seed.

Every round draws its items and their changes from the seed and its own number, so that a training
that is resumed within a round gives the weights of an uninterrupted one.
"""

from __future__ import annotations

import copy
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Generic, TypeVar

import numpy as np

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

Item = TypeVar("Item")
Example = TypeVar("Example")

CHECKPOINT_S = 10.0
"""Seconds between two checkpoints, and before the first."""

MAX_DECAY = 0.98
"""Share of the averaged weights that a step leaves as they were: trainings here are short."""

WARM_UP = 0.05
"""Share of a training in which the learning rate rises."""


@dataclass(frozen=True)
class FittingSchedule:
    """Hyperparameters of a training.

    Attributes:
        rounds: Rounds of ``steps`` steps.
        steps: Steps for which items are drawn at once; a row of the history.
        batch: Items a step.
        learning_rate: Highest of AdamW.
        seconds: Time after which it comes to its end, earlier runs included; over 0, None for no
            limit.
        seed: Of order and changes.
    """

    rounds: int
    steps: int
    batch: int
    learning_rate: float
    seconds: float | None = None
    seed: int = 0


@dataclass(frozen=True)
class FittingTask(Generic[Item, Example]):
    """What a network is trained on.

    Attributes:
        command: The command: "train-verifier".
        items: What examples are made of.
        read: Makes an example of an item with the random numbers given; called in threads.
        losses: Losses of a network for examples, scalar tensors by name; ``loss`` is their sum.
    """

    command: str
    items: Sequence[Item]
    read: Callable[[Item, np.random.Generator], Example]
    losses: Callable[[Any, Sequence[Example], str], Tensors]


@dataclass(frozen=True)
class FittedNetwork:
    """A network that was trained, and how it went.

    Attributes:
        network: With the averaged weights, in its mode of evaluation, on its device.
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


def fit_averaged(
    network: object,
    task: FittingTask[Item, Example],
    schedule: FittingSchedule,
    device: Device,
    *,
    identity: str = "",
    checkpoint: Path | None = None,
    progress: Callable[[float, int, int], None] | None = None,
) -> FittedNetwork:
    """Train a network; averaged weights are kept.

    Args:
        network: With its first weights.
        task: What it is trained on.
        schedule: Hyperparameters.
        device: Where.
        identity: What must be equal for a checkpoint to be of this training.
        checkpoint: A file that is written every :data:`CHECKPOINT_S`; where it exists, training
            resumes.
        progress: Called after each step with rounds done, those in all, and the items of the step.
            With a time limit the share of the time that is over counts as rounds done.

    Raises:
        CallError: The loss is not finite, or a single item does not fit into memory.
        SourceError: The checkpoint is of another training.
    """
    run = _AveragedRun(network, task, schedule, device)
    run.resume(checkpoint, identity)
    saved = time.monotonic()

    def end_step(items: int) -> bool:
        """Keep what is there and tell of it; return whether to go on."""
        nonlocal saved
        over = run.is_over()
        late = time.monotonic() - saved >= CHECKPOINT_S
        if checkpoint is not None and (over or late):
            save_checkpoint(checkpoint, run.state(), identity, run.rows)
            saved = time.monotonic()
        if progress:
            progress(run.share() * schedule.rounds, schedule.rounds, items)
        return not over

    if progress:
        progress(run.share() * schedule.rounds, schedule.rounds, 0)
    while not run.is_over():
        run.train_round(end_step)
    history = tuple(_average_losses(row) for row in run.rows)
    return FittedNetwork(run.average.eval(), history, run.steps, run.planned)


def _average_losses(row: Mapping[str, float]) -> dict[str, float]:
    """Return a row of the history: losses are sums over steps before, and means from here on."""
    kept = {"round": row["round"], "steps": row["steps"]}
    losses = {name: value / row["steps"] for name, value in row.items() if name not in (*kept, "s")}
    return {**kept, **losses, "s": round(row["s"], 3)}


class _AveragedRun(Generic[Item, Example]):
    """State of a training: network, averaged weights, optimiser."""

    def __init__(
        self,
        network: Any,
        task: FittingTask[Item, Example],
        schedule: FittingSchedule,
        device: Device,
    ) -> None:
        torch = import_optional("torch", task.command)
        self.task, self.schedule, self.place = task, schedule, device.name
        self.network = network.to(self.place).train()
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
        self.planned = schedule.rounds * schedule.steps
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
        torch = import_optional("torch", self.task.command)
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
        return late or self.steps >= self.planned

    def share(self) -> float:
        """Return the share of the training that is done.

        It goes by steps alone where there is no time limit, so that weights depend on no clock.
        """
        done = self.steps / self.planned
        if self.schedule.seconds is not None:
            done = max(done, self.elapsed() / self.schedule.seconds)
        return min(1.0, done)

    def train_round(self, end_step: Callable[[int], bool]) -> None:
        """Train to the end of a round, or until it is told to stop.

        Args:
            end_step: Called after each step with its items; returns whether to go on.
        """
        torch = import_optional("torch", self.task.command)
        began = time.monotonic()
        before, done = divmod(self.steps, self.schedule.steps)
        random = np.random.default_rng([self.schedule.seed, before + 1])
        chosen = self._draw(random)
        pairs = list(zip(chosen, random.spawn(len(chosen)), strict=True))
        seeds = random.integers(2**62, size=self.schedule.steps).tolist()
        if not done:
            self.rows.append({"round": before + 1, "steps": 0, "s": 0.0})
        row = self.rows[-1]

        def read(pair: tuple[int, np.random.Generator]) -> Example:
            return self.task.read(self.task.items[pair[0]], pair[1])

        devices = [self.place] if self.place.startswith("cuda") else []
        batches = read_batches(pairs[done * self.schedule.batch :], self.schedule.batch, read)
        with torch.random.fork_rng(devices=devices), closing(batches):
            for seed, batch in zip(seeds[done:], batches, strict=True):
                torch.manual_seed(seed)
                rate = learning_rate_share(self.share()) * self.schedule.learning_rate
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
        """Draw the items of a round: all of them in turn, before any comes again."""
        wanted = self.schedule.steps * self.schedule.batch
        drawn: list[int] = []
        while len(drawn) < wanted:
            drawn += random.permutation(len(self.task.items)).tolist()
        return drawn[:wanted]

    def _step(self, batch: list[Example]) -> dict[str, float]:
        """Do one optimiser step; where memory runs out, halve the batch from now on."""
        torch = import_optional("torch", self.task.command)
        losses: dict[str, float] = self.adaptive.run(partial(self._backward, batch))
        if not np.isfinite(losses["loss"]):
            raise CallError(
                f"the loss is {losses['loss']} after {self.steps} steps",
                self.task.command,
                "train with another --seed",
            )
        torch.nn.utils.clip_grad_norm_(self.network.parameters(), 2.0)
        self.optimiser.step()
        self.steps += 1
        kept = min(ema_decay(self.steps), MAX_DECAY)
        move_average(self.average.state_dict(), self.network.state_dict(), kept)
        return losses

    def _backward(self, batch: list[Example], at_once: int) -> dict[str, float]:
        self.optimiser.zero_grad()
        total: dict[str, float] = {}
        for first in range(0, len(batch), at_once):
            part = batch[first : first + at_once]
            losses = self.task.losses(self.network, part, self.place)
            weight = len(part) / len(batch)
            (losses["loss"] * weight).backward()
            for name, value in losses.items():
                total[name] = total.get(name, 0.0) + float(value.detach()) * weight
        return total


def learning_rate_share(share: float) -> float:
    """Return the learning rate as a share of its highest: up in a line, then down by a cosine.

    Args:
        share: Of the training that is done, in [0, 1].
    """
    if share < WARM_UP:
        return max(0.05, share / WARM_UP)
    return float(0.01 + 0.99 * 0.5 * (1 + np.cos(np.pi * (share - WARM_UP) / (1 - WARM_UP))))
