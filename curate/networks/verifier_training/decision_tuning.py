"""Fine-tuning of a verifier's networks on people's decisions, kept only where it is better.

Each network goes on from its weights with decided masks of the images that it was trained on, and
with corruptions as before, so that it does not forget them. It is tried on the decided masks of its
own fold, and used where it orders them better than before by more than luck explains, and by more
than it loses on corruptions.
"""

from __future__ import annotations

import copy
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from curate.common.arrays import BoolArray, FloatArray, IntArray
from curate.common.progress import Progress
from curate.networks.runtime.devices import Device
from curate.networks.runtime.hub import import_optional
from curate.networks.training.adaptive_step import AdaptiveStep
from curate.networks.verifier_training.decided_masks import DecidedMask, deal_decided
from curate.networks.verifier_training.training_examples import (
    VerifierObject,
    draw_jitter,
    make_examples,
)
from curate.networks.verifier_training.verifier_fitting import compute_losses
from curate.networks.verifier_training.verifier_record import DecisionTuningRecord
from curate.networks.verifiers.verifier_network import (
    VerifierShape,
    run_network,
    stack_crops,
    stack_encoded,
)
from curate.quality.metrics import interval_by_groups, share_in_order

LEAST_DECIDED = 20
"""Good masks, and bad ones, that people must have decided on; each fold has to have both."""

TUNING_BATCH = 16
"""Decided masks a step."""

BESIDE = 4
"""Masks of the dataset a step, each beside corruptions of it."""

LOOKS = 8
"""Times that a decided mask is seen, within :data:`TUNING_STEPS`."""

TUNING_STEPS = (20, 250)
"""Least and most steps a network."""

TUNING_RATE = 4e-4
"""Highest learning rate of AdamW."""


@dataclass(frozen=True)
class NumberedDecisions:
    """Decided masks of some folds, their categories numbered.

    Attributes:
        masks: The masks.
        categories: Number of each one's category, 0 where it is unknown; shape (n,).
    """

    masks: Sequence[DecidedMask]
    categories: IntArray

    @property
    def bad(self) -> BoolArray:
        """Which are bad, shape (n,)."""
        return np.array([one.bad for one in self.masks], np.bool_)

    def take(self, rows: BoolArray) -> NumberedDecisions:
        """Return some of them."""
        chosen = [one for one, taken in zip(self.masks, rows, strict=True) if taken]
        return NumberedDecisions(chosen, self.categories[rows])


def tune_network(
    network: Any,
    decided: NumberedDecisions,
    objects: Sequence[VerifierObject],
    shape: VerifierShape,
    device: Device,
    seed: int,
    seconds: float | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Any:
    """Return a network that was trained on, with people's decisions.

    Bad masks count as much as good ones together, whatever people were shown. The statistics that
    normalise the layers stay as they are: a few hundred masks would give worse ones.

    Args:
        network: The network to go on from; it is left as it is.
        decided: Decided masks, good and bad ones, of images that it was trained on.
        objects: Masks of the dataset that it was trained on.
        shape: Its sizes.
        device: Where it is.
        seed: Of order, corruptions and changes of crops.
        seconds: Time after which it ends; one step is done always. None for no limit.
        progress: Called with the steps done, and those in all.

    Raises:
        CallError: A single mask does not fit into memory.
    """
    torch = import_optional("torch", "train-verifier")
    tuned = copy.deepcopy(network).eval()
    optimiser = torch.optim.AdamW(tuned.parameters(), lr=TUNING_RATE, weight_decay=0.02)
    steps = int(np.clip(-(-LOOKS * len(decided.masks) // TUNING_BATCH), *TUNING_STEPS))
    random = np.random.default_rng([seed, 1 << 21])
    bad = decided.bad
    weight = np.where(bad, 1 / max(1, bad.sum()), 1 / max(1, (~bad).sum()))
    weight *= len(bad) / weight.sum()
    adaptive = AdaptiveStep(TUNING_BATCH, "give --device cpu")
    order: list[int] = []
    began = time.monotonic()
    for step in range(steps):
        while len(order) < TUNING_BATCH:
            order += random.permutation(len(decided.masks)).tolist()
        rows, order = np.array(order[:TUNING_BATCH]), order[TUNING_BATCH:]
        part = _DecidedBatch.of(decided, rows, weight[rows], random)
        beside = [
            make_examples(objects[k], random, shape.categories)
            for k in random.integers(len(objects), size=BESIDE).tolist()
        ]
        for group in optimiser.param_groups:
            group["lr"] = TUNING_RATE * 0.5 * (1 + np.cos(np.pi * step / steps))

        def learn(at_once: int, part: _DecidedBatch = part, beside: Any = beside) -> None:
            optimiser.zero_grad()
            (0.5 * compute_losses(tuned, beside, device.name)["loss"]).backward()
            for first in range(0, TUNING_BATCH, at_once):
                part.loss(tuned, slice(first, first + at_once), device.name).backward()

        adaptive.run(learn)
        torch.nn.utils.clip_grad_norm_(tuned.parameters(), 2.0)
        optimiser.step()
        if progress:
            progress(step + 1, steps)
        if seconds is not None and time.monotonic() - began >= seconds:
            break
    return tuned


@dataclass(frozen=True)
class _DecidedBatch:
    """Crops of decided masks, and what was said of them; all of one length."""

    crops: list[Any]
    categories: IntArray
    good: FloatArray
    iou: FloatArray
    weight: FloatArray

    @classmethod
    def of(
        cls,
        decided: NumberedDecisions,
        rows: IntArray,
        weight: FloatArray,
        random: np.random.Generator,
    ) -> _DecidedBatch:
        some = [decided.masks[k] for k in rows.tolist()]
        crops = [one.crops(draw_jitter(random)) for one in some]
        good = np.array([not one.bad for one in some], np.float64)
        iou = np.array([one.iou for one in some], np.float64)
        return cls(crops, decided.categories[rows], good, iou, weight)

    def loss(self, network: Any, rows: slice, place: str) -> Any:
        """Return the loss of some, as their share of the batch's: of good or bad, and of the IoU
        where it is known."""
        torch = import_optional("torch", "train-verifier")
        function = torch.nn.functional
        crops = self.crops[rows]
        category = torch.tensor(self.categories[rows].tolist(), device=place)
        encoded = stack_encoded(crops, place)
        answers = run_network(network, *stack_crops(crops, place), category, encoded)

        def values(array: FloatArray) -> Any:
            return torch.tensor(array[rows].tolist(), device=place)

        known = np.isfinite(self.iou)
        losses = function.binary_cross_entropy_with_logits(
            answers["good"], values(self.good), weight=values(self.weight), reduction="none"
        ) + function.binary_cross_entropy_with_logits(
            answers["iou"],
            values(np.where(known, self.iou, 0.0)),
            weight=values(self.weight * known),
            reduction="none",
        )
        return losses.sum() / len(self.crops)


def rate_decided(network: Any, decided: NumberedDecisions, device: Device) -> FloatArray:
    """Return a network's logit of P(good) of decided masks, shape (n,)."""
    torch = import_optional("torch", "train-verifier")
    found = [np.zeros(0)]
    for first in range(0, len(decided.masks), 64):
        some = decided.masks[first : first + 64]
        crops = [one.crops() for one in some]
        codes = decided.categories[first : first + 64].tolist()
        category = torch.tensor(codes, device=device.name)
        encoded = stack_encoded(crops, device.name)
        with torch.inference_mode():
            answers = run_network(network, *stack_crops(crops, device.name), category, encoded)
        found.append(answers["good"].double().cpu().numpy())
    return np.concatenate(found)


def missing_decisions(bad: BoolArray, folds: IntArray, count: int) -> str:
    """Return a clause that names missing decisions, too few to tune on and to try; empty for none.

    Args:
        bad: Which of the decided masks are bad, shape (n,).
        folds: The fold of each.
        count: Folds in all.
    """
    few = int(bad.sum()), int((~bad).sum())
    if min(few) < LEAST_DECIDED:
        return (
            f"people decided on {few[0]:,} bad and {few[1]:,} good masks; {LEAST_DECIDED} of each "
            "are needed"
        )
    for k in range(count):
        rest = bad[folds != k]
        if rest.all() or not rest.any():
            return "all decided masks of a kind lie on images of one fold"
    return ""


def measure_tuning(
    before: FloatArray,
    after: FloatArray,
    decided: NumberedDecisions,
    corrupted: tuple[float | None, float | None],
    seed: int,
) -> DecisionTuningRecord:
    """Return the worth of tuning, and whether it is used.

    Args:
        before: Logits of the decided masks by networks that were tuned on none of their images, as
            they were before tuning; shape (n,).
        after: The same of the tuned ones.
        decided: The decided masks.
        corrupted: The mean AUC on corruptions, before and after.
        seed: Of the resampled images.
    """
    bad = decided.bad
    groups = np.unique([one.key for one in decided.masks], return_inverse=True)[1]

    def gain(counts: FloatArray) -> float:
        return share_in_order(after, bad, counts) - share_in_order(before, bad, counts)

    whole = np.ones(len(bad))
    low, high = interval_by_groups(groups, seed, gain)
    lost = (corrupted[0] or 0.0) - (corrupted[1] or 0.0)
    why_not = ""
    if not low > 0:
        why_not = "luck may explain the gain"
    elif not low > lost:
        why_not = f"it may be less than what is lost on corrupted masks, an AUC of {lost:.2f}"
    return {
        "masks": len(bad),
        "bad": int(bad.sum()),
        "auc_before": _number(share_in_order(before, bad, whole)),
        "auc_after": _number(share_in_order(after, bad, whole)),
        "gain": [low, gain(whole), high],
        "corrupted_auc_before": corrupted[0],
        "corrupted_auc_after": corrupted[1],
        "used": not why_not,
        "why_not": why_not,
    }


def untuned(decided: NumberedDecisions, why_not: str) -> DecisionTuningRecord:
    """Return the record of decisions that were not tuned on."""
    return {
        "masks": len(decided.masks),
        "bad": int(decided.bad.sum()),
        "auc_before": None,
        "auc_after": None,
        "gain": None,
        "corrupted_auc_before": None,
        "corrupted_auc_after": None,
        "used": False,
        "why_not": why_not,
    }


@dataclass(frozen=True)
class FoldsToTune:
    """Networks that were trained on all but their own fold, and how to go on with them.

    Attributes:
        networks: One a fold, in their mode of evaluation.
        own: For each the keys of the pictures that only this one was not trained on.
        learnt: For each the masks of the dataset that it was trained on.
        shape: Their sizes.
        device: Where they are.
        seed: Of the training.
        seconds: Time limit of tuning a network, None for no limit.
    """

    networks: Sequence[Any]
    own: Sequence[frozenset[str]]
    learnt: Sequence[Sequence[VerifierObject]]
    shape: VerifierShape
    device: Device
    seed: int
    seconds: float | None

    def tune(
        self,
        decided: NumberedDecisions,
        corrupted_auc: Callable[[Sequence[Any]], float | None],
        progress: Progress | None,
    ) -> tuple[list[Any], tuple[frozenset[str], ...], DecisionTuningRecord]:
        """Tune the networks where there are decisions enough.

        Args:
            decided: Decided masks, one or more.
            corrupted_auc: The mean AUC of networks on corruptions of masks of their own folds.
            progress: Called with progress.

        Returns:
            The networks to use, tuned or as they were; the keys of each one's own pictures, those
            that are only here because of decisions included; and the record.
        """
        folds, own = deal_decided(decided.masks, self.own)
        lacking = missing_decisions(decided.bad, folds, len(own))
        if lacking:
            return list(self.networks), tuple(self.own), untuned(decided, lacking)
        tuned = []
        before, after = np.zeros(len(folds)), np.zeros(len(folds))
        for k, network in enumerate(self.networks):

            def show(done: int, steps: int, k: int = k) -> None:
                if progress:
                    progress(f"tuning network {k + 1} of {len(own)}", done, steps, 0)

            held = folds == k
            tuned.append(
                tune_network(
                    network,
                    decided.take(~held),
                    self.learnt[k],
                    self.shape,
                    self.device,
                    self.seed * 1000 + k,
                    self.seconds,
                    show,
                )
            )
            before[held] = rate_decided(network, decided.take(held), self.device)
            after[held] = rate_decided(tuned[k], decided.take(held), self.device)
        corrupted = corrupted_auc(self.networks), corrupted_auc(tuned)
        record = measure_tuning(before, after, decided, corrupted, self.seed)
        if not record["used"]:
            return list(self.networks), tuple(self.own), record
        return tuned, own, record


def _number(value: float) -> float | None:
    return None if np.isnan(value) else value
